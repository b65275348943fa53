"""On a real GPU: every test of the emulated device again, and what only hardware can show.

Nothing else depends on these tests; without CuPy and a GPU they are skipped, and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad import backend
from minigrad.nn import functional as F

MISSING = backend.why_no_cuda()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(MISSING is not None, reason=f"no GPU: {MISSING}"),
]
TESTS = Path(__file__).resolve().parents[1]
SAME = sorted(
    path
    for folder in ("emulated", "kernels/cuda")
    for path in (TESTS / folder).glob("test_*.py")
    if path.stem not in ("test_stand_in", "test_names", "test_compile", "test_mutants")
)


@pytest.mark.slow
@pytest.mark.parametrize("path", SAME, ids=lambda p: str(p.relative_to(TESTS)))
def test_the_emulated_tests_hold_on_the_gpu(path: Path) -> None:
    """The very same tests, unchanged, with the stand-in left out."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(
        command,
        cwd=TESTS.parent,
        env={**os.environ, "MINIGRAD_TEST_DEVICE": "cuda"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]


def step(seed: int = 0) -> list[Any]:
    """Take two training steps; return the bits of every weight."""
    mg.manual_seed(seed)
    model = models.ConvNeXtV2(3, 10, (1, 1, 2, 1), (16, 32, 64, 128), 0.2, device="cuda")
    optimizer = mg.optim.AdamW(model.parameters(), 1e-3)
    x, y = mg.randn(8, 3, 64, 64, device="cuda"), mg.randint(10, (8,), device="cuda")
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.detach().cpu().numpy().tobytes() for p in model.parameters()]


def test_the_same_steps_twice_are_bitwise_equal() -> None:
    """No sum depends on the order in which blocks happen to finish."""
    assert step() == step()


def test_a_training_step_returns_before_the_gpu_is_done() -> None:
    """Python gives work away and goes on: the queue is not empty when it comes back."""
    model = models.ConvNeXt(3, 10, (2, 2), (128, 256), device="cuda")
    x, y = mg.randn(64, 3, 224, 224, device="cuda"), mg.randint(10, (64,), device="cuda")

    queue = backend.namespace("cuda").cuda.get_current_stream()

    def done_at_once() -> bool:
        F.cross_entropy(model(x), y).backward()
        done = queue.done
        backend.synchronize("cuda")
        return bool(done)

    done_at_once()  # compiles
    assert not all(done_at_once() for _ in range(3))


def test_tf32_rounds_and_can_be_switched_off() -> None:
    major = int(backend.namespace("cuda").cuda.Device().compute_capability) // 10
    if major < 8:
        pytest.skip("TF32 needs compute capability 8.0")
    mg.manual_seed(0)
    x, w = mg.randn(512, 512), mg.randn(512, 512)
    exact = x.double().numpy() @ w.double().numpy()
    errors = []
    for allowed in (False, True):
        with backend.allow_tf32(allowed):
            y = (x.cuda() @ w.cuda()).cpu().numpy()
        errors.append(float(np.abs(y - exact).max() / np.abs(exact).max()))
    assert errors[0] < 1e-5 < errors[1] < 1e-2


def test_memory_is_shared_with_torch() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    x = mg.arange(6, dtype=mg.float32, device="cuda").reshape(2, 3)
    there = torch.from_dlpack(x)
    there[0, 0] = 7.0
    torch.cuda.synchronize()
    assert x[0, 0].item() == 7.0
    back = mg.from_dlpack(torch.ones(3, device="cuda"))
    assert (back.device, back.tolist()) == ("cuda:0", [1.0, 1.0, 1.0])
    assert mg.Tensor(torch.ones(3, device="cuda")).tolist() == [1.0, 1.0, 1.0]


SANITIZED = """
import minigrad as mg, minigrad.models as models
from minigrad.nn import functional as F
for model in (models.ConvNeXt, models.ConvNeXtV2):
    for dims in (1, 2):
        net = model(3, 5, (1, 1), (16, 32), spatial_dims=dims, device="cuda")
        x, y = mg.randn(2, 3, *(32,) * dims, device="cuda"), mg.tensor([1, 4], device="cuda")
        optimizer = mg.optim.AdamW(net.parameters(), 1e-3)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
mg.backend.synchronize("cuda")
"""


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_compute_sanitizer_finds_nothing(tool: str) -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer, of the CUDA toolkit, is not installed")
    done = subprocess.run(
        [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", SANITIZED],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
