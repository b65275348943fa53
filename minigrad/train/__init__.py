"""Training: the loop, its callbacks, and what is measured."""

from minigrad.train.confusion import ConfusionMatrix, mean_dice, mean_iou
from minigrad.train.log import Log
from minigrad.train.metrics import accuracy
from minigrad.train.progress import Progress
from minigrad.train.segmentation import SegmentationTrainer
from minigrad.train.state import Checkpoint, load_checkpoint
from minigrad.train.trainer import Callback, Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "Log",
    "Progress",
    "SegmentationTrainer",
    "Trainer",
    "accuracy",
    "load_checkpoint",
    "mean_dice",
    "mean_iou",
]
