"""Weights in HDF5, as Keras saves them (``.h5``, ``.weights.h5``), in NumPy alone.

A file begins with a superblock that names the root group. Every object is a header full of
messages: a dataset's say its shape, its type and where its numbers lie in one piece; a group's
names a B-tree whose leaves list the members. What Keras never writes (compression, chunks, links,
files elsewhere) is refused. The HDF5 library itself is not safe for a stranger's file: changed
bytes make it search without end.
Source: HDF5 File Format Specification, versions 2.0 and 3.0,
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, brief
from minigrad.files import Source
from minigrad.io.safetensors import from_bfloat16

__all__ = ["SIGNATURE", "read_hdf5"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
PARTS = 200_000  # of its structure: blocks, messages, members, elements of attributes
BLOCK, BLOCKS = 1 << 22, 1 << 26  # bytes of one, and of all; tensors' numbers are not among them
DEPTH, NAME = 32, 1000
_NOWHERE = (1 << 64) - 1
_SPACE, _LINKS, _TYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS = 0x1, 0x2, 0x3, 0x6, 0x7, 0x8, 0xB
_ATTRIBUTE, _CONTINUATION, _MEMBERS = 0xC, 0x10, 0x11

Messages = list[tuple[int, bytes]]


@dataclass(slots=True)
class _Type:
    """An element type: NumPy's, or a text somewhere else."""

    dtype: np.dtype[Any] | None
    text: bool = False


@dataclass(slots=True)
class _Group:
    attributes: dict[str, Any] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Dataset:
    attributes: dict[str, Any]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int


def read_hdf5(source: Source) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the datasets of a file by their paths, and the attributes of its groups.

    Returns
    -------
    dict of str to array
        In the order of the names with numbers counted; views of a mapped file.
    dict of str to dict
        By the path of a group, empty for the root: its attributes, texts and numbers.

    Raises
    ------
    DataError
        If the file is damaged, or written in a way that Keras does not.
    """
    reader = _Reader(source)
    try:
        datasets, attributes = reader.walk()
    except DataError:
        raise
    except (struct.error, LookupError, ValueError) as error:
        raise reader.bad(str(error)) from None
    arrays = {}
    for path, dataset in sorted(datasets.items(), key=lambda item: _natural(item[0])):
        source.seek(dataset.start)
        array = source.array(dataset.dtype, dataset.shape)
        halves = dataset.attributes.get("dtype") == "bfloat16" and array.dtype == "V2"
        arrays[path] = from_bfloat16(array.view("<u2")) if halves else array
    return arrays, attributes


def _natural(path: str) -> list[Any]:
    """Return a key by which conv2d_2 comes before conv2d_10."""
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", path)]


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.spent = self.bytes = self.letters = 0
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def bad(self, what: str) -> DataError:
        return DataError(
            f"{self.source.path}: no whole HDF5 file of weights ({what[:300]}); fetch it again, or "
            "save it again with Keras"
        )

    def spend(self, count: int) -> None:
        """Count what was read, so that nothing goes on for ever."""
        self.spent += count
        if self.spent > PARTS:
            raise self.bad("its structure is larger than that of any model")

    def block(self, address: int, size: int, signature: bytes = b"") -> bytes:
        """Return the bytes of a part of the file's structure."""
        self.spend(1)
        self.bytes += size
        if size > BLOCK or self.bytes > BLOCKS:
            raise self.bad(f"a block of {size} bytes at byte {address}")
        self.source.seek(address)
        data = self.source.read(size)
        if address > self.source.limit or len(data) < size or not data.startswith(signature):
            raise self.bad(f"no {signature.decode() or 'block'} of {size} bytes at byte {address}")
        return data

    # ---- the tree of groups ----

    def walk(self) -> tuple[dict[str, _Dataset], dict[str, Any]]:
        datasets: dict[str, _Dataset] = {}
        attributes: dict[str, Any] = {}
        left = self.source.limit
        waiting, seen = [("", self.root())], set()
        while waiting:
            path, address = waiting.pop()
            if address in seen or path.count("/") > DEPTH or len(path) > NAME:
                raise self.bad(f"{path[:80]!r} leads in a circle, or too deep")
            seen.add(address)
            found = self.read_object(path, address)
            if isinstance(found, _Dataset):
                if path in datasets:
                    raise self.bad(f"{path!r:.80} occurs twice")
                datasets[path] = found
                left -= math.prod(found.shape) * found.dtype.itemsize
                if left < 0:
                    raise self.bad("its datasets overlap")
                continue
            if found.attributes:
                attributes[path] = found.attributes
            for name, member in found.members.items():
                waiting.append((f"{path}/{name}" if path else name, member))
        return datasets, attributes

    def root(self) -> int:
        """Return the address of the root group's header."""
        head = self.block(0, 48, SIGNATURE)
        version = head[8]
        widths, base = (head[13:15], 24 + 4 * version) if version < 2 else (head[9:11], 12)
        if version > 3 or widths != b"\x08\x08":
            raise self.bad(f"a superblock of version {version}")
        start, _, _, last = struct.unpack("<4Q", self.block(base, 32))
        if start:
            raise self.bad("it begins within another file")
        return int(last if version >= 2 else struct.unpack("<Q", self.block(base + 40, 8))[0])

    def read_object(self, path: str, address: int) -> _Group | _Dataset:
        messages = self.messages(address)
        found = dict(messages)
        attributes = dict(self.attribute(data) for kind, data in messages if kind == _ATTRIBUTE)
        if _LAYOUT in found:
            return self.dataset(path, found, attributes)
        group = _Group(attributes)
        if _MEMBERS in found:
            tree, heap = struct.unpack_from("<2Q", found[_MEMBERS])
            group.members = dict(self.members(tree, self.names(heap)))
        group.members |= dict(self.link(data) for kind, data in messages if kind == _LINK)
        links = found.get(_LINKS, b"")
        if links and struct.unpack_from("<Q", links, 10 if links[1] & 1 else 2)[0] != _NOWHERE:
            raise self.bad(f"{path!r} has more members than are read in the format of HDF5 1.8")
        return group

    def names(self, heap: int) -> bytes:
        size, _, start = struct.unpack_from("<3Q", self.block(heap, 32, b"HEAP"), 8)
        return self.block(start, size)

    def members(self, tree: int, names: bytes) -> Iterator[tuple[str, int]]:
        """Yield the members of a group: names, and addresses of headers."""
        waiting = [tree]
        while waiting:
            address = waiting.pop()
            head = self.block(address, 8)
            if head[:4] == b"TREE":
                (count,) = struct.unpack_from("<H", head, 6)
                keys = self.block(address + 24, 16 * count + 8)
                waiting += struct.unpack(f"<{2 * count + 1}Q", keys)[1::2][::-1]
                continue
            if head[:4] != b"SNOD":
                raise self.bad(f"no TREE or SNOD at byte {address}")
            (count,) = struct.unpack_from("<H", head, 6)
            entries = self.block(address + 8, 40 * count)
            self.spend(count)
            for name, header, kind in struct.iter_unpack("<2QI20x", entries):
                if kind == 2:
                    raise self.bad("it has a symbolic link")
                yield _until_zero(names, name), header

    def link(self, data: bytes) -> tuple[str, int]:
        """Read a link message: a member of a small group in the format of HDF5 1.8."""
        flags, at = data[1], 2
        if flags & 8 and data[at]:
            raise self.bad("it has a link to another place or file")
        at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(data[at : at + width], "little")
        at += width
        (address,) = struct.unpack_from("<Q", data, at + length)
        return data[at : at + length].decode(), address

    # ---- headers ----

    def messages(self, address: int) -> Messages:
        """Return the messages of an object's header, its continuations included."""
        head = self.block(address, 16)
        found: Messages = []
        if head[:4] == b"OHDR":
            flags = head[5]
            start = address + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
            width = 1 << (flags & 3)
            size = int.from_bytes(self.block(start, width), "little")
            parts, ordered = [(start + width, size)], 2 if flags & 4 else 0
        elif head[0] == 1:
            parts, flags, ordered = [(address + 16, struct.unpack_from("<I", head, 8)[0])], -1, 0
        else:
            raise self.bad(f"no header of an object at byte {address}")
        while parts:
            data, at = self.block(*parts.pop(0)), 0
            while at + (8 if flags < 0 else 4 + ordered) <= len(data):
                if flags < 0:
                    kind, size, shared = struct.unpack_from("<2HB3x", data, at)
                    at += 8
                else:
                    kind, size, shared = struct.unpack_from("<BHB", data, at)
                    at += 4 + ordered
                if at + size > len(data):
                    raise self.bad(f"a message of {size} bytes in {len(data)}")
                if shared & 2:
                    raise self.bad("it shares a message between objects")
                content, at = data[at : at + size], at + size
                self.spend(1)
                found.append((kind, content))
                if kind == _CONTINUATION:
                    place, length = struct.unpack_from("<2Q", content)
                    skip = 0 if flags < 0 else 4  # its own signature; and a checksum at the end
                    parts.append((place + skip, max(length - 2 * skip, 0)))
        return found

    def dataset(self, path: str, found: dict[int, bytes], attributes: dict[str, Any]) -> _Dataset:
        if found.get(_FILTERS, b"\0\0")[1] or _EXTERNAL in found:
            raise self.bad(f"{path!r} is compressed, or lies in another file")
        layout = found[_LAYOUT]
        if layout[0] not in (3, 4) or layout[1] not in (0, 1):
            raise self.bad(f"{path!r} is cut into chunks, which Keras does not do")
        kind, shape = self.type(found.get(_TYPE, b"")), self.space(found.get(_SPACE, b""))
        if kind.dtype is None:
            raise self.bad(f"{path!r} holds texts")
        expected = math.prod(shape) * kind.dtype.itemsize
        if layout[1] == 0:  # the numbers stand in the header itself
            (size,) = struct.unpack_from("<H", layout, 2)
            raise self.bad(f"{path!r} of {size} bytes lies in its header")
        start, size = struct.unpack_from("<2Q", layout, 2)
        if size < expected or (expected and start + expected > self.source.limit):
            raise self.bad(
                f"{path!r} of shape {brief(shape)} needs {expected} bytes, has {size} at {start}"
            )
        return _Dataset(attributes, kind.dtype, shape, start if expected else 0)

    def space(self, data: bytes) -> tuple[int, ...]:
        """Read a dataspace: the shape."""
        version, rank = data[0], data[1]
        at = {1: 8, 2: 4}.get(version, -1)
        if at < 0 or rank > 32 or (version == 2 and data[3] == 2):
            raise self.bad(f"a shape of version {version} with {rank} sides")
        return struct.unpack_from(f"<{rank}Q", data, at)

    def type(self, data: bytes) -> _Type:
        """Read a datatype: whole and real numbers, texts."""
        kind, bits, size = data[0] & 15, data[1], int.from_bytes(data[4:8], "little")
        order = ">" if bits & 1 else "<"
        if kind == 0 and size in (1, 2, 4, 8):
            return _Type(np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}"))
        exponents = {2: 5, 4: 8, 8: 11}
        if kind == 1 and size in exponents and data[13] == exponents[size] and not bits & 64:
            return _Type(np.dtype(f"{order}f{size}"))
        if kind == 5 and size == 2:
            return _Type(np.dtype("V2"))
        if kind == 3 and 0 < size <= BLOCK:
            return _Type(np.dtype(f"S{size}"), text=True)
        if kind == 9 and bits & 15 == 1 and size == 16:
            return _Type(None, text=True)
        if kind == 8 and size == 1:  # a bool is one of two names
            return _Type(np.dtype("?"))
        raise self.bad(f"numbers of class {kind} with {size} bytes")

    # ---- attributes ----

    def attribute(self, data: bytes) -> tuple[str, Any]:
        """Read an attribute; None for one of a type that no weights need."""
        version = data[0]
        name, kind, space = struct.unpack_from("<3H", data, 2)
        at, pad = {1: (8, 8), 2: (8, 1), 3: (9, 1)}.get(version, (0, 0))
        if not at:
            raise self.bad(f"an attribute of version {version}")
        parts = []
        for size in (name, kind, space):
            parts.append(data[at : at + size])
            at += -(-size // pad) * pad
        key = _until_zero(parts[0], 0)
        try:
            found, shape = self.type(parts[1]), self.space(parts[2])
        except DataError:
            return key, None
        width = 16 if found.dtype is None else found.dtype.itemsize
        content = data[at : at + width * math.prod(shape)]
        if len(content) < width * math.prod(shape):
            raise self.bad(f"the attribute {key!r:.80} of shape {brief(shape)} is cut short")
        self.spend(math.prod(shape))
        if found.dtype is None:
            values = [self.text(*words) for words in struct.iter_unpack("<IQI", content)]
        elif found.text:
            values = [text.decode() for text in np.frombuffer(content, found.dtype).tolist()]
        else:
            values = np.frombuffer(content, found.dtype).tolist()
        return key, values if shape else values[0]

    def text(self, length: int, address: int, index: int) -> str:
        """Return a text of any length, which lies among others in a global heap."""
        if not length:
            return ""
        if address not in self.heaps:
            self.heaps[address] = self.heap(address)
        start, size = self.heaps[address].get(index, (0, 0))
        self.letters += length
        if length > size or self.letters > BLOCK:
            raise self.bad(f"a text of {length} bytes in {size}")
        return self.block(start, length).decode()

    def heap(self, address: int) -> dict[int, tuple[int, int]]:
        """Return where the objects of a global heap lie, and their sizes."""
        (size,) = struct.unpack_from("<Q", self.block(address, 16, b"GCOL"), 8)
        data, at, found = self.block(address, size), 16, {}
        while at + 16 <= size:
            index, length = struct.unpack_from("<H6xQ", data, at)
            if index == 0:  # the rest is free
                break
            found[index] = (address + at + 16, length)
            at += 16 + -(-length // 8) * 8
            self.spend(1)
        return found


def _until_zero(data: bytes, start: int) -> str:
    end = data.find(b"\0", start, start + NAME)
    if end < 0:
        raise ValueError("a name has no end")
    return data[start:end].decode()
