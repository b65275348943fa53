"""Reading files from outside: with limits, and whatever is wrong with one is a DataError.

Every reader opens its file with `opened`. What it then reads is bounded by what the file can hold,
also unpacked, so a header that promises a terabyte costs nothing, and no content is believed
before it has been counted.
"""

from __future__ import annotations

import gzip
import math
import mmap
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minigrad.errors import DataError, OptionError, brief

__all__ = ["BROKEN", "INFLATION", "Source", "opened", "reason", "resident", "to_path"]

INFLATION = 1032  # bytes that one byte of a deflate stream can become at most
CHUNK = 1 << 20
POPULATE = 22  # MADV_POPULATE_READ of Linux 5.14, which Python's mmap does not name
BROKEN = (OSError, EOFError, ValueError, RuntimeError, zlib.error)  # what decoders raise


class Source:
    """A file that is being read, unpacked on the way if it is packed.

    Parameters
    ----------
    path : Path
        What messages call it.
    file : binary file
        Where the bytes come from.
    limit : int
        How many bytes can come at most.
    packed : str, default ""
        The format they are packed in, which leaves their number open.
    memory : mmap, optional
        The same bytes, as memory that the system fills when it is read.
    """

    def __init__(
        self,
        path: Path | str,
        file: Any,
        limit: int,
        packed: str = "",
        memory: mmap.mmap | None = None,
    ) -> None:
        self.path, self.file, self.limit, self.packed = path, file, limit, packed
        self.memory, self.position = memory, 0

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes; fewer where the file ends."""
        data = bytearray(max(0, min(count, self.limit - self.position)))
        return bytes(data[: self._fill(memoryview(data))])

    def seek(self, position: int) -> None:
        """Continue reading at a byte; past the end nothing is read."""
        self.position = min(max(position, 0), self.limit)
        self._guarded(self.file.seek, self.position)

    def array(
        self, dtype: DTypeLike, shape: Sequence[int], order: Literal["C", "F"] = "C"
    ) -> NDArray[Any]:
        """Read an array, whose last axis (or first, in order F) runs fastest.

        Memory is taken only if the file can fill it; none, if the file is mapped.

        Returns
        -------
        numpy.ndarray
            In the machine's own byte order; writeable, unless it is a view of a mapped file.

        Raises
        ------
        DataError
            If the file ends too early, or no array has this shape.
        """
        dtype, shape = np.dtype(dtype), tuple(shape)
        start, left = self.position, self.limit - self.position
        expected = math.prod(shape) * dtype.itemsize
        found = left
        if expected <= left:
            try:
                if self.memory is None:
                    array = np.empty(shape, dtype, order)
                else:
                    array = np.ndarray(shape, dtype, self.memory, start, order=order)
            except (ValueError, MemoryError) as error:
                raise DataError(
                    f"{self.path}: no array has the shape {brief(shape)} ({error})"
                ) from None
            numbers = array.reshape(-1, order=order).view(np.uint8)
            if self.memory is None:
                found = self._fill(numbers.data)
            else:
                found, self.position = expected, start + expected
        if found < expected:
            at_most = "at most " if self.packed and expected > left else ""
            raise DataError(
                f"{self.path}: expected {brief(expected)} bytes of data for shape {brief(shape)} "
                f"after byte {start}; found {at_most}{found}; the file was cut short or is "
                "damaged: fetch it again"
            )
        if dtype.kind == "b" and (numbers > 1).any():  # such a bool is neither True nor False
            array = (array.view(np.uint8) != 0).view(dtype)
        if not dtype.isnative:
            array = array.byteswap(inplace=self.memory is None).view(dtype.newbyteorder("="))
        return array

    def end(self) -> None:
        """Refuse anything that follows; here a packed file's checksum is compared."""
        if self._guarded(self.file.read, 1):
            found = "more" if self.packed else self.limit
            raise DataError(
                f"{self.path}: expected {self.position} bytes; found {found}; "
                "the file is damaged: fetch it again"
            )

    def _fill(self, view: memoryview) -> int:
        """Fill `view` as far as the bytes reach; return how far that is."""
        done = 0
        while done < len(view):
            count = self._guarded(self.file.readinto, view[done : done + CHUNK])
            if not count:
                break
            done += count
        self.position += done
        return done

    def _guarded(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except BROKEN as error:
            what = f"not a complete {self.packed} file" if self.packed else "cannot be read"
            raise DataError(
                f"{self.path}: {what} ({reason(error)}); delete it and fetch it again"
            ) from None


@contextmanager
def opened(path: str | Path, unpack: bool = False, mapped: bool = False) -> Iterator[Source]:
    """Open a file to read from.

    With `unpack`, a gzip file yields what is packed in it. With `mapped`, arrays are views of the
    file, which stays mapped as long as one of them lives, and must not be changed until then.

    Raises
    ------
    DataError
        If there is no such file, it is a folder or a device, or may not be read.

    Examples
    --------
    >>> with opened("no/such/file") as source:
    ...     pass
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: no/such/file: cannot be read (No such file ...); check the path
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not unpack:
            yield Source(Path(path), file, size, memory=_map(file) if mapped else None)
            return
        packed = file.read(2) == b"\x1f\x8b" or Path(path).suffix == ".gz"
        file.seek(0)
        if not packed:
            yield Source(Path(path), file, size)
            return
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield Source(Path(path), unpacked, size * INFLATION, "gzip")


def _map(file: IO[bytes]) -> mmap.mmap | None:
    """Return the bytes of a file as memory, if it has any and the system can map them."""
    with suppress(OSError, ValueError):
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return None


@contextmanager
def resident(array: Any) -> Iterator[None]:
    """Have the part of a mapped file that an array is a view of in memory, inside the block alone.

    It comes in one request, not in one for every few pages that are touched, and its memory is
    given back at the end; what is looked at again, the system reads again. Other arrays stay as
    they are.
    """
    mapped = _mapped(array)
    if mapped is not None:
        with suppress(OSError):  # a system that does not know this brings pages when touched
            mapped[0].madvise(POPULATE, *mapped[1:])
    yield
    if mapped is not None:
        mapped[0].madvise(mmap.MADV_DONTNEED, *mapped[1:])


def _mapped(array: Any) -> tuple[mmap.mmap, int, int] | None:
    """Return the mapped file that an array is a view of, and where in it the array lies."""
    base = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is None or not array.size or not hasattr(mmap, "MADV_DONTNEED"):  # as on Windows
        return None
    first = np.frombuffer(base, np.uint8, 1).ctypes.data
    begin, end = (address - first for address in np.lib.array_utils.byte_bounds(array))
    start = begin // mmap.PAGESIZE * mmap.PAGESIZE
    return base, start, end - start


def to_path(path: Any) -> Path:
    """Return a path given by a user; a number, which would be an open file, is none.

    Examples
    --------
    >>> to_path(3)
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: a path is a string or a pathlib.Path, not int
    """
    if isinstance(path, (str, os.PathLike)):
        return Path(path)
    raise OptionError(f"a path is a string or a pathlib.Path, not {type(path).__name__}")


def _open(path: str | Path) -> IO[bytes]:
    whole = to_path(path)
    try:
        mode = os.stat(path).st_mode  # before opening: a pipe would wait for its other end
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
            raise DataError(f"{path}: is {kind}; name a file")
        return whole.open("rb")
    except OSError as error:
        hint = "; check the path" if isinstance(error, FileNotFoundError) else ""
        raise DataError(f"{path}: cannot be read ({reason(error)}){hint}") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{str(path)!r}: no path of a file ({error})") from None


def reason(error: BaseException) -> str:
    """Say in a few words what an exception was about."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
