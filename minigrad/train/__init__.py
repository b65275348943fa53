"""Training: the loop, its callbacks, and what is measured."""

from minigrad.train.best import BestCheckpoint, EarlyStopping, best_epoch
from minigrad.train.calibration import Calibration
from minigrad.train.class_report import ClassReport
from minigrad.train.confusion import ConfusionMatrix, mean_dice, mean_iou
from minigrad.train.finders import BatchSizes, LearningRates, find_batch_size, find_lr
from minigrad.train.freezing import Freeze
from minigrad.train.log import Log, read_history
from minigrad.train.loggers import TensorBoard, Trackio
from minigrad.train.metrics import accuracy
from minigrad.train.progress import Progress
from minigrad.train.segmentation import SegmentationTrainer
from minigrad.train.state import Checkpoint, load_checkpoint
from minigrad.train.trainer import Callback, Trainer

__all__ = [
    "BatchSizes",
    "BestCheckpoint",
    "Calibration",
    "Callback",
    "Checkpoint",
    "ClassReport",
    "ConfusionMatrix",
    "EarlyStopping",
    "Freeze",
    "LearningRates",
    "Log",
    "Progress",
    "SegmentationTrainer",
    "TensorBoard",
    "Trackio",
    "Trainer",
    "accuracy",
    "best_epoch",
    "find_batch_size",
    "find_lr",
    "load_checkpoint",
    "mean_dice",
    "mean_iou",
    "read_history",
]
