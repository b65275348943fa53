"""The state of a trainer in a file: Checkpoint saves it at every epoch and every so many steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.data.dataset import whole_number
from minigrad.errors import DataError
from minigrad.files import to_path
from minigrad.loading import check_kinds
from minigrad.train.trainer import Callback, Trainer

__all__ = ["Checkpoint", "load_checkpoint"]


class Checkpoint(Callback):
    """Save the whole state of the trainer to one file, always the same, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    every : int, default 0
        Save after this many steps too; 0 saves only when an epoch ends and at Ctrl-C.
    about : dict, optional
        Kept in the file: whatever is needed to build the model again from it alone.

    Attributes
    ----------
    saved : tuple of int, optional
        How many epochs, and batches of the next one, the file holds; None before it is there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "checkpoint.safetensors")
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> trainer = mg.train.Trainer(model, callbacks=[Checkpoint(path)])
    >>> _ = trainer.fit(mg.data.DataLoader(mg.data.digits(), 256), epochs=1)
    >>> load_checkpoint(path)["epoch"]
    1
    """

    def __init__(
        self, path: str | Path, every: int = 0, about: dict[str, Any] | None = None
    ) -> None:
        check_kinds("Checkpoint", Mapping | None, about=about)
        self.every = whole_number("Checkpoint: every", every, 0)
        self.path, self.about = to_path(path), about
        self.saved: tuple[int, int] | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.group.rank == 0:
            io.remove_leftovers(self.path)
        if trainer.step and self.path.is_file():  # the trainer was loaded from it
            self.saved = trainer.epoch, trainer.batch

    def on_step_end(self, trainer: Trainer) -> None:
        # The last step of an epoch is saved once, by on_epoch_end.
        if self.every and trainer.step % self.every == 0 and trainer.batch < trainer.batches:
            self.save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.save(trainer)

    def on_interrupt(self, trainer: Trainer) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the file now."""
        check_kinds("Checkpoint.save", Trainer, trainer=trainer)
        state = trainer.state_dict()
        if trainer.group.rank == 0:
            io.save({"kind": "trainer", "about": self.about, **state}, self.path)
        self.saved = trainer.epoch, trainer.batch


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a file that `Checkpoint` wrote; `Trainer.load_state_dict` takes it.

    Raises
    ------
    DataError
        If the file is missing, damaged, or no checkpoint of a trainer.
    """
    state = io.load(path)
    if not isinstance(state, dict) or state.get("kind") != "trainer":
        raise DataError(
            f"{path}: a safetensors file, but no checkpoint of a Trainer; "
            "for bare weights use model.load_state_dict(minigrad.io.load(path))"
        )
    return state
