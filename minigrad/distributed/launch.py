"""The group of this process, and ranks that are started from here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

from minigrad.data.dataset import whole_number
from minigrad.distributed.group import Group
from minigrad.errors import OptionError, missing_extra
from minigrad.loading import several

__all__ = ["await_turn", "init", "launch", "one_voice"]

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # launchers say how many
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # that end a run between two steps; of this system
TURN, PATIENCE = 2.0, 10.0  # seconds after which the next rank speaks, or ends, if it still can
BANNER = "=" * 20  # begins what mpich's says of a rank that a signal ended


@cache
def init() -> Group:
    """Return the group of this process: all ranks that ``mpiexec`` has started, or it alone.

    A rank that fails with an exception ends the others too, which would wait for it forever.

    Raises
    ------
    MissingExtra
        If there are several ranks and mpi4py is not installed.

    Examples
    --------
    >>> init().size
    1
    """
    if all(int(os.environ.get(name, 1)) == 1 for name in SIZES):
        return Group()
    from minigrad.distributed.mpi import world

    group = world()
    if group.rank:  # mpiexec has an input for rank 0 alone: others would wait for it forever
        sys.stdin = open(os.devnull)

    def end_all(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        interrupted = issubclass(kind, KeyboardInterrupt)
        await_turn(group, interrupted)
        sys.__excepthook__(kind, error, trace)
        group.abort(130 if interrupted else 1)

    sys.excepthook = end_all
    return group


def await_turn(group: Group, interrupted: bool) -> None:
    """Let the ranks before this one speak first: the first to do so ends them all.

    What all ranks find wrong is then said once; after Ctrl-C, which all of them see, by rank 0.
    """
    if group.rank:
        time.sleep(PATIENCE if interrupted else min(TURN * group.rank, PATIENCE))


@contextmanager
def one_voice(group: Group) -> Iterator[None]:
    """Let rank 0 alone print inside the block."""
    if group.rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def launch(ranks: int, words: Sequence[str]) -> int:
    """Run ``python words …`` on several ranks of this machine; return the exit status.

    The cores are divided among them. Where a signal ends a rank, one line says so.

    Raises
    ------
    OptionError
        If there are no ranks or no words.
    MissingExtra
        If there is no ``mpiexec``.
    """
    ranks = whole_number("launch: ranks", ranks, 1)
    words = several("launch", "words", words, str)
    if not words:  # ranks that read commands would wait for one forever
        raise OptionError("launch: say what python is to run, such as ['-m', 'minigrad', 'train']")
    beside = str(Path(sys.executable).parent)  # where pip puts mpich's
    mpiexec = shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")
    if mpiexec is None:
        raise missing_extra("mpiexec", "ranks")
    share = str(max(1, (os.cpu_count() or 1) // ranks))
    threads = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), share)
    process = subprocess.Popen(
        [mpiexec, "-n", str(ranks), sys.executable, *words],
        env={**threads, **os.environ}, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes from here: a second one would end all at once
    )  # fmt: skip

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGINT)  # the one that mpiexec hands to the ranks

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        assert process.stdout is not None
        killed = unread = False
        for line in process.stdout:
            killed = killed or line.startswith(BANNER)
            if killed or unread or (line.startswith("[mpiexec@") and "Ctrl-C" in line):
                continue
            try:
                print(line, end="", flush=True)
            except BrokenPipeError:  # the reader of a pipe, such as head, has left
                unread = True
                process.send_signal(signal.SIGINT)
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if killed:
        name = signal.Signals(status).name if status in set(signal.Signals) else status
        print(f"minigrad: a rank was ended by {name}, and the other ranks with it", file=sys.stderr)
        return 128 + status
    return status
