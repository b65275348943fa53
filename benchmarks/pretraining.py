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
import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

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
        print("masked autoencoder, no labels", flush=True)
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
        print(f"seed {seed}: {100 * args.labels:g} % of the labels, {name}", flush=True)
        experiment = prepare(TrainConfig.from_values(SIZES, choices, {"init_from": start}))
        found[name] = fit(experiment, folder / f"{name}-{seed}.safetensors")
    return found


def table(results: dict[str, dict[str, float]]) -> str:
    """Return accuracies in per cent: one line per seed, then the mean.

    Examples
    --------
    >>> print(table({"0": {"scratch": 0.8, "pretrained": 0.85}}))
    seed      scratch  pretrained      gain
       0        80.00       85.00     +5.00
    mean        80.00       85.00     +5.00
    """
    pairs = [(seed, 100 * r["scratch"], 100 * r["pretrained"]) for seed, r in results.items()]
    pairs.append(("mean", fmean(a for _, a, _ in pairs), fmean(b for _, _, b in pairs)))
    lines = [f"{'seed':>4} {'scratch':>12} {'pretrained':>11} {'gain':>9}"]
    lines += [f"{seed:>4} {a:12.2f} {b:11.2f} {b - a:+9.2f}" for seed, a, b in pairs]
    if len(pairs) > 2:
        gains = [b - a for _, a, b in pairs[:-1]]
        lines.append(f"standard deviation of the gain: {stdev(gains):.2f}")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Compute what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="fashion-mnist", help="as for 'minigrad train'")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--pretrain-seed", type=int, default=0, help="default: 0")
    parser.add_argument("--labels", type=float, default=0.1, help="share of them (default: 0.1)")
    parser.add_argument("--pretrain-epochs", type=int, default=8, help="default: 8")
    parser.add_argument("--epochs", type=int, default=20, help="of fine-tuning (default: 20)")
    parser.add_argument("--folder", default="runs/pretraining", help="default: runs/pretraining")
    args = parser.parse_args(words)
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    encoder = pretrain(folder, args)
    file = folder / "results.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    for seed in args.seeds:
        if str(seed) not in results:
            found = fine_tune(folder, args, encoder, seed)
            results = json.loads(file.read_text()) if file.is_file() else {}  # others may compute
            results[str(seed)] = found
            io.write_text(file, json.dumps(results, indent=1) + "\n")
    print(table(dict(sorted(results.items()))))


if __name__ == "__main__":
    main()
