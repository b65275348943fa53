"""Trainer: the training loop, its state, and exact resume.

Everything that decides the rest of a run is in `Trainer.state_dict`: weights, optimizer, schedule,
average, random numbers, and the position (epoch, batch). The loader's batches are a function of
its seed and the position, so a run that is stopped anywhere, reloaded from its last checkpoint
and continued ends with the same bits as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import optim, random
from minigrad.amp import GradScaler, autocast
from minigrad.backend import quietly
from minigrad.data import DataLoader
from minigrad.data.dataset import whole_number
from minigrad.distributed import (
    GradientBuckets,
    Group,
    ShardedOptimizer,
    init,
    synchronise_batch_norm,
)
from minigrad.errors import MinigradError, OptionError, StateError, brief, unknown
from minigrad.loading import (
    Entries,
    check_kinds,
    check_numbers,
    check_switches,
    load_together,
    several,
)
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.train.batches import check_loader, kind, pair
from minigrad.train.capture import CapturedStep, check_gpu
from minigrad.train.interrupt import Interrupt
from minigrad.train.losses import REGRESSIONS, Loss, named, smoothing_of, warn_of_outputs
from minigrad.train.metrics import Means, accuracy
from minigrad.train.precision import PRECISIONS, in_precision

__all__ = ["Callback", "Trainer"]

Metric = Callable[[Tensor, Tensor], float]
Row = dict[str, float]


class Callback:
    """Is called by a `Trainer` on its way; a subclass overrides what it needs.

    Where several ranks train, each calls its own, or rank 0 alone where `rank_0_only` is True, as
    it is of those that show or write something.

    Examples
    --------
    >>> class Bell(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         print(f"epoch {trainer.epoch}: {trainer.history[-1]['train_loss']:.2f}")
    """

    rank_0_only = False

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step; `trainer.epochs` and `trainer.batches` are known."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After every optimizer step."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After every epoch; its row is the last of `trainer.history`."""

    def on_interrupt(self, trainer: Trainer) -> None:
        """After Ctrl-C, between two steps; KeyboardInterrupt is raised next."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, or when `fit` leaves by an error."""


class Trainer:
    """Fits a model to data.

    Parameters
    ----------
    model : Module
        What to train.
    optimizer : Optimizer or str, default "adamw"
        An optimizer of the model's parameters, or the name of one (with its default options).
    loss : callable or str, default "cross_entropy"
        ``loss(output, target)``, a scalar tensor; or a name of `minigrad.train.losses.LOSSES`.
    val_loss : callable or str, optional
        What `evaluate` measures, where it is another one: such as the loss without label smoothing.
    schedule : LRScheduler, optional
        Its ``step()`` is called after every optimizer step.
    ema : ModelEma, optional
        Average of the weights, updated after every step; `evaluate` and `predict` use it.
    clip_grad : float, optional
        Largest norm of the whole gradient.
    clip_value : float, optional
        Largest absolute value of each of its elements; they are clipped before the norm is.
    accumulate : int, default 1
        Batches whose gradients are summed up before each optimizer step: the step is that of one
        batch of all their samples, in the memory of one of them. The last step of an epoch takes
        what is left.
    metrics : mapping of str to callable, optional
        ``metric(output, target) -> float``, the mean over a batch; by default the accuracy, or
        nothing for the losses of regressions, whose targets are not classes.
    callbacks : sequence of Callback
        Progress bar, log, checkpoints ….
    precision : {"float32", "bfloat16", "float16"}
        Of matrix products and convolutions (`minigrad.autocast`); the weights stay float32. With
        float16 a `GradScaler` scales the loss and skips the steps whose gradients overflow.
    cuda_graph : bool, default False
        Capture the step in a CUDA graph and launch it as one, which small models on a GPU need:
        the same numbers, without the time that Python takes to start hundreds of kernels.
    group : Group, optional
        The ranks that train together, by default all that ``mpiexec`` has started
        (`minigrad.distributed.init`). Each takes its part of every batch, and the gradients are
        summed: as on one rank with the whole batch, up to rounding, and to what dropout and `mix`
        draw.
    shard_optimizer : bool, default False
        Divide the optimizer's state among the ranks (`minigrad.distributed.ShardedOptimizer`).

    Attributes
    ----------
    epoch, batch, step : int
        Epochs finished, batches done of the one under way, optimizer steps in all.
    stopping : bool
        Set by a callback to end `fit` after the epoch under way.
    history : list of dict
        One row per finished epoch: ``epoch``, ``lr`` (at its end), ``train_loss``,
        ``val_accuracy`` …; ``train_smoothing`` beside a loss that label smoothing changes.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> trainer = Trainer(model, mg.optim.AdamW(model.parameters(), lr=0.02))
    >>> train = mg.data.DataLoader(
    ...     mg.data.digits(train=True), batch_size=64, shuffle=True
    ... )
    >>> test = mg.data.DataLoader(mg.data.digits(train=False), batch_size=360)
    >>> history = trainer.fit(train, test, epochs=3)
    >>> history[-1]["val_accuracy"] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        optimizer: optim.Optimizer | str = "adamw",
        loss: Loss | str = "cross_entropy",
        *,
        val_loss: Loss | str | None = None,
        schedule: optim.LRScheduler | None = None,
        ema: optim.ModelEma | None = None,
        clip_grad: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Sequence[Callback] = (),
        precision: str = "float32",
        cuda_graph: bool = False,
        group: Group | None = None,
        shard_optimizer: bool = False,
    ) -> None:
        check_kinds("Trainer", Module, model=model)
        check_kinds("Trainer", optim.Optimizer | str, optimizer=optimizer)
        check_kinds("Trainer", optim.LRScheduler | None, schedule=schedule)
        check_kinds("Trainer", optim.ModelEma | None, ema=ema)
        check_kinds("Trainer", Mapping | None, metrics=metrics)
        check_kinds("Trainer", Callable, **(metrics or {}))
        check_kinds("Trainer", Group | None, "init() returns one", group=group)
        check_switches("Trainer", cuda_graph=cuda_graph, shard_optimizer=shard_optimizer)
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        for name, most in (("clip_grad", clip_grad), ("clip_value", clip_value)):
            if most is not None:
                check_numbers("Trainer", **{name: most})
                if not most > 0:
                    raise OptionError(f"Trainer: {name} must lie above 0, got {most}")
        if isinstance(optimizer, str):
            optimizer = optim.create(optimizer, model.parameters())
        if isinstance(optimizer, optim.LBFGS):
            raise OptionError(
                "Trainer: LBFGS evaluates the loss several times for each step, on the same "
                "samples; call optimizer.step(closure) in a loop of your own"
            )
        loss = named(loss)
        warn_of_outputs(model, loss)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.val_loss = loss if val_loss is None else named(val_loss)
        self.schedule, self.ema = schedule, ema
        self.clip_grad, self.clip_value = clip_grad, clip_value
        self.accumulate = whole_number("Trainer: accumulate", accumulate, 1)
        if metrics is None:
            metrics = {} if loss in REGRESSIONS else {"accuracy": accuracy}
        self.metrics = dict(metrics)
        self.callbacks = list(several("Trainer", "callbacks", callbacks, Callback))
        self.precision = precision
        self._autocast()  # where bfloat16 is not installed, say so now
        self.scaler = GradScaler(self._device(), enabled=precision == "float16")
        self.cuda_graph = cuda_graph
        self._captured: dict[Any, CapturedStep] = {}  # by the kind of batch
        self._warm: set[Any] = set()  # the kinds that had an ordinary step
        if cuda_graph:
            check_gpu(self._device())
            if self.accumulate > 1:
                raise OptionError(
                    f"Trainer: cuda_graph=True captures a step of one batch, not of "
                    f"accumulate={self.accumulate}; leave one of them out"
                )
        self.group = init() if group is None else group
        if cuda_graph and self.group.size > 1:
            raise OptionError("cuda_graph is for one rank: MPI has no part in a CUDA graph")
        self.updater: optim.Optimizer | ShardedOptimizer = self.optimizer
        if shard_optimizer:
            self.updater = ShardedOptimizer(self.optimizer, self.group)
        self._buckets = GradientBuckets(model.parameters(), self.group)
        synchronise_batch_norm(model, self.group)
        self.epoch = self.batch = self.step = 0
        self.epochs = self.batches = 0  # how many there will be; set by fit
        self.stopping = False
        self.history: list[Row] = []
        self.means, self.seconds = Means(), 0.0  # of the epoch under way

    # ---- training -------------------------------------------------------------------------------

    def fit(self, train: DataLoader, val: DataLoader | None = None, epochs: int = 1) -> list[Row]:
        """Train until `epochs` epochs are done in all, from wherever the trainer stands.

        Parameters
        ----------
        train : DataLoader
            Batches to learn from.
        val : DataLoader, optional
            Batches to evaluate on after every epoch.
        epochs : int, default 1
            Counted from the very start: a trainer that was loaded after epoch 3 trains 2 more with
            ``epochs=5``, and one that is done trains none.

        Returns
        -------
        list of dict
            `history`.

        Raises
        ------
        DataError
            If a loader has no batches, or these are not pairs of inputs and targets.
        MinigradError
            If the loss is no longer finite.
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, between two steps.
        """
        epochs = whole_number("fit: epochs", epochs, 0)
        check_loader(train, self.group.size)
        if val is not None:
            check_loader(val)
        self.epochs, self.batches, self.stopping = epochs, len(train), False
        self._begin_alike()
        with Interrupt() as interrupt:
            self._tell("on_fit_start")
            try:
                while self.epoch < epochs and not self.stopping:
                    self._fit_epoch(train, interrupt)
                    self._finish_epoch(val)
                    self._check(interrupt)
            finally:
                self._tell("on_fit_end")
        return self.history

    def train_on_batch(self, inputs: Tensor, targets: Tensor) -> Row:
        """Take one optimizer step; return the loss and the metrics before it.

        Several ranks each call it with their part of a batch, and each returns those of the whole.
        """
        return self._step([pair((inputs, targets))], [1.0])

    def _step(self, batches: Iterable[tuple[Tensor, Tensor]], shares: Sequence[float]) -> Row:
        """Take one optimizer step on batches, of which each has a share; return their means."""
        self.model.train()
        self.optimizer.zero_grad()
        self.scaler.discard()  # the step before may have been interrupted
        device, graph = self._device(), None
        means: Row = {}
        left = len(shares)
        for (inputs, targets), share in zip(batches, shares, strict=True):
            inputs, targets = inputs.to(device), targets.to(device)
            share *= self._part(len(inputs))
            left -= 1
            graph = self._captured_step(inputs, targets) if self.cuda_graph else None
            if graph is None:
                outputs, loss = self._gradients(inputs, targets, share, last=not left)
            else:
                graph.start(inputs, targets)
                outputs, loss = graph.outputs, graph.loss
            values = {"loss": float(loss.item())}
            self._check_loss(values["loss"], graph)
            values |= {name: f(outputs, targets) for name, f in self.metrics.items()}
            means = {name: means.get(name, 0.0) + share * v for name, v in values.items()}
        if graph is not None:
            graph.finish(self)
        else:
            self.scaler.unscale_(self.optimizer)
            if not self.scaler.found_inf(self.optimizer):
                self._change()
                self._warm.add(kind(inputs, targets))
        self.scaler.update()
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        rows = self.group.all_gather(means)
        return {name: sum([row[name] for row in rows], 0.0) for name in means}

    def _check_loss(self, loss: float, graph: CapturedStep | None) -> None:
        """Refuse to go on from a loss that is infinite or NaN."""
        # In float16 it may be too large for once: the scaler skips that step, and waits no longer
        # than it takes to halve the scale down to 1.
        if math.isfinite(loss) or self.scaler.get_scale() > 1.0:
            return
        done = graph is not None and not self.scaler.is_enabled()
        raise MinigradError(
            f"the loss is {loss} at step {self.step} (epoch {self.epoch + 1}, batch "
            f"{self.batch + 1}); the weights are those {'after' if done else 'before'} this "
            "step: lower the learning rate, clip the gradient, or look for NaN in the images"
        )

    def _begin_alike(self) -> None:
        """Let all ranks have the weights of rank 0."""
        if self.group.size > 1:
            for module in dict.fromkeys((self.model, self.eval_model)):
                for value in module.state_dict().values():
                    self.group.broadcast(value.array)

    def _part(self, count: int) -> float:
        """Return which part of a batch this rank's `count` samples are.

        The numbers that the rank will draw are its own, and those of rank 0 decide them: so the
        state of rank 0 is all that a checkpoint needs.
        """
        if self.group.size == 1:
            return 1.0
        told = self.group.all_gather((count, random.get_rng_state().numpy()))
        random.default_generator().set_state(told[0][1]).branch(self.group.rank)
        return count / float(sum(other for other, _ in told))

    def _gradients(
        self, inputs: Tensor, targets: Tensor, share: float = 1.0, last: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Run forward, and backward from a share of the loss; return outputs and loss."""
        # An overflow in float16 is nothing to warn about: the scaler skips the step.
        forward = quietly(self._forward) if self.scaler.is_enabled() else self._forward
        outputs, loss = self._autocast().run(forward, inputs, targets)
        alone = self.group.size == 1 or not last  # what was gathered travels with the last
        with nullcontext() if alone else self._buckets.summing():
            self.scaler.scale(loss if share == 1.0 else loss * share).backward()
        return self._wide(outputs), loss

    def _forward(self, inputs: Tensor, targets: Tensor) -> tuple[Any, Tensor]:
        outputs = self.model(inputs)
        return outputs, self.loss(outputs, targets)

    def _change(self) -> None:
        """Change weights and average by the gradients."""
        if self.clip_value is not None:
            optim.clip_grad_value_(self.model.parameters(), self.clip_value)
        if self.clip_grad is not None:
            optim.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.updater.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def _captured_step(self, inputs: Tensor, targets: Tensor) -> CapturedStep | None:
        """Return the captured step for such a batch; None if this step is still an ordinary one."""
        check_gpu(inputs.device)
        key = kind(inputs, targets)
        if key not in self._warm:  # the first step compiles kernels and makes Adam's state
            return None
        graph = self._captured.get(key)
        if graph is None or not graph.fits(self):
            graph = self._captured[key] = CapturedStep(self, inputs, targets)
        return graph

    def forget_captured(self) -> None:
        """Let the next step be an ordinary one, and capture it anew after that (`cuda_graph`)."""
        self._captured.clear()
        self._warm.clear()

    def _fit_epoch(self, train: DataLoader, interrupt: Interrupt) -> None:
        start = time.perf_counter()
        part = self.group.rank, self.group.size
        batches = map(pair, train.batches(self.epoch, self.batch, part=part))
        while self.batch < self.batches:
            end = min(self.batch + self.accumulate, self.batches)
            counts = [train.count(i + 1) - train.count(i) for i in range(self.batch, end)]
            shares = [count / sum(counts) for count in counts]
            values = self._step(islice(batches, len(counts)), shares)
            if math.isfinite(values["loss"]):  # else the scaler has skipped the step
                self.means.add(values, sum(counts))
            self.batch = end
            now = time.perf_counter()
            self.seconds += now - start
            start = now
            self._tell("on_step_end")
            if self.batch < self.batches:
                self._check(interrupt)

    def _finish_epoch(self, val: DataLoader | None) -> None:
        row: Row = {"epoch": self.epoch + 1, "lr": self.optimizer.param_groups[0]["lr"]}
        row |= _columns("train", self.means.values(), self.loss)
        if val is not None:
            row |= _columns("val", self.evaluate(val), self.val_loss)
        row["seconds"] = round(self.seconds, 2)
        self.history.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self.means, self.seconds = Means(), 0.0
        self._tell("on_epoch_end")

    def _check(self, interrupt: Interrupt) -> None:
        if any(self.group.all_gather(interrupt.requested)):
            self._tell("on_interrupt")
            self.group.all_gather(None)  # rank 0 has written what it has to
            raise KeyboardInterrupt

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            if self.group.rank == 0 or not callback.rank_0_only:
                getattr(callback, event)(self)

    # ---- using the model ------------------------------------------------------------------------

    @property
    def eval_model(self) -> Module:
        """The model to evaluate: the average where there is one."""
        return self.model if self.ema is None else self.ema.module

    def evaluate(self, loader: DataLoader) -> Row:
        """Return loss and metrics over all of `loader`, in evaluation mode.

        Several ranks call it together; each takes every n-th batch.
        """
        rows = []
        for inputs, targets, outputs in self._outputs(loader, self.group):
            values = {"loss": float(self.val_loss(outputs, targets).item())}
            values |= {name: f(outputs, targets) for name, f in self.metrics.items()}
            rows.append((values, len(inputs)))
        return self._means(rows)

    def _means(self, rows: list[tuple[Row, int]]) -> Row:
        """Return the means over the batches of all ranks, each with its number of samples."""
        means = Means()
        for round_ in zip_longest(*self.group.all_gather(rows)):  # the order of the batches
            for row in filter(None, round_):
                means.add(*row)
        return means.values()

    def predict(self, loader: DataLoader) -> NDArray[Any]:
        """Return the outputs for all of `loader`, in evaluation mode, as one array."""
        return np.concatenate([out.cpu().numpy() for _, _, out in self._outputs(loader)])

    def _outputs(
        self, loader: DataLoader, group: Group | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (inputs, targets, outputs) for every batch, or this rank's, in evaluation mode."""
        rank, size = (0, 1) if group is None else (group.rank, group.size)
        check_loader(loader)
        model, device = self.eval_model, self._device()
        training = model.training
        model.eval()
        try:
            for inputs, targets in map(pair, loader.batches(0, rank, size)):
                inputs, targets = inputs.to(device), targets.to(device)
                outputs = no_grad().run(self._autocast().run, model, inputs)
                yield inputs, targets, self._wide(outputs)
        finally:
            model.train(training)

    def _device(self) -> str:
        return next((str(p.device) for p in self.model.parameters()), "cpu")

    def _autocast(self) -> autocast:
        return in_precision(self.precision, self._device())

    def _wide(self, outputs: Any) -> Any:
        """Return half-precision outputs in float32: metrics and files are better off with it."""
        half = isinstance(outputs, Tensor) and outputs.dtype.itemsize == 2
        return outputs.float() if half else outputs

    # ---- its state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides the rest of the run."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.updater.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "precision": self.precision,
            "scaler": self.scaler.state_dict(),
            "random": random.get_rng_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "means": {"sums": self.means.sums, "count": self.means.count},
            "seconds": self.seconds,
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state.

        Raises
        ------
        MinigradError
            If it belongs to another model, to a trainer with other parts (schedule, average), or is
            damaged; nothing has changed then, random numbers included.
        """
        names = [name for name in self.state_dict() if name not in ("precision", "scaler")]
        entries = Entries("Trainer", state, names)
        parts: dict[str, Any] = {"schedule": self.schedule, "ema": self.ema}
        for name, part in parts.items():
            if (state[name] is None) != (part is None):
                has, wants = ("no", "a") if state[name] is None else ("a", "no")
                raise StateError(
                    f"the checkpoint has {has} {name}, but this trainer has {wants} {name}; "
                    "build the trainer with the options of the saved run"
                )
        precision = state.get("precision", "float32")
        if not (isinstance(precision, str) and precision == self.precision):
            raise StateError(
                f"the checkpoint is of a run in {brief(precision)}, but this trainer has precision="
                f"{self.precision!r}; build it with that of the saved run"
            )
        epoch, batch, step = (entries.count(name) for name in ("epoch", "batch", "step"))
        saved = Entries("Trainer", entries["means"], ("sums", "count"))
        means = Means(saved.named_numbers("sums"), saved.count("count"))
        seconds, history = entries.number("seconds"), entries.rows("history")
        go_back = random.default_generator().prepare_state(state["random"])
        parts |= {"model": self.model, "optimizer": self.updater, "scaler": self.scaler}
        load_together(
            (part, state.get(name, {})) for name, part in parts.items() if part is not None
        )
        go_back()
        self.forget_captured()
        self.epoch, self.batch, self.step = epoch, batch, step
        self.means, self.seconds, self.history = means, seconds, history


def _columns(part: str, values: Row, loss: Loss) -> Row:
    """Return a part's columns of the history; the smoothing of its loss stands beside it."""
    row = {}
    for name, value in values.items():
        row[f"{part}_{name}"] = value
        if name == "loss" and (smoothing := smoothing_of(loss)):
            row[f"{part}_smoothing"] = smoothing
    return row
