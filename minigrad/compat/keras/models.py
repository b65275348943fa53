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

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minigrad.compat.dl_techniques import create_convnext_v2
    >>> model = create_convnext_v2("cifar10", num_classes=3, input_shape=(8, 8, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.keras")
    ...     model.save(path)
    ...     load_model(path).output_shape
    (None, 3)
    """
    model = saving.load(path)
    if not isinstance(model, Model):
        raise DataError(
            f"{path}: no model that model.save wrote; for bare weights build the model and use "
            "model.net.load_state_dict(minigrad.io.load(path))"
        )
    return model
