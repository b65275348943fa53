"""The U-Net of ``minigrad segment`` beside the same net in PyTorch, trained with the same recipe.

Both begin with the same weights, see the same batches in the same order at the same learning
rates, and are scored on the same held-out part::

    python -m benchmarks.segmentation --data brain
    python -m benchmarks.segmentation --data fashion-scenes --ema 0 --samples 2000 --epochs 1
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.options import parser
from benchmarks.results import section
from benchmarks.tables import report, say
from benchmarks.turns import timed
from minigrad.cli.options import add_config_options, given_options
from minigrad.runs import Experiment, SegmentConfig, prepare
from minigrad.train import ConfusionMatrix
from tests.models.torch_unet import TorchUNet


def dice_ce(x: Any, target: Any) -> Any:
    """`minigrad.nn.functional.dice_ce_loss` with its defaults."""
    p = x.softmax(1).flatten(2)
    t = F.one_hot(target, x.shape[1]).movedim(-1, 1).flatten(2).to(x.dtype)
    dice = 1 - (2 * (p * t).sum(2) + 1) / (p.sum(2) + t.sum(2) + 1)
    return dice.mean() + F.cross_entropy(x, target)


def groups(experiment: Experiment, model: Any) -> list[dict[str, Any]]:
    """PyTorch's parameters in the groups of our optimizer, with their weight decay."""
    names = {id(p): name for name, p in experiment.trainer.model.named_parameters()}
    theirs = dict(model.named_parameters())
    return [
        {
            "params": [theirs[names[id(p)]] for p in group["params"]],
            "weight_decay": group["weight_decay"],
        }
        for group in experiment.trainer.optimizer.param_groups
    ]


def padded(model: Any, x: Any, multiple: int) -> Any:
    """Fill up the ends with zeros, and cut the result, as pad=True does."""
    sides = x.shape[2:]
    fill = [n for side in reversed(sides) for n in (0, -side % multiple)]
    y = model(F.pad(x, fill))
    return y[(slice(None), slice(None), *(slice(n) for n in sides))]


def train_torch(experiment: Experiment) -> tuple[float, ConfusionMatrix]:
    """Train the PyTorch twin of an experiment that has not begun; return seconds and scores."""
    ours = experiment.trainer.model
    model = TorchUNet(ours)
    model.load_state_dict(
        {k: torch.from_numpy(np.array(v.numpy())) for k, v in ours.state_dict().items()}
    )
    optimizer = torch.optim.AdamW(groups(experiment, model), lr=experiment.config.lr)
    schedule = experiment.trainer.schedule

    def step(x: Any, target: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = experiment.trainer.optimizer.param_groups[0]["lr"]
        optimizer.zero_grad()
        dice_ce(model(torch.from_numpy(x.numpy())), torch.from_numpy(target.numpy())).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()

    seconds = 0.0
    for epoch in range(experiment.config.epochs):
        for batch in experiment.train.batches(epoch):
            seconds += timed(partial(step, *batch))[0]
        say(f"PyTorch: epoch {epoch + 1}, {seconds:.1f} s")
    matrix = ConfusionMatrix(len(experiment.split.spec.classes))
    model.eval()
    with torch.no_grad():
        for x, target in experiment.test.batches(0):
            scores = padded(model, torch.from_numpy(x.numpy()), ours.reductions[-1])
            matrix.update(scores.numpy(), target)
    return seconds, matrix


def train_ours(experiment: Experiment) -> tuple[float, ConfusionMatrix]:
    """Train an experiment; return the seconds without the tests between epochs, and scores."""
    seconds = sum(row["seconds"] for row in experiment.fit())
    return seconds, experiment.trainer.confusion(experiment.test)  # type: ignore[attr-defined]


RUNS = {"minigrad": train_ours, "pytorch": train_torch}


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("segmentation", __doc__)
    made.add_argument("--only", choices=RUNS, help="train one of the two")
    add_config_options(made, SegmentConfig)
    args = made.parse_args(arguments)
    config = SegmentConfig.from_values(given_options(args, SegmentConfig))
    if config.loss != "dice_ce" or config.ema:
        made.error("the comparison is written for --loss dice_ce --ema 0")
    name = f"segmentation {config.data}"
    taken = section("segmentation", f"segmentation --data {config.data}", rows=[])
    for peer in [args.only] if args.only else RUNS:
        experiment = prepare(config)
        seconds, matrix = RUNS[peer](experiment)
        scores = {
            kind: dict(zip(experiment.split.spec.classes, values.tolist(), strict=True))
            for kind, values in (("iou", matrix.iou()), ("dice", matrix.dice()))
        }
        means = {"mean_iou": matrix.mean_iou(), "mean_dice": matrix.mean_dice()}
        taken["rows"].append({"peer": peer, "seconds": seconds} | scores | means)
    report(name, taken, args.json)


if __name__ == "__main__":
    main()
