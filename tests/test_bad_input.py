r"""What a user sees after a wrong call: every row of the tables in `tests.bad_input`, tested.

Every message names the operation or layer, what came, what was expected, and the mend; and a wrong
call changes nothing: no tensor, no gradient, no file, no random state. To read all messages as a
user would::

    python -m tests.test_bad_input
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from minigrad import cli, models, nn, optim
from minigrad.compat import keras
from minigrad.errors import MinigradError
from tests.bad_input import core, pretraining, segmentation
from tests.bad_input import models as by_name

PARTS = {"core": core, "models": by_name, "pretraining": pretraining, "segmentation": segmentation}
AT_LEAST = {"core": 60, "models": 25, "pretraining": 0, "segmentation": 50}  # calls
ROWS = [
    pytest.param(part, *row, id=f"{part} {topic}: {row[0]}")
    for part, module in PARTS.items()
    for topic, rows in module.TABLE.items()
    for row in rows
]
Seen = dict[str, Any]


def is_command(call: str) -> bool:
    return call.startswith("minigrad ")


def command(line: str) -> tuple[int, str]:
    """Run a command line in this process; return its status and what it printed on stderr."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(shlex.split(line)[1:])
    return status, printed.getvalue().strip()


def attempt(call: str, world: dict[str, Any]) -> tuple[str, str]:
    """Make a wrong call; return the type of its error and the message."""
    if is_command(call):
        status, printed = command(call)
        return f"exit {status}", printed
    try:
        exec(compile(call, "<call>", "exec"), dict(world))
    except (MinigradError, TypeError) as error:
        return type(error).__name__, str(error)
    return "nothing raised", ""


def snapshot(world: dict[str, Any]) -> Seen:
    """Return everything that a wrong call must not change."""
    seen: Seen = {
        "random": repr(mg.get_rng_state()),
        "grad mode": mg.is_grad_enabled(),
        "files": {str(p): p.read_bytes() for p in Path().rglob("*") if p.is_file()},
        "folders": sorted(str(p) for p in Path().rglob("*") if p.is_dir()),
        "models": list(models.list_models()),
        "policy": keras.mixed_precision.global_policy(),
    }
    for name, value in world.items():
        if isinstance(value, mg.Tensor):
            seen[name] = described(value)
        elif isinstance(value, dict):
            seen[name] = {k: described(x) for k, x in value.items()}
        elif isinstance(value, nn.Module):
            tensors = value.state_dict() | dict(value.named_parameters())
            seen[name] = {k: described(x) for k, x in tensors.items()}
            modules = list(value.modules())
            seen[f"{name}, modes"] = [(m.training, len(m._forward_hooks)) for m in modules]
            seen[f"{name}, trainer"] = getattr(value, "trainer", None)
        elif isinstance(value, optim.Optimizer):
            kept = [
                {k: v.tobytes() if hasattr(v, "tobytes") else v for k, v in state.items()}
                for state in value.state.values()
            ]
            seen[name] = repr(value), kept
    return seen


def described(x: mg.Tensor) -> tuple[Any, ...]:
    grad = None if x.grad is None else x.grad.array.tobytes()
    return x.shape, str(x.dtype), x.requires_grad, x.array.tobytes(), grad


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(("part", "call", "error", "message"), ROWS)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(
    part: str, call: str, error: str, message: str
) -> None:
    if "cuda" in call and find_spec("cupy"):
        pytest.skip("CuPy is installed here")
    if "read_image" in call:
        pytest.importorskip("PIL")
    world = PARTS[part].world()
    before = snapshot(world)
    raised, said = attempt(call, world)
    assert raised in error.split("|"), said
    assert re.search(message, said, re.DOTALL), said
    changed = {name for name, value in snapshot(world).items() if before[name] != value}
    if is_command(call):
        assert said.startswith("minigrad: ")
        assert "\n" not in said
        changed -= {"random"}
    assert not changed


@pytest.mark.parametrize("part", PARTS)
def test_a_table_is_long_enough_and_has_no_row_twice(part: str) -> None:
    calls = [call for rows in PARTS[part].TABLE.values() for call, *_ in rows]
    assert len(calls) == len(set(calls))
    assert sum(not is_command(call) for call in calls) >= AT_LEAST[part]


@pytest.mark.usefixtures("in_folder")
def test_a_picture_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining.world()
    monkeypatch.setitem(sys.modules, "PIL", None)  # as if it were not installed
    status, printed = command("minigrad explain broken.png --model trained")
    assert status == 2
    assert "Pillow is not installed; run: pip install 'minigrad[images]'" in printed


def main() -> None:
    """Print every wrong call and the message that a user sees."""
    for module in PARTS.values():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            world = module.world()
            for rows in module.TABLE.values():
                for call, *_ in rows:
                    sign = "$" if is_command(call) else ">>>"
                    print(f"{sign} {call}\n{': '.join(attempt(call, world))}\n")


if __name__ == "__main__":
    main()
