"""Runs: from a configuration to a trained model and its files, for every kind of task."""

from minigrad.runs.catalog import prepare, tasks
from minigrad.runs.classification import TrainConfig
from minigrad.runs.comparison import Comparison, compare
from minigrad.runs.config import Config, read_toml
from minigrad.runs.evaluation import evaluate
from minigrad.runs.experiment import Experiment
from minigrad.runs.finding import find
from minigrad.runs.findings import Findings
from minigrad.runs.folds import cross_validate
from minigrad.runs.initial import initial_sizes, load_initial
from minigrad.runs.pretraining import PretrainConfig, reconstructions
from minigrad.runs.record import Record, read_run
from minigrad.runs.reports import report
from minigrad.runs.runner import run
from minigrad.runs.segmentation import SegmentConfig
from minigrad.runs.soups import soup
from minigrad.runs.task import Task, Trained
from minigrad.runs.trained import find_trained, load_trained

__all__ = [
    "Comparison",
    "Config",
    "Experiment",
    "Findings",
    "PretrainConfig",
    "Record",
    "SegmentConfig",
    "Task",
    "TrainConfig",
    "Trained",
    "compare",
    "cross_validate",
    "evaluate",
    "find",
    "find_trained",
    "initial_sizes",
    "load_initial",
    "load_trained",
    "prepare",
    "read_run",
    "read_toml",
    "reconstructions",
    "report",
    "run",
    "soup",
    "tasks",
]
