"""Modules that hold modules or parameters: Sequential, lists and dicts."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from minigrad.errors import DTypeError, unknown
from minigrad.nn.module import Module, Parameter, _indent
from minigrad.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

T = TypeVar("T")
L = TypeVar("L", bound="_List[Any]")


class _List(Module, Generic[T]):
    """What the list-like containers share: items are attributes named "0", "1", …."""

    kind: type[Any] = Module

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._assign(items)

    def _named_items(self) -> dict[str, T]:
        return {name: v for name, v in vars(self).items() if isinstance(v, self.kind)}

    def _assign(self, items: Iterable[Any]) -> None:
        """Replace all items; the names become their positions."""
        checked = [self._check(item) for item in items]
        for name in self._named_items():
            delattr(self, name)
        for i, item in enumerate(checked):
            setattr(self, str(i), item)

    def _check(self, item: Any) -> Any:
        if isinstance(item, self.kind):
            return item
        hint = f"; write {item.__name__}(…) to create it" if isinstance(item, type) else ""
        got = item.__name__ if isinstance(item, type) else type(item).__name__
        raise DTypeError(f"{type(self).__name__} holds {self.kind.__name__}s, not {got}{hint}")

    def __len__(self) -> int:
        return len(self._named_items())

    def __iter__(self) -> Iterator[T]:
        return iter(self._named_items().values())

    def __getitem__(self, index: Any) -> Any:
        found = [*self._named_items().values()][index]
        return type(self)(found) if isinstance(index, slice) else found

    def __setitem__(self, index: int, item: T) -> None:
        setattr(self, [*self._named_items()][index], self._check(item))

    def __delitem__(self, index: int | slice) -> None:
        items = [*self]
        del items[index]
        self._assign(items)

    def append(self: L, item: Any) -> L:
        """Add one item at the end and return self."""
        return self.extend([item])

    def extend(self: L, items: Iterable[Any]) -> L:
        """Add items at the end and return self."""
        self._assign([*self, *items])
        return self

    def pop(self, index: int = -1) -> T:
        """Take one item out and return it."""
        item: T = self[index]
        del self[index]
        return item

    def __add__(self: L, other: Iterable[Any]) -> L:
        return copy.copy(self).extend(other)

    def __iadd__(self: L, other: Iterable[Any]) -> L:
        return self.extend(other)

    def insert(self, index: int, item: T) -> None:
        """Add one item before position `index`."""
        items = [*self]
        items.insert(index, item)
        self._assign(items)


class Sequential(_List[Module], remembers=False):
    """Modules applied one after the other.

    Parameters
    ----------
    *modules : Module
        The steps; or one dict of named steps.

    Examples
    --------
    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    >>> net(mg.ones(3, 4)).shape, len(net), net[1]
    ((3, 2), 3, GELU(approximate='none'))
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, self._check(module))
        else:
            self._assign(modules)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(dict([*self._named_items().items()][index]))
        return super().__getitem__(index)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class ModuleList(_List[Module], remembers=False):
    """A list of modules that the parent can see.

    Parameters
    ----------
    modules : iterable of Module, optional
        The first members.

    Examples
    --------
    >>> from minigrad import nn
    >>> nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=4, out_features=4, bias=True)
    )
    """

    def __repr__(self) -> str:
        lines, start = [], 0
        for text, run in itertools.groupby(repr(module) for module in self):
            count = len(list(run))
            label = f"({start}): " if count == 1 else f"({start}-{start + count - 1}): {count} x "
            lines.append(label + _indent(text))
            start += count
        return "\n  ".join(["ModuleList(", *lines]) + "\n)" if lines else "ModuleList()"


class ParameterList(_List[Parameter], remembers=False):
    """A list of parameters that the parent can see; plain tensors become parameters.

    Parameters
    ----------
    values : iterable of Parameter or Tensor, optional
        The first members.

    Examples
    --------
    >>> import minigrad as mg
    >>> weights = mg.nn.ParameterList([mg.zeros(2), mg.zeros(3)])
    >>> [(name, p.shape) for name, p in weights.named_parameters()]
    [('0', (2,)), ('1', (3,))]
    """

    kind = Parameter

    def _check(self, item: Any) -> Any:
        wrap = isinstance(item, Tensor) and not isinstance(item, Parameter)
        return super()._check(Parameter(item) if wrap else item)

    def extra_repr(self) -> str:
        lines = [f"({i}): Parameter of shape {p.shape}, {p.dtype}" for i, p in enumerate(self)]
        return "\n".join(lines)


class _Dict(Module, Generic[T]):
    """What the dict-like containers share: items are attributes."""

    kind: type[Any] = Module

    def __init__(self, items: Mapping[str, T] | Iterable[tuple[str, T]] | None = None) -> None:
        self.update(items or {})

    def _named_items(self) -> dict[str, T]:
        return {name: v for name, v in vars(self).items() if isinstance(v, self.kind)}

    def _check(self, item: Any) -> Any:
        if not isinstance(item, self.kind):
            kind = self.kind.__name__
            raise DTypeError(f"{type(self).__name__} holds {kind}s, not {type(item).__name__}")
        return item

    def update(self, items: Mapping[str, T] | Iterable[tuple[str, T]]) -> None:
        """Add or replace several items, from a mapping or from pairs."""
        for name, item in dict(items).items():
            self[name] = item

    def pop(self, name: str) -> T:
        """Take one item out and return it."""
        item = self[name]
        del self[name]
        return item

    def clear(self) -> None:
        """Take all items out."""
        for name in self.keys():
            del self[name]

    def __getitem__(self, name: str) -> T:
        items = self._named_items()
        if name not in items:
            what = f"{self.kind.__name__.lower()} of this {type(self).__name__}"
            raise KeyError(str(unknown(what, name, items)))
        return items[name]

    def __setitem__(self, name: str, item: T) -> None:
        self._register(name, self._check(item), self.kind)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def keys(self) -> list[str]:
        """Return the names."""
        return [*self._named_items()]

    def values(self) -> list[T]:
        """Return the items."""
        return [*self._named_items().values()]

    def items(self) -> list[tuple[str, T]]:
        """Return the pairs of name and item."""
        return [*self._named_items().items()]


class ModuleDict(_Dict[Module], remembers=False):
    """A dict of modules that the parent can see.

    Parameters
    ----------
    modules : mapping of str to Module, optional
        The first members, by name.

    Examples
    --------
    >>> from minigrad import nn
    >>> heads = nn.ModuleDict({"coarse": nn.Linear(8, 2), "fine": nn.Linear(8, 10)})
    >>> list(heads), heads["fine"].out_features
    (['coarse', 'fine'], 10)
    """


class ParameterDict(_Dict[Parameter], remembers=False):
    """A dict of parameters that the parent can see; plain tensors become parameters.

    Parameters
    ----------
    values : mapping of str to Parameter or Tensor, optional
        The first members, by name.

    Examples
    --------
    >>> import minigrad as mg
    >>> scales = mg.nn.ParameterDict({"coarse": mg.ones(2), "fine": mg.ones(3)})
    >>> [(name, p.shape) for name, p in scales.named_parameters()]
    [('coarse', (2,)), ('fine', (3,))]
    """

    kind = Parameter

    def _check(self, item: Any) -> Any:
        wrap = isinstance(item, Tensor) and not isinstance(item, Parameter)
        return super()._check(Parameter(item) if wrap else item)

    def extra_repr(self) -> str:
        lines = [f"({k}): Parameter of shape {p.shape}, {p.dtype}" for k, p in self.items()]
        return "\n".join(lines)
