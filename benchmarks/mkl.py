"""PyTorch's matrix products on AMD processors as fast as on Intel's.

PyTorch's wheels bring Intel MKL, which looks at the maker of the processor before at what it can
do: on an AMD one with AVX-512 it leaves its AVX-512 kernels alone. A library that answers that
question for it, loaded before, lets it choose by ability. Nobody gets this by ``pip install
torch``; it stands in the tables so that nobody takes MKL's choice for a weakness of PyTorch's.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.machine import machine

SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


@functools.cache
def unlocked() -> dict[str, str] | None:
    """Return the environment that does it; None where it changes nothing or cannot be had."""
    here, compiler = machine(), shutil.which("cc")
    if "AMD" not in here["processor"] or here["vectors"] != "avx512f" or compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-mkl-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, library = folder / "answer.c", folder / "answer.so"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}
