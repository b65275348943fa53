"""Where training starts when it does not start from nothing: the weights of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.errors import DataError
from minigrad.models.weights.describe import describe
from minigrad.models.weights.detect import recognise
from minigrad.nn import Module
from minigrad.nn.state import LoadReport
from minigrad.runs.config import read_toml

__all__ = ["initial_sizes", "initial_view", "load_initial"]

# What a run's folder may hold, the best first: weights, then the state of a run under way.
FILES = (
    "encoder.safetensors",
    "model.safetensors",
    "pretraining.safetensors",
    "checkpoint.safetensors",
)
VIEW = ("channels", "mono", "whole", "image_size")
SIZES = ("model", "depths", "dims", "patch_size", "kernel_size")
NEW = ("norm", "head.")  # may differ: the final norm, or those of features, and the head


def load_initial(model: Module, path: str | Path) -> LoadReport:
    """Load the weights of an earlier run, or of a file, into a model that is to be trained.

    Parameters
    ----------
    model : Module
        A ConvNeXt.
    path : path
        The folder of a run of ``minigrad pretrain`` or ``minigrad train``, or a file: of a masked
        autoencoder or of a model, under the names of any library.

    Returns
    -------
    LoadReport
        A head for other classes, the final norm after pre-training, and the norms of features are
        left as they are.

    Raises
    ------
    DataError
        If there are no weights, or they are those of another model; nothing has changed then.
    """
    file = _file(Path(path))
    weights = _weights(file)
    own = model.state_dict()
    body = [name for name in own if not name.startswith(NEW)]
    wrong = [n for n in body if n not in weights or weights[n].shape != own[n].shape]
    if wrong:
        found = weights[wrong[0]].shape if wrong[0] in weights else "missing"
        raise DataError(
            f"{file}: {len(wrong)} of {len(body)} weights do not fit the model, first of them "
            f"{wrong[0]} (in the file {found}, in the model {own[wrong[0]].shape}); build it with "
            f"the {', '.join(SIZES)} of the run that made them"
        )
    return model.load_state_dict(weights, strict=False, ignore_mismatched_sizes=True)


def initial_sizes(path: str | Path) -> dict[str, Any]:
    """Return the options of a run that its model is built from; none for a bare file."""
    file = Path(path) / "config.toml"
    if not file.is_file():
        return {}
    return {name: value for name, value in read_toml(file).items() if name in SIZES}


def initial_view(path: str | Path) -> dict[str, Any]:
    """Return the options of a training on pictures that goes on from weights: sizes, and the view.

    A run of ours says how its pictures were read; a file, how many channels its first layer has.
    """
    place = Path(path)
    if (place / "config.toml").is_file():
        saved = read_toml(place / "config.toml")
        return {name: value for name, value in saved.items() if name in (*SIZES, *VIEW)}
    if place.is_dir():
        return {}
    found = describe(_weights(place))
    if found.get("spatial_dims") != 2 or "depths" not in found:
        raise DataError(
            f"{path}: these are not the weights of a ConvNeXt for pictures; build the model that "
            "they are of in Python, with models.load_pretrained"
        )
    sizes = {name: found[name] for name in SIZES if name in found}
    model = "convnextv2" if found["grn"] else "convnext"
    return {"model": model, **sizes, "channels": found["in_channels"]}


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise DataError(
        f"{path}: no weights to start from (looked for {', '.join(FILES)}); name the folder of a "
        "run of 'minigrad pretrain' or 'minigrad train'"
    )


def _weights(file: Path) -> dict[str, Any]:
    own = file.suffix == ".safetensors"  # perhaps with a run's state around them
    weights = io.load_weights(file) if own else io.read_checkpoint(file).tensors
    try:
        return recognise(weights).weights
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
