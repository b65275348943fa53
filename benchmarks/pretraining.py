"""Does pre-training without labels help when labels are few? Fine-tuning beside from scratch.

    python -m benchmarks.pretraining

A masked autoencoder is pre-trained on all training images without their labels. Then, for every
seed, the same ConvNeXt V2 is trained twice on a tenth of the labels, by the same recipe, with the
same images in the same order: once from random weights, once from the pre-trained encoder. The
seed chooses the tenth, the order, the augmentation and the first weights. The table shows the
accuracy on the held-out images after the last epoch. Every stage keeps its checkpoint in FOLDER,
so a command that is stopped goes on where it was; results are added to FOLDER/results.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

from benchmarks.options import parser
from benchmarks.results import Section, read, record, section
from benchmarks.tables import pretraining as table
from benchmarks.tables import say, show
from minigrad import io
from minigrad.models import from_fcmae
from minigrad.runs import Experiment, PretrainConfig, TrainConfig, prepare
from minigrad.train import Checkpoint, Progress, load_checkpoint

SIZES: dict[str, Any] = {"depths": (2, 2), "dims": (32, 64), "patch_size": 2}


def fit(experiment: Experiment, path: Path) -> float:
    """Train to the end, from the checkpoint if there is one; return the last held-out result."""
    trainer = experiment.trainer
    if path.is_file():
        trainer.load_state_dict(load_checkpoint(path))
    trainer.callbacks += [Progress(), Checkpoint(path)]
    row = experiment.fit()[-1]
    return row.get("val_accuracy", row["val_loss"])


def pretrain(folder: Path, args: argparse.Namespace) -> Path:
    """Pre-train unless it is done already; return the file of the encoder."""
    encoder = folder / f"encoder-{args.pretrain_seed}.safetensors"
    if not encoder.is_file():
        say("masked autoencoder, no labels")
        choices = {"data": args.data, "seed": args.pretrain_seed, "epochs": args.pretrain_epochs}
        experiment = prepare(PretrainConfig.from_values(SIZES, choices))
        fit(experiment, folder / f"masked-{args.pretrain_seed}.safetensors")
        io.save(from_fcmae(experiment.trainer.model.state_dict()), encoder)
    return encoder


def fine_tune(folder: Path, args: argparse.Namespace, encoder: Path, seed: int) -> dict[str, float]:
    """Return the accuracies for one seed."""
    found = {}
    choices = {"data": args.data, "seed": seed, "labels": args.labels, "epochs": args.epochs}
    for name, start in (("scratch", ""), ("pretrained", str(encoder))):
        say(f"seed {seed}: {100 * args.labels:g} % of the labels, {name}")
        experiment = prepare(TrainConfig.from_values(SIZES, choices, {"init_from": start}))
        found[name] = fit(experiment, folder / f"{name}-{seed}.safetensors")
    return found


def recorded(file: Path) -> dict[str, Section]:
    """Return the sections of the seeds that are there."""
    sections: dict[str, Section] = read(file)["sections"] if file.is_file() else {}
    return sections


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute what is missing, and print the table."""
    made = parser("pretraining", __doc__, json=False)
    made.add_argument("--data", default="fashion-mnist", help="as for 'minigrad train'")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    made.add_argument("--pretrain-seed", type=int, default=0, help="default: 0")
    made.add_argument("--labels", type=float, default=0.1, help="share of them (default: 0.1)")
    made.add_argument("--pretrain-epochs", type=int, default=8, help="default: 8")
    made.add_argument("--epochs", type=int, default=20, help="of fine-tuning (default: 20)")
    made.add_argument("--folder", default="runs/pretraining", help="default: runs/pretraining")
    args = made.parse_args(arguments)
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results.json"
    encoder = pretrain(folder, args)
    for seed in args.seeds:
        if f"seed {seed}" not in recorded(file):
            taken = section("pretraining", f"pretraining --data {args.data} --seeds {seed}")
            row = {"seed": seed} | fine_tune(folder, args, encoder, seed)
            record(file, f"seed {seed}", taken | {"rows": [row]})
    rows = [row for each in recorded(file).values() for row in each["rows"]]
    show(*table({"rows": sorted(rows, key=lambda row: row["seed"])}))
    if len(rows) > 1:
        gains = [100 * (row["pretrained"] - row["scratch"]) for row in rows]
        print(f"standard deviation of the gain: {stdev(gains):.2f}")


if __name__ == "__main__":
    main()
