"""The shim is worth something only if it sees what a GPU would not forgive."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.emulated.shim.program import KernelError, Program, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs g++, which is not installed")

SOURCE = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>

__global__ void reverse(float* x, int n) {
  __shared__ float all[64];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[n - 1 - threadIdx.x];
}
__global__ void reverse_in_a_hurry(float* x, int n) {
  __shared__ float all[64];
  all[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = all[n - 1 - threadIdx.x];
}
__global__ void leftover(float* x) {
  __shared__ float all[4];
  if (threadIdx.x == 0) x[blockIdx.x] = all[blockIdx.x];
  __syncthreads();
  all[threadIdx.x] = 1;
}
__global__ void reach(float* x, int at) { x[at] = 1; }
__global__ void reach_shared(float* x, int at) {
  __shared__ float all[2][3];
  all[1][at] = 1;
  x[0] = all[1][at];
}
__global__ void some_wait(float* x) {
  if (threadIdx.x < 5) __syncthreads();
}
__global__ void wait_apart(float* x) {
  if (threadIdx.x < 5) __syncthreads();
  else __syncthreads();
}
__global__ void shuffle(float* x, unsigned mask, int lanes) {
  if (threadIdx.x < lanes) x[threadIdx.x] = __shfl_xor_sync(mask, x[threadIdx.x], 1);
}
__global__ void order(int* x, int* next) { x[threadIdx.x] = next[0]++; }
template <class T> __global__ void where(T* x, double a, long long b) {
  x[blockIdx.y * gridDim.x + blockIdx.x] = threadIdx.y * blockDim.x + threadIdx.x + a + b;
}
__global__ void to_half(const float* x, __half* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = __float2half(x[i]);
}
__global__ void to_bfloat16(const float* x, __nv_bfloat16* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = __float2bfloat16(x[i]);
}
__global__ void from_half(const __half* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = __half2float(x[i]);
}
__global__ void from_bfloat16(const __nv_bfloat16* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = __bfloat162float(x[i]);
}
"""
NAMES = (
    "reverse reverse_in_a_hurry leftover reach reach_shared some_wait wait_apart shuffle order "
    "where<float> to_half to_bfloat16 from_half from_bfloat16"
)


@cache
def program() -> Program:
    return Program(SOURCE, ("--std=c++17",), NAMES.split())


def run(name: str, threads: int, *args: Any, grid: tuple[int, ...] = (1,)) -> None:
    program().get_function(name)(grid, (threads,), args)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_barriers_and_what_happens_without(monkeypatch: pytest.MonkeyPatch, order: int) -> None:
    monkeypatch.setattr(Program, "order", order)
    x = np.arange(64, dtype=np.float32)
    run("reverse", 64, x, np.int32(64))
    assert (x == np.arange(64)[::-1]).all()
    run("reverse_in_a_hurry", 64, x, np.int32(64))
    assert np.isnan(x).any()  # read before it was written


def test_shared_memory_of_a_block_is_its_own() -> None:
    x = np.zeros(4, np.float32)
    run("leftover", 4, x, grid=(4,))
    assert np.isnan(x).all()


@pytest.mark.parametrize("at", [10, 11, 100_000, 4_000_000, -1, -3])
def test_a_pointer_that_leaves_its_array(at: int) -> None:
    x = np.zeros(10, np.float32)
    with pytest.raises(KernelError, match=r"leaves its array|writes outside"):
        run("reach", 1, x, np.int32(at))
    run("reach", 1, x, np.int32(9))
    assert x[9] == 1


def test_an_index_that_leaves_shared_memory() -> None:
    x = np.zeros(1, np.float32)
    run("reach_shared", 1, x, np.int32(2))
    with pytest.raises(KernelError, match="leaves a shared array"):
        run("reach_shared", 1, x, np.int32(3))


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("some_wait", (), "not reached by every thread"),
        ("wait_apart", (), "different __syncthreads"),
        ("shuffle", (np.uint32(0xFFFFFFFF), np.int32(30)), "lane that has ended"),
        ("shuffle", (np.uint32(0xFFFFFFFE), np.int32(32)), "a mask that leaves it out"),
        ("shuffle", (np.uint32(0x7FFFFFFF), np.int32(31)), "outside its mask"),
    ],
)
def test_threads_that_do_not_meet(name: str, args: Any, message: str) -> None:
    x = np.arange(32, dtype=np.float32)
    with pytest.raises(KernelError, match=message):
        run(name, 32, x, *args)
    run("shuffle", 32, x, np.uint32(0xFFFFFFFF), np.int32(32))  # and it works again afterwards
    assert (x == np.arange(32) ^ 1).all()


def test_orders_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    for order in (0, 1, 2, 3):
        monkeypatch.setattr(Program, "order", order)
        x = np.zeros(16, np.int32)
        run("order", 16, x, np.zeros(1, np.int32))
        seen[order] = x.tolist()
    assert seen[0] == list(range(16))
    assert seen[1] == seen[0][::-1]
    assert sorted(seen[2]) == seen[0] != seen[2] != seen[3]


def test_places_and_numbers() -> None:
    x = np.zeros(6, np.float32)
    kernel = program().get_function("where<float>")
    kernel((3, 2), (4, 2), (x, np.float64(0.5), np.int64(100)))
    assert set(x) <= {100.5 + i for i in range(8)}
    with pytest.raises(KernelError, match="argument 1 is float32, which the kernel does not take"):
        kernel((3, 2), (4, 2), (x, np.float32(0.5), np.int64(100)))
    with pytest.raises(KernelError, match="argument 2 must be a NumPy scalar, got int"):
        kernel((3, 2), (4, 2), (x, np.float64(0.5), 100))
    with pytest.raises(KernelError, match="takes 3 arguments, got 1"):
        kernel((3, 2), (4, 2), (x,))
    with pytest.raises(KernelError, match="more than 1024 threads"):
        kernel((1,), (2048,), (x, np.float64(0.5), np.int64(100)))


@pytest.mark.parametrize("name", ["half", "bfloat16"])
def test_every_number_of_two_bytes(name: str) -> None:
    dtype = np.dtype(np.float16) if name == "half" else mg.bfloat16
    bits = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    wide = np.empty(bits.shape, np.float32)
    run(f"from_{name}", 1, bits, wide, np.int32(bits.size))
    expected = bits.astype(np.float32)
    np.testing.assert_array_equal(wide, expected)
    # Back: these, the numbers half-way between two of them, and a little to both sides.
    steps = expected[np.isfinite(expected)]
    steps = np.sort(np.unique(steps))
    middle = ((steps[1:].astype(np.float64) + steps[:-1]) / 2).astype(np.float32)
    values = np.concatenate([
        steps, middle, np.nextafter(middle, np.float32(np.inf)),
        np.nextafter(middle, np.float32(-np.inf)),
        np.array([np.inf, -np.inf, 65519.9, 65520.0, 1e30, -1e30, 0.0, -0.0], np.float32),
    ])  # fmt: skip
    narrow = np.empty(values.shape, dtype)
    run(f"to_{name}", 1, values, narrow, np.int32(values.size))
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    np.testing.assert_array_equal(narrow.view(np.uint16), rounded.view(np.uint16))
