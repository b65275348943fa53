"""Carrying it out: one process per format, in which time and memory are counted per file."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minigrad.errors import MinigradError
from tests.fuzz.formats import FORMATS
from tests.fuzz.row import Format

try:
    import resource
except ImportError:  # Windows: what is read is judged there, its cost is not
    resource = None  # type: ignore[assignment]

__all__ = ["Outcome", "run", "run_here"]

SECONDS = 1.0  # of CPU time, per file
MEGABYTES = 200  # over the size of the file
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What came of many files of one format."""

    name: str
    mutations: int
    right: int = 0
    refused: int = 0
    other: int = 0
    over: int = 0
    slowest: float = 0.0
    largest: float = 0.0  # MB by which the process grew, above the file
    examples: list[str] = field(default_factory=list)


class TooLong(BaseException):
    """Raised in a reader that takes more than its time."""


def run(name: str, count: int, start: int = 0) -> Outcome:
    """Read `count` wrong files of a format, in a process of its own."""
    words = [sys.executable, "-m", "tests.fuzz", "--here", name, str(count), str(start)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        end = done.stderr[-2000:]
        return Outcome(name, count, other=1, examples=[f"exit {done.returncode}: {end}"])
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def run_here(name: str, count: int, start: int = 0) -> None:
    """Do so in this process, and print the outcome."""
    form = next(form for form in FORMATS if form.name == name)
    print(json.dumps(asdict(_run(form, count, start))))


def _run(form: Format, count: int, start: int) -> Outcome:
    warnings.simplefilter("ignore")
    outcome, files = Outcome(form.name, count), form.seeds()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{form.suffix}")
        for content in files:
            path.write_bytes(content)
            assert form.right(path, form.read(path)), "a valid file is read wrongly"
        for number in range(start, start + count):
            content = form.mutant(files, number)
            path.write_bytes(content)
            _judge(form, path, f"{form.name}, file {number}", outcome)
    return outcome


def _judge(form: Format, path: Path, what: str, outcome: Outcome) -> None:
    before, begun = _memory(), time.process_time()
    value, error = None, None
    try:
        with _alarm():
            value = form.read(path)
    except TooLong:
        pass
    except BaseException as caught:
        error = caught
    seconds = time.process_time() - begun
    megabytes = _memory() - before - path.stat().st_size / 1e6
    outcome.slowest = max(outcome.slowest, seconds)
    outcome.largest = max(outcome.largest, megabytes)
    if seconds > SECONDS or megabytes > MEGABYTES:
        outcome.over += 1
        outcome.examples.append(f"{what}: {seconds:.2f} s, {megabytes:.0f} MB")
    elif isinstance(error, MinigradError):
        # The message names the file, or the option in it that is wrong; and it is no book.
        outcome.refused += 1
        if len(str(error)) > 2000 + len(str(path)):
            outcome.other += 1
            outcome.examples.append(f"{what}: a message of {len(str(error))} letters")
    elif error is not None:
        outcome.other += 1
        outcome.examples.append(f"{what}: {''.join(traceback.format_exception(error)[-4:])}")
    elif _right(form, path, value):
        outcome.right += 1
    else:
        outcome.other += 1
        outcome.examples.append(f"{what}: read wrongly: {value!r:.500}")


def _right(form: Format, path: Path, value: Any) -> bool:
    try:
        return form.right(path, value)
    except Exception:  # another way of reading refuses the file
        traceback.print_exc()
        return False


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Raise `TooLong` after three times the CPU time that is allowed: nothing waits for ever."""
    if not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 3 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _memory() -> float:
    """Return the largest memory that this process ever had, in MB."""
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
