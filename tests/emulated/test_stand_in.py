"""The stand-in refuses, counts and lays out as CuPy does; where NumPy differs, CuPy counts.

Facts from CuPy's sources (14 and 15 alpha), each with what NumPy would do instead.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tests.emulated.fake_cupy import CUDARuntimeError, counting, cupy, devices, synchronisations


@pytest.fixture
def x() -> Any:
    return cupy.asarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))


MIXED = {
    "operator": lambda x, a: x + a,
    "reflected": lambda x, a: a + x,
    "in place": lambda x, a: x.__iadd__(a),
    "comparison": lambda x, a: x < a,
    "ufunc": lambda x, a: cupy.add(x, a),
    "NumPy's ufunc": lambda x, a: np.add(x, a),
    "function": lambda x, a: cupy.where(x > 0, x, a),
    "function without a device array": lambda x, a: cupy.sum(a),
    "list": lambda x, a: cupy.concatenate([x, a]),
    "matmul": lambda x, a: x @ a.T,
    "method": lambda x, a: x.dot(a.T),
    "assignment": lambda x, a: x.__setitem__(..., a),
    "asarray": lambda x, a: np.asarray(x),
    "NumPy's function": lambda x, a: np.concatenate([x, a]),
}


@pytest.mark.parametrize("name", MIXED)
def test_host_and_device_arrays_do_not_mix(name: str, x: Any) -> None:
    with pytest.raises(TypeError):
        MIXED[name](x, np.ones((2, 3), np.float32))


def test_numpys_functions_on_device_arrays_are_cupys(x: Any) -> None:
    """``np.exp(x)`` works with CuPy, and gives a device array."""
    assert isinstance(np.exp(x), cupy.ndarray)
    assert isinstance(np.sum(x), cupy.ndarray)
    assert isinstance(np.float32(2) * x, cupy.ndarray)


WAITS = {
    "get": lambda x: x.get(),
    "asnumpy": lambda x: cupy.asnumpy(x),
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool((x > 0).any()),
    "if": lambda x: 1 if (x > 0).any() else 0,
    "tolist": lambda x: x.tolist(),
    "repr": lambda x: repr(x),
    "format": lambda x: f"{x.sum():.1f}",
    "mask": lambda x: x[x > 1],
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: cupy.unique(x),
    "bincount": lambda x: cupy.bincount(x.astype(np.int64).ravel()),
    "synchronize": lambda x: cupy.cuda.Device().synchronize(),
    "event": lambda x: cupy.cuda.Event().synchronize(),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_for_the_device_is_counted(name: str, x: Any) -> None:
    with synchronisations() as waited:
        WAITS[name](x)
    assert len(waited) == 1


def test_what_does_not_wait_is_not_counted(x: Any) -> None:
    with counting() as counts:
        y = cupy.where(x > 1, x @ x.T @ x, 0.0).sum(axis=0)[:, None].astype(np.float16)
        y[...] = 3.0
        y += 1.0
        y[0], y.shape, y.strides, len(y), y.nbytes
    assert counts.synchronisations == []
    assert counts.uploads == []
    assert counts.launches > 5


def test_copies_from_the_host_are_counted(x: Any) -> None:
    with counting() as counts:
        cupy.asarray(np.ones(3))
        x[[0, 1]]
    assert counts.uploads == ["array()", "index"]
    assert counts.synchronisations == []


def test_single_elements_and_reductions_are_arrays_of_the_device(x: Any) -> None:
    """NumPy gives scalars; here an element is a view, and changing it changes the array."""
    assert isinstance(x.sum(), cupy.ndarray)
    assert x.sum().shape == ()
    element = x[0, 1]
    element[...] = 7.0
    assert x.get()[0, 1] == 7.0


def test_indices_in_arrays_wrap_around(x: Any) -> None:
    """NumPy raises IndexError; an index that is an int raises here too."""
    rows = x[cupy.asarray([2, -3])]
    np.testing.assert_array_equal(rows.get(), x.get()[[0, 1]])
    with pytest.raises(IndexError):
        x[2]


def test_results_lie_in_c_order_whatever_the_operands(x: Any) -> None:
    """NumPy would keep the order of the operands."""
    t = cupy.zeros((2, 3, 4), np.float32).transpose(0, 2, 1)
    for result in (t + t, -t, cupy.exp(t), cupy.where(t > 0, t, t), cupy.concatenate([t, t])):
        assert result.flags.c_contiguous
    for result in (t.astype(np.float16), cupy.empty_like(t)):
        assert [s // result.itemsize for s in result.strides] == [12, 1, 4]
    host = np.zeros((2, 3, 4)).transpose(0, 2, 1)
    assert cupy.asarray(host).flags.c_contiguous


def test_no_array_is_read_only(x: Any) -> None:
    """Writing to what `broadcast_to` returns is the program's own fault."""
    assert not hasattr(x.flags, "writeable")
    wide = cupy.broadcast_to(x[:, :1], (2, 3))
    wide[...] = 5.0
    assert x.get()[0, 0] == 5.0


LACKS = {
    "a name": lambda x: cupy.no_such_name,
    "a name of NumPy's": lambda x: cupy.bool8,
    "a parameter": lambda x: x.max(initial=0.0),
    "a parameter of a function": lambda x: cupy.sum(x, where=x > 0),
    "objects": lambda x: cupy.asarray(np.array([None])),
    "item of many": lambda x: x.item(),
    "item with an index": lambda x: x.item(0),
    "__index__": lambda x: [1, 2][cupy.zeros((), np.int64)],
    "nonzero of a number": lambda x: x.sum().nonzero(),
    "bytes in add.at": lambda x: cupy.add.at(
        cupy.zeros(3, np.int8), cupy.asarray([0]), cupy.ones(1, np.int8)
    ),
}


@pytest.mark.parametrize("name", LACKS)
def test_what_cupy_lacks_raises(name: str, x: Any) -> None:
    with pytest.raises((AttributeError, TypeError, ValueError)):
        LACKS[name](x)


def test_products_of_bfloat16_know_two_dimensions_only() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = cupy.ones((2, 3, 3), np.dtype(ml_dtypes.bfloat16))
    assert (a[0] @ a[0]).shape == (3, 3)
    with pytest.raises(TypeError):
        a @ a


# ---- streams and graphs -------------------------------------------------------------------------


def captured(body: Any) -> Any:
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            body()
        finally:
            graph = stream.end_capture()
    return graph


def test_a_graph_runs_again_on_the_same_memory(x: Any) -> None:
    y = cupy.zeros((2, 3), np.float32)

    def body() -> None:
        z = x * 2.0
        z += 1.0
        y[...] = z[::-1]

    graph = captured(body)
    np.testing.assert_array_equal(y.get(), np.zeros((2, 3)))  # nothing has run yet
    graph.launch()
    np.testing.assert_array_equal(y.get(), (x.get() * 2 + 1)[::-1])
    x[...] = 5.0
    graph.launch()
    np.testing.assert_array_equal(y.get(), np.full((2, 3), 11.0))


FORBIDDEN = {
    "waits": lambda x: float(x.sum()),
    "copies from the host": lambda x: cupy.asarray(np.ones(3)),
    "uses a list as index": lambda x: x[[0, 1]],
    "synchronises": lambda x: cupy.cuda.Device().synchronize(),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_capture_refuses_what(name: str, x: Any) -> None:
    with pytest.raises(CUDARuntimeError):
        captured(lambda: FORBIDDEN[name](x))


def test_a_capture_refuses_the_default_pool_and_the_default_stream(x: Any) -> None:
    stream = cupy.cuda.Stream()
    with stream:
        stream.begin_capture()
        with pytest.raises(CUDARuntimeError, match="default pool"):
            x + 1.0
        with cupy.cuda.Stream.null, pytest.raises(CUDARuntimeError, match="default stream"):
            x[...] = 1.0
        stream.end_capture()
    with pytest.raises(RuntimeError, match="legacy"):
        cupy.cuda.Stream.null.begin_capture()


def test_memory_of_the_pool_is_counted() -> None:
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        y = cupy.ones(1000, np.float64)
        view = y[::2]
    assert pool.used_bytes() == 8000
    del y
    assert pool.used_bytes() == 8000  # a view keeps it
    del view
    assert (pool.used_bytes(), pool.total_bytes()) == (0, 8000)


def test_dlpack_orders_the_streams(x: Any) -> None:
    producer, consumer = cupy.cuda.Stream(), cupy.cuda.Stream()
    with producer:
        capsule = x.__dlpack__(stream=consumer.ptr)
    assert capsule.array is x
    assert [event.stream for event in consumer.waits] == [producer]
    with producer:
        x.__dlpack__(stream=producer.ptr)  # its own stream: nothing to wait for
        x.__dlpack__(stream=-1)  # the consumer wants no order
    assert len(producer.waits) == 0


def test_arrays_of_another_device_are_refused(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "COUNT", [2])
    with cupy.cuda.Device(1):
        y = cupy.ones((2, 3), np.float32)
        assert y.device.id == 1
    with pytest.raises(ValueError, match="device"):
        x + y


def test_threads_begin_on_the_default_stream_and_count_for_themselves(x: Any) -> None:
    found: list[Any] = []
    with synchronisations() as waited:
        thread = threading.Thread(target=lambda: found.append(float(x.sum())))
        thread.start()
        thread.join()
    assert found == [15.0]
    assert waited == []
