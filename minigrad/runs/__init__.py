"""Runs: from a configuration to a trained model and its files, for every kind of task."""

from minigrad.runs.catalog import prepare, tasks
from minigrad.runs.classification import TrainConfig
from minigrad.runs.config import Config, read_toml
from minigrad.runs.experiment import Experiment
from minigrad.runs.initial import initial_sizes, load_initial
from minigrad.runs.pretraining import PretrainConfig, reconstructions
from minigrad.runs.runner import run
from minigrad.runs.segmentation import SegmentConfig
from minigrad.runs.task import Task, Trained
from minigrad.runs.trained import find_trained, load_trained

__all__ = [
    "Config",
    "Experiment",
    "PretrainConfig",
    "SegmentConfig",
    "Task",
    "TrainConfig",
    "Trained",
    "find_trained",
    "initial_sizes",
    "load_initial",
    "load_trained",
    "prepare",
    "read_toml",
    "reconstructions",
    "run",
    "tasks",
]
