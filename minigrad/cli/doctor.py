"""``minigrad doctor``: what this machine has, and what each missing piece would add."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any

import numpy as np

import minigrad
from minigrad import backend
from minigrad.data.catalog import sources

HELP = "Say what was found on this machine, and what each missing package would add."
EXAMPLES = ""
EXTRAS = (
    ("rich", "rich", "cli", "coloured progress bars and tables"),
    ("PIL", "Pillow", "images", "pictures as JPEG, PNG …"),
    ("nibabel", "nibabel", "volumes", "volumes in other formats than NIfTI"),
    ("huggingface_hub", "huggingface_hub", "hub", "weights by their names on the hub"),
    ("numba", "numba", "fast", "compiled kernels on the CPU"),
    ("threadpoolctl", "threadpoolctl", "fast", "control of BLAS threads"),
    ("ml_dtypes", "ml_dtypes", "bfloat16", "the bfloat16 type"),
    ("onnx_ir", "onnx-ir", "onnx", "models as ONNX files"),
    ("sphinx", "Sphinx", "docs", "the documentation, by minigrad docs in a clone"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    lines = [
        ("minigrad", minigrad.__version__),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("CPU cores", f"{_cores()} usable"),
        ("NumPy", np.__version__),
        ("BLAS", _blas()),
        ("kernels", _kernels()),
        ("GPU", _gpu()),
    ]
    for module, package, extra, use in EXTRAS:
        lines.append((package, _version(module, package) or _advice(extra, use)))
    for source in sources.values():
        lines.append((f"data: {source.name}", source.place))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:{width}}  {value}")
    return 0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas() -> str:
    """Name and threads of the library behind matrix products."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    found = config["Build Dependencies"]["blas"]
    name = f"{found['name']} {found['version']}"
    threads = next(
        (
            f"{os.environ[variable]} thread(s) by {variable}"
            for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
            if variable in os.environ
        ),
        f"one thread per core ({_cores()})",
    )
    return f"{name}, {threads}"


def _kernels() -> str:
    """Say which kernels run on the CPU, and why."""
    if backend.kernels_in_use() == "reference":
        return "reference: NumPy, as Numba is not installed; pip install 'minigrad[fast]'"
    version = importlib.metadata.version("numba")
    return f"fast: compiled by Numba {version}; minigrad.backend.use_kernels switches"


def _gpu() -> str:
    """Name the GPUs, or say what is missing for them."""
    problem = backend.why_no_cuda()
    if problem is not None:
        return f"none in use: {problem}"
    cupy = backend.namespace("cuda")
    runtime = cupy.cuda.runtime
    found = []
    for number in range(runtime.getDeviceCount()):
        about = runtime.getDeviceProperties(number)
        found.append(
            f"cuda:{number} {about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.1f} GiB, "
            f"compute capability {about['major']}.{about['minor']}"
        )
    tf32 = "on" if backend.tf32_allowed() else "off"
    version = runtime.runtimeGetVersion()
    cuda = f"CUDA {version // 1000}.{version % 1000 // 10}"
    return f"{'; '.join(found)}; CuPy {cupy.__version__}, {cuda}, TF32 {tf32}"


def _version(module: str, package: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    return importlib.metadata.version(package)


def _advice(extra: str, use: str) -> str:
    return f"not installed ({use}); pip install 'minigrad[{extra}]'"
