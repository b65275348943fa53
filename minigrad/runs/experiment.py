"""Experiment: everything that takes part in one training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Generic

import numpy as np

from minigrad import random
from minigrad.data import DataLoader, Split
from minigrad.data.dataset import Image
from minigrad.modes import no_grad
from minigrad.runs.config import C
from minigrad.tensor import Tensor
from minigrad.train import Trainer
from minigrad.train.batches import check_loader
from minigrad.train.threads import blas_threads

__all__ = ["Experiment"]


@dataclass(frozen=True)
class Experiment(Generic[C]):
    """What `prepare` builds."""

    task: str  # its name
    config: C
    split: Split
    trainer: Trainer
    train: DataLoader
    test: DataLoader

    @property
    def about(self) -> dict[str, Any]:
        """What `Checkpoint` should keep, so that the model can be used without the data."""
        images = asdict(self.split.spec)
        return {"task": self.task, "config": self.config.to_dict(), "images": images}

    def seen(self, image: Image) -> Image:
        """Return an image as the model sees it where nothing is left to chance."""
        transform, rng = self.test.transform, np.random.default_rng(0)
        return np.asarray(image if transform is None else transform(image, rng))

    def rehearse(self) -> None:
        """Let one sample through the model, so that what does not fit is found before training.

        Nothing is changed by it, not even the random numbers that follow.
        """
        check_loader(self.train, self.trainer.group.size)
        check_loader(self.test)
        model, image = self.trainer.model, self.seen(self.split.train[0][0])
        state, training = random.get_rng_state(), model.training
        try:
            with no_grad():
                model.eval()(Tensor(image[None]).to(self.config.device))
        finally:
            model.train(training)
            random.set_rng_state(state)

    def fit(self) -> list[dict[str, float]]:
        """Train to the end, from wherever the trainer stands; return the history."""
        with blas_threads(self.config.threads):
            return self.trainer.fit(self.train, self.test, self.config.epochs)
