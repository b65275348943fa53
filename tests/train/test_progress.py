from __future__ import annotations

import io
import sys

import pytest

from minigrad import nn
from minigrad.data import DataLoader, digits
from minigrad.train import Progress, Trainer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fit(stream: io.StringIO) -> str:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    Trainer(model, callbacks=[Progress(stream)]).fit(DataLoader(digits(), 200), None, 2)
    return stream.getvalue()


def test_a_file_gets_one_line_per_epoch() -> None:
    first, second = fit(io.StringIO()).splitlines()
    assert first.startswith("epoch 1/2  train loss 2.")
    assert second.startswith("epoch 2/2  train loss")
    assert first.endswith(" s")
    assert "%" in first


def test_a_terminal_without_rich_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    text = fit(Terminal())
    assert "█" in text
    assert "9/9" in text
    assert text.count("\n") == 2


def test_the_bar_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setenv("COLUMNS", "24")
    lines = [part for part in fit(Terminal()).split("\r") if "█" in part or "·" in part]
    assert lines
    assert all(len(line.removesuffix("\x1b[K")) < 24 for line in lines)


def test_a_terminal_with_rich_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm")
    text = fit(Terminal())
    assert "epoch 2/2  train loss" in text
    assert text.count("epoch 1/2  train loss") >= 1
