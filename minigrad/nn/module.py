"""Module: a tree of parameters, buffers and child modules with a `forward`.

A module keeps everything in its plain attributes: a `Parameter` value is a parameter, a `Module`
value is a child, and a tensor named to `register_buffer` is a buffer. There is no second registry
that could disagree with the attributes, and ``self.weight`` is an ordinary attribute lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from minigrad.autograd.hooks import HookHandle
from minigrad.dtypes import bfloat16, to_dtype
from minigrad.errors import DTypeError, MinigradError, OptionError, unknown
from minigrad.making import Remembers
from minigrad.nn.state import LoadReport, prepare
from minigrad.showing import branch
from minigrad.tensor import Tensor

__all__ = ["Module", "Parameter"]

M = TypeVar("M", bound="Module")
T = TypeVar("T", bound=Tensor)


class Parameter(Tensor):
    """A tensor that a `Module` trains: assigning it to an attribute is all it takes.

    Parameters
    ----------
    data : Tensor or array
        Initial values; the memory is shared, not copied.
    requires_grad : bool, default True
        Whether the gradient is computed.

    Examples
    --------
    >>> import minigrad as mg
    >>> class Scale(mg.nn.Module):
    ...     def __init__(self):
    ...         self.gain = mg.nn.Parameter(mg.ones(3))
    ...     def forward(self, x):
    ...         return x * self.gain
    >>> [name for name, _ in Scale().named_parameters()]
    ['gain']
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)  # with data's count of changes

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copy = super().__deepcopy__(memo)
        copy.grad = None  # as in PyTorch: a copied model has not been trained
        return copy

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Module(Remembers):
    """Base class of every layer and model.

    Subclasses assign parameters and children in ``__init__`` and write ``forward``.

    Examples
    --------
    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.body = nn.Linear(4, 8)
    ...         self.head = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.head(nn.functional.relu(self.body(x)))
    >>> net = Net()
    >>> net(mg.ones(3, 4)).shape
    (3, 2)
    >>> net
    Net(
      (body): Linear(in_features=4, out_features=8, bias=True)
      (head): Linear(in_features=8, out_features=2, bias=True)
    )
    """

    # Immutable defaults on the class, replaced on the instance at first use: a subclass that
    # forgets `super().__init__()` works all the same.
    training: bool = True
    _persistent: Mapping[str, bool] = MappingProxyType({})  # buffer name -> is it saved?
    _absent: frozenset[str] = frozenset()  # names of parameters that are None
    # Buffers that a state may lack; they keep their value then.
    _optional_state: tuple[str, ...] = ()
    _forward_pre_hooks: Sequence[Callable[..., Any]] = ()
    _forward_hooks: Sequence[Callable[..., Any]] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pre-hooks, `forward` and the hooks; an error learns which layer it came from."""
        try:
            for pre_hook in tuple(self._forward_pre_hooks):
                changed = pre_hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            output = self.forward(*args, **kwargs)
            for hook in tuple(self._forward_hooks):
                changed = hook(self, args, kwargs, output)
                if changed is not None:
                    output = changed
            return output
        except MinigradError as error:
            _name_layer(error, self)
            raise

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args)`` before `forward`; what it returns replaces the arguments.

        Parameters
        ----------
        hook : callable
            With `with_kwargs` it is called as ``hook(module, args, kwargs)`` and returns both.
        prepend : bool, default False
            Whether it comes before the hooks already there.
        with_kwargs : bool, default False
            Whether it sees the keyword arguments.
        """
        call = partial(_pre_hook, hook, with_kwargs)
        return self._add_hook("_forward_pre_hooks", call, prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args, output)`` after `forward`; what it returns replaces the output.

        Parameters
        ----------
        hook : callable
            With `with_kwargs` it is called as ``hook(module, args, kwargs, output)``.
        prepend : bool, default False
            Whether it comes before the hooks already there.
        with_kwargs : bool, default False
            Whether it sees the keyword arguments.

        Examples
        --------
        >>> import minigrad as mg
        >>> layer, seen = mg.nn.Linear(2, 3), []
        >>> def note(module, args, out):
        ...     seen.append(out.shape)
        >>> with layer.register_forward_hook(note):
        ...     _ = layer(mg.ones(1, 2))
        >>> seen
        [(1, 3)]
        """
        return self._add_hook("_forward_hooks", partial(_hook, hook, with_kwargs), prepend)

    def _add_hook(self, kind: str, hook: Callable[..., Any], prepend: bool) -> HookHandle:
        hooks = vars(self).setdefault(kind, [])
        hooks.insert(0 if prepend else len(hooks), hook)
        return HookHandle(hooks, hook)

    # --- attributes ------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kept = vars(self).get(name)
        if isinstance(kept, Parameter) or name in self._absent:
            if not (value is None or isinstance(value, Parameter)):
                raise self._cannot_become(
                    name, "a Parameter", value, "wrap the value in nn.Parameter"
                )
            vars(self)["_absent"] = (self._absent | {name}) - (
                {name} if value is not None else set()
            )
        elif isinstance(value, (Parameter, Module)):
            if not isinstance(kept, Module):
                vars(self).pop(name, None)  # new in its kind: it comes after those that are there
            self._forget_buffer(name)
        elif isinstance(kept, Module) and value is not None:
            raise self._cannot_become(name, "a child module", value, "wrap the value in a Module")
        elif name in self._persistent and not (value is None or isinstance(value, Tensor)):
            raise self._cannot_become(name, "a buffer", value, "assign a Tensor")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget_buffer(name)
        if name in self._absent:
            vars(self)["_absent"] = self._absent - {name}

    def _forget_buffer(self, name: str) -> None:
        if name in self._persistent:
            vars(self)["_persistent"] = {k: v for k, v in self._persistent.items() if k != name}

    def _cannot_become(self, name: str, kind: str, value: Any, mend: str) -> DTypeError:
        return DTypeError(
            f"{type(self).__name__}.{name} is {kind} and cannot become a {type(value).__name__}; "
            f"{mend}, or delete it first"
        )

    def _register(self, name: str, value: Any, kind: type) -> None:
        """Check the name and the value, and assign it."""
        if not isinstance(name, str) or not name or "." in name:
            raise OptionError(f"a name must be non-empty and without dots, got {name!r}")
        kept = vars(self).get(name)
        taken = kept is not None if name in vars(self) else hasattr(type(self), name)
        if taken and not (name in self._persistent if kind is Tensor else isinstance(kept, kind)):
            raise OptionError(
                f"{type(self).__name__} already has an attribute {name!r}; choose another name"
            )
        if not (value is None or isinstance(value, kind)):
            raise DTypeError(
                f"{type(self).__name__}.{name}: a {kind.__name__} is wanted, not "
                f"{value.__name__ if isinstance(value, type) else type(value).__name__}"
            )
        setattr(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter by name; None keeps the name for one."""
        self._register(name, param, Parameter)
        if param is None:
            vars(self)["_absent"] = self._absent | {name}

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves with the module but is not trained.

        Parameters
        ----------
        name : str
            The attribute's name.
        tensor : Tensor or None
            The value; None keeps the name and saves nothing.
        persistent : bool, default True
            Whether `state_dict` holds it.
        """
        self._register(name, tensor, Tensor)
        vars(self)["_persistent"] = {**self._persistent, name: persistent}

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a child by name."""
        self._register(name, module, Module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Assign a child by name: `add_module`."""
        self.add_module(name, module)

    # --- walking the tree ------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct children in the order of their assignment, each of them once."""
        seen: set[int] = set()
        for name, module in _own_modules(self):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True, _seen: set[int] | None = None
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it, parents first, with their dotted paths."""
        seen: set[int] = set() if _seen is None else _seen
        if remove_duplicate:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, child in _own_modules(self):
            yield from child.named_modules(_join(prefix, name), remove_duplicate, seen)

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path such as ``"stages.1.0.dwconv"``."""
        module: Any = self
        for name in filter(None, target.split(".")):
            child = vars(module).get(name)
            if not isinstance(child, Module):
                choices = [path for path, _ in self.named_modules() if path]
                raise unknown(f"module of {type(self).__name__}", target, choices)
            module = child
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path."""
        return self._get("parameter", target, dict(self.named_parameters(remove_duplicate=False)))

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path."""
        return self._get("buffer", target, dict(self.named_buffers(remove_duplicate=False)))

    def _get(self, kind: str, target: str, known: Mapping[str, T]) -> T:
        if target not in known:
            raise unknown(f"{kind} of {type(self).__name__}", target, known)
        return known[target]

    def _named(
        self,
        pick: Callable[[Module], Iterator[tuple[str, T]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, T]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, tensor in pick(module):
                if not remove_duplicate or id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield _join(path, name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter once with its dotted name; a module's own before its children's."""
        return self._named(_own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield every buffer once with its dotted name."""
        return self._named(_own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def count_params(self) -> int:
        """Return how many numbers the parameters and the statistics (of batch norms) hold.

        Examples
        --------
        >>> from minigrad import nn
        >>> nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)).count_params()
        112
        """
        statistics = (
            buffer
            for module in self.modules()
            for name, buffer in _own_buffers(module)
            if module._persistent[name] and buffer.is_floating_point()
        )
        return sum(t.numel() for t in [*self.parameters(), *statistics])

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call ``fn`` on every module, children before parents, and return self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- state -----------------------------------------------------------------------------------

    def state_dict(
        self,
        *,
        destination: dict[str, Tensor] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Tensor]:
        """Return every parameter and persistent buffer under its dotted name.

        The tensors share memory with the module (detached unless ``keep_vars``); copy what must
        not change with it.

        Parameters
        ----------
        destination : dict, optional
            Where to write; default: a new dict.
        prefix : str, default ""
            Put before every name as it is, dot included: ``"model."``.
        keep_vars : bool, default False
            Return the parameters themselves.
        """
        state = {} if destination is None else destination
        for path, module in self.named_modules(remove_duplicate=False):
            own: list[tuple[str, Tensor]] = [*_own_parameters(module)]
            own += [(name, t) for name, t in _own_buffers(module) if module._persistent[name]]
            state.update({prefix + _join(path, n): t if keep_vars else t.detach() for n, t in own})
        return state

    def load_state_dict(
        self,
        state_dict: Mapping[str, Any],
        strict: bool = True,
        *,
        ignore_mismatched_sizes: bool = False,
    ) -> LoadReport:
        """Copy values into the parameters and buffers of the same names.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            Values by dotted name; they are converted to each parameter's dtype and device.
        strict : bool, default True
            Whether every name must match. Otherwise the values whose names match are loaded.
        ignore_mismatched_sizes : bool, default False
            Leave out values of another shape, such as the head of another data set, too.

        Returns
        -------
        LoadReport
            What was loaded, missing, unexpected and mismatched; it unpacks to
            ``missing_keys, unexpected_keys``.

        Raises
        ------
        StateError
            If something does not fit, or if nothing fits at all. Nothing has changed then.

        Examples
        --------
        >>> import minigrad as mg
        >>> layer = mg.nn.Linear(2, 3)
        >>> layer.load_state_dict({"weight": mg.zeros(3, 2)}, strict=False)
        LoadReport: 1 loaded, 1 missing, 0 unexpected, 0 mismatched
          missing: bias
        >>> layer.load_state_dict({"wieght": mg.zeros(3, 2), "bias": mg.zeros(3)})
        Traceback (most recent call last):
            ...
        minigrad.errors.StateError: Linear.load_state_dict: the values do not fit; nothing changed
          missing: weight
          unexpected: wieght (did you mean weight?)
        """
        report, copy = self._prepare(state_dict, strict, ignore_mismatched_sizes)
        copy()
        return report

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        return self._prepare(state_dict, True, False)[1]

    def _prepare(
        self, values: Any, strict: bool, ignore_mismatched_sizes: bool
    ) -> tuple[LoadReport, Callable[[], None]]:
        own = self.state_dict(keep_vars=True)
        for path, module in self.named_modules(remove_duplicate=False):
            for name in module._optional_state:
                if isinstance(values, Mapping) and _join(path, name) not in values:
                    own.pop(_join(path, name), None)
        return prepare(type(self).__name__, own, values, strict, ignore_mismatched_sizes)

    # --- conversions and modes -------------------------------------------------------------------

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move to a device, convert floating-point tensors to a dtype, or both.

        Takes what `Tensor.to` takes: ``to("cuda")``, ``to(mg.float64)``, ``to("cpu", mg.float16)``,
        ``to(device=..., dtype=...)``. Integer buffers keep their dtype; gradients follow.
        """

        def convert(tensor: Tensor) -> Tensor:
            moved = tensor.to(*args, **kwargs)
            if not tensor.is_floating_point():
                return moved.to(tensor.dtype)
            if not moved.is_floating_point():
                raise DTypeError(
                    f"to: a module's parameters are floats, they cannot become {moved.dtype}; "
                    "convert its outputs instead"
                )
            return moved

        ready = [
            (tensor, convert(tensor.data), None if tensor.grad is None else convert(tensor.grad))
            for tensor in [*self.parameters(), *self.buffers()]
        ]
        # Through `.data`, so that optimizers keep holding the same Parameter objects.
        for tensor, value, grad in ready:
            tensor.grad, tensor.data = None, value
            tensor.grad = grad
        return self

    def cpu(self: M) -> M:
        return self.to("cpu")

    def cuda(self: M, device: int = 0) -> M:
        return self.to(f"cuda:{device}")

    def float(self: M) -> M:
        return self.to(np.dtype(np.float32))

    def double(self: M) -> M:
        return self.to(np.dtype(np.float64))

    def half(self: M) -> M:
        return self.to(np.dtype(np.float16))

    def bfloat16(self: M) -> M:
        return self.to(bfloat16())

    def type(self: M, dst_type: Any) -> M:
        return self.to(to_dtype(dst_type))

    def train(self: M, mode: bool = True) -> M:
        """Switch dropout, drop path and batch statistics on (or off) in the whole tree."""
        if not isinstance(mode, bool):
            raise OptionError(f"train: mode must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation: `train` with False."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop (or fill with zeros) every gradient."""
        for param in self.parameters():
            if param.grad is not None:
                if set_to_none:
                    param.grad = None
                else:
                    param.grad.zero_()

    # --- printing --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what goes between the parentheses of the repr; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.splitlines() if extra else []
        children = [f"({name}): {_indent(repr(c))}" for name, c in _own_modules(self)]
        if len(lines) <= 1 and not children:
            return f"{type(self).__name__}({extra})"
        return "\n  ".join([f"{type(self).__name__}(", *lines, *children]) + "\n)"

    def _repr_html_(self) -> str:
        """Return the tree of layers that notebooks show, its branches folded."""
        return self._tree("", is_open=True)

    def _tree(self, name: str, is_open: bool = False) -> str:
        extra = " ".join(self.extra_repr().split())
        title = type(self).__name__ + (f"({extra})" if extra else "")
        count = sum(p.numel() for p in self.parameters())
        children = [child._tree(key) for key, child in _own_modules(self)]
        note = f"{count:,} parameters" if count else ""
        return branch(f"{name}: {title}" if name else title, note, children, is_open)


def _pre_hook(hook: Any, with_kwargs: bool, module: Module, args: Any, kwargs: Any) -> Any:
    """Call a pre-hook; return the changed arguments of both kinds, or None."""
    result = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if result is None:
        return None
    if not with_kwargs:
        return (result if isinstance(result, tuple) else (result,)), kwargs
    if not (isinstance(result, tuple) and len(result) == 2):
        raise OptionError(
            "a forward pre-hook with kwargs returns None or a pair, the arguments and the keyword "
            f"arguments, not {type(result).__name__}"
        )
    return result


def _hook(hook: Any, with_kwargs: bool, module: Module, args: Any, kwargs: Any, out: Any) -> Any:
    return hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)


def _own_modules(module: Module) -> Iterator[tuple[str, Module]]:
    return ((name, v) for name, v in vars(module).items() if isinstance(v, Module))


def _own_parameters(module: Module) -> Iterator[tuple[str, Parameter]]:
    return ((name, v) for name, v in vars(module).items() if isinstance(v, Parameter))


def _own_buffers(module: Module) -> Iterator[tuple[str, Tensor]]:
    values = ((name, vars(module).get(name)) for name in module._persistent)
    return ((name, value) for name, value in values if value is not None)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _name_layer(error: MinigradError, module: Module) -> None:
    """Prefix the message with the path of the layer that raised: ``stages.1.0.dwconv (Conv2d…)``.

    Every `__call__` on the way out adds its part of the path, so nothing is spent on success.
    """
    where = getattr(error, "layer", None)  # (path below `inner`, inner, description, message)
    if where is None:
        name, extra = type(module).__name__, module.extra_repr()
        description = f"{name}({extra})" if extra else name
        path, message = "", str(error)
    else:
        path, inner, description, message = where
        step = next((name for name, m in module.named_modules() if m is inner), "")
        path = _join(step, path)
    error.layer = (path, module, description, message)  # type: ignore[attr-defined]
    prefix = f"{path} ({description})" if path else description
    error.args = (f"{prefix}: {message}", *error.args[1:])
