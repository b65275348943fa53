"""Progress: a bar while an epoch runs, a line when it is done."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from time import monotonic as clock
from typing import Any, TextIO

from minigrad.kernels.waiting import listeners
from minigrad.train.trainer import Callback, Trainer

__all__ = ["Progress", "describe", "duration"]

WIDTH = 28
CLEAR = "\x1b[K"  # to the end of the line
PERIOD = 0.1  # seconds between two drawings on a terminal
NOTEBOOK = 1.0  # in a notebook, whose file keeps them all
SELDOM = 60.0  # between two lines where nothing can be written over


class Progress(Callback):
    """Show how far training is, and how long all of it still takes by what is done.

    On a terminal and in a notebook a bar moves while an epoch runs, and its end is a line. A file
    or a pipe gets whole lines alone: that of every epoch and, in long ones, one a minute.

    A kernel that is compiled, which happens once, is named; that time is not taken for the pace.
    With `rich` installed the bar of a terminal is coloured; without it a plain one is drawn.

    Parameters
    ----------
    stream : text file, default sys.stdout
        Where to write.
    """

    rank_0_only = True

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.terminal = self.stream.isatty()
        self.live = self.terminal or _is_notebook(self.stream)
        self.period = PERIOD if self.terminal else NOTEBOOK if self.live else SELDOM
        self.bar: Any = None  # rich's, where there is one
        self.drawn = 0.0
        self.width = 0  # of what stands in a notebook's line
        self.compiling = False  # whether that was heard before the end of the first step

    def on_fit_start(self, trainer: Trainer) -> None:
        self.began, self.done = clock(), _done(trainer)
        self.drawn = 0.0 if self.live else self.began
        self.first, self.compiling = True, False
        self.head = _head(trainer.epoch + 1, trainer.epochs)
        listeners.append(self._on_compile)
        if self.terminal:
            self.bar = _rich_bar(self.stream)
        if self.bar is not None:
            self.task = self.bar.add_task(
                "", total=trainer.batches, completed=trainer.batch, note="", left=""
            )
            self.bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        now, last = clock(), trainer.batch == trainer.batches
        if self.first and self.compiling and not last:
            self.began, self.done = now, _done(trainer)  # the steps to come are not like this one
            self.drawn = self.drawn if self.live else now
        self.first, self.head = False, _head(trainer.epoch + 1, trainer.epochs)
        due = now - self.drawn >= self.period
        if not (due or last if self.live else due and not last):
            return
        self.drawn = now
        note, left = describe(trainer.means.values()), self._left(trainer)
        if self.bar is not None:
            self.bar.update(
                self.task, description=self.head, completed=trainer.batch, note=note, left=left
            )
            return
        full = WIDTH * trainer.batch // trainer.batches
        bar = "█" * full + "·" * (WIDTH - full)
        place = f"{trainer.batch}/{trainer.batches}"
        if self.live:
            self._draw(f"{self.head} {bar} {place} {note}  {left}")
        else:
            self._write(f"{self.head}  {place}  {note}  {left}\n")

    def on_epoch_end(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        values = {k: v for k, v in row.items() if k not in ("epoch", "lr", "seconds")}
        line = f"{_head(trainer.epoch, trainer.epochs)}  {describe(values)}  {row['seconds']:.1f} s"
        if trainer.epoch < trainer.epochs:
            line += f", {self._left(trainer)}"
        self.drawn = clock()
        if self.bar is not None:
            self.bar.console.print(line, highlight=False, soft_wrap=True)
            self.bar.update(self.task, completed=0)
        elif self.live:
            self._draw(line, "\n", cut=False)
        else:
            self._write(f"{line}\n")

    def on_interrupt(self, trainer: Trainer) -> None:
        if self.live and self.bar is None:
            self._write("\n")

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._on_compile in listeners:
            listeners.remove(self._on_compile)
        if self.bar is not None:
            self.bar.stop()

    def _on_compile(self, name: str) -> None:
        """Say what one waits for: each kernel where a line can be written over, else once."""
        said, self.compiling = self.compiling, True
        if self.bar is not None:
            self.bar.update(self.task, description=self.head, note=f"compiling {name}, once")
        elif self.live:
            self._draw(f"{self.head} compiling {name}, once")
        elif not said:
            self._write("compiling kernels, once: the first step takes longer than the others\n")

    def _left(self, trainer: Trainer) -> str:
        """Return how long the rest of the training takes, if it goes on as since the start."""
        done = _done(trainer)
        if done <= self.done:
            return ""
        pace = (clock() - self.began) / (done - self.done)
        return f"{duration(pace * (trainer.epochs - done))} left"

    def _draw(self, text: str, end: str = "", cut: bool = True) -> None:
        """Write over the present line."""
        if self.terminal:
            room = shutil.get_terminal_size().columns - 1  # what wraps cannot be written over
            self._write(f"\r{text[:room] if cut else text}{CLEAR}{end}")
        else:  # a notebook knows no code that clears a line
            self._write(f"\r{text:{self.width}}{end}")
            self.width = 0 if end else max(self.width, len(text))

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def describe(values: Mapping[str, float]) -> str:
    """Return metrics for reading: losses with four digits, accuracies in per cent.

    Examples
    --------
    >>> describe({"train_loss": 0.7, "train_smoothing": 0.1, "val_loss": 0.3})
    'train loss 0.7000 (smoothing 0.1)  val loss 0.3000'
    >>> describe({"train_loss": 0.51234, "train_accuracy": 0.98333, "val_loss": 0.7})
    'train loss 0.5123 acc 98.33 %  val loss 0.7000'
    """
    parts: dict[str, str] = {}  # "train" and "val", in order
    for name, value in values.items():
        part, _, metric = name.rpartition("_")
        if metric == "accuracy":
            shown = f"acc {value * 100:.2f} %"
        elif metric == "smoothing":
            shown = f"(smoothing {value:g})"
        else:
            shown = f"{metric} {value:.4f}"
        parts[part] = f"{parts[part]} {shown}" if part in parts else f"{part} {shown}".strip()
    return "  ".join(parts.values())


def duration(seconds: float) -> str:
    """Return a time for reading.

    Examples
    --------
    >>> duration(7.6), duration(130), duration(7500)
    ('8 s', '2 min', '2 h 5 min')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _done(trainer: Trainer) -> float:
    """Return the epochs that are done, that under way in part."""
    return trainer.epoch + trainer.batch / max(trainer.batches, 1)


def _is_notebook(stream: TextIO) -> bool:
    """Return whether what is written is shown below a notebook's cell."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _head(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"


def _rich_bar(stream: TextIO) -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(WIDTH), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    left = TextColumn("{task.fields[left]}")
    return Bar(*columns, left, console=Console(file=stream), transient=True)
