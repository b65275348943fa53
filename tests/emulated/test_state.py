"""Optimizers, schedules, the Trainer and saved states: one device's are good for the other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import ArrayDataset, DataLoader
from minigrad.io import load, save
from minigrad.train import Checkpoint, Trainer, load_checkpoint
from tests.emulated.conftest import SLACK

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.01, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, 0.01),
    "lamb": lambda p: optim.Lamb(p, 0.01),
    "lion": lambda p: optim.Lion(p, 1e-3),
    "nadam": lambda p: optim.NAdam(p, 0.01),
    "radam": lambda p: optim.RAdam(p, 0.01),
}
SCHEDULES: dict[str, Callable[[Any], optim.LRScheduler]] = {
    "cosine": lambda o: optim.CosineAnnealingLR(o, 5),
    "warm-up": lambda o: optim.WarmupCosineLR(o, 5, 2),
    "one cycle": lambda o: optim.OneCycleLR(o, 0.1, 5),
    "steps": lambda o: optim.StepLR(o, 2),
}


def model(device: str) -> nn.Module:
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False, device=device), nn.BatchNorm2d(4, device=device), nn.GELU(),
        nn.Flatten(), nn.Linear(16, 3, device=device),
    )  # fmt: skip


def same(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    tolerance *= SLACK
    left, right = a.state_dict(), b.state_dict()
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_allclose(
            value.cpu().numpy(), right[name].cpu().numpy(), tolerance, tolerance, err_msg=name
        )


def steps(net: nn.Module, optimizer: Any, count: int, schedule: Any = None) -> None:
    device = next(net.parameters()).device
    rng = np.random.default_rng(0)
    for _ in range(count):
        x = mg.tensor(rng.standard_normal((8, 1, 4, 4)).astype(np.float32), device=device)
        y = mg.tensor(rng.integers(0, 3, 8), device=device)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        norm = optim.clip_grad_norm_(net.parameters(), 0.5)
        assert norm.device == device
        optimizer.step()
        if schedule is not None:
            schedule.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(cupy: Any, name: str) -> None:
    nets = [model("cpu"), model("cuda")]
    for net in nets:
        steps(net, OPTIMIZERS[name](net.parameters()), 3)
    same(*nets, tolerance=3e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(cupy: Any, name: str) -> None:
    nets = [model("cpu"), model("cuda")]
    for net in nets:
        optimizer = optim.AdamW(net.parameters(), 0.01)
        steps(net, optimizer, 4, SCHEDULES[name](optimizer))
    same(*nets, tolerance=3e-5)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
@pytest.mark.parametrize("most", [0.5, 1e3])
def test_clipping(cupy: Any, norm_type: float, most: float) -> None:
    found = []
    for device in ("cpu", "cuda"):
        w = mg.tensor([3.0, -4.0, 1.0], device=device, requires_grad=True)
        (w * w / 2).sum().backward()
        norm = optim.clip_grad_norm_([w], most, norm_type)
        assert w.grad is not None
        found.append([norm.item(), *w.grad.tolist()])
        optim.clip_grad_value_([w], 0.1)
        assert max(abs(v) for v in w.grad.tolist()) <= np.float32(0.1)
    np.testing.assert_allclose(found[0], found[1], 1e-6)


@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_state_saved_on_one_device_goes_on_on_the_other(
    cupy: Any, tmp_path: Path, source: str, target: str
) -> None:
    """Safetensors file, optimizer state and average: as if the device had never changed."""
    first = model(source)
    optimizer = optim.AdamW(first.parameters(), 0.01)
    steps(first, optimizer, 2)
    path = tmp_path / "state.safetensors"
    save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, path)
    state = load(path)
    second = model(target)
    second.load_state_dict(state["model"])
    other = optim.AdamW(second.parameters(), 0.01)
    other.load_state_dict(state["optimizer"])
    direct = model(target)
    direct.load_state_dict(first.state_dict())  # without a file
    another = optim.AdamW(direct.parameters(), 0.01)
    another.load_state_dict(optimizer.state_dict())
    for net, o in ((first, optimizer), (second, other), (direct, another)):
        steps(net, o, 2)
        assert {p.device.type for p in net.parameters()} <= {source, target}
    same(first, second, tolerance=3e-5)
    same(first, direct, tolerance=3e-5)


def test_modules_move_with_their_gradients_and_buffers(cupy: Any) -> None:
    net = model("cpu")
    steps(net, optim.SGD(net.parameters(), 0.1), 1)
    weights = list(net.parameters())
    for move, device in ((net.cuda, "cuda"), (net.cpu, "cpu"), (lambda: net.to("cuda"), "cuda")):
        move()
        tensors = [*net.parameters(), *net.buffers(), *[p.grad for p in net.parameters()]]
        assert {t.device.type for t in tensors if t is not None} == {device}
    assert all(a is b for a, b in zip(weights, net.parameters(), strict=True))
    net.double()
    assert {p.dtype for p in net.parameters()} == {mg.float64}


def test_arrays_of_cupy_become_parameters_and_values(cupy: Any) -> None:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": cupy.ones((1, 2)), "bias": cupy.zeros(1)})
    assert layer(mg.ones(1, 2)).tolist() == [[2.0]]
    assert nn.Parameter(cupy.ones(2)).device == "cuda:0"


def test_copies_and_pickles(cupy: Any) -> None:
    net = model("cuda")
    same(net, copy.deepcopy(net))
    x = pickle.loads(pickle.dumps(mg.ones(2, device="cuda")))
    assert (x.device, x.tolist()) == ("cuda:0", [1.0, 1.0])


def data() -> ArrayDataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 64)
    images = rng.normal(size=(64, 1, 4, 4)) + labels[:, None, None, None]
    return ArrayDataset(images.astype(np.float32), labels)


def trainer(device: str, **options: Any) -> Trainer:
    net = model(device)
    optimizer = optim.AdamW(optim.param_groups(net, 0.05), lr=0.01)
    schedule = optim.WarmupCosineLR(optimizer, 8, 2)
    return Trainer(
        net, optimizer, schedule=schedule, ema=optim.ModelEma(net, 0.9), clip_grad=1.0, **options
    )


def test_the_trainer_on_the_device(cupy: Any) -> None:
    loader = DataLoader(data(), 16, shuffle=True)
    found = [trainer(device) for device in ("cpu", "cuda")]
    rows = [t.fit(loader, loader, epochs=2) for t in found]
    for a, b in zip(*rows, strict=True):
        for key in ("train_loss", "val_loss", "val_accuracy"):
            assert a[key] == pytest.approx(b[key], rel=1e-3)
    same(found[0].model, found[1].model, tolerance=1e-3)
    np.testing.assert_allclose(found[0].predict(loader), found[1].predict(loader), 1e-3, 1e-3)
    assert rows[1][-1]["train_loss"] < rows[1][0]["train_loss"]


@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_is_resumed_on_the_other_device(
    cupy: Any, tmp_path: Path, source: str, target: str
) -> None:
    loader = DataLoader(data(), 16, shuffle=True)
    whole = trainer(target)
    whole.fit(loader, epochs=2)
    path = tmp_path / "last.safetensors"
    trainer(source, callbacks=[Checkpoint(path)]).fit(loader, epochs=1)
    resumed = trainer(target)
    resumed.load_state_dict(load_checkpoint(path))
    assert resumed.epoch == 1
    resumed.fit(loader, epochs=2)
    assert {p.device.type for p in resumed.model.parameters()} == {target}
    same(whole.model, resumed.model, tolerance=1e-3)
