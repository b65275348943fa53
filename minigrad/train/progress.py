"""Progress: a bar while an epoch runs, a line when it is done."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from minigrad.train.trainer import Callback, Trainer

__all__ = ["Progress", "describe"]

WIDTH = 28
CLEAR = "\x1b[K"  # to the end of the line
PERIOD = 0.1  # seconds between two drawings


class Progress(Callback):
    """Show how far training is: a live bar on a terminal, only the finished lines elsewhere.

    With `rich` installed the bar is coloured; without it a plain one is drawn.

    Parameters
    ----------
    stream : text file, default sys.stdout
        Where to write.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self.bar: Any = None  # rich's, where there is one
        self.drawn = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        if self.live:
            self.bar = _rich_bar(self.stream)
        if self.bar is not None:
            self.task = self.bar.add_task(
                "", total=trainer.batches, completed=trainer.batch, note=""
            )
            self.bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if not self.live or (now - self.drawn < PERIOD and trainer.batch < trainer.batches):
            return
        self.drawn = now
        head, note = _head(trainer.epoch + 1, trainer.epochs), describe(trainer.means.values())
        if self.bar is not None:
            self.bar.update(self.task, description=head, completed=trainer.batch, note=note)
            return
        full = WIDTH * trainer.batch // trainer.batches
        left = trainer.seconds / trainer.batch * (trainer.batches - trainer.batch)
        bar = "█" * full + "·" * (WIDTH - full)
        text = f"{head} {bar} {trainer.batch}/{trainer.batches} {note}  {left:.0f} s left"
        room = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be written over
        self._write(f"\r{text[:room]}{CLEAR}")

    def on_epoch_end(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        values = {k: v for k, v in row.items() if k not in ("epoch", "lr", "seconds")}
        line = f"{_head(trainer.epoch, trainer.epochs)}  {describe(values)}  {row['seconds']:.1f} s"
        if self.bar is not None:
            self.bar.console.print(line, highlight=False, soft_wrap=True)
            self.bar.update(self.task, completed=0)
        else:
            self._write(f"\r{line}{CLEAR}\n" if self.live else f"{line}\n")

    def on_interrupt(self, trainer: Trainer) -> None:
        if self.live and self.bar is None:
            self._write("\n")

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.stop()

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


def _head(epoch: int, epochs: int) -> str:
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"


def _rich_bar(stream: TextIO) -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    text = TextColumn("{task.description}")
    columns = (text, BarColumn(WIDTH), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    return Bar(*columns, TimeRemainingColumn(), console=Console(file=stream), transient=True)
