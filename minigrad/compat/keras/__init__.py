"""What ConvNeXt programs use of Keras: models with compile and fit, losses, optimizers, saving."""

from minigrad.compat.keras import losses, metrics, mixed_precision, models, optimizers
from minigrad.compat.keras.model import History, KerasTensor, Model

__all__ = [
    "History",
    "KerasTensor",
    "Model",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "optimizers",
]
