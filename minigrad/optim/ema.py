"""Exponential moving average of a model's weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from minigrad.dtypes import float32, float64
from minigrad.errors import OptionError, StateError
from minigrad.kernels import pick
from minigrad.loading import check_numbers
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["ModelEma"]


class ModelEma:
    """A copy of a model that follows it slowly: w̄ ← decay·w̄ + (1 − decay)·w.

    Parameters
    ----------
    model : Module
        The model that is trained; its copy starts equal.
    decay : float, default 0.9999
        Part that stays at each update. ConvNeXt's recipes use 0.9999 without warm-up.

    Attributes
    ----------
    module : Module
        The averaged copy, in evaluation mode, without gradients.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.nn.Linear(1, 1, bias=False)
    >>> ema = mg.optim.ModelEma(model, decay=0.9)
    >>> start = model.weight.item()
    >>> _ = mg.nn.init.constant_(model.weight, start + 1.0)
    >>> ema.update(model)
    >>> round(ema.module.weight.item() - start, 4)
    0.1
    """

    def __init__(self, model: Module, decay: float = 0.9999) -> None:
        if not isinstance(model, Module):
            raise OptionError(f"ModelEma: averages a model, not {type(model).__name__}")
        check_numbers("ModelEma", decay=decay)
        if not 0.0 <= decay <= 1.0:
            raise OptionError(f"ModelEma: decay must lie in [0, 1], got {decay}")
        self.decay = decay
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.module.zero_grad()

    def update(self, model: Module) -> None:
        """Move the average towards `model`; call it after each optimizer step.

        Buffers are averaged too; integers (a counter of batches) are copied.

        Raises
        ------
        StateError
            If the model's names or shapes are no longer those of the average; nothing has changed
            then.
        """
        current = model.state_dict()
        for name, average in self.module.state_dict().items():
            found = current[name].shape if name in current else "missing"
            if found != average.shape:
                raise StateError(
                    f"ModelEma.update: the average has {name} of shape {average.shape}, in the "
                    f"model it is {found}; make the average anew after the model has changed"
                )
        alike: dict[Any, list[tuple[Any, Any]]] = {}  # those that one call can update
        for name, average in self.module.state_dict().items():
            value = current[name].array
            if average.dtype in (float32, float64):
                kind = average.dtype.char, value.dtype.char, type(value)
                alike.setdefault(kind, []).append((average.array, value))
                average._version[0] += 1
            elif average.is_floating_point():
                average.mul_(self.decay).add_(current[name], alpha=1.0 - self.decay)
            else:
                average.copy_(current[name])
        for pairs in alike.values():
            averages, values = map(list, zip(*pairs, strict=True))
            pick("ema_many", averages[0])(averages, values, self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of the averaged copy."""
        return self.module.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises
        ------
        StateError
            If something does not fit; nothing has changed then.
        """
        self.prepare_load(state_dict)()

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        return self.module.prepare_load(state_dict)
