"""``minigrad soup``: the mean of the weights of several runs."""

from __future__ import annotations

import argparse

from minigrad.cli.options import check_file
from minigrad.runs import soup

HELP = "Average the weights of several runs into one model."
EXAMPLES = """examples:
  minigrad soup runs/a runs/b runs/c --output soup.safetensors
  minigrad soup runs/a runs/b runs/c --output soup.safetensors --greedy
  minigrad val --checkpoint soup.safetensors
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="runs of one model, fine-tuned from one start")
    add("--output", required=True, metavar="FILE", help="the new file (.safetensors)")
    add("--greedy", action="store_true", help="leave out what makes it worse held out")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>")


def run(args: argparse.Namespace) -> int:
    """Average, and say of what."""
    check_file(args.output)
    taken = soup(args.runs, args.output, greedy=args.greedy, device=args.device)
    print(f"{args.output}: the mean of {', '.join(taken)}")
    return 0
