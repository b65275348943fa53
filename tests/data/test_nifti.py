"""The reader of NIfTI files understands headers as nibabel does; what it does not is refused."""

from __future__ import annotations

import gzip
import struct
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minigrad.data import read_nifti, read_volume
from minigrad.data.nifti import HEADERS, MAGIC, TYPES
from minigrad.errors import DataError, MinigradError, MissingExtra


def nifti(
    data: bytes, shape: Any, kind: int, version: int = 1, order: str = "<", **fields: Any
) -> bytes:
    """Write a file: header, zeros up to the offset, data."""
    size = {1: 348, 2: 540}[version]
    header = np.zeros((), HEADERS[size].newbyteorder(order))
    header["size"], header["magic"], header["type"] = size, MAGIC[size], kind
    header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    header["zoom"], header["offset"] = 1, size + 4
    for name, value in fields.items():
        header[name] = value
    raw = bytearray(header.tobytes())  # NumPy copies no bytes between fields
    offset = float(header["offset"])
    fill = int(offset) - size if size <= offset < 4096 else 4
    return bytes(raw) + bytes(fill) + data


def volume(values: Any, **fields: Any) -> bytes:
    order = fields.get("order", "<")
    kind = {v: k for k, v in TYPES.items()}[values.dtype.str[1:]]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes("F")
    return nifti(data, values.shape, kind, **fields)


def read(data: bytes, name: str = "a.nii", canonical: bool = False) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read_volume(path, canonical)


def theirs(data: bytes, name: str, canonical: bool) -> Any:
    """What nibabel reads: numbers, affine, distances."""
    nibabel = pytest.importorskip("nibabel")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        image = nibabel.load(path)
        zooms = image.header.get_zooms()  # turned, it would give those of the affine
        if canonical:
            image = nibabel.as_closest_canonical(image)
        array = np.array(image.dataobj)
        return array, image.affine, zooms


NUMBERS = st.floats(-300, 300, width=32)
FIELDS = {
    "offset": st.sampled_from([352, 353, 400, 544, 560, 1000]),
    "slope": st.sampled_from([0, 1, -2, 0.5, 1e-3, 3e4, np.nan, np.inf]),
    "shift": st.sampled_from([0, 0, 5, -1024.5, np.nan, -np.inf]),
    "zoom": st.tuples(
        st.sampled_from([1, -1, 0, 3]),
        *[st.sampled_from([1, 0.7, 2.5, 0, -1.5])] * 3,
        *[st.sampled_from([1, 2])] * 4,
    ),
    "qform": st.sampled_from([0, 1, 2, 5, 9, -1]),
    "sform": st.sampled_from([0, 0, 1, 4, 77]),
    "quaternion": st.tuples(*[st.floats(-0.75, 0.75, width=32)] * 3),
    "origin": st.tuples(NUMBERS, NUMBERS, NUMBERS),
    "rows": st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=3, max_size=3),
}


@settings(deadline=None, max_examples=200)
@given(
    fields=st.fixed_dictionaries(FIELDS),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    kind=st.sampled_from(sorted(TYPES)),
    version=st.sampled_from([1, 2]),
    order=st.sampled_from("<>"),
    packed=st.booleans(),
    canonical=st.booleans(),
    seed=st.integers(0, 9),
)
def test_headers_mean_what_they_mean_to_nibabel(
    fields: dict[str, Any],
    shape: list[int],
    kind: int,
    version: int,
    order: str,
    packed: bool,
    canonical: bool,
    seed: int,
) -> None:
    dtype = np.dtype(TYPES[kind])
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    fields["offset"] = max(fields["offset"], 352 if version == 1 else 544)
    data = volume(values, version=version, order=order, **fields)
    data, name = (gzip.compress(data), "a.nii.gz") if packed else (data, "a.nii")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected, affine, zooms = theirs(data, name, canonical)
        except pytest.skip.Exception:
            raise
        except Exception:
            with pytest.raises(DataError):
                read(data, name, canonical)
            return
    assume(not canonical or len(shape) >= 3)
    try:
        found = read(data, name, canonical)
    except DataError as error:  # an axis that goes nowhere: nibabel leaves it where it is
        assert canonical and "goes nowhere" in str(error)  # noqa: PT017, PT018
        return
    while expected.ndim > 3 and expected.shape[-1] == 1:
        expected, zooms = expected[..., 0], zooms[:-1]
    assert found.array.dtype in (dtype, np.result_type(dtype, np.float32))
    assert found.array.dtype.isnative
    np.testing.assert_allclose(found.array, expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.affine, affine, rtol=1e-4, atol=1e-3)
    order = sorted if canonical else list
    np.testing.assert_allclose(order(found.spacing), order(zooms), rtol=1e-6)


@pytest.mark.parametrize("kind", sorted(TYPES))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_element_type(kind: int, order: str, version: int) -> None:
    dtype = np.dtype(TYPES[kind])
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    if dtype.kind in "iu":
        values[0, 0, 0], values[1, 2, 3] = np.iinfo(dtype).min, np.iinfo(dtype).max
    found = read(volume(values, version=version, order=order)).array
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("kind", "count"), [(128, 3), (2304, 4)])
def test_colours_are_a_last_axis(kind: int, count: int) -> None:
    values = np.arange(2 * 3 * 4 * count, dtype=np.uint8).reshape(2, 3, 4, count)
    data = np.moveaxis(values, -1, 0).tobytes("F")
    found = read(nifti(data, (2, 3, 4), kind, slope=2.0))
    np.testing.assert_array_equal(found.array, values)
    assert found.spacing == (1.0, 1.0, 1.0)
    turned = read(nifti(data, (2, 3, 4), kind), canonical=True)  # no place: first axis to the left
    np.testing.assert_array_equal(turned.array, values[::-1])


def test_scaling_keeps_what_the_numbers_can_tell() -> None:
    wide = np.array([2**24 + 1, -(2**31)], np.int32)
    found = read(volume(wide, slope=2.0, shift=1.0)).array
    assert found.dtype == np.float64
    assert found.tolist() == [2**25 + 3, -(2**32) + 1]
    assert read(volume(np.ones(2, np.int16), slope=2.0)).array.dtype == np.float32
    far = read(volume(np.array([1, -7], np.int16), slope=1e38)).array
    assert far.dtype == np.float64
    np.testing.assert_allclose(far, [1e38, -7e38], rtol=1e-6)


def test_left_is_left() -> None:
    """The same head, written with its first axis to the left and to the right, is the same."""
    head = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    zoom = [1, 2, 3, 4, 1, 1, 1, 1]
    right = volume(head, zoom=zoom, sform=1, rows=np.diag([2.0, 3, 4, 1])[:3])
    left = volume(head[::-1], zoom=zoom, sform=1, rows=[[-2, 0, 0, 2], [0, 3, 0, 0], [0, 0, 4, 0]])
    zoom[1:4] = 4, 2, 3
    lying = volume(
        head.transpose(2, 0, 1), zoom=zoom, sform=1, rows=[[0, 2, 0, 0], [0, 0, 3, 0], [4, 0, 0, 0]]
    )
    for data in (right, left, lying):
        found = read(data, canonical=True)
        np.testing.assert_array_equal(found.array, head)
        np.testing.assert_array_equal(found.affine, np.diag([2, 3, 4, 1]))
        assert found.spacing == (2, 3, 4)
    assert not np.array_equal(read(left).array, head)


CUBE = np.zeros((2, 2, 2), np.int16)
WRONG: dict[str, tuple[bytes, str]] = {
    **{
        f"offset {value}": (
            volume(CUBE, offset=value),
            r"cannot begin at byte \S+, but from 352 on",
        )
        for value in (-1, 0, 348, 351, 352.5, 1e9, 1e30, np.nan, np.inf)
    },
    "offset 540": (volume(CUBE, version=2, offset=540), "but from 544 on"),
    "axes": (volume(CUBE, dim=[0, 2, 2, 2, 1, 1, 1, 1]), "no image has 0 axes"),
    "more axes": (volume(CUBE, dim=[8, 2, 2, 2, 1, 1, 1, 1]), "no image has 8 axes"),
    "empty": (volume(CUBE, dim=[3, 2, 0, 2, 1, 1, 1, 1]), r"the shape \(2, 0, 2\)"),
    "negative": (volume(CUBE, dim=[3, 2, -2, 2, 1, 1, 1, 1]), r"the shape \(2, -2, 2\)"),
    "huge": (volume(CUBE, dim=[7] + [32767] * 7), "expected .* bytes of data"),
    "overflow": (volume(CUBE, version=2, dim=[7] + [2**62] * 7), "expected .* bytes of data"),
    "short": (volume(CUBE)[:-1], "expected 16 bytes of data .* found 15"),
    "header only": (volume(CUBE)[:352], "expected 16 bytes"),
    "cut header": (volume(CUBE)[:200], "not a NIfTI-1 file"),
    "cut header 2": (volume(CUBE, version=2)[:400], "not a NIfTI-1 file"),
    "magic": (volume(CUBE, magic=b"n+9"), "not a NIfTI-1 file"),
    "pair": (volume(CUBE, magic=b"ni1"), r"header of a pair; name it \.hdr"),
    "complex": (volume(CUBE, type=32), r"32 \(complex64\).*minigrad\[volumes\]"),
    "bits": (volume(CUBE, type=1), r"1 \(single bits\).*minigrad\[volumes\]"),
    "type": (volume(CUBE, type=999), "999 .which no version of NIfTI has"),
    "intercept": (volume(CUBE, slope=2, shift=np.nan), "the slope 2, but the intercept nan"),
    "rotation": (volume(CUBE, qform=1, quaternion=[1, 1, 1]), "no parts of a rotation"),
    "no rotation": (volume(CUBE, qform=1, quaternion=[np.nan, 0, 0]), "no parts of a rotation"),
    "empty file": (b"", "not a NIfTI-1 file"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_not_known_is_refused(name: str, packed: bool) -> None:
    data, message = WRONG[name]
    with pytest.raises(DataError, match=rf"a\.nii.*{message}"):
        read(gzip.compress(data) if packed else data, "a.nii.gz" if packed else "a.nii")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sform": 1, "rows": np.zeros((3, 4))}, "axis 0 goes nowhere"),
        ({"sform": 1, "rows": np.full((3, 4), np.nan)}, "no canonical order"),
    ],
)
def test_without_a_direction_there_is_no_canonical_order(
    fields: dict[str, Any], message: str
) -> None:
    read(volume(CUBE, **fields))
    with pytest.raises(DataError, match=message):
        read(volume(CUBE, **fields), canonical=True)
    with pytest.raises(DataError, match="no canonical order of 2 axes"):
        read(volume(CUBE[0]), canonical=True)


def test_a_packed_file_is_checked_and_what_follows_is_not_unpacked(tmp_path: Path) -> None:
    data = volume(CUBE)
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= 1  # the checksum
    with pytest.raises(DataError, match="not a complete gzip file"):
        read(bytes(packed), "a.nii.gz")
    bomb = gzip.compress(data + bytes(1 << 26))
    assert read(bomb, "a.nii.gz").array.shape == (2, 2, 2)


@settings(deadline=None, max_examples=300)
@given(
    version=st.sampled_from([1, 2]),
    packed=st.booleans(),
    changes=st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), max_size=5),
    canonical=st.booleans(),
)
def test_a_changed_file_is_read_or_refused(
    version: int, packed: bool, changes: dict[float, int], canonical: bool
) -> None:
    raw = volume(CUBE, version=version, sform=1, rows=np.eye(4)[:3])
    data = bytearray(gzip.compress(raw) if packed else raw)
    for place, byte in changes.items():
        data[int(place * len(data))] = byte
    with suppress(MinigradError), np.errstate(all="raise", under="ignore"):
        read(bytes(data), "a.nii", canonical)


# --- by nibabel --------------------------------------------------------------------------------


def test_other_formats_are_read_by_nibabel(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
    affine = np.array([[-2.0, 0, 0, 1], [0, 2, 0, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    image = nibabel.Nifti1Pair(values, affine)
    nibabel.save(image, tmp_path / "a.img")
    nibabel.save(nibabel.MGHImage(values[..., 0], affine), tmp_path / "a.mgz")
    for name in ("a.img", "a.hdr", "a.mgz"):
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found.array, values[..., 0])
        np.testing.assert_allclose(found.affine, affine)
        assert found.spacing == (2, 2, 2)
        turned = read_volume(tmp_path / name, canonical=True)
        np.testing.assert_array_equal(turned.array, values[::-1, ..., 0])
    (tmp_path / "b.mgz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b\.mgz: nibabel cannot read"):
        read_nifti(tmp_path / "b.mgz")


def test_without_nibabel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtra, match=r"minigrad\[volumes\]"):
        read(b"", "a.mgz")


def test_a_header_by_hand() -> None:
    """Independent of the table of fields: bytes where the standard puts them."""
    raw = bytearray(352)
    struct.pack_into("<i", raw, 0, 348)
    struct.pack_into("<8h", raw, 40, 3, 2, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<h", raw, 70, 4)
    struct.pack_into("<4f", raw, 76, 1, 2, 3, 4)
    struct.pack_into("<3f", raw, 108, 352, 0, 5)
    struct.pack_into("<2h", raw, 252, 1, 0)
    struct.pack_into("<3f", raw, 268, 7, 8, 9)
    raw[344:348] = b"n+1\0"
    found = read(bytes(raw) + struct.pack("<2h", 1, -1))
    assert found.array.ravel().tolist() == [1, -1]  # a slope of 0 says nothing, nor does 5
    assert found.spacing == (2, 3, 4)
    assert found.affine.tolist() == [[2, 0, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1]]
