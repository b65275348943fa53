"""A step changes only memory that may be changed, and all of it or nothing.

Every fault is put into one of three parameters, first, middle or last, of one of two groups; a
refusal must leave the others, their state and the counts of steps as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.backend import kernels_in_use, use_kernels
from minigrad.errors import DataError, DTypeError, GraphError, MinigradError, ShapeError

VERSIONS = ["reference", "fast"] if kernels_in_use() == "fast" else ["reference"]
MAKE: dict[str, Callable[[Any], Any]] = {
    "adam": lambda groups: optim.Adam(groups, lr=0.1),
    "adamw": lambda groups: optim.AdamW(groups, lr=0.1),
    "sgd": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9),
}
MOMENT = {"adam": "exp_avg", "adamw": "exp_avg_sq", "sgd": "momentum_buffer"}


def start(name: str) -> tuple[list[Any], Any]:
    """Return three parameters after one step, in two groups, and their optimizer."""
    params = [nn.Parameter(mg.ones(4, 3) * (i + 1.0)) for i in range(3)]
    optimizer = MAKE[name]([{"params": params[:2]}, {"params": params[2:]}])
    give_gradients(params)
    optimizer.step()
    return params, optimizer


def give_gradients(params: list[Any]) -> None:
    for p in params:
        p.grad = mg.ones(*p.shape, dtype=p.dtype)


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def expanded(array: Any) -> Any:
    return np.broadcast_to(array[:1], array.shape)


def folded(array: Any) -> Any:
    """Rows that overlap in part, all of them writeable."""
    memory = np.ones(array.size, array.dtype)
    return np.lib.stride_tricks.as_strided(memory, array.shape, (array.itemsize, array.itemsize))


def on_bytes(array: Any) -> Any:
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


PARAMETERS: dict[str, Callable[[Any], Any]] = {
    "read_only": read_only,
    "bytes": on_bytes,
    "expanded": expanded,
    "folded": folded,
    "longer": lambda a: np.ones((4000, 300), a.dtype),
    "shorter": lambda a: np.ones(3, a.dtype),
    "turned": lambda a: np.ones(a.shape[::-1], a.dtype),
    "wider": lambda a: a.astype(np.float64),
}
STATES: dict[str, tuple[Callable[[Any], Any], type[MinigradError]]] = {
    "read_only": (read_only, GraphError),
    "expanded": (expanded, GraphError),
    "folded": (folded, GraphError),
    "longer": (lambda a: np.ones((4000, 300), a.dtype), ShapeError),
    "shorter": (lambda a: a[:2].copy(), ShapeError),
    "turned": (lambda a: a.T.copy(), ShapeError),
    "wider": (lambda a: a.astype(np.float64), DTypeError),
    "integers": (lambda a: a.astype(np.int32), DTypeError),
    "tensor": (lambda a: mg.tensor(a), DTypeError),
    "list": (lambda a: a.tolist(), DTypeError),
}


def contents(params: list[Any], optimizer: Any) -> list[Any]:
    found = [p.detach().numpy().copy() for p in params]
    for p in params:
        for value in optimizer.state[p].values():
            found.append(value.copy() if isinstance(value, np.ndarray) else value)
    return found


def assert_refused(optimizer: Any, params: list[Any], kind: Any, match: str) -> None:
    before = contents(params, optimizer)
    with pytest.raises(kind, match=match):
        optimizer.step()
    for a, b in zip(before, contents(params, optimizer), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("fault", PARAMETERS)
@pytest.mark.parametrize("name", MAKE)
def test_a_parameter_that_was_replaced(name: str, fault: str, place: int, version: str) -> None:
    with use_kernels(version):
        params, optimizer = start(name)
        bad = params[place]
        bad.data = mg.Tensor(PARAMETERS[fault](bad.array))
        give_gradients(params)
        assert_refused(optimizer, params, MinigradError, rf"parameter {place} of shape")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("fault", STATES)
@pytest.mark.parametrize("name", MAKE)
def test_a_state_that_was_edited(name: str, fault: str, place: int, version: str) -> None:
    change, kind = STATES[fault]
    with use_kernels(version):
        params, optimizer = start(name)
        state = optimizer.state[params[place]]
        state[MOMENT[name]] = change(state[MOMENT[name]])
        assert_refused(optimizer, params, kind, rf"{MOMENT[name]} .*parameter {place} of shape")


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("step", [None, -1, 2.5, "3", np.ones(3)], ids=str)
def test_a_state_without_its_entries(name: str, step: Any) -> None:
    params, optimizer = start(name)
    optimizer.state[params[1]]["step"] = step
    assert_refused(optimizer, params, DataError, "parameter 1 .*step")
    params, optimizer = start(name)
    del optimizer.state[params[1]]["exp_avg"]
    assert_refused(optimizer, params, DataError, "parameter 1 .*exp_avg and exp_avg_sq")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MAKE)
def test_memory_that_is_changed_twice(name: str, version: str) -> None:
    with use_kernels(version):
        params, optimizer = start(name)
        state = optimizer.state[params[0]]
        state[MOMENT[name]] = optimizer.state[params[2]][MOMENT[name]]
        assert_refused(optimizer, params, GraphError, "share memory")

        both = np.ones(20, np.float32)
        params = [nn.Parameter(mg.Tensor(both[:12])), nn.Parameter(mg.Tensor(both[8:]))]
        optimizer = MAKE[name](params)
        give_gradients(params)
        with pytest.raises(GraphError, match="share memory"):
            optimizer.step()
        assert (both == 1).all()
        assert not any(optimizer.state.values())

        params = [nn.Parameter(mg.Tensor(both[:10])), nn.Parameter(mg.Tensor(both[10:]))]
        optimizer = MAKE[name](params)
        give_gradients(params)
        optimizer.step()
        assert (both != 1).all()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MAKE)
def test_a_gradient_on_the_memory_of_its_parameter(name: str, version: str) -> None:
    found = []
    with use_kernels(version):
        for shared in (False, True):
            p = nn.Parameter(mg.arange(40_000, dtype=mg.float32) / 1000)
            p.grad = p.detach() if shared else p.detach().clone()
            optimizer = MAKE[name]([p])
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.1
            optimizer.step()
            found.append(p.detach().numpy())
    np.testing.assert_array_equal(*found)


def test_a_fresh_state_mends_a_replaced_parameter() -> None:
    params, optimizer = start("adam")
    params[0].data = mg.ones(7)
    give_gradients(params)
    optimizer.state.pop(params[0])
    optimizer.step()
    assert optimizer.state[params[0]]["step"] == 1
    assert optimizer.state[params[1]]["step"] == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MAKE)
def test_parameters_with_gaps_or_out_of_line_are_trained(name: str, version: str) -> None:
    memory = np.zeros(100, np.uint8)[1 : 1 + 4 * 20]
    unaligned = memory.view(np.float32)
    gaps = np.zeros((4, 10), np.float32)[:, ::2]
    back = np.zeros(20, np.float32)[::-1]
    assert not unaligned.flags.aligned
    with use_kernels(version):
        params = [nn.Parameter(mg.Tensor(a)) for a in (unaligned, gaps, back)]
        optimizer = MAKE[name](params)
        give_gradients(params)
        optimizer.step()
        for p in params:
            np.testing.assert_allclose(p.detach().numpy(), -0.1, rtol=1e-6)
