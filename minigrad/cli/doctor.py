"""``minigrad doctor``: what this machine has, and what each missing piece would add."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util

from minigrad import backend
from minigrad.data.catalog import sources
from minigrad.runs.machine import gpu, machine

HELP = "Say what was found on this machine, and what each missing package would add."
EXAMPLES = ""
EXTRAS = (
    ("rich", "rich", "cli", "coloured progress bars and tables"),
    ("PIL", "Pillow", "images", "pictures as JPEG, PNG …"),
    ("nibabel", "nibabel", "volumes", "volumes in other formats than NIfTI"),
    ("pydicom", "pydicom", "volumes", "folders of DICOM slices"),
    ("huggingface_hub", "huggingface_hub", "hub", "weights by their names on the hub"),
    ("numba", "numba", "fast", "compiled kernels on the CPU"),
    ("threadpoolctl", "threadpoolctl", "fast", "control of BLAS threads"),
    ("ml_dtypes", "ml_dtypes", "bfloat16", "the bfloat16 type"),
    ("mpi4py", "mpi4py", "ranks", "training on several processes"),
    ("tensorboardX", "tensorboardX", "loggers", "curves in TensorBoard while a run goes on"),
    ("trackio", "trackio", "loggers", "curves in trackio while a run goes on"),
    ("onnx_ir", "onnx-ir", "onnx", "models as ONNX files"),
    ("sphinx", "Sphinx", "docs", "the documentation, by minigrad docs in a clone"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    lines = [
        *machine(),
        ("bfloat16", _bfloat16()),
        ("GPU", gpu()),
    ]
    for module, package, extra, use in EXTRAS:
        lines.append((package, _version(module, package) or _advice(extra, use)))
    for source in sources.values():
        lines.append((f"data: {source.name}", source.place))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:{width}}  {value}")
    return 0


def _bfloat16() -> str:
    """Say how the CPU multiplies it, and why."""
    if backend.kernels_in_use() == "reference":
        return "widening (products in float32, by NumPy)"
    from minigrad.kernels.cpu.rung import rung

    return rung()


def _version(module: str, package: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    return importlib.metadata.version(package)


def _advice(extra: str, use: str) -> str:
    return f"not installed ({use}); pip install 'minigrad[{extra}]'"
