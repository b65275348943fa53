"""Every instantiation of every kernel compiles for A100 and H100, without spilling registers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from minigrad.kernels.cuda import depthwise_conv
from minigrad.kernels.cuda.launcher import Declaration, declarations, expression, source
from tests.kernels.cuda import nvrtc

pytestmark = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))

BYTES = {"double": 8, "float": 4, "__half": 2, "__nv_bfloat16": 2}
SHARED = 48 << 10  # bytes that a block may have without asking
REGISTERS = 255
PROGRAM = 32  # kernels compiled together; the compiler's time grows faster than their number


def _types(declaration: Declaration) -> Iterator[tuple[str, ...]]:
    """Yield the element types: parameters (P, S) are float32, or of the type of the values."""
    walks = declaration.name.startswith(("depthwise_rows", "depthwise_volume"))
    for first in BYTES:
        if walks and first == "double":  # takes the plain kernels
            continue
        wide = {first, *(["float"] if BYTES[first] == 2 else [])}
        choices = {"P": wide, "S": wide}
        rest = (sorted(choices[c]) for c in declaration.classes[1:])
        yield from ((first, *others) for others in product(*rest))


def _constants(declaration: Declaration, first: str) -> Iterator[tuple[int, ...]]:
    """Yield the numbers: V as far as 16 bytes reach, and what else the Python side may ask for."""
    if declaration.numbers == ("KH", "KW"):
        yield from sorted(depthwise_conv.KERNELS)
        return
    vectors = [(v,) for v in (1, 2, 4, 8) if v * BYTES[first] <= 16]
    cubes = [(k,) for k in sorted(depthwise_conv.CUBES)]
    choices = {"K": cubes, "V": vectors, "GELU": [(0,), (1,)]}
    for chosen in product(*(choices[n] for n in declaration.numbers)):
        yield tuple(n for (n,) in chosen)


def instantiations(file: str) -> list[list[str]]:
    """Return every kernel of a file that `launch` can ask for, in programs of moderate size."""
    names = [
        expression(d.name, types, constants)
        for d in declarations().values()
        if d.file == file
        for types in _types(d)
        for constants in _constants(d, types[0])
    ]
    return [names[i : i + PROGRAM] for i in range(0, len(names), PROGRAM)]


FILES = sorted({d.file for d in declarations().values()})


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("file", FILES)
def test_instantiations(file: str, arch: int, capsys: pytest.CaptureFixture[str]) -> None:
    programs = instantiations(file)
    usages = [u for names in programs for u in nvrtc.compile_kernels(source(file), names, arch)]
    assert len({u.kernel for u in usages}) == sum(map(len, programs))
    assert [u for u in usages if u.spilled] == []
    assert [u for u in usages if u.shared > SHARED] == []
    registers, shared = max(u.registers for u in usages), max(u.shared for u in usages)
    assert registers <= REGISTERS
    with capsys.disabled():
        print(
            f"\n{file}.cu, sm_{arch}: {len(usages)} kernels, no spill, {registers} registers and "
            f"{shared} bytes of shared memory at most"
        )


def test_a_spill_is_seen() -> None:
    """The check reads the log right: a kernel that needs too many registers is caught."""
    text = source("depthwise_conv").replace("(ROW_THREADS, 3)", "(ROW_THREADS, 6)")
    usages = nvrtc.compile_kernels(text, ["depthwise_rows<float, 7, 7>"], 90)
    assert usages[0].spilled > 0
