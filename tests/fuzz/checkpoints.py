"""The rows of other programs' checkpoints, and a second way of reading them."""

from __future__ import annotations

import gzip
import io as streams
import json
import pickle
import pickletools
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import minigrad as mg
from minigrad import io
from minigrad.errors import MinigradError
from minigrad.io import hub
from minigrad.io.torch_file import save_torch
from tests.fuzz.mutate import mutate_bytes, mutate_json
from tests.fuzz.row import Format, rng, written

__all__ = ["CHECKPOINTS"]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


# ---- files --------------------------------------------------------------------------------------


def torch_files() -> list[bytes]:
    kinds = "float64 float32 float16 int64 int32 int16 int8 uint8 bool"
    arrays = {kind: (rng().random((2, 3)) * 2).astype(kind) for kind in kinds.split()}
    state = {"model": arrays, "epoch": 3, "args": {"lr": 0.1, "name": "é"}, "none": None}
    small = {"weight": np.arange(6.0).reshape(2, 3), "bias": np.zeros(0, np.float32)}
    quirks = (GOLDEN / "ctr_quirks.pth").read_bytes()
    return [quirks, *(written(lambda p, s=s: save_torch(s, p)) for s in (state, small))]


def legacy_files() -> list[bytes]:
    """Some of the same, as PyTorch wrote them before 1.6."""
    return [(GOLDEN / "ctr_legacy_format.pth").read_bytes(), *map(legacy_of, torch_files()[1:])]


def legacy_of(content: bytes) -> bytes:
    entries = _entries(content)
    program = entries["archive/data.pkl"].replace(b"tQ", b"NtQ")  # a storage is no view of another
    storages: dict[str, Any] = {}
    _Reference(streams.BytesIO(program), storages).load()
    about = {"little_endian": True, "protocol_version": 1001}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, about)]
    parts += [program, pickle.dumps(list(storages), 2)]
    for key, (_, count) in storages.items():
        parts += [struct.pack("<q", count), entries[f"archive/data/{key}"]]
    return b"".join(parts)


# ---- changes that know the format ---------------------------------------------------------------

CODE = (  # what calls os.system, in every protocol, and other things that are no weights
    b"cos\nsystem\nX\x04\0\0\0echo\x85R", b"\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R",
    b"(X\x04\0\0\0echoios\nsystem\n", b"(cos\nsystem\nX\x04\0\0\0echoo", b"cbuiltins\neval\n",
    b"cposix\nsystem\n)\x81", b"cbuiltins\ngetattr\n", b"\x82\x01", b"c__builtin__\nexec\n",
    b"ctorch.storage\n_load_from_bytes\n", b"cnumpy\nload\n", b"c\n\n", b"cos",
)  # fmt: skip
PIECES = (
    *CODE, b"}", b"]", b")", b"(", b"0", b"1", b"2", b"R", b"b", b"Q", b"\x81", b"u", b"s", b"e",
    b"a", b"t", b"\x85", b"\x86", b"\x87", b"N", b"\x88", b".", b"\x94", b"2" * 3000, b"]" * 3000,
    b"\x85" * 3000, b"r\xff\xff\xff\xff", b"j\xff\xff\xff\x7f", b"q\0", b"h\0",
    b"X\xff\xff\xff\x7f",
    b"\x8d" + b"\xff" * 7 + b"\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8a\x09" + b"\xff" * 8 + b"\0",
    b"J\xff\xff\xff\xff", b"M\x01\x04", b"\x8a\x08" + b"\0" * 7 + b"\x40", b"\x95" + b"\xff" * 8,
    b"]q\0h\0a", b"]2a", b"}q\0X\x01\0\0\0ah\0s", b"cargparse\nNamespace\n)\x81", b"B\0\0\0\x7f",
    b"ccollections\nOrderedDict\n)R", b"ctorch\nBFloat16Storage\n", b"ctorch\nFloatStorage\n",
)  # fmt: skip


def change_program(program: bytes, rng: random.Random) -> bytes:
    """Change operations of a pickle, most of them whole ones."""
    if rng.random() < 0.3:
        return mutate_bytes(program, rng)
    begins = [place for _, _, place in pickletools.genops(program)]
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice(begins[1:]) if rng.random() < 0.7 else rng.randrange(2, len(program))
        end = place + rng.choice((0, 0, 1, 3))
        program = program[:place] + rng.choice(PIECES) + program[end:]
    return program


def change_entry(content: bytes, rng: random.Random) -> bytes:
    """Change an archive's program or another entry, or how they are packed."""
    entries = _entries(content)
    names = list(entries)
    kind = rng.randrange(6)
    if kind < 3:
        pickled = next(name for name in names if name.endswith("data.pkl"))
        entries[pickled] = change_program(entries[pickled], rng)
    elif kind == 3:
        name = rng.choice(names)
        entries[name] = rng.choice((mutate_bytes(entries[name], rng), b"", entries[name] * 2))
    elif kind == 4:
        name, other = rng.choice(names), rng.choice(names)
        entries[rng.choice((f"{name}x", other, f"../{name}", "é", "x" * 3000))] = entries.pop(name)
    else:
        entries[rng.choice(names)] = bytes(300_000)  # a small bomb, if it is packed
    packing = zipfile.ZIP_STORED if kind < 5 else rng.choice((0, zipfile.ZIP_DEFLATED))
    packed = streams.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for name, entry in entries.items():
            archive.writestr(zipfile.ZipInfo(name), entry, packing)
    return packed.getvalue()


def change_end(content: bytes, rng: random.Random) -> bytes:
    """Change an archive's list of entries."""
    (start,) = struct.unpack_from("<I", content, content.rindex(b"PK\5\6") + 16)
    return content[:start] + mutate_bytes(content[start:], rng)


def change_legacy(content: bytes, rng: random.Random) -> bytes:
    """Change the pickle of the state, or what stands behind it."""
    file = streams.BytesIO(content)
    ends = [0]
    for _ in range(5):
        _Reference(file, {}).load()
        ends.append(file.tell())
    place = rng.choice((0, 1, 2, 3, 3, 3, 4, 5))
    start, end = ends[place], [*ends, len(content)][place + 1]
    change = change_program if place < 5 else mutate_bytes
    return content[:start] + change(content[start:end], rng) + content[end:]


# ---- a second way of reading: by the standard library, which would run what it is told ----------


class _Reference(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Reads what minigrad has accepted already; the one in Python, as the other trusts lengths."""

    def __init__(self, file: Any, storages: dict[str, Any]) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if name in ("OrderedDict", "defaultdict"):
            return lambda *_: _Dict()
        if name.startswith("_rebuild_tensor"):
            return lambda *arguments: _View(*arguments[:4])
        if name.startswith("_rebuild_parameter"):
            return lambda data, *_: data
        return type(name, (_Other,), {})

    def persistent_load(self, identity: Any) -> Any:
        _, kind, key, _, count, *_ = identity
        return key, self.storages.setdefault(key, (kind.__name__, count))


class _Dict(dict[Any, Any]):
    """One whose attributes do not matter."""


class _Other:
    def __init__(self, *arguments: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass


class _View:
    def __init__(self, storage: Any, offset: int, shape: Any, strides: Any) -> None:
        self.key, (self.kind, _) = storage
        self.offset, self.shape, self.strides = offset, shape, strides

    def array(self, content: bytes) -> Any:
        """Gather the elements one by one."""
        code = {"Double": "d", "Float": "f", "Half": "e", "Long": "q", "Int": "i", "Short": "h",
                "Char": "b", "Byte": "B", "Bool": "?", "BFloat16": "H"}  # fmt: skip
        kind = self.kind.removesuffix("Storage")
        width = np.dtype(code[kind]).itemsize
        numbers = np.frombuffer(content[: len(content) // width * width], code[kind])
        places = np.full(self.shape, self.offset, np.int64)
        for axis, stride in enumerate(self.strides):
            along = np.arange(self.shape[axis]) * stride
            places += along.reshape(-1, *(1,) * (len(self.shape) - 1 - axis))
        found = numbers[places]
        if kind == "BFloat16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.view(np.uint8) != 0 if kind == "Bool" else found


def _entries(content: bytes) -> dict[str, bytes]:
    """Return the entries of an archive; checksums are left alone, as PyTorch leaves them."""
    end = content.rindex(b"PK\5\6")
    size, start = struct.unpack_from("<2I", content, end + 12)
    if content[end - 20 : end - 16] == b"PK\6\7":
        (end,) = struct.unpack_from("<Q", content, end - 12)
        size, start = struct.unpack_from("<2Q", content, end + 40)
    found, at = {}, start
    while at < start + size:
        length, name, extra, comment = struct.unpack_from("<I3H", content, at + 24)
        (head,) = struct.unpack_from("<I", content, at + 42)
        key = content[at + 46 : at + 46 + name].decode()
        at += 46 + name + extra + comment
        begin = head + 30 + sum(struct.unpack_from("<2H", content, head + 26))
        found[key] = content[begin : begin + length]
    return found


def _state(content: bytes) -> tuple[Any, Callable[[str], bytes]]:
    """Return the state of a PyTorch file, and what gives a storage's bytes."""
    storages: dict[str, Any] = {}
    if content[:2] == b"PK":
        entries = _entries(content)
        name = next(name for name in entries if name.endswith("/data.pkl"))
        prefix = name.removesuffix(".pkl")
        state = _Reference(streams.BytesIO(entries[name]), storages).load()
        return state, lambda key: entries[f"{prefix}/{key}"]
    file = streams.BytesIO(content)
    *_, state, keys = (_Reference(file, storages).load() for _ in range(5))
    widths = {"Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "Short": 2, "BFloat16": 2}
    found = {}
    for key in keys:
        kind, count = storages[key]
        found[key] = file.read(8 + count * widths.get(kind.removesuffix("Storage"), 1))[8:]
    return state, found.__getitem__


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict | list | tuple):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, _View):
        yield name, tree


def right_torch(path: Path, value: io.Checkpoint) -> bool:
    state, storage = _state(path.read_bytes())
    part = state
    for key in value.selected.split(".") if value.selected else ():
        part = part[key]
    wanted = {name: view.array(storage(view.key)) for name, view in _leaves(part)}
    return list(wanted) == list(value.tensors) and all(
        _same(value.tensors[name], array) for name, array in wanted.items()
    )


def _same(found: Any, wanted: Any) -> bool:
    if found.dtype.name == "bfloat16":
        found = found.astype(np.float32)
    return bool(
        found.dtype == wanted.dtype
        and found.shape == wanted.shape
        and found.tobytes() == wanted.tobytes()
    )


# ---- several files, and Keras's -----------------------------------------------------------------


def shards() -> dict[str, dict[str, Any]]:
    first = {"a.weight": np.arange(6.0).reshape(2, 3), "a.bias": np.ones(2, np.float32)}
    return {"1.safetensors": first, "2.safetensors": {"b": np.arange(3)}}


def index_files() -> list[bytes]:
    places = {name: file for file, arrays in shards().items() for name in arrays}
    whole = {"metadata": {"total_size": 80}, "weight_map": places}
    return [json.dumps(tree).encode() for tree in (whole, {"weight_map": {"b": "2.safetensors"}})]


def change_index(content: bytes, rng: random.Random) -> bytes:
    tree = json.loads(content)
    if rng.random() < 0.3:
        strange = (
            "/etc/passwd",
            "../1.safetensors",
            "",
            ".",
            "file.json",
            "none",
            "1" * 999,
            "a/b",
        )
        tree["weight_map"][rng.choice(list(tree["weight_map"]))] = rng.choice(strange)
        return json.dumps(tree).encode()
    return mutate_json(tree, rng).encode("utf-8", "surrogatepass")


def read_index(path: Path) -> io.Checkpoint:
    for name, arrays in shards().items():
        if not path.with_name(name).exists():
            io.save_file(arrays, path.with_name(name))
    for name in hub._shards(path):  # before, one from a hub names the files to fetch
        assert Path(name).name == name
    return io.read_checkpoint(path)


def right_index(path: Path, value: io.Checkpoint) -> bool:
    places = json.loads(path.read_bytes())["weight_map"]
    return list(places) == list(value.tensors) and all(
        _same(array, shards()[places[name]][name]) for name, array in value.tensors.items()
    )


def hdf5_files() -> list[bytes]:
    return [gzip.decompress(path.read_bytes()) for path in sorted(GOLDEN.glob("h5_*.gz"))]


def change_hdf5(content: bytes, rng: random.Random) -> bytes:
    """Change a part of the structure: a superblock, tree, list, heap, or object's header."""
    begins = [m.start() for m in re.finditer(rb"TREE|SNOD|HEAP|GCOL|\x01\0.\0\x01\0\0\0", content)]
    start = rng.choice([0, *begins])
    end = start + rng.choice((24, 64, 200))
    return content[:start] + mutate_bytes(content[start:end], rng) + content[end:]


def right_hdf5(path: Path, value: io.Checkpoint) -> bool:
    """The numbers stand in the file in one piece; a valid file gives what was written to it."""
    content = path.read_bytes()
    if content in hdf5_files() and value.tensors.keys() & {"stem/stem/kernel:0"}:
        wanted = {"kernel:0": np.arange(6, dtype="f4").reshape(2, 3), "bias:0": np.ones(3, "f4")}
        layers = ("stem", "dense")
        return list(value.tensors) == [f"{n}/{n}/{w}" for n in layers for w in wanted] and all(
            _same(array, wanted[name.rpartition("/")[2]]) for name, array in value.tensors.items()
        )
    return all(
        array.tobytes() in content
        or array.dtype.kind == "b"
        or array.byteswap().tobytes() in content
        for array in value.tensors.values()
    )


# ---- ONNX ---------------------------------------------------------------------------------------


def onnx_files() -> list[bytes]:
    """A layer in one file, and one whose weights are in a second file."""
    from minigrad.onnx import exporting

    files = []
    for limit in (exporting.LIMIT, 0):
        with mock.patch.multiple(exporting, LIMIT=limit, SMALL=0):
            files.append(written(_export, "file.onnx"))
    return files


def _export(path: Path) -> None:
    mg.onnx.export(_layer(), path, mg.ones(1, 3))


def _layer() -> mg.nn.Module:
    layer = mg.nn.Linear(3, 2)
    layer.load_state_dict({"weight": np.arange(6.0).reshape(2, 3), "bias": np.ones(2)})
    return layer


def change_onnx(content: bytes, rng: random.Random) -> bytes:
    """Change what the file says of its weights."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(7)
    if kind == 0:
        tensor.name = rng.choice(("", "bias", "a/b", "é", "x" * 3000))
    elif kind == 1:
        del tensor.dims[:]
        tensor.dims.extend(rng.choice(((), (6,), (3, 2), (-1,), (0,), (1 << 62, 4), (1,) * 70)))
    elif kind == 2:
        tensor.data_type = rng.randrange(32)
    elif kind == 3:
        tensor.raw_data = mutate_bytes(tensor.raw_data, rng)
    elif kind == 4:
        tensor.data_location = 1 - tensor.data_location
    elif kind == 5 and tensor.external_data:
        entry = rng.choice(tensor.external_data)
        entry.value = rng.choice(
            ("", "-1", "0", "8", "1e3", "9" * 30, "/etc/passwd", "../file.onnx.data", "é", "\0")
        )
    else:
        model.producer_name = rng.choice(("", "pytorch", "é" * 500))
    return bytes(model.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> io.Checkpoint:
    if not path.with_name("file.onnx.data").exists():
        weights = _layer().state_dict().values()
        path.with_name("file.onnx.data").write_bytes(b"".join(w.numpy().tobytes() for w in weights))
    value = io.read_checkpoint(path)
    assert mg.onnx.load_weights(path).keys() == value.tensors.keys()
    with suppress(MinigradError):  # its graph may be wrong, which is not asked for its weights
        mg.onnx.weights.read(path)
    return value


def right_onnx(path: Path, value: io.Checkpoint) -> bool:
    import onnx
    from onnx.numpy_helper import to_array

    wanted = {tensor.name: to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    return list(value.tensors) == [n for n in wanted if "/" not in n] and all(
        _same(np.asarray(array), wanted[name]) for name, array in value.tensors.items()
    )


CHECKPOINTS = [
    Format("ONNX", ".onnx", onnx_files, read_onnx, right_onnx, [change_onnx], "onnx_ir"),
    Format("index of safetensors", ".json", index_files, read_index, right_index, [change_index]),
    Format(
        "Keras's HDF5",
        ".h5",
        hdf5_files,
        io.read_checkpoint,
        right_hdf5,
        [change_hdf5, change_hdf5],
    ),
    Format(
        "PyTorch's zip",
        ".pth",
        torch_files,
        io.read_checkpoint,
        right_torch,
        [change_entry, change_entry, change_end],
    ),
    Format(
        "PyTorch before 1.6",
        ".pth",
        legacy_files,
        io.read_checkpoint,
        right_torch,
        [change_legacy],
    ),
]
