"""state_dict and load_state_dict: exact, or with a report, or refused without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DataError, DTypeError


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def snapshot(net: nn.Module) -> dict[str, Any]:
    return {name: t.numpy().copy() for name, t in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, Any]) -> bool:
    return all((t.numpy() == before[name]).all() for name, t in net.state_dict().items())


def test_round_trip() -> None:
    source, target = model(), model()
    source(mg.randn(5, 4))
    report = target.load_state_dict(source.state_dict())
    assert report.complete
    assert list(report.loaded) == list(source.state_dict())
    assert unchanged(target, snapshot(source))


def test_state_dict_shares_memory_and_needs_no_gradient() -> None:
    net = model()
    state = net.state_dict()
    assert not any(t.requires_grad for t in state.values())
    nn.init.zeros_(net[0].weight)
    assert not state["0.weight"].array.any()


def test_values_are_converted_to_the_dtype_of_the_parameter() -> None:
    net = model()
    state = {
        k: v.astype(np.float16) if v.dtype.kind == "f" else v for k, v in snapshot(net).items()
    }
    net.load_state_dict(state)
    assert net[0].weight.dtype == mg.float32


def test_a_backward_that_needs_the_old_values_is_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loss = net(mg.ones(1, 2)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(mg.errors.GraphError, match="changed in place"):
        loss.backward()


def test_strict_lists_everything_and_changes_nothing() -> None:
    net = model()
    before = snapshot(net)
    state = {k: v + 1 for k, v in before.items()}
    state["0.wieght"] = state.pop("0.weight")
    state["2.bias"] = np.zeros(3)
    with pytest.raises(DataError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).splitlines() == [
        "Sequential.load_state_dict: the values do not fit; nothing changed",
        "  missing: 0.weight",
        "  unexpected: 0.wieght (did you mean 0.weight?)",
        "  mismatched: 2.bias has (3,), expected (2,)",
    ]
    assert unchanged(net, before)


def test_not_strict_loads_what_fits_and_reports_the_rest() -> None:
    net = model().append(nn.LayerNorm(2))
    before = snapshot(net)
    state = {"0.weight": np.ones((3, 4)), "2.bias": np.zeros(3), "extra": np.zeros(1)}
    with pytest.raises(DataError, match=r"mismatched: 2\.bias has \(3,\), expected \(2,\)"):
        net.load_state_dict(state, strict=False)
    assert unchanged(net, before)
    report = net.load_state_dict(state, strict=False, ignore_mismatched_sizes=True)
    assert report.loaded == ("0.weight",)
    assert report.unexpected == ("extra",)
    assert report.mismatched == {"2.bias": ((3,), (2,))}
    assert "0.bias" in report.missing
    assert "2.bias" not in report.missing
    assert not report.complete
    assert repr(report).splitlines()[0] == (
        "LoadReport: 1 loaded, 8 missing, 1 unexpected, 1 mismatched"
    )
    assert "… and 2 more" in repr(report)
    assert (net[0].weight.array == 1.0).all()
    assert (net[2].bias.array == before["2.bias"]).all()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("state", [{}, {"model": np.zeros(3)}, {"0.weight": np.zeros((9, 9))}])
def test_a_load_that_matches_nothing_raises(state: dict[str, Any], strict: bool) -> None:
    net = model()
    before = snapshot(net)
    with pytest.raises(DataError, match=r"no value fits|do not fit"):
        net.load_state_dict(state, strict=strict)
    assert unchanged(net, before)


def test_a_container_in_place_of_an_array_is_named() -> None:
    net = model()
    before = snapshot(net)
    state: dict[str, Any] = {**before, "0.weight": {"nested": 1}}
    with pytest.raises(DTypeError, match=r"'0\.weight' is no array of numbers but dict"):
        net.load_state_dict(state)
    assert unchanged(net, before)


def test_a_module_without_state_loads_nothing() -> None:
    assert nn.ReLU().load_state_dict({}).complete
