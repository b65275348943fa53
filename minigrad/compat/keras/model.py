"""Model: a network of minigrad behind Keras's methods, channels-last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad import io, saving
from minigrad.compat.keras import mixed_precision
from minigrad.compat.keras.losses import CROSSENTROPIES, Crossentropy, find_loss
from minigrad.compat.keras.metrics import find_metrics
from minigrad.compat.keras.optimizers import Spec, find_optimizer
from minigrad.construct import as_numpy
from minigrad.data import DataLoader
from minigrad.errors import OptionError, ShapeError
from minigrad.making import Call
from minigrad.models.convnext import ConvNeXt
from minigrad.models.features import FeatureInfo, pyramid_shapes
from minigrad.nn import DropPath, Module
from minigrad.tensor import Tensor
from minigrad.train import Callback, Trainer
from minigrad.viz.summary import summary

__all__ = ["History", "KerasTensor", "Model"]

Shape = tuple[int | None, ...]
FREE_SIDE = 224  # what `summary` puts in for a side that input_shape leaves open


class KerasTensor(NamedTuple):
    """Shape and dtype of a result that is not computed yet; the first axis is the batch.

    Examples
    --------
    >>> KerasTensor((None, 10))
    <KerasTensor shape=(None, 10), dtype=float32>
    """

    shape: Shape
    dtype: str = "float32"

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}>"


UNKNOWN = ("epoch", "lr", "seconds", "train_smoothing", "val_smoothing")  # to Keras's history


class History:
    """What `Model.fit` returns: ``history`` has a list per number, one entry per epoch.

    Examples
    --------
    >>> rows = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.5}]
    >>> History(rows).history
    {'loss': [2.0, 1.5]}
    """

    def __init__(self, rows: Sequence[Mapping[str, float]]) -> None:
        self.epoch = [int(row["epoch"]) - 1 for row in rows]
        self.history: dict[str, list[float]] = {}
        for row in rows:
            for name, value in row.items():
                if name not in UNKNOWN:
                    self.history.setdefault(name.removeprefix("train_"), []).append(value)


class Model(Module):
    """A network that takes and returns channels last, with compile, fit, evaluate, predict, save.

    Parameters
    ----------
    net : Module
        The network, (N, C, *spatial) to (N, classes) or to a map; it is the attribute `net`.
    input_shape : sequence of int or None
        (*spatial, C) of one sample; None for a side of any length.
    output_shape : sequence of int or None
        Of one result, channels last.
    name : str, optional
        Shown by `summary`.
    config : tuple, optional
        (module, function, keyword arguments) by which `keras.models.load_model` builds it again.

    Examples
    --------
    >>> import numpy as np
    >>> from minigrad import models
    >>> net = models.ConvNeXt(num_classes=3, depths=(1, 1), dims=(4, 8))
    >>> model = Model(net, (16, 16, 3), (3,))
    >>> model.compile(optimizer="adamw", loss="cross_entropy", metrics=["accuracy"])
    >>> model.predict(np.zeros((5, 16, 16, 3), np.float32)).shape
    (5, 3)
    """

    def __init__(
        self,
        net: Module,
        input_shape: Sequence[int | None],
        output_shape: Sequence[int | None],
        name: str | None = None,
        config: tuple[str, str, dict[str, Any]] | None = None,
    ) -> None:
        self.net = net
        self.input_shape: Shape = (None, *input_shape)
        self.output_shape: Shape = (None, *output_shape)
        self.name = name or type(net).__name__.lower()
        self.config = config
        system, function, options = config or ("", "", {})
        self._made = Call((), options, f"{system}.{function}") if config else None
        self.trainer: Trainer | None = None
        self.compiled: dict[str, Any] | None = None  # what `save` keeps of `compile`

    # ---- calling --------------------------------------------------------------------------------

    def forward(self, x: Any) -> Tensor:
        x = _tensor(x)
        expected = self.input_shape
        fits = x.ndim == len(expected) and all(
            want in (None, have) for want, have in zip(expected[1:], x.shape[1:], strict=True)
        )
        if not fits:
            raise ShapeError(
                f"the model takes channels last, {expected}, got {x.shape}; move the channels "
                "with np.moveaxis(x, 1, -1), or use the network inside, model.net"
            )
        # Both moves are free: this is how minigrad keeps images in memory.
        y: Tensor = self.net(x.movedim(-1, 1))
        return y if y.ndim == 2 else y.movedim(1, -1)

    @property
    def input(self) -> KerasTensor:
        """Shape of the input."""
        return KerasTensor(self.input_shape)

    @property
    def output(self) -> KerasTensor:
        """Shape of the output."""
        return KerasTensor(self.output_shape)

    @property
    def pyramid_outputs(self) -> dict[str, KerasTensor]:
        """Shapes of the maps P1 to P4, known before any forward.

        The maps themselves come from `minigrad.models.ConvNeXtFeatures(model.net)`.
        """
        net: Any = getattr(self.net, "encoder", self.net)
        sides, channels = self.input_shape[1:-1], self.input_shape[-1]
        info = FeatureInfo.of(net)
        if None in sides:  # then no side is known for certain
            free = (None,) * len(sides)
            return {f.name: KerasTensor((None, *free, f.channels)) for f in info}
        shapes = pyramid_shapes(net, (channels or 0, *(side or 0 for side in sides)))
        return {k: KerasTensor((None, *shape[1:], shape[0])) for k, shape in shapes.items()}

    def summary(self, depth: int = 3) -> None:
        """Print the layers, their output shapes (channels first), parameters and multiply-adds."""
        *sides, channels = (FREE_SIDE if n is None else n for n in self.input_shape[1:])
        print(f'Model: "{self.name}"')
        print(summary(self.net, (channels, *sides), depth))
        if isinstance(self.net, ConvNeXt):
            rates = [m.drop_prob for m in self.net.modules() if isinstance(m, DropPath)] or [0.0]
            blocks = " + ".join(map(str, self.net.depths))
            print(f"Blocks: {blocks}, drop path {rates[0]:.3g} to {rates[-1]:.3g}")
        print(f"Total params: {self.count_params():,}")

    # ---- training -------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adamw",
        loss: Any = "cross_entropy",
        metrics: Sequence[Any] | None = None,
    ) -> None:
        """Choose how to train.

        Parameters
        ----------
        optimizer : str, Spec or Optimizer, default "adamw"
            A name, one of `minigrad.compat.keras.optimizers`, or an optimizer of minigrad.
        loss : str or callable, default "cross_entropy"
            See `minigrad.compat.keras.losses.find_loss`, which warns where loss and outputs do not
            fit each other.
        metrics : sequence of str or callable, optional
            Names of `minigrad.compat.keras.metrics`, or functions ``metric(output, target)``.
        """
        activation = getattr(self.net, "classifier_activation", None)
        found, spec = find_loss(loss, activation), find_optimizer(optimizer)
        made = spec.build(self.parameters()) if isinstance(spec, Spec) else spec
        precision = mixed_precision.POLICIES[mixed_precision.global_policy()]
        options: dict[str, Any] = {} if precision == "float32" else {"precision": precision}
        self.trainer = Trainer(
            self,
            made,
            found,
            clip_grad=spec.clip_norm if isinstance(spec, Spec) else None,
            metrics=find_metrics(metrics, activation),
            **options,
        )
        names = [metric for metric in metrics or () if isinstance(metric, str)]
        self.compiled = {"optimizer": optimizer, "loss": loss, "metrics": names}

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int | str = "auto",
        validation_data: Any = None,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train for `epochs` epochs more.

        Parameters
        ----------
        x : array, Tensor or DataLoader
            Samples, channels last; a loader gives the labels too.
        y : array or Tensor, optional
            Labels, as the loss takes them.
        batch_size : int, default 32
            Samples per step.
        epochs : int, default 1
            Passes over the data.
        verbose : {"auto", 0, 1, 2}
            0 is silent; otherwise every epoch prints its numbers.
        validation_data : (x, y) or DataLoader, optional
            Evaluated after every epoch.
        shuffle : bool, default True
            Visit the samples in a new order every epoch.
        callbacks : sequence of Callback
            Of minigrad.
        """
        trainer = self._ready("fit")
        train = _loader(x, y, batch_size, shuffle)
        val = validation_data
        if isinstance(val, (tuple, list)):
            inputs, labels = val
            val = _loader(inputs, labels, batch_size, False)
        start, kept = len(trainer.history), trainer.callbacks
        trainer.callbacks = [*kept, *callbacks, *([Lines()] if verbose else [])]
        try:
            trainer.fit(train, val, trainer.epoch + epochs)
        finally:
            trainer.callbacks = kept
        return History(trainer.history[start:])

    def train_on_batch(self, x: Any, y: Any, return_dict: bool = False) -> Any:
        """Take one step; return the loss and the metrics before it, as a list or by name."""
        values = self._ready("train_on_batch").train_on_batch(_tensor(x), _labels(y))
        return _result(values, return_dict)

    def evaluate(
        self, x: Any, y: Any = None, batch_size: int = 32, return_dict: bool = False
    ) -> Any:
        """Return the loss and the metrics over all samples, as a list or by name."""
        values = self._ready("evaluate").evaluate(_loader(x, y, batch_size, False))
        return _result(values, return_dict)

    def test_on_batch(self, x: Any, y: Any, return_dict: bool = False) -> Any:
        """Return the loss and the metrics of one batch, without a step."""
        return self.evaluate(x, y, len(y), return_dict)

    def predict(self, x: Any, batch_size: int = 32) -> NDArray[Any]:
        """Return the outputs for all samples, in evaluation mode, batch by batch."""
        trainer = self.trainer or Trainer(self)
        if isinstance(x, DataLoader):
            return trainer.predict(x)
        return trainer.predict(_loader(x, np.zeros(len(x), np.int64), batch_size, False))

    def predict_on_batch(self, x: Any) -> NDArray[Any]:
        """Return the outputs for one batch."""
        return self.predict(x, len(x))

    def _ready(self, what: str) -> Trainer:
        if self.trainer is None:
            raise OptionError(f"{what}: call model.compile(optimizer=…, loss=…) first")
        return self.trainer

    # ---- files ----------------------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Write architecture, weights and, where it was compiled, the optimizer's state.

        The file is that of `minigrad.save`, whatever its name ends in: `keras.models.load_model`
        and `minigrad.load` read it. A
        loss, metric or optimizer that is a function or object of your own is not kept: compile
        again after loading.
        """
        if self.config is None:
            raise OptionError(
                "save: this model was put together by hand, so a file could not say how to build "
                "it again; save model.net.state_dict() with minigrad.io.save"
            )
        saving.save(self, path)

    def get_extra_state(self) -> dict[str, Any] | None:
        """Return how it was compiled, and the trainer's state without the weights."""
        compiled = _describe(self.compiled)
        if self.trainer is None or compiled is None:
            return None
        state = {key: value for key, value in self.trainer.state_dict().items() if key != "model"}
        return {"compiled": compiled, "trainer": state}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Compile, and go on, as `get_extra_state` says."""
        self.compile(**_arguments(state["compiled"]))
        self._ready("set_extra_state").load_state_dict(
            {**state["trainer"], "model": self.state_dict()}
        )

    def load_weights(self, path: Any) -> None:
        """Read the weights of a file that `save` wrote; every name and shape must match."""
        self.load_state_dict(io.load_weights(path))

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that the model was made with."""
        return dict(self.config[2]) if self.config else {}


class Lines(Callback):
    """Prints one line per epoch, as Keras does with ``verbose=2``."""

    rank_0_only = True

    def on_fit_start(self, trainer: Trainer) -> None:
        self.first = trainer.epoch

    def on_epoch_end(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        done, wanted = trainer.epoch - self.first, trainer.epochs - self.first
        numbers = [
            f"{name.removeprefix('train_')}: {value:.4f}"
            for name, value in row.items()
            if name not in UNKNOWN
        ]
        print(f"Epoch {done}/{wanted}")
        print(" - ".join([f"{row['seconds']:.0f}s", *numbers]))


class _Pairs:
    """Samples and labels of any shape."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = as_numpy(x), as_numpy(y)
        if len(self.x) != len(self.y):
            raise ShapeError(f"{len(self.x)} samples cannot have {len(self.y)} labels")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int, /) -> Any:
        return self.x[index], self.y[index]

    def __repr__(self) -> str:
        return f"{len(self)} samples {self.x.shape[1:]}"


def _collate(samples: Sequence[tuple[Any, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = zip(*samples, strict=True)
    return _numbers(np.stack(x)), np.stack(y)


def _loader(x: Any, y: Any, batch_size: int, shuffle: bool) -> DataLoader:
    if isinstance(x, DataLoader):
        return x
    if y is None:
        raise OptionError("labels are missing: give y, or a DataLoader as x")
    return DataLoader(_Pairs(x, y), batch_size, shuffle, collate_fn=_collate)


def _numbers(x: NDArray[Any]) -> NDArray[Any]:
    """Return what a network computes with: float32, unless it is float already."""
    return x if x.dtype.kind == "f" and x.dtype != np.float64 else x.astype(np.float32)


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(_numbers(np.asarray(x)))


def _labels(y: Any) -> Tensor:
    return y if isinstance(y, Tensor) else Tensor(np.asarray(y))


def _result(values: Mapping[str, float], return_dict: bool) -> Any:
    if return_dict:
        return dict(values)
    found = list(values.values())
    return found if len(found) > 1 else found[0]


def _describe(compiled: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return how to compile again in plain values; None where something has no such form."""
    if compiled is None:
        return None
    optimizer, loss = compiled["optimizer"], compiled["loss"]
    if isinstance(optimizer, Spec):
        optimizer = {
            "name": optimizer.name,
            "options": dict(optimizer.options),
            "clip_norm": optimizer.clip_norm,
        }
    if isinstance(loss, Crossentropy):
        loss = {
            "name": loss.name,
            "from_logits": loss.from_logits,
            "label_smoothing": loss.label_smoothing,
        }
    if not isinstance(optimizer, (str, dict)) or not isinstance(loss, (str, dict)):
        return None
    return {"optimizer": optimizer, "loss": loss, "metrics": list(compiled["metrics"])}


def _arguments(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Model.compile` that `_describe` described."""
    optimizer, loss = described["optimizer"], described["loss"]
    if isinstance(optimizer, dict):
        optimizer = Spec(**optimizer)
    if isinstance(loss, dict):
        kind = CROSSENTROPIES[loss["name"]]
        loss = kind(loss["from_logits"], loss["label_smoothing"])
    return {"optimizer": optimizer, "loss": loss, "metrics": described["metrics"]}


Factory = Callable[..., Model]
