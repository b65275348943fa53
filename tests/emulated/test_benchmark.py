"""``python -m benchmarks gpu`` on the stand-in: everything runs; the times mean nothing here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import minigrad.models as models
from benchmarks import __main__ as benchmarks
from benchmarks import gpu, gpu_kernels, gpu_networks
from minigrad import backend
from minigrad.errors import DataError
from tests.emulated.conftest import REAL
from tests.emulated.shim.program import compiler

pytestmark = pytest.mark.skipif(
    not REAL and compiler() is None, reason="the emulated GPU needs g++, which is not installed"
)


def small(name: str, **options: Any) -> Any:
    kind = models.ConvNeXtV2 if "v2" in name else models.ConvNeXt
    return kind(depths=(1, 1), dims=(8, 16), **options)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and activations of a size for the shim."""
    monkeypatch.setattr(models, "create_model", small)
    monkeypatch.setattr(gpu_networks, "WARM_UP", 1)
    monkeypatch.setattr(gpu_networks, "CLASSES", 5)
    monkeypatch.setattr(gpu_kernels, "STAGES", ((8, 4), (8, 4), (16, 8)))
    if not REAL:
        monkeypatch.setattr(gpu_networks, "torch_version", lambda: None)


QUICK = ["--batch", "2", "--size", "16", "--repeats", "1", "--megabytes", "1", "--side", "8"]


@pytest.mark.slow
@pytest.mark.needs("ml_dtypes")
def test_the_whole_benchmark(
    cupy: Any, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gpu.json"
    gpu.main([*QUICK, "--output", str(path)])
    report = json.loads(path.read_text())
    assert report["machine"]["card"]
    assert max(report["correctness"].values()) < 5e-2
    assert report["limits"]["copy_gb_s"] > 0
    kernels = report["kernels"]
    assert {row["dtype"] for row in kernels} == {"float32", "bfloat16"}
    assert len(kernels) == 2 * 2 * 13
    assert all(row["ratio"] == pytest.approx(row["ms"] / row["floor_ms"]) for row in kernels)
    rows = [row for row in report["networks"] if row["who"].startswith("minigrad")]
    kinds = {(r["model"], r["precision"], r["task"], r["who"]) for r in rows}
    assert len(kinds) == len(rows) == 2 * 3 * 3  # per model and precision: two trainings, inference
    assert REAL or report["left_out"] == ["PyTorch: not installed here, or without CUDA"]
    out = capsys.readouterr().out
    assert "depthwise, weight gradient" in out
    assert "minigrad, CUDA graph" in out
    assert not backend.tf32_allowed()


@pytest.mark.parametrize("train", [True, False])
def test_the_steps_of_pytorch_run(
    quick: None, monkeypatch: pytest.MonkeyPatch, train: bool
) -> None:
    """On the CPU, uncompiled: that they are written as PyTorch wants them."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda net: net)
    asked = gpu.options([*QUICK, "--device", "cpu", "--size", "64"])
    ways = []
    for who, work in gpu_networks._torch(asked, "convnextv2_tiny", "tf32", train):
        work()
        ways.append(who)
    assert ways == [f"PyTorch, {way}" for way in ("contiguous", "channels_last", "compiled")]


@pytest.mark.needs("ml_dtypes")
def test_it_ends_in_time(cupy: Any, quick: None, tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    gpu.main([*QUICK, "--minutes", "0", "--only", "networks", "--output", str(path)])
    report = json.loads(path.read_text())
    assert report["networks"] == []
    assert sum("no time left" in line for line in report["left_out"]) >= 12


@pytest.mark.needs("ml_dtypes")
def test_wrong_results_are_not_timed(
    cupy: Any, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = gpu_kernels.pick

    def wrong(name: str, x: Any) -> Any:
        kernel = right(name, x)
        slip = name == "gelu" and isinstance(x, cupy.ndarray)
        return (lambda *args: kernel(*args) * 1.1) if slip else kernel

    monkeypatch.setattr(gpu_kernels, "pick", wrong)
    with pytest.raises(DataError, match="GELU in float32 differs from its formula"):
        gpu.main([*QUICK, "--output", str(tmp_path / "gpu.json")])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(backend.cuda_is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["gpu"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("benchmarks: device 'cuda'")
    assert "device='cpu'" in captured.err
    assert captured.out == ""
