"""The layers that PyTorch names by dimension, by number of spatial axes: 1, 2 or 3."""

from minigrad.nn.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.nn.layers.conv import Conv1d, Conv2d, Conv3d
from minigrad.nn.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minigrad.nn.layers.dropout import Dropout1d, Dropout2d, Dropout3d

__all__ = ["BATCH_NORMS", "CONVS", "DROPOUTS", "TRANSPOSED_CONVS"]

CONVS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
TRANSPOSED_CONVS = {1: ConvTranspose1d, 2: ConvTranspose2d, 3: ConvTranspose3d}
BATCH_NORMS = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
DROPOUTS = {1: Dropout1d, 2: Dropout2d, 3: Dropout3d}
