"""Runs: what `minigrad train`, `segment` and `pretrain` do, from a configuration to files."""

from minigrad.runs.config import Config, TrainConfig, read_toml
from minigrad.runs.experiment import Experiment, prepare
from minigrad.runs.initial import initial_sizes, load_initial
from minigrad.runs.pretraining import PretrainConfig, prepare_pretraining, reconstructions
from minigrad.runs.segmentation import SegmentConfig, build_unet, prepare_segmentation

__all__ = [
    "Config",
    "Experiment",
    "PretrainConfig",
    "SegmentConfig",
    "TrainConfig",
    "build_unet",
    "initial_sizes",
    "load_initial",
    "prepare",
    "prepare_pretraining",
    "prepare_segmentation",
    "read_toml",
    "reconstructions",
]
