"""Indices that a backward needs: a change of them in between is refused, as PyTorch refuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import kernels_in_use, use_kernels
from minigrad.errors import GraphError, MinigradError, RangeError
from minigrad.kernels import pick

F = mg.nn.functional
VERSIONS = ["reference", "fast"] if kernels_in_use() == "fast" else ["reference"]

Case = Callable[[], tuple[Any, Any]]  # -> the result, and the index


def index() -> Any:
    return mg.tensor([[0, 2, 1]])


def x() -> Any:
    return mg.randn(3, 3, requires_grad=True)


def put(by: Any) -> Any:
    y = x() * 1.0
    y[by] = 2.0
    return y


def pooled(pool: Any, shape: tuple[int, ...], *options: Any) -> tuple[Any, Any]:
    image = mg.randn(*shape, requires_grad=True)
    return pool(image, *options, return_indices=True)  # type: ignore[no-any-return]


def by(call: Callable[[Any], Any], make: Callable[[], Any] = index) -> Case:
    def case() -> tuple[Any, Any]:
        i = make()
        return call(i), i

    return case


def row() -> Any:
    return mg.tensor([2, 0])


CASES: dict[str, Case] = {
    "max_pool1d": lambda: pooled(F.max_pool1d, (2, 3, 8), 2),
    "max_pool2d": lambda: pooled(F.max_pool2d, (2, 3, 8, 8), 2),
    "max_pool2d_of_one_image": lambda: pooled(F.max_pool2d, (3, 8, 8), 2),
    "max_pool3d": lambda: pooled(F.max_pool3d, (1, 3, 4, 4, 4), 2),
    "adaptive_max_pool2d": lambda: pooled(F.adaptive_max_pool2d, (2, 3, 8, 8), 3),
    "getitem": by(lambda i: x()[i]),
    "getitem_of_two": by(lambda i: x()[i, row()], lambda: mg.tensor([[1], [0]])),
    "setitem": by(put),
    "gather": by(lambda i: mg.gather(x(), 1, i)),
    "take_along_dim": by(lambda i: mg.take_along_dim(x(), i, 1)),
    "index_select": by(lambda i: mg.index_select(x(), 0, i), row),
    "scatter": by(lambda i: mg.scatter(x(), 1, i, 3.0)),
    "scatter_add": by(lambda i: mg.scatter_add(mg.zeros(3, 3), 1, i, x())),
    "index_add": by(lambda i: mg.index_add(mg.zeros(3, 3), 0, i, x()[:2]), row),
    "index_copy": by(lambda i: mg.index_copy(mg.zeros(3, 3), 0, i, x()[:2]), row),
    "index_fill": by(lambda i: mg.index_fill(x(), 0, i, 3.0), row),
    "embedding": by(lambda i: mg.nn.Embedding(3, 4)(i)),
    "max": lambda: (lambda r: (r.values, r.indices))(x().max(1)),
    "median": lambda: (lambda r: (r.values, r.indices))(x().median(1)),
    "sort": lambda: (lambda r: (r.values, r.indices))(x().sort(1)),
    "topk": lambda: (lambda r: (r.values, r.indices))(x().topk(2)),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_a_change_in_place_is_refused(name: str, version: str) -> None:
    with use_kernels(version):
        y, i = CASES[name]()
        y.sum().backward()
        y, i = CASES[name]()
        i.fill_(10**9)
        with pytest.raises(GraphError, match=r"an index .* was changed in place|version"):
            y.sum().backward()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", [-(10**9), -100, 10**9], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_change_behind_the_back_is_an_error(name: str, bad: int, version: str) -> None:
    with use_kernels(version):
        y, i = CASES[name]()
        i.numpy()[...] = bad
        with pytest.raises(MinigradError):
            y.sum().backward()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", [-(2**62), -1, 24, 10**9, 2**62], ids=str)
def test_kernels_look_at_every_index(bad: int, version: str) -> None:
    image = np.ones((2, 70, 4, 6), np.float32)
    where = np.zeros((2, 70, 2, 3), np.int64)
    with use_kernels(version):
        for at in ((0, 0, 0, 0), (1, 69, 1, 2), (0, 33, 1, 0)):
            wrong = where.copy()
            wrong[at] = bad
            with pytest.raises(RangeError, match=f"{bad}"):
                pick("pool_gather", image)(image, wrong)
            with pytest.raises(RangeError, match=f"{bad}"):
                pick("pool_scatter", image)(image[..., :2, :3], wrong, (4, 6))
        assert (pick("pool_gather", image)(image, where + 23) == 1).all()
