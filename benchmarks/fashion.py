"""Training on Fashion-MNIST beside the same in PyTorch: ``python -m benchmarks fashion``.

Same network, same first weights, same recipe: batch 128, AdamW with decay of the matrices alone,
warm-up and cosine, label smoothing, mirrored at random. ``step`` times single optimizer steps on
one batch; ``epoch`` (minutes) a pass over the 60,000 images with their augmentation and the test
on 10,000 after it, as ``minigrad train --data fashion-mnist`` does them. PyTorch is fed whole
tensors without a DataLoader, the fastest way it has.

    python -m benchmarks fashion step --rounds 60
    python -m benchmarks fashion epoch --rounds 3
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import compare_peers
from benchmarks.networks import load_torch, weights
from benchmarks.options import check, parser
from benchmarks.peers import Peer, pytorch
from benchmarks.results import Section, section
from benchmarks.tables import report
from benchmarks.turns import TRIES, Options, Run
from minigrad.errors import DataError

TASKS = {"step": 60, "epoch": 3}  # rounds
TEST_BATCH = 256  # as in minigrad.runs.parts


def _experiment() -> Any:
    from minigrad.runs import TrainConfig, prepare

    return prepare(TrainConfig.from_values({"data": "fashion-mnist"}))


def write_start(folder: Path) -> None:
    """Save the first weights and the first batch."""
    experiment = _experiment()
    model = experiment.trainer.model
    arrays = {name: p.detach().numpy() for name, p in model.named_parameters()}
    x, y = next(iter(experiment.train))
    np.savez(folder / "weights.npz", **arrays)
    np.savez(folder / "batch.npz", x=x.numpy(), y=y.numpy())


def batch(options: Options) -> tuple[Any, Any]:
    saved = np.load(Path(options["folder"]) / "batch.npz")
    return saved["x"], saved["y"]


# ---- minigrad ---------------------------------------------------------------------------------


def minigrad_step(options: Options) -> Run:
    import minigrad as mg
    from minigrad.train.threads import blas_threads

    experiment = _experiment()
    x, y = map(mg.tensor, batch(options))

    def run() -> Any:
        with blas_threads(experiment.config.threads):
            return experiment.trainer.train_on_batch(x, y)["loss"]

    return run


def minigrad_epoch(options: Options) -> Run:
    from minigrad.train.threads import blas_threads

    experiment = _experiment()
    trainer = experiment.trainer

    def run() -> Any:
        with blas_threads(experiment.config.threads):
            rows = trainer.fit(experiment.train, experiment.test, trainer.epoch + 1)
        return rows[-1]["val_accuracy"]

    return run


# ---- PyTorch ----------------------------------------------------------------------------------


class Twin:
    """The recipe of ``minigrad train --data fashion-mnist``, in PyTorch."""

    def __init__(self, options: Options, tuned: bool, compiled: bool) -> None:
        import torch

        from benchmarks.convnext_torch import ConvNeXt
        from minigrad.optim import decays, warmup_cosine
        from minigrad.runs import TrainConfig

        torch.set_num_threads(options["threads"])
        config = TrainConfig.from_values({"data": "fashion-mnist"})
        self.config = config
        model = ConvNeXt(
            config.depths, config.dims, grn=True, num_classes=10, in_channels=1,
            patch_size=config.patch_size,
        )  # fmt: skip
        load_torch(model, weights(options))
        self.format = torch.channels_last if tuned else torch.contiguous_format
        self.model = model.to(memory_format=self.format)
        self.forward = torch.compile(self.model) if compiled else self.model
        groups = [
            {
                "params": [p for n, p in model.named_parameters() if decays(n, p.ndim) == decayed],
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for decayed in (True, False)
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=tuned)
        steps = 60_000 // config.batch_size
        rate = partial(
            warmup_cosine, total=config.epochs * steps, lr=1.0,
            warmup=round(config.warmup_epochs * steps),
        )  # fmt: skip
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)

    def step(self, x: Any, y: Any) -> float:
        import torch

        self.optimizer.zero_grad()
        logits = self.forward(x.to(memory_format=self.format))
        smoothing = self.config.label_smoothing
        loss = torch.nn.functional.cross_entropy(logits, y, label_smoothing=smoothing)
        value = loss.item()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        (logits.argmax(1) == y).float().mean().item()  # the accuracy that minigrad counts too
        return value


def torch_step(options: Options, tuned: bool = False, compiled: bool = False) -> Run:
    import torch

    twin = Twin(options, tuned, compiled)
    x, y = map(torch.from_numpy, batch(options))
    return lambda: twin.step(x, y)


def torch_epoch(options: Options, tuned: bool = False, compiled: bool = False) -> Run:
    import torch

    from minigrad.data import load_split

    twin = Twin(options, tuned, compiled)
    split = load_split("fashion-mnist")
    mean, std = split.spec.mean[0], split.spec.std[0]

    def tensors(part: Any) -> tuple[Any, Any]:
        images = torch.from_numpy((np.asarray(part.images, np.float32) / 255 - mean) / std)
        return images, torch.from_numpy(np.asarray(part.labels, np.int64))

    train, test = tensors(split.train), tensors(split.test)
    torch.manual_seed(0)

    def run() -> Any:
        twin.model.train()
        size = twin.config.batch_size
        order = torch.randperm(len(train[0]))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            x, y = train[0][chosen], train[1][chosen]
            mirrored = torch.rand(size, 1, 1, 1) < 0.5
            twin.step(torch.where(mirrored, x.flip(-1), x), y)
        twin.model.eval()
        good = 0
        with torch.no_grad():
            for x, y in zip(test[0].split(TEST_BATCH), test[1].split(TEST_BATCH), strict=True):
                logits = twin.model(x.to(memory_format=twin.format))
                good += int((logits.argmax(1) == y).sum())
        return good / len(test[0])

    return run


# ---- taking turns -----------------------------------------------------------------------------


def peers(task: str) -> dict[str, Peer]:
    """Return the peers of a task that can run on this machine."""
    ours, theirs = (minigrad_step, torch_step) if task == "step" else (minigrad_epoch, torch_epoch)
    kinds = pytorch(theirs)
    if task == "epoch":  # an epoch takes its time
        kinds = {name: kinds[name] for name in ("torch", "torch, tuned")}
    package = "numba" if importlib.util.find_spec("numba") else "numpy"
    found = {"minigrad": Peer(ours, package), **kinds}
    return {name: peer for name, peer in found.items() if peer.installed}


def compare(task: str, threads: int, rounds: int, names: Sequence[str]) -> Section:
    """Return a row per peer, and what other programs took."""
    whole = task == "epoch"  # which is neither warmed up nor taken again
    return compare_peers(
        f"fashion {task}", {"threads": threads} | ({"warm": 0, "calls": 0} if whole else {}),
        rounds, names,
        lambda folder, _: write_start(folder), tries=1 if whole else TRIES,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("fashion", __doc__, threads=True)
    made.add_argument("tasks", nargs="*", default=["step"], help=", ".join(TASKS))
    made.add_argument("--rounds", type=int, help="default: 60 steps, 3 epochs")
    made.add_argument("--peers", nargs="*", default=[], help="the first one is compared with")
    args = made.parse_args(arguments)
    from minigrad.data.fashion import find_fashion_mnist

    check("task", args.tasks, TASKS)
    if find_fashion_mnist() is None:
        raise DataError(
            "Fashion-MNIST is not on this machine; install it with 'apt-get install "
            "dataset-fashion-mnist' or 'minigrad data --download fashion-mnist'"
        )
    for task in args.tasks:
        rounds = args.rounds or TASKS[task]
        taken = section(f"fashion {task}", f"fashion {task} --rounds {rounds}")
        taken |= compare(task, args.threads, rounds, args.peers)
        report(f"fashion {task}", taken, args.json)


if __name__ == "__main__":
    main()
