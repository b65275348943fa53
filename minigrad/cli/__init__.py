"""The command ``minigrad``: a sub-command for every task, and a module for each other one."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

from minigrad import __version__
from minigrad.cli import (
    compare,
    convert,
    data,
    docs,
    doctor,
    explain,
    export,
    graph,
    models,
    predict,
    recipes,
    report,
    soup,
    summary,
    val,
)
from minigrad.cli.parser import Parser
from minigrad.cli.task import TaskCommand
from minigrad.distributed.launch import await_turn, init
from minigrad.errors import MinigradError
from minigrad.runs import tasks

__all__ = ["main"]

MODULES = (
    val, report, compare, predict, soup, explain, summary, models, recipes, export, convert, data,
    graph, docs, doctor,
)  # fmt: skip
ABOUT = "Train and use ConvNeXt models, and look inside them."
EXAMPLES = """examples:
  minigrad train                                  a small ConvNeXt V2 on handwritten digits
  minigrad train --data fashion-mnist --epochs 3  10 kinds of clothing
  minigrad predict picture.png                    ask the last trained model
  minigrad summary convnext_tiny                  layers, parameters, multiply-adds
"""
FAILED, WRONG, INTERRUPTED = 1, 2, 130  # exit statuses


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``minigrad``; by default those of the process.

    Returns
    -------
    int
        Exit status: 0; 1 if something failed on the way, such as a training that diverged or a
        memory that is full; 2 if something asked for is wrong; 130 after Ctrl-C. What it was
        is said in one line.

    Examples
    --------
    >>> main(["models", "--family", "convnext"])
    convnext_base
    ...
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that has no × or · shows it otherwise
            stream.reconfigure(errors="backslashreplace")
    status = 0
    try:
        try:
            status = _status(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _status(words: Sequence[str]) -> int:
    """Run a command; tell what goes wrong in one line."""
    try:
        return _run(words)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except (MinigradError, OSError, MemoryError) as error:
        if "--debug" in words:
            raise
        wrong = isinstance(error, MinigradError) and type(error) is not MinigradError
        return _failed(_line(error), WRONG if wrong else FAILED)


def _failed(text: str, status: int) -> int:
    """Say in one line what went wrong; where several ranks run, once, and end them all."""
    group = init()
    if group.rank:
        await_turn(group, interrupted=status == INTERRUPTED)
        text = f"rank {group.rank} of {group.size}: {text}"
    print(f"minigrad: {text}", file=sys.stderr)
    if group.size > 1:
        group.abort(status)
    return status


def _run(words: Sequence[str]) -> int:
    parser = build_parser()
    args = parser.parse_args(words, Namespace(words=words))
    if args.command is None:
        parser.print_help()
        return 0
    return int(args.run(args) or 0)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"the memory does not suffice; {str(error) or 'make the model or the batch smaller'}"
    return str(error)


def commands() -> dict[str, Any]:
    """Return the commands by name: one for each task, and the modules of the others."""
    trained: dict[str, Any] = {name: TaskCommand(task) for name, task in tasks.items()}
    return trained | {module.__name__.rpartition(".")[2]: module for module in MODULES}


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="minigrad", description=ABOUT, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, command in commands().items():
        own = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_options(own)
        own.epilog = "\n".join(filter(None, [command.EXAMPLES, own.epilog]))
        own.set_defaults(run=command.run)
    return parser
