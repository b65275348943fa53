"""Docstrings of the public API follow numpydoc, and every function and class has an example.

The public API is what `docs/api/index.md` lists. The examples themselves run as doctests.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg

INDEX = Path(__file__).resolve().parents[2] / "docs" / "api" / "index.md"
LEFT_OUT = {
    "ES01": "a summary that says all needs no more",
    "SA01": "names in the text are links already",
    "EX01": "asked of functions and classes, below; not of every method",
    "GL08": "methods that only carry out a protocol; ruff asks for all others",
    "PR01": "one line says what the arguments of an operation are, where it says all",
    "RT01": "the summary begins with what is returned",
    "RT03": "a type alone, where the summary says the rest",
    "YD01": "as RT01",
    "PR02": "names of *values, and options that a parent passes on",
    "PR03": "parameters that mean the same are explained together …",
    "PR04": "… and their type is said once",
    "PR08": "a description may begin with a value, which is written as it is",
    "RT04": "as PR08",
    "SS02": "a summary may be a formula",
    "SS05": "'bmm' is no third person",
}
PAGES = {  # each of these has a page of its own with an example; a model would take its time here
    "minigrad.models": ("convnext_", "convnextv2_", "mednext_"),
    "minigrad.compat.medicai": ("ConvNeXt", "UNet", "AttentionUNet"),
    "minigrad.compat.lucid": ("convnext_",),
}
NO_EXAMPLE = {  # what an example cannot show, or only with a file, a GPU or another thread;
    # under minigrad and its ops also what Python's operators call, and questions of one word
    "minigrad": "enable_grad inference_mode is_grad_enabled set_grad_enabled is_autocast_enabled "
    "get_autocast_dtype get_default_dtype set_default_dtype div floor_divide mul "
    "neg remainder sub eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor logical_and "
    "logical_or logical_xor ceil floor trunc isfinite isinf isnan",
    "minigrad.data": "BrainTissue Split fashion_mnist mnist1d read_volume",
    "minigrad.io": "Checkpoint building save_keras",
    "minigrad.train": "Progress Trackio load_checkpoint",
    "minigrad.runs": "Experiment Task Trained find_trained initial_sizes load_initial "
    "reconstructions",
    "minigrad.onnx": "Comparison",
    "minigrad.compat.keras.losses": "find_loss",
    "minigrad.compat.keras.optimizers": "Spec",
    "minigrad.models.weights.adapt": "adapt",
    "minigrad.models.weights.load": "Loaded PretrainedReport Rules build_with load_into own_names "
    "read read_pretrained takes_pretrained",
    "minigrad.dtypes": "to_dtype",
    "minigrad.backend": "MemoryInfo address at_hand cuda_is_available current_stream free_memory "
    "from_cuda is_writeable memory_info namespace nccl new_stream quiet quietly register "
    "synchronize tf32_allowed why_no_cuda",
    "minigrad.distributed": "Work launch",
    "minigrad.kernels": "fall_back",
    "minigrad.ops": "argmax asarray concatenate expand_dims mean amin squeeze stack sum "
    "take_along_axis transpose",
    "minigrad.errors": "DTypeError DataError DeviceError GraphError MinigradError MissingExtra "
    "OptionError RangeError ShapeError StateError",
}


@cache
def modules() -> list[str]:
    """Return the modules that the reference lists."""
    found = re.findall(r"^   (minigrad[\w.]*)$", INDEX.read_text(), re.M)
    return [name for name in found if name != "minigrad.Tensor"]


def own(value: Any) -> bool:
    return callable(value) and str(getattr(value, "__module__", "")).startswith("minigrad")


def public(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes that a module of the reference hands out."""
    found = importlib.import_module(module)
    for name in getattr(found, "__all__", ()):
        if own(getattr(found, name)):
            yield name, getattr(found, name)


def documented() -> Iterator[str]:
    """Yield the path of everything with a docstring of its own, each once."""
    seen = set()
    for module in modules():
        for name, value in [("Tensor", mg.Tensor)] * (module == "minigrad") + [*public(module)]:
            if id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{module}.{name}"
            if inspect.isclass(value):
                members = value.__dict__.items()
                methods = [n for n, v in members if inspect.isfunction(v) and n[0] != "_"]
                yield from (f"{module}.{name}.{method}" for method in methods)


@pytest.mark.needs("numpydoc", "onnx_ir")
def test_numpydoc_finds_nothing() -> None:
    from numpydoc.validate import validate

    found = [
        f"{path}: {code} {message}"
        for path in documented()
        for code, message in validate(path)["errors"]
        if code not in LEFT_OUT
    ]
    assert not found, "\n".join(found)


@pytest.mark.needs("onnx_ir")
def test_functions_and_classes_have_an_example() -> None:
    """One that gets an example loses its place in the list above."""
    without: dict[str, set[str]] = {}
    seen = set()
    for module in modules():
        for name, value in public(module):
            text = inspect.getdoc(value) or ""
            if ">>>" not in text and id(value) not in seen:
                if not name.startswith(PAGES.get(module, ("\0",))):
                    without.setdefault(module, set()).add(name)
            seen.add(id(value))
    assert without == {module: set(names.split()) for module, names in NO_EXAMPLE.items()}
