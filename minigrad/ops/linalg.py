"""Products of vectors, matrices and more: everything that ends in a matrix product (GEMM).

A product with a matrix on the right is run as one 2-D GEMM over all leading axes.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from minigrad.autograd.node import Function, sum_to
from minigrad.backend import get_xp
from minigrad.errors import ShapeError
from minigrad.kernels.small import product
from minigrad.modes import state
from minigrad.ops import arithmetic
from minigrad.ops.arguments import check_dims, check_same_dtype, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.precision import HALF, WIDEST, obey
from minigrad.ops.reduce import accumulator
from minigrad.ops.shape import Permute, Reshape, diagonal, meeting_shape
from minigrad.tensor import Tensor


def _rows(x: Any) -> Any:
    """Merge all axes but the last: (..., k) to (n, k)."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


class MatMul(Function):
    """Matrix product over the last two axes; the leading ones broadcast."""

    bfloat16 = True
    name = "matmul"
    saves = (0, 1)
    saves_for = (1, 0)

    def forward(self, x: Any, y: Any) -> Any:
        self.left, self.right = x.shape, y.shape
        if y.ndim == 2 < x.ndim:
            return product(_rows(x), y).reshape((*x.shape[:-1], y.shape[1]))
        return product(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        gx = gy = None
        if self.needs[0]:
            gx = sum_to(MatMul()(g, y.swapaxes(-1, -2)), self.left)
        if self.needs[1]:
            if len(self.right) == 2:
                gy = MatMul()(_rows(x).swapaxes(0, 1), _rows(g))
            else:
                gy = sum_to(MatMul()(x.swapaxes(-1, -2), g), self.right)
        return gx, gy


@operation("minigrad Tensor numpy", autocast=HALF)
def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix product of `x` and `y`, the operator ``@``.

    Parameters
    ----------
    x, y : Tensor
        Both 1-D: their inner product. One of them 1-D: matrix times vector or vector times
        matrix. Else matrices in the last two axes; the leading axes broadcast.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the inner lengths differ, the leading axes do not broadcast, or an operand is 0-d.
    DTypeError
        If the dtypes differ.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.matmul(mg.ones(2, 3), mg.ones(3))
    tensor([3., 3.])
    """
    x, y = check_tensor("matmul", x), check_tensor("matmul", y)
    if state.autocast is not None:
        x, y = obey("matmul", x, y)
    a, b = x.shape, y.shape
    if not a or not b:
        raise ShapeError(f"matmul: both operands need at least 1 axis, got {a} and {b}; use x * y")
    check_same_dtype("matmul", x, y)
    inner = b[0] if len(b) == 1 else b[-2]
    if a[-1] != inner:
        raise ShapeError(
            f"matmul: shapes {a} and {b} do not multiply; the last length of the first, {a[-1]}, "
            f"must be the {'only' if len(b) == 1 else 'second last'} of the second, {inner}"
        )
    lead = meeting_shape("matmul", a[:-2], b[:-2])
    left = Reshape((1, *a))(x) if len(a) == 1 else x
    right = Reshape((*b, 1))(y) if len(b) == 1 else y
    out = MatMul()(left, right)
    if len(a) == 1 or len(b) == 1:
        shape = lead + (a[-2:-1] if len(a) > 1 else ()) + (b[-1:] if len(b) > 1 else ())
        out = Reshape(shape)(out)
    return out


def _of_ndim(name: str, *operands: tuple[Tensor, int]) -> None:
    """Refuse operands that do not have the number of axes that the function is for."""
    if any(x.ndim != n for x, n in operands):
        wanted = " and ".join(f"{n}-d" for _, n in operands)
        got = " and ".join(str(x.shape) for x, _ in operands)
        raise ShapeError(f"{name}: needs {wanted} tensors, got shapes {got}; matmul takes any")


@operation()
def mm(x: Tensor, y: Tensor) -> Tensor:
    """Product of two matrices: (n, k) times (k, m).

    Examples
    --------
    >>> import minigrad as mg
    >>> a = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.mm(a, a)
    tensor([[ 7., 10.],
            [15., 22.]])
    """
    x, y = check_tensor("mm", x), check_tensor("mm", y)
    _of_ndim("mm", (x, 2), (y, 2))
    return matmul(x, y)


@operation()
def bmm(x: Tensor, y: Tensor) -> Tensor:
    """Products of two batches of matrices: (b, n, k) times (b, k, m).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.bmm(mg.ones(5, 2, 3), mg.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    x, y = check_tensor("bmm", x), check_tensor("bmm", y)
    _of_ndim("bmm", (x, 3), (y, 3))
    if x.shape[0] != y.shape[0]:
        raise ShapeError(f"bmm: the batches differ, {x.shape} and {y.shape}; matmul broadcasts")
    return matmul(x, y)


@operation()
def mv(x: Tensor, v: Tensor) -> Tensor:
    """Product of a matrix (n, k) and a vector (k,).

    Examples
    --------
    >>> import minigrad as mg
    >>> a = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.mv(a, mg.ones(2))
    tensor([3., 7.])
    """
    x, v = check_tensor("mv", x), check_tensor("mv", v)
    _of_ndim("mv", (x, 2), (v, 1))
    return matmul(x, v)


@operation(autocast=WIDEST, also="vdot")
def dot(x: Tensor, y: Tensor) -> Tensor:
    """Inner product of two vectors of one length.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.dot(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = check_tensor("dot", x), check_tensor("dot", y)
    _of_ndim("dot", (x, 1), (y, 1))
    if state.autocast is not None:
        x, y = obey("dot", x, y)
        return tensordot(x, y, 1)
    return matmul(x, y)


@operation()
def inner(x: Tensor, y: Tensor) -> Tensor:
    """Inner products over the last axes of both.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.inner(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = check_tensor("inner", x), check_tensor("inner", y)
    if not x.ndim or not y.ndim:
        return arithmetic.mul(x, y)
    return tensordot(x, y, ([-1], [-1]))


@operation()
def outer(x: Tensor, y: Tensor) -> Tensor:
    """Product of every element of one vector with every element of another.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.outer(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x, y = check_tensor("outer", x), check_tensor("outer", y)
    _of_ndim("outer", (x, 1), (y, 1))
    return Reshape((x.shape[0], 1))(x) * y


@operation(autocast=HALF)
def addmm(bias: Tensor, x: Tensor, y: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * bias + alpha * (x @ y)``.

    Examples
    --------
    >>> import minigrad as mg
    >>> a = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.addmm(mg.ones(2), a, a)
    tensor([[ 8., 11.],
            [16., 23.]])
    """
    if state.autocast is not None:
        bias, x, y = obey("addmm", bias, x, y)
    return arithmetic.add(arithmetic.mul(bias, beta), arithmetic.mul(mm(x, y), alpha))


@operation()
def trace(x: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix.

    Examples
    --------
    >>> import minigrad as mg
    >>> a = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mg.trace(a)
    tensor(5.)
    """
    x = check_tensor("trace", x)
    _of_ndim("trace", (x, 2))
    return diagonal(x).sum()


class Linear(Function):
    """``x @ weight.T + bias`` over the last axis of x, as one GEMM."""

    saves = (0, 1)
    saves_for = (1, 0)

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        out = product(_rows(x), weight.T)
        if bias is not None:
            out += bias
        return out.reshape((*x.shape[:-1], weight.shape[0]))

    def backward(self, g: Any, x: Any, weight: Any) -> Any:
        rows = _rows(g)
        return (
            MatMul()(g, weight) if self.needs[0] else None,
            MatMul()(rows.swapaxes(0, 1), _rows(x)) if self.needs[1] else None,
            get_xp(g).sum(rows, axis=0) if self.needs[2] else None,
        )


@operation("functional", autocast=HALF)
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply the affine map ``x @ weight.T + bias`` to the last axis.

    Parameters
    ----------
    x : Tensor
        Shape (..., in).
    weight : Tensor
        Shape (out, in).
    bias : Tensor, optional
        Shape (out,).

    Returns
    -------
    Tensor
        Shape (..., out).

    Raises
    ------
    ShapeError, DTypeError
        If lengths or dtypes do not fit.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.linear(mg.ones(2, 3), mg.ones(4, 3), mg.zeros(4)).shape
    (2, 4)
    """
    x, weight = check_tensor("linear", x), check_tensor("linear", weight)
    if state.autocast is not None:
        x, weight, bias = obey("linear", x, weight, bias)
    if weight.ndim != 2:
        if weight.ndim != 1:
            raise ShapeError(f"linear: weight has shape (out, in), not {weight.shape}")
        out = matmul(x, weight)
        return out if bias is None else out + bias
    if not x.ndim or x.shape[-1] != weight.shape[1]:
        features = x.shape[-1] if x.ndim else "no"
        raise ShapeError(
            f"linear: input has {features} features (shape {x.shape}) but weight {weight.shape} "
            f"expects {weight.shape[1]}; the last axis must hold them: flatten(1) the input, or "
            f"build the layer with in_features={features}"
        )
    operands = [x, weight]
    if bias is not None:
        bias = check_tensor("linear", bias)
        if bias.shape != weight.shape[:1]:
            raise ShapeError(
                f"linear: bias has shape {bias.shape} but weight {weight.shape} makes "
                f"{weight.shape[0]} features; the bias must be ({weight.shape[0]},)"
            )
        operands.append(bias)
    check_same_dtype("linear", *operands)
    return Linear()(x, weight, bias)


@operation("minigrad", autocast=WIDEST)
def tensordot(x: Tensor, y: Tensor, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Sum products over pairs of axes.

    Parameters
    ----------
    x, y : Tensor
        The operands.
    dims : int or pair of sequences of int, default 2
        The last `dims` axes of `x` with the first of `y`; or the axes of `x` and those of `y`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tensordot(mg.ones(2, 3, 4), mg.ones(4, 3, 5), ([2, 1], [0, 1])).shape
    (2, 5)
    """
    x, y = check_tensor("tensordot", x), check_tensor("tensordot", y)
    if state.autocast is not None:
        x, y = obey("tensordot", x, y)
    check_same_dtype("tensordot", x, y)
    if isinstance(dims, int):
        if not 0 <= dims <= min(x.ndim, y.ndim):
            raise ShapeError(
                f"tensordot: dims={dims} axes are not there in {x.shape} and {y.shape}"
            )
        dims = (range(x.ndim - dims, x.ndim), range(dims))
    of_x = check_dims("tensordot", list(dims[0]), x.ndim) if len(dims[0]) else ()
    of_y = check_dims("tensordot", list(dims[1]), y.ndim) if len(dims[1]) else ()
    lengths, others = [x.shape[i] for i in of_x], [y.shape[i] for i in of_y]
    if lengths != others:
        raise ShapeError(
            f"tensordot: axes {of_x} of {x.shape} and {of_y} of {y.shape} have different lengths"
        )
    free_x = tuple([i for i in range(x.ndim) if i not in of_x])
    free_y = tuple([i for i in range(y.ndim) if i not in of_y])
    inner = math.prod(lengths)
    out_x, out_y = [x.shape[i] for i in free_x], [y.shape[i] for i in free_y]
    left = Reshape((math.prod(out_x), inner))(Permute(free_x + of_x)(x))
    right = Reshape((inner, math.prod(out_y)))(Permute(of_y + free_y)(y))
    return Reshape((*out_x, *out_y))(MatMul()(left, right))


# ---- einsum ---------------------------------------------------------------------------------


class Einsum(Function):
    """A sum of products whose labels occur at most once per operand.

    Every label is in the output or in at least two operands. The gradient of an operand is
    then the einsum of the output's gradient with the other operands, of the same kind.
    """

    def __init__(self, inputs: tuple[str, ...], output: str) -> None:
        self.inputs, self.output = inputs, output

    saves = property(lambda self: tuple(range(len(self.inputs))))

    def forward(self, *xs: Any) -> Any:
        dtype = xs[0].dtype
        wide = [x.astype(accumulator(dtype), copy=False) for x in xs] if dtype.itemsize == 2 else xs
        spec = f"{','.join(self.inputs)}->{self.output}"
        out = get_xp(xs[0]).einsum(spec, *wide, optimize=len(xs) > 1)
        # a single operand comes back as a view of itself
        return out.astype(dtype, copy=len(xs) == 1)

    def backward(self, g: Any, *xs: Any) -> Any:
        grads = []
        for i, labels in enumerate(self.inputs):
            others = (*self.inputs[:i], *self.inputs[i + 1 :])
            step = Einsum((self.output, *others), labels)
            grads.append(step(g, *xs[:i], *xs[i + 1 :]) if self.needs[i] else None)
        return tuple(grads)


@operation("minigrad numpy", autocast=HALF)
def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Sum of products in Einstein's notation.

    Parameters
    ----------
    equation : str
        One letter per axis, operands separated by commas: ``"nchw,kc->nkhw"``. A letter that is
        not in the output is summed over; ``...`` stands for further axes, which broadcast.
        Without ``->`` the output has the letters that occur once, in alphabetical order.
    *operands : Tensor
        As many as the equation names.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the equation does not fit the operands; the message names the letter.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, y = mg.ones(2, 3), mg.ones(3, 4)
    >>> mg.einsum("ij,jk->ik", x, y).shape
    (2, 4)
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    xs = [check_tensor("einsum", x) for x in operands]
    if state.autocast is not None:
        xs = list(obey("einsum", *xs))
    check_same_dtype("einsum", *xs)
    terms, output = _parse(equation, xs)
    lengths: dict[str, int] = {}
    for term, x in zip(terms, xs, strict=True):
        for label, n in zip(term, x.shape, strict=True):
            if lengths.setdefault(label, n) not in (1, n) and n != 1:
                raise ShapeError(
                    f"einsum: '{equation}' gives {label!r} the lengths {lengths[label]} and {n} "
                    f"(operands of shape {[x.shape for x in xs]})"
                )
            lengths[label] = n if lengths[label] == 1 else lengths[label]
    simple = [_simplify(x, term, lengths) for x, term in zip(xs, terms, strict=True)]
    xs, terms = [x for x, _ in simple], [term for _, term in simple]
    for i, term in enumerate(terms):  # letters that only one operand has are summed beforehand
        rest = output.join(t for j, t in enumerate(terms) if j != i) + output
        alone = tuple([axis for axis, label in enumerate(term) if label not in rest])
        if alone:
            xs[i] = xs[i].sum(alone)
            terms[i] = "".join(label for label in term if label in rest)
    missing = "".join(label for label in output if label not in "".join(terms))
    if missing:  # axes of length 1 that `_simplify` dropped
        xs[0] = Reshape((1,) * len(missing) + xs[0].shape)(xs[0])
        terms[0] = missing + terms[0]
    return Einsum(tuple(terms), output)(*xs)


def _parse(equation: str, xs: list[Tensor]) -> tuple[list[str], str]:
    """Return one label per axis for every operand and the output, with ``...`` spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        raise ShapeError(f"einsum: '{equation}' names {len(terms)} operands, {len(xs)} were given")
    used = set(equation)
    spare = [c for c in string.ascii_letters if c not in used]
    hidden = [x.ndim - len(term.replace("...", "")) for term, x in zip(terms, xs, strict=True)]
    for term, x, n in zip(terms, xs, hidden, strict=True):
        letters = term.replace("...", "", 1)
        if (letters and not letters.isalpha()) or n < 0 or (n and "..." not in term):
            raise ShapeError(f"einsum: '{term}' in '{equation}' does not describe shape {x.shape}")
    most = max([n for n, term in zip(hidden, terms, strict=True) if "..." in term], default=0)
    dots = "".join(spare[:most])
    full = [
        term.replace("...", dots[most - n :]) if "..." in term else term
        for term, n in zip(terms, hidden, strict=True)
    ]
    if not arrow:
        joined = "".join(terms).replace(".", "")
        return full, dots + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    output = right.replace("...", dots)
    if len(set(output)) != len(output) or not set(output) <= set("".join(full)):
        raise ShapeError(
            f"einsum: every letter of the output '{right}' must be in '{left}', and only once"
        )
    return full, output


def _simplify(x: Tensor, term: str, lengths: dict[str, int]) -> tuple[Tensor, str]:
    """Take diagonals of repeated letters and drop axes of length 1 that broadcast."""
    for label in sorted(set(term)):
        while term.count(label) > 1:
            a = term.index(label)
            b = term.index(label, a + 1)
            x = diagonal(x, 0, a, b)
            term = term[:a] + term[a + 1 : b] + term[b + 1 :] + label
    keep = [i for i, label in enumerate(term) if not (x.shape[i] == 1 and lengths[label] > 1)]
    if len(keep) < len(term):
        x = Reshape(tuple([x.shape[i] for i in keep]))(x)
        term = "".join(term[i] for i in keep)
    return x, term
