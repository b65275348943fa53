"""Every format that minigrad reads: valid files, ways to change them, the reader, what is right.

The list is whole if every function that opens a file is passed by some row; `test_fuzz.py` looks
for them in the source.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io as streams
import json
import random
import struct
import tarfile
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
import minigrad.compat.keras.models
from minigrad import io
from minigrad.compat._build import load_pretrained, read_weights
from minigrad.data import PictureTable
from minigrad.errors import StateError
from minigrad.runs import load_trained
from minigrad.runs.config import read_notes
from minigrad.runs.initial import load_initial
from minigrad.runs.parts import build_model
from minigrad.train import read_history
from minigrad.train.log import to_json_lines
from tests.fuzz.checkpoints import CHECKPOINTS
from tests.fuzz.mutate import mutate_bytes, mutate_json, mutate_text
from tests.fuzz.row import Format, rng, written
from tests.fuzz.same import same
from tests.fuzz.weights import WEIGHTS

__all__ = ["FORMATS", "NEEDED"]

# ---- safetensors ----------------------------------------------------------------------------


def safetensors_files() -> list[bytes]:
    arrays = {code: rng().integers(0, 2, (2, 3)).astype(code) for code in "?bBhHiIlLefd"}
    small = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, "<f2")}
    empty = {"a.b": np.zeros((0, 3)), "scalar": np.array(1.5), "": np.arange(3)}
    files = [
        written(lambda p, a=a: io.save_file(a, p, {"by": "us"})) for a in (arrays, small, empty)
    ]
    bits = struct.pack("<3H", 0x3F80, 0xC000, 0x7FC0)
    return [*files, _safetensors('{"x":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}', bits)]


def _safetensors(header: str, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def _header(content: bytes) -> tuple[Any, bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def change_header(content: bytes, rng: random.Random) -> bytes:
    header, data = _header(content)
    return _safetensors(mutate_json(header, rng), data)


def right_safetensors(path: Path, value: Any) -> bool:
    arrays, metadata = value
    content = path.read_bytes()
    header, data = _header(content)
    if (header.pop("__metadata__", None) or {}) != metadata or list(header) != list(arrays):
        return False
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        bits, array = data[start:stop], arrays[name]
        if entry["dtype"] == "BF16":
            bits = (np.frombuffer(bits, "<u2").astype("<u4") << 16).tobytes()
            array = array.astype(np.float32)
        if entry["dtype"] == "BOOL":
            bits = (np.frombuffer(bits, "u1") != 0).tobytes()
        if array.tobytes() != bits or list(array.shape) != entry["shape"]:
            return False
    return True


# ---- states: safetensors with a tree in the metadata ----------------------------------------


def states() -> list[bytes]:
    ones = mg.ones(2)
    nested = {
        "epoch": 3,
        0: ones,
        "0": mg.zeros(1),
        "list": [1, (2, None), {"a": np.arange(2)}],
        "optimizer": {"state": {0: {"step": 1, "m": np.zeros(2)}}, "groups": [{"lr": 1e-3}]},
    }
    return [written(lambda p, s=s: io.save(s, p)) for s in (nested, {"w": ones}, [1, ones], 3.5)]


def change_tree(content: bytes, rng: random.Random) -> bytes:
    header, data = _header(content)
    metadata = header["__metadata__"]
    if "minigrad" not in metadata:
        return change_header(content, rng)
    tree = json.loads(metadata["minigrad"])
    if rng.random() < 0.3 and isinstance(tree, dict):  # swap whole branches
        keys = list(tree)
        a, b = rng.choice(keys), rng.choice(keys)
        tree[a], tree[b] = tree[b], tree[a]
        metadata["minigrad"] = json.dumps(tree)
    else:
        metadata["minigrad"] = mutate_json(tree, rng)
    return _safetensors(json.dumps(header), data)


def right_state(path: Path, value: Any) -> bool:
    """Whatever is read can be written, and is then read as the same."""
    again = path.with_name("again")
    io.save(value, again)
    return same(io.load(again), value)


# ---- arrays ---------------------------------------------------------------------------------


def npy_files() -> list[bytes]:
    arrays = [
        rng().standard_normal((2, 3)).astype("<f4"),
        np.arange(40.0),
        np.arange(6, dtype=">i2").reshape(3, 2),
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.array(2.5),
        np.zeros((0, 4)),
        np.array([True, False]),
    ]
    return [written(lambda p, a=a: np.save(p, a), "a.npy") for a in arrays]


NPY_PIECES = (
    "'descr'", "'<f8'", "'|O'", "'<U4'", "'>c16'", "'|V8'", "[('a', '<f4')]", "'fortran_order'",
    "True", "None", "'shape'", "(2,)", "(-1,)", "(1, 2, 3)", "()", "(99999999999999999999,)",
    "(0, 4611686018427387904)", "{", "}", "(((((", "'\\d'", "\n", ",", "1e9", "(2**40,)",
    "__import__('os')", "(3L,)",
)  # fmt: skip


def change_npy_header(content: bytes, rng: random.Random) -> bytes:
    end = 10 + int.from_bytes(content[8:10], "little")
    header = mutate_text(content[10:end].decode("latin-1").strip(), rng, NPY_PIECES).encode(
        "latin-1"
    )
    header += b"\n" * (rng.random() < 0.9)
    return content[:8] + len(header).to_bytes(2, "little") + header + content[end:]


def right_npy(path: Path, value: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = np.load(path, allow_pickle=False)
    return _same_array(value, wanted)


def _same_array(value: Any, wanted: Any) -> bool:
    """Equal in shape and bits; the byte order may differ, and a bool's byte is 0 or 1."""
    if wanted.dtype.kind == "b":
        wanted = wanted.view(np.uint8) != 0
    wanted = wanted.astype(wanted.dtype.newbyteorder("="))
    return bool(
        value.dtype == wanted.dtype
        and value.shape == wanted.shape
        and value.tobytes() == wanted.tobytes()
    )


def npz_files() -> list[bytes]:
    arrays = {"images": np.arange(64, dtype=np.uint8).reshape(1, 8, 8), "labels": np.arange(3)}
    return [
        written(lambda p, s=s: s(p, **arrays), "a.npz") for s in (np.savez, np.savez_compressed)
    ]


def change_member(content: bytes, rng: random.Random) -> bytes:
    """Change a file inside the archive, under a right checksum."""
    with zipfile.ZipFile(streams.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    name, inner = members[place]
    change = rng.choice((mutate_bytes, change_npy_header))
    members[place] = (
        rng.choice((name, name, "x", "a/../b.npy", "", "é\0.npy")),
        change(inner, rng),
    )
    packed = streams.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", kind) as archive:
        warnings.simplefilter("ignore")
        for name, inner in members:
            archive.writestr(zipfile.ZipInfo(name or "empty"), inner, kind)  # of no date
    return packed.getvalue()


def right_npz(path: Path, value: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = np.load(path, allow_pickle=False)
        return set(value) == set(wanted.files) and all(
            _same_array(value[name], wanted[name]) for name in value
        )


# ---- IDX and NIfTI, packed or not -----------------------------------------------------------


def idx_files() -> list[bytes]:
    images = rng().integers(0, 256, (3, 5, 4), np.uint8)
    head = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
    shorts = struct.pack(">4BI3h", 0, 0, 0x0B, 1, 3, -1, 2, 300)
    return [head + images.tobytes(), shorts, struct.pack(">4BI2d", 0, 0, 0x0E, 1, 2, 0.5, -1.0)]


IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def right_idx(path: Path, value: Any) -> bool:
    content = _unpacked(path)
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    wanted = np.frombuffer(content, IDX_TYPES[content[2]], offset=4 + 4 * content[3])
    return _same_array(value, wanted.reshape(shape))


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def nifti_files() -> list[bytes]:
    files = []
    for order, code, kind, shape in [
        ("<", 4, "i2", (2, 3, 4)), ("<", 16, "f4", (3, 2, 2)), (">", 2, "u1", (2, 2, 2, 1)),
    ]:  # fmt: skip
        header = bytearray(352)
        struct.pack_into(order + "i", header, 0, 348)
        struct.pack_into(order + "8h", header, 40, len(shape), *shape, *(1,) * (7 - len(shape)))
        struct.pack_into(order + "2h", header, 70, code, 8 * np.dtype(kind).itemsize)
        struct.pack_into(order + "8f", header, 76, 1, 2, 2, 2, 1, 1, 1, 1)
        struct.pack_into(order + "3f", header, 108, 352, 1 if code != 4 else 0.5, 0)
        header[344:348] = b"n+1\0"
        values = (rng().random(shape) * 100).astype(order + kind)
        files.append(bytes(header) + values.tobytes("F"))
    return files


def right_nifti(path: Path, value: Any) -> bool:
    """The numbers stand in the file, scaled as it says."""
    content = _unpacked(path)
    order = "<" if content[:4] == struct.pack("<i", 348) else ">"
    kinds = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
    kinds |= {1024: "i8", 1280: "u8", 128: "3u1", 2304: "4u1"}
    axes, *sides = struct.unpack_from(order + "8h", content, 40)
    (code,) = struct.unpack_from(order + "h", content, 70)
    offset, slope, shift = struct.unpack_from(order + "3f", content, 108)
    colours = code in (128, 2304)
    kind = np.dtype(kinds[code] if colours else order + kinds[code])
    found = np.frombuffer(content, kind, int(np.prod(sides[:axes])), int(offset))
    if colours:
        wanted = np.moveaxis(found.reshape(-1, *found.shape[1:]), -1, 0).ravel()
        return bool((value.ravel(order="F") == wanted).all())
    if not np.isfinite(slope) or slope == 0:  # says nothing about the numbers
        slope, shift = 1.0, 0.0
    with np.errstate(all="ignore"):
        wanted = (found * np.float64(slope) + np.float64(shift)).astype(value.dtype)
        return value.size == found.size and _close(value.ravel(order="F"), wanted)


def _close(a: Any, b: Any) -> bool:
    if a.dtype.kind in "iu":
        return bool((a == b).all())
    return bool(
        np.allclose(a.astype(np.float64), b.astype(np.float64), 1e-4, 1e-30, equal_nan=True)
    )


def mgh_files() -> list[bytes]:
    import nibabel

    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image = nibabel.MGHImage(volume, np.eye(4))
    return [written(image.to_filename, "a.mgh")]


def right_mgh(path: Path, value: Any) -> bool:
    """The numbers stand behind a header of 284 bytes, in the reverse byte order."""
    content = path.read_bytes()
    sides, kind = struct.unpack_from(">4i", content, 4), struct.unpack_from(">i", content, 20)[0]
    dtype = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}[kind]
    wanted = np.frombuffer(content, dtype, int(np.prod(sides)), 284)
    found = value.ravel(order="F")
    return found.size == wanted.size and _close(found, wanted.astype(found.dtype))


def dicom_files() -> list[bytes]:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

    files = []
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless):
        one, one.file_meta = Dataset(), FileMetaDataset()
        one.file_meta.TransferSyntaxUID = syntax if syntax != RLELossless else "1.2.840.10008.1.2.1"
        one.SOPClassUID, one.SOPInstanceUID, one.SeriesInstanceUID = CTImageStorage, "1.2", "1.3"
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = (
            4,
            5,
            1,
            "MONOCHROME2",
        )
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelSpacing, one.SliceThickness = [0.5, 0.75], 2
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [1, 2, 3]
        one.RescaleSlope, one.RescaleIntercept = 2, -1024
        order = ">i2" if syntax == ExplicitVRBigEndian else "<i2"
        one.PixelData = np.arange(20).astype(order).tobytes()
        if syntax == RLELossless:
            one.compress(RLELossless, generate_instance_uid=False)
        files.append(written(lambda p, one=one: one.save_as(p, enforce_file_format=True), "a.dcm"))
    return files


def right_dicom(path: Path, value: Any) -> bool:
    """The numbers are pydicom's times the slope plus the intercept, 1 and 0 where none is said."""
    import pydicom

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(path)
        said = [found.get(name) for name in ("RescaleSlope", "RescaleIntercept")]
        slope, shift = (
            n if x in (None, "") else float(x) for n, x in zip((1, 0), said, strict=True)
        )
        pixels = found.pixel_array * slope + shift
    return bool(value.shape == (*pixels.T.shape, 1) and _close(value[..., 0], pixels.T))


def packed(files: Callable[[], list[bytes]]) -> Callable[[], list[bytes]]:
    return lambda: [gzip.compress(content, 1, mtime=0) for content in files()]


def change_packed(content: bytes, rng: random.Random) -> bytes:
    """Change what is packed, under a right checksum."""
    inner = mutate_bytes(gzip.decompress(content), rng)
    if rng.random() < 0.05:
        inner += bytes(2_000_000)  # a small bomb
    return gzip.compress(inner, 1, mtime=0) * rng.choice((1, 1, 1, 2))


# ---- logs of runs ---------------------------------------------------------------------------


def log_files() -> list[bytes]:
    rows: list[dict[str, float]] = [{"epoch": i + 1, "val_loss": 1.5 / (i + 1)} for i in range(3)]
    return [to_json_lines(rows).encode(), to_json_lines(rows[:1]).encode()]


LOG_PIECES = (
    "{}", "[]", "1", "NaN", '{"a": null}', '{"a": "b"}', '{"a": true}', '{"a": {"b": 1}}', "\\0",
    "[" * 2000, f'{{"a": {"9" * 5000}}}', f'{{"a": {"9" * 400}}}',
)  # fmt: skip


def change_log(content: bytes, rng: random.Random) -> bytes:
    return mutate_text(content.decode(), rng, LOG_PIECES).encode()


def right_log(path: Path, value: Any) -> bool:
    return repr(value) == repr([json.loads(line) for line in path.read_text().splitlines()])


# ---- TOML -----------------------------------------------------------------------------------


def toml_files() -> list[bytes]:
    config = mg.runs.TrainConfig(epochs=2, depths=(1, 2), dims=(8, 16))
    return [config.to_toml().encode(), b'data = "fashion-mnist"\nepochs = 2\nlr = 1e-3 # rate\n']


TOML_PIECES = (
    "true", "-1", "0", "1.5", "inf", "nan", "1e999", "9" * 30, "9" * 5000, "[]", "[[]]",
    "[1, 2.5]", "[0]", '["a"]', "{}", "{a = 1}", '""', '"digits"', "'''", '"""', "1979-05-27",
    "[table]", "[[table]]", "a.b.c = 1", "lr = 0.1", "learning_rate = 1", "=", "[" * 2000,
    "a = [" + "[" * 900 + "]" * 901, '"\\ud800"', '"\\u0000"', "\0", "é", "#", "epochs", "data",
    "depths", "device = 'cuda:x'", "seed = -1", "dims = [100000000000]",
    ".".join("a" * 2000) + " = 1",
)  # fmt: skip


def change_toml(content: bytes, rng: random.Random) -> bytes:
    text = mutate_text(content.decode(), rng, TOML_PIECES)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")))


def read_toml(path: Path) -> Any:
    read_notes(path)
    values = mg.runs.read_toml(path)
    return values, mg.runs.TrainConfig.from_values(values)


def right_toml(path: Path, value: Any) -> bool:
    values, config = value
    again = tomllib.loads(config.to_toml())
    return bool(
        values == tomllib.loads(path.read_text("utf-8-sig"))
        and mg.runs.TrainConfig.from_values(again) == config
    )


# ---- tables of pictures ---------------------------------------------------------------------


def table_files() -> list[bytes]:
    return [
        b"path,labels\na.npy,red|round\na.npy,red\na.npy,\n",
        b"image;age;height\r\na.npy;31;1.5\r\na.npy;-4;2e3\r\n",
        b'file,class\na.npy,"a cat, or so"\na.npy,dog\n\na.npy,dog\n',
    ]


TABLE_PIECES = (
    "a.npy,1", "a.npy;1;2", "b.npy,dog", ",", ",,", ";", "|", "path", "path,path", '"', '""', "\0",
    "nan,nan", "1e999", "9" * 5000, "a.npy," + "x" * 9999, "\t", "\r", "é", "/", "..", "a.npy,",
)  # fmt: skip


def change_table(content: bytes, rng: random.Random) -> bytes:
    text = mutate_text(content.decode(), rng, TABLE_PIECES)
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")))


def read_table(path: Path) -> Any:
    (path.parent / "a.npy").touch()
    return PictureTable(path)


def right_table(path: Path, table: Any) -> bool:
    text = path.read_bytes().decode("utf-8-sig")
    mark = "," if "," in text.split("\n", 1)[0] else ";"
    rows = [row for row in csv.reader(streams.StringIO(text, newline=""), delimiter=mark) if row]
    rows = [[field.strip() for field in row] for row in rows if any(row)]
    columns = [column[1:] for column in zip(*rows, strict=True)]
    if table.targets == "class":
        return tuple(table.classes[target] for _, target in table.samples) in columns
    names = [rows[0].index(name) for name in table.classes if name in rows[0]]
    if table.targets == "numbers" or len(names) == len(table.classes) > 1:
        said = [np.float32([columns[i][n] for i in names]) for n in range(len(table))]
        return bool(np.array_equal(said, [target for _, target in table.samples]))
    words = [
        {name for name, is_there in zip(table.classes, target, strict=True) if is_there}
        for _, target in table.samples
    ]
    return any(
        words == [{name.strip() for name in field.split(bar)} - {""} for field in column]
        for column in columns
        for bar in "|;"
    )


# ---- pictures -------------------------------------------------------------------------------


def picture_files() -> list[bytes]:
    from PIL import Image

    files = []
    kinds = "RGB png, L png, P png, RGBA png, I;16 png, RGB jpeg, L tiff, F tiff, RGB bmp, P gif"
    for mode, kind in (pair.split() for pair in kinds.split(", ")):
        target = streams.BytesIO()
        image = Image.new(mode, (6, 5))
        image.putdata(
            list(range(30))
            if mode in ("I;16", "F", "L", "P")
            else [(i,) * len(mode) for i in range(30)]
        )
        image.save(target, kind)
        files.append(target.getvalue())
    return files


def change_png(content: bytes, rng: random.Random) -> bytes:
    """Change a part of a PNG under a right checksum; other kinds have none."""
    if content[:4] != b"\x89PNG":
        return mutate_bytes(content, rng)
    parts, place = [], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        parts.append(content[place + 4 : place + 8 + length])
        place += 12 + length
    chosen = rng.randrange(len(parts))
    parts[chosen] = parts[chosen][:4] + mutate_bytes(parts[chosen][4:], rng)
    if rng.random() < 0.1:
        rng.shuffle(parts)
    return content[:8] + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in parts
    )


def shard_files() -> list[bytes]:
    target = streams.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as shard:
        for number, content in enumerate(picture_files()[:3]):
            for name, part in ((f"{number}.png", content), (f"{number}.cls", b"%d" % number)):
                head = tarfile.TarInfo(name)
                head.size = len(part)
                shard.addfile(head, streams.BytesIO(part))
    return [target.getvalue()]


def read_shard(path: Path) -> Any:
    data = mg.data.TarShards([path])
    return [data[i] for i in range(len(data))]


def right_shard(path: Path, value: Any) -> bool:
    """The classes stand in the file, the pictures are within [0, 1]."""
    content = path.read_bytes()
    return all(b"%d" % label in content and abs(image - 0.5).max() <= 0.5 for image, label in value)


def read_picture(path: Path) -> Any:
    return mg.data.read_image(path, 3)


def right_picture(path: Path, value: Any) -> bool:
    """Of Pillow's size (or lying on its side, by its EXIF), and within [0, 1] but for floats."""
    from PIL import Image

    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("ignore")
        size = {image.size, image.size[::-1]}
        finite = value[np.isfinite(value)] if image.mode != "F" else np.zeros(1)
    return bool(
        value.dtype == np.float32
        and value.shape[0] == 3
        and value.shape[1:] in size
        and (finite >= 0).all()
        and (finite <= 1).all()
    )


# ---- whole models ---------------------------------------------------------------------------


def run_files() -> list[bytes]:
    """A run of ``minigrad train``, after a step, with and without an average."""
    files = []
    for average in (None, 0.9):
        trainer, about = _trainer(average)
        trainer.train_on_batch(mg.ones(2, 1, 8, 8), mg.tensor([0, 1]))
        state = {"kind": "trainer", "about": about, **trainer.state_dict()}
        files.append(written(lambda p, s=state: io.save(s, p)))
    return files


def _trainer(average: float | None) -> tuple[Any, dict[str, Any]]:
    mg.manual_seed(0)
    config = mg.runs.TrainConfig(depths=(1,), dims=(4,), kernel_size=3)
    images = mg.data.ImageSpec(("a", "b"), 1, 8, (0.5,), (0.5,))
    model = build_model(config, images)
    ema = None if average is None else mg.optim.ModelEma(model, average)
    schedule = None
    trainer = mg.train.Trainer(
        model, mg.optim.AdamW(model.parameters()), schedule=schedule, ema=ema
    )
    about = {"config": config.to_dict(), "images": asdict(images)}
    return trainer, about if average is None else {"task": "train", **about}


def read_run(path: Path) -> Any:
    return load_trained(path, "cpu").model.state_dict()


def right_weights(path: Path, value: Any) -> bool:
    """Every weight of the model is the one in the file, as the model's element type holds it."""
    weights = io.load_weights(path)
    with np.errstate(all="ignore"):
        return set(weights) == set(value) and all(
            np.array_equal(own.numpy(), _numpy(weights[name]).astype(own.dtype), equal_nan=True)
            for name, own in value.items()
        )


def _numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, mg.Tensor) else value


def read_to_resume(path: Path) -> Any:
    state = mg.train.load_checkpoint(path)
    trainer, _ = _trainer(0.9 if state.get("ema") is not None else None)
    trainer.load_state_dict(state)
    return trainer


def right_resumed(path: Path, value: Any) -> bool:
    """The weights are those of the file, and what the trainer would save is read as the same."""
    state = value.state_dict()
    again, _ = _trainer(0.9 if value.ema is not None else None)
    again.load_state_dict(state)
    own = io.load(path)["model"]
    with np.errstate(all="ignore"):
        return same(again.state_dict(), state) and all(
            np.array_equal(w.numpy(), _numpy(own[name]).astype(w.dtype), equal_nan=True)
            for name, w in state["model"].items()
        )


def keras_files() -> list[bytes]:
    from minigrad.compat import keras, medicai

    mg.manual_seed(0)
    model = _keras_model()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model.trainer is not None
    model.trainer.train_on_batch(mg.ones(2, 8, 8, 1), mg.tensor([0, 1]))
    backbone = medicai.ConvNeXtBackbone(depths=[1], projection_dims=[4], input_shape=(16, 16, 1))
    return [written(model.save), written(backbone.save)]


def _keras_model() -> Any:
    from minigrad.compat import dl_techniques

    shape = {"depths": (1,), "dims": (4,), "input_shape": (8, 8, 1)}
    return dl_techniques.ConvNeXtV2(num_classes=2, **shape)


def read_keras_weights(path: Path) -> Any:
    """What does not fit as a whole is tried as the weights of another model."""
    model = _keras_model()
    try:
        model.load_weights(path)
    except StateError:
        with contextlib.redirect_stdout(None):
            report = load_pretrained(model, read_weights(path), path)
        own = model.net.state_dict()
        return {name: own[name] for name in report.loaded}
    return model.net.state_dict()


def right_keras_weights(path: Path, value: Any) -> bool:
    weights = {k.removeprefix("net."): _numpy(v) for k, v in io.load_weights(path).items()}
    with np.errstate(all="ignore"):
        return all(
            np.array_equal(own.numpy(), weights[name].astype(own.dtype), equal_nan=True)
            for name, own in value.items()
        )


def read_keras(path: Path) -> Any:
    model = mg.compat.keras.models.load_model(path)
    return model.state_dict()


def whole_files() -> list[bytes]:
    """A ConvNeXt in float16, one of layers, and a trainer with all its parts."""
    mg.manual_seed(0)
    model = mg.models.ConvNeXtV2(1, 2, depths=(1,), dims=(4,), patch_size=2, kernel_size=3)
    layers = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 2, dtype=mg.float64))
    optimizer = mg.optim.AdamW(model.parameters())
    trainer = mg.train.Trainer(
        model,
        optimizer,
        mg.nn.CrossEntropyLoss(weight=mg.ones(2)),
        schedule=mg.optim.WarmupCosineLR(optimizer, 10, 2),
        ema=mg.optim.ModelEma(model, 0.9),
    )
    trainer.train_on_batch(mg.ones(2, 1, 8, 8), mg.tensor([0, 1]))
    files = [written(lambda p, s=s: mg.save(s, p)) for s in (layers, trainer)]
    return [*files, written(lambda p: mg.save(model.half(), p))]


def read_whole(path: Path) -> Any:
    return mg.load(path)


def right_whole(path: Path, value: Any) -> bool:
    """The weights are those of the file; what is no whole model any more is a state."""
    state = io.load(path)
    if not isinstance(value, mg.nn.Module | mg.train.Trainer):
        return same(value, state)
    model = value if isinstance(value, mg.nn.Module) else value.model
    own = model.state_dict()
    with np.errstate(all="ignore"):
        return own.keys() == state["model"].keys() and all(
            np.array_equal(w.numpy(), _numpy(state["model"][n]).astype(w.dtype), equal_nan=True)
            for n, w in own.items()
        )


def weight_files() -> list[bytes]:
    mg.manual_seed(0)
    encoder = mg.models.ConvNeXtV2(1, 2, depths=(1,), dims=(4,), patch_size=2, kernel_size=3)
    masked = mg.models.FCMAE(encoder, decoder_embed_dim=4)
    states = (
        encoder.state_dict(),
        masked.state_dict(),
        {"model": encoder.state_dict(), "epoch": 1},
    )
    return [written(lambda p, s=s: io.save(s, p)) for s in states]


def read_initial(path: Path) -> Any:
    model = mg.models.ConvNeXtV2(1, 2, depths=(1,), dims=(4,), patch_size=2, kernel_size=3)
    report = load_initial(model, path)
    own = model.state_dict()
    return {name: own[name] for name in report.loaded}


def right_initial(path: Path, value: Any) -> bool:
    weights = {f".{name}": _numpy(array) for name, array in io.load_weights(path).items()}
    return bool(value) and all(
        any(
            name.endswith(f".{own}")  # in a model of other models, or under a library's prefix
            and np.array_equal(
                array.astype(ours.dtype).ravel(), ours.numpy().ravel(), equal_nan=True
            )
            for name, array in weights.items()
        )
        for own, ours in value.items()
    )


READ_NIFTI = mg.data.nifti.read_nifti
TREES = [change_tree, change_tree, change_header]
FORMATS = [
    Format(
        "safetensors",
        ".safetensors",
        safetensors_files,
        io.load_file,
        right_safetensors,
        [change_header],
    ),
    Format(
        "state of io.save",
        ".safetensors",
        states,
        io.load,
        right_state,
        [change_tree, change_header],
    ),
    Format("npy", ".npy", npy_files, mg.data.npy.read_npy, right_npy, [change_npy_header]),
    Format("npz", ".npz", npz_files, mg.data.npy.read_npz, right_npz, [change_member]),
    Format("idx", ".idx", idx_files, mg.data.read_idx, right_idx),
    Format("idx.gz", ".gz", packed(idx_files), mg.data.read_idx, right_idx, [change_packed]),
    Format("nii", ".nii", nifti_files, READ_NIFTI, right_nifti),
    Format("nii.gz", ".nii.gz", packed(nifti_files), READ_NIFTI, right_nifti, [change_packed]),
    Format("log of a run", ".jsonl", log_files, read_history, right_log, [change_log]),
    Format("toml configuration", ".toml", toml_files, read_toml, right_toml, [change_toml]),
    Format("table of pictures", ".csv", table_files, read_table, right_table, [change_table]),
    Format("pictures", ".png", picture_files, read_picture, right_picture, [change_png], "PIL"),
    Format("shards", ".tar", shard_files, read_shard, right_shard, needs="PIL"),
    Format("mgh, by nibabel", ".mgh", mgh_files, READ_NIFTI, right_mgh, [], "nibabel"),
    Format("dicom", ".dcm", dicom_files, READ_NIFTI, right_dicom, [], "pydicom"),
    Format("a run, to predict", ".safetensors", run_files, read_run, right_weights, TREES),
    Format("a run, to resume", ".safetensors", run_files, read_to_resume, right_resumed, TREES),
    Format("a whole model", ".safetensors", whole_files, read_whole, right_whole, TREES),
    Format("a model of Keras", ".safetensors", keras_files, read_keras, right_weights, TREES),
    Format(
        "weights of Keras",
        ".safetensors",
        lambda: [keras_files()[0], weight_files()[0]],
        read_keras_weights,
        right_keras_weights,
        TREES,
    ),
    Format("first weights", ".safetensors", weight_files, read_initial, right_initial, TREES),
    *CHECKPOINTS,
    WEIGHTS,
]
NEEDED = {form.needs for form in FORMATS}
FORMATS = [form for form in FORMATS if find_spec(form.needs)]
