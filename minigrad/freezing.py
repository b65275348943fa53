"""`freeze`: a model for inference alone, its Python run once and its weights laid out once.

A model in Python decides the same for every batch: which layer comes next, whether shapes fit,
which kernel serves. `freeze` runs it once, notes the operations, and from then on runs those:

    model(x)     modules -> operations, their checks -> Functions -> kernels
    frozen(x)                                           Functions -> kernels

What depends on weights alone is computed once, and so is the order in which a kernel likes a
weight best. Small batches gain most: there both take as long as a good part of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function
from minigrad.autograd.tracing import From, Trace, trace
from minigrad.autograd.versions import versions_of
from minigrad.backend import get_xp, kernels_in_use
from minigrad.errors import GraphError, OptionError
from minigrad.kernels.constants import Constants
from minigrad.modes import current, no_grad
from minigrad.nn import Module
from minigrad.tensor import Tensor, is_recording, wrap

__all__ = ["Frozen", "freeze"]

MOST_PROGRAMS = 16  # kept of one model; beyond, all are written anew
TOLERANCE = {2: 0.05, 4: 1e-3, 8: 1e-8}  # by bytes of an element, of the largest value


class _Step(NamedTuple):
    """A call: the places of its arguments, of its result, and of what nobody needs after it."""

    run: Callable[..., Any]
    sources: tuple[int, ...]
    target: int
    last: tuple[int, ...]


class _Program(NamedTuple):
    """Calls one after the other, over numbered places."""

    steps: list[_Step]
    values: list[Any]  # what is known beforehand: constants; the inputs come first
    result: Any  # of the model, with `From` a place where it has a tensor

    def run(self, arrays: Sequence[Any]) -> Any:
        values = self.values.copy()
        values[: len(arrays)] = arrays
        for run, sources, target, last in self.steps:
            values[target] = run(*[values[i] for i in sources])
            for i in last:
                values[i] = None
        return _mapped(self.result, From, lambda place: wrap(values[place.step]))


class Frozen:
    """A model as `freeze` returns it.

    Attributes
    ----------
    model : Module

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.freeze(mg.nn.Linear(3, 2).eval())(mg.ones(4, 3)).shape
    (4, 2)
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self._parts = [
            (vars(module), name, part)
            for module in model.modules()
            for name, part in vars(module).items()
            if isinstance(part, (Tensor, Module))
        ]
        self._versions = versions_of(part for *_, part in self._parts)
        self._programs: dict[Any, _Program] = {}
        self._constants = Constants()

    def __call__(self, *inputs: Tensor) -> Any:
        """Return what the model returns for `inputs`.

        Raises
        ------
        GraphError
            If a weight or a layer has changed since, an input requires a gradient, or the model
            does for these inputs what no list of operations can say.
        """
        self._check(inputs)
        arrays = [tensor.array for tensor in inputs]
        kinds = [(array.shape, array.dtype, array.strides, type(array)) for array in arrays]
        casting = current().autocast
        key = (*kinds, kernels_in_use(), casting and frozenset(casting.dtypes.items()))
        program = self._programs.get(key)
        if program is None and len(self._programs) == MOST_PROGRAMS:
            self._programs, self._constants = {}, Constants()
        with self._constants.used():
            if program is None:
                program = self._programs[key] = self._program(inputs)
            return program.run(arrays)

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        for tensor in inputs:
            if not isinstance(tensor, Tensor):
                raise OptionError(
                    f"freeze: inputs are tensors, not {type(tensor).__name__}; wrap it in tensor()"
                )
        if is_recording(*inputs):
            raise GraphError(
                "freeze: an input requires a gradient, and a frozen model makes none; call the "
                "model itself, or this one in no_grad()"
            )
        if any(cell[0] != version for cell, version in self._versions) or any(
            names.get(name) is not part for names, name, part in self._parts
        ):
            raise GraphError(
                "freeze: a weight or a layer of the model has changed since it was frozen; freeze "
                "it again"
            )

    def _program(self, inputs: tuple[Tensor, ...]) -> _Program:
        # A trace knows arrays apart as objects: one may be given twice, or be a weight.
        inputs = tuple([wrap(tensor.array.view()) for tensor in inputs])
        result, found = trace(lambda _: no_grad().run(self.model, *inputs), inputs)
        program = _written(result, found, inputs, self._constants)
        for move in (_back_to_front, _moved_on):
            others = tuple([wrap(move(tensor.array)) for tensor in inputs])
            _compare(program.run([t.array for t in others]), no_grad().run(self.model, *others))
        return program

    def __reduce__(self) -> tuple[type[Frozen], tuple[Module]]:
        return Frozen, (self.model,)

    def __repr__(self) -> str:
        return f"Frozen({type(self.model).__name__}, {len(self._programs)} kinds of input)"


def freeze(model: Module) -> Frozen:
    """Return a model for inference alone: the same results, sooner.

    For every kind of input (shape, element type, layout) the model runs once, its operations are
    noted, and later calls run those alone: hooks are not called again, and no gradient is recorded.
    What operations with a gradient do not say (an ``if`` by values, chance, ``argmax``) would stay
    as it was the first time; so the first call tries other values, too, and refuses such a model.

    The weights stay the model's own; some lie a second time in the order that kernels like, so a
    frozen model takes up to twice the memory. A change of them by an operation, an optimizer or
    `load_state_dict`, or another layer in the place of one, is noticed, and refused. One past the
    tensors, in the array of ``numpy()``, is not.

    Parameters
    ----------
    model : Module
        In evaluation mode.

    Returns
    -------
    Frozen
        To be called as the model is, with tensors.

    Raises
    ------
    GraphError
        If the model, or a module in it, is in training mode.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.models.create_model("convnextv2_atto", num_classes=5).eval()
    >>> frozen, x = mg.freeze(model), mg.randn(1, 3, 32, 32)
    >>> mg.allclose(frozen(x), model(x), atol=1e-5)
    True
    """
    if not isinstance(model, Module):
        raise OptionError(f"freeze: model is a Module, not {type(model).__name__}")
    for name, module in model.named_modules():
        if module.training:
            raise GraphError(
                f"freeze: {name or 'the model'} is in training mode, where results depend on "
                "chance and on the batch; call model.eval() first"
            )
    return Frozen(model)


# ---- from a trace to a program ------------------------------------------------------------------


def _written(
    result: Any, found: Trace, inputs: tuple[Tensor, ...], constants: Constants
) -> _Program:
    """Turn a trace into a program; what depends on constants alone is computed now."""
    values: list[Any] = [None for _ in inputs]
    known = [False for _ in inputs]
    places = {From(~number): number for number in range(len(inputs))}
    calls: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []

    def keep(value: Any, constant: bool) -> int:
        values.append(value)
        known.append(constant)
        if constant:
            constants.add(value)
        return len(values) - 1

    def place(source: Any) -> int:
        if isinstance(source, From):
            return places[source]
        return keep(source.array if isinstance(source, Tensor) else source, True)

    def call(run: Callable[..., Any], sources: tuple[int, ...]) -> int:
        calls.append((run, sources, len(values)))
        return keep(None, False)

    def output(tensor: Tensor) -> From:
        i = place(found.source(tensor))
        return From(call(methodcaller("copy"), (i,)) if known[i] else i)  # it may be changed there

    for number, step in enumerate(found.steps):
        run, sources = _forward(step.node), tuple([place(source) for source in step.inputs])
        if all(known[i] for i in sources):
            places[From(number)] = keep(run(*[values[i] for i in sources]), True)
        else:
            places[From(number)] = call(run, sources)
    outputs = _mapped(result, Tensor, output)
    return _Program(_with_ends(calls, known, outputs), values, outputs)


def _with_ends(calls: list[Any], known: list[bool], outputs: Any) -> list[_Step]:
    """Add to every call which values nobody needs after it."""
    uses = {i: number for number, (_, at, to) in enumerate(calls) for i in (*at, to)}
    stay = {source.step for source in _all(outputs, From)}
    ends: list[list[int]] = [[] for _ in calls]
    for i, number in uses.items():
        if not known[i] and i not in stay:
            ends[number].append(i)
    whole = zip(calls, ends, strict=True)
    return [_Step(run, at, to, tuple(end)) for (run, at, to), end in whole]


def _forward(node: Function) -> Callable[..., Any]:
    """Return the `forward` of an operation, on an object of its own each time.

    `forward` keeps on its object what `backward` needs, which here nobody does.
    """
    kind, options = type(node), vars(node)

    def run(*arrays: Any) -> Any:
        nonlocal options
        again = kind.__new__(kind)
        vars(again).update(options)
        result = again.forward(*arrays)
        if options is vars(node):  # the first time: what `forward` made anew is no option
            options = {name: v for name, v in options.items() if vars(again)[name] is v}
        return np.asarray(result) if isinstance(result, np.generic) else result

    return run


# ---- what a model returns -----------------------------------------------------------------------


def _mapped(result: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Return tuples, lists and dicts as they are, with what is of a kind in them replaced."""
    if isinstance(result, kind):
        return function(result)
    if isinstance(result, dict):
        return type(result)({k: _mapped(v, kind, function) for k, v in result.items()})
    if isinstance(result, (tuple, list)):
        values = [_mapped(value, kind, function) for value in result]
        return result._make(values) if hasattr(result, "_make") else type(result)(values)
    return result


def _all(result: Any, kind: type) -> Iterator[Any]:
    found: list[Any] = []
    _mapped(result, kind, found.append)
    yield from found


def _back_to_front(array: Any) -> Any:
    """Return an array of the same kind with its numbers in reverse order."""
    other = get_xp(array).empty_like(array)
    other[...] = array.ravel()[::-1].reshape(array.shape)
    return other


def _moved_on(array: Any) -> Any:
    """Return one in which every number has gone one place on."""
    other = get_xp(array).empty_like(array)
    other[...] = get_xp(array).roll(array, 1)
    return other


def _compare(ours: Any, theirs: Any) -> None:
    """Refuse a program that gives something else than the model for other values."""
    for mine, other in zip(_all(ours, Tensor), _all(theirs, Tensor), strict=True):
        a, b = (t.cpu().double().array for t in (mine, other))
        size = other.dtype.itemsize if dtypes.is_floating(other.dtype) else 0
        most = TOLERANCE.get(size, 0.0) * np.abs(b[np.isfinite(b)]).max(initial=0)
        if a.shape != b.shape or not np.allclose(a, b, 0, most, equal_nan=True):
            raise GraphError(
                "freeze: for other values of the input the model computes something else: it draws "
                "random numbers, decides or looks up by values, or has an operation without a "
                "gradient in it, as argmax; freeze the part before that, or call the model itself"
            )
