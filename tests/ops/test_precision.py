"""autocast: its rules are PyTorch's, its casts are recorded and cached, its region ends."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.models as models
from minigrad.autograd.node import Function
from minigrad.errors import DTypeError, OptionError
from minigrad.nn import functional as F
from minigrad.ops.precision import RULES
from tests.clock import HANG

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")

# The same lines for both libraries: m is minigrad or torch, f its functional module, and h half,
# x and y float32 (4, 8), w (5, 8), v and u vectors of 8, i images (2, 4, 6, 6), k a class each.
CASES = """
matmul              x @ w.T
matmul, both        x @ h.T
mm                  m.mm(x, w.T)
bmm                 m.bmm(i[:, 0], i[:, 1])
mv                  m.mv(x, v)
addmm               m.addmm(y[:, :4], x, y.T)
einsum              m.einsum("ij,kj->ik", x, w)
linear              f.linear(x, w)
linear, half        f.linear(h, w, w[:, 0])
conv1d              f.conv1d(i[0], i[0][:, :, :3])
conv2d              f.conv2d(i, i[:, :, :3, :3])
conv_transpose2d    f.conv_transpose2d(i[:, :2], i[:, :, :3, :3])
acos                m.acos(h / 8)
asin                m.asin(h / 8)
cosh                m.cosh(h)
sinh                m.sinh(h)
tan                 m.tan(h / 8)
exp                 m.exp(h)
expm1               m.expm1(h)
log                 m.log(h * h)
log10               m.log10(h * h)
log1p               m.log1p(h * h)
log2                m.log2(h * h)
reciprocal          m.reciprocal(h)
rsqrt               m.rsqrt(h * h)
number / x          2.0 / h
power               h ** 3
square              h ** 2
number ** x         2.0 ** h
sum                 h.sum()
sum over an axis    h.sum(1)
prod                h.prod()
cumsum              m.cumsum(h, 0)
cumprod             m.cumprod(h, 0)
norm                m.norm(h)
softplus            f.softplus(h)
softmax             f.softmax(h, dim=1)
log_softmax         f.log_softmax(h, dim=1)
layer_norm          f.layer_norm(h, (8,), v, u)
group_norm          f.group_norm(h, 2, v, u)
cross_entropy       f.cross_entropy(h, k)
nll_loss            f.nll_loss(f.log_softmax(h, dim=1), k)
mse_loss            f.mse_loss(h, x)
l1_loss             f.l1_loss(h, x)
smooth_l1_loss      f.smooth_l1_loss(h, x)
kl_div              f.kl_div(h, f.softmax(x, dim=1), reduction="sum")
bce with logits     f.binary_cross_entropy_with_logits(h, f.softmax(x, dim=1))
tensordot           m.tensordot(x, w, ([1], [1]))
tensordot, mixed    m.tensordot(h, w, ([1], [1]))
scatter_add         m.scatter_add(h, 0, k[None].repeat(2, 1), x)
add                 h + x
mul, half           h * h
division            h / x
cat                 m.cat([h, x])
stack               m.stack([h, x])
where               m.where(x > 0, h, x)
addcmul             m.addcmul(h, x, x)
mean                h.mean()
var                 h.var()
sqrt                m.sqrt(h * h)
tanh                m.tanh(h)
sigmoid             m.sigmoid(h)
relu                f.relu(h)
gelu                f.gelu(h)
silu                f.silu(h)
max_pool2d          f.max_pool2d(i, 2)
double              f.layer_norm(x.double(), (8,))
integers            k.sum()
"""
# Where tensors without values do not get that far in PyTorch: what its documentation says.
DOCUMENTED = dict.fromkeys(
    ["bmm", "addmm", "linear, half", "conv1d", "conv2d", "conv_transpose2d"], "float16"
) | {"scatter_add": "float32"}
REFUSED_ON_CPU = {"tensordot, mixed", "scatter_add"}  # PyTorch's list for the CPU lacks them
TABLE = {line[:20].strip(): line[20:] for line in CASES.strip().splitlines()}


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    normal = {"x": (4, 8), "y": (4, 8), "w": (5, 8), "v": (8,), "u": (8,), "i": (2, 4, 6, 6)}
    found = {name: rng.standard_normal(shape, np.float32) for name, shape in normal.items()}
    return found | {"h": found["x"] + 0.5, "k": np.array([0, 2, 1, 3])}


def ours(case: str, half: Any) -> mg.Tensor:
    values: dict[str, Any] = {name: mg.tensor(a) for name, a in arrays().items()}
    values["h"] = values["h"].to(half)
    with mg.autocast("cpu", dtype=half):
        return eval(TABLE[case], {"m": mg, "f": F, **values})  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def cuda_rules() -> dict[str, str]:
    """What PyTorch's own table for CUDA gives, on tensors without values: no GPU is needed."""
    script = """
        import json, sys, torch, torch.nn.functional as f
        from torch._subclasses.fake_tensor import FakeTensorMode
        table, shapes = json.load(sys.stdin)
        found = {}
        with FakeTensorMode():
            made = {n: torch.empty(s, device="cuda") for n, s in shapes.items()}
            made["h"] = made["h"].half()
            made["k"] = made["k"].long()
            torch.set_autocast_enabled("cuda", True)
            torch.set_autocast_dtype("cuda", torch.float16)
            for name, line in table.items():
                try:
                    result = eval(line, {"m": torch, "f": f, **made}).dtype
                except Exception as error:
                    result = error
                found[name] = str(result).removeprefix("torch.")
        print(json.dumps(found))
    """
    given = json.dumps([TABLE, {name: a.shape for name, a in arrays().items()}])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        input=given, capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", TABLE)
def test_the_precision_is_that_of_torch_on_cuda(case: str, cuda_rules: dict[str, str]) -> None:
    theirs = cuda_rules[case]
    wanted = DOCUMENTED[case] if "not linked with" in theirs else theirs
    assert ours(case, mg.float16).dtype.name == wanted


@pytest.mark.parametrize("case", sorted(TABLE.keys() - REFUSED_ON_CPU))
def test_the_values_are_those_of_torch_in_bfloat16(case: str) -> None:
    values: dict[str, Any] = {name: torch.tensor(a) for name, a in arrays().items()}
    values["h"] = values["h"].bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = eval(TABLE[case], {"m": torch, "f": torch.nn.functional, **values})
    result = ours(case, mg.bfloat16).double()
    close = theirs.double().numpy()
    # A step of bfloat16 is 2**-8; PyTorch's CPU rounds results that stay float32 here.
    np.testing.assert_allclose(result, close, rtol=2**-6, atol=2**-7 * max(1.0, abs(close).max()))


def test_every_rule_is_one_of_an_operation() -> None:
    homes = (mg, F, mg.ops.index, mg.ops.neural.mlp)
    assert [name for name in RULES if not any(hasattr(home, name) for home in homes)] == []


# ---- norms and the block of ConvNeXt --------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_keeps_statistics_in_float32_and_gives_what_it_got(training: bool) -> None:
    x = mg.randn(4, 3, 5, 5)
    bn = mg.nn.BatchNorm2d(3)
    bn.train(training)
    other = mg.nn.BatchNorm2d(3)
    other.train(training)
    with mg.autocast("cpu", mg.bfloat16):
        y = bn(x.bfloat16())
    expected = other(x.bfloat16().float())
    assert y.dtype == mg.bfloat16
    assert bn.running_var.dtype == mg.float32
    np.testing.assert_array_equal(bn.running_var, other.running_var)
    np.testing.assert_array_equal(y.float().detach(), expected.bfloat16().float().detach())


def test_grn_is_computed_in_float32() -> None:
    x = (mg.randn(2, 3, 3, 8) * 300).half()  # the sum of squares leaves the range of float16
    grn = mg.nn.GRN(8)
    with mg.no_grad():
        grn.gamma.fill_(0.5)
    with mg.autocast("cpu", mg.float16):
        y = grn(x)
    assert y.dtype == mg.float32
    np.testing.assert_array_equal(y.detach(), grn(x.float()).detach())


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["ConvNeXt", "ConvNeXtV2"])
def test_a_whole_model_is_close_to_float32_and_its_gradients_are_float32(
    name: str, half: str
) -> None:
    mg.manual_seed(0)
    model = getattr(models, name)(1, 10, (1, 1), (8, 16), 0.2, patch_size=2)
    x, y = mg.randn(8, 1, 16, 16), mg.arange(8)
    exact, near = [], []
    for found, enabled in ((exact, False), (near, True)):
        mg.manual_seed(1)  # drop path
        with mg.autocast("cpu", half, enabled=enabled):
            out = model(x)
            loss = F.cross_entropy(out, y)
        assert out.dtype == (half if enabled else "float32")
        assert loss.dtype == "float32"
        loss.backward()
        found.extend(p.grad for p in model.parameters())
        model.zero_grad()
    for g, h in zip(exact, near, strict=True):
        assert h.dtype == "float32"
        assert np.abs(g.numpy() - h.numpy()).max() <= 0.03 * np.abs(g.numpy()).max() + 1e-6


def test_the_block_under_autocast_is_as_near_to_float32_as_its_layers_one_by_one() -> None:
    """The fused half rounds less often than the layers do, so it need not be equal to them."""
    mg.manual_seed(0)
    block = models.convnext.Block(8, layer_scale_init_value=None, grn=True)
    x = mg.randn(2, 8, 9, 9)
    exact = block(x)
    with mg.autocast("cpu", "bfloat16"):
        y = block(x)
        z = block.dwconv(x).movedim(1, -1)
        z = block.pwconv2(block.grn(mg.gelu(block.pwconv1(block.norm(z)))))
    fused, layers = ((t - exact).square().mean().item() for t in (y, x + z.movedim(-1, 1)))
    assert fused <= layers < 1e-4


# ---- the region -----------------------------------------------------------------------------


def dtype_of_product() -> str:
    return (mg.ones(2, 2) @ mg.ones(2, 2)).dtype.name


def test_a_region_begins_ends_nests_and_is_left_by_errors() -> None:
    assert not mg.is_autocast_enabled("cpu")
    with mg.autocast("cpu"):
        assert mg.is_autocast_enabled("cpu")
        assert not mg.is_autocast_enabled("cuda")
        assert dtype_of_product() == "bfloat16"
        with mg.autocast("cpu", mg.float16):
            assert dtype_of_product() == "float16"
            assert mg.get_autocast_dtype("cpu") == mg.float16
            with mg.autocast("cpu", enabled=False):
                assert dtype_of_product() == "float32"
            with mg.autocast("cuda"):
                assert dtype_of_product() == "float16"
                assert mg.is_autocast_enabled("cuda")
        with pytest.raises(ValueError, match="stop"), mg.autocast("cpu", mg.float16):
            raise ValueError("stop")
        assert dtype_of_product() == "bfloat16"
    with mg.autocast("cuda", mg.bfloat16):
        assert dtype_of_product() == "float32"
    assert dtype_of_product() == "float32"
    assert mg.get_autocast_dtype("cpu") == mg.bfloat16
    assert mg.get_autocast_dtype("cuda") == mg.float16


def test_one_object_serves_again_and_as_a_decorator() -> None:
    region = mg.autocast("cpu", mg.float16)
    with region, region:
        assert dtype_of_product() == "float16"
    assert dtype_of_product() == "float32"
    assert region(dtype_of_product)() == "float16"
    assert dtype_of_product() == "float32"


def test_other_threads_know_nothing_of_it() -> None:
    seen = []
    with mg.autocast("cpu", mg.float16):
        thread = threading.Thread(target=lambda: seen.append(dtype_of_product()))
        thread.start()
        thread.join()
    assert seen == ["float32"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("gpu",), OptionError, "unknown autocast device type 'gpu'"),
        (("cuda:0",), OptionError, "choose from cpu, cuda"),
        (("cpu", mg.float32), DTypeError, "float16 or bfloat16, not float32"),
        (("cpu", mg.int16), DTypeError, "float16 or bfloat16, not int16"),
    ],
)
def test_wrong_options_are_refused(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        mg.autocast(*options)


# ---- casts ----------------------------------------------------------------------------------


def cast_of_weight(y: mg.Tensor) -> Any:
    return y._node.next[1]


def test_a_parameter_is_cast_once_per_region_while_it_is_unchanged() -> None:
    layer, x = mg.nn.Linear(3, 3), mg.ones(1, 3)
    with mg.autocast("cpu", mg.float16):
        first, second = layer(x), layer(x)
        with mg.autocast("cpu", enabled=False):
            layer(x)
        with mg.autocast("cpu", mg.float16):
            inner = layer(x)
        assert cast_of_weight(first) is cast_of_weight(second) is cast_of_weight(inner)
        with mg.no_grad():
            layer.weight.add_(1.0)
        assert cast_of_weight(layer(x)) is not cast_of_weight(first)
        assert (layer(x) - first).sum().item() > 8
    with mg.autocast("cpu", mg.float16):
        assert cast_of_weight(layer(x)) is not cast_of_weight(first)
    with mg.autocast("cpu", mg.float16, cache_enabled=False):
        assert cast_of_weight(layer(x)) is not cast_of_weight(layer(x))


def test_a_cast_made_without_recording_is_not_taken_while_recording() -> None:
    layer, x = mg.nn.Linear(3, 3), mg.ones(1, 3)
    with mg.autocast("cpu", mg.float16):
        with mg.no_grad():
            layer(x)
        layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_one_cast_serves_two_backward_passes() -> None:
    layer, x = mg.nn.Linear(3, 3), mg.ones(1, 3)
    with mg.autocast("cpu", mg.float16):
        first, second = layer(x).sum(), layer(x).sum()
    first.backward()
    second.backward()
    np.testing.assert_array_equal(layer.weight.grad, 2 * np.ones((3, 3)))


def test_backward_inside_the_region_is_the_same() -> None:
    x = mg.randn(4, 3)
    grads = []
    for inside in (False, True):
        w = mg.tensor(np.linspace(-1, 1, 9).reshape(3, 3), dtype=mg.float32, requires_grad=True)
        with mg.autocast("cpu", mg.bfloat16):
            loss = mg.softmax(mg.sigmoid(x @ w) ** 3, 1).square().sum()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        grads.append(w.grad.numpy())
    np.testing.assert_array_equal(*grads)


def test_second_derivatives_inside_the_region() -> None:
    w = mg.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
    with mg.autocast("cpu", mg.float16):
        y = (mg.tanh(mg.ones(1, 2) @ w)).exp().sum()
        (slope,) = mg.autograd.grad(y, w, create_graph=True)
        slope.square().sum().backward()
    v = mg.tensor(w.detach().numpy(), requires_grad=True)
    (exact,) = mg.autograd.grad(mg.tanh(mg.ones(1, 2) @ v).exp().sum(), v, create_graph=True)
    exact.square().sum().backward()
    np.testing.assert_allclose(w.grad, v.grad, rtol=0.02, atol=0.02)


def test_checkpointing_repeats_the_region() -> None:
    mg.manual_seed(0)
    block, head, x = mg.nn.Linear(4, 4), mg.nn.Linear(4, 4), mg.randn(3, 4)
    grads = []
    for again in (False, True):
        block.zero_grad()
        head.zero_grad()
        with mg.autocast("cpu", mg.bfloat16):
            first = block(x)  # its weight is in the cache when the checkpoint comes
            y = mg.autograd.checkpoint(block, first) if again else block(first)
            loss = head(y).sum()
        loss.backward()
        grads.append([p.grad.numpy() for p in (*block.parameters(), *head.parameters())])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2)


def test_in_place_methods_keep_the_dtype() -> None:
    x = mg.tensor([0.0, 1.0], dtype=mg.float16)
    with mg.autocast("cpu", mg.float16):
        x.exp_()
        x[0] = 2.5
    assert x.dtype == mg.float16
    np.testing.assert_allclose(x.float(), [2.5, np.e], rtol=1e-3)


def test_what_is_too_large_becomes_infinite_without_a_warning() -> None:
    x = mg.tensor([1e6, 1.0], requires_grad=True)
    with mg.autocast("cpu", mg.float16):
        y = x @ mg.ones(2)
    assert np.isinf(y.item())


def test_an_operation_of_the_user_gets_what_it_is_given() -> None:
    class Double(Function):
        def forward(self, x: Any) -> Any:
            return x + x

        def backward(self, g: Any) -> Any:
            return g + g

    with mg.autocast("cpu", mg.float16):
        assert Double()(mg.ones(2)).dtype == mg.float32


@pytest.mark.parametrize("lend", ["numpy", "asarray", "dlpack", "from_numpy"])
def test_a_change_through_an_array_is_seen_within_the_region(lend: str) -> None:
    weight = mg.nn.Parameter(mg.ones(2, 2))
    if lend == "from_numpy":
        array = np.ones((2, 2), np.float32)
        weight = mg.nn.Parameter(mg.from_numpy(array))
    elif lend == "asarray":
        array = np.asarray(weight.detach())
    elif lend == "dlpack":
        array = np.from_dlpack(weight.detach())
    else:
        array = weight.detach().numpy()
    if not array.flags.writeable:
        pytest.skip("this NumPy makes memory from DLPack read-only")
    x = mg.ones(1, 2)
    with mg.autocast("cpu", mg.float16):
        before = (x @ weight).tolist()
        array[...] = 3.0
        after = (x @ weight).tolist()
    assert (before, after) == ([[2.0, 2.0]], [[6.0, 6.0]])
