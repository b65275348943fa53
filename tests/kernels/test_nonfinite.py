"""NaN, infinities, huge and denormal numbers go where they should, on every road.

The rule: what PyTorch computes is the yardstick; where PyTorch itself overflows, or multiplies an
infinity by a zero that is no number of the user's, a finite result may stand instead. All versions
of a kernel agree with its formula, and no kernel spreads a NaN beyond what depends on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

import minigrad as mg
from minigrad.backend import finite, kernels_in_use, use_kernels
from minigrad.kernels import pick
from minigrad.kernels.formulas.mlp import Weights
from minigrad.kernels.table import FILE_OF
from minigrad.ops.neural import resize
from tests.laws.cases import Call, calls
from tests.laws.table import TABLE, Row
from tests.laws.test_laws import convert, cotangents, gradients, is_floating, run, torch_run

Array = Any

SPECIAL: dict[str, list[float]] = {
    "nan": [np.nan],
    "infinite": [np.inf, -np.inf],
    "mixed": [np.nan, np.inf, -np.inf, 0.0],
    "zero": [0.0, -0.0],
    "denormal": [1e-42, -1e-42, 1e-30],
    "huge": [1e18],  # of one sign: what cancels depends on the order of a sum
}
kinds = st.sampled_from(list(SPECIAL))
seeds = st.integers(0, 10_000)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy remarks on what is tried here
        yield


class Maker:
    """Makes arrays of random numbers, some of them special."""

    def __init__(self, seed: int, kind: str, dtype: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.values, self.dtype = SPECIAL[kind], np.dtype(dtype)

    def plain(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def __call__(self, *shape: int) -> Array:
        x = self.plain(*shape)
        places = self.rng.integers(0, x.size, 1 + int(self.rng.integers(3)))
        x.reshape(-1)[places] = self.rng.choice(self.values, len(places))
        return x

    def positive(self, *shape: int) -> Array:
        return np.abs(self.plain(*shape))


def _conv(m: Maker, groups: int = 1) -> tuple[Any, ...]:
    around = ((1, 1), ((1, 1), (0, 1)), (1, 1))
    return m(2, 16 * groups, 6, 10), m.plain(8, 16, 3, 3), m.plain(8), *around, groups


_BACK = ((1, 1), ((1, 1), (1, 1)), (1, 1))
_SEVEN = ((1, 1), ((3, 3), (3, 3)), (1, 1), 16)
_MAPS = tuple(resize._smooth_map(n, o, n / o, "bilinear", False) for n, o in ((6, 9), (5, 3)))


def _targets(m: Maker) -> Array:
    """Weights of the classes; some rows weigh nothing."""
    return m.positive(6, 5) * m.rng.integers(2, size=(6, 1)).astype(m.dtype)


@pytest.mark.parametrize("keep", [False, True])
def test_hidden_values_that_cannot_be_squared_give_what_float64_gives(keep: bool) -> None:
    rng = np.random.default_rng(0)
    x, skip, g = rng.standard_normal((3, 2, 3, 3, 6)).astype("f4")
    shapes = (6,), (6,), (24, 6), (24,), (6, 24), (6,), (6,), (24,), (24,)
    small = Weights(*(rng.standard_normal(shape).astype("f4") for shape in shapes))
    unit = np.float32(1e25)
    large = small._replace(w1=small.w1 * unit, b1=small.b1 * unit)
    wide = Weights(*(v.astype("f8") for v in large))  # type: ignore[union-attr]
    y, saved = pick("mlp", x)(x, skip, large, None, 1e-6, 1e-6, keep)
    expected, _ = pick("mlp", x)(x.astype("f8"), skip.astype("f8"), wide, None, 1e-6, 1e-6, keep)
    np.testing.assert_allclose(y / unit, expected / unit, rtol=1e-4, atol=1e-4)
    gx, _ = pick("mlp_vjp", x)(g, x, large, saved)
    slope, _ = pick("mlp_vjp", x)(g.astype("f8"), x.astype("f8"), wide, None)
    np.testing.assert_allclose(gx / unit, slope / unit, rtol=1e-3, atol=1e-3)


def _windows(n: int) -> Array:
    return np.arange(n - 2)[:, None] + np.arange(3)


def _parameters(m: Maker, grn: bool) -> Weights:
    return Weights(
        m.plain(6),
        m.plain(6),
        m.plain(24, 6),
        m.plain(24),
        m.plain(6, 24),
        m.plain(6),
        m.plain(6),
        m.plain(24) if grn else None,
        m.plain(24) if grn else None,
    )


# One row for every kernel: how to call it. None: it changes its arguments and takes lists of
# arrays; tests/kernels/test_optimizers.py compares these.
ROWS: dict[str, Callable[[Maker], tuple[Any, ...]] | None] = {
    "adam": None,
    "adam_flat": None,
    "adam_many": None,
    "ema": None,
    "ema_many": None,
    "sgd": None,
    "sgd_many": None,
    "batch_norm": lambda m: (m(7, 5), m.plain(5), m.plain(5), 1e-5),
    "batch_norm_vjp": lambda m: (m.plain(7, 5), m(7, 5), m.plain(5), 1e-5),
    "layer_norm": lambda m: (m(6, 5), m.plain(5), m.plain(5), 1e-6),
    "layer_norm_vjp": lambda m: (m(6, 5), m(6, 5), m.plain(5), 1e-6),
    "group_norm": lambda m: (m(3, 5, 6), m.plain(6), m.plain(6), 2, 1e-5),
    "group_norm_vjp": lambda m: (m.plain(3, 5, 6), m(3, 5, 6), m.plain(6), 2, 1e-5),
    "grn": lambda m: (m(3, 5, 6), m.plain(6), m.plain(6), 1e-6),
    "grn_vjp": lambda m: (m.plain(3, 5, 6), m(3, 5, 6), m.plain(6), 1e-6),
    "cast": lambda m: (m(5000), np.dtype(np.float32)),
    "conv": _conv,
    "conv_input_grad": lambda m: (m(2, 16, 6, 10), m.plain(16, 4, 3, 3), (6, 10), *_BACK, 1),
    "conv_weight_grad": lambda m: (m(2, 8, 6, 10), m(2, 16, 6, 10), (3, 3), *_BACK, 1),
    "depthwise_conv": lambda m: (m(2, 16, 9, 8), m.plain(16, 1, 7, 7), m.plain(16), *_SEVEN),
    "depthwise_conv_input_grad": lambda m: (m(2, 16, 9, 8), m.plain(16, 1, 7, 7), (9, 8), *_SEVEN),
    "depthwise_conv_weight_grad": lambda m: (  # a NaN gradient meets the zeros around the image
        m.plain(2, 16, 9, 8),
        m(2, 16, 9, 8),
        (7, 7),
        *_SEVEN,
    ),
    "cross_entropy": lambda m: (m(6, 5), _targets(m)),
    "cross_entropy_vjp": lambda m: (m.plain(6, 1), m(6, 5), _targets(m)),
    "scale_by_mask": lambda m: (m(4, 5), m.rng.random((4, 1)) > 0.5, 2.0),
    "erf": lambda m: (m(30),),
    "gelu": lambda m: (m(30),),
    "gelu_vjp": lambda m: (m.plain(30), m(30)),
    "gelu_tanh": lambda m: (m(30),),
    "gelu_tanh_vjp": lambda m: (m.plain(30), m(30)),
    "matmul": lambda m: (m(37, 19), m(19, 45)),
    "relu": lambda m: (m(9000),),
    "relu_vjp": lambda m: (m(9000), m(9000)),
    "mlp": lambda m: (m(2, 3, 3, 6), m(2, 3, 3, 6), _parameters(m, bool(m.rng.integers(2)))),
    "mlp_vjp": lambda m: (m.plain(2, 3, 3, 6), m(2, 3, 3, 6), _parameters(m, False)),
    "max_pool": lambda m: (m(2, 8, 6, 5), (_windows(6), _windows(5))),
    "pool_gather": lambda m: (m(2, 8, 6, 5), m.rng.integers(0, 30, (2, 8, 4, 3))),
    "pool_scatter": lambda m: (m(2, 8, 4, 3), m.rng.integers(0, 30, (2, 8, 4, 3)), (6, 5)),
    "separable": lambda m: (m(2, 8, 6, 5), _MAPS),
    "sum": lambda m: (m(30, 7), (0,), None, False),
    "sum_columns": lambda m: (m(30, 7),),
    "sum_squares": lambda m: (m(30),),
    "softmax": lambda m: (m(6, 5), 1),
    "softmax_vjp": lambda m: (m.plain(6, 5), m(6, 5), 1),
    "log_softmax": lambda m: (m(6, 5), 1),
    "log_softmax_vjp": lambda m: (m.plain(6, 5), m(6, 5), 1),
}


def test_every_kernel_has_a_row() -> None:
    assert set(ROWS) == set(FILE_OF)


def flatten(result: Any) -> list[Array]:
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in flatten(part)]
    return [] if result is None else [np.asarray(result, np.float64)]


def agree(ours: Array, theirs: Array, rtol: float, wider: bool = False) -> None:
    """Compare where NaN and infinities are, and the numbers between them."""
    if wider:
        ours = np.where(np.isnan(theirs), np.nan, ours)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_array_equal(ours == np.inf, theirs == np.inf)
    np.testing.assert_array_equal(ours == -np.inf, theirs == -np.inf)
    there = np.isfinite(theirs)
    scale = np.abs(theirs[there]).max(initial=1e-30)
    assert np.abs(ours[there] - theirs[there]).max(initial=0.0) <= rtol * scale


@pytest.mark.skipif(not find_spec("numba"), reason="compiled kernels need Numba")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row])
@given(kind=kinds, seed=seeds)
@settings(max_examples=25, deadline=None)
def test_compiled_kernels_agree_with_their_formula(
    name: str, dtype: str, kind: str, seed: int
) -> None:
    row = ROWS[name]
    assert row is not None
    results = []
    for choice in ("fast", "reference"):
        args = row(Maker(seed, kind, dtype))
        with use_kernels(choice):
            results.append(flatten(pick(name, args[0])(*args)))
    fast, formula = results
    if name == "mlp":  # what is kept for backward comes second
        fast, formula = fast[:1], formula[:1]
    for a, b in zip(fast, formula, strict=True):
        agree(a, b, 1e-3)


LOCAL = "conv conv_input_grad depthwise_conv depthwise_conv_input_grad separable max_pool".split()


@pytest.mark.parametrize("name", LOCAL)
@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_a_pixel_touches_only_what_depends_on_it(name: str, seed: int) -> None:
    """Where a NaN pixel shows is where the result changes with that pixel."""
    row = ROWS[name]
    assert row is not None
    x, *rest = row(Maker(seed, "zero", "float64"))
    rng = np.random.default_rng(seed)
    place = tuple(int(rng.integers(n)) for n in x.shape)
    outcomes = []
    for value in (np.nan, 1e6, -1e6):
        y = x.copy()
        y[place] = value
        outcomes.append(flatten(pick(name, y)(y, *rest))[0])
    bad, high, low = outcomes
    np.testing.assert_array_equal(np.isnan(bad), high != low)


# ---- operations beside PyTorch ---------------------------------------------------------------

# Where PyTorch makes NaN of more than depends on one: there ours may be a number. Operation to the
# reason.
WIDER: dict[str, str] = {
    "conv1d": "some of its kernels multiply by the zeros around the image, others do not",
    "conv2d": "as conv1d",
    "conv3d": "as conv1d",
    "conv_transpose1d": "as conv1d",
    "conv_transpose2d": "as conv1d",
    "conv_transpose3d": "as conv1d",
    "gelu": "its float32 makes infinity NaN, its float64 does not",
    "var_mean": "the mean of an infinity",
    "std_mean": "as var_mean",
    "logsumexp": "the gradient of -inf alone",
    "interpolate": "weights of 0 times NaN",
    "global_response_norm": "infinity times 0",
    "kl_div": "the gradient of a target of 0",
}

# Where we differ on purpose, or PyTorch with itself.
APART: dict[str, str] = {
    "bfloat16": "no gradient to compare",
    "clamp": "limits that are tensors and equal or NaN: PyTorch gives the gradient to nobody",
    "cumprod": "PyTorch divides by the element, and so loses what the smallest numbers multiply to",
    "prod": "as cumprod",
    "norm": "PyTorch's overflows",
    "normalize": "as norm",
    "layer_norm": "the gradient drawn is nearly one of 0: what is left of it is rounding",
    "group_norm": "as layer_norm",
    "instance_norm": "as layer_norm, and infinite weights and biases meet in another order",
    "batch_norm": "as instance_norm",
    "rms_norm": "as layer_norm",
    "addcdiv": "PyTorch squares the divisor, which may be too small for it",
    "topk": "which of several equal numbers comes first is open in PyTorch",
    "scaled_dot_product_attention": "PyTorch's kernel takes softmax in pieces",
    "binary_cross_entropy": "PyTorch's gradient of the target is infinite",
}


@pytest.mark.parametrize(
    "row",
    [r for r in TABLE if r.theirs is not None and r.operation not in APART],
    ids=lambda r: r.name,
)
@given(data=st.data(), kind=kinds, seed=seeds)
@settings(max_examples=12, deadline=None)
def test_operations_agree_with_pytorch(row: Row, data: Any, kind: str, seed: int) -> None:
    """Values and gradients: NaN, both infinities, and the numbers between them."""
    torch = pytest.importorskip("torch")
    drawn = data.draw(calls(row.build))
    rng = np.random.default_rng(seed)

    def spoil(v: Array) -> Array:
        if not is_floating(v) or not v.size:
            return v
        v = np.array(v, np.float64)
        for place in rng.integers(0, v.size, 2):
            v.reshape(-1)[place] = rng.choice(SPECIAL[kind])
        return v

    call = Call(convert(drawn, spoil), drawn.options)
    try:
        their_leaves, theirs = torch_run(row, call, "float32")
    except (RuntimeError, ValueError, IndexError, TypeError):
        return
    leaves, outs = run(row, call, np.float32)
    wider = row.operation in WIDER
    for a, b in zip(outs, theirs, strict=True):
        agree(np.asarray(a.array, np.float64), b.detach().double().numpy(), 1e-3, wider)
    recorded = [b for b in theirs if b.requires_grad]
    given_ = cotangents([o for o in outs if o.requires_grad])
    if not recorded or len(recorded) != len(given_):
        return
    vectors = [
        torch.from_numpy(np.array(c.array)).to(b.dtype)
        for c, b in zip(given_, recorded, strict=True)
    ]
    expected = torch.autograd.grad(recorded, their_leaves, vectors, allow_unused=True)
    for g, e in zip(gradients(leaves, outs), expected, strict=True):
        if g is not None and e is not None:
            agree(np.asarray(g.array, np.float64), e.double().numpy(), 1e-3, wider)


def test_what_is_apart_is_in_the_table() -> None:
    assert set(APART) | set(WIDER) <= {r.operation for r in TABLE}
    assert not set(APART) & set(WIDER)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 4), (16, 1), (16, 4), (16, 16)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kernel", [3, 7])
def test_a_weight_touches_only_what_it_meets(
    dims: int, stride: int, channels: int, groups: int, transposed: bool, bad: float, kernel: int
) -> None:
    """The zeros around an image, and between the pixels of a gradient, are none of the user's."""
    if kernel == 7 and (dims == 3 or groups != channels):
        pytest.skip("for the seven wide filters of ConvNeXt alone")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, *(9, 6, 8)[:dims])).astype(np.float32)
    w = rng.standard_normal((channels, channels // groups, *(kernel,) * dims)).astype(np.float32)
    name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"
    options = {"stride": stride, "padding": kernel // 2, "groups": groups}
    place = 1, 0, *(0,) * dims

    def results(value: float, slope: float) -> list[Array]:
        w[place] = value
        tx, tw = mg.tensor(x, requires_grad=True), mg.tensor(w, requires_grad=True)
        y = getattr(mg.nn.functional, name)(tx, tw, **options)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        g[place] = slope
        with np.errstate(all="ignore"):
            slopes = mg.autograd.grad(y, (tx, tw), mg.tensor(g))
        return [np.asarray(t.array) for t in (y.detach(), *slopes)]

    for value, slope in ((bad, 1.0), (1.0, bad)):
        ours = results(value, slope)
        high = results(*(1e6 if v is bad else v for v in (value, slope)))
        low = results(*(-1e6 if v is bad else v for v in (value, slope)))
        for a, b, c in zip(ours, high, low, strict=True):
            np.testing.assert_array_equal(np.isfinite(a), b == c)


@pytest.mark.parametrize("dims", [1, 2, 3])
@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_of_several_nan_max_pooling_takes_the_last(dims: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    draw = lambda low, high: tuple(int(n) for n in rng.integers(low, high, dims))  # noqa: E731
    x = rng.integers(0, 4, (2, 3, *draw(3, 8))).astype(np.float32)
    x[rng.random(x.shape) < rng.choice([0.05, 0.3, 0.7])] = np.nan
    kernel = draw(1, 4)
    padding = tuple(int(rng.integers(k // 2 + 1)) for k in kernel)
    for name, options in (
        (f"adaptive_max_pool{dims}d", (draw(1, 4),)),
        (f"max_pool{dims}d", (kernel, draw(1, 4), padding)),
    ):
        t, ours = torch.tensor(x, requires_grad=True), mg.tensor(x, requires_grad=True)
        pooled, at = getattr(torch.nn.functional, name)(t, *options, return_indices=True)
        y, where = getattr(mg.nn.functional, name)(ours, *options, return_indices=True)
        np.testing.assert_array_equal(where.numpy(), at.numpy())
        np.testing.assert_array_equal(y.detach().numpy(), pooled.detach().numpy())
        pooled.sum().backward()
        y.sum().backward()
        assert ours.grad is not None
        np.testing.assert_array_equal(ours.grad.numpy(), t.grad.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e20, 1e30])
def test_response_normalisation_of_what_cannot_be_squared(dtype: str, size: float) -> None:
    """It is the same as of smaller numbers: only eps is of another size."""
    size = size if dtype == "float32" else size**8
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 3, 5, 6)).astype(dtype)
    gamma, beta = rng.standard_normal((2, 6)).astype(dtype)
    x[1, :, 2] = 0.0
    for mixed in (False, True):
        large = x * np.asarray(size, dtype)
        if mixed:  # one sample that needs it, and one that does not
            large[1] = x[1]
        y = pick("grn", x)(large, gamma, 0 * beta, 1e-12)
        expected = pick("grn", x)(x, gamma, 0 * beta, 1e-12)
        scale = large.max(axis=(1, 2), keepdims=True) / x.max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(y / scale, expected, rtol=2e-5, atol=1e-6)
        gx, g_gamma, _ = pick("grn_vjp", x)(g, large, gamma, 1e-12)
        np.testing.assert_allclose(gx, pick("grn_vjp", x)(g, x, gamma, 1e-12)[0], 1e-4, 1e-5)
        assert np.isfinite(g_gamma).all()
    ours = mg.tensor(x * np.asarray(size, dtype), requires_grad=True)
    y = mg.nn.functional.global_response_norm(ours, mg.tensor(gamma), mg.tensor(beta))
    (slope,) = mg.autograd.grad(y, ours, mg.tensor(g), create_graph=True)
    (bend,) = mg.autograd.grad((slope * slope).sum(), ours)
    assert np.isfinite(bend.numpy()).all()


DROPPED = [mg.dropout, mg.drop_path]


@pytest.mark.parametrize("function", DROPPED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_multiplies(function: Any, value: float) -> None:
    """As in PyTorch, where 0 * inf is NaN too: a broken value stays visible."""
    mg.manual_seed(0)
    y = function(mg.full((64, 2), value), 0.5, training=True).numpy()
    assert not np.isfinite(y).any()


@pytest.mark.skipif(not find_spec("numba"), reason="compiled kernels need Numba")
def test_numbers_in_foreign_byte_order_go_to_the_formula() -> None:
    row = ROWS["max_pool"]
    assert row is not None
    x, tables = row(Maker(3, "zero", "float32"))
    foreign = x.astype(x.dtype.newbyteorder())
    with use_kernels("fast"):
        expected = pick("max_pool", x)(x, tables)
        for ours, theirs in zip(pick("max_pool", foreign)(foreign, tables), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert kernels_in_use() == "fast"  # no kernel has failed


@given(
    arrays(
        st.sampled_from(["float16", "float32", "float64"]).map(np.dtype),
        array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
        elements=st.sampled_from([0.0, 1e-40, 1.0, 6e4, -6e4, np.inf, -np.inf, np.nan]),
    )
)
def test_one_product_tells_whether_all_numbers_are_finite(x: Array) -> None:
    with np.errstate(all="raise"):
        for view in (x, x.T, x[..., ::2]):
            assert finite(view) == bool(np.isfinite(view).all())
