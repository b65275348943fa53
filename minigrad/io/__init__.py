"""Files: atomic writes, safetensors, nested state, other programs' checkpoints, volumes."""

from minigrad.io.atomic import atomic_write, remove_leftovers, write_text
from minigrad.io.checkpoint import Checkpoint, read_checkpoint
from minigrad.io.keras_file import save_keras
from minigrad.io.nested import building, load, load_weights, save
from minigrad.io.safetensors import load_file, save_file
from minigrad.io.torch_file import save_torch
from minigrad.io.volume import write_volume

__all__ = [
    "Checkpoint",
    "atomic_write",
    "building",
    "load",
    "load_file",
    "load_weights",
    "read_checkpoint",
    "remove_leftovers",
    "save",
    "save_file",
    "save_keras",
    "save_torch",
    "write_text",
    "write_volume",
]
