from __future__ import annotations

import importlib
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels
from minigrad.kernels import pick


def test_every_kernel_is_found() -> None:
    x = np.ones(1)
    for name in kernels._file_of:
        assert callable(pick(name, x))


def test_the_table_names_everything_a_file_offers() -> None:
    for file, names in kernels._FILES.items():
        offered = set(importlib.import_module(f"minigrad.kernels.reference.{file}").__all__)
        helpers = {"AxisMap", "flip", "flipped_padding", "out_size", "pad"}
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
    monkeypatch.setattr(kernels, "_cache", {})
    monkeypatch.setattr(kernels, "_COMPILED", {"numpy": ("cpu", "numpy")})
    x = np.ones(1)
    assert pick("gelu", x)(x) == "compiled"
    assert pick("gelu_vjp", x)(x, x) == pytest.approx(1.0833, abs=1e-4)
