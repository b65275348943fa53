"""CUDA source that runs on the CPU: what ``cupy.RawModule`` is on a GPU, for tests.

    program = Program(code, name_expressions=["copy<float>"])
    program.get_function("copy<float>")((grid,), (block,), (x, y, np.int32(x.size)))

The source is compiled by g++ with `cuda_cpu_shim.h` and kept under the hash of all that goes into
it. Every array is copied into memory of its own that ends where an unreadable page begins; what
stands before and behind it must come back unchanged.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("MINIGRAD_SHIM_CACHE", Path(tempfile.gettempdir()) / "minigrad-shim"))
FLAGS = (
    "-std=c++17", "-O1", "-march=native", "-shared", "-fPIC", "-fvisibility=hidden",
    "-fno-gnu-unique", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-w",
)  # fmt: skip
SHARED = re.compile(r"__shared__\s+([\w:<> ]+?)\s+(\w+)((?:\s*\[[^\]]+\])+)\s*;")
ORDERS = {"ascending": 0, "descending": 1}  # of threads and blocks; any other number shuffles

_lock = threading.Lock()


class KernelError(RuntimeError):
    """A kernel broke a rule of CUDA."""


def compiler() -> str | None:
    """Return the path of g++, or None."""
    return shutil.which("g++")


class Program:
    """Kernels of one source.

    Parameters
    ----------
    code : str
        CUDA C++ source.
    options : sequence of str
        Those of NVRTC; only ``-D…`` matters here.
    name_expressions : sequence of str
        The kernels, with their template arguments.

    Attributes
    ----------
    order : int, default 2
        In which order the threads and blocks of all programs run: see `ORDERS`.
    """

    order: ClassVar[int] = 2

    def __init__(
        self, code: str, options: Sequence[str] = (), name_expressions: Sequence[str] = ()
    ) -> None:
        source = "\n".join([
            '#include "cuda_cpu_shim.h"', SHARED.sub(_declare, code), *_doors(name_expressions),
        ])  # fmt: skip
        defines = [o for o in options if o.startswith("-D")]
        self._library = ctypes.PyDLL(str(_compile(source, defines)))
        self._numbers = {name: i for i, name in enumerate(name_expressions)}

    def get_function(self, name: str) -> Kernel:
        """Return the kernel that `name_expressions` calls `name`."""
        number = self._numbers[name]
        launch = self._library[f"launch_{number}"]
        launch.restype = ctypes.c_char_p
        letters = self._library[f"letters_{number}"]
        letters.restype = ctypes.c_char_p
        return Kernel(self, name, launch, letters().decode())


class Kernel:
    """One kernel, called as ``kernel(grid, block, args)`` with NumPy arrays and NumPy scalars.

    None stands for a null pointer.
    """

    def __init__(self, program: Program, name: str, launch: Any, letters: str) -> None:
        self.program, self.name, self._launch, self._letters = program, name, launch, letters

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0
    ) -> None:
        if shared_mem:
            raise KernelError(f"{self.name}: the shim has no dynamic shared memory")
        if len(args) != len(self._letters):
            raise KernelError(f"{self.name} takes {len(self._letters)} arguments, got {len(args)}")
        if int(np.prod(block)) > 1024:
            raise KernelError(f"{self.name}: {block} are more than 1024 threads")
        guards: dict[int, _Guard] = {}
        values = [
            _value(self.name, i, letter, arg, guards)
            for i, (letter, arg) in enumerate(zip(self._letters, args, strict=True))
        ]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        with _lock:
            error = self._launch(_three(grid), _three(block), self.program.order, pointers)
        if error:
            raise KernelError(f"{self.name}: {error.decode()}")
        for guard in guards.values():
            guard.give_back(self.name)


def _value(name: str, i: int, letter: str, arg: Any, guards: dict[int, _Guard]) -> Any:
    """Return the bytes of an argument as the parameter with this letter takes them."""
    if letter == "*":
        if arg is None or (isinstance(arg, np.uintp) and arg == 0):
            return ctypes.c_void_p(0)
        if not isinstance(arg, np.ndarray):
            raise KernelError(f"{name}: argument {i} must be an array, got {type(arg).__name__}")
        guard = guards.get(arg.ctypes.data) or guards.setdefault(arg.ctypes.data, _Guard(arg))
        if guard.array.nbytes != arg.nbytes:
            raise KernelError(f"{name}: argument {i} overlaps another one")
        return ctypes.c_void_p(guard.address)
    if not isinstance(arg, np.generic):
        raise KernelError(f"{name}: argument {i} must be a NumPy scalar, got {type(arg).__name__}")
    kind = arg.dtype.char if arg.dtype.kind == "f" else str(arg.dtype.itemsize)
    if kind != letter:
        raise KernelError(f"{name}: argument {i} is {arg.dtype}, which the kernel does not take")
    return (ctypes.c_char * arg.nbytes).from_buffer_copy(arg.tobytes())


class _Guard:
    """A copy of an array between memory that must not change and pages that cannot be touched."""

    BEHIND = 1 << 24  # bytes of those pages, which cost nothing: how far a wrong index may reach

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        if not array.flags.c_contiguous:
            raise KernelError(f"an array of shape {array.shape} is not contiguous")
        self.array = array
        size, page = array.nbytes, mmap.PAGESIZE
        behind = -(size + array.ctypes.data) % 16  # the copy keeps its alignment
        room = -(-(size + behind) // page) * page + page
        self._map = mmap.mmap(-1, room + self.BEHIND)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        _libc.mprotect(ctypes.c_void_p(base + room), ctypes.c_size_t(self.BEHIND), 0)
        self.address = base + room - behind - size
        self._all = np.frombuffer(self._map, np.uint8, room)
        self._own = slice(room - behind - size, room - behind)
        self._all[:] = 0xFF  # NaN
        self._all[self._own] = array.reshape(-1).view(np.uint8)

    def give_back(self, name: str) -> None:
        """Copy the result to the array, after a look at what stands around it."""
        around = self._all[: self._own.start], self._all[self._own.stop :]
        if any((part != 0xFF).any() for part in around):
            raise KernelError(f"{name} writes outside an array of shape {self.array.shape}")
        if self.array.flags.writeable:
            self.array.reshape(-1).view(np.uint8)[:] = self._all[self._own]


_libc = ctypes.CDLL(None)


def _three(numbers: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*numbers, *(1 for _ in range(3 - len(numbers))))


def _declare(match: re.Match[str]) -> str:
    """Turn ``__shared__ float a[N][M];`` into a reference to checked, poisoned memory."""
    element, name, axes = match.groups()
    lengths = ", ".join(re.findall(r"\[([^\]]+)\]", axes))
    return f"auto& {name} = shim::shared<shim::Shared<{element}, {lengths}>>(__COUNTER__);"


def _doors(names: Sequence[str]) -> list[str]:
    """Return C functions through which Python calls the kernels."""
    export = 'extern "C" __attribute__((visibility("default"))) const char*'
    return [
        f"{export} launch_{i}(unsigned* grid, unsigned* block, unsigned order, void** values) "
        f"{{ return shim::launch(&::{name}, grid, block, order, values); }}\n"
        f"{export} letters_{i}() {{ return shim::letters(&::{name}); }}"
        for i, name in enumerate(names)
    ]


def _compile(source: str, defines: Sequence[str]) -> Path:
    """Compile, or find what was compiled from the same text before."""
    headers = "".join(path.read_text() for path in sorted(HERE.glob("*.h")))
    key = hashlib.sha256("\0".join([source, headers, *FLAGS, *defines]).encode()).hexdigest()[:24]
    library = CACHE / f"{key}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            text, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            text.write_text(source)
            command = ["g++", *FLAGS, *defines, f"-I{HERE}", str(text), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise KernelError(f"g++ cannot compile the kernels:\n{done.stderr[:4000]}")
            os.replace(made, library)  # at once, for other processes may be looking
    return library
