"""Training on several ranks: processes that share every batch and sum their gradients.

``init()`` is the group of this process: all the ranks that ``mpiexec -n 4 python script.py`` has
started, or this process alone. A `minigrad.train.Trainer` asks for it by itself, so that one script
runs on 1 … n ranks.
"""

from minigrad.distributed.batch_norm import SyncBatchNorm, synchronise_batch_norm
from minigrad.distributed.buckets import GradientBuckets
from minigrad.distributed.group import Group, Work
from minigrad.distributed.launch import init, launch
from minigrad.distributed.sharded import ShardedOptimizer

__all__ = [
    "GradientBuckets",
    "Group",
    "ShardedOptimizer",
    "SyncBatchNorm",
    "Work",
    "init",
    "launch",
    "synchronise_batch_norm",
]
