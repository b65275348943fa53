"""Where the entries of a zip archive lie that are stored as they are, as PyTorch stores them.

At the end of the file stands how many entries there are and where their list begins; the list
gives each one's name, size and place. Source: PKWARE's APPNOTE.TXT, version 6.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from minigrad.errors import DataError
from minigrad.files import Source

__all__ = ["Entry", "list_entries", "locate"]

ENTRIES = 100_000  # one for each storage
LIST = 1 << 24  # bytes
_END, _END64, _PLACE64 = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LISTED, _LOCAL = b"PK\1\2", b"PK\3\4"
_WIDE = (1 << 32) - 1  # "see the 64-bit field"


@dataclass(slots=True)
class Entry:
    """An entry: its size, where its local header begins, and where it must have ended."""

    size: int
    header: int
    end: int = 0


def list_entries(source: Source) -> dict[str, Entry]:
    """Return the entries of an archive by name.

    Raises
    ------
    DataError
        If the archive is damaged, or an entry is compressed, encrypted or overlaps another.
    """
    try:
        entries, end = _list(source)
    except (struct.error, UnicodeDecodeError) as error:
        raise bad(source, str(error)) from None
    ordered = sorted(entries.values(), key=lambda entry: entry.header)
    for entry, following in pairwise([*ordered, Entry(0, end)]):
        entry.end = following.header
        if entry.header + 30 + entry.size > entry.end:
            raise bad(source, f"an entry of {entry.size} bytes at byte {entry.header} overlaps")
    return entries


def locate(source: Source, entry: Entry) -> int:
    """Return where the bytes of an entry begin."""
    source.seek(entry.header)
    head = source.read(30)
    if len(head) < 30 or head[:4] != _LOCAL:
        raise bad(source, f"no entry begins at byte {entry.header}")
    letters, extra = struct.unpack_from("<2H", head, 26)
    start: int = entry.header + 30 + letters + extra
    if start + entry.size > entry.end:
        raise bad(source, f"an entry of {entry.size} bytes at byte {start} overlaps")
    return start


def bad(source: Source, what: str) -> DataError:
    """Build the error for an archive that is not whole."""
    return DataError(f"{source.path}: no whole zip archive ({what}); fetch the file again")


def _list(source: Source) -> tuple[dict[str, Entry], int]:
    """Return the entries, and where their list begins."""
    tail_start = max(0, source.limit - 22 - (1 << 16))
    source.seek(tail_start)
    tail = source.read(source.limit - tail_start)
    place = tail.rfind(_END)
    if place < 0:
        raise bad(source, "its list of entries is missing: the file was cut short")
    end = tail_start + place
    count, size, start, comment = struct.unpack_from("<H2IH", tail, place + 10)
    if place + 22 + comment != len(tail):
        raise bad(source, "it does not end where it says")
    if place >= 20 and tail[place - 20 : place - 16] == _PLACE64:
        (end,) = struct.unpack_from("<Q", tail, place - 12)
        source.seek(end)
        record = source.read(56)
        if record[:4] != _END64:
            raise bad(source, "its 64-bit end is missing")
        count, size, start = struct.unpack_from("<3Q", record, 32)
    if count > ENTRIES or size > LIST or start + size != end:
        raise bad(source, f"{count} entries in {size} bytes from byte {start}, expected at {end}")
    source.seek(start)
    listed = source.read(size)
    entries: dict[str, Entry] = {}
    at = 0
    for _ in range(count):
        name, entry, at = _entry(source, listed, at)
        if name in entries:
            raise bad(source, f"{name!r:.200} occurs twice")
        entries[name] = entry
    if at != size:
        raise bad(source, f"{count} entries in {at} bytes, expected {size}")
    return entries, start


def _wide_fields(extra: bytes) -> Iterator[int]:
    """Yield the 64-bit numbers that did not fit an entry's own fields: size, packed size, place."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            for (number,) in struct.iter_unpack("<Q", extra[at : at + size // 8 * 8]):
                yield number
        at += size
    raise struct.error("a 64-bit field is missing")


def _entry(source: Source, listed: bytes, at: int) -> tuple[str, Entry, int]:
    """Read the line of the list at byte `at`; return also where the next one begins."""
    signature, flags, method, packed, size, letters, extra, comment, header = struct.unpack_from(
        "<4s4x2H8x2I3H8xI", listed, at
    )
    end = at + 46 + letters + extra
    if signature != _LISTED or end + comment > len(listed):
        raise bad(source, f"its list of entries is damaged at byte {at}")
    name = listed[at + 46 : at + 46 + letters].decode()
    wide = _wide_fields(listed[at + 46 + letters : end])
    size = next(wide) if size == _WIDE else size
    packed = next(wide) if packed == _WIDE else packed
    header = next(wide) if header == _WIDE else header
    if method or flags & 1 or packed != size:
        raise DataError(
            f"{source.path}: {name!r:.200} is compressed or encrypted, which PyTorch's files never "
            "are; save it again with torch.save"
        )
    return name, Entry(size, header), end + comment
