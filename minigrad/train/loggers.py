"""Loggers: callbacks that hand the history of a run to programs that draw it while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minigrad.errors import missing_extra, unknown
from minigrad.files import to_path
from minigrad.loading import check_kinds
from minigrad.train.trainer import Callback, Trainer

__all__ = ["LOGGERS", "TensorBoard", "Trackio", "check_logger"]


class TensorBoard(Callback):
    """Write every epoch as TensorBoard reads it; needs the extra `loggers` (tensorboardX).

    A column such as ``val_loss`` is the scalar ``loss/val``, so that training and validation lie
    side by side. A run that is resumed goes on from its last checkpoint: what was written after
    that is purged.

    Parameters
    ----------
    folder : path
        Where its files go; ``tensorboard --logdir`` takes it, or a folder above it.

    Raises
    ------
    MissingExtra
        If tensorboardX is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import minigrad as mg
    >>> folder = tempfile.mkdtemp()
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> logger = TensorBoard(folder)  # doctest: +SKIP
    >>> trainer = mg.train.Trainer(model, callbacks=[logger])  # doctest: +SKIP
    >>> loader = mg.data.DataLoader(mg.data.digits(), 256)
    >>> _ = trainer.fit(loader, epochs=1)  # doctest: +SKIP
    >>> len(list(Path(folder).glob("events.out.tfevents.*")))  # doctest: +SKIP
    1
    """

    rank_0_only = True

    def __init__(self, folder: str | Path) -> None:
        self.folder = to_path(folder)
        check_logger("tensorboard")
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        from tensorboardX import SummaryWriter

        resumed = trainer.epoch + 1 if trainer.epoch else None
        # Files are named by the second: what goes on at once would write over what it goes on from.
        own = f".{trainer.epoch}"
        self._writer = SummaryWriter(str(self.folder), purge_step=resumed, filename_suffix=own)

    def on_epoch_end(self, trainer: Trainer) -> None:
        for name, value in _scalars(trainer).items():
            self._writer.add_scalar(name, value, trainer.epoch)
        self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()


class Trackio(Callback):
    """Write every epoch into a project of trackio; needs the extra `loggers` (trackio).

    It keeps them on this machine, without a network; ``trackio show`` draws them. Columns are
    called as by `TensorBoard`.

    Parameters
    ----------
    name : str
        Of the run.
    project : str, default "minigrad"
        What it is compared with.
    config : mapping, optional
        Options that are shown beside the run.

    Raises
    ------
    MissingExtra
        If trackio is not installed.
    """

    rank_0_only = True

    def __init__(
        self, name: str, project: str = "minigrad", config: Mapping[str, Any] | None = None
    ) -> None:
        check_kinds("Trackio", str, name=name, project=project)
        check_kinds("Trackio", Mapping | None, config=config)
        check_logger("trackio")
        self.name, self.project, self.config = name, project, dict(config or {})
        self._run: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        import trackio

        resume = "allow" if trainer.epoch else "never"
        self._run = trackio.init(self.project, self.name, config=self.config, resume=resume)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._run.log(_scalars(trainer), step=trainer.epoch)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._run is not None:
            self._run.finish()


def _scalars(trainer: Trainer) -> dict[str, float]:
    """Return the last row of the history, ``val_loss`` as ``loss/val``."""
    row = {}
    for name, value in trainer.history[-1].items():
        part, _, metric = name.rpartition("_")
        row[f"{metric}/{part}" if part else name] = value
    row.pop("epoch")
    return row


LOGGERS: dict[str, Callable[[Path, Mapping[str, Any]], Callback]] = {  # by a run and its options
    "tensorboard": lambda run, config: TensorBoard(run / "tensorboard"),
    "trackio": lambda run, config: Trackio(run.name, config=config),
}
PACKAGES = {"tensorboard": "tensorboardX", "trackio": "trackio"}


def check_logger(name: str) -> None:
    """Refuse a logger that is unknown or not installed, before anything is computed.

    Examples
    --------
    >>> check_logger("tensorbord")
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown logger 'tensorbord'; did you mean 'tensorboard'? ...
    """
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    if find_spec(PACKAGES[name]) is None:
        raise missing_extra(PACKAGES[name], "loggers")
