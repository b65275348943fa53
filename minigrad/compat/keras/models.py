"""Loading whole models: `load_model`."""

from __future__ import annotations

from typing import Any

from minigrad import saving
from minigrad.compat.keras.model import Model
from minigrad.errors import DataError

__all__ = ["load_model"]


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
    model = saving.load(path)
    if not isinstance(model, Model):
        raise DataError(
            f"{path}: no model that model.save wrote; for bare weights build the model and use "
            "model.net.load_state_dict(minigrad.io.load(path))"
        )
    return model
