from __future__ import annotations

import pytest

from minigrad.train import threads
from minigrad.train.threads import blas_threads


def test_the_number_is_set_and_given_back() -> None:
    controls = threads._openblas()
    if controls is None:
        pytest.skip("NumPy was not built with OpenBLAS")
    get, _ = controls
    before = get()
    with blas_threads(1):
        assert get() == 1
        with blas_threads(0):
            assert get() == 1
    assert get() == before
    with pytest.raises(ZeroDivisionError), blas_threads(1):
        raise ZeroDivisionError
    assert get() == before


@pytest.mark.parametrize("count", [0, 1])
def test_without_openblas_nothing_breaks(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(threads, "_openblas", lambda: None)
    with blas_threads(count):
        pass
    monkeypatch.setitem(__import__("sys").modules, "threadpoolctl", None)
    with blas_threads(count):
        pass
