from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.errors import DeviceError, DTypeError, OptionError, ShapeError
from minigrad.kernels.cuda import launcher
from minigrad.kernels.cuda.launcher import declarations, expression, launch, source
from tests.emulated.conftest import REAL
from tests.emulated.fake_cupy import devices


def test_declarations_are_read_from_the_sources() -> None:
    ema = declarations()["ema"]
    assert (ema.file, ema.classes, ema.numbers) == ("ema", ("T",), ("V",))
    assert [p.type for p in ema.parameters] == ["T", "T", "long long", "Acc<T>"]
    assert [p.pointer for p in ema.parameters] == [True, True, False, False]
    norm = declarations()["layer_norm"]
    assert [p.name for p in norm.parameters if p.optional] == ["weight", "bias"]
    assert expression("ema", ["float"], [4]) == "ema<float, 4>"


def test_every_kernel_of_the_folder_is_declared() -> None:
    texts = [path.read_text() for path in launcher.FOLDER.glob("*.cu")]
    assert sum(text.count("__global__") for text in texts) == len(declarations())


def test_headers_come_once() -> None:
    text = source("hidden")
    assert text.count("struct AccOf {") == 1
    assert text.index("struct AccOf") < text.index("struct Exact") < text.index("hidden_squares")
    assert '#include "' not in text


def ema(cupy: Any, n: int = 8, dtype: Any = np.float32) -> tuple[Any, Any, int, float]:
    return cupy.asarray(np.ones(n, dtype)), cupy.asarray(np.zeros(n, dtype)), n, 0.5


def test_numbers_are_cast_to_their_parameter(cupy: Any) -> None:
    for dtype in (np.float32, np.float64, np.float16):
        args = ema(cupy, dtype=dtype)
        launch("ema", (1,), (32,), args, (1,))
        assert (args[0].get() == 0.5).all()


def test_an_empty_grid_starts_nothing(cupy: Any) -> None:
    launch("ema", (0,), (32,), ema(cupy, 0), (1,))


def test_refusals(cupy: Any) -> None:
    a, b, n, decay = ema(cupy)
    good = ("ema", (1,), (32,), (a, b, n, decay), (1,))

    def call(i: int, value: Any) -> Any:
        return (*good[:i], value, *good[i + 1 :])

    cases: list[tuple[Any, str, Any]] = [
        (OptionError, "unknown CUDA kernel 'emma'; did you mean 'ema'", call(0, "emma")),
        (OptionError, r"takes 4 arguments \(average, value, size, decay\), got 1", call(3, (a,))),
        (OptionError, r"has the constants \('V',\), got \(\)", call(4, ())),
        (ShapeError, "1 to 1024 threads", call(2, (2048,))),
        (ShapeError, "let each thread do more", call(1, (1, 70000))),
        (ShapeError, "must be contiguous", call(3, (a[::2], b, n, decay))),
        (DTypeError, "float64, but must point to float", call(3, (a, b.astype("f8"), n, decay))),
        (DTypeError, "average must be an array, got int", call(3, (3, b, n, decay))),
        (DTypeError, "must be a whole number", call(3, (a, b, 2.5, decay))),
        (DTypeError, "value must be an array, got NoneType", call(3, (a, None, n, decay))),
        (DeviceError, "value is a NumPy array", call(3, (a, b.get(), n, decay))),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            launch(*arguments)
    assert (a.get() == 1).all()


@pytest.mark.skipif(REAL, reason="claims to have two devices")
def test_arrays_of_two_devices(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "COUNT", [2])
    a, b, n, decay = ema(cupy)
    with cupy.cuda.Device(1):
        other = b.copy()
        both = ema(cupy)
    with pytest.raises(DeviceError, match=r"value is on .*, other arrays on"):
        launch("ema", (1,), (32,), (a, other, n, decay), (1,))
    launch("ema", (1,), (32,), both, (1,))  # on their device, whichever is the current one
    assert (both[0].get() == 0.5).all()
