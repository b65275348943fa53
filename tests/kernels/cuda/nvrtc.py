"""NVIDIA's run-time compiler from its pip wheel: it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Usage", "compile_kernels", "missing"]

_ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


class Usage(NamedTuple):
    """What one kernel takes, from the log of the assembler."""

    kernel: str
    registers: int
    spilled: int  # bytes
    shared: int  # bytes


def _folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def missing() -> str | None:
    """Return what has to be installed, or None."""
    for package, name in (("nvidia.cuda_nvrtc", "nvrtc"), ("nvidia.cuda_runtime", "runtime")):
        if _folder(package) is None:
            return f"needs NVIDIA's compiler: pip install nvidia-cuda-{name}-cu12"
    return None


@cache
def _library() -> Any:
    folder = _folder("nvidia.cuda_nvrtc")
    assert folder is not None
    return ctypes.CDLL(str(next((folder / "lib").glob("libnvrtc.so.*"))))


def compile_kernels(source: str, names: Sequence[str], arch: int) -> list[Usage]:
    """Compile instantiations for a GPU of compute capability `arch` (80: A100, 90: H100).

    Raises
    ------
    AssertionError
        With the compiler's words, if it refuses.
    """
    nvrtc, program = _library(), ctypes.c_void_p()
    headers = _folder("nvidia.cuda_runtime")
    options = [
        "--std=c++17", f"-arch=sm_{arch}", f"-I{headers}/include", "--ptxas-options=-v",
    ]  # fmt: skip
    code = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"", 0, None, None)
    assert code == 0
    try:
        for name in names:
            assert nvrtc.nvrtcAddNameExpression(program, name.encode()) == 0
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        code = nvrtc.nvrtcCompileProgram(program, len(options), array)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        text = log.value.decode()
        assert code == 0, text[:4000]
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return [_usage(*match) for match in _ENTRY.findall(text)]


def _usage(kernel: str, stores: str, loads: str, registers: str, rest: str) -> Usage:
    shared = re.search(r"(\d+) bytes smem", rest)
    return Usage(kernel, int(registers), int(stores) + int(loads), int(shared[1]) if shared else 0)
