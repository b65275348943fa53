"""How a valid file is made a wrong one: bytes, numbers, lengths, and values inside JSON."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["mutate_bytes", "mutate_json", "mutate_text"]

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WIDE = (*EDGES, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
CODES = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q", "<f", ">f")


def mutate_bytes(content: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Change `content` in one to four places; `other` is a file to take pieces from."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(BYTES)(data, rng, other or content)
    return bytes(data)


def _flip(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(data: bytearray, rng: random.Random, other: bytes) -> None:
    """Write a number where a length or an offset may stand."""
    code = rng.choice(CODES)
    if code[-1] == "f":
        piece = struct.pack(code, rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"), 352.5)))
    else:
        size = struct.calcsize(code)
        piece = struct.pack(code, rng.choice(WIDE) & ((1 << 8 * size) - 1))
    place = _place(data, rng) if data else 0
    data[place : place + len(piece)] = piece


def _add(data: bytearray, rng: random.Random, other: bytes) -> None:
    """Count a number up or down by a little."""
    if len(data) >= 4:
        place = min(_place(data, rng), len(data) - 4)
        code = rng.choice(("<I", ">I"))
        (value,) = struct.unpack_from(code, data, place)
        struct.pack_into(code, data, place, (value + rng.randint(-3, 3)) % (1 << 32))


def _truncate(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _append(data: bytearray, rng: random.Random, other: bytes) -> None:
    data += rng.randbytes(rng.choice((1, 4, 100)))


def _insert(data: bytearray, rng: random.Random, other: bytes) -> None:
    place = _place(data, rng) if data else 0
    data[place:place] = rng.randbytes(rng.choice((1, 2, 8)))


def _delete(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        place = _place(data, rng)
        del data[place : place + rng.choice((1, 2, 8, 64))]


def _repeat(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        place = _place(data, rng)
        data[place:place] = data[place : place + rng.choice((1, 8, 64))] * rng.choice((1, 2, 50))


def _splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data and other:
        start = rng.randrange(len(other))
        piece = other[start : start + rng.choice((4, 32, 256))]
        place = _place(data, rng)
        data[place : place + len(piece)] = piece


BYTES: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    _flip, _flip, _set, _number, _number, _add, _truncate, _append, _insert, _delete, _repeat,
    _splice,
)  # fmt: skip


def _place(data: bytearray, rng: random.Random) -> int:
    """Choose a byte; the beginning, where headers are, half the time."""
    return rng.randrange(min(len(data), 128) if rng.random() < 0.5 else len(data))


class Raw:
    """JSON that `json.dumps` would not write."""

    def __init__(self, text: str) -> None:
        self.text = text


STRANGE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 64, 1000, 1.5, -0.0, 2**31, 2**32, 2**53, 2**62, 2**63,
    2**64, 10**30, "", "x", "0", "\ud800", "\0", "é", "__metadata__", "$tensor", "F64", "F8_E4M3",
    [], {}, [[]], {"": None}, [1, 2], [0, 2**62, 2**62], [1] * 70, ["a", "b"],
    {"a": {"b": {"c": 1}}}, Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("9" * 5000),
    Raw("[" * 5000), Raw("[" * 900 + "]" * 900), Raw('{"a":' * 2000), Raw('{"a": 1, "a": 2}'),
    Raw("'x'"), Raw("tru"), Raw(" "),
)  # fmt: skip


def mutate_json(tree: Any, rng: random.Random) -> str:
    """Return JSON text of `tree` with one to three nodes changed."""
    tree = {"root": copy.deepcopy(tree)}
    raws: dict[str, str] = {}
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        holder, key = rng.choice(places)
        _change(holder, key, rng, places, raws)
    text = json.dumps(tree["root"] if "root" in tree else tree)
    for mark, raw in raws.items():
        text = text.replace(f'"{mark}"', raw)
    return text


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change(holder: Any, key: Any, rng: random.Random, places: Any, raws: dict[str, str]) -> None:
    value = holder[key]
    kind = rng.randrange(7)
    if kind == 0 and len(holder) > 1:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        new = rng.choice(["", "x", "__metadata__", "$tensor", "$map", "dtype", "\ud800", f"{key}x"])
        holder[new] = copy.deepcopy(value) if rng.random() < 0.5 else holder.pop(key)
    elif kind == 2 and isinstance(value, int | float):
        holder[key] = value + rng.choice((-1, 1, 2, -1000, 1e9, 0.5))
    elif kind == 3:
        other, place = rng.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            holder[key] = copy.deepcopy(other[place])
    elif kind == 4 and isinstance(value, list):
        holder[key] = value + value if rng.random() < 0.5 else value[:-1]
    else:
        strange = copy.deepcopy(rng.choice(STRANGE))
        if isinstance(strange, Raw):
            raws[f"raw-{len(raws)}"] = strange.text
            strange = f"raw-{len(raws) - 1}"
        holder[key] = strange


def mutate_text(text: str, rng: random.Random, pieces: tuple[str, ...]) -> str:
    """Change whole words and lines of a text."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(lines))
        kind = rng.randrange(5)
        if kind == 0:
            lines.insert(place, rng.choice(pieces))
        elif kind == 1 and len(lines) > 1:
            del lines[place]
        elif kind == 2:
            lines.insert(place, rng.choice(lines))
        else:
            words = lines[place].split(" ")
            words[rng.randrange(len(words))] = rng.choice(pieces)
            lines[place] = " ".join(words)
    return "\n".join(lines)
