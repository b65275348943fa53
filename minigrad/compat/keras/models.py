"""Loading whole models: `load_model`."""

from __future__ import annotations

import importlib
from typing import Any

from minigrad import io
from minigrad.compat.keras.losses import CROSSENTROPIES
from minigrad.compat.keras.model import Model
from minigrad.compat.keras.optimizers import Spec
from minigrad.errors import DataError

__all__ = ["load_model"]

SYSTEMS = ("medicai", "dl_techniques")


def load_model(path: Any) -> Model:
    """Build the model that `Model.save` wrote, with its weights and its optimizer's state.

    Parameters
    ----------
    path : path
        The file. It holds names and numbers, never code.

    Returns
    -------
    Model
        Compiled as it was, ready to train on.

    Raises
    ------
    DataError
        If the file is missing, damaged, or of another kind.
    """
    state = io.load(path)
    if not isinstance(state, dict) or state.get("kind") != "keras model":
        raise DataError(
            f"{path}: no model that model.save wrote; for bare weights build the model and use "
            "model.net.load_state_dict(minigrad.io.load(path))"
        )
    with io.building(path, state.get("weights")):
        model = _build(*state["config"])
        model.load_state_dict(state["weights"])
        if state["compiled"] is not None:
            model.compile(**_compiled(state["compiled"]))
            if model.trainer is not None:
                weights = {"model": model.state_dict()}
                model.trainer.load_state_dict(state["trainer"] | weights)
    return model


def _build(system: str, function: str, config: dict[str, Any]) -> Model:
    module = importlib.import_module(f"minigrad.compat.{system}") if system in SYSTEMS else None
    if function not in getattr(module, "__all__", ()) or function == "list_models":
        raise DataError(f"it names {system}.{function}, which is unknown here")
    config = {key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}
    model: Model = getattr(module, function)(**config)
    return model


def _compiled(values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Model.compile`."""
    optimizer, loss = values["optimizer"], values["loss"]
    if isinstance(optimizer, dict):
        optimizer = Spec(**optimizer)
    if isinstance(loss, dict):
        kind = CROSSENTROPIES[loss["name"]]
        loss = kind(loss["from_logits"], loss["label_smoothing"])
    return {"optimizer": optimizer, "loss": loss, "metrics": values["metrics"]}
