"""Kernels on pairs: their instructions by LLVM's assembler, their results by emulation."""

from __future__ import annotations

import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from llvmlite import ir
from numba import types

from minigrad.kernels.cpu import pairs, rung, simd
from tests.kernels.cpu.test_tiles import run


def assembly(features: str) -> str:
    """Return one product and one rounding as LLVM would run them."""
    module = ir.Module()
    wide = ir.VectorType(ir.FloatType(), 16)
    many = ir.VectorType(ir.IntType(32), 16)
    to = ir.VectorType(ir.IntType(16), 32)
    arguments = [wide.as_pointer(), many.as_pointer(), to.as_pointer()]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "step")
    builder = ir.IRBuilder(function.append_basic_block())
    v = simd.Vectors(builder, types.float32)
    sums, x, y = function.args
    total, factors = builder.load(sums), builder.load(x)
    total = v.multiply_add(factors, factors, total)
    builder.store(total, sums)
    builder.store(v.pairs(total, total), y)
    builder.ret_void()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="x86-64", features=features, opt=2)
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


@pytest.mark.skipif(
    not llvm.get_default_triple().startswith("x86_64") or simd.VECTOR_BYTES != 64,
    reason="vectors of another length",
)
def test_a_step_becomes_the_instructions() -> None:
    text = assembly("+avx512f,+avx512bw,+avx512vl,+avx512bf16,+evex512")
    assert (text.count("vdpbf16ps"), text.count("vcvtne2ps2bf16")) == (1, 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about mprotect of Linux")
def test_kernels_do_what_the_instructions_say(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    quickly = {"NUMBA_OPT": "0"}  # compiled: what is emulated need not be fast
    assert run("-m tests.kernels.cpu.emulated_pairs", tmp_path, **quickly) == "as the instruction\n"


def test_a_target_without_the_instruction_does_without(tmp_path: Path) -> None:
    code = "-c from minigrad.kernels.cpu.rung import rung; print(rung())"
    said = run(code, tmp_path, NUMBA_CPU_NAME="generic")
    without = "Numba's target has no amx-bf16; Numba's target has no avx512bf16"
    assert said == f"widening ({without})\n"


@pytest.mark.parametrize(("speed", "chosen"), [(0.5, False), (1.0, False), (1.9, True)])
def test_what_is_measured_decides(
    speed: float, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "has_feature", {"avx512f", "avx512bf16"}.__contains__)
    monkeypatch.setattr(pairs, "VECTOR_BYTES", 64)
    monkeypatch.setattr(pairs, "_speed", lambda: speed)
    why = pairs.why_none.__wrapped__()
    assert (why is None) == chosen
    assert chosen or why == f"avx512bf16 is {speed:.2f} times as fast as float32"


def test_what_is_told_names_the_way_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung.pairs, "why_none", lambda: None)
    monkeypatch.setattr(rung.tiles, "why_none", lambda: "no amx")
    assert rung.rung() == "avx512_bf16, else widening (no amx)"
