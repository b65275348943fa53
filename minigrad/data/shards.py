"""Pictures in tar files, as WebDataset lays them out: a few large files instead of many small ones.

The files of one sample stand together and share what comes before the first dot of their names:
``a/0001.jpg``, ``a/0001.cls``. Only the heads are read at first, so a sample is found by its
number, as everywhere; that the disk is still read from front to back is a matter of the order
(`ShuffledShards`).
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import CLASSES, Image, whole_number
from minigrad.data.folder import SUFFIXES
from minigrad.data.picture import decode_image, require_pillow
from minigrad.errors import DataError, OptionError
from minigrad.files import Source, opened, reason, to_path
from minigrad.loading import several

__all__ = ["ShuffledShards", "TarShards"]

LABELS = ("cls", "cls.txt")  # endings of a file that holds the number of a class
LONGEST = 32  # bytes of such a number


class Member(NamedTuple):
    """Where in its shard a file begins, and how long it is."""

    shard: int
    start: int
    size: int
    name: str


class TarShards:
    """A data set of pictures and their classes in tar files on this machine.

    Parameters
    ----------
    paths : path or iterable of path
        The shard, or several in their order; ``sorted(Path("data").glob("*.tar"))`` finds them.
    channels : int, default 3
        As for `read_image`.
    at_least : int, optional
        Pictures may be decoded at a reduced size, as for `read_image`.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Attributes
    ----------
    lengths : tuple of int
        How many samples each shard has.

    Raises
    ------
    DataError
        If a shard cannot be read, is packed, or has a sample without a picture or without a class.

    Examples
    --------
    >>> import io, pathlib, tarfile, tempfile
    >>> from minigrad.viz.svg import encode_png
    >>> path = pathlib.Path(tempfile.mkdtemp(), "00.tar")
    >>> files = {"a.png": encode_png(np.zeros((4, 6), np.uint8)), "a.cls": b"7"}
    >>> with tarfile.open(path, "w") as shard:
    ...     for name, content in files.items():
    ...         head = tarfile.TarInfo(name)
    ...         head.size = len(content)
    ...         shard.addfile(head, io.BytesIO(content))
    >>> image, label = TarShards([path], channels=1)[0]
    >>> image.shape, label
    ((1, 4, 6), 7)
    """

    def __init__(
        self,
        paths: str | Path | Iterable[str | Path],
        channels: int = 3,
        at_least: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.paths = [
            to_path(path) for path in several("TarShards", "paths", paths, str | os.PathLike)
        ]
        self.channels = whole_number("TarShards: channels", channels, 1)
        if at_least is not None:
            at_least = whole_number("TarShards: at_least", at_least, 1)
        self.at_least = at_least
        names = None if classes is None else several("TarShards", "classes", classes, str)
        if not self.paths:
            raise OptionError("TarShards: there is no shard; name one tar file at least")
        require_pillow()
        self.samples: list[tuple[Member, int]] = []
        lengths = []
        for number, path in enumerate(self.paths):
            before = len(self.samples)
            self.samples += _samples(path, number)
            lengths.append(len(self.samples) - before)
        self.lengths = tuple(lengths)
        if not self.samples:
            raise DataError(f"{self.paths[0]}: no samples in {len(self.paths)} shards")
        count = 1 + max(label for _, label in self.samples)
        self.classes = tuple(map(str, range(count))) if names is None else names
        if count > len(self.classes):
            raise DataError(
                f"TarShards: there is a class {count - 1}, but names for {len(self.classes)} alone"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        member, label = self.samples[index]
        path = self.paths[member.shard]
        with opened(path) as shard:
            content = io.BytesIO(_content(shard, member))
        source = Source(Path(f"{path}:{member.name}"), content, member.size)
        return decode_image(source, self.channels, at_least=self.at_least), label

    def __repr__(self) -> str:
        return f"TarShards({len(self)} samples in {len(self.paths)} shards)"


class ShuffledShards:
    """An order for shards: they come at random, and a buffer mixes what is read from them.

    The shards are read from front to back, one after the other. A buffer holds some samples; each
    time a random one of them leaves and the next one takes its place. The buffer is a matter of
    order alone, so nothing of it has to be saved, and any worker can make any batch.

    Parameters
    ----------
    lengths : sequence of int
        Samples of each shard: `TarShards.lengths`.
    buffer : int, default 1000
        Samples among which one is chosen; 1 keeps the order within a shard.

    Examples
    --------
    >>> order = ShuffledShards([4, 4], buffer=2)(np.random.default_rng(0))
    >>> sorted(order.tolist()), bool(abs(order[:4] - order[:4].mean()).max() < 4)
    ([0, 1, 2, 3, 4, 5, 6, 7], True)
    """

    def __init__(self, lengths: Sequence[int], buffer: int = 1000) -> None:
        given = several("ShuffledShards", "lengths", lengths, int | np.integer)
        self.lengths = [whole_number("ShuffledShards: lengths", n, 0) for n in given]
        self.buffer = whole_number("ShuffledShards: buffer", buffer, 1)

    @property
    def population(self) -> int:
        """How many samples there are."""
        return sum(self.lengths)

    def __len__(self) -> int:
        return self.population

    def __call__(self, rng: np.random.Generator) -> NDArray[np.int64]:
        ends = np.cumsum(self.lengths)
        shards = [np.arange(end - n, end) for end, n in zip(ends, self.lengths, strict=True)]
        read = np.concatenate([shards[i] for i in rng.permutation(len(shards))])
        held, order = read[: self.buffer].copy(), np.empty_like(read)
        places = rng.integers(0, len(held), max(0, len(read) - len(held)))
        for i, place in enumerate(places):
            order[i] = held[place]
            held[place] = read[len(held) + i]
        order[len(places) :] = rng.permutation(held)
        return order


def _content(shard: Source, member: Member) -> bytes:
    shard.file.seek(member.start)
    content: bytes = shard.file.read(member.size)
    if len(content) < member.size:
        raise DataError(f"{shard.path}: cut short in {member.name}; fetch it again")
    return content


def _label(shard: Source, member: Member) -> int:
    text = _content(shard, member).strip() if member.size <= LONGEST else b""
    if not text.isdigit() or int(text) >= CLASSES:
        raise DataError(
            f"{shard.path}: {member.name} must hold the number of a class, 0 or more; it has "
            f"{member.size} bytes that are none"
        )
    return int(text)


def _samples(path: Path, shard: int) -> list[tuple[Member, int]]:
    """Return the picture and the class of every sample in a shard, from the heads of its files."""
    found: dict[str, dict[str, Member]] = {}
    with opened(path) as source:
        try:
            with tarfile.open(fileobj=source.file, mode="r:") as shard_:
                for info in shard_:
                    folder, name = os.path.split(info.name)
                    key, _, ending = name.partition(".")
                    if not info.isfile() or info.issparse() or not key:  # "._x.jpg": a system's
                        continue
                    member = Member(shard, info.offset_data, info.size, info.name)
                    found.setdefault(os.path.join(folder, key), {})[ending.lower()] = member
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"{path}: not a whole tar file ({reason(error)}); shards are not packed: unpack "
                "them first, as pictures are packed themselves"
            ) from None
        return [(picture, _label(source, label)) for picture, label in _paired(path, found)]


def _paired(path: Path, found: dict[str, dict[str, Member]]) -> Iterator[tuple[Member, Member]]:
    """Yield the picture and the class of every sample; refuse one that has not one of each."""
    for key, files in found.items():
        pictures = [m for ending, m in files.items() if f".{ending}" in SUFFIXES - {".npy"}]
        labels = [files[ending] for ending in LABELS if ending in files]
        if len(pictures) != 1 or len(labels) != 1:
            raise DataError(
                f"{path}: sample {key!r} needs one picture and one class, as {key}.jpg and "
                f"{key}.cls; it has {', '.join(m.name for m in files.values())}"
            )
        yield pictures[0], labels[0]
