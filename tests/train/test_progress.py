from __future__ import annotations

import io
import itertools
import sys

import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import DataLoader, digits
from minigrad.kernels import waiting
from minigrad.train import Progress, Trainer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fit(stream: io.StringIO) -> str:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    Trainer(model, callbacks=[Progress(stream)]).fit(DataLoader(digits(), 200), None, 2)
    return stream.getvalue()


def test_a_file_gets_one_line_per_epoch() -> None:
    text = fit(io.StringIO())
    first, second = (line for line in text.splitlines() if not line.startswith("compiling"))
    assert first.startswith("epoch 1/2  train loss 2.")
    assert second.startswith("epoch 2/2  train loss")
    assert first.endswith(" left")
    assert second.endswith(" s")
    assert "%" in first
    assert "\r" not in text


def test_a_long_epoch_gets_a_line_a_minute_where_nothing_can_be_written_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = itertools.count(0.0, 25.0)  # each look at the clock is 25 seconds after the one before
    monkeypatch.setattr("minigrad.train.progress.clock", lambda: next(later))
    lines = [line for line in fit(io.StringIO()).splitlines() if "compiling" not in line]
    places = [line.split()[2] for line in lines if "/9 " in line]
    assert 2 <= len(places) <= 6
    assert "9/9" not in places  # the line of the epoch follows
    assert sum(line.startswith("epoch 1/2  train") for line in lines) == 1
    assert all(line.rstrip().endswith("left") for line in lines[:-1])
    assert "\r" not in "".join(lines)


class Compiles(nn.Module):
    """A model in which kernels are compiled in the first step."""

    def __init__(self) -> None:
        self.linear, self.fresh = nn.Linear(64, 10), True

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        if self.fresh:
            for name in ("conv", "norm"):
                for tell in waiting.listeners:
                    tell(name)
        self.fresh = False
        return self.linear(x.flatten(1))


Notebook = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})


@pytest.mark.parametrize("kind", ["pipe", "notebook", "terminal"])
def test_compiling_is_said_aloud_and_is_no_measure_of_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    stream = {"pipe": io.StringIO, "notebook": Notebook, "terminal": Terminal}[kind]()
    Trainer(Compiles(), callbacks=[Progress(stream)]).fit(DataLoader(digits(), 200), None, 2)
    text = stream.getvalue()
    assert not waiting.listeners
    if kind == "pipe":
        assert text.startswith("compiling kernels, once: the first step")
        assert text.count("compiling") == 1
        assert "\r" not in text
        return
    assert "epoch 1/2 compiling conv, once" in text
    assert "epoch 1/2 compiling norm, once" in text
    assert ("\x1b" in text) == (kind == "terminal")
    shown = []  # what a notebook shows at the end: each line as it was written over last
    for line in text.replace("\x1b[K", " " * 80).split("\n")[:-1]:
        letters: list[str] = []
        for part in line.split("\r"):
            letters[: len(part)] = part
        shown.append("".join(letters).rstrip())
    assert [line[:21] for line in shown] == [f"epoch {i}/2  train loss" for i in (1, 2)]
    assert all("compiling" not in line and "█" not in line for line in shown)


def test_a_fit_that_fails_listens_no_more() -> None:
    class Fails(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        Trainer(Fails(), callbacks=[Progress(io.StringIO())]).fit(DataLoader(digits(), 200))
    assert not waiting.listeners


def test_a_terminal_without_rich_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    text = fit(Terminal())
    assert "█" in text
    assert "9/9" in text
    assert " left" in text
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
