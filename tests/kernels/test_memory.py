from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad.kernels.memory import bring, in_small_pages

CODE = """
import resource
import numpy as np
from minigrad.kernels.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(1 << 17) for _ in range(80)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keep}:
    assert keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_freed_memory_is_used_again() -> None:
    found = []
    for keep in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(keep=keep)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
            env={"OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        found.append(int(done.stdout))
    assert found[1] < found[0] / 10


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.kernels.memory import keep_freed_memory

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory.__wrapped__()


def test_small_pages_are_asked_for_without_a_change() -> None:
    for array in (np.empty(3 << 20, np.float32), np.empty(3), np.empty(0), "no array"):
        in_small_pages(array)
        bring(array)
    array = np.arange(1 << 20)
    in_small_pages(array)
    bring(array)
    bring(array[::2])
    assert array.sum() == (1 << 19) * ((1 << 20) - 1)
