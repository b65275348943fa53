"""The command ``minigrad`` and its sub-commands, one module each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from minigrad import __version__
from minigrad.cli import (
    data,
    doctor,
    explain,
    graph,
    models,
    predict,
    pretrain,
    segment,
    summary,
    train,
    val,
)
from minigrad.cli.parser import Parser
from minigrad.errors import MinigradError

__all__ = ["main"]

COMMANDS = (train, pretrain, segment, val, predict, explain, summary, models, data, graph, doctor)
ABOUT = "Train and use ConvNeXt models, and look inside them."
EXAMPLES = """examples:
  minigrad train                                  a small ConvNeXt V2 on handwritten digits
  minigrad train --data fashion-mnist --epochs 3  10 kinds of clothing
  minigrad predict picture.png                    ask the last trained model
  minigrad summary convnext_tiny                  layers, parameters, multiply-adds
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``minigrad``; by default those of the process.

    Returns
    -------
    int
        Exit status: 0; 2 after an error, which is told in one line; 130 after Ctrl-C.

    Examples
    --------
    >>> main(["models", "--family", "convnext"])
    convnext_base
    ...
    0
    """
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        args = parser.parse_args(words)
        if args.command is None:
            parser.print_help()
            return 0
        return int(args.run(args) or 0)
    except MinigradError as error:
        if debug:
            raise
        print(f"minigrad: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minigrad: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="minigrad", description=ABOUT, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser
