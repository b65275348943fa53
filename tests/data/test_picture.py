"""Pictures of real users: every depth, mode, layout and orientation, and what must be refused."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import read_image
from minigrad.errors import DataError, MinigradError, OptionError

pillow: Any = pytest.importorskip("PIL.Image")

CHANNELS = (1, 3, 4)


def read(data: bytes, name: str = "a.tif", channels: int = 1, **options: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read_image(path, channels, **options)


def encoded(picture: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: Any, photometric: int = 1, bits: int = 0) -> bytes:
    """Write a TIFF of one strip: (H, W) or (H, W, C), in the array's type and byte order."""
    order = ">" if pixels.dtype.str[0] == ">" else "<"
    height, width, samples = (*pixels.shape, 1)[:3]
    data = pixels.tobytes()
    depth = bits or pixels.dtype.itemsize * 8
    form = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {256: width, 257: height, 258: depth, 259: 1, 262: photometric, 273: 0, 277: samples,
            278: height, 279: len(data), 339: form}  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4 + 4 * samples
    body = struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        if tag in (258, 339) and samples > 2:  # one number per channel, behind the directory
            body += struct.pack(order + "HHII", tag, 3, samples, tags[273] - 4 * samples)
            continue
        body += struct.pack(order + "HHII", tag, 4, 1, value)
    extra = struct.pack(f"{order}I{samples}H", 0, *[depth] * samples).ljust(4 + 4 * samples, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + body + extra + data


def check_grey(data: bytes, name: str, expected: Any, atol: float = 2e-7) -> None:
    """Grey, RGB and RGBA of it are what they must be."""
    for channels in CHANNELS:
        image = read(data, name, channels)
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        assert image.shape == (channels, *expected.shape)
        for plane in image[:3]:
            np.testing.assert_allclose(plane, expected, rtol=2e-7, atol=atol)
        if channels == 4:
            assert (image[3] == 1).all()


# --- depths ------------------------------------------------------------------------------------

INTEGERS = ["<u1", ">u1", "<u2", ">u2", "<i2", ">i2", "<u4", "<i4", ">i4"]


@st.composite
def planes(draw: Any, dtypes: list[str]) -> Any:
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if dtype.kind == "f":
        return (rng.standard_normal(shape) * 10.0 ** draw(st.integers(-5, 9))).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = rng.integers(low, high, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)
    values.ravel()[: rng.integers(0, 3)] = high  # white is 1
    return values


@settings(deadline=None, max_examples=150)
@given(pixels=planes([*INTEGERS, "<f4", ">f4"]))
def test_grey_tiffs_of_every_depth(pixels: Any) -> None:
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind != "f" else 1
    check_grey(tiff(pixels), "a.tif", pixels.astype(np.float64) / top)


@settings(deadline=None, max_examples=50)
@given(pixels=planes(["<u2", "<u1"]), format_=st.sampled_from(["PNG", "TIFF", "PPM"]))
def test_grey_of_8_and_16_bits_in_every_format(pixels: Any, format_: str) -> None:
    name = {"PNG": "a.png", "TIFF": "A.TIFF", "PPM": "a.pgm"}[format_]
    data = encoded(pillow.fromarray(pixels), format_)
    check_grey(data, name, pixels.astype(np.float64) / np.iinfo(pixels.dtype).max)


@settings(deadline=None, max_examples=100)
@given(pixels=planes([*INTEGERS, "<f4", ">f8", "<i8"]))
def test_grey_arrays_of_every_depth(pixels: Any) -> None:
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    wide = pixels.dtype.kind == "f" or pixels.dtype.itemsize == 8  # taken as they are
    top = 1 if wide else np.iinfo(pixels.dtype).max
    check_grey(buffer.getvalue(), "a.NPY", pixels.astype(np.float64) / top)


def test_black_and_white_and_twelve_bits() -> None:
    mask = np.array([[True, False, True]])
    for kind in ("PNG", "TIFF", "BMP"):
        check_grey(encoded(pillow.fromarray(mask), kind), f"a.{kind}", mask.astype(float))
    buffer = io.BytesIO()
    np.save(buffer, mask)
    check_grey(buffer.getvalue(), "a.npy", mask.astype(float))
    packed = np.array([[0x00, 0x0F, 0xFF]], np.uint8)  # 0 and 4095
    data = bytearray(tiff(packed, bits=12))
    data[data.index(struct.pack("<HHI", 256, 4, 1)) + 8] = 2  # three bytes, two pixels
    check_grey(bytes(data), "a.tif", np.array([[0.0, 1.0]]))


def test_white_is_zero() -> None:
    """X-ray films are often stored as negatives."""
    for dtype in ("<u1", "<u2"):
        top = np.iinfo(dtype).max
        film = np.array([[0, top // 5, top]], dtype)
        check_grey(tiff(film, photometric=0), "a.tif", 1 - film / top)


# --- modes -------------------------------------------------------------------------------------


def colours(mode: str) -> Any:
    """A picture of a mode that shows red, half-transparent where the mode can."""
    red = pillow.new("RGBA", (3, 2), (255, 0, 0, 128))
    if mode == "P+":
        picture = red.convert("RGB").convert("P", palette=pillow.Palette.ADAPTIVE, colors=2)
        picture.info["transparency"] = bytes([128, 128])
        return picture
    if mode == "RGB+":
        picture = red.convert("RGB")
        picture.info["transparency"] = (255, 0, 0)
        return picture
    return (
        red.convert("RGB").convert(mode)
        if mode in ("1", "P", "CMYK", "YCbCr", "LAB")
        else (red.convert(mode))
    )


MODES = [
    ("1", "PNG", 1), ("L", "PNG", 1), ("L", "JPEG", 1), ("LA", "PNG", 128 / 255), ("P", "PNG", 1),
    ("P", "GIF", 1), ("P", "BMP", 1), ("P+", "PNG", 128 / 255), ("RGB", "PNG", 1),
    ("RGB", "JPEG", 1), ("RGB", "WEBP", 1), ("RGB", "PPM", 1), ("RGB+", "PNG", 0),
    ("RGBA", "PNG", 128 / 255), ("RGBA", "TIFF", 128 / 255), ("CMYK", "JPEG", 1),
    ("CMYK", "TIFF", 1), ("YCbCr", "JPEG", 1), ("LAB", "TIFF", 1),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "kind", "alpha"), MODES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_every_mode_becomes_every_number_of_channels(
    mode: str, kind: str, alpha: float, channels: int
) -> None:
    options = {"transparency": (255, 0, 0)} if mode == "RGB+" else {}
    if mode == "LAB":
        data = encoded(pillow.new("LAB", (3, 2), (136, 209, 198)), kind)
    else:
        data = encoded(colours(mode), kind, **options)
    image = read(data, f"a.{kind.lower()}", channels)
    assert image.shape == (channels, 2, 3)
    assert image.dtype == np.float32
    if mode not in ("1", "L", "LA") and channels > 1:
        np.testing.assert_allclose(image[0], 1, atol=0.02)
        np.testing.assert_allclose(image[1:3], 0, atol=0.03)
    elif mode != "1":
        np.testing.assert_allclose(image[:3], 76 / 255, atol=0.02)
    if channels == 4:
        np.testing.assert_allclose(image[3], alpha, atol=0.01)


# --- orientation -------------------------------------------------------------------------------

TURNS: dict[int, Any] = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: np.transpose, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("kind", "dtype", "options"),
    [
        ("PNG", "u1", {}),
        ("PNG", "u2", {}),
        ("WEBP", "u1", {"lossless": True}),
        *[("TIFF", dtype, {}) for dtype in ("u1", "u2", "f4")],
        *[("TIFF", dtype, {"compression": "tiff_lzw"}) for dtype in ("u1", "u2", "f4")],
    ],
)
def test_cameras_lie_on_their_side(
    orientation: int, kind: str, dtype: str, options: dict[str, Any]
) -> None:
    exif = pillow.Exif()
    exif[274] = orientation
    pixels = (np.arange(6).reshape(2, 3) * 40).astype(dtype)
    data = encoded(pillow.fromarray(pixels), kind, exif=exif.tobytes(), **options)
    expected = TURNS[orientation](pixels)
    check_grey(data, f"a.{kind}", expected / {"u1": 255, "u2": 65535, "f4": 1}[dtype])


def test_jpegs_of_telephones() -> None:
    exif = pillow.Exif()
    exif[274] = 6
    data = encoded(pillow.new("RGB", (16, 8)), "JPEG", exif=exif)
    assert read(data, "a.jpg", 3).shape == (3, 16, 8)
    two = pillow.new("RGB", (8, 8)), pillow.new("RGB", (8, 8), "white")
    photo = encoded(two[0], "MPO", save_all=True, append_images=two[1:])
    assert read(photo, "a.jpg").max() == 0  # the photo, not the view that the camera added
    assert read(photo, "a.jpg", frame=1).min() == 1


# --- pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP"])
def test_of_several_pages_one_is_chosen_never_the_first_by_itself(
    kind: str, tmp_path: Path
) -> None:
    first, *rest = (pillow.new("L", (4, 3), grey) for grey in (0, 100, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / f"many.{kind.lower()}"
    path.write_bytes(encoded(first, kind, save_all=True, append_images=rest, **options))
    with pytest.raises(DataError, match=r"many.*: has 3 pages or frames; choose one with frame=0"):
        read_image(path)
    found = [round(float(read_image(path, frame=i).mean()) * 255) for i in range(3)]
    assert found == [0, 100, 255]
    with pytest.raises(DataError, match=r"has 3 pages or frames, so there is no frame=3"):
        read_image(path, frame=3)
    single = encoded(first, kind, **options)
    assert read(single, path.name, frame=0).shape == (1, 3, 4)
    with pytest.raises(DataError, match="has 1 pages"):
        read(single, path.name, frame=1)


# --- channels ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    count=st.integers(1, 6),
    first=st.booleans(),
    channels=st.integers(1, 6),
)
def test_arrays_of_any_number_of_channels(
    sides: tuple[int, int], count: int, first: bool, channels: int
) -> None:
    shape = (count, *sides) if first else (*sides, count)
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    if shape[0] == channels:
        expected = pixels
    elif shape[2] == channels:
        expected = np.moveaxis(pixels, 2, 0)
    elif 1 in (shape[0], shape[2]) and channels in (3, 4):
        grey = pixels[0] if shape[0] == 1 else pixels[..., 0]
        expected = np.stack([grey] * 3 + [np.ones_like(grey)] * (channels - 3))
    else:
        words = (
            rf"a\.npy: expected {channels} channels, found shape \({', '.join(map(str, shape))}\)"
        )
        with pytest.raises(DataError, match=words):
            read(buffer.getvalue(), "a.npy", channels)
        return
    np.testing.assert_array_equal(read(buffer.getvalue(), "a.npy", channels), expected)


def test_tiffs_of_many_channels_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"a\.tif: Pillow cannot read.*save.*as \.npy"):
        read(tiff(np.zeros((4, 4, 5), np.uint8)))


@pytest.mark.parametrize(
    "options",
    [{"channels": c} for c in (0, 2, 5, "3", 3.0, True, None)]
    + [{"frame": f} for f in (-1, 1.0, "0", True)],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"read_image: (channels|frame) must be"):
        read(encoded(pillow.new("L", (2, 2)), "PNG"), "a.png", **options)


# --- files that are not right ------------------------------------------------------------------


def test_a_picture_that_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"big\.png: too large \(.*MAX_IMAGE_PIXELS"):
        read(encoded(pillow.new("L", (5, 5)), "PNG"), "big.png")


NOISE = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
FILES = {
    f"a.{kind.lower()}": encoded(pillow.fromarray(NOISE), kind)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
} | {"b.tiff": tiff(NOISE.astype(">u2"))}


@settings(deadline=None, max_examples=200)
@given(name=st.sampled_from(sorted(FILES)), left=st.floats(0, 1, exclude_max=True))
def test_a_truncated_picture_is_whole_or_named(name: str, left: float) -> None:
    """Where only what follows the pixels is missing, they may be there."""
    data = FILES[name]
    with suppress(DataError):
        found = read(data[: int(left * len(data))], name)
        assert left > 0.9
        np.testing.assert_array_equal(found, read(data, name))


@pytest.mark.parametrize("name", sorted(FILES))
def test_half_a_picture_is_named(name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: Pillow cannot read this picture \("):
        read(FILES[name][: len(FILES[name]) // 2], name)


@settings(deadline=None, max_examples=300)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), max_size=3),
    head=st.booleans(),
)
@pytest.mark.filterwarnings("ignore")  # Pillow's own
def test_a_changed_picture_is_read_or_named(
    name: str, changes: dict[float, int], head: bool
) -> None:
    data = bytearray(FILES[name])
    for place, byte in changes.items():
        data[int(place * (64 if head else len(data)))] = byte
    with suppress(DataError):
        assert read(bytes(data), name).dtype == np.float32


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "empty.png").touch()
    for name in ("folder.png", "link.png", "empty.png", "null\0.png", "x" * 300 + ".png"):
        with pytest.raises(MinigradError, match=r"\.png"):
            read_image(tmp_path / name)


def test_a_small_file_that_claims_a_huge_picture_is_refused(tmp_path: Path) -> None:
    """Before memory is taken: 13,000 × 6,000 pixels would be 1 GB as floats."""
    pillow.new("L", (5, 4)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = struct.pack(">2I", 13_000, 6_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="bytes cannot hold the 13000×6000 pixels"):
        read_image(tmp_path / "a.png")


def test_an_empty_picture_of_many_pixels_is_no_bomb(tmp_path: Path) -> None:
    pillow.new("L", (3000, 2000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 1).shape == (1, 2000, 3000)
