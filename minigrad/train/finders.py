"""Finders: a learning rate and a batch size, measured by a few steps that are then undone."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from minigrad import backend
from minigrad.data import DataLoader
from minigrad.data.dataset import whole_number
from minigrad.errors import MinigradError, OptionError
from minigrad.loading import check_kinds, check_numbers
from minigrad.tensor import Tensor
from minigrad.train.batches import check_loader, pair
from minigrad.train.trainer import Trainer

__all__ = ["BatchSizes", "LearningRates", "endless", "find_batch_size", "find_lr", "undone"]

SMOOTHING = 0.9  # part of the running mean of the loss that stays
DIVERGED = 4.0  # times the least loss: no larger rate is worth trying
ENOUGH = 0.95  # share of the best throughput that the suggested batch size reaches
SPARE = 0.8  # share of the free memory that may be used


@dataclass(frozen=True)
class LearningRates:
    """What `find_lr` measured: a smoothed loss for each rate, and the rate that it suggests.

    Examples
    --------
    >>> LearningRates((1e-3, 1e-2, 1e-1), (2.0, 1.0, 3.0)).suggestion
    0.001
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """The rate at which the loss falls fastest, per factor of the rate."""
        slopes = np.gradient(self.losses, np.log(self.rates))
        return self.rates[int(slopes.argmin())]


@dataclass(frozen=True)
class BatchSizes:
    """What `find_batch_size` measured: samples per second and bytes in use for each size.

    Examples
    --------
    >>> BatchSizes((1, 2, 4, 8), (10.0, 19.0, 29.0, 30.0), (0, 0, 0, 0)).suggestion
    4
    """

    sizes: tuple[int, ...]
    throughput: tuple[float, ...]
    memory: tuple[int, ...]

    @property
    def suggestion(self) -> int:
        """The smallest size that is nearly as fast as the fastest one."""
        enough = ENOUGH * max(self.throughput)
        pairs = zip(self.sizes, self.throughput, strict=True)
        return next(size for size, speed in pairs if speed >= enough)


def find_lr(
    trainer: Trainer,
    loader: DataLoader,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LearningRates:
    """Try learning rates, from the lowest to the highest, each for one step.

    The loss falls while the rate is useful, and rises where it is too large (Smith, "Cyclical
    Learning Rates for Training Neural Networks", 2017). Afterwards the trainer is what it was.

    Parameters
    ----------
    trainer : Trainer
        A group's ``lr_scale`` scales its rate, as layer-wise decay asks.
    loader : DataLoader
        Batches to train on.
    lowest, highest : float, default 1e-6, 1
        The rates in between are a geometric series.
    steps : int, default 100
        How many; it ends before where the loss has become four times its least.

    Raises
    ------
    OptionError
        If the rates are not 0 < lowest < highest.
    MinigradError
        If the loss diverged before there were three rates to compare.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> loader = mg.data.DataLoader(mg.data.digits(), 64, shuffle=True)
    >>> found = find_lr(mg.train.Trainer(model), loader, steps=50)
    >>> 1e-4 < found.suggestion < 1
    True
    """
    check_kinds("find_lr", Trainer, trainer=trainer)
    check_numbers("find_lr", lowest=lowest, highest=highest)
    steps = whole_number("find_lr: steps", steps, 3)
    if not 0 < lowest < highest:
        raise OptionError(f"find_lr: 0 < lowest < highest is needed, got {lowest} and {highest}")
    check_loader(loader, trainer.group.size)
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with undone(trainer):
        batches = endless(loader, (trainer.group.rank, trainer.group.size))
        for step in range(steps):
            rate = lowest * (highest / lowest) ** (step / (steps - 1))
            for group in trainer.optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            try:
                loss = trainer.train_on_batch(*next(batches))["loss"]
            except MinigradError:
                if not losses:  # not the rate's fault
                    raise
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smooth = mean / (1 - SMOOTHING ** (step + 1))
            if not smooth <= DIVERGED * min([*losses, loss]):
                break
            rates.append(rate)
            losses.append(smooth)
    if len(rates) < 3:
        raise MinigradError(f"find_lr: the loss diverges from {lowest} on; begin lower")
    return LearningRates(tuple(rates), tuple(losses))


def find_batch_size(
    trainer: Trainer, loader: DataLoader, most: int | None = None, steps: int = 3
) -> BatchSizes:
    """Measure training with batches of 1, 2, 4 … samples, while there is memory.

    Afterwards the trainer is what it was, though the process may keep the memory.

    Parameters
    ----------
    trainer : Trainer
        What is trained.
    loader : DataLoader
        Its samples are collated into batches of the sizes that are tried.
    most : int, optional
        Largest size; by default the number of samples.
    steps : int, default 3
        Timed steps for each size, of which the fastest counts; one more goes before them.

    Raises
    ------
    OptionError
        On several ranks: what one of them can do decides, and one is measured alone.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> loader = mg.data.DataLoader(mg.data.digits(), 64)
    >>> found = find_batch_size(mg.train.Trainer(model), loader, most=8)
    >>> found.sizes, found.suggestion in found.sizes
    ((1, 2, 4, 8), True)
    """
    check_kinds("find_batch_size", Trainer, trainer=trainer)
    if trainer.group.size > 1:
        raise OptionError(
            f"find_batch_size measures one process, and this is one of {trainer.group.size} ranks: "
            "measure without ranks, and give n ranks n times the batch that it suggests"
        )
    check_loader(loader)
    samples = len(loader.dataset)
    most = samples if most is None else whole_number("find_batch_size: most", most, 1)
    steps = whole_number("find_batch_size: steps", steps, 1)
    device = next((p.device for p in trainer.model.parameters()), backend.Device("cpu"))
    free, start = _free(device), _used(device)
    rows: list[tuple[int, float, int]] = []
    size = 1
    with undone(trainer):
        while size <= min(most, samples):
            inputs, targets = pair(next(loader.resized(size).batches(0)))
            try:
                best = math.inf
                for number in range(steps + 1):
                    begin = time.perf_counter()
                    trainer.train_on_batch(inputs, targets)
                    if number:  # the first compiles kernels and makes the optimizer's state
                        best = min(best, time.perf_counter() - begin)
            except MemoryError:
                if not rows:
                    raise
                break
            used = max(0, _used(device) - start)
            rows.append((size, size / best, used))
            size *= 2
            if free is not None and 2 * used > SPARE * free:
                break
    sizes, throughput, memory = zip(*rows, strict=True)
    return BatchSizes(sizes, throughput, memory)


@contextmanager
def undone(trainer: Trainer) -> Iterator[None]:
    """Let steps be taken without schedule and average; put everything back afterwards."""
    state = copy.deepcopy(trainer.state_dict())
    schedule, ema = trainer.schedule, trainer.ema
    trainer.schedule = trainer.ema = None
    try:
        yield
    finally:
        trainer.schedule, trainer.ema = schedule, ema
        trainer.load_state_dict(state)
        trainer.optimizer.zero_grad()


def endless(loader: DataLoader, part: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a rank's part of the batches of one epoch after the other."""
    for epoch in count():
        yield from map(pair, loader.batches(epoch, part=part))


def _used(device: backend.Device) -> int:
    """Return the bytes that the process has had at most, or that lie on a GPU."""
    if device.type == "cuda":
        return backend.memory_info(str(device)).reserved
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _free(device: backend.Device) -> int | None:
    """Return the bytes that are free; None where nobody tells, or CuPy will by refusing."""
    table = Path("/proc/meminfo")
    if device.type == "cuda" or not table.is_file():
        return None
    lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024
