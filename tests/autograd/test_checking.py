"""gradcheck finds what is wrong, accepts what is right, and says where."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad.autograd import Function, gradcheck, gradgradcheck
from minigrad.errors import DTypeError, GraphError


class Half(Function):
    """x * x with a derivative that is wrong by a factor at one entry."""

    saves = (0,)

    def forward(self, x):
        return x * x

    def backward(self, g, x):
        wrong = g * 2.0 * x
        return (
            wrong * mg.tensor([1.0, 0.5, 1.0], dtype=x.dtype)
            if isinstance(g, mg.Tensor)
            else wrong * [1.0, 0.5, 1.0]
        )


def x3(**options):
    return mg.tensor([0.5, 1.5, -2.0], dtype=mg.float64, requires_grad=True, **options)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_accepts_right_and_refuses_wrong(fast_mode):
    assert gradcheck(lambda x: x.exp() * x, x3(), fast_mode=fast_mode)
    assert gradgradcheck(lambda x: x.exp() * x, x3(), fast_mode=fast_mode)
    with pytest.raises(GraphError, match="by differences but"):
        gradcheck(lambda x: Half()(x), x3(), fast_mode=fast_mode)
    assert not gradcheck(lambda x: Half()(x), x3(), fast_mode=fast_mode, raise_exception=False)


def test_names_the_entry():
    with pytest.raises(GraphError, match=r"output 0 at \(1,\) with respect to input 0 at \(1,\)"):
        gradcheck(lambda x: Half()(x), x3())


def test_finds_a_second_derivative_that_was_cut():
    class Cut(Function):
        saves = (0,)

        def forward(self, x):
            self.slope = 3.0 * x * x  # a cached array: drops out of the second derivative
            return x * x * x

        def backward(self, g, x):
            return g * (mg.Tensor(self.slope) if isinstance(g, mg.Tensor) else self.slope)

    assert gradcheck(lambda x: Cut()(x), x3())
    assert not gradgradcheck(lambda x: Cut()(x), x3(), raise_exception=False)


def test_several_inputs_outputs_and_shapes():
    a = mg.randn(2, 1, dtype=mg.float64, requires_grad=True)
    b = mg.randn(3, dtype=mg.float64, requires_grad=True)
    assert gradcheck(lambda a, b: (a * b, (a + b).sum()), (a, b))
    assert gradgradcheck(lambda a, b: (a * b, (a + b).sum()), (a, b))
    assert a.grad is None


def test_empty_and_zero_dimensional():
    empty = mg.zeros(0, 3, dtype=mg.float64, requires_grad=True)
    scalar = mg.tensor(0.7, dtype=mg.float64, requires_grad=True)
    assert gradcheck(lambda x: x.exp(), empty)
    assert gradcheck(lambda x: x.sin(), scalar)


def test_needs_float64_and_an_input():
    with pytest.raises(DTypeError, match=r"float32.*x\.double\(\)"):
        gradcheck(lambda x: x, mg.ones(2, requires_grad=True))
    with pytest.raises(GraphError, match="no input requires grad"):
        gradcheck(lambda x: x, mg.ones(2))
