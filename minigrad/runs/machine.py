"""What a run is computed by: versions, kernels and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import numpy as np

from minigrad import backend

__all__ = ["gpu", "machine"]


def machine() -> list[tuple[str, str]]:
    """Return names and values, of the CPU alone; `gpu` has the others.

    Examples
    --------
    >>> [name for name, _ in machine()][:3]
    ['minigrad', 'Python', 'system']
    """
    return [
        ("minigrad", sys.modules["minigrad"].__version__),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("CPU cores", f"{_cores()} usable"),
        ("NumPy", np.__version__),
        ("BLAS", _blas()),
        ("kernels", _kernels()),
    ]


def gpu() -> str:
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
