from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels
from minigrad.kernels import pick
from minigrad.kernels.arrays import depthwise_conv
from minigrad.kernels.declare import declare
from minigrad.kernels.table import FILE_OF, FILES


def test_every_kernel_is_found() -> None:
    x = np.ones(1)
    for name in FILE_OF:
        assert callable(pick(name, x))


def test_the_table_names_everything_a_file_offers() -> None:
    helpers = {"AxisMap", "Weights", "flip", "flipped_padding", "in_parts", "out_size", "pad"}
    for room, files in FILES.items():
        for file, names in files.items():
            offered = set(importlib.import_module(f"minigrad.kernels.{room}.{file}").__all__)
            assert offered - helpers == set(names.split())


def test_tensors_get_the_differentiable_formula() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    assert pick("gelu", x)(x).requires_grad


def test_choice_is_remembered() -> None:
    x = np.ones(1)
    assert pick("gelu", x) is pick("gelu", x)


def test_a_compiled_version_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("minigrad.kernels.cpu")
    module = types.ModuleType("minigrad.kernels.cpu.gelu")
    module.gelu = lambda x: "compiled"  # type: ignore[attr-defined]
    for m in (package, module):
        m.__spec__ = importlib.machinery.ModuleSpec(m.__name__, None)
        monkeypatch.setitem(sys.modules, m.__name__, m)
    package.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setattr(kernels, "kernel_cache", {})
    monkeypatch.setattr(kernels, "kernels_in_use", lambda: "fast")
    x = np.ones(1)
    assert pick("gelu", x)(x) == "compiled"
    assert pick("gelu_vjp", x)(x, x) == pytest.approx(1.0833, abs=1e-4)


def test_a_compiled_version_that_cannot_be_imported_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str) -> types.ModuleType:
        if name == "minigrad.kernels.cpu.gelu":
            raise RuntimeError("no compiler")
        return real(name)

    real = importlib.import_module
    monkeypatch.setattr(kernels, "kernel_cache", {})
    monkeypatch.setattr(kernels, "kernels_in_use", lambda: "fast")
    monkeypatch.setattr(kernels.importlib, "import_module", fail)
    x = np.ones(1)
    with (
        mg.backend.use_kernels(mg.backend.kernels_in_use()),
        pytest.warns(RuntimeWarning, match=r"kernels of gelu cannot be used \(no compiler\)"),
    ):
        y = pick("gelu", x)(x)
    assert y == pytest.approx(0.8413, abs=1e-4)


def test_switching_between_kernels() -> None:
    x = np.ones(1)
    with mg.backend.use_kernels("reference"):
        assert mg.backend.kernels_in_use() == "reference"
        assert not kernels.is_compiled("gelu", x)
    with pytest.raises(mg.errors.OptionError, match="unknown kernels 'fats'; did you mean 'fast'"):
        mg.backend.use_kernels("fats")
    if importlib.util.find_spec("numba") is None:
        assert mg.backend.kernels_in_use() == "reference"
        with pytest.raises(mg.errors.MissingExtra, match=r"pip install 'minigrad\[fast\]'"):
            mg.backend.use_kernels("fast")
    else:
        assert mg.backend.kernels_in_use() == "fast"
        assert kernels.is_compiled("gelu", x)


# ---- several versions --------------------------------------------------------------------------


def test_a_kernel_gets_what_it_takes_and_may_refuse_on_its_way() -> None:
    @declare(takes=lambda x: x.size < 3, keeps=True)
    def small(x: Any) -> Any:
        return NotImplemented if x.size == 2 else "small"

    kernel = kernels._either(small, lambda x: "any")
    assert [kernel(np.ones(n)) for n in (1, 2, 3)] == ["small", "any", "any"]
    assert kernel.keeps  # type: ignore[attr-defined]


def test_one_filter_per_channel_is_a_convolution_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []
    real = depthwise_conv._plan
    monkeypatch.setattr(depthwise_conv, "_plan", lambda *args: taken.append(1) or real(*args))
    x, geometry = np.ones((1, 4, 5)), ((1,), ((1, 1),), (1,))
    with mg.backend.use_kernels("reference"):
        conv = pick("conv", x)
        one, two, all_ = (conv(x, np.ones((4, 4 // n, 3)), None, *geometry, n) for n in (4, 2, 1))
    assert len(taken) == 1
    np.testing.assert_allclose(4 * one, 2 * two)
    np.testing.assert_allclose(2 * two, all_)


def test_a_list_is_refused_before_the_first_array_has_changed() -> None:
    p, fixed = np.ones(2), np.ones(3)
    fixed.flags.writeable = False
    with pytest.raises(mg.errors.GraphError, match="ema: array 1 of list 0"):
        pick("ema_many", p)([p, fixed], [np.zeros(2), np.zeros(3)], 0.5)
    assert (p == 1.0).all()
