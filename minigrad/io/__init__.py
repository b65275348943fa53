"""Files: atomic writes, safetensors, nested state."""

from minigrad.io.atomic import atomic_write, remove_leftovers, write_text
from minigrad.io.nested import building, load, load_weights, save
from minigrad.io.safetensors import load_file, save_file

__all__ = [
    "atomic_write",
    "building",
    "load",
    "load_file",
    "load_weights",
    "remove_leftovers",
    "save",
    "save_file",
    "write_text",
]
