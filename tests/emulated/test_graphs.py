"""A captured training step, launched again and again, is the ordinary step, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad import nn, optim
from minigrad.errors import DeviceError, MinigradError, OptionError
from minigrad.nn import functional as F
from minigrad.runs import TrainConfig
from minigrad.train import Trainer
from tests.emulated.conftest import REAL, counting
from tests.emulated.shim.program import compiler

pytestmark = pytest.mark.skipif(
    not REAL and compiler() is None, reason="the emulated GPU needs g++, which is not installed"
)
STEPS = 4


def trainer(
    cuda_graph: bool, precision: str = "float32", adam: bool = True, small: bool = True
) -> Trainer:
    """Everything that changes from step to step: lr, Adam's count, drop path, dropout, average."""
    mg.manual_seed(0)
    trunk = (
        nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LayerNorm(8), nn.GELU(), nn.DropPath(0.3))
        if small
        else models.ConvNeXtV2(3, 8, (1, 1), (8, 16), 0.5, patch_size=2)
    )
    model = nn.Sequential(trunk, nn.Dropout(0.2), nn.Linear(8, 5)).to("cuda")
    groups = optim.param_groups(model, 0.05)
    optimizer: optim.Optimizer = (
        optim.AdamW(groups, lr=0.01) if adam else optim.SGD(groups, lr=0.1, momentum=0.9)
    )
    return Trainer(
        model, optimizer, schedule=optim.WarmupCosineLR(optimizer, STEPS, 2), clip_grad=1.0,
        ema=optim.ModelEma(model, 0.9), precision=precision, cuda_graph=cuda_graph,
    )  # fmt: skip


def batches(count: int = STEPS, size: int = 8) -> list[tuple[mg.Tensor, mg.Tensor]]:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((count, size, 3, 8, 8), np.float32)
    return [(mg.tensor(x), mg.tensor(rng.integers(0, 5, size))) for x in images]


def state(subject: Trainer) -> dict[str, Any]:
    found = {f"ema {k}": v for k, v in subject.eval_model.state_dict().items()}
    found |= subject.model.state_dict()
    return {name: value.cpu().numpy(force=True) for name, value in found.items()}


def run(subject: Trainer, data: Any) -> list[dict[str, float]]:
    mg.manual_seed(1)
    return [subject.train_on_batch(x, y) for x, y in data]


def same(ours: Trainer, other: Trainer) -> None:
    a, b = state(ours), state(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    drawn = [x.step for x in (ours, other)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_replay_is_the_ordinary_step(cupy: Any, precision: str) -> None:
    ours, other = (trainer(graph, precision, small=False) for graph in (True, False))
    rows = run(ours, batches())
    numbers = mg.get_rng_state().tolist()
    assert rows == run(other, batches())
    assert numbers == mg.get_rng_state().tolist()
    same(ours, other)
    assert len(ours._captured) == 1
    steps = {s["step"] for s in ours.optimizer.state.values()}
    assert steps == {STEPS}


def test_momentum_too(cupy: Any) -> None:
    ours, other = trainer(True, adam=False), trainer(False, adam=False)
    assert run(ours, batches()) == run(other, batches())
    same(ours, other)


@pytest.mark.parametrize("step", [0, 2])
def test_an_overflow_is_skipped_in_a_replay(cupy: Any, step: int) -> None:
    data = batches()
    data[step] = (data[step][0] * 1e6, data[step][1])  # infinite in float16
    ours, other = trainer(True, "float16"), trainer(False, "float16")
    with np.errstate(all="ignore"):
        rows, expected = run(ours, data), run(other, data)
    np.testing.assert_equal([r["loss"] for r in rows], [r["loss"] for r in expected])
    assert ours.scaler.state_dict() == other.scaler.state_dict()
    assert ours.scaler.get_scale() == 32768.0
    same(ours, other)


def test_batches_of_two_sizes_and_gradients(cupy: Any) -> None:
    data = [b for pair in zip(batches(3), batches(3, size=5), strict=True) for b in pair]
    ours, other = trainer(True), trainer(False)
    assert run(ours, data) == run(other, data)
    same(ours, other)
    assert len(ours._captured) == 2
    for p, q in zip(ours.model.parameters(), other.model.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad.cpu(), q.grad.cpu())


def test_a_loaded_state_is_captured_anew(cupy: Any) -> None:
    ours, other = trainer(True), trainer(False)
    run(ours, batches(3))
    other.load_state_dict(ours.state_dict())
    again = trainer(True)
    run(again, batches(3))
    again.load_state_dict(ours.state_dict())
    run(again, batches(3))
    run(other, batches(3))
    same(again, other)
    optimizer_state = again.optimizer.state_dict()
    graph = next(iter(again._captured.values()))
    again.optimizer.load_state_dict(optimizer_state)  # other memory than that of the graph
    run(again, batches(2))
    assert next(iter(again._captured.values())) is not graph
    run(other, batches(2))
    same(again, other)


@pytest.mark.skipif(REAL, reason="CuPy does not count synchronisations")
@pytest.mark.parametrize(("precision", "waits"), [("float32", 0), ("float16", 1)])
def test_a_launch_waits_for_nothing(cupy: Any, precision: str, waits: int) -> None:
    """Only the loss is read, after the step; in float16 the flag of the scaler too."""
    subject = trainer(True, precision)
    subject.metrics = {}
    run(subject, batches(3))
    x, y = (t.to("cuda") for t in batches(1)[0])
    with counting() as counts:
        subject.train_on_batch(x, y)
    assert len(counts.synchronisations) == 1 + waits


def test_what_cannot_be_captured_says_so(cupy: Any) -> None:
    subject = trainer(True)
    subject.loss = lambda out, y: F.cross_entropy(out, y) * float(out.sum().item() > -1e9)
    run(subject, batches(1))
    with pytest.raises(MinigradError, match=r"the step cannot be captured .* waits for the GPU"):
        run(subject, batches(1))
    subject.loss = F.cross_entropy
    run(subject, batches(1))


def test_without_a_gpu_it_is_refused() -> None:
    with pytest.raises(DeviceError, match="model is on 'cpu', and only a GPU has CUDA graphs"):
        Trainer(nn.Linear(2, 2), cuda_graph=True)
    with pytest.raises(OptionError, match="cuda_graph needs a GPU, and device is 'cpu'"):
        TrainConfig.from_values({"cuda_graph": True})
