"""Out to NumPy, PyTorch, pickle and copy, and back."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GraphError

ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.pow, operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


# ---- NumPy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ARITHMETIC)
@pytest.mark.parametrize("kind", [np.array, lambda v: np.float32(v[0])])
def test_an_operator_between_array_and_tensor_reaches_the_tensor(op: Any, kind: Any) -> None:
    a, x = kind(np.array([3.0, 5.0], np.float32)), mg.tensor([2.0, 4.0], requires_grad=True)
    for result, expected in (
        (op(a, x), op(a, x.detach().numpy())),
        (op(x, a), op(x.detach().numpy(), a)),
    ):
        assert type(result) is mg.Tensor
        np.testing.assert_array_equal(result.detach().numpy(), expected)


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor])
def test_a_bitwise_operator_between_array_and_tensor(op: Any) -> None:
    a, x = np.array([3, 5]), mg.tensor([6, 4])
    np.testing.assert_array_equal(op(a, x).numpy(), op(a, x.numpy()))
    np.testing.assert_array_equal(op(x, a).numpy(), op(x.numpy(), a))


def test_matmul_with_an_array_is_recorded() -> None:
    a = np.ones((2, 3), np.float32)
    x = mg.ones(3, requires_grad=True)
    (a @ x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_numpy_never_takes_a_tensor_apart_silently() -> None:
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(TypeError):
        np.sin(x)
    a = np.zeros(2, np.float32)
    with pytest.raises(TypeError):
        a += x
    assert a.tolist() == [0.0, 0.0]
    with pytest.raises(GraphError, match=r"x\.detach\(\)\.numpy\(\)"):
        np.asarray(x)


def test_asarray_shares_and_array_copies() -> None:
    x = mg.zeros(2)
    shared, copied, cast = np.asarray(x), np.array(x), np.asarray(x, dtype=np.float64)
    x.add_(1)
    assert shared.tolist() == [1.0, 1.0]
    assert copied.tolist() == [0.0, 0.0]
    assert cast.dtype == np.float64
    assert np.stack([x, x]).shape == (2, 2)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_numpy_and_from_numpy_share_memory_in_any_layout() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for array in (a, a.T, a[::2], a[:, ::-1], a[:0], a[1, 1:1]):
        x = mg.from_numpy(array)
        assert x.numpy() is array or np.shares_memory(x.numpy(), array) or not array.size
        x.add_(1)
        np.testing.assert_array_equal(x.numpy(), array)
    with pytest.raises(DTypeError, match=r"takes a numpy\.ndarray, not list"):
        mg.from_numpy([1.0])  # type: ignore[arg-type]


def test_read_only_memory_cannot_be_changed() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    x = mg.from_numpy(a)
    for change in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 1.0),
        lambda: x.zero_(),
        lambda: mg.zeros(1).expand(3).add_(1),
    ):
        with pytest.raises(GraphError, match=r"read-only.*x\.clone\(\)"):
            change()
    assert x.clone().add_(1).tolist() == [1.0, 1.0, 1.0]


def test_numpys_subclasses_lose_their_own_arithmetic() -> None:
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    for x in (mg.from_numpy(matrix), mg.tensor(matrix), mg.as_tensor(matrix)):
        assert (x * x).tolist() == [[1.0, 4.0], [9.0, 16.0]]


# ---- DLPack ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_dlpack_from_and_to_torch_without_a_copy(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones((2, 3), dtype=getattr(torch, dtype)).T
    x = mg.from_dlpack(theirs)
    assert (x.shape, str(x.dtype)) == ((3, 2), dtype)
    x.zero_()
    assert not theirs.any()
    ours = mg.ones(2, 3, dtype=dtype)
    seen = torch.from_dlpack(ours.T)
    seen.zero_()
    assert not ours.any()
    assert tuple(seen.shape) == (3, 2)


@pytest.mark.skipif(np.__version__ < "2.1", reason="NumPy 2.0 makes DLPack's memory read-only")
def test_dlpack_from_and_to_numpy_without_a_copy() -> None:
    a = np.ones((2, 3))[:, ::2]
    x = mg.from_dlpack(a)
    x.mul_(3)
    assert a.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    b = np.from_dlpack(x)
    b[...] = 7
    assert x.tolist() == [[7.0, 7.0], [7.0, 7.0]]


def test_dlpack_refuses_what_would_lose_the_graph() -> None:
    with pytest.raises(GraphError, match=r"x\.detach\(\)"):
        np.from_dlpack(mg.ones(2, requires_grad=True))
    with pytest.raises(DTypeError, match="list has no __dlpack__"):
        mg.from_dlpack([1.0])


def test_torch_tensors_become_tensors() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones(2, dtype=torch.float64)
    copied, shared = mg.tensor(theirs), mg.as_tensor(theirs)
    theirs.zero_()
    assert (copied.dtype, copied.tolist(), shared.tolist()) == (mg.float64, [1.0, 1.0], [0.0, 0.0])
    assert torch.tensor(copied).tolist() == [1.0, 1.0]


# ---- pickle and copy ------------------------------------------------------------------------


@pytest.mark.parametrize("again", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_leaf_survives(again: Any) -> None:
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=mg.float64, requires_grad=True)
    parameter = mg.nn.Parameter(x.detach().T)
    for original in (x, x.detach(), mg.arange(3), mg.tensor(True), mg.zeros(0, 2), parameter):
        new = again(original)
        assert type(new) is type(original)
        assert (new.dtype, new.shape) == (original.dtype, original.shape)
        assert new.requires_grad == original.requires_grad
        assert new.tolist() == original.tolist()
        assert not np.shares_memory(new.array, original.array)
    tied = again([x, x])
    assert tied[0] is tied[1]
    (tied[0] * 2).sum().backward()
    assert tied[0].grad is not None
    assert x.grad is None


def test_deepcopy_copies_the_gradient_too() -> None:
    x = mg.ones(2, requires_grad=True)
    x.sum().backward()
    new = copy.deepcopy(x)
    assert x.grad is not None
    x.grad.zero_()
    assert new.grad is not None
    assert new.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("again", [copy.deepcopy, pickle.dumps])
def test_a_result_of_an_operation_cannot_leave_its_graph_unnoticed(again: Any) -> None:
    with pytest.raises(GraphError, match=r"leaves only.*x\.detach\(\)"):
        again(mg.ones(2, requires_grad=True) * 2)


def test_a_shallow_copy_shares_memory_and_history() -> None:
    x = mg.ones(2, requires_grad=True)
    y = copy.copy(x)
    assert y.array is x.array
    assert y.requires_grad
    (y * 2).sum().backward()
    assert y.grad is not None
    assert x.grad is None
