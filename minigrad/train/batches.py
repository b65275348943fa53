"""What a trainer asks of its batches."""

from __future__ import annotations

from typing import Any

from minigrad.data import DataLoader
from minigrad.errors import DataError, OptionError
from minigrad.tensor import Tensor

__all__ = ["check_loader", "kind", "pair"]


def check_loader(loader: DataLoader, ranks: int = 1) -> None:
    """Refuse what is not a loader, and one that gives one of the ranks nothing to do."""
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
    count = len(loader)
    last = loader.count(count) - loader.count(count - 1)
    for size, mend in ((loader.batch_size, "a larger batch_size"), (last, "drop_last=True")):
        if size < ranks:
            raise OptionError(
                f"{ranks} ranks share every batch, and one has {size} samples: train with {mend} "
                "or on fewer ranks"
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
