"""The base of every optimizer: parameter groups, state, and their saved form (PyTorch's layout)."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from minigrad import dtypes, modes
from minigrad.backend import get_xp
from minigrad.errors import (
    DTypeError,
    GraphError,
    OptionError,
    ShapeError,
    StateError,
    brief,
    nearest,
    unknown,
)
from minigrad.files import resident
from minigrad.kernels.arrays.lists import extent, is_changeable, overlap
from minigrad.loading import Entries, array_for, integer, number, number_array
from minigrad.modes import enable_grad
from minigrad.tensor import Tensor, wrap

__all__ = ["Optimizer"]

Group = dict[str, Any]

_ANEW = "its state is stale: drop it with optimizer.state.pop(parameter), or make a new optimizer"
# What else a group may hold; the names help to find typos.
NOTES = ("name", "param_names", "initial_lr", "lr_scale", "lr_scaled")
AT_LEAST_0 = ("lr", "weight_decay", "eps", "momentum", "momentum_decay")
# What PyTorch's groups say about how it computes, not what; and what no optimizer here can do.
HOW = ("capturable", "differentiable", "foreach", "fused", "decoupled_weight_decay")
NEVER = ("amsgrad", "maximize")


class Optimizer:
    """Updates parameters from their gradients; a subclass says how.

    It gives `update` for one parameter, or `update_all` for all parameters of a group at once:
    both work on arrays. Or it overrides `step`, as in PyTorch, and works on tensors.

    Parameters
    ----------
    params : iterable of Tensor, or of (name, Tensor), or of dict
        What to train. A dict is a parameter group: ``params``, options that differ from the
        defaults, and notes of your own. Its ``lr`` may be a function of the default one.
    defaults : dict
        Options of every group that does not set its own.

    Attributes
    ----------
    param_groups : list of dict
        Each with ``params`` and every option; schedules write ``lr`` here.
    state : defaultdict
        Parameter to its state, a dict of arrays (tensors, if you override `step`) and numbers.

    Examples
    --------
    >>> import minigrad as mg
    >>> class SignSGD(mg.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...     def update(self, param, grad, state, group):
    ...         param -= group["lr"] * np.sign(grad)
    >>> import numpy as np
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = SignSGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5, 1.5], requires_grad=True)
    """

    # Entries of a parameter's state that are arrays of its shape and dtype, changed at every step,
    # and whether there is a count besides, "step". A subclass that names none keeps what it likes.
    moments: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()  # those of them that only some options need
    counted: ClassVar[bool] = False
    scalars: ClassVar[tuple[str, ...]] = ()  # entries that are numbers

    # Options that a captured step (a CUDA graph) holds on to; a change asks for a new capture.
    frozen: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise DTypeError(
                f"{self._name}: params must be a list of tensors, not one; write [param]"
            )
        if isinstance(defaults.get("betas"), list):
            defaults = defaults | {"betas": tuple(defaults["betas"])}
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._apart: list[Any] = []  # arrays of the last step, known to share no memory
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        given = self._listed(params)
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

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_apart": []}  # for copy and pickle: the arrays will be others

    def _listed(self, params: Any) -> list[Any]:
        """Return the given parameters in a list."""
        if isinstance(params, Tensor):
            return [params]
        if not isinstance(params, Iterable) or getattr(params, "shape", None) == ():
            raise DTypeError(
                f"{self._name}: parameters come as a list or from model.parameters(), not as a "
                f"{type(params).__name__}"
            )
        return list(params)

    def add_param_group(self, group: Group) -> None:
        """Add a group of parameters with its own options.

        Raises
        ------
        OptionError
            If an option is out of range or its name nearly right, or a parameter is in a group
            already.
        DTypeError
            If something is not a floating-point leaf tensor.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise OptionError(f"{self._name}: a parameter group is a dict with the key 'params'")
        known = ["params", *NOTES, *self.defaults]
        for key in group:
            if key not in known and nearest(str(key), known, cutoff=0.85):
                raise unknown(f"{self._name} option", key, known)
        if isinstance(group["params"], (set, frozenset)):
            raise DTypeError(
                f"{self._name}: parameters are numbered in their order, and a set has another one "
                "in every run; pass a list"
            )
        given = self._listed(group["params"])
        params = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in given]
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
        names = [p[0] for p in given if isinstance(p, tuple)]
        if names:
            full["param_names"] = names
        mixed = self.param_groups and ("param_names" in full) != (
            "param_names" in self.param_groups[0]
        )
        if mixed or (names and len(names) != len(params)):
            raise OptionError(
                f"{self._name}: some parameters come with a name and some without; pass all of "
                "them as model.named_parameters(), or all as model.parameters()"
            )
        if callable(group.get("lr")):
            full["lr"] = group["lr"](self.defaults["lr"])
        self.check(full)
        self.param_groups.append(full)

    def check(self, group: Group) -> None:
        """Refuse options of another kind than the default, or out of range; subclasses add more."""
        declared = inspect.signature(type(self)).parameters
        for name, default in self.defaults.items():
            value = group[name]
            if name in declared and declared[name].default is not inspect.Parameter.empty:
                default = declared[name].default  # of the kind that is meant, whatever was passed
            if name in AT_LEAST_0:
                kind, fits = "≥ 0", (number(value) or 0.0) >= 0.0 and number(value) is not None
            elif name == "betas":
                kind, fits = "a tuple of numbers", isinstance(value, (tuple, list))
            elif isinstance(default, bool):
                kind, fits = "True or False", isinstance(value, (int, np.bool_))
            elif isinstance(default, int):
                kind, fits = "a whole number", integer(value) is not None
            else:
                kind, fits = "a number", number(default) is None or number(value) is not None
            if not fits:
                raise OptionError(f"{self._name}: {name} must be {kind}, got {brief(value)}")
        betas = group["betas"] if "betas" in self.defaults else (0.0, 0.0)
        if len(betas) != 2:
            raise OptionError(f"{self._name}: betas are two numbers, got {betas!r}")
        for i, beta in enumerate(betas):
            if number(beta) is None or not 0.0 <= beta < 1.0:
                raise OptionError(f"{self._name}: betas[{i}] must lie in [0, 1), got {beta!r}")

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
            Computes the loss again (with `backward`) and returns it.

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
            (group, [p for p in group["params"] if p._grad is not None])
            for group in self.param_groups
        ]
        self._check_step([p for _, params in work for p in params])
        for group, params in work:
            if params:
                arrays = [p.array for p in params]
                grads = [self._gradient(p) for p in params]
                states = [self.state[p] for p in params]
                self.update_all(arrays, grads, states, group)
            for p in params:
                p._version[0] += 1
        return loss

    def _check_step(self, params: list[Tensor]) -> None:
        """Refuse a step on arrays that do not go together, before the first of them is changed."""
        changed = []
        for p in params:
            array, grad = p.array, p._grad.array  # type: ignore[union-attr]
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
        if [*map(id, changed)] != [*map(id, self._apart)]:  # they seldom change between steps
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
        param, grad = p.array, p._grad.array  # type: ignore[union-attr]
        xp = get_xp(param)
        if xp.may_share_memory(param, grad):
            return grad.copy()
        if param.flags.c_contiguous and not grad.flags.c_contiguous:
            return xp.ascontiguousarray(grad)
        return grad

    def _begin(self, param: Any, state: dict[str, Any], *names: str) -> None:
        """Give a parameter its first state: no steps yet, and arrays of zeros.

        Not inside a CUDA graph, where every launch would make it anew.
        """
        if modes.state.capture is not None:
            raise GraphError(
                f"{self._name}: a parameter has no state yet, and it must not begin inside a CUDA "
                "graph; take one ordinary step with gradients for all parameters first"
            )
        if self.counted:
            state["step"] = 0
        for name in names:
            state[name] = get_xp(param).zeros(param.shape, param.dtype)

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
            order[id(key)] if isinstance(key, Tensor) else key: {
                k: Tensor(v) if hasattr(v, "dtype") else v for k, v in values.items()
            }
            for key, values in self.state.items()
            if not isinstance(key, Tensor) or id(key) in order
        }
        groups = [
            {**group, "params": [order[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, PyTorch's own included.

        Raises
        ------
        MinigradError
            If the groups, their options or the state do not fit this optimizer; nothing has
            changed then.
        """
        self.prepare_load(state_dict)()

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        entries = Entries(self._name, state_dict, ("state", "param_groups"))
        numbers, groups = self._prepare_groups(entries)
        params = dict(zip(numbers, self._params(), strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, values in Entries(self._name, entries["state"]).items():
            if key in params:
                state[params[key]] = self._restore(values, params[key])
            elif not self.moments and not isinstance(key, int):
                state[key] = dict(Entries(self._name, values).items())
            else:
                raise StateError(
                    f"{self._name}.load_state_dict: there is state for a parameter {key!r}, but "
                    "the saved groups hold none of this number"
                )

        def commit() -> None:
            for own, group in zip(self.param_groups, groups, strict=True):
                own.update(group)
            self.state = state

        return commit

    def _prepare_groups(self, entries: Entries) -> tuple[list[int], list[Group]]:
        """Return the numbers of the parameters, and for each group what it loads."""
        saved = entries["param_groups"]
        if not isinstance(saved, (list, tuple)):
            raise entries.refuse("param_groups", "a list of groups")
        each = [
            Entries(f"{self._name} group {i}", group, ["params"]) for i, group in enumerate(saved)
        ]
        if not all(isinstance(group["params"], (list, tuple)) for group in each):
            raise entries.refuse("param_groups", "groups whose params are lists of numbers")
        sizes = [len(group["params"]) for group in each]
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise StateError(
                f"{self._name}.load_state_dict: the saved groups hold {sizes} parameters, this "
                f"optimizer's {expected}; build it from the same model and groups first"
            )
        numbers = [integer(n) for n in chain(*(group["params"] for group in each))]
        if None in numbers or len(set(numbers)) < len(numbers):
            raise entries.refuse("param_groups", "groups whose params are different numbers")
        groups = []
        for own, group in zip(self.param_groups, each, strict=True):
            for name in NEVER:
                if name not in self.defaults and dict(group.items()).get(name):
                    raise StateError(
                        f"{self._name}.load_state_dict: the saved optimizer had {name}=True, which "
                        f"minigrad's {self._name} does not do; train on with another"
                    )
            left_out = ("params", *(k for k in (*HOW, *NEVER) if k not in self.defaults))
            taken = {k: v for k, v in group.items() if k not in left_out}
            missing = [name for name in self.defaults if name not in taken]
            if missing:
                raise StateError(
                    f"{self._name}.load_state_dict: a saved group has no {', '.join(missing)}; it "
                    "is of another kind of optimizer"
                )
            for name, default in self.defaults.items():  # as a file may hold them
                value = taken[name]
                if isinstance(default, tuple) and isinstance(value, list):
                    taken[name] = tuple(value)
                elif not isinstance(value, Tensor) and hasattr(value, "item"):
                    taken[name] = number(value)
            if "initial_lr" in taken and number(taken["initial_lr"]) is None:
                raise group.refuse("initial_lr", "a number")
            self.check({**own, **taken})
            groups.append(taken)
        return numbers, groups  # type: ignore[return-value]

    def _restore(self, saved: Any, p: Tensor) -> dict[str, Any]:
        """Return the saved state of a parameter as it is kept."""
        values = dict(Entries(self._name, saved).items())
        if not self.moments:
            return {key: self._keep(str(key), value, p) for key, value in values.items()}
        values = {key: value for key, value in values.items() if value is not None}
        if not values:  # PyTorch writes None for a momentum that has not begun
            return {}
        slots = (*(["step"] if self.counted else []), *self.scalars, *self.moments)
        entries = Entries(self._name, values, [s for s in slots if s not in self.optional])
        for key in values:
            if key not in slots:
                raise StateError(
                    f"{self._name}.load_state_dict: {key!r} is not part of this optimizer's state "
                    f"({', '.join(slots)}); it is of another kind of optimizer"
                )
        kept: dict[str, Any] = {}
        for key in slots:
            if key in self.scalars:
                kept[key] = entries.number(key)
            elif key in values:
                kept[key] = entries.count(key) if key == "step" else self._keep(key, values[key], p)
        return kept

    def _keep(self, name: str, value: Any, p: Tensor) -> Any:
        """Return one saved value, arrays copied to where the parameter is."""
        if not self.moments and isinstance(value, Mapping):
            return {key: self._keep(str(key), v, p) for key, v in value.items()}
        if not self.moments and type(value) in (list, tuple):
            return type(value)(self._keep(name, v, p) for v in value)
        if not self.moments and not hasattr(value, "dtype"):
            return value
        array = number_array(self._name, name, value)
        if self.moments and array.shape != p.shape:
            raise StateError(
                f"{self._name}.load_state_dict: {name} has shape {array.shape} but its parameter "
                f"{p.shape}; the state belongs to another model, or to another order of parameters"
            )
        counts = not self.moments and (name == "step" or not dtypes.is_floating(array.dtype))
        dtype = array.dtype if counts else p.dtype
        with resident(array):
            kept = array_for(self._name, name, array, dtype, p.device).copy(order="C")
        return kept if self._works_on_arrays() else wrap(kept)

    def _works_on_arrays(self) -> bool:
        """Return whether the subclass gives `update` or `update_all`, not a `step` of its own."""
        kind = type(self)
        return kind.update is not Optimizer.update or kind.update_all is not Optimizer.update_all

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([f"{self._name}(", *lines, ")"])
