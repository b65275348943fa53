"""Kernels on tiles: their instructions by LLVM's assembler, their results by emulation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from minigrad.kernels.cpu import gemm_tiles, tiles

ROOT = Path(__file__).parents[3]


def assembly(features: str) -> str:
    """Return the loop of `gemm_tiles` as LLVM would run it on a processor with `features`."""
    module = ir.Module()
    size, integer = ir.IntType(64), ir.IntType(16)
    kinds = [ir.FloatType().as_pointer(), size, integer.as_pointer(), size, integer.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*kinds, size, size]), "block")
    builder = ir.IRBuilder(function.append_basic_block())
    written = tiles.Tiles(builder)
    written.configure()
    gemm_tiles.write_block(written, *function.args)
    written.release()
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="x86-64", features=features, opt=2)
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


@pytest.mark.skipif(
    not llvm.get_default_triple().startswith("x86_64"), reason="LLVM of another processor"
)
def test_the_loop_becomes_tile_instructions() -> None:
    text = assembly("+amx-tile,+amx-bf16")
    counts = {
        "ldtilecfg": 1, "tilezero": 4, "tdpbf16ps": 4, "tileloaddt1": 2, "tileloadd\t": 6,
        "tilestored": 4, "tilerelease": 1,
    }  # fmt: skip
    assert {name: text.count(name) for name in counts} == counts
    assert "%tmm0" in text.split("tdpbf16ps")[1]


def run(code: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *code.split(" ", 1)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about mprotect of Linux")
def test_kernels_do_what_the_instructions_say(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    quickly = {"NUMBA_OPT": "0"}  # compiled: what is emulated need not be fast
    assert run("-m tests.kernels.cpu.emulated_tiles", tmp_path, **quickly) == "as the instruction\n"


def test_permission_is_asked_where_the_target_has_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        def syscall(self, *numbers: object) -> int:
            asked.append([n.value for n in numbers])  # type: ignore[attr-defined]
            return -1

    monkeypatch.setattr(tiles, "has_feature", {"amx-tile", "amx-bf16"}.__contains__)
    monkeypatch.setattr(tiles.ctypes, "CDLL", lambda *args, **options: Library())
    monkeypatch.setattr(tiles.sys, "platform", "linux")
    why = tiles.why_none.__wrapped__()
    assert asked == [[158, 0x1023, 18]]
    assert why is not None
    assert why.startswith("Linux does not give the registers")
