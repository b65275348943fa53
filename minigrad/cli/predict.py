"""``minigrad predict``: what a trained model takes pictures for."""

from __future__ import annotations

import argparse
import csv
import io as text
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.backend import Device
from minigrad.cli.options import (
    add_averaging_options,
    add_trained_options,
    averaged,
    check_file,
)
from minigrad.data.dicom import series_below
from minigrad.data.folder import SUFFIXES, files_below
from minigrad.data.picture import read_image
from minigrad.data.volume import Volume
from minigrad.errors import DataError, MinigradError, OptionError
from minigrad.models import load_pretrained
from minigrad.modes import no_grad
from minigrad.nn import functional as F
from minigrad.runs import find_trained, load_trained
from minigrad.tensor import Tensor
from minigrad.train.precision import in_precision
from minigrad.train.threads import blas_threads
from minigrad.viz import save_png
from minigrad.viz.masks import palette

HELP = "Say what pictures show, with the model that was trained last (or another one)."
EXAMPLES = """examples:
  minigrad predict picture.png                       ask the model that was trained last
  minigrad predict holidays/ --csv guesses.csv       all pictures of a folder, as a table
  minigrad predict photo.jpg --weights timm/convnext_atto.d2_in1k    weights from elsewhere
  minigrad predict photo.jpg --precision bfloat16    half precision, where it is fast
  minigrad predict scan.nii.gz --masks out/          a segmentation: the class of every voxel
  minigrad predict series/ --masks out/              the same of a folder of DICOM slices
  minigrad predict map.tif --masks out/ --tile 512   of a large picture, in tiles that overlap
"""
VOLUMES = (".npy", ".nii", ".nii.gz")


@dataclass(frozen=True)
class Guess:
    """What a model makes of one file: classes and how much of it is theirs, the largest first."""

    path: Path
    shares: Sequence[tuple[str, float]] = ()
    values: bool = False  # whether these are numbers of their own, no shares
    error: str = ""  # why there is none

    def text(self, width: int = 0) -> str:
        """For reading; in a table names of any length take the same width."""
        if self.values:
            return ("  " if width else ", ").join(f"{name} {x:.4g}" for name, x in self.shares)
        if not width:
            return ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares)
        return "  ".join(f"{name:{width}} {100 * share:5.1f} %" for name, share in self.shares)


Mask = NDArray[np.int64] | Volume | None
Answer = tuple[NDArray[Any], Mask]  # shares of the classes, and the class of every position


@dataclass(frozen=True)
class Asked:
    """The model that is asked, wherever it comes from."""

    name: str
    classes: Sequence[str]
    dims: int  # of the files that it is shown
    knows: str  # what its shares are
    masks: bool
    threads: int
    read: Callable[[Path], NDArray[Any]]
    shares: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.int64] | None]]  # of several
    volume: Callable[[Path], Answer] | None = None  # of a file whose mask lies in space
    values: bool = False  # whether it tells numbers, in the order of their names


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="picture, .npy array or volume; or a folder")
    add_trained_options(parser)
    add_averaging_options(parser)
    add("--weights", metavar="PATH", help="instead: any library's checkpoint, or a name on the hub")
    add(
        "--precision",
        default="float32",
        metavar="NAME",
        help="of matrix products and convolutions: float32 (default), bfloat16 or float16",
    )
    add("--top", type=int, default=5, metavar="K", help="guesses for each, best first (default 5)")
    add(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="pictures of one size, or tiles, that the model is shown at a time (default 1)",
    )
    add("--csv", metavar="FILE", help="write the guesses as a table; - prints it")
    add("--masks", metavar="DIR", help="where a segmentation's class of every position is written")


def run(args: argparse.Namespace) -> int:
    """Print the best guesses for every picture."""
    if args.top < 1:
        raise OptionError(f"--top must be 1 or more, got {args.top}")
    if args.batch < 1:
        raise OptionError(f"--batch must be 1 or more, got {args.batch}")
    if args.csv != "-":
        check_file(args.csv)
    precision = in_precision(args.precision, args.device)
    checkpoint = None if args.weights else find_trained(args.checkpoint)
    named = [Path(name) for name in args.images]
    for path in named:
        if not path.exists():
            raise DataError(f"{path}: no such picture")
    asked = _trained(checkpoint, args) if checkpoint else _pretrained(args)
    if args.batch > 1 and asked.volume is not None and not args.tile:
        raise OptionError("--batch is for pictures and for tiles; volumes are asked one by one")
    batch = 1 if args.tile else args.batch
    files = [pair for path in named for pair in _files(path, asked.dims)]
    if args.masks is not None:
        _check_masks(asked, files)
    below = any(path not in named for path, _ in files)
    width = max(len(str(path)) for path, _ in files)
    if below and args.csv != "-":
        print(f"{'file':{width}}  {asked.knows}")
    guesses: list[Guess] = []
    with blas_threads(asked.threads), precision:
        for (path, name), answer in zip(files, _answers(asked, files, batch), strict=True):
            if isinstance(answer, MinigradError):
                if len(files) == 1 or isinstance(answer, OptionError):  # the model cannot be asked
                    raise answer
                guesses.append(Guess(path, error=str(answer)))  # it stops none of the others
                print(f"minigrad: {answer}", file=sys.stderr)
                continue
            shares, mask = answer
            order = np.arange(len(shares)) if asked.values else np.argsort(-shares, kind="stable")
            best = order if asked.values else order[: args.top]
            classes = asked.classes
            told = [(classes[i], float(shares[i])) for i in best]
            guesses.append(Guess(path, told, asked.values))
            if args.csv != "-":
                if below:
                    print(f"{path!s:{width}}  {guesses[-1].text(max(map(len, classes)))}")
                else:
                    print(f"{path}: {guesses[-1].text()}")
            if args.masks is not None and mask is not None:
                _save_mask(Path(args.masks, _mask_of(path, name, asked.dims)), mask, len(classes))
    if args.csv is not None:
        table = _csv(guesses, asked.knows)
        if args.csv == "-":
            print(table, end="")
        else:
            io.write_text(args.csv, table)
            print(f"{args.csv}: {len(guesses)} files as a table")
    failed = sum(bool(guess.error) for guess in guesses)
    if failed:
        print(f"minigrad: {failed} of {len(files)} files could not be read", file=sys.stderr)
    return 1 if failed else 0


def _answers(
    asked: Asked, files: Sequence[tuple[Path, Path]], batch: int
) -> Iterator[Answer | MinigradError]:
    """Yield what the model makes of every file, in order, or why it can make nothing of it.

    Up to `batch` files that follow each other and have one shape are shown together.
    """
    waiting: list[NDArray[Any]] = []
    for path, _ in files:
        try:
            if asked.volume is not None:
                yield asked.volume(path)
                continue
            image = asked.read(path)
        except MinigradError as error:
            yield from _together(asked, waiting)
            yield error
            continue
        if waiting and waiting[0].shape != image.shape:
            yield from _together(asked, waiting)
        waiting.append(image)
        if len(waiting) == batch:
            yield from _together(asked, waiting)
    yield from _together(asked, waiting)


def _together(asked: Asked, images: list[NDArray[Any]]) -> Iterator[Answer | MinigradError]:
    """Yield the answers to images of one shape, and take them off the list."""
    if not images:
        return
    count, stacked = len(images), np.stack(images)
    images.clear()
    try:
        shares, masks = asked.shares(stacked)
    except MinigradError as error:
        yield from [error] * count
        return
    yield from zip(shares, [None] * count if masks is None else masks, strict=True)


def _trained(path: Path, args: argparse.Namespace) -> Asked:
    """Return the model of a run of ours, or an ensemble around it."""
    trained = averaged(load_trained(path, args.device), args)
    task, config, images = trained.task, trained.config, trained.images
    values = images.targets == "numbers"

    return Asked(
        str(path),
        images.classes,
        images.spatial_dims,
        "value" if values else task.knows,
        config.masks,
        config.threads,
        partial(task.read, trained),
        partial(task.shares, trained),
        partial(task.ask, trained) if images.spatial_dims == 3 else None,
        values,
    )


def _pretrained(args: argparse.Namespace) -> Asked:
    """Return a model with weights of any library, which is shown pictures as that library does."""
    if args.checkpoint is not None:
        raise OptionError("--weights and --checkpoint both name a model; give one of them")
    if args.ensemble or args.tta or args.tile:
        raise OptionError("--ensemble, --tta and --tile are for runs, not for --weights")
    Device(args.device)
    model, report = load_pretrained(None, args.weights)
    model.to(args.device).eval()
    preprocessing = report.preprocessing
    if preprocessing is None or not model.num_classes:
        what = "tell no classes" if preprocessing else "are of no model of pictures that is known"
        raise DataError(f"{args.weights}: these weights {what}; see models.load_pretrained")
    print(report)

    def read(file: Path) -> NDArray[Any]:
        return np.asarray(preprocessing(read_image(file)))

    def shares(images: NDArray[Any]) -> tuple[NDArray[Any], None]:
        with no_grad():
            return F.softmax(model(Tensor(images).to(args.device)), 1).cpu().numpy(), None

    classes = report.classes or tuple(map(str, range(model.num_classes)))
    return Asked(str(args.weights), classes, 2, "probability", False, 1, read, shares)


def _files(path: Path, dims: int) -> list[tuple[Path, Path]]:
    """Return a file, or those of a folder, each with the name that its mask gets."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    endings = {1: (".npy",), 2: tuple(sorted(SUFFIXES)), 3: VOLUMES}[dims]
    found = files_below(path, endings)
    if dims == 3:  # a folder of slices is one volume
        found = sorted([*found, *series_below(path, VOLUMES)])
    if not found:
        slices = " or folders of DICOM slices" if dims == 3 else ""
        raise DataError(f"{path}: a folder without pictures ({', '.join(endings)}{slices})")
    names = [file.relative_to(path) for file in found]
    return [
        (file, name if name.name else Path(path.resolve().name))
        for file, name in zip(found, names, strict=True)
    ]


def _check_masks(asked: Asked, files: Sequence[tuple[Path, Path]]) -> None:
    if not asked.masks:
        raise OptionError(
            f"--masks is for a segmentation, but {asked.name} gives a whole picture one class"
        )
    seen: set[Path] = set()
    for name in (_mask_of(*pair, asked.dims) for pair in files):
        if name in seen:
            raise OptionError(f"--masks: two files would both be written to {name}; ask one by one")
        seen.add(name)


def _mask_of(path: Path, name: Path, dims: int) -> Path:
    """Return the name of a mask: that of the picture without its ending, or both of them.

    A volume that lies in space has a mask that does, too; of others it is an array.
    """
    stem = name.name if path.is_dir() else stem_of(name)  # a series
    placed = dims == 3 and path.suffix.lower() != ".npy"
    return name.with_name(f"{stem}-mask{'.nii.gz' if placed else '.npy'}")


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, or both of them.

    Examples
    --------
    >>> stem_of(Path("a/head.nii.gz"))
    'head'
    """
    return path.stem.removesuffix(".nii") if path.suffix == ".gz" else path.stem


def _save_mask(path: Path, mask: NDArray[np.int64] | Volume, classes: int) -> None:
    """Write the class of every position as numbers; of a picture in colours too."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path.parent}: cannot be made ({error.strerror})") from None
    kind = np.min_scalar_type(classes)
    if path.suffix == ".gz" and isinstance(mask, Volume):
        io.write_volume(path, replace(mask, array=mask.array.astype(kind)))
        return
    array = mask.array if isinstance(mask, Volume) else mask
    with io.atomic_write(path) as file:
        np.save(file, array.astype(kind))
    if array.ndim == 2:
        save_png(path.with_suffix(".png"), palette(classes)[array])


def _csv(guesses: Sequence[Guess], share: str) -> str:
    """Return the guesses as CSV: the file, then class and share, best first.

    Where a file could not be read, its row says why, in a last column that there is only then.
    """
    out = text.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    first = max(guesses, key=lambda guess: len(guess.shares))
    if first.values:  # one column for each number
        columns = [name for name, _ in first.shares]
        rows = [[f"{x:.6g}" for _, x in guess.shares] for guess in guesses]
    else:
        numbers = ["", *(f"_{i}" for i in range(2, len(first.shares) + 1))][: len(first.shares)]
        columns = [f"{word}{i}" for i in numbers for word in ("class", share)]
        rows = [[v for name, x in guess.shares for v in (name, f"{x:.6f}")] for guess in guesses]
    errors = ["error"] if any(guess.error for guess in guesses) else []
    writer.writerow(["file", *columns, *errors])
    for guess, row in zip(guesses, rows, strict=True):
        row = row or [""] * len(columns)
        writer.writerow([str(guess.path), *row, *([guess.error] if errors else [])])
    return out.getvalue()
