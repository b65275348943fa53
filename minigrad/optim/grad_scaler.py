"""GradScaler: the loss scale that keeps float16 gradients in range."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigrad.backend import Device, get_xp, quiet, quietly, to_device
from minigrad.errors import DTypeError, GraphError, OptionError
from minigrad.loading import Entries, integer, number
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import Tensor, wrap

__all__ = ["GradScaler"]

READY, UNSCALED, STEPPED = "ready", "unscale_", "step"

# The scale and its inverse are both float32 numbers, and neither is 0 or infinite.
LEAST, MOST = 2.0**-126, 2.0**127
_SCALE: tuple[str, Callable[[Any], bool]] = (
    "lie between 2**-126 and 2**127",
    lambda x: LEAST <= x <= MOST,
)
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "init_scale": _SCALE,
    "new_scale": _SCALE,
    "growth_factor": ("be above 1 and finite", lambda x: 1.0 < x < math.inf),
    "backoff_factor": ("lie between 0 and 1", lambda x: 0.0 < x < 1.0),
    "growth_interval": ("be an integer ≥ 1", lambda x: integer(x) is not None and x >= 1),
}


class _Progress:
    """Where an optimizer is in its step, and whether one of its gradients overflowed."""

    def __init__(self) -> None:
        self.stage = READY
        self.found: dict[Device, Any] = {}  # device: a flag in its memory
        self._seen: bool | None = None

    def overflow(self) -> bool:
        """Return True if a gradient is infinite or NaN; on a GPU this waits, once."""
        if self._seen is None:
            self._seen = any(bool(flag) for flag in self.found.values())
        return self._seen

    def again(self) -> None:
        """Forget the answer: a CUDA graph has written to the flags."""
        self._seen = None


class GradScaler:
    """Scale the loss, so that its gradients do not vanish in float16, and adapt the scale.

    float16 holds nothing below 6e-8, where many gradients are. So the loss is multiplied by a
    large number before `backward`, and the gradients are divided by it before the optimizer's step.
    If one of them is infinite or NaN, the scale was too large: the step is skipped and the scale
    halves. After `growth_interval` steps in a row without that it doubles. bfloat16 has the range
    of float32 and needs no scaler.

    Parameters
    ----------
    device : {"cuda", "cpu"}
        Where the scale lives; where the gradients do.
    init_scale : float, default 65536
        First scale.
    growth_factor : float, default 2
        Multiplier after enough good steps, above 1.
    backoff_factor : float, default 0.5
        Multiplier after a skipped step, below 1.
    growth_interval : int, default 2000
        Good steps before the scale grows.
    enabled : bool, default True
        If False, all methods pass on what they get: the loop need not be written twice.

    Notes
    -----
    Source: Micikevicius et al., Mixed Precision Training, arXiv:1710.03740; PyTorch's
    ``torch.amp.GradScaler``, whose interface and arithmetic this is. On a GPU all gradients share
    one flag in device memory, and a step reads it once.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([2.0], requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.25)
    >>> scaler = mg.amp.GradScaler("cpu")
    >>> scaler.scale((w * w).sum()).backward()
    >>> w.grad
    tensor([262144.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w
    tensor([1.], requires_grad=True)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._check(
            init_scale=init_scale,
            growth_factor=growth_factor,
            backoff_factor=backoff_factor,
            growth_interval=growth_interval,
        )
        self._enabled = bool(enabled)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth = growth_interval, 0
        self._scale = float(np.float32(init_scale))
        self._factors: dict[Device, tuple[Tensor, Tensor]] = {}  # the scale and 1 / scale there
        self._optimizers: dict[Optimizer, _Progress] = {}
        if self._enabled:
            self._factor(Device(device))

    @staticmethod
    def _check(**options: Any) -> None:
        """Refuse options out of range, by their names."""
        for name, value in options.items():
            wanted, fits = RULES[name]
            if number(value) is None or not fits(number(value)):
                raise OptionError(f"GradScaler: {name} must {wanted}, got {value!r}")

    # ---- one step -------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """Return `outputs`, a loss or a list or tuple of losses, multiplied by the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)([self.scale(x) for x in outputs])
        if not isinstance(outputs, Tensor):
            raise DTypeError(
                f"GradScaler.scale: a loss is a Tensor, not {type(outputs).__name__}; scale it "
                "before item() or float()"
            )
        return quiet(outputs.__mul__, self._factor(outputs.device)[0])

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place.

        `step` does it by itself; call it before to clip the gradients, once per step.

        Raises
        ------
        GraphError
            If it was called already since the last `update`, or nothing has a gradient.
        DTypeError
            If a gradient is float16: the parameters must be float32.
        """
        if not self._enabled:
            return
        progress = self._optimizers.get(optimizer) or _Progress()
        if progress.stage != READY:
            raise _twice("unscale_", progress.stage)
        grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not grads:
            raise GraphError(
                "GradScaler.unscale_: no parameter of the optimizer has a gradient; call "
                "scaler.scale(loss).backward() first"
            )
        if any(grad.dtype == np.float16 for grad in grads):
            raise DTypeError(
                "GradScaler.unscale_: a gradient is float16, so its parameter is; keep the model "
                "in float32 and run it inside autocast, which casts where half precision will do"
            )
        for grad in grads:
            place, array = grad.device, grad.array
            bad = _unscale(array, self._factor(place)[1].array)
            grad._version[0] += 1
            known = progress.found.get(place)
            progress.found[place] = bad if known is None else known | bad
        progress.stage = UNSCALED
        self._optimizers[optimizer] = progress

    def found_inf(self, optimizer: Optimizer) -> bool:
        """Return True if `unscale_` has met a gradient that is infinite or NaN.

        To look is to wait for the GPU.
        """
        progress = self._optimizers.get(optimizer)
        return progress is not None and progress.overflow()

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Take the optimizer's step, unless a gradient is infinite or NaN.

        Unscales the gradients first, if `unscale_` has not. Further arguments go to the optimizer.

        Returns
        -------
        object
            What the optimizer returned; None if the step was skipped.

        Raises
        ------
        GraphError
            If it was called already since the last `update`, nothing has a gradient, or there is a
            closure, which would make gradients that are still scaled.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs.get("closure") is not None:
            raise GraphError(
                "GradScaler.step: a closure computes gradients that nothing would unscale; call "
                "scaler.scale(loss).backward() first and step without closure"
            )
        progress = self._optimizers.get(optimizer)
        if progress is not None and progress.stage == STEPPED:
            raise _twice("step", STEPPED)
        if progress is None:
            self.unscale_(optimizer)
            progress = self._optimizers[optimizer]
        progress.stage = STEPPED
        return None if progress.overflow() else optimizer.step(**kwargs)

    def discard(self) -> None:
        """Forget what was unscaled since the last `update`, as the step was not finished."""
        self._optimizers.clear()

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale; call it once at the end of every step.

        Parameters
        ----------
        new_scale : float or Tensor, optional
            The next scale; default: halved after an overflow, doubled after enough good steps.

        Raises
        ------
        OptionError
            If `new_scale` is zero, negative, infinite or NaN.
        GraphError
            If no optimizer has been stepped or unscaled since the last call.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._check(new_scale=new_scale)
            self._set(float(new_scale))
        elif not self._optimizers:
            raise GraphError(
                "GradScaler.update: no gradient was looked at since the last update; call "
                "scaler.step(optimizer) first"
            )
        elif any(progress.overflow() for progress in self._optimizers.values()):
            self._set(max(self._scale * self._backoff_factor, LEAST))
            self._growth = 0
        else:
            self._growth += 1
            if self._growth == self._growth_interval:
                if self._scale * self._growth_factor <= MOST:
                    self._set(self._scale * self._growth_factor)
                self._growth = 0
        self._optimizers.clear()

    def _factor(self, device: Device) -> tuple[Tensor, Tensor]:
        """Return the scale and 1 / scale in the memory of `device`."""
        if device not in self._factors:
            values = (self._scale, 1.0 / self._scale)
            arrays = [to_device(np.array(v, np.float32), device) for v in values]
            self._factors[device] = wrap(arrays[0]), wrap(arrays[1])
        return self._factors[device]

    def _set(self, scale: float) -> None:
        """Change the scale, where it lies in memory too: a captured step goes on reading there."""
        self._scale = float(np.float32(scale))
        for factor, inverse in self._factors.values():
            factor.fill_(self._scale)
            inverse.fill_(1.0 / self._scale)

    # ---- its numbers ----------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Return whether the scaler does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """Return the scale; 1 if the scaler is off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Return the multiplier after enough good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the multiplier after enough good steps."""
        self._check(growth_factor=new_factor)
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return the multiplier after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the multiplier after an overflow."""
        self._check(backoff_factor=new_factor)
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return how many good steps the scale waits before it grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps the scale waits before it grows."""
        self._check(growth_interval=new_interval)
        self._growth_interval = int(new_interval)

    def state_dict(self) -> dict[str, Any]:
        """Return scale, options and the count of good steps, by PyTorch's names; {} if off."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, PyTorch's own included.

        Raises
        ------
        MinigradError
            If it comes from a scaler that was off, or entries are missing or out of range; nothing
            has changed then.
        """
        self.prepare_load(state_dict)()

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        if not self._enabled:
            return lambda: None
        entries = Entries("GradScaler", state_dict, self.state_dict())
        growth, backoff = entries.number("growth_factor"), entries.number("backoff_factor")
        scale, interval = entries.number("scale"), entries.count("growth_interval", 1)
        good = entries.count("_growth_tracker")
        self._check(new_scale=scale, growth_factor=growth, backoff_factor=backoff)

        def commit() -> None:
            self._growth_factor, self._backoff_factor = growth, backoff
            self._growth_interval, self._growth = interval, good
            self._set(scale)

        return commit


@quietly
def _unscale(array: Any, inverse: Any) -> Any:
    """Multiply in place; return, in the array's memory, whether an element is infinite or NaN."""
    xp = get_xp(array)
    xp.multiply(array, inverse.astype(array.dtype, copy=False), out=array)
    return ~xp.isfinite(array).all()


def _twice(asked: str, done: str) -> GraphError:
    return GraphError(
        f"GradScaler.{asked}: {done} was called for this optimizer already since the last "
        "update(); call update() once at the end of every step"
    )
