"""What a trainer asks of its batches."""

from __future__ import annotations

from typing import Any

from minigrad.data import DataLoader
from minigrad.errors import DataError, OptionError
from minigrad.tensor import Tensor

__all__ = ["check_loader", "kind", "pair"]


def check_loader(loader: DataLoader) -> None:
    """Refuse what is not a loader, and one that would train or measure nothing."""
    if not isinstance(loader, DataLoader):
        raise OptionError(
            f"a DataLoader is needed, got {type(loader).__name__}; make one of a list of samples: "
            "DataLoader(samples, batch_size)"
        )
    if len(loader) == 0:
        raise DataError(
            f"the loader has no batches: {len(loader.dataset)} samples make no whole batch of "
            f"{loader.batch_size}; make batch_size smaller, or leave drop_last out"
        )


def pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and targets; refuse batches that are anything else."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, targets = batch
        if isinstance(inputs, Tensor) and isinstance(targets, Tensor):
            return inputs, targets
    fields = batch if isinstance(batch, tuple | list) else [batch]
    found = ", ".join(type(field).__name__ for field in fields)
    raise DataError(
        f"a Trainer's batches are two Tensors, inputs and targets, got ({found}); choose them with "
        "the DataLoader's collate_fn, or write the loop yourself"
    )


def kind(inputs: Tensor, targets: Tensor) -> tuple[Any, ...]:
    """Return what batches have in common that one captured step serves."""
    return inputs.shape, inputs.dtype, targets.shape, targets.dtype
