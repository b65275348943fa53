"""Optimizers against torch.optim, Lion and LAMB against their papers; groups, saved state."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import DataError, DTypeError, GraphError, MinigradError, OptionError
from minigrad.kernels.arrays.running import CHUNK

SHAPES = [(4, 3), (5,), (), (2, 3, 2, 2), (CHUNK + 7,)]  # the last one takes two pieces

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "eps": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "betas": (0.8, 0.99), "decoupled_weight_decay": True}),
]


@pytest.fixture(autouse=True)
def _numbers_of_torch_in_float64() -> Iterator[None]:
    """NAdam's product of the momenta is of torch's default type."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def both(dtype: str = "float64") -> tuple[list[mg.Tensor], list[Any]]:
    """Return our parameters and PyTorch's, equal."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]
    return (
        [mg.tensor(v, requires_grad=True) for v in values],
        [torch.tensor(v, requires_grad=True) for v in values],
    )


def give_gradients(ours: list[mg.Tensor], theirs: list[Any], step: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(step + 1)
    for p, t in zip(ours, theirs, strict=True):
        g = np.asarray(rng.standard_normal(p.shape), p.dtype)
        p.grad, t.grad = mg.tensor(g), torch.tensor(g)


def agree(ours: list[mg.Tensor], theirs: list[Any], rtol: float) -> None:
    for p, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach(), t.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_ten_steps_equal_torch(name: str, options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = both(dtype)
    a = getattr(optim, name)(ours, **options)
    b = getattr(torch.optim, name)(theirs, **options)
    arrays = [p.array for p in ours]
    for step in range(10):
        give_gradients(ours, theirs, step)
        a.step()
        b.step()
    agree(ours, theirs, 1e-13 if dtype == "float64" else 1e-6)
    assert all(p.array is array for p, array in zip(ours, arrays, strict=True))  # in place
    assert all(p.dtype == dtype for p in ours)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_any_memory_layout_gives_the_same(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    value, grad = rng.standard_normal((2, 4, 5, 6))[:, 0], rng.standard_normal((2, 5, 6))
    results = []
    for layout in (lambda a: a.copy(), lambda a: a.T.copy().T):
        for grad_layout in (lambda a: a, lambda a: a.T.copy().T):
            p = mg.Tensor(layout(value), requires_grad=True)
            optimizer = getattr(optim, name)([p], **options)
            for _ in range(3):
                p.grad = mg.Tensor(grad_layout(grad))
                optimizer.step()
            results.append(p.detach().numpy())
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize(("name", "options"), CASES)
def test_saved_state_goes_on_exactly(name: str, options: dict[str, Any]) -> None:
    ours, theirs = both()
    optimizer = getattr(optim, name)(ours, **options)
    for step in range(3):
        give_gradients(ours, theirs, step)
        optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    copies = [mg.tensor(p.detach(), requires_grad=True) for p in ours]
    other = getattr(optim, name)(copies, lr=123.0)
    other.load_state_dict(saved)
    for step in range(3, 6):
        give_gradients(ours, theirs, step)
        give_gradients(copies, theirs, step)
        optimizer.step()
        other.step()
    for p, c in zip(ours, copies, strict=True):
        np.testing.assert_array_equal(p.detach(), c.detach())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_state_of_torch_is_understood(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = both()
    b = getattr(torch.optim, name)(theirs, **options)
    for step in range(3):
        give_gradients(ours, theirs, step)
        b.step()
    for p, t in zip(ours, theirs, strict=True):
        p.data = mg.tensor(t.detach().numpy())
    a = getattr(optim, name)(ours)
    a.load_state_dict(b.state_dict())
    for step in range(3, 6):
        give_gradients(ours, theirs, step)
        a.step()
        b.step()
    agree(ours, theirs, 1e-13)
    assert set(a.state_dict()) == set(b.state_dict())
    assert a.state_dict()["param_groups"][0]["params"] == [0, 1, 2, 3, 4]


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    p = mg.ones(3, requires_grad=True)
    optimizer = optim.AdamW([p])
    p.grad = mg.ones(3)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    wrong_shape = copy.deepcopy(before)
    wrong_shape["state"][0]["exp_avg_sq"] = mg.ones(4)
    wrong_shape["param_groups"][0]["lr"] = 9.0
    with pytest.raises(DataError, match=r"exp_avg_sq has shape \(4,\) but its parameter \(3,\)"):
        optimizer.load_state_dict(wrong_shape)
    wrong_groups = {"state": {}, "param_groups": [{"params": [0, 1]}]}
    with pytest.raises(DataError, match=r"hold \[2\] parameters, this optimizer's \[1\]"):
        optimizer.load_state_dict(wrong_groups)
    assert optimizer.param_groups[0]["lr"] == 1e-3
    np.testing.assert_array_equal(
        optimizer.state_dict()["state"][0]["exp_avg"], before["state"][0]["exp_avg"]
    )


def test_groups_have_their_own_options() -> None:
    a, b, c = (mg.ones(1, requires_grad=True) for _ in range(3))
    groups = [
        {"params": [a]},
        {"params": b, "lr": 1.0},
        {"params": [c], "lr": lambda lr: lr / 2, "momentum": 0.5},
    ]
    optimizer = optim.SGD(groups, lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.05]
    assert [g["momentum"] for g in optimizer.param_groups] == [0.0, 0.0, 0.5]
    for p in (a, b, c):
        p.grad = mg.ones(1)
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == pytest.approx([0.9, 0.0, 0.95])
    assert "group 2: 1 parameters, lr=0.05, momentum=0.5" in repr(optimizer)


def test_parameters_without_gradient_are_left_alone() -> None:
    a, b = mg.ones(1, requires_grad=True), mg.ones(1, requires_grad=True)
    optimizer = optim.AdamW([a, b], lr=0.1)
    a.grad = mg.ones(1)
    optimizer.step()
    assert b.item() == 1.0
    assert len(optimizer.state) == 1
    optimizer.zero_grad()
    assert a.grad is None


def test_a_closure_computes_the_loss_even_under_no_grad() -> None:
    w = mg.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)

    def closure() -> mg.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == pytest.approx(2.4)


def test_a_step_is_an_in_place_change() -> None:
    w = mg.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()


def test_training_reaches_the_minimum() -> None:
    mg.manual_seed(0)
    layer = nn.Linear(3, 1)
    optimizer = optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.0)
    x = mg.randn(64, 3)
    y = x @ mg.tensor([[1.0], [-2.0], [0.5]]) + 3.0
    for _ in range(200):
        loss = nn.functional.mse_loss(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(layer.weight.detach(), [[1.0, -2.0, 0.5]], atol=1e-3)
    assert layer.bias.item() == pytest.approx(3.0, abs=1e-3)


W = [mg.zeros(2, requires_grad=True)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([]), "nothing to train"),
        (lambda: optim.SGD(W[0]), r"write \[param\]"),
        (lambda: optim.SGD(W, lr=-1.0), "lr must be ≥ 0, got -1.0"),
        (lambda: optim.SGD(W, nesterov=True), "nesterov needs momentum > 0"),
        (lambda: optim.AdamW(W, betas=(0.9, 1.0)), r"betas\[1\] must lie in \[0, 1\), got 1.0"),
        (lambda: optim.AdamW(W, weight_decay=float("nan")), "weight_decay must be ≥ 0, got nan"),
        (lambda: optim.AdamW([*W, *W]), r"shape \(2,\) occurs twice"),
        (lambda: optim.AdamW([{"params": W, "weight_decya": 1}]), "did you mean 'weight_decay'"),
        (lambda: optim.AdamW([{"parms": W}]), "a dict with the key 'params'"),
        (lambda: optim.AdamW([1.0]), "parameter 0 must be a floating tensor, not float"),
        (lambda: optim.AdamW([mg.zeros(2, dtype=mg.int64)]), "not int64"),
        (lambda: optim.AdamW([W[0] * 2]), "only leaves can be trained"),
        (lambda: optim.NAdam(W, momentum_decay=-1.0), "momentum_decay must be ≥ 0, got -1.0"),
        (lambda: optim.LBFGS(W, history_size=0), "history_size must be 1 or more, got 0"),
        (lambda: optim.create("adamm", W), "did you mean 'adam'"),
        (
            lambda: optim.create("sgd", W, momentun=0.9),
            "unknown SGD option 'momentun'; did you mean 'momentum'",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        make()


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "NAdam", "RAdam", "Lamb", "Lion"])
@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.9, 0.9), (0.9, 2.0), ("a", 0.9), None])
def test_betas_are_two_numbers(kind: str, betas: Any) -> None:
    with pytest.raises(OptionError, match="betas"):
        getattr(optim, kind)(W, betas=betas)
    group = getattr(optim, kind)(W, betas=[0.5, 0.6]).param_groups[0]
    assert group["betas"] == (0.5, 0.6)


def test_refusal_types() -> None:
    with pytest.raises(DTypeError):
        optim.SGD([3])
    with pytest.raises(OptionError):
        optim.create("nadamm", W)


def test_a_wrong_group_is_not_added() -> None:
    optimizer = optim.SGD(W)
    with pytest.raises(OptionError):
        optimizer.add_param_group({"params": mg.zeros(1, requires_grad=True), "lr": -1.0})
    assert len(optimizer.param_groups) == 1


def test_create_ignores_case() -> None:
    assert type(optim.create("AdamW", W, lr=0.5)) is optim.AdamW
    assert type(optim.create("SGD", W)) is optim.SGD


def test_lion_and_lamb_are_those_of_their_papers() -> None:
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, 4))
    grads = rng.normal(size=(5, 3, 4))
    lr, decay, (b1, b2) = 0.01, 0.1, (0.9, 0.99)

    found = mg.tensor(theta, requires_grad=True)
    lion = optim.Lion([found], lr, (b1, b2), decay)
    wanted, m = theta.copy(), np.zeros_like(theta)
    for g in grads:
        found.grad = mg.tensor(g)
        lion.step()
        wanted = wanted - lr * (np.sign(b1 * m + (1 - b1) * g) + decay * wanted)
        m = b2 * m + (1 - b2) * g
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-13)

    found = mg.tensor(theta, requires_grad=True)
    lamb = optim.Lamb([found], lr, (b1, b2), 1e-6, decay)
    wanted, m, v = theta.copy(), np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(grads, 1):
        found.grad = mg.tensor(g)
        lamb.step()
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        u = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-6) + decay * wanted
        wanted = wanted - lr * np.linalg.norm(wanted) / np.linalg.norm(u) * u
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-12)
    zero = mg.zeros(3, requires_grad=True)
    zero.grad = mg.zeros(3)
    optim.Lamb([zero]).step()
    np.testing.assert_array_equal(zero.detach(), np.zeros(3))


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_equals_torch_and_goes_on_from_its_state(search: str | None) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(12, 6)), rng.normal(size=12)
    options = {"lr": 0.5, "max_iter": 6, "history_size": 4, "line_search_fn": search}

    def problem(lib: Any, start: Any) -> tuple[Any, Any]:
        w, rows, wanted = start, lib.tensor(a), lib.tensor(b)
        optimizer = (optim if lib is mg else torch.optim).LBFGS([w], **options)

        def closure() -> Any:
            optimizer.zero_grad()
            rest = rows @ (w * w * w) - wanted
            loss = (rest * rest).sum() + (w * w).sum()
            loss.backward()
            return loss

        return optimizer, closure

    first = rng.normal(size=6)
    ours = mg.tensor(first, requires_grad=True)
    theirs = torch.tensor(first, requires_grad=True)
    a1, closure1 = problem(mg, ours)
    a2, closure2 = problem(torch, theirs)
    for _ in range(3):
        assert a1.step(closure1).item() == pytest.approx(a2.step(closure2).item(), rel=1e-9)
    np.testing.assert_allclose(ours.detach(), theirs.detach().numpy(), rtol=1e-8)

    other = mg.tensor(ours.detach(), requires_grad=True)
    again, closure3 = problem(mg, other)
    again.load_state_dict(copy.deepcopy(a1.state_dict()))
    assert again.step(closure3).item() == a1.step(closure1).item()
    np.testing.assert_array_equal(other.detach(), ours.detach())
    with pytest.raises(OptionError, match="step needs a closure"):
        a1.step()
    with pytest.raises(OptionError, match="LBFGS evaluates the loss several times"):
        mg.train.Trainer(nn.Linear(1, 1), "lbfgs")
