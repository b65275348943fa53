"""HDF5 as Keras writes it: what h5py reads, and nothing that is not in the file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.errors import DataError
from minigrad.files import opened
from minigrad.io import read_checkpoint
from minigrad.io.hdf5 import read_hdf5

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
needs_h5py = pytest.mark.needs("h5py")


def unpacked(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.decompress((GOLDEN / f"{name}.gz").read_bytes()))
    return path


def written(tmp_path: Path, fill: Callable[[Any], object], **options: Any) -> Path:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w", **options) as file:
        fill(file)
    return tmp_path / "a.h5"


def assert_as_h5py(path: Path) -> None:
    import h5py

    with opened(path) as source:
        arrays, attributes = read_hdf5(source)
    seen = 0
    with h5py.File(path) as file:

        def compare(name: str, found: Any) -> None:
            nonlocal seen
            if isinstance(found, h5py.Group):
                wanted = {key: texts(value) for key, value in found.attrs.items()}
                assert attributes.get(name, {}) == wanted
                return
            seen += 1
            assert arrays[name].dtype == found.dtype.newbyteorder("=")
            assert arrays[name].shape == found.shape
            np.testing.assert_array_equal(arrays[name], found[()])

        file.visititems(compare)
        assert attributes.get("", {}) == {k: texts(v) for k, v in file.attrs.items()}
    assert seen == len(arrays)


def texts(value: Any) -> Any:
    value = np.asarray(value).tolist()
    if isinstance(value, list):
        return [texts(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@needs_h5py
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.h5.gz")), ids=lambda path: path.stem)
def test_golden_files_are_what_h5py_reads(tmp_path: Path, path: Path) -> None:
    assert_as_h5py(unpacked(tmp_path, path.stem))


@needs_h5py
def test_types_shapes_and_many_members(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        for kind in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 >f4 >i2 ?".split():
            numbers = (np.arange(6).reshape(2, 3) % 2).astype(kind)
            file.create_dataset(f"type {kind}", data=numbers)
        file.create_dataset("scalar", data=np.float64(2.5))
        file.create_dataset("empty", shape=(0, 3), dtype="f4")
        for number in range(300):
            file.create_dataset(f"many/{number}", data=np.float32(number))
        file.attrs["numbers"] = np.arange(4)
        file.attrs["texts"] = ["é", "", "x" * 5000]
        file.attrs["bytes"] = np.array([b"a", b"bcd"])
        file.attrs["text"] = "one"

    assert_as_h5py(written(tmp_path, fill))


@needs_h5py
def test_the_format_of_hdf5_1_8(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("a/b", data=np.arange(3))
        file.attrs["name"] = "x"
        group = file.create_group("ordered", track_order=True)
        group.create_dataset("z", data=np.arange(3.0))
        group.create_dataset("a", data=np.arange(2.0))

    assert_as_h5py(written(tmp_path, fill))
    assert_as_h5py(written(tmp_path, fill, libver="latest"))
    many = written(tmp_path, lambda f: [f.create_group(str(i)) for i in range(20)], libver="latest")
    with pytest.raises(DataError, match=r"'' has more members than are read in the format of"):
        read_checkpoint(many)


@pytest.mark.needs("h5py", "ml_dtypes")
def test_bfloat16_as_keras_writes_it(tmp_path: Path) -> None:
    import ml_dtypes

    numbers = np.array([1, -2.5, 3e38], ml_dtypes.bfloat16)

    def fill(file: Any) -> None:
        file.create_dataset("vars/0", data=numbers).attrs["dtype"] = "bfloat16"

    found = read_checkpoint(written(tmp_path, fill)).tensors["vars/0"]
    np.testing.assert_array_equal(found, numbers)


@needs_h5py
def test_what_keras_never_writes_is_refused(tmp_path: Path) -> None:
    import h5py

    ones = np.ones((4, 4))
    for fill, message in (
        (lambda f: f.create_dataset("a", data=ones, chunks=(2, 2)), "'a' is cut into chunks"),
        (lambda f: f.create_dataset("a", data=ones, compression="gzip"), "'a' is compressed"),
        (lambda f: f.create_dataset("a", data=["x"]), "'a' holds texts"),
        (lambda f: f.create_dataset("a", data=ones * 1j), "numbers of class 6 with 16 bytes"),
        (lambda f: f.create_dataset("a", (9,), "f4", external=[("raw", 0, 36)]), "another file"),
        (lambda f: f.create_dataset("a", (9,), "f4"), "needs 36 bytes"),  # never filled
        (lambda f: f.__setitem__("a", h5py.SoftLink("/b")), "a symbolic link"),
        (lambda f: f.__setitem__("a", h5py.ExternalLink("b.h5", "/b")), "link|has more members"),
        (lambda f: f.create_group("a").__setitem__("b", f), "'a/b' leads in a circle"),
    ):
        with pytest.raises(DataError, match=message):
            read_checkpoint(written(tmp_path, fill))


def test_keras_lists_give_the_order(tmp_path: Path) -> None:
    found = read_checkpoint(unpacked(tmp_path, "h5_keras_legacy.h5"))
    assert list(found.tensors) == [
        f"{layer}/{layer}/{weight}"
        for layer in ("stem", "dense")
        for weight in ("kernel:0", "bias:0")
    ]
    assert found.format == "keras"
    assert found.metadata["keras_version"] == "3.1"
    assert found.metadata["layer_names"] == ["input", "stem", "dense"]
    assert found.metadata["groups"]["stem"] == {"weight_names": ["stem/kernel:0", "stem/bias:0"]}


def test_layers_are_counted_and_the_optimizer_left_out(tmp_path: Path) -> None:
    path = unpacked(tmp_path, "h5_keras3.weights.h5")
    found = read_checkpoint(path)
    layers = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_10", "dense")
    assert list(found.tensors) == [f"layers/{layer}/vars/{n}" for layer in layers for n in (0, 1)]
    assert found.dropped == ("optimizer/vars/0",)
    assert found.metadata["groups"]["layers/conv2d_10/vars"] == {"name": "my_conv2d_10"}
    assert read_checkpoint(path, select="optimizer").tensors["vars/0"] == 7


@needs_h5py
def test_a_whole_model_of_the_older_format(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["b", "a"]
        for name in "ab":
            group.create_dataset(f"{name}/{name}/kernel", data=np.ones(3))
            group[name].attrs["weight_names"] = [f"{name}/kernel"]
        file.create_dataset("optimizer_weights/m", data=np.ones(3))
        file.attrs["model_config"] = "{}" * 1000

    found = read_checkpoint(written(tmp_path, fill))
    assert list(found.tensors) == ["b/b/kernel", "a/a/kernel"]
    assert found.selected == "model_weights"
    assert found.dropped == ("optimizer_weights/m",)


@pytest.mark.parametrize("name", ["h5_keras_legacy.h5", "h5_keras3.weights.h5"])
def test_every_truncation_is_noticed(tmp_path: Path, name: str) -> None:
    path = unpacked(tmp_path, name)
    whole = path.read_bytes()
    found = read_checkpoint(path).tensors
    last = max(whole.index(array.tobytes()) + array.nbytes for array in found.values())
    for length in range(0, last, 61):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_checkpoint(path)


def test_a_tree_that_grows_into_itself_ends(tmp_path: Path) -> None:
    path = unpacked(tmp_path, "h5_keras_legacy.h5")
    whole = path.read_bytes()
    place = whole.index(b"TREE")
    own = place.to_bytes(8, "little")
    path.write_bytes(whole[: place + 32] + own + whole[place + 40 :])
    with pytest.raises(DataError, match="its structure is larger than that of any model"):
        read_checkpoint(path)


@needs_h5py
@pytest.mark.parametrize(
    "value", [5, 1.5, "dense", [1, 2], [["dense"]], np.zeros((2, 2))], ids=repr
)
def test_lists_of_names_that_are_none_are_ignored(tmp_path: Path, value: Any) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("dense/w", data=np.arange(3.0))
        file.attrs["layer_names"] = np.array([b"dense"])
        file["dense"].attrs["weight_names"] = value

    assert list(read_checkpoint(written(tmp_path, fill)).tensors) == ["dense/w"]

    def fill_top(file: Any) -> None:
        file.create_dataset("dense/w", data=np.arange(3.0))
        file.attrs["layer_names"] = value

    assert list(read_checkpoint(written(tmp_path, fill_top)).tensors) == ["dense/w"]
