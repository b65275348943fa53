"""Tar files of pictures, the order in which they are read, and pictures at a reduced size."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigrad.data import DataLoader, ShuffledShards, TarShards, read_image
from minigrad.errors import DataError


def picture(value: int, kind: str = "png", side: int = 4) -> bytes:
    target = io.BytesIO()
    Image.new("L", (side, side + 1), value).save(target, kind)
    return target.getvalue()


def shard(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    return path


def test_samples_are_found_by_their_number(tmp_path: Path) -> None:
    paths = [
        shard(
            tmp_path / f"{s}.tar",
            {f"{s}/{i}.png": picture(10 * s + i) for i in range(3)}
            | {f"{s}/{i}.cls": b"%d\n" % i for i in range(3)}
            | {f"{s}/._0.png": b"a system's"},
        )
        for s in (0, 1)
    ]
    data = TarShards(paths, channels=1, classes=("a", "b", "c"))
    assert (len(data), data.lengths, data.classes) == (6, (3, 3), ("a", "b", "c"))
    found = [(round(float(x.max()) * 255), x.shape, y) for x, y in map(data.__getitem__, range(6))]
    assert len(TarShards(str(paths[0]), channels=1)) == len(TarShards(paths[0])) == 3
    assert found == [(10 * s + i, (1, 5, 4), i) for s in (0, 1) for i in range(3)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.png": picture(1)}, "sample 'a' needs one picture and one class, as a.jpg and a.cls"),
        ({"a.png": picture(1), "a.cls": b"cat"}, "a.cls must hold the number of a class"),
    ],
)
def test_a_sample_without_a_class_is_refused(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        TarShards([shard(tmp_path / "a.tar", files)])


def test_a_packed_shard_and_a_name_too_few_are_refused(tmp_path: Path) -> None:
    files = {"a.png": picture(1), "a.cls": b"1"}
    with pytest.raises(DataError, match="shards are not packed"):
        TarShards([shard(tmp_path / "a.tar.gz", files, "w:gz")])
    with pytest.raises(DataError, match="a class 1, but names for 1 alone"):
        TarShards([shard(tmp_path / "a.tar", files)], classes=["only"])


def test_a_buffer_mixes_what_is_read_from_front_to_back() -> None:
    """All samples once; none leaves before it was read, and the shards come in a random order."""
    sampler = ShuffledShards([50, 30, 20], buffer=10)
    order = sampler(np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    parts = [range(50), range(50, 80), range(80, 100)]
    first = [min(order.tolist().index(i) for i in part) for part in parts]
    read = np.concatenate([parts[i] for i in np.argsort(first)])  # in the order of their shards
    place = np.empty(100, int)
    place[read] = np.arange(100)  # when each was read
    assert (place[order] <= np.arange(100) + 9).all()
    assert (order != read).mean() > 0.5
    other = sampler(np.random.default_rng(2))
    assert not np.array_equal(order, other)
    loader = DataLoader(list(range(100)), 10, sampler=sampler)
    whole = [x.tolist() for x in loader.batches(3)]
    assert [x.tolist() for x in loader.batches(3, start=4)] == whole[4:]


def test_a_jpeg_is_decoded_at_the_size_that_is_needed(tmp_path: Path) -> None:
    for kind, at_least, side in (("jpeg", 16, 16), ("jpeg", 17, 32), ("png", 16, 64)):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(picture(128, kind, 64))
        image = read_image(path, 1, at_least=at_least)
        assert image.shape[2] == side
        assert abs(image.mean() - 128 / 255) < 0.01
