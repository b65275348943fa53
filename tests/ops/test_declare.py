"""One declaration is enough: an operation added to a copy of the package is found everywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.errors import OptionError
from minigrad.ops.declare import NAMES, operation

CUBE = '''

class Cube(Function):
    """``x ** 3``."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * x * x

    def backward(self, g: Any, x: Any) -> Any:
        return g * (3.0 * x * x)


cube = _unary(Cube, inplace=True, numpy="cubed", autocast=FLOAT32, also="third_power")
'''

USE = """
import minigrad as mg
from minigrad import ops
x = mg.tensor([2.0], requires_grad=True)
for function in (mg.cube, mg.third_power, mg.Tensor.cube, mg.Tensor.third_power, ops.cubed):
    x.grad = None
    function(x).sum().backward()
    assert x.grad.item() == 12.0
assert mg.tensor([2.0]).cube_().item() == 8.0
assert {"cube", "third_power"} <= set(mg.__all__) and "cubed" in ops.__all__
with mg.autocast("cpu", dtype=mg.float16):
    assert mg.tensor([2.0], dtype=mg.float16).cube().dtype == mg.float32
"""


def test_an_operation_added_to_one_file_is_found_everywhere(repo: Path, tmp_path: Path) -> None:
    for folder in ("minigrad", "tests"):
        shutil.copytree(
            repo / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    with (tmp_path / "minigrad/ops/elementwise.py").open("a", encoding="utf-8") as file:
        file.write(CUBE)

    def run(*command: str) -> None:
        subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, text=True)

    run("-c", USE)
    run("-m", "tests.test_stubs")
    for stub, line in {
        "__init__.pyi": "from minigrad.ops.elementwise import cube as third_power",
        "_methods.pyi": "def cube_(self",
        "ops/__init__.pyi": "from minigrad.ops.elementwise import cube as cubed",
    }.items():
        assert line in (tmp_path / "minigrad" / stub).read_text(encoding="utf-8")


def test_a_name_is_given_once_and_a_home_must_be_known() -> None:
    before = {home: dict(names) for home, names in NAMES.items()}

    def exp() -> None: ...

    def new() -> None: ...

    with pytest.raises(OptionError, match=r"minigrad has exp already, from minigrad\.ops"):
        operation("minigrad")(exp)
    with pytest.raises(OptionError, match="home of an operation"):
        operation("Tensor torch")(new)
    assert before == NAMES
