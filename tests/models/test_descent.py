"""What enters a block goes down: model, layer, operation, kernel; nothing calls back up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

import minigrad as mg
from minigrad.models.block import Block
from tests.test_imports import layer_of

# Those that are given what they call.
GO_BETWEENS = {
    ("minigrad.nn.module", "__call__"),  # a layer's forward
    ("minigrad.autograd.node", "__call__"),  # an operation's
    ("minigrad.backend", "quiet"),
    ("minigrad.backend", "anywhere"),
}

Place = tuple[str, str]  # module, function


def place(frame: FrameType) -> Place:
    return frame.f_globals.get("__name__", ""), frame.f_code.co_name


def calls(function: Callable[[], Any]) -> list[tuple[Place, Place]]:
    """Return who calls whom inside minigrad, in order; bodies of generators are left out."""
    found = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        module, name = place(frame)
        if event != "call" or layer_of(module) is None or name.startswith("<"):
            return
        caller = frame.f_back
        while caller is not None and layer_of(place(caller)[0]) is None:
            caller = caller.f_back
        if caller is not None:
            found.append((place(caller), (module, name)))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return found


def walk(recorded: bool, grn: bool) -> list[tuple[Place, Place]]:
    block, x = Block(16, grn=grn), mg.randn(2, 16, 8, 8)
    with mg.backend.use_kernels("reference"), mg.set_grad_enabled(recorded):
        block(x)  # what is looked up once is found
        return calls(lambda: block(x))


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("recorded", [False, True])
def test_no_call_goes_up(recorded: bool, grn: bool) -> None:
    seen = walk(recorded, grn)
    up = {
        pair
        for pair in seen
        if layer_of(pair[0][0]) < layer_of(pair[1][0]) and pair[0] not in GO_BETWEENS  # type: ignore[operator]
    }
    assert len(seen) > 50
    assert not up


def test_a_block_without_gradients_is_two_operations_and_two_kernels() -> None:
    asked = [
        caller for caller, called in walk(False, False) if called == ("minigrad.kernels", "pick")
    ]
    assert [name for _, name in asked] == ["forward", "forward"]
    assert [module.rpartition(".")[2] for module, _ in asked] == ["conv", "mlp"]


def test_a_kernel_is_chosen_where_an_operation_computes() -> None:
    """But for the one question whether a single operation does the work of several."""
    for caller, called in walk(True, True):
        if called == ("minigrad.kernels", "pick"):
            assert (
                caller[1] == "forward"
                or caller[1] == "is_one_operation"
                or caller[0] == "minigrad.kernels.small"
            )
