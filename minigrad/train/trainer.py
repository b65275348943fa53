"""Trainer: the training loop, its state, and exact resume.

Everything that decides the rest of a run is in `Trainer.state_dict`: weights, optimizer, schedule,
average, random numbers, and the position (epoch, batch). The loader's batches are a function of
its seed and the position, so a run that is stopped anywhere, reloaded from its last checkpoint
and continued ends with the same bits as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad import optim, random
from minigrad.amp import GradScaler, autocast
from minigrad.backend import Device, quietly
from minigrad.data import DataLoader
from minigrad.data.dataset import whole_number
from minigrad.errors import MinigradError, StateError, brief, unknown
from minigrad.loading import Entries, check_numbers, load_together
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.train.batches import check_loader, kind, pair
from minigrad.train.capture import CapturedStep, check_gpu
from minigrad.train.interrupt import Interrupt
from minigrad.train.losses import REGRESSIONS, Loss, named, smoothing_of, warn_of_outputs
from minigrad.train.metrics import Means, accuracy

__all__ = ["PRECISIONS", "Callback", "Trainer"]

Metric = Callable[[Tensor, Tensor], float]
Row = dict[str, float]

PRECISIONS = ("float32", "bfloat16", "float16")


class Callback:
    """Is called by a `Trainer` on its way; a subclass overrides what it needs.

    Examples
    --------
    >>> class Bell(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         print(f"epoch {trainer.epoch}: {trainer.history[-1]['train_loss']:.2f}")
    """

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

    Attributes
    ----------
    epoch, batch, step : int
        Epochs finished, batches done of the one under way, optimizer steps in all.
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
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Sequence[Callback] = (),
        precision: str = "float32",
        cuda_graph: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        if clip_grad is not None:
            check_numbers("Trainer", clip_grad=clip_grad)
        if isinstance(optimizer, str):
            optimizer = optim.create(optimizer, model.parameters())
        loss = named(loss)
        warn_of_outputs(model, loss)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.val_loss = loss if val_loss is None else named(val_loss)
        self.schedule, self.ema, self.clip_grad = schedule, ema, clip_grad
        if metrics is None:
            metrics = {} if loss in REGRESSIONS else {"accuracy": accuracy}
        self.metrics = dict(metrics)
        self.callbacks = list(callbacks)
        self.precision = precision
        self._autocast()  # where bfloat16 is not installed, say so now
        self.scaler = GradScaler(self._device(), enabled=precision == "float16")
        self.cuda_graph = cuda_graph
        self._captured: dict[Any, CapturedStep] = {}  # by the kind of batch
        self._warm: set[Any] = set()  # the kinds that had an ordinary step
        if cuda_graph:
            check_gpu(self._device())
        self.epoch = self.batch = self.step = 0
        self.epochs = self.batches = 0  # how many there will be; set by fit
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
        check_loader(train)
        if val is not None:
            check_loader(val)
        self.epochs, self.batches = epochs, len(train)
        with Interrupt() as interrupt:
            self._tell("on_fit_start")
            try:
                while self.epoch < epochs:
                    self._fit_epoch(train, interrupt)
                    self._finish_epoch(val)
                    self._check(interrupt)
            finally:
                self._tell("on_fit_end")
        return self.history

    def train_on_batch(self, inputs: Tensor, targets: Tensor) -> Row:
        """Take one optimizer step; return the loss and the metrics before it."""
        self.model.train()
        device = self._device()
        inputs, targets = inputs.to(device), targets.to(device)
        graph = self._captured_step(inputs, targets) if self.cuda_graph else None
        if graph is None:
            outputs, loss = self._gradients(inputs, targets)
        else:
            graph.start(inputs, targets)
            outputs, loss = graph.outputs, graph.loss
        values = {"loss": float(loss.item())}
        # In float16 it may be too large for once: the scaler skips that step, and waits no longer
        # than it takes to halve the scale down to 1.
        if not math.isfinite(values["loss"]) and not self.scaler.get_scale() > 1.0:
            done = graph is not None and not self.scaler.is_enabled()
            raise MinigradError(
                f"the loss is {values['loss']} at step {self.step} (epoch {self.epoch + 1}, batch "
                f"{self.batch + 1}); the weights are those {'after' if done else 'before'} this "
                "step: lower the learning rate, clip the gradient, or look for NaN in the images"
            )
        if graph is not None:
            graph.finish(self)
            self.scaler.update()
        else:
            self.scaler.unscale_(self.optimizer)
            if not self.scaler.found_inf(self.optimizer):
                self._change()
                self._warm.add(kind(inputs, targets))
            self.scaler.update()
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        return values | {name: f(outputs, targets) for name, f in self.metrics.items()}

    def _gradients(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Run forward and backward; return outputs and loss."""
        self.optimizer.zero_grad()
        self.scaler.discard()  # the step before may have been interrupted
        # An overflow in float16 is nothing to warn about: the scaler skips the step.
        forward = quietly(self._forward) if self.scaler.is_enabled() else self._forward
        outputs, loss = self._autocast().run(forward, inputs, targets)
        self.scaler.scale(loss).backward()
        return self._wide(outputs), loss

    def _forward(self, inputs: Tensor, targets: Tensor) -> tuple[Any, Tensor]:
        outputs = self.model(inputs)
        return outputs, self.loss(outputs, targets)

    def _change(self) -> None:
        """Change weights and average by the gradients."""
        if self.clip_grad is not None:
            optim.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
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

    def _fit_epoch(self, train: DataLoader, interrupt: Interrupt) -> None:
        start = time.perf_counter()
        for inputs, targets in map(pair, train.batches(self.epoch, self.batch)):
            values = self.train_on_batch(inputs, targets)
            if math.isfinite(values["loss"]):  # else the scaler has skipped the step
                self.means.add(values, len(inputs))
            self.batch += 1
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
        if interrupt.requested:
            self._tell("on_interrupt")
            raise KeyboardInterrupt

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # ---- using the model ------------------------------------------------------------------------

    @property
    def eval_model(self) -> Module:
        """The model to evaluate: the average where there is one."""
        return self.model if self.ema is None else self.ema.module

    def evaluate(self, loader: DataLoader) -> Row:
        """Return loss and metrics over all of `loader`, in evaluation mode."""
        means = Means()
        for inputs, targets, outputs in self._outputs(loader):
            values = {"loss": float(self.val_loss(outputs, targets).item())}
            values |= {name: f(outputs, targets) for name, f in self.metrics.items()}
            means.add(values, len(inputs))
        return means.values()

    def predict(self, loader: DataLoader) -> NDArray[Any]:
        """Return the outputs for all of `loader`, in evaluation mode, as one array."""
        return np.concatenate([out.cpu().numpy() for _, _, out in self._outputs(loader)])

    def _outputs(self, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (inputs, targets, outputs) for every batch, in evaluation mode."""
        check_loader(loader)
        model, device = self.eval_model, self._device()
        training = model.training
        model.eval()
        try:
            for inputs, targets in map(pair, loader.batches(epoch=0)):
                inputs, targets = inputs.to(device), targets.to(device)
                outputs = no_grad().run(self._autocast().run, model, inputs)
                yield inputs, targets, self._wide(outputs)
        finally:
            model.train(training)

    def _device(self) -> str:
        return next((str(p.device) for p in self.model.parameters()), "cpu")

    def _autocast(self) -> autocast:
        half = self.precision != "float32"
        return autocast(Device(self._device()).type, self.precision if half else None, enabled=half)

    def _wide(self, outputs: Any) -> Any:
        """Return half-precision outputs in float32: metrics and files are better off with it."""
        half = isinstance(outputs, Tensor) and outputs.dtype.itemsize == 2
        return outputs.float() if half else outputs

    # ---- its state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides the rest of the run."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
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
        parts |= {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        load_together(
            (part, state.get(name, {})) for name, part in parts.items() if part is not None
        )
        go_back()
        self._captured.clear()
        self._warm.clear()
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
