"""Names and keywords that programs written for PyTorch use: one table, run with both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import MinigradError

# Each line is a program: `torch` is PyTorch or minigrad, x a tensor (2, 4, 6, 6) that wants a
# gradient, v a vector of four.
PROGRAMS = """
nn.ReLU(True)(x * 1)
nn.ReLU(inplace=True)(x * 1)
nn.ReLU6(inplace=True)(x * 3)
nn.LeakyReLU(0.2, True)(x * 1)
nn.ELU(0.5, inplace=True)(x * 1)
nn.SELU(inplace=True)(x * 1)
nn.CELU(0.7, inplace=True)(x * 1)
nn.SiLU(inplace=True)(x * 1)
nn.Hardswish(inplace=True)(x * 3)
nn.Hardsigmoid(inplace=True)(x * 3)
nn.Mish(inplace=True)(x * 1)
nn.GLU(1)(x)
nn.PReLU()(x)
nn.PReLU(4, init=0.1)(x)
nn.RMSNorm(6)(x)
nn.RMSNorm((6, 6), eps=1e-3, elementwise_affine=False)(x)
nn.Dropout(0.0, inplace=True)(x * 1)
nn.Dropout2d(0.0, True)(x * 1)
nn.ReflectionPad2d(2)(x)
nn.ReflectionPad2d((1, 2, 0, 3))(x)
nn.ReplicationPad2d(1)(x)
nn.ZeroPad2d((1, 0, 2, 0))(x)
nn.ConstantPad2d(1, 3.5)(x)
nn.CircularPad2d(1)(x)
nn.ReflectionPad1d(1)(x[0])
nn.ReplicationPad3d(1)(x)
nn.ZeroPad1d(2)(x[0])
nn.ZeroPad3d(1)(x)
nn.PixelShuffle(2)(x)
nn.PixelUnshuffle(3)(x)
F.relu(x * 1, inplace=True)
F.relu(x * 1, True)
F.leaky_relu(x * 1, 0.3, True)
F.hardtanh(x * 2, -0.5, 0.5, True)
F.dropout(x * 1, 0.0, True, True)
F.normalize(x, dim=1)
F.normalize(x, p=1, dim=(2, 3))
F.scaled_dot_product_attention(x, x, x, is_causal=True)
F.scaled_dot_product_attention(x, x, x, torch.ones(6, 6).tril() > 0, scale=0.2)
F.scaled_dot_product_attention(x, x, x, torch.zeros(6, 6) > 1)
F.scaled_dot_product_attention(x, x, x, torch.full((6, 6), -1e999))
F.scaled_dot_product_attention(x, x, x, torch.tensor([[0.0, -1e999, 0.0, -1e999, 0.0, 0.0]]))
F.pad(x, (-1, 2, 1, -2), mode="reflect")
F.pad(x, (-1, 2, 1, -2), mode="replicate")
F.pad(x, (-1, 2, 1, -2), mode="circular")
F.pad(x, (-2, -3), mode="constant", value=2.0)
nn.ReflectionPad2d((-1, 2, 1, -2))(x)
F.rms_norm(x.half(), (6,))
F.rms_norm(x.bfloat16(), (6,)).float()
F.prelu(x[0, 0, 0, 0], v[:1])
F.one_hot(torch.tensor([0, 2]), 3)
x.view_as(torch.ones(8, 36))
x.new_full((2, 3), 1.5)
x.new_empty((2, 3)).fill_(2)
x.new_ones(2).type(torch.int64)
torch.zeros(3, 4).bernoulli_(1.0)
(x * 0.1).erfinv()
(x * 0.1).erfinv_()
torch.erfinv(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
x.clamp_min(0.1)
x.clamp_max(0.1)
(x * 1).clamp_min_(0.2)
x.asinh() + torch.acosh(x.square() + 1.5) + (x * 0.1).atanh()
torch.fmod(x, 0.3)
x.fmod(torch.full((6,), 0.7))
torch.logaddexp(x, x.flip(dims=(3,)))
torch.logaddexp(torch.tensor([1000.0, -torch.inf]), torch.tensor([1000.0, -torch.inf]))
torch.nan_to_num(torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0]))
torch.nan_to_num(torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0]), 1.0, 2.0, 3.0)
torch.tensor([torch.nan, 1.0]).nan_to_num(nan=4.0)
x.var(1, unbiased=False)
x.var(False)
x.var(1, True, True)
x.std((2, 3), unbiased=False, keepdim=True)
x.std(unbiased=True)
torch.var_mean(x, (0, 2), unbiased=False)[0]
torch.std_mean(x, 1, False)[1]
x.flip(dims=[2])
torch.flip(x, dims=(0, 3))
v.repeat_interleave(2, output_size=8)
torch.repeat_interleave(v, torch.tensor([1, 0, 2, 1]), dim=0, output_size=4)
x.to(memory_format=torch.channels_last)
x.contiguous(memory_format=torch.channels_last)
x.to(torch.float64, non_blocking=True)
torch.is_tensor(x)
torch.is_tensor(1)
torch.is_floating_point(x)
x.type()
torch.ones(1, dtype=torch.int32).type()
x.type(torch.float16).type("torch.FloatTensor")
"""


def run(program: str, torch: Any, nn: Any, data: Any) -> tuple[Any, Any]:
    x = torch.tensor(data, requires_grad=True)
    names = {
        "torch": torch,
        "nn": nn,
        "F": nn.functional,
        "x": x,
        "v": torch.tensor(data[0, :, 0, 0]),
    }
    out = eval(program, names)
    if not torch.is_tensor(out):
        return out, None
    if out.requires_grad:
        out.double().square().sum().backward()
    return out.detach().numpy(), None if x.grad is None else x.grad.numpy()


@pytest.mark.parametrize("program", PROGRAMS.strip().splitlines())
def test_a_line_of_pytorch_gives_pytorchs_numbers(program: str) -> None:
    torch = pytest.importorskip("torch")
    data = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    ours, our_grad = run(program, mg, nn, data)
    theirs, their_grad = run(program, torch, torch.nn, data)
    assert type(ours) is type(theirs)
    if not isinstance(ours, np.ndarray):
        assert ours == theirs
        return
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)
    assert (our_grad is None) == (their_grad is None)
    if our_grad is not None:
        np.testing.assert_allclose(our_grad, their_grad, rtol=2e-4, atol=2e-5)


def test_inplace_really_changes_the_input_and_refuses_a_leaf() -> None:
    x = mg.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0.0, 2.0]
    leaf = mg.tensor([-1.0], requires_grad=True)
    with pytest.raises(MinigradError, match="a leaf that requires grad"):
        nn.ReLU(inplace=True)(leaf)
    assert leaf.tolist() == [-1.0]


def test_orthogonal() -> None:
    for shape in ((3, 5), (5, 3), (4, 2, 2), (4, 4)):
        w = nn.init.orthogonal_(mg.empty(*shape, dtype=mg.float64), gain=2.0).numpy()
        m = w.reshape(shape[0], -1) / 2.0
        product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.ones(3).var(unbiased=True, correction=0), "give one of unbiased"),
        (lambda: mg.ones(2).repeat_interleave(2, output_size=5), "not output_size=5"),
        (lambda: mg.ones(2).to(memory_format="channels_lost"), "did you mean 'channels_last'"),
        (lambda: mg.ones(2).type("torch.ComplexTensor"), "there is no 'torch.ComplexTensor'"),
        (lambda: mg.zeros(2).bernoulli_(1.5), "probability between 0 and 1"),
        (lambda: nn.functional.glu(mg.ones(3)), "must be even"),
        (lambda: nn.PReLU(3)(mg.ones(2, 4)), r"must be of shape \(1,\) or \(4,\)"),
        (lambda: nn.ZeroPad2d((1, 2))(mg.ones(1, 1, 2, 2)), "one integer or 4"),
        (lambda: nn.ZeroPad2d(1)(mg.ones(2, 2)), "2 axes behind its channels"),
        (lambda: nn.PixelShuffle(2)(mg.ones(1, 3, 2, 2)), "must divide by 4"),
        (lambda: nn.PixelUnshuffle(2)(mg.ones(1, 1, 3, 2)), "must divide by 2"),
        (lambda: nn.init.orthogonal_(mg.empty(3)), "at least two axes"),
        (lambda: nn.functional.celu(mg.ones(1), alpha=0.0), "alpha must not be 0"),
        (
            lambda: nn.functional.scaled_dot_product_attention(
                mg.ones(2, 3), mg.ones(2, 4), mg.ones(2, 3)
            ),
            "must share E and S",
        ),
    ],
)
def test_wrong_calls(call: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        call()
