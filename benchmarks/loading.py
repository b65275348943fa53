"""How fast, and in how much memory, a large file becomes a model: ``python -m benchmarks loading``.

A ConvNeXt of 350 million parameters, in a file of float32 (1.4 GB) and of float16. Beside the time
in which the safetensors library reads the file into arrays stands that of `models.load_pretrained`,
which builds the model and fills it, and that of `minigrad.load`, of a whole model. Every turn is a
process of its own, which loads once: a second time is faster, as the memory is there already. Times
are the processor's; the file is in the system's cache. Needs 7 GB of memory, and 4 GB of disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import HERE, memory_now, memory_peak
from benchmarks.options import parser
from benchmarks.results import section
from benchmarks.tables import report, say
from benchmarks.turns import clock_of, environment, middle, orders, python, timed
from minigrad.errors import MinigradError, MissingExtra

MODEL = "convnext_xlarge"
LIBRARY, OURS, WHOLE = "safetensors", "load_pretrained", "minigrad.load"
FILES = ("float32", "float16", "whole")
TURNS = {(LIBRARY, "float32"), (OURS, "float32"), (LIBRARY, "float16"), (OURS, "float16"),
         (LIBRARY, "whole"), (WHOLE, "whole")}  # fmt: skip


def write(folder: Path, model: str) -> None:
    """Write the files: weights alone in both types, and a whole model."""
    import minigrad as mg
    import minigrad.models as models

    with mg.nn.init.skip_random():
        net = models.create_model(model)
    some = np.random.default_rng(0).standard_normal(1 << 16).astype(np.float32)
    for parameter in net.parameters():
        parameter.data.array[...] = np.resize(some, parameter.shape)
    mg.save(net, folder / "whole")
    for dtype in FILES[:2]:
        weights = {n: t.numpy().astype(dtype, copy=False) for n, t in net.state_dict().items()}
        mg.io.save_file(weights, folder / dtype)


def library(path: str) -> Any:
    from safetensors.numpy import load_file

    return load_file(path)


def load_pretrained(path: str) -> Any:
    import minigrad.models as models

    return models.load_pretrained(None, path)


def load(path: str) -> Any:
    import minigrad as mg

    return mg.load(path)


PEERS: dict[str, Callable[[str], Any]] = {LIBRARY: library, OURS: load_pretrained, WHOLE: load}


def turn(peer: str, path: Path) -> dict[str, float]:
    """Let a process of its own load a file; return what it took."""
    words = python("benchmarks.loading", "--turn", peer, str(path))
    done = subprocess.run(
        words, env={**os.environ, **environment(1)}, cwd=HERE.parent,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise MinigradError(f"{peer} does not load {path}: {done.stderr[-1000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def take(peer: str, path: str) -> None:
    """Take a turn, in this process."""
    import safetensors.numpy  # noqa: F401  (what is imported is not what is measured)

    import minigrad.models

    assert minigrad.models
    before = memory_now()
    seconds, kept = timed(lambda: PEERS[peer](path), clock_of(threads=1))
    print(json.dumps({"seconds": seconds, "grown_mb": memory_peak() - before}))
    del kept


def measure(rounds: int, model: str) -> dict[str, Any]:
    """Return a row per file and peer."""
    taken: dict[tuple[str, str], list[dict[str, float]]] = {each: [] for each in sorted(TURNS)}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        write(Path(folder), model)
        sizes = {file: Path(folder, file).stat().st_size / 1e6 for file in FILES}
        for number, order in zip(range(-1, rounds), orders(taken), strict=False):
            say(f"round {number + 1} of {rounds}")
            for peer, file in order:
                answer = turn(peer, Path(folder, file))
                if number >= 0:
                    taken[peer, file].append(answer)
    rows = []
    for (peer, file), turns in taken.items():
        seconds = [each["seconds"] for each in turns]
        beside = [each["seconds"] for each in taken[LIBRARY, file]]
        rows.append({
            "file": file, "peer": peer, "file_mb": sizes[file],
            "ms": middle([1e3 * s for s in seconds]),
            "least": min(seconds) / min(beside),
            "ratio": middle([a / b for a, b in zip(seconds, beside, strict=True)]),
            "grown": max(each["grown_mb"] for each in turns) * 1.048576 / sizes[file],
        })  # fmt: skip
    return {"rows": sorted(rows, key=lambda row: FILES.index(row["file"]))}


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("loading", __doc__, rounds=7)
    made.add_argument("--model", default=MODEL, help=f"whose weights (default: {MODEL})")
    made.add_argument(
        "--turn", nargs=2, metavar=("PEER", "FILE"), help="take one turn, and no more"
    )
    args = made.parse_args(arguments)
    if args.turn:
        take(*args.turn)
        return
    if find_spec("safetensors") is None:
        raise MissingExtra("this compares with the safetensors library: pip install safetensors")
    taken = section("loading", f"loading --rounds {args.rounds}", model=args.model)
    report(f"loading {args.model}", taken | measure(args.rounds, args.model), args.json)


if __name__ == "__main__":
    sys.exit(main())
