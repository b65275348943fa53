"""Training: the loop, its callbacks, and the configuration of a run."""

from minigrad.train.callbacks import Callback
from minigrad.train.checkpoint import Checkpoint, load_checkpoint
from minigrad.train.config import TrainConfig, read_toml
from minigrad.train.log import Log
from minigrad.train.metrics import accuracy
from minigrad.train.progress import Progress
from minigrad.train.setup import Experiment, prepare
from minigrad.train.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "Experiment",
    "Log",
    "Progress",
    "TrainConfig",
    "Trainer",
    "accuracy",
    "load_checkpoint",
    "prepare",
    "read_toml",
]
