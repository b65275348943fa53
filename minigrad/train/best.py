"""The best epoch: keeping its weights, and stopping when none has been better for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minigrad.data.dataset import whole_number
from minigrad.errors import OptionError, unknown
from minigrad.loading import check_kinds, check_numbers, history_of
from minigrad.train.state import Checkpoint, load_checkpoint
from minigrad.train.trainer import Callback, Trainer

__all__ = ["BestCheckpoint", "EarlyStopping", "best_epoch"]


def best_epoch(history: Sequence[Mapping[str, float]], monitor: str, min_delta: float = 0.0) -> int:
    """Return the number, from 0, of the epoch that no later one has surpassed.

    Parameters
    ----------
    history : sequence of mappings
        That of a `Trainer`.
    monitor : str
        The column that counts: a smaller value is better where its name ends in ``loss``, else a
        larger one.
    min_delta : float, default 0
        By how much more than this a value must be better.

    Raises
    ------
    OptionError
        If there is no such column.

    Examples
    --------
    >>> history = [{"val_loss": 0.4}, {"val_loss": 0.3}, {"val_loss": 0.35}]
    >>> best_epoch(history, "val_loss")
    1
    """
    history = history_of("best_epoch", history)
    _check_judge("best_epoch", monitor, min_delta)
    best = 0
    for number, row in enumerate(history):
        if monitor not in row:
            raise unknown("value to monitor", monitor, row)
        gain = row[monitor] - history[best][monitor]
        if (-gain if monitor.endswith("loss") else gain) > min_delta:
            best = number
    return best


def _check_judge(owner: str, monitor: Any, min_delta: Any) -> None:
    """Refuse what no epoch can be judged by."""
    check_kinds(owner, str, monitor=monitor)
    check_numbers(owner, min_delta=min_delta)
    if not min_delta >= 0:
        raise OptionError(f"{owner}: min_delta must be 0 or more, got {min_delta}")


class EarlyStopping(Callback):
    """End the training when the monitored value has not become better for some epochs.

    It is judged by the trainer's history alone, so a run that is resumed stops where it would have.

    Parameters
    ----------
    monitor : str, default "val_loss"
        As in `best_epoch`.
    patience : int, default 10
        Epochs without a better value, after which training ends.
    min_delta : float, default 0
        By how much more than this a value must be better.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> stop = mg.train.EarlyStopping("train_loss", patience=1)
    >>> optimizer = mg.optim.SGD(model.parameters(), lr=0.0)
    >>> trainer = mg.train.Trainer(model, optimizer, callbacks=[stop])
    >>> len(trainer.fit(mg.data.DataLoader(mg.data.digits(), 600), epochs=9))
    2
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0
    ) -> None:
        _check_judge("EarlyStopping", monitor, min_delta)
        self.monitor, self.min_delta = monitor, min_delta
        self.patience = whole_number("EarlyStopping: patience", patience, 1)

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        best = best_epoch(trainer.history, self.monitor, self.min_delta)
        if len(trainer.history) - 1 - best >= self.patience:
            trainer.stopping = True


class BestCheckpoint(Checkpoint):
    """Save the state of the trainer after every epoch that is the best so far.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    monitor : str, default "val_loss"
        As in `best_epoch`.
    about : dict, optional
        As in `Checkpoint`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "best.safetensors")
    >>> best = mg.train.BestCheckpoint(path, "train_loss")
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> trainer = mg.train.Trainer(model, callbacks=[best])
    >>> _ = trainer.fit(mg.data.DataLoader(mg.data.digits(), 256), epochs=2)
    >>> best.restore(trainer)
    2
    """

    def __init__(
        self, path: str | Path, monitor: str = "val_loss", about: dict[str, Any] | None = None
    ) -> None:
        check_kinds("BestCheckpoint", str, monitor=monitor)
        super().__init__(path, about=about)
        self.monitor = monitor

    def on_epoch_end(self, trainer: Trainer) -> None:
        if best_epoch(trainer.history, self.monitor) == len(trainer.history) - 1:
            self.save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        """Leave the file: an epoch under way has no value yet."""

    def restore(self, trainer: Trainer) -> int:
        """Put the saved weights into the model to evaluate; return the number of their epoch."""
        check_kinds("BestCheckpoint.restore", Trainer, trainer=trainer)
        state = load_checkpoint(self.path)
        trainer.eval_model.load_state_dict(state["ema"] or state["model"])
        return int(state["epoch"])
