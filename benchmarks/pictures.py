"""60 pictures of three shapes: what `minigrad train FOLDER` makes of them, beside timm's defaults.

    python -m benchmarks pictures --timm /path/to/python

Circles, squares and triangles of 128 × 128 pixels are drawn at random sizes, places, colours and
turns: 60 to train on, 300 others to judge by. minigrad gets the folder and no option. timm gets its
own defaults (train.py: SGD, cosine, label smoothing, random crops of 224 × 224, colour jitter, from
nothing), all 60 pictures as a batch, since its loader would drop a batch that is not whole, and as
much processor time as is given to it, over which the learning rate falls: 300 epochs, its default,
would take hours. Its Python may be another one, that of an environment with timm in it.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import parser
from benchmarks.tables import say, show
from benchmarks.turns import clock_of
from minigrad.errors import MinigradError

KINDS = ("circle", "square", "triangle")
SIDE, FINE = 128, 4  # of a picture; times larger that it is drawn


def draw(folder: Path, count: int, seed: int) -> Path:
    """Draw so many pictures, a sub-folder for each kind."""
    from PIL import Image, ImageDraw

    rng, side = np.random.default_rng(seed), SIDE * FINE
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        ground, colour = rng.integers(0, 256, (2, 3))
        while abs(ground - colour).sum() < 120:
            colour = rng.integers(0, 256, 3)
        radius, turn = rng.uniform(0.12, 0.38) * side, rng.uniform(0, 2 * math.pi)
        middle = rng.uniform(radius, side - radius, 2)
        picture = Image.new("RGB", (side, side), tuple(ground.tolist()))
        pen, fill = ImageDraw.Draw(picture), tuple(colour.tolist())
        if kind == "circle":
            pen.ellipse([*(middle - radius), *(middle + radius)], fill=fill)
        else:
            pen.regular_polygon(
                (*middle, radius), {"square": 4, "triangle": 3}[kind], math.degrees(turn), fill
            )
        place = folder / kind
        place.mkdir(parents=True, exist_ok=True)
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        small.save(place / f"{i:04d}.png")
    return folder


def ours(root: Path, seed: int) -> float:
    """Train by the folder alone; return the share of the others that is right."""
    from minigrad.data import DataLoader, load_split
    from minigrad.runs import find_trained, load_trained, run, tasks
    from minigrad.tensor import Tensor
    from minigrad.train import Trainer, accuracy

    folder = run(tasks["train"], {"data": str(root / "few"), "seed": seed}, output=root / "runs")
    trained = load_trained(find_trained(str(folder)), "cpu")
    options = trained.task.data_options(trained.config)
    split = load_split(str(root / "others"), **options)
    known = trained.task.test_options(trained.config, trained.images)
    right = total = 0.0
    for part in (split.train, split.test):
        loader = DataLoader(part, **known)
        outputs = Trainer(trained.model).predict(loader)
        labels = np.array([label for _, label in part])
        right += accuracy(Tensor(outputs), Tensor(labels)) * len(part)
        total += len(part)
    return right / total


def theirs(root: Path, name: str, seconds: float, seed: int) -> float:
    """Train a model of timm's by the defaults of its train.py; return the same."""
    import torch

    # Without the wheel that fits, torchvision's compiled operators are missing: none is used here.
    declare = torch.library.register_fake
    torch.library.register_fake = lambda name, *args, **options: (
        (lambda function: function)
        if str(name).startswith("torchvision::")
        else declare(name, *args, **options)
    )
    import timm
    from timm.data import ImageDataset, create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    torch.manual_seed(seed)
    train = ImageDataset(
        str(root / "few"), transform=create_transform(224, is_training=True, color_jitter=0.4)
    )
    judge = ImageDataset(str(root / "others"), transform=create_transform(224))
    model = timm.create_model(name, num_classes=len(KINDS))
    rate = 0.1 * len(train) / 256
    optimizer = create_optimizer_v2(model, "sgd", lr=rate, weight_decay=2e-5, momentum=0.9)
    loss = LabelSmoothingCrossEntropy(0.1)
    loader = torch.utils.data.DataLoader(train, len(train), shuffle=True)
    processor = clock_of(threads=1)
    start = processor()
    while (share := (processor() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
        for images, labels in loader:
            optimizer.zero_grad()
            loss(model(images), labels).backward()
            optimizer.step()
    model.eval()
    right = 0
    with torch.no_grad():
        for images, labels in torch.utils.data.DataLoader(judge, 100):
            right += int((model(images).argmax(1) == labels).sum())
    return right / len(judge)


def asked(python: str, settings: dict[str, Any]) -> tuple[float, float]:
    """Train in a process of its own; return what came out, and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [python, "-m", "benchmarks.pictures", json.dumps(settings)], stdout=subprocess.PIPE
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise MinigradError(f"{python} ended with status {done.returncode}")
    used = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return float(done.stdout.split()[-1]), used


def worker(settings: dict[str, Any]) -> None:
    """Be one training; the last word that is printed is the share that is right."""
    root, seed = Path(settings["root"]), settings["seed"]
    if settings["model"] is None:
        print(ours(root, seed))
    else:
        print(theirs(root, settings["model"], settings["seconds"], seed))


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("pictures", __doc__, json=False)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    made.add_argument("--timm", metavar="PYTHON", help="Python with timm; without, only minigrad")
    made.add_argument("--models", nargs="+", default=["resnet50", "convnext_atto"])
    made.add_argument("--seconds", type=float, default=120.0, help="of processor time, for timm")
    args = made.parse_args(arguments)
    rows = []
    for seed in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder, "few"), 60, seed)
            draw(Path(folder, "others"), 300, 1000 + seed)
            for model in (None, *(args.models if args.timm else ())):
                say(f"seed {seed}: {model or 'minigrad'}")
                settings = {"root": folder, "model": model, "seconds": args.seconds, "seed": seed}
                right, used = asked(args.timm if model else sys.executable, settings)
                name = f"timm {model}" if model else "minigrad train"
                rows.append([name, str(seed), f"{used:.0f}", f"{100 * right:.1f} %"])
    show(["", "seed", "processor s", "right, of 300"], sorted(rows))


if __name__ == "__main__":
    worker(json.loads(sys.argv[1])) if sys.argv[1][:1] == "{" else main()
