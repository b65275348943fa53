"""Files that mean harm, given to `load_pretrained`: refused by name; nothing is run or changed."""

from __future__ import annotations

import gzip
import io as streams
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models
from minigrad.errors import DataError

GOLDEN = Path(__file__).parents[2] / "golden"


class Evil:
    """Pickled, it is a call."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def archive(program: bytes, storage: bytes = b"", packing: int = zipfile.ZIP_STORED) -> bytes:
    out = streams.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as file:
        file.writestr("archive/data.pkl", program)
        file.writestr("archive/data/0", storage)
        file.writestr("archive/version", "3\n")
    return out.getvalue()


def _pickle_in_a_zip(command: str) -> bytes:
    return archive(pickle.dumps({"model": {"head.weight": Evil(command)}}, 2))


def _pickle_before_1_6(command: str) -> bytes:
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return magic + pickle.dumps({"little_endian": True}, 2) + pickle.dumps(Evil(command), 2)


def _bomb(command: str) -> bytes:
    return archive(pickle.dumps({}, 2), bytes(50_000_000), zipfile.ZIP_DEFLATED)


def _entry(shape: list[int], start: int, end: int) -> str:
    return f'{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}'


def _safetensors(header: str, data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ATTACKS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "a call in a zip": (_pickle_in_a_zip, rf"asks for {os.name}\.system, which is neither"),
    "a call before 1.6": (_pickle_before_1_6, rf"asks for {os.name}\.system, which is neither"),
    "zip bomb": (_bomb, "compressed or encrypted, which PyTorch's files never are"),
    "gzip bomb": (lambda _: gzip.compress(bytes(50_000_000)), "no checkpoint that is known"),
    "header of 2^63 bytes": (
        lambda _: _safetensors("{}", length=1 << 63), "no checkpoint that is known"
    ),
    "header of 2^32 - 1 bytes": (
        lambda _: _safetensors("{}", length=(1 << 32) - 1), "expected a header of 4294967295 bytes"
    ),
    "shape of 2^62": (
        lambda _: _safetensors(f'{{"a":{_entry([1 << 62], 0, 16)}}}'), f"needs {1 << 64} bytes"
    ),
    "overlapping offsets": (
        lambda _: _safetensors(f'{{"a":{_entry([3], 0, 12)},"b":{_entry([2], 8, 16)}}}'),
        "'b' begins at byte 8, expected 12",
    ),
    "deep JSON": (lambda _: _safetensors('{"a":' * 50_000), "the header is no map of tensors"),
    "another file": (
        lambda _: b'{"weight_map":{"head.weight":"/etc/passwd"}}', "no map of tensors to files"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str, tmp_path: Path) -> None:
    make, message = ATTACKS[name]
    mark, path = tmp_path / "ran", tmp_path / "weights"
    path.write_bytes(make(f"touch {mark}"))
    model = models.ConvNeXt(num_classes=3, depths=(1,), dims=(8,))
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    for target in (model, None, "convnextv2_atto"):
        with pytest.raises(DataError, match=message):
            models.load_pretrained(target, path)
    with pytest.raises(DataError):
        mg.load(path)
    assert not mark.exists()
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


@pytest.mark.parametrize("file", ["v1_keras3.weights.h5.gz", "v1_keras_legacy.h5.gz"])
def test_hdf5_cut_short_anywhere(file: str, tmp_path: Path) -> None:
    content, path = gzip.decompress((GOLDEN / file).read_bytes()), tmp_path / "a.h5"
    for length in range(0, len(content), len(content) // 37):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.h5: "):
            models.load_pretrained(None, path)
