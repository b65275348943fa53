"""The benchmark of ranks, on one: its turns, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ranks
from minigrad import models, nn
from minigrad.backend import use_kernels


def test_every_kind_of_turn_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 100))
    monkeypatch.setattr(models, "create_model", lambda *_, **__: small)
    settings = {
        "side": 8, "batch": 2, "gigabits": [1.0], "megabytes": 4.0, "latency": 2e-5, "rounds": 2,
        "file": str(tmp_path / "taken.json"),
    }  # fmt: skip
    with use_kernels("reference"):  # nothing to compile
        ranks.worker(settings)
    taken = json.loads((tmp_path / "taken.json").read_text())
    assert list(taken) == ["alone", "1 Gbit/s", "1 Gbit/s, no overlap"]
    for turns in taken.values():
        assert len(turns) == 2
        for seconds, spans in turns:
            assert [what for _, what, *_ in spans] == ["forward", "backward", "wait", "optimizer"]
            assert 0 < sum(end - start for *_, start, end in spans) <= seconds
