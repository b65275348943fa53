"""``minigrad convert``: weights of one library as those of another."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad.errors import DataError, OptionError
from minigrad.io import read_checkpoint, save_file, save_keras, save_torch
from minigrad.models.weights.detect import recognise
from minigrad.models.weights.export import dialect
from minigrad.models.weights.tables import NAMINGS

HELP = "Rename the weights of a ConvNeXt for another library."
EXAMPLES = """examples:
  minigrad convert convnext_tiny_1k_224_ema.pth tiny.safetensors --to timm
  minigrad convert model.safetensors model.pth --to torchvision
  minigrad convert model.pth model.weights.h5 --to keras
"""
Arrays = Mapping[str, NDArray[Any]]

WRITERS: dict[str, Callable[[Arrays, Path], None]] = {
    ".safetensors": lambda weights, path: save_file(weights, path, {"format": "pt"}),
    ".pth": save_torch,
    ".pt": save_torch,
    ".bin": save_torch,
    ".h5": save_keras,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("input", metavar="IN", help="a file of weights under any library's names")
    parser.add_argument("output", metavar="OUT", help=f"the new file: {', '.join(WRITERS)}")
    parser.add_argument(
        "--to",
        required=True,
        metavar="NAMING",
        choices=sorted({naming.name for naming in NAMINGS}),
        help="whose names: facebook, timm, torchvision, huggingface, …",
    )
    parser.add_argument(
        "--name",
        default="convnext",
        help="what Keras calls the model, in keras_h5 (default: convnext)",
    )
    parser.add_argument(
        "--select", metavar="PART", help="the part of the file to take, e.g. model_ema"
    )


def run(args: argparse.Namespace) -> int:
    """Read, rename, write; say what was left out."""
    output = Path(args.output)
    try:
        write = WRITERS[output.suffix.lower()]
    except KeyError:
        raise DataError(
            f"{output}: no file of weights ends in {output.suffix!r}; name it {', '.join(WRITERS)}"
        ) from None
    _check_keras(output, args.to)
    found = recognise(read_checkpoint(args.input, args.select).tensors)
    weights = dialect(args.to, found.weights).to_theirs(found.weights, args.name)
    write(weights, output)
    print(f"{len(weights)} weights, {found.naming.name} → {args.to}: {output}")
    for key in found.unknown:
        print(f"  left out: {key}")
    return 0


def _check_keras(output: Path, naming: str) -> None:
    """Refuse a file that Keras would take for one of its other kind, or nobody would read."""
    own, older = output.name.endswith(".weights.h5"), output.name.endswith(".h5")
    if older and naming != ("keras" if own else "keras_h5"):
        raise OptionError(
            f"{output}: Keras reads its own names (--to keras) in files that end in .weights.h5, "
            "the older ones (--to keras_h5) in .h5; other names go with other endings"
        )
