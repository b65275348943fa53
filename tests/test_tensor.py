"""What a tensor is apart from its operations: making one, asking it, printing it."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError, OptionError, RangeError, ShapeError

# ---- making ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (1, "int64"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([True, 2], "int64"),
        ([], "float32"),
        ([[], []], "float32"),
        (np.float64(1), "float64"),
        (np.float16(1), "float16"),
        ([np.float64(1)], "float64"),
        ([np.int32(1), np.int32(2)], "int32"),
        (np.ones(2, np.int8), "int8"),
        (range(3), "int64"),
    ],
)
def test_the_dtype_of_data_is_pytorchs(data: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    assert str(mg.tensor(data).dtype) == dtype
    assert str(torch.tensor(data).dtype) == f"torch.{dtype}"


def test_a_list_of_tensors_keeps_their_dtype() -> None:
    x = mg.tensor([mg.tensor(1.0, dtype=mg.float64), mg.tensor(2.0, dtype=mg.float64)])
    assert x.dtype == mg.float64
    assert x.tolist() == [1.0, 2.0]


def test_tensor_copies_and_the_class_wraps() -> None:
    a = np.zeros(2, np.float32)
    copied, wrapped = mg.tensor(a), mg.Tensor(a)
    a[0] = 7
    assert copied.tolist() == [0.0, 0.0]
    assert wrapped.tolist() == [7.0, 0.0]
    x = mg.ones(2)
    assert mg.as_tensor(x) is x
    assert mg.as_tensor(x, mg.float64) is not x
    mg.tensor(x).add_(1)
    assert x.tolist() == [1.0, 1.0]


def test_two_tensors_on_one_memory_know_of_each_others_changes() -> None:
    x = mg.ones(2)
    w = mg.ones(2, requires_grad=True)
    for alias in (mg.Tensor(x), x.detach(), x.data, copy.copy(x), x.view(2), x[:]):
        y = (w * x).sum()
        alias.add_(1)
        with pytest.raises(GraphError, match="changed in place"):
            y.backward()


@pytest.mark.parametrize("data", ["text", ["a"], None, 1j, [1j], {1: 2}, object()])
def test_what_is_no_number_makes_no_tensor(data: Any) -> None:
    with pytest.raises(DTypeError, match=r"tensor\(\): .*no number type"):
        mg.tensor(data)


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(ShapeError, match="ragged"):
        mg.tensor([[1, 2], [3]])


@pytest.mark.parametrize("data", [2**63, [1, 2**63], 2**70, -(2**63) - 1])
def test_integers_beyond_int64_are_refused(data: Any) -> None:
    with pytest.raises(DTypeError, match="int64"):
        mg.tensor(data)


def test_large_floats_are_no_large_integers() -> None:
    assert mg.tensor([1, 2.0**70], dtype=mg.float64).tolist() == [1.0, 2.0**70]


@pytest.mark.parametrize(("data", "dtype"), [(300, "uint8"), ([0, -1], "uint8"), (2**31, "int32")])
def test_numbers_that_the_dtype_cannot_hold_are_refused(data: Any, dtype: str) -> None:
    with pytest.raises(DTypeError, match=f"does not fit into {dtype}"):
        mg.tensor(data, dtype=dtype)


def test_nan_is_no_integer() -> None:
    with pytest.raises(DTypeError, match="nan does not fit into int64"):
        mg.tensor([1.0, math.nan], dtype=mg.int64)


@pytest.mark.parametrize("dtype", [np.longdouble, np.uint16, np.uint32, np.uint64, np.complex64])
def test_arrays_of_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(DTypeError, match="no tensor can have dtype"):
        mg.Tensor(np.zeros(2, dtype))


def test_foreign_byte_order_is_copied_or_refused() -> None:
    a = np.array([1.0, 2.0], ">f4")
    assert mg.tensor(a).dtype == mg.float32
    assert mg.tensor(a).tolist() == [1.0, 2.0]
    with pytest.raises(DTypeError, match=r"byte order.*mg\.tensor\(array\)"):
        mg.from_numpy(a)


# ---- asking ---------------------------------------------------------------------------------


def test_properties() -> None:
    x = mg.zeros(2, 3, dtype=mg.float64)
    assert x.shape == x.size() == (2, 3)
    assert (x.size(-1), x.ndim, x.dim(), x.numel()) == (3, 2, 2, 6)
    assert (x.itemsize, x.element_size(), x.nbytes) == (8, 8, 48)
    assert (x.stride(), x.stride(0), x.T.stride()) == ((3, 1), 3, (1, 3))
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.device == "cpu"
    assert x.is_floating_point()
    assert not mg.arange(2).is_floating_point()
    assert x.T.shape == x.mT.shape == (3, 2)


@pytest.mark.parametrize("name", ["size", "stride"])
def test_an_axis_that_is_not_there(name: str) -> None:
    with pytest.raises(RangeError, match=f"{name}: there is no axis 2 in a tensor of shape"):
        getattr(mg.zeros(2, 3), name)(2)


def test_leaves_and_results() -> None:
    x = mg.ones(2, requires_grad=True)
    y = x * 2
    assert (x.is_leaf, x.grad_fn, x.requires_grad) == (True, None, True)
    assert (y.is_leaf, y.grad_fn.name, y.requires_grad) == (False, "mul", True)
    assert y.detach().is_leaf
    assert not y.detach().requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    with pytest.raises(GraphError, match="made by mul"):
        y.requires_grad = False


def test_data_shares_memory_and_can_be_replaced() -> None:
    x = mg.ones(2, requires_grad=True)
    x.data[0] = 5.0
    assert x.tolist() == [5.0, 1.0]
    x.data = mg.zeros(3)
    assert x.shape == (3,)
    x.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == (3,)
    with pytest.raises(DTypeError, match="takes a Tensor, not list"):
        x.data = [1.0]


def test_leaving_for_python() -> None:
    x = mg.tensor([[1, 2], [3, 4]])
    assert x.tolist() == [[1, 2], [3, 4]]
    assert mg.tensor(2.5).item() == 2.5
    assert mg.tensor([[3]]).item() == 3
    assert (int(mg.tensor(2.7)), float(mg.tensor([3])), complex(mg.tensor(2.0))) == (2, 3.0, 2 + 0j)
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert list(range(mg.tensor(3))) == [0, 1, 2]
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    with pytest.raises(ShapeError, match=r"item\(\): one element is needed.*\(2, 2\)"):
        x.item()
    with pytest.raises(ShapeError, match=r"len\(\)"):
        len(mg.tensor(1.0))
    with pytest.raises(ShapeError, match="iterated"):
        iter(mg.tensor(1.0))
    with pytest.raises(DTypeError, match=r"x\.long\(\)"):
        [1, 2][mg.tensor(1.0)]


def test_truth() -> None:
    assert mg.tensor(1.0)
    assert not mg.tensor([0])
    assert mg.tensor(math.nan)
    for shape in ((2,), (0,)):
        with pytest.raises(ShapeError, match=r"x\.any\(\), x\.all\(\)"):
            bool(mg.zeros(shape))


def test_membership_and_comparison_with_other_things() -> None:
    x = mg.tensor([[1, 2], [3, 4]])
    assert 3 in x
    assert 5 not in x
    assert mg.tensor(4) in x
    assert not (x == None)  # noqa: E711
    assert x != "text"
    assert x not in ["text", None]
    assert len({x, x, mg.tensor(1)}) == 2  # by identity


def test_formatting() -> None:
    assert f"{mg.tensor(1.5):.3f}" == "1.500"
    assert f"{mg.ones(2)}" == "tensor([1., 1.])"


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (mg.tensor(1.0), "tensor(1.)"),
        (mg.zeros(0, 3), "tensor([], shape=(0, 3))"),
        (mg.ones(2, dtype=mg.float64), "tensor([1., 1.], dtype=float64)"),
        (mg.tensor([True]), "tensor([ True])"),
        (mg.tensor([1], dtype=mg.int32), "tensor([1], dtype=int32)"),
        (mg.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
        (mg.ones(2, requires_grad=True) * 2, "tensor([2., 2.], grad_fn=<mul>)"),
        (mg.ones(2, 2), "tensor([[1., 1.],\n        [1., 1.]])"),
        (mg.ones(2000), "tensor([1., 1., 1., ..., 1., 1., 1.])"),
    ],
)
def test_repr(x: mg.Tensor, text: str) -> None:
    assert repr(x) == text


# ---- the graph and modes --------------------------------------------------------------------


def test_retain_grad_makes_no_reference_cycle() -> None:
    gc.disable()
    try:
        y = mg.ones(2, requires_grad=True) * 2
        y.retain_grad()
        alive = weakref.ref(y)
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_nothing_is_recorded_inside_inference_mode() -> None:
    x = mg.ones(2, requires_grad=True)
    with mg.inference_mode(), mg.enable_grad():
        assert not (x * 2).requires_grad


def test_operands_that_do_not_fit_say_so() -> None:
    small = mg.tensor([1], dtype=mg.uint8)
    for change in (lambda: small + 300, lambda: small * -1, lambda: small.clamp(-1, 5)):
        with pytest.raises(DTypeError, match="does not fit into uint8, which holds 0 to 255"):
            change()
    assert (small < 300).item()
    for divide in (lambda: mg.tensor([1]) // 0, lambda: mg.tensor([1]) % mg.tensor([0])):
        with pytest.raises(OptionError, match="integer division by zero"):
            divide()


def test_tensor_from_sizes_and_lists_is_pytorchs() -> None:
    assert mg.Tensor(2, 3).shape == (2, 3)
    assert mg.Tensor(3).shape == (3,)
    assert mg.Tensor(0).shape == (0,)
    assert mg.Tensor(np.int64(3)).shape == mg.Tensor(np.array(3)).shape == ()  # arrays stay
    assert mg.Tensor().shape == (0,)
    assert mg.Tensor(2, 0).dtype == mg.float32
    assert mg.Tensor([1, 2]).dtype == mg.float32
    assert mg.Tensor([[1, 2]], requires_grad=True).requires_grad
    assert mg.Tensor(np.ones(2), True).requires_grad
    for wrong in ((2, -1), (-1,), (2, 3.0), (np.ones(2), 3)):
        with pytest.raises(ShapeError, match="lengths of axes"):
            mg.Tensor(*wrong)


def test_contiguous_in_a_memory_format() -> None:
    y = mg.nn.Conv2d(2, 3, 1)(mg.ones(1, 2, 4, 5))
    assert y.is_contiguous(memory_format=mg.channels_last)
    assert not y.is_contiguous()
    assert not mg.ones(1, 2, 4, 5).is_contiguous(memory_format=mg.channels_last)
    assert not mg.ones(2, 3).is_contiguous(memory_format=mg.channels_last)
    with pytest.raises(OptionError, match="memory format"):
        y.is_contiguous(memory_format="channels")


def test_data_of_another_kind() -> None:
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(DTypeError, match="requires grad"):
        x.data = mg.ones(2, dtype=mg.int64)
    y = x * 2
    with pytest.raises(GraphError, match="mul made x"):
        y.data = mg.ones(3)
    assert x.tolist() == [1.0, 1.0]
    loss = (x * x).sum()
    x.data = new = mg.ones(3, dtype=mg.float64)
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()
    loss = (x * x).sum()
    new.mul_(2)  # x lies on the same memory
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()
    (x * x).sum().backward()
    assert x.grad is not None
    assert (x.grad.dtype, x.grad.tolist()) == (mg.float64, [4.0] * 3)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_view_after_convolution_and_pooling(dims: int) -> None:
    conv = getattr(mg.nn, f"Conv{dims}d")(2, 3, 3)
    norm = getattr(mg.nn, f"BatchNorm{dims}d")(3)
    pool = getattr(mg.nn.functional, f"max_pool{dims}d")
    x = mg.randn(2, 2, *(6,) * dims, requires_grad=True)
    for make in (conv, lambda x: pool(x, 2), lambda x: norm(conv(x))):
        y = make(x)
        flat, copied = y.view(2, -1), y.reshape(2, -1)
        assert (flat == copied).all()
        weights = mg.randn(*flat.shape)
        (got,) = mg.autograd.grad((flat * weights).sum(), x, retain_graph=True)
        (wanted,) = mg.autograd.grad((copied * weights).sum(), x)
        assert (got == wanted).all()
        if not np.may_share_memory(flat.array, y.array):
            for part in (flat, flat.detach(), flat[0]):
                with pytest.raises(GraphError, match="read-only"):
                    part.mul_(2)
            with pytest.raises(ValueError, match="read-only"):
                flat.detach().numpy()[0] = 1
    with pytest.raises(ShapeError, match="needs a copy"):
        mg.ones(2, 3).T.view(6)
