"""``minigrad predict``: what a trained model takes pictures for."""

from __future__ import annotations

import argparse
import csv
import io as text
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.backend import Device
from minigrad.cli.options import add_trained_options, check_file
from minigrad.data.folder import SUFFIXES, files_below
from minigrad.data.picture import read_image
from minigrad.errors import DataError, MinigradError, OptionError
from minigrad.models import load_pretrained
from minigrad.modes import no_grad
from minigrad.nn import functional as F
from minigrad.runs import find_trained, load_trained
from minigrad.tensor import Tensor
from minigrad.train.threads import blas_threads
from minigrad.viz import save_png
from minigrad.viz.masks import palette

HELP = "Say what pictures show, with the model that was trained last (or another one)."
EXAMPLES = """examples:
  minigrad predict picture.png                       ask the model that was trained last
  minigrad predict holidays/ --csv guesses.csv       all pictures of a folder, as a table
  minigrad predict photo.jpg --weights timm/convnext_atto.d2_in1k    weights from elsewhere
  minigrad predict scan.nii.gz --masks out/          a segmentation: the class of every voxel
"""
VOLUMES = (".npy", ".nii", ".nii.gz")


@dataclass(frozen=True)
class Guess:
    """What a model makes of one file: classes and how much of it is theirs, the largest first."""

    path: Path
    shares: list[tuple[str, float]]

    def text(self, width: int = 0) -> str:
        """For reading; in a table names of any length take the same width."""
        if not width:
            return ", ".join(f"{name} {100 * share:.1f} %" for name, share in self.shares)
        return "  ".join(f"{name:{width}} {100 * share:5.1f} %" for name, share in self.shares)


Answer = tuple[NDArray[Any], NDArray[np.int64] | None]  # shares of the classes; a mask


@dataclass(frozen=True)
class Asked:
    """The model that is asked, wherever it comes from."""

    name: str
    classes: Sequence[str]
    dims: int  # of the files that it is shown
    knows: str  # what its shares are
    masks: bool
    threads: int
    shares: Callable[[Path], Answer]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="picture, .npy array or volume; or a folder")
    add_trained_options(parser)
    add("--weights", metavar="PATH", help="instead: any library's checkpoint, or a name on the hub")
    add("--top", type=int, default=5, metavar="K", help="guesses for each, best first (default 5)")
    add("--csv", metavar="FILE", help="write the guesses as a table; - prints it")
    add("--masks", metavar="DIR", help="where a segmentation's class of every position is written")


def run(args: argparse.Namespace) -> int:
    """Print the best guesses for every picture."""
    if args.top < 1:
        raise OptionError(f"--top must be 1 or more, got {args.top}")
    if args.csv != "-":
        check_file(args.csv)
    checkpoint = None if args.weights else find_trained(args.checkpoint)
    named = [Path(name) for name in args.images]
    for path in named:
        if not path.exists():
            raise DataError(f"{path}: no such picture")
    asked = _trained(checkpoint, args.device) if checkpoint else _pretrained(args)
    files = [pair for path in named for pair in _files(path, asked.dims)]
    if args.masks is not None:
        _check_masks(asked, [name for _, name in files])
    several = any(path.is_dir() for path in named)
    width = max(len(str(path)) for path, _ in files)
    if several and args.csv != "-":
        print(f"{'file':{width}}  {asked.knows}")
    guesses, failed = [], 0
    with blas_threads(asked.threads):
        for path, name in files:
            try:
                shares, mask = asked.shares(path)
            except MinigradError as error:
                if not several:
                    raise
                failed += 1  # one picture among many that cannot be read stops no other
                print(f"minigrad: {error}", file=sys.stderr)
                continue
            best = np.argsort(-shares, kind="stable")[: args.top]
            classes = asked.classes
            guesses.append(Guess(path, [(classes[i], float(shares[i])) for i in best]))
            if args.csv != "-":
                if several:
                    print(f"{path!s:{width}}  {guesses[-1].text(max(map(len, classes)))}")
                else:
                    print(f"{path}: {guesses[-1].text()}")
            if args.masks is not None and mask is not None:
                _save_mask(Path(args.masks, name), mask, len(classes))
    if args.csv is not None:
        table = _csv(guesses, asked.knows)
        if args.csv == "-":
            print(table, end="")
        else:
            io.write_text(args.csv, table)
            print(f"{args.csv}: {len(guesses)} files as a table")
    if failed:
        print(f"minigrad: {failed} of {len(files)} files could not be read", file=sys.stderr)
    return 1 if failed else 0


def _trained(path: Path, device: str) -> Asked:
    """Return the model of a run of ours."""
    trained = load_trained(path, device)
    task, config, images = trained.task, trained.config, trained.images

    def shares(file: Path) -> Answer:
        answer: Answer = task.shares(trained, task.read(trained, file))
        return answer

    return Asked(
        str(path),
        images.classes,
        images.spatial_dims,
        task.knows,
        config.masks,
        config.threads,
        shares,
    )


def _pretrained(args: argparse.Namespace) -> Asked:
    """Return a model with weights of any library, which is shown pictures as that library does."""
    if args.checkpoint is not None:
        raise OptionError("--weights and --checkpoint both name a model; give one of them")
    Device(args.device)
    model, report = load_pretrained(None, args.weights)
    model.to(args.device).eval()
    preprocessing = report.preprocessing
    if preprocessing is None or not model.num_classes:
        what = "tell no classes" if preprocessing else "are of no model of pictures that is known"
        raise DataError(f"{args.weights}: these weights {what}; see models.load_pretrained")
    print(report)

    def shares(file: Path) -> Answer:
        x = Tensor(preprocessing(read_image(file))[None]).to(args.device)
        with no_grad():
            return F.softmax(model(x), 1).cpu().numpy()[0], None

    classes = report.classes or tuple(map(str, range(model.num_classes)))
    return Asked(str(args.weights), classes, 2, "probability", False, 1, shares)


def _files(path: Path, dims: int) -> list[tuple[Path, Path]]:
    """Return a file, or those of a folder, each with the name that its mask gets."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    endings = {1: (".npy",), 2: tuple(sorted(SUFFIXES)), 3: VOLUMES}[dims]
    found = [(file, file.relative_to(path)) for file in files_below(path, endings)]
    if not found:
        raise DataError(f"{path}: a folder without pictures ({', '.join(endings)})")
    return found


def _check_masks(asked: Asked, names: Sequence[Path]) -> None:
    if not asked.masks:
        raise OptionError(
            f"--masks is for a segmentation, but {asked.name} gives a whole picture one class"
        )
    seen: set[Path] = set()
    for name in map(_mask_of, names):
        if name in seen:
            raise OptionError(f"--masks: two files would both be written to {name}; ask one by one")
        seen.add(name)


def _mask_of(name: Path) -> Path:
    """Return the name of a mask: that of the picture without its ending, or both of them."""
    stem = name.stem.removesuffix(".nii") if name.suffix == ".gz" else name.stem
    return name.with_name(f"{stem}-mask.npy")


def _save_mask(path: Path, mask: NDArray[np.int64], classes: int) -> None:
    """Write the class of every position as numbers; of a picture in colours too."""
    path = _mask_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path.parent}: cannot be made ({error.strerror})") from None
    with io.atomic_write(path) as file:
        np.save(file, mask.astype(np.min_scalar_type(classes)))
    if mask.ndim == 2:
        save_png(path.with_suffix(".png"), palette(classes)[mask])


def _csv(guesses: Sequence[Guess], share: str) -> str:
    """Return the guesses as CSV: the file, then class and share, best first."""
    out = text.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    count = max((len(guess.shares) for guess in guesses), default=1)
    numbers = ["", *(f"_{i}" for i in range(2, count + 1))]
    writer.writerow(["file", *(f"{word}{i}" for i in numbers for word in ("class", share))])
    for guess in guesses:
        values = [value for name, x in guess.shares for value in (name, f"{x:.6f}")]
        writer.writerow([str(guess.path), *values])
    return out.getvalue()
