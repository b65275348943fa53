"""Pictures as they come from cameras, microscopes and X-ray machines, as float32 (C, H, W)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image, to_float, whole_number
from minigrad.data.npy import read_npy
from minigrad.errors import DataError, OptionError, missing_extra
from minigrad.files import INFLATION, Source, opened, reason, to_path

__all__ = ["decode_image", "read_image", "require_pillow"]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SMALL = 1 << 22  # pixels that any file may claim
_TIFF_PHOTOMETRIC, _TIFF_BITS, _TIFF_FORMAT = 262, 258, 339


def read_image(
    path: str | Path, channels: int = 3, frame: int | None = None, at_least: int | None = None
) -> Image:
    """Read a picture as float32 (C, H, W).

    Parameters
    ----------
    path : path
        Any format that Pillow reads (extra ``images``), or a ``.npy`` array of shape (C, H, W),
        (H, W, C) or (H, W), which needs NumPy alone.
    channels : int, default 3
        3 for RGB, 1 for grey, 4 for RGBA; other pictures are converted, and transparency is left
        out where it is not asked for. An array has as many as it has (the first axis where that
        fits, else the last); only a grey one can become RGB or RGBA.
    frame : int, optional
        Which page of a TIFF or frame of an animation, from 0 on; needed where there are several.
    at_least : int, optional
        A JPEG may be decoded at a half, a quarter or an eighth of its size, as long as both sides
        keep so many pixels: it takes a fraction of the time. Other formats know nothing of it.

    Returns
    -------
    numpy.ndarray
        Upright, as the camera's EXIF data say. Whole numbers are divided by the largest that their
        8, 16 or 32 bits hold, so they lie in [0, 1]; floats, and the 64-bit integers that NumPy
        makes of a list, are taken as they are. Pillow keeps 8 bits per channel of colour pictures.

    Raises
    ------
    DataError
        If the file is missing, damaged or too large, has several pages and none was chosen, or an
        array does not have that many channels.
    MissingExtra
        If Pillow is needed and not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minigrad.viz import save_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.png")
    ...     save_png(path, np.full((4, 6), 255, np.uint8))
    ...     read_image(path, channels=1).shape
    (1, 4, 6)
    """
    path = to_path(path)
    array = path.suffix.lower() == ".npy"
    channels = whole_number("read_image: channels", channels, 1)
    if channels not in _MODES and not array:
        raise OptionError(
            f"read_image: channels must be 1, 3 or 4, got {channels}; only .npy arrays have others"
        )
    if frame is not None:
        frame = whole_number("read_image: frame", frame, 0)
    if at_least is not None:
        at_least = whole_number("read_image: at_least", at_least, 1)
    if not os.path.isfile(path):  # False also for names that no system takes
        raise DataError(f"{path}: no such picture")
    if array:
        return _from_array(path, channels)
    # Pillow gets a file, not a path: a path it would map into memory, and take width for height of
    # TIFF pictures that lie on their side.
    with opened(path) as source:
        return decode_image(source, channels, frame, at_least)


def decode_image(
    source: Source, channels: int = 3, frame: int | None = None, at_least: int | None = None
) -> Image:
    """Return a picture from an open file; all else as `read_image`."""
    pillow, path = require_pillow(), Path(source.path)
    try:
        with pillow.open(source.file) as picture:
            _check_size(picture, source)
            _choose(picture, path, frame)
            _check_size(picture, source)  # pages differ
            if at_least is not None:
                picture.draft(None, (at_least, at_least))
            return _pixels(picture, channels)
    except DataError:
        raise
    except pillow.DecompressionBombError as error:
        raise DataError(
            f"{path}: too large ({error}); shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except pillow.UnidentifiedImageError:
        raise DataError(
            f"{path}: Pillow cannot read this picture, it is of no format that it knows; "
            "save other channels and element types as .npy"
        ) from None
    except Exception as error:  # a decoder for strangers' files raises anything
        raise DataError(
            f"{path}: Pillow cannot read this picture ({reason(error)}); save other channels "
            "and element types as .npy"
        ) from None


def require_pillow() -> Any:
    """Return Pillow's module of images, or say how to get it."""
    try:
        from PIL import Image
    except ImportError:
        raise missing_extra("Pillow", "images") from None
    return Image


def _check_size(picture: Any, source: Source) -> None:
    """Refuse a small file that claims a huge picture, before memory is taken for it."""
    width, height = picture.size
    if width * height > max(_SMALL, source.limit * INFLATION):
        raise DataError(
            f"{source.path}: {source.limit} bytes cannot hold the {width}×{height} pixels that "
            "they claim to; the file is damaged"
        )


def _choose(picture: Any, path: Path, frame: int | None) -> None:
    """Go to the frame, which must be named where there are several."""
    # Further views that cameras add to a photo (MPO) are not pages: every viewer shows the first
    count = 1 if picture.format == "MPO" and frame is None else getattr(picture, "n_frames", 1)
    if frame is None and count > 1:
        raise DataError(
            f"{path}: has {count} pages or frames; choose one with frame=0 to {count - 1}, or save "
            "each as a file"
        )
    if frame is not None and frame >= count:
        raise DataError(f"{path}: has {count} pages or frames, so there is no frame={frame}")
    if frame is not None and count > 1:
        picture.seek(frame)


def _pixels(picture: Any, channels: int) -> Image:
    from PIL import ImageOps

    picture.load()
    scale, inverted = _range(picture)
    upright = ImageOps.exif_transpose(picture)
    if scale:
        values = np.asarray(upright)
        if scale > 1 << 31:
            values = values.view(np.uint32)  # Pillow has no such type and hands out int32
        grey = np.asarray(values / np.float32(scale), np.float32)
        return _as_colour(np.float32(1) - grey if inverted else grey, channels)
    if "transparency" in upright.info:
        upright = upright.convert("RGBA")
    for step in {"La": ["LA"], "RGBa": ["RGBA"], "LAB": ["RGB"]}.get(upright.mode, []):
        upright = upright.convert(step)
    bytes_ = np.asarray(upright.convert(_MODES[channels]))
    return to_float(bytes_[None] if channels == 1 else _channels_first(bytes_))


def _range(picture: Any) -> tuple[int, bool]:
    """Return the largest value of a grey picture of more than 8 bits, and whether that is black.

    0 means that it is not such a picture, 1 that its values are floats.
    """
    if picture.mode == "F":
        return 1, False
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return 0, False
    if picture.format != "TIFF":
        wide = picture.mode == "I" and picture.format not in ("PNG", "PPM")  # these have 16 bits
        return (1 << 31 if wide else 1 << 16) - 1, False
    tags = picture.tag_v2
    bits, signed = tags.get(_TIFF_BITS, (1,))[0], tags.get(_TIFF_FORMAT, (1,))[0] == 2
    return (1 << bits - signed) - 1, tags.get(_TIFF_PHOTOMETRIC) == 0


def _from_array(path: Path, channels: int) -> Image:
    array = read_npy(path)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(
            f"{path}: expected numbers of shape (C, H, W), (H, W, C) or (H, W), "
            f"found {array.dtype} {array.shape}"
        )
    pixels = to_float(array)
    for count in (channels, 1):
        if pixels.ndim == 3 and pixels.shape[0] == count:
            break
        if pixels.ndim == 3 and pixels.shape[2] == count:
            pixels = _channels_first(pixels)
            break
    if pixels.ndim == 2 or len(pixels) == 1:
        pixels = _as_colour(pixels.reshape(pixels.shape[-2:]), channels)
    if len(pixels) != channels:
        raise DataError(
            f"{path}: expected {channels} channels, found shape {array.shape} of which neither the "
            "first nor the last axis has as many"
        )
    return np.ascontiguousarray(pixels)


def _as_colour(grey: Image, channels: int) -> Image:
    """Return grey pixels (H, W) as RGB or opaque RGBA; grey where there is no such rule."""
    if channels not in (3, 4):
        return grey[None]
    planes = [grey] * 3 + [np.ones_like(grey)] * (channels - 3)
    return np.stack(planes)


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C) → (C, H, W)."""
    return np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
