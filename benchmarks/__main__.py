"""``python -m benchmarks NAME``: the benchmarks by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from minigrad.errors import MinigradError, unknown

COMMANDS = {
    "against": "this checkout beside another one: what a change did to the speed",
    "all": "everything that the page of benchmarks shows, recorded",
    "cpu": "kernels, inference and training on the CPU beside PyTorch, onnxruntime, OpenVINO, JAX",
    "fashion": "the default training on Fashion-MNIST beside the same in PyTorch: step and epoch",
    "gpu": "kernels against their floors and networks beside PyTorch, on a CUDA GPU",
    "loading": "how fast, and in how much memory, a large file becomes a model",
    "overhead": "what one recorded operation costs beside PyTorch, HIPS autograd, MyGrad",
    "ranks": "what several ranks bring over links of a given speed",
    "pictures": "60 pictures of three shapes, by defaults alone, beside those of timm",
    "pretraining": "what masked pretraining brings where labels are few",
    "scaling": "time and memory per image as batch, side and depth grow",
    "segmentation": "the U-Net of `minigrad segment` beside the same net in PyTorch",
    "claims": "what the recorded figures say about each claim of speed",
}


def usage() -> str:
    """Return the list of benchmarks."""
    lines = [f"  {name:13} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        ["usage: python -m benchmarks NAME [options]", "", *lines, "", "NAME --help: its options"]
    )


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark named first, with the other arguments; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise unknown("benchmark", name, COMMANDS)
        importlib.import_module(f"benchmarks.{name}").main(rest)
    except MinigradError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
