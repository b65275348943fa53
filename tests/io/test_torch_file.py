"""PyTorch's files, both formats: equal to what PyTorch loads; what it writes of ours likewise."""

from __future__ import annotations

import collections
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DataError
from minigrad.files import opened
from minigrad.io import read_checkpoint, save_torch
from minigrad.io.torch_file import read_torch

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KINDS = "float64 float32 float16 int64 int32 int16 int8 uint8 bool".split()


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    kinds: dict[str, Any] = {kind: (rng.random((3, 5)) * 2).astype(kind) for kind in KINDS}
    return kinds | {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), np.float32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "big-endian": np.arange(4, dtype=">f4"),
        "long": np.zeros(70_000, np.int8),
    }


def torch_array(tensor: Any) -> Any:
    torch = pytest.importorskip("torch")
    tensor = tensor.detach()
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def assert_same(found: Any, wanted: Any) -> None:
    if found.dtype.name == "bfloat16":
        found = found.astype(np.float32)
    assert found.dtype == wanted.dtype.newbyteorder("=")
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pth")), ids=lambda path: path.stem)
def test_golden_files_load_as_pytorch_loads_them(path: Path) -> None:
    import argparse

    import torch

    with torch.serialization.safe_globals([argparse.Namespace]):
        state = torch.load(path, weights_only=True)
    parts = [key for key, part in state.items() if isinstance(part, dict) and leaves(part)]
    parts = [] if "f32" in state else parts
    for select in parts or [""]:
        wanted = leaves(state[select] if select else state)
        found = read_checkpoint(path, select=select).tensors
        assert list(found) == list(wanted)
        for name, tensor in wanted.items():
            assert_same(found[name], torch_array(tensor))


def leaves(tree: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict | list | tuple):
        return {name: tree} if hasattr(tree, "detach") else {}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = {}
    for key, item in items:
        found |= leaves(item, f"{name}.{key}" if name else str(key))
    return found


def test_views_share_the_file(tmp_path: Path) -> None:
    found = read_checkpoint(GOLDEN / "ctr_quirks.pth").tensors
    assert np.shares_memory(found["shared_a"], found["view_offset"])
    assert np.shares_memory(found["shared_a"], found["shared_b"])
    np.testing.assert_array_equal(found["transposed"], np.arange(24).reshape(4, 6).T)
    assert not found["f32"].flags.writeable
    assert found["scalar"].shape == ()
    assert found["nested.list.0"].tolist() == [1, 2]


@pytest.mark.needs("torch")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_writes(tmp_path: Path, protocol: int, zipped: bool) -> None:
    import torch

    words = torch.arange(10, dtype=torch.int32).to(torch.uint16)
    named = torch.nn.Parameter(torch.ones(3))
    named.about = "a tensor with an attribute"  # type: ignore[attr-defined]
    layer = torch.nn.BatchNorm1d(3)
    state = {"words": words, "few": words[3:7], "named": named, **layer.state_dict()}
    extra = {
        "best": np.float64(3),
        "random": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "path": tmp_path,
        "names": {"a", "b"},
        "recent": collections.deque([1.0], maxlen=3),
        "device": torch.device("cuda"),
        "dtype": torch.float32,
        "schedule": torch.optim.lr_scheduler.MultiStepLR(
            torch.optim.SGD([named], 0.1), [1, 2]
        ).state_dict(),
    }
    torch.save(
        {"state_dict": state, **extra},
        tmp_path / "a",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    found = read_checkpoint(tmp_path / "a")
    assert found.selected == "state_dict"
    assert set(found.dropped) == set(extra)
    assert list(found.tensors) == list(state)
    for name, tensor in state.items():
        assert_same(found.tensors[name], torch_array(tensor))


@pytest.mark.needs("torch")
def test_what_is_no_weights_is_named(tmp_path: Path) -> None:
    import torch

    for state, message in (
        (torch.nn.Linear(2, 2), r"asks for torch\.nn\.modules\.linear\.Linear, which is neither"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, r"asks for torch\.ComplexFloatStorage"),
        ({"a": torch.ones(2).to(torch.float8_e4m3fn)}, r"asks for torch\.float8_e4m3fn"),
        ({"a": torch.arange(6.0).expand(2, 6)}, "again and again; save it as tensor.contiguous"),
        ([torch.ones(2)], "holds a list and no named tensors"),
    ):
        torch.save(state, tmp_path / "a")
        with pytest.raises(DataError, match=message):
            read_checkpoint(tmp_path / "a")


# --- writing -----------------------------------------------------------------------------------


def test_round_trip_and_the_same_bytes(tmp_path: Path) -> None:
    state = {"model": arrays(), "epoch": 3, "args": {"lr": 0.1, "name": "é", "n": None, "x": True}}
    save_torch(state, tmp_path / "a")
    save_torch(state, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_checkpoint(tmp_path / "a")
    assert found.metadata == {"epoch": 3}
    assert list(found.tensors) == list(arrays())
    for name, array in arrays().items():
        assert_same(found.tensors[name], array)


def test_storages_are_aligned(tmp_path: Path) -> None:
    save_torch(arrays(), tmp_path / "a")
    for name, array in read_checkpoint(tmp_path / "a").tensors.items():
        assert array.size == 0 or array.__array_interface__["data"][0] % 64 == 0, name


@pytest.mark.needs("torch", "ml_dtypes")
def test_pytorch_reads_what_we_write(tmp_path: Path) -> None:
    import ml_dtypes
    import torch

    halves = np.arange(7).astype(ml_dtypes.bfloat16)
    numbers = {"whole": -(2**40), "real": 0.1, "text": "é", "none": None, "yes": True, "no": False}
    save_torch({"model": {**arrays(), "bfloat16": halves}, **numbers}, tmp_path / "a")
    state = torch.load(tmp_path / "a", weights_only=True)
    mapped = torch.load(tmp_path / "a", weights_only=True, mmap=True)
    assert {key: state[key] for key in numbers} == numbers
    assert state["model"]["bfloat16"].dtype == torch.bfloat16
    for name, array in (arrays() | {"bfloat16": halves.astype(np.float32)}).items():
        assert_same(torch_array(state["model"][name]), array)
        assert_same(torch_array(mapped["model"][name]), array)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": [1]}}, r"a\.b is of type list; only arrays, numbers"),
        ({"a": {"b": np.ones(1, np.complex64)}}, r"a\.b is of dtype complex64, for which"),
        ({"a": 2**63}, "a is of type int"),
        (3j, "the state is of type complex"),
        ({"a": "\ud800"}, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, state: Any, message: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(DataError, match=message):
        save_torch(state, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_dict_as_python_2_wrote_it(tmp_path: Path) -> None:
    def change(entries: dict[str, bytes]) -> None:
        """Make `OrderedDict([["x", tensor]])` of ``{"x": tensor}``."""
        program = entries["archive/data.pkl"]
        start = program.index(b"}(") + 2
        pair = program[start : program.rindex(b"u.")]
        ordered = b"ccollections\nOrderedDict\n(](](" + pair + b"eeltR.".replace(b"l", b"")
        entries["archive/data.pkl"] = program[: start - 2] + ordered

    assert read_checkpoint(repacked(tmp_path, change)).tensors["x"].tolist() == list(range(6))


# --- damage ------------------------------------------------------------------------------------


def repacked(tmp_path: Path, change: Any, packing: int = zipfile.ZIP_STORED) -> Path:
    """Write a small file anew, its entries changed."""
    save_torch({"x": np.arange(6.0)}, tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(tmp_path / "a", "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return tmp_path / "a"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update({"archive/byteorder": b"big"}), "written by a big-endian machine"),
        (lambda e: e.pop("archive/data.pkl"), "but not of PyTorch, which has one data.pkl"),
        (lambda e: e.update({"b/data.pkl": b""}), "but not of PyTorch, which has one data.pkl"),
        (lambda e: e.update({"archive/constants.pkl": b""}), r"a TorchScript program; load it"),
        (lambda e: e.pop("archive/data/0"), "the storage '0' of 48 bytes is missing"),
        (lambda e: e.update({"archive/data/0": b"1"}), "storage '0' of 48 bytes is in 1"),
        (lambda e: e.update({"archive/data.pkl": b"N."}), "holds a NoneType and no named tensors"),
        (lambda e: e.update({"archive/data.pkl": b"}."}), "none, has tensors"),
    ],
)
def test_wrong_archives(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_checkpoint(repacked(tmp_path, change))


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    bomb = repacked(
        tmp_path, lambda e: e.update({"archive/data/0": bytes(10**6)}), zipfile.ZIP_DEFLATED
    )
    with pytest.raises(DataError, match="compressed or encrypted, which PyTorch's files never are"):
        read_checkpoint(bomb)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "message"),
    [
        ((7,), (1,), 0, "reaches beyond the 6"),
        ((2, 3), (4, 1), 0, "reaches beyond the 6"),
        ((1,), (1,), 6, "reaches beyond the 6"),
        ((2**62, 2**62), (0, 0), 0, "again and again"),
        ((7,), (0,), 0, "again and again"),
        ((2**63,), (0,), 0, "not up to 64 sizes"),
        ((-1,), (1,), 0, "not up to 64 sizes"),
        ((2,), (-1,), 3, "not up to 64 sizes"),
        ((2,), (1,), -3, "not up to 64 sizes"),
        ((1,) * 65, (1,) * 65, 0, "not up to 64 sizes"),
        ((1, 1), (1,), 0, "its strides are not"),
        ((0, 2**62, 2**62), (0, 0, 0), 0, "no array has the shape"),
    ],
)
def test_tensors_stay_within_their_storage(
    tmp_path: Path, shape: Any, strides: Any, offset: int, message: str
) -> None:
    def number(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    def numbers(values: Any) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def change(entries: dict[str, bytes]) -> None:
        program = entries["archive/data.pkl"]
        start = program.index(b"tQ") + 2
        view = number(offset) + numbers(shape) + numbers(strides)
        end = program.index(b"\x89ccollections")
        entries["archive/data.pkl"] = program[:start] + view + program[end:]

    with pytest.raises(DataError, match=message) as caught:
        read_checkpoint(repacked(tmp_path, change))
    assert str(caught.value).startswith(f"{tmp_path}")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    save_torch({"x": np.arange(3.0)}, tmp_path / "whole")
    legacy = (GOLDEN / "ctr_legacy_format.pth").read_bytes()
    whole = (tmp_path / "whole").read_bytes()
    for content, step in ((whole, 1), (legacy, 97)):
        for length in range(0, len(content), step):
            (tmp_path / "a").write_bytes(content[:length])
            with pytest.raises(DataError):
                read_checkpoint(tmp_path / "a")


def test_legacy_files_of_other_machines(tmp_path: Path) -> None:
    content = (GOLDEN / "ctr_legacy_format.pth").read_bytes()
    little = content.index(b"little_endian")
    place = content.index(b"\x88", little)
    (tmp_path / "a").write_bytes(content[:place] + b"\x89" + content[place + 1 :])
    with pytest.raises(DataError, match="written by a big-endian machine"):
        read_checkpoint(tmp_path / "a")
    (tmp_path / "a").write_bytes(content.replace(b"M\xe9\x03.", b"M\xe8\x03.", 1))
    with pytest.raises(DataError, match="no file of PyTorch's earlier format 1001"):
        read_checkpoint(tmp_path / "a")


def test_nothing_is_read_that_is_not_selected(tmp_path: Path) -> None:
    with opened(GOLDEN / "ctr_fb_training.pth", mapped=True) as source:
        _, state = read_torch(source)
    assert all(leaf.storage.array is None for leaf in state["model_ema"].values())


def test_archives_above_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their 64-bit fields, in a small file."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    save_torch({"x": np.arange(6.0)}, tmp_path / "a")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "a").tensors["x"].tolist() == list(range(6))
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.testzip() is None
    assert b"PK\6\6" in (tmp_path / "a").read_bytes()


def test_tensors_of_minigrad_are_saved_as_their_arrays(tmp_path: Path) -> None:
    layer = mg.nn.Linear(2, 3)
    save_torch({"model": layer.state_dict(), "weight": layer.weight}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    np.testing.assert_array_equal(found.tensors["weight"], layer.weight.detach().numpy())
