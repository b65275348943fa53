"""Training: the loop, its callbacks, and the configuration of a run."""

from minigrad.train.callbacks import Callback
from minigrad.train.config import Config, TrainConfig, read_toml
from minigrad.train.confusion import ConfusionMatrix, mean_dice, mean_iou
from minigrad.train.initial import initial_sizes, load_initial
from minigrad.train.log import Log
from minigrad.train.metrics import accuracy
from minigrad.train.pretrain import PretrainConfig, prepare_pretraining, reconstructions
from minigrad.train.progress import Progress
from minigrad.train.segment import (
    SegmentationTrainer,
    SegmentConfig,
    build_unet,
    prepare_segmentation,
)
from minigrad.train.setup import Experiment, prepare
from minigrad.train.state import Checkpoint, load_checkpoint
from minigrad.train.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "Config",
    "ConfusionMatrix",
    "Experiment",
    "Log",
    "PretrainConfig",
    "Progress",
    "SegmentConfig",
    "SegmentationTrainer",
    "TrainConfig",
    "Trainer",
    "accuracy",
    "build_unet",
    "initial_sizes",
    "load_checkpoint",
    "load_initial",
    "mean_dice",
    "mean_iou",
    "prepare",
    "prepare_pretraining",
    "prepare_segmentation",
    "read_toml",
    "reconstructions",
]
