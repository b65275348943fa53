"""The base of every optimizer: parameter groups, state, and their saved form (PyTorch's layout)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from minigrad import modes
from minigrad.backend import get_xp, to_device
from minigrad.errors import DataError, DTypeError, GraphError, OptionError, ShapeError, unknown
from minigrad.kernels.reference.lists import extent, is_changeable, overlap
from minigrad.modes import enable_grad
from minigrad.tensor import Tensor

__all__ = ["Optimizer"]

Group = dict[str, Any]

_ANEW = "its state is stale: drop it with optimizer.state.pop(parameter), or make a new optimizer"


class Optimizer:
    """Updates parameters from their gradients; a subclass says how.

    It gives `update` for one parameter, or `update_all` for all parameters of a group at once.

    Parameters
    ----------
    params : iterable of Tensor, or of (name, Tensor), or of dict
        What to train. A dict is a parameter group: ``params`` and options that differ from the
        defaults; ``lr_scale`` multiplies the default learning rate.
    defaults : dict
        Options of every group that does not set its own.

    Attributes
    ----------
    param_groups : list of dict
        Each with ``params`` and every option; schedules write ``lr`` here.
    state : dict
        Parameter to its state: arrays and numbers by name.
    """

    # Entries of a parameter's state that are arrays of its shape and dtype, changed at every step.
    moments: ClassVar[tuple[str, ...]] = ()

    # Options that a captured step (a CUDA graph) holds on to; a change asks for a new capture.
    frozen: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise DTypeError(
                f"{self._name}: params must be a list of tensors, not one; write [param]"
            )
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._apart: list[Any] = []  # arrays of the last step, known to share no memory
        self.state: dict[Tensor, dict[str, Any]] = {}
        given = list(params)
        if not given:
            raise OptionError(
                f"{self._name}: there is nothing to train, the parameter list is empty; pass "
                "model.parameters(), as a list if it is used twice"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, group: Group) -> None:
        """Add a group of parameters with its own options.

        Raises
        ------
        OptionError
            If an option is unknown or out of range, or a parameter is in a group already.
        DTypeError
            If something is no floating-point leaf tensor.
        """
        if "params" not in group:
            raise OptionError(f"{self._name}: a parameter group is a dict with the key 'params'")
        known = {"params", "lr_scale", "name", "initial_lr", *self.defaults}
        for key in group:
            if key not in known:
                raise unknown(f"{self._name} option", key, known)
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        held = {id(p) for p in self._params()}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor) or not p.is_floating_point():
                what = p.dtype if isinstance(p, Tensor) else type(p).__name__
                raise DTypeError(
                    f"{self._name}: parameter {i} must be a floating tensor, not {what}"
                )
            if not p.is_leaf:
                raise GraphError(
                    f"{self._name}: parameter {i} was computed by {p.grad_fn.name}; only leaves "
                    "can be trained, pass the tensor that it was computed from"
                )
            if id(p) in held:
                raise OptionError(f"{self._name}: a parameter of shape {p.shape} occurs twice")
            held.add(id(p))
        full = {**self.defaults, **group, "params": params}
        if "lr" not in group:
            full["lr"] = self.defaults["lr"] * group.get("lr_scale", 1.0)
        self.check(full)
        self.param_groups.append(full)

    def check(self, group: Group) -> None:
        """Refuse options out of range; subclasses add theirs."""
        for name in ("lr", "weight_decay", "eps", "momentum"):
            if name in group and not group[name] >= 0.0:
                raise OptionError(f"{self._name}: {name} must be ≥ 0, got {group[name]}")
        for i, beta in enumerate(group.get("betas", ())):
            if not 0.0 <= beta < 1.0:
                raise OptionError(f"{self._name}: betas[{i}] must lie in [0, 1), got {beta}")

    # --- one step --------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop (or fill with zeros) the gradient of every parameter."""
        for p in self._params():
            if p.grad is not None:
                if set_to_none:
                    p.grad = None
                else:
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew (with `backward`) and returns it.

        Returns
        -------
        object
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = [
            (group, [p for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        self._check_step([p for _, params in work for p in params])
        for group, params in work:
            if params:
                arrays = [p.array for p in params]
                grads = [self._gradient(p) for p in params]
                states = [self.state.setdefault(p, {}) for p in params]
                self.update_all(arrays, grads, states, group)
            for p in params:
                p._version[0] += 1
        return loss

    def _check_step(self, params: list[Tensor]) -> None:
        """Refuse a step on arrays that do not go together, before the first of them is changed."""
        changed = []
        for p in params:
            array, grad = p.array, p.grad.array  # type: ignore[union-attr]
            if grad.shape != array.shape:
                raise ShapeError(
                    f"{self._name}: the gradient has shape {grad.shape} but {self._which(p)}; "
                    "compute it again after a parameter has changed its shape"
                )
            if not is_changeable(array):
                raise GraphError(
                    f"{self._name}: {self._which(p)} lies in memory that is read-only, or "
                    "several of its elements are one, as after expand; train a copy: "
                    "nn.Parameter(x.clone())"
                )
            changed.append(array)
            state = self.state.get(p)
            if state:
                changed += self._check_state(p, state)
        if [*map(id, changed)] != [*map(id, self._apart)]:  # as a rule they are those of last time
            shared = overlap([extent(a) for a in changed if isinstance(a, np.ndarray)])
            if shared is not None:
                raise GraphError(
                    f"{self._name}: two of the arrays that the step changes, parameters and their "
                    f"state, share memory (shapes {changed[shared[0]].shape} and "
                    f"{changed[shared[1]].shape}); give each a copy of its own"
                )
            self._apart = changed

    def _check_state(self, p: Tensor, state: dict[str, Any]) -> list[Any]:
        """Return the arrays of the state of `p`, after checking that they fit it."""
        arrays, param = [], p.array
        for name in self.moments:
            array = state.get(name)
            if array is None:
                continue
            if type(array) is not type(param):
                raise DTypeError(
                    f"{self._name}: {name} is of type {type(array).__name__} but "
                    f"{self._which(p)} holds {type(param).__name__}; {_ANEW}"
                )
            if array.shape != param.shape:
                raise ShapeError(
                    f"{self._name}: {name} has shape {array.shape} but {self._which(p)}; {_ANEW}"
                )
            if array.dtype != param.dtype:
                raise DTypeError(
                    f"{self._name}: {name} is {array.dtype} but {self._which(p)} is "
                    f"{param.dtype}; {_ANEW}"
                )
            if not is_changeable(array):
                raise GraphError(
                    f"{self._name}: {name} of {self._which(p)} is read-only, or several of its "
                    "elements are one; put a copy there: array.copy()"
                )
            arrays.append(array)
        return arrays

    def _which(self, p: Tensor) -> str:
        """Name a parameter in an error."""
        number = next(i for i, other in enumerate(self._params()) if other is p)
        return f"parameter {number} of shape {p.shape}"

    def _gradient(self, p: Tensor) -> Any:
        """Return the gradient's array, in C order if the parameter is, and apart from it."""
        param, grad = p.array, p.grad.array  # type: ignore[union-attr]
        xp = get_xp(param)
        if xp.may_share_memory(param, grad):
            return grad.copy()
        if param.flags.c_contiguous and not grad.flags.c_contiguous:
            return xp.ascontiguousarray(grad)
        return grad

    def _begin(self) -> None:
        """Refuse to make state inside a CUDA graph, where every launch would make it anew."""
        if modes.state.tape is not None:
            raise GraphError(
                f"{self._name}: a parameter has no state yet, and it must not begin inside a CUDA "
                "graph; take one ordinary step with gradients for all parameters first"
            )

    def update_all(
        self, params: list[Any], grads: list[Any], states: list[dict[str, Any]], group: Group
    ) -> None:
        """Change all arrays of a group that have a gradient; one by one, unless overridden."""
        for param, grad, state in zip(params, grads, states, strict=True):
            self.update(param, grad, state, group)

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        """Change the array `param` in place; `state` starts empty and lives on."""
        raise NotImplementedError

    # --- saved form ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return state and options in PyTorch's layout, parameters numbered in order.

        Arrays become tensors that share memory with the state.
        """
        order = {id(p): i for i, p in enumerate(self._params())}
        state = {
            order[id(p)]: {k: Tensor(v) if _is_array(v) else v for k, v in values.items()}
            for p, values in self.state.items()
        }
        groups = [
            {**group, "params": [order[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, PyTorch's own included.

        Raises
        ------
        DataError
            If the groups or the shapes differ from this optimizer's; nothing has changed then.
        """
        groups, saved = state_dict["param_groups"], state_dict["state"]
        sizes = [len(group["params"]) for group in groups]
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise DataError(
                f"{self._name}.load_state_dict: the saved groups hold {sizes} parameters, this "
                f"optimizer's {expected}; build it from the same model and groups first"
            )
        numbers = chain(*(group["params"] for group in groups))
        state: dict[Tensor, dict[str, Any]] = {}
        for number, p in zip(numbers, self._params(), strict=True):
            if number in saved:
                state[p] = {key: self._restore(key, v, p) for key, v in saved[number].items()}
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update({k: v for k, v in group.items() if k in own and k != "params"})
        self.state = state

    def _restore(self, key: str, value: Any, p: Tensor) -> Any:
        """Return one saved value as `update` keeps it: an array of p's kind, or a number."""
        if not hasattr(value, "shape") or value is None:
            return value
        array = value.array if isinstance(value, Tensor) else np.asarray(value)
        if array.ndim == 0 and key == "step":  # PyTorch counts in a tensor
            return int(array)
        if array.shape != p.shape:
            raise DataError(
                f"{self._name}.load_state_dict: {key} has shape {array.shape} but its parameter "
                f"{p.shape}; the state belongs to another model, or to another order of parameters"
            )
        return to_device(array.astype(p.dtype, order="C"), p.device)

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([f"{self._name}(", *lines, ")"])


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype")
