from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural.resize import interpolate
from tests.ops.parity import agree, laid_out, layouts, same_values

torch = pytest.importorskip("torch")

F = torch.nn.functional
SMOOTH = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}


@st.composite
def resizings(draw: Any) -> Any:
    """Draw an image shape, a mode, and a size or a scale."""
    dims = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    shape += tuple(draw(st.integers(1, 7)) for _ in range(dims))
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "area", *SMOOTH[dims]]))
    options: dict[str, Any] = {"mode": mode}
    if mode in SMOOTH[dims]:
        options["align_corners"] = draw(st.sampled_from([None, False, True]))
    if draw(st.booleans()) or mode == "area":
        options["size"] = tuple(draw(st.integers(1, 12)) for _ in range(dims))
    else:
        least = 1.0 / min(shape[2:])
        factors = [f for f in (0.5, 1.0, 1.5, 2.0, 3.0, 0.34) if f >= least]
        options["scale_factor"] = draw(st.sampled_from(factors))
        options["recompute_scale_factor"] = draw(st.sampled_from([None, True]))
    return shape, options


@given(resizings(), layouts)
def test_interpolate_agrees_with_pytorch(resizing: Any, layout: str) -> None:
    shape, options = resizing
    x = laid_out(np.random.default_rng(0).standard_normal(shape), layout)
    agree(
        lambda x: interpolate(x, **options),
        lambda x: F.interpolate(x, **options),
        x,
        rtol=1e-7,  # PyTorch keeps some scales in float32
    )


MODES = [
    *[(mode, dims) for mode in ("nearest", "nearest-exact", "area") for dims in (1, 2, 3)],
    *[(mode, dims) for dims, modes in SMOOTH.items() for mode in modes],
]


@pytest.mark.parametrize(("mode", "dims"), MODES)
@given(data=st.data())
def test_an_axis_whose_length_stays_is_copied(mode: str, dims: int, data: Any) -> None:
    """Whatever scale_factor says: 3 pixels times 1.3 are 3 pixels, each where it was."""
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(dims))
    stays = [data.draw(st.booleans()) for _ in range(dims)]
    factors = tuple(
        data.draw(st.floats(1.0, (n + 0.99) / n)) if stay else data.draw(st.floats(1.0, 2.5))
        for n, stay in zip(shape, stays, strict=True)
    )
    options: dict[str, Any] = {"mode": mode, "recompute_scale_factor": data.draw(st.booleans())}
    if mode in SMOOTH[dims]:
        options["align_corners"] = data.draw(st.booleans())
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, 3, *shape)), requires_grad=True)
    y = interpolate(x, scale_factor=factors, **options)
    # the same with that axis cut into samples: nothing may be mixed along it
    for axis, n in enumerate(shape, 2):
        if y.shape[axis] == n:
            for i in range(n):
                one = interpolate(
                    x.detach().narrow(axis, i, 1),
                    size=tuple(1 if a == axis else m for a, m in enumerate(y.shape[2:], 2)),
                    **options,
                )
                if options["recompute_scale_factor"] or stays == [True] * dims:
                    same_values(y.narrow(axis, i, 1), torch.from_numpy(one.numpy()), 1e-9)
    if y.shape == x.shape:
        np.testing.assert_array_equal(y.detach().numpy(), x.detach().numpy())
        assert not np.may_share_memory(y.array, x.array)
    if mode in ("linear", "bilinear", "trilinear"):
        theirs = F.interpolate(torch.from_numpy(x.detach().numpy()), None, factors, **options)
        same_values(y.detach(), theirs, 1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.array.sum(), y.numel(), rtol=1e-9)


@pytest.mark.parametrize(("size", "out"), [(200, 513), (513, 100)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_large_images_go_through_bands(size: int, out: int, mode: str) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, size, 3)).astype("float32")
    ours = interpolate(mg.Tensor(x), (out, 4), mode=mode)
    theirs = F.interpolate(torch.from_numpy(x), (out, 4), mode=mode)
    same_values(ours, theirs, 1e-4)


@pytest.mark.parametrize("n", range(1, 40))
def test_nearest_picks_the_same_pixels(n: int) -> None:
    x = np.arange(n, dtype="float32").reshape(1, 1, n)
    for out in range(1, 40):
        for mode in ("nearest", "nearest-exact"):
            ours = interpolate(mg.Tensor(x), out, mode=mode)
            same_values(ours, F.interpolate(torch.from_numpy(x), out, mode=mode), 0)


def test_half_precision() -> None:
    x = mg.randn(1, 2, 5, 5).half().requires_grad_()
    y = interpolate(x, scale_factor=2, mode="bilinear")
    y.sum().backward()
    assert y.dtype == x.grad.dtype == "float16"


x55 = mg.zeros(1, 1, 5, 5)
WRONG: list[Any] = [
    (lambda: interpolate(x55), OptionError, "either size or scale_factor"),
    (lambda: interpolate(x55, 3, 2.0), OptionError, "either size or scale_factor"),
    (lambda: interpolate(x55, 3, mode="bilinaer"), OptionError, "did you mean 'bilinear'"),
    (lambda: interpolate(x55, 3, mode="linear"), OptionError, "use .*bilinear"),
    (lambda: interpolate(x55, 3, align_corners=True), OptionError, "no meaning"),
    (lambda: interpolate(x55, (3, 3, 3)), OptionError, "size takes one number or 2"),
    (lambda: interpolate(x55, 2.5), OptionError, "integers"),
    (lambda: interpolate(x55, 0), ShapeError, "positive"),
    (lambda: interpolate(x55, scale_factor=0.1), ShapeError, "positive"),
    (lambda: interpolate(mg.zeros(5, 5), 3), ShapeError, "N, C, L"),
    (lambda: interpolate(x55.long(), 3), DTypeError, "float"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
