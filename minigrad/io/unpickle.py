"""A pickle read as data: a small machine that builds plain values and can call nothing.

A pickle is a program for a stack machine. Two of its operations make it dangerous: one looks up
anything that Python can import, the other calls it. Here a name is looked up in a table of what
the caller allows, and only what stands there can be called; the rest of the operations make
numbers, texts, lists and dicts. Source: CPython's `pickletools`, which describes every operation.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minigrad.errors import DataError, brief

__all__ = ["Inert", "Named", "plain_dict", "unpickle"]

OPERATIONS = 400_000  # far above any checkpoint's; each costs a microsecond and ≤ 200 bytes
NAME = 256  # letters


class Named:
    """What a pickle calls by name.

    Parameters
    ----------
    name : str
        Module and name.
    make : callable, optional
        What happens when the pickle calls it; without, it can only be handed on.
    """

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name, self.make = name, make

    def __repr__(self) -> str:
        return self.name


class Inert:
    """An object that was never made: its class's name, its arguments, its state."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments, self.state = name, arguments, None

    def __repr__(self) -> str:
        return self.name


def unpickle(
    data: bytes, known: Mapping[str, Named], persistent: Callable[[Any], Any]
) -> tuple[Any, int]:
    """Build what a pickle describes.

    Parameters
    ----------
    data : bytes
        It begins with the pickle.
    known : mapping of str to Named
        What it may name, as "module.name".
    persistent : callable
        Called with the identity of something that the pickle leaves to its reader.

    Returns
    -------
    object
        Of dicts, lists, tuples, numbers, texts, bytes, and what `known` and `persistent` gave.
    int
        Where the pickle ends.

    Raises
    ------
    DataError
        If it names anything else, or is damaged.

    Examples
    --------
    >>> unpickle(pickle.dumps({"epoch": [1, 2.5]}), {}, print)[0]
    {'epoch': [1, 2.5]}
    >>> unpickle(pickle.dumps(print), {}, print)
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: it asks for builtins.print, which is neither ...
    """
    machine = _Machine(data, known, persistent)
    try:
        return machine.run(), machine.at
    except DataError:
        raise
    except (*_DAMAGE, struct.error) as error:
        raise DataError(
            f"the pickle in it is damaged near byte {machine.at} "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from None


_RENAMED = {"__builtin__": "builtins"}  # Python 2's, and protocol 2's
_DAMAGE = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError
)  # fmt: skip


class _Machine:
    """The stack, cut by marks, and the memo of values that are used again."""

    def __init__(
        self, data: bytes, known: Mapping[str, Named], persistent: Callable[[Any], Any]
    ) -> None:
        self.data, self.known, self.persistent = data, known, persistent
        self.at = self.frame = 0  # where it reads, and where the frame that it is in ends
        self.stack: list[Any] = []  # what was pushed since the last mark
        self.below: list[list[Any]] = []  # and between the marks before
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        stop = pickle.STOP[0]
        for _ in range(OPERATIONS):
            code = self.data[self.at]
            self.at += 1
            if code == stop:
                return self.stack.pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise ValueError(f"the operation {bytes([code])!r} is none of protocols 2 to 5")
            operation(self)
        raise ValueError(f"it has more than {OPERATIONS:,} operations")

    # ---- reading ----

    def take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self.data) or start < self.frame < self.at:
            raise ValueError(f"it, or a frame of it, ends within {count} bytes")
        return self.data[start : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def text(self, width: int) -> str:
        return self.take(self.number(width)).decode()

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + NAME)
        if end < 0:
            raise ValueError("a name has no end")
        return self.take(end + 1 - self.at)[:-1].decode()

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def two(self) -> list[Any]:
        last = self.stack.pop()
        return [self.stack.pop(), last]

    # ---- operations ----

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def protocol(self, number: int) -> None:
        if not 2 <= number <= 5:
            raise ValueError(f"it is of protocol {number}")

    def begin_frame(self, size: int) -> None:
        if self.at < self.frame or size > len(self.data) - self.at:
            raise ValueError(f"a frame of {size} bytes")
        self.frame = self.at + size

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("the stack is empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def extend(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if type(holder) is list:
            holder.extend(items)
        elif not isinstance(holder, Inert):
            raise ValueError(f"{type(holder).__name__} is no list")

    def update(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if type(holder) is not dict:
            raise ValueError(f"{type(holder).__name__} is no dict")
        holder.update(plain_dict(items[::2], items[1::2]))

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name is no text")
        whole = f"{_RENAMED.get(module, module)}.{name}"
        if whole not in self.known:
            shown = whole if whole.isprintable() and len(whole) < NAME else brief(whole)
            raise DataError(
                f"it asks for {shown}, which is neither a known kind of tensor nor plain data; "
                "nothing was run; save the model's state_dict() alone, with the program that made "
                "the file"
            )
        self.push(self.known[whole])

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Named) or function.make is None:
            kind = function.name if isinstance(function, Named) else type(function).__name__
            raise ValueError(f"it calls {kind}")
        if type(arguments) is not tuple:
            raise ValueError(f"it calls {function.name} with no tuple")
        self.push(function.make(*arguments))

    def build(self) -> None:
        state, holder = self.stack.pop(), self.stack[-1]
        if isinstance(holder, Inert):
            holder.state = state
        elif type(holder) is not dict:  # a state_dict's own attributes, as _metadata, are dropped
            raise ValueError(f"{type(holder).__name__} has no state")


def plain_dict(keys: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
    """Make a dict; only of keys that are quick to compare, whatever a file makes up."""
    keys = list(keys)
    for key in keys:
        if not (type(key) is str or key is None or (type(key) is int and abs(key) < 1 << 60)):
            raise ValueError(f"a key of type {type(key).__name__}")
    return dict(zip(keys, values, strict=True))


def _signed(machine: _Machine, width: int) -> int:
    return int.from_bytes(machine.take(width), "little", signed=True)


# The operations of protocols 2 to 5, without those that read text or give keywords.
_OPERATIONS: dict[int, Callable[[_Machine], Any]] = {
    code[0]: operation
    for code, operation in {
        pickle.PROTO: lambda m: m.protocol(m.number(1)),
        pickle.FRAME: lambda m: m.begin_frame(m.number(8)),
        pickle.MARK: lambda m: m.mark(),
        pickle.POP: lambda m: m.stack.pop() if m.stack else m.to_mark(),
        pickle.POP_MARK: lambda m: m.to_mark(),
        pickle.DUP: lambda m: m.push(m.stack[-1]),
        # plain values
        pickle.NONE: lambda m: m.push(None),
        pickle.NEWTRUE: lambda m: m.push(True),
        pickle.NEWFALSE: lambda m: m.push(False),
        pickle.BININT: lambda m: m.push(_signed(m, 4)),
        pickle.BININT1: lambda m: m.push(m.number(1)),
        pickle.BININT2: lambda m: m.push(m.number(2)),
        pickle.LONG1: lambda m: m.push(_signed(m, m.number(1))),
        pickle.LONG4: lambda m: m.push(_signed(m, m.number(4))),
        pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        pickle.BINUNICODE: lambda m: m.push(m.text(4)),
        pickle.SHORT_BINUNICODE: lambda m: m.push(m.text(1)),
        pickle.BINUNICODE8: lambda m: m.push(m.text(8)),
        pickle.BINSTRING: lambda m: m.push(m.text(4)),  # Python 2 wrote these
        pickle.SHORT_BINSTRING: lambda m: m.push(m.text(1)),
        pickle.BINBYTES: lambda m: m.push(m.take(m.number(4))),
        pickle.SHORT_BINBYTES: lambda m: m.push(m.take(m.number(1))),
        pickle.BINBYTES8: lambda m: m.push(m.take(m.number(8))),
        pickle.BYTEARRAY8: lambda m: m.push(m.take(m.number(8))),
        # lists, tuples, dicts
        pickle.EMPTY_LIST: lambda m: m.push([]),
        pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
        pickle.APPENDS: lambda m: m.extend(m.to_mark()),
        pickle.EMPTY_TUPLE: lambda m: m.push(()),
        pickle.TUPLE: lambda m: m.push(tuple(m.to_mark())),
        pickle.TUPLE1: lambda m: m.tuple_of(1),
        pickle.TUPLE2: lambda m: m.tuple_of(2),
        pickle.TUPLE3: lambda m: m.tuple_of(3),
        pickle.EMPTY_DICT: lambda m: m.push({}),
        pickle.SETITEM: lambda m: m.update(m.two()),
        pickle.SETITEMS: lambda m: m.update(m.to_mark()),
        # sets are of no use here: their items are dropped
        pickle.EMPTY_SET: lambda m: m.push(Inert("builtins.set", ())),
        pickle.ADDITEMS: lambda m: m.extend(m.to_mark()),
        pickle.FROZENSET: lambda m: m.push(Inert("builtins.frozenset", tuple(m.to_mark()))),
        # values used again
        pickle.BINPUT: lambda m: m.put(m.number(1)),
        pickle.LONG_BINPUT: lambda m: m.put(m.number(4)),
        pickle.MEMOIZE: lambda m: m.put(len(m.memo)),
        pickle.BINGET: lambda m: m.push(m.memo[m.number(1)]),
        pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number(4)]),
        # names and what is done with them
        pickle.GLOBAL: lambda m: m.name(m.line(), m.line()),
        pickle.STACK_GLOBAL: lambda m: m.name(*m.two()),
        pickle.REDUCE: lambda m: m.call(*m.two()),
        pickle.NEWOBJ: lambda m: m.call(*m.two()),
        pickle.INST: lambda m: (
            m.name(m.line(), m.line()),
            m.call(m.stack.pop(), tuple(m.to_mark())),
        ),
        pickle.BUILD: lambda m: m.build(),
        pickle.BINPERSID: lambda m: m.push(m.persistent(m.stack.pop())),
    }.items()
}
