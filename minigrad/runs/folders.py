"""Run folders: how a new one is claimed, how a running one is held, and which is the latest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from minigrad.errors import DataError, OptionError, unknown

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: runs are not held there
    fcntl = None

__all__ = [
    "BEST",
    "best_of",
    "check_output",
    "claimed",
    "free_name",
    "held",
    "latest",
    "run_name",
]

BEST = "best.safetensors"  # the state after the best epoch, of a run that keeps it
LONGEST = 200  # bytes of a name: systems take 255, and a number may follow


def run_name(asked: str | None, default: str) -> str:
    """Return the name of a run that is asked for, or refuse it."""
    name = default if asked is None else asked
    if not isinstance(name, str) or Path(name).name != name or name in ("", "..") or "\0" in name:
        raise OptionError(f"--name must be the name of a folder, got {name!r}")
    if len(os.fsencode(name)) > LONGEST:
        raise OptionError(
            f"--name must have {LONGEST} bytes or fewer, got {len(os.fsencode(name))}: {name[:20]}…"
        )
    return name


def free_name(output: Path, name: str) -> str:
    """Return `name`, or ``name-2``, ``name-3`` … if a run has it already."""
    number, candidate = 1, name
    while (output / candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def check_output(output: Path) -> None:
    """Refuse a folder in which nothing can be written, before anything is computed."""
    place = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not place.is_dir():
        raise DataError(f"{output}: no run can be kept here, as {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{output}: no run can be kept here, as {place} must not be written to")


@contextmanager
def claimed(output: Path, name: str) -> Iterator[Path]:
    """Make the folder of a new run and hold it; two processes never get the same one."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        while True:
            folder = output / free_name(output, name)
            try:
                folder.mkdir()  # either this process makes it, or another one has
                break
            except FileExistsError:
                continue
    except OSError as error:
        raise DataError(f"{output}: no folder can be made here ({error.strerror})") from None
    with held(folder):
        yield folder


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Hold the folder of a run, so that no other process resumes it meanwhile.

    The lock is the system's and lies on the folder itself: it leaves no file behind, and ends with
    the process, however that ends.

    Raises
    ------
    OptionError
        If there is no such run, or another process holds it.
    """
    if not folder.is_dir():
        others = [path.parent.name for path in folder.parent.glob("*/config.toml")]
        raise unknown("run", folder.name, others)
    if fcntl is None:
        yield folder
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{folder}: cannot be opened ({error.strerror})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(
                f"{folder}: this run is still going, in another process; stop that one first, or "
                "train another run under a new --name"
            ) from None
        except OSError:  # a file system that knows no locks
            pass
        yield folder
    finally:
        os.close(handle)


def latest(files: Iterable[str]) -> Path:
    """Return the newest of such checkpoints below ``runs/``."""
    found = [path for file in files for path in Path("runs").glob(f"*/{file}")]
    if not found:
        raise OptionError(
            "there is no trained model below runs/; train one with 'minigrad train', "
            "or name one with --checkpoint"
        )
    return best_of(max(found, key=lambda path: path.stat().st_mtime_ns))


def best_of(checkpoint: Path) -> Path:
    """Return the state after the best epoch of the run of a checkpoint, if the run has kept it."""
    best = checkpoint.with_name(BEST)
    return best if best.is_file() else checkpoint
