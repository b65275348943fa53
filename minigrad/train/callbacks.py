"""Callback: what may happen beside the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minigrad.train.trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """Is told by a `Trainer` where it stands; a subclass overrides what it needs.

    Examples
    --------
    >>> class Bell(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         print(f"epoch {trainer.epoch}: {trainer.history[-1]['train_loss']:.2f}")
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step; `trainer.epochs` and `trainer.batches` are known."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After every optimizer step."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After every epoch; its row is the last of `trainer.history`."""

    def on_interrupt(self, trainer: Trainer) -> None:
        """After Ctrl-C, between two steps; KeyboardInterrupt is raised next."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, or when `fit` leaves by an error."""
