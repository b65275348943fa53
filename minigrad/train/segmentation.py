"""SegmentationTrainer: a trainer whose evaluation counts every position once."""

from __future__ import annotations

from minigrad.data import DataLoader
from minigrad.nn import functional as F
from minigrad.train.calibration import Calibration
from minigrad.train.confusion import ConfusionMatrix
from minigrad.train.trainer import Row, Trainer

__all__ = ["SegmentationTrainer"]


class SegmentationTrainer(Trainer):
    """A `Trainer` whose `evaluate` counts every position of the data once, whatever the batches.

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad import data, nn
    >>> samples = [(np.ones((1, 4, 4), np.float32), np.ones((4, 4), np.int64))] * 4
    >>> loader = data.DataLoader(samples, batch_size=2)
    >>> trainer = SegmentationTrainer(nn.Conv2d(1, 2, 1), "sgd")
    >>> sorted(trainer.fit(loader, loader)[0])[-3:]
    ['val_dice', 'val_iou', 'val_loss']
    """

    def evaluate(self, loader: DataLoader) -> Row:
        """Return loss, mean IoU and mean Dice over all of `loader`, in evaluation mode."""
        row, matrix = self.measured(loader)
        return row | {"iou": matrix.mean_iou(), "dice": matrix.mean_dice()}

    def confusion(self, loader: DataLoader) -> ConfusionMatrix:
        """Return which class was taken for which, over all of `loader`, in evaluation mode."""
        return self.measured(loader)[1]

    def measured(
        self, loader: DataLoader, calibration: Calibration | None = None
    ) -> tuple[Row, ConfusionMatrix]:
        """Return the loss, and which class was taken for which, in one pass over `loader`.

        How sure the model was is counted by `calibration`. Several ranks call it together; each
        takes every n-th batch, and the counts are added, those of `calibration` stay its own.
        """
        rows: list[tuple[Row, int]] = []
        own: ConfusionMatrix | None = None
        for inputs, targets, outputs in self._outputs(loader, self.group):
            rows.append(({"loss": float(self.val_loss(outputs, targets).item())}, len(inputs)))
            own = own or ConfusionMatrix(max(outputs.shape[1], 2))
            own.update(outputs, targets)
            if calibration is not None:
                calibration.update(F.softmax(outputs, 1), targets)
        found = [part for part in self.group.all_gather(own) if part is not None]
        matrix = ConfusionMatrix(found[0].classes)
        for part in found:
            matrix.merge(part)
        return self._means(rows), matrix
