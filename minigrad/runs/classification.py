"""Classification (`minigrad train`): what whole samples are; also regression, from a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io, optim
from minigrad.data import (
    Dataset,
    ImageSpec,
    Mix,
    RandAugment,
    RandomAffine,
    RandomTint,
    Repeated,
    RepeatedSampler,
    Sampler,
    Split,
    Subset,
    WeightedRandomSampler,
    class_weights,
    read_image,
    read_signal,
    stratified_folds,
    stratified_subset,
)
from minigrad.data import transforms as T
from minigrad.data.dataset import labels_of
from minigrad.data.mono import mono
from minigrad.data.table import is_table
from minigrad.data.transforms import ERASE_MODES
from minigrad.errors import DataError, MinigradError, OptionError, unknown
from minigrad.modes import no_grad
from minigrad.nn import Module, init
from minigrad.optim.groups import GROUPINGS
from minigrad.runs.config import PictureConfig, option
from minigrad.runs.experiment import Experiment
from minigrad.runs.findings import Findings
from minigrad.runs.initial import load_initial
from minigrad.runs.parts import (
    EVAL_BATCH,
    build_model,
    count,
    eval_transform,
    optimizer_and_schedule,
    picture_options,
    train_transform,
)
from minigrad.runs.recipes import FINE_TUNING, TRAINING, Recipe, chosen
from minigrad.runs.suggestion import Suggestion, suggestion
from minigrad.runs.targets import KINDS, Standardised, kind_of
from minigrad.runs.task import Task, Trained
from minigrad.tensor import Tensor
from minigrad.train import Trainer
from minigrad.viz import SVG, grad_cam, images_svg, predictions_svg

__all__ = ["Classification", "TrainConfig"]

SHARES = (  # options of 0 to 1
    "labels", "drop_path", "label_smoothing", "tint", "erase", "mixup_prob", "mixup_switch_prob",
    "ema", "layer_decay",
)  # fmt: skip
INITIALIZERS: dict[str, dict[str, Any]] = {
    "official": {}, "kaiming": {"initializer": init.kaiming_normal_}
}  # fmt: skip
OF_CLASSES = ("mixup", "cutmix", "labels", "folds", "balanced", "class_weights")
CHANGED = 0.9  # of the images are turned or tinted: a few stay as those that will be asked
SHOWN = 32  # pictures on the sheet of predictions


@dataclass(frozen=True)
class TrainConfig(PictureConfig):
    """All that decides a training run; immutable.

    The defaults train a small ConvNeXt V2 on the embedded digits. `from_values` puts the recipe of
    another data set and the user's own values on top.

    Examples
    --------
    >>> config = TrainConfig.from_values({"data": "fashion-mnist", "epochs": 2})
    >>> config.epochs, config.batch_size
    (2, 128)
    >>> TrainConfig.from_values({"epoch": 2})
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown training option 'epoch'; did you mean 'epochs'? ...
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fashion-mnist": {
            "depths": (2, 2),
            "dims": (64, 128),
            "patch_size": 4,
            "epochs": 10,
            "batch_size": 128,
            "warmup_epochs": 1.0,
            "flip": True,
        },
        "mnist1d": {
            "depths": (1, 1, 2),
            "dims": (32, 64, 96),
            "patch_size": 1,
            "epochs": 30,
            "batch_size": 100,
        },
    }
    folder: ClassVar[Mapping[str, Any]] = {
        "model": "convnextv2_atto",
        "patch_size": 4,
        "drop_path": 0.1,
        "warmup_epochs": 5.0,
        "flip": True,
        "erase": 0.25,
        "threads": 0,
    }

    monitors: ClassVar[tuple[str, ...]] = ("val_accuracy", "val_loss")
    official: ClassVar[Mapping[str, Recipe]] = {**TRAINING, **FINE_TUNING}

    init_from: str = option("", "weights to start from: a run (pre-trained or trained), or a file")
    monitor: str = option("val_accuracy", "what the best epoch is judged by; or val_loss")
    labels: float = option(1.0, "share of the training images that is used, of every class alike")
    folds: int = option(0, "divide the training part into so many, to hold each out in turn; 0: no")
    fold: int = option(0, "which of them this run holds out, from 1; 0: a run for each")
    drop_path: float = option(0.0, "probability to drop a block's branch, at the last block")
    init: str = option("official", "first weights: official, or kaiming, larger in narrow layers")
    passes: int = option(1, "times that an epoch shows every training image")
    targets: str = option("class", "what a table tells of a picture: class, labels or numbers")
    label_smoothing: float = option(0.1, "share of the label spread over all classes")
    head_init_scale: float = option(1.0, "factor of the untrained head's weights")
    layer_decay: float = option(1.0, "factor of the learning rate per layer below the head")
    layer_grouping: str = option("single", "what such a layer is: single, a block; or group, a few")
    auto_augment: str = option("", "RandAugment in timm's notation, as rand-m9-mstd0.5-inc1")
    color_jitter: float = option(0.0, "spread of brightness, contrast and saturation; 0: off")
    turn: float = option(0.0, "turn images at random by up to so many degrees")
    zoom: float = option(0.0, "enlarge, shrink and shift images at random by up to this share")
    tint: float = option(0.0, "change hue, contrast and brightness at random; 1: to any hue")
    erase: float = option(0.0, "probability to blank a random box")
    erase_mode: str = option("const", "what it is filled with: const, the mean; or pixel, noise")
    mixup: float = option(0.0, "alpha of mixup; 0: off")
    cutmix: float = option(0.0, "alpha of CutMix; 0: off")
    mixup_prob: float = option(1.0, "probability that a batch is mixed")
    mixup_switch_prob: float = option(0.5, "probability that it is by CutMix, with both on")
    repeats: int = option(1, "times in a row that an image comes, augmented anew every time")
    balanced: bool = option(False, "draw every class equally often")
    class_weights: bool = option(False, "weigh the loss so that all classes count alike")
    ema: float = option(0.0, "decay of an average of the weights, which is then evaluated; 0: off")

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        for name in SHARES:
            if getattr(self, name) > 1:
                raise OptionError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name, choices in (
            ("erase_mode", ERASE_MODES),
            ("layer_grouping", GROUPINGS),
            ("init", INITIALIZERS),
            ("targets", KINDS),
        ):
            if getattr(self, name) not in choices:
                raise unknown(name, getattr(self, name), choices)
        if not self.layer_decay:
            raise OptionError("layer_decay must lie above 0; 1 gives all layers one rate")
        if self.folds == 1 or self.fold > self.folds:
            raise OptionError(
                f"folds must be 2 or more and fold one of them, got {self.folds} and {self.fold}"
            )
        if self.balanced and self.repeats > 1:
            raise OptionError("balanced and repeats both choose the order; leave one of them out")
        if self.auto_augment:
            RandAugment(self.auto_augment)
        if self.recipe and chosen(self.official, self.recipe).fine_tunes and not self.init_from:
            raise OptionError(
                f"the recipe {self.recipe} goes on from trained weights, with a small learning rate"
                ": name them with init_from"
            )
        of_classes = [
            name for name in OF_CLASSES if getattr(self, name) != getattr(type(self), name)
        ]
        if self.targets != "class" and of_classes:
            raise OptionError(
                f"{' and '.join(of_classes)} are for pictures of one class each; these have "
                f"{self.targets}: leave that out"
            )
        columns = ["val_loss", *(f"val_{name}" for name in KINDS[self.targets].metrics())]
        if (self.keep_best or self.patience) and self.monitor not in columns:
            raise unknown(f"monitor of pictures with {self.targets}", self.monitor, columns)
        if not self.passes:
            raise OptionError("passes must be 1 or more, got 0")
        if self.turn > 180:
            raise OptionError(f"turn must lie between 0 and 180 degrees, got {self.turn}")
        if not self.labels:
            raise OptionError("labels must lie above 0: the share of the training images used")


class Classification(Task[TrainConfig]):
    """Every sample has one class."""

    name = "train"
    help = "Train a model; the checkpoint, the log and the pictures go to runs/NAME/."
    examples = """examples:
  minigrad train                                     handwritten digits
  minigrad train pictures                            a folder of yours, one sub-folder per class
  minigrad train --epochs 3 --name short             files go to runs/short/
  minigrad train --name short --resume               continue after Ctrl-C
"""
    config = TrainConfig
    checkpoint = "checkpoint.safetensors"
    files: ClassVar[Mapping[str, str]] = {
        "model.safetensors": "the weights alone",
        "predictions.svg": "pictures with what the model takes them for",
    }
    knows = "probability"

    def suggest(self, wanted: Mapping[str, Any]) -> Suggestion | None:
        return suggestion(wanted)

    def data_options(self, config: TrainConfig) -> dict[str, Any]:
        table = {"targets": config.targets} if is_table(config.data) else {}
        return picture_options(config) | table

    def data(self, config: TrainConfig) -> Split:
        split = super().data(config)
        train, test = split.train, split.test
        if scales := split.spec.scales:
            train, test = Standardised(train, scales), Standardised(test, scales)
        if config.folds:
            if not config.fold:
                raise OptionError(f"fold must say which of the {config.folds} folds is held out")
            parts = stratified_folds(train, config.folds, config.seed)
            test = parts.pop(config.fold - 1)
            rest = np.sort(np.concatenate([part.indices for part in parts]))
            train = Subset(train, rest)
        if config.labels < 1:
            train = stratified_subset(train, config.labels, config.seed)
        if config.passes > 1:
            train = Repeated(train, config.passes)
        return Split(train, test, split.spec)

    def everything(self, config: TrainConfig) -> Split:
        return super().everything(replace(config, passes=1, labels=1.0, folds=0, fold=0))

    def build(self, config: TrainConfig, images: ImageSpec) -> Module:
        return build_model(
            config,
            images,
            drop_path_rate=config.drop_path,
            head_init_scale=config.head_init_scale,
            **INITIALIZERS[config.init],
        )

    def start(self, config: TrainConfig, model: Module) -> None:
        if config.init_from:
            load_initial(model, config.init_from)

    def train_options(self, config: TrainConfig, images: ImageSpec) -> dict[str, Any]:
        erase = T.RandomErasing(config.erase, mode=config.erase_mode) if config.erase else None
        mix = None
        if config.mixup or config.cutmix:
            p, switch = config.mixup_prob, config.mixup_switch_prob
            mix = Mix(len(images.classes), config.mixup, config.cutmix, p, switch)
        return {
            "transform": train_transform(
                config, images, changes=changes(config, images), erase=erase
            ),
            "mix": mix,
        }

    def sampler(self, config: TrainConfig, train: Dataset) -> Sampler | None:
        if config.repeats > 1:
            return RepeatedSampler(len(train), config.repeats)
        if config.balanced:
            labels = labels_of(train)
            return WeightedRandomSampler(class_weights(labels, int(labels.max()) + 1)[labels])
        return None

    def test_options(self, config: TrainConfig, images: ImageSpec) -> dict[str, Any]:
        return {"batch_size": EVAL_BATCH, "transform": eval_transform(config, images)}

    def trainer(self, config: TrainConfig, model: Module, **options: Any) -> Trainer:
        kind = KINDS[config.targets]
        return Trainer(
            model,
            loss=kind.loss(config.label_smoothing),
            val_loss=kind.val_loss(),
            metrics=kind.metrics(),
            **options,
        )

    def adapt(self, experiment: Experiment[TrainConfig]) -> None:
        """Weigh the loss by how rare the classes are."""
        config, split, trainer = experiment.config, experiment.split, experiment.trainer
        if config.class_weights:
            weights = class_weights(labels_of(split.train), len(split.spec.classes))
            weight = Tensor(weights.astype(np.float32)).to(config.device)
            smooth: Any = trainer.loss
            trainer.loss = partial(smooth, weight=weight)

    def optimizer(
        self, config: TrainConfig, model: Module, batches: int
    ) -> tuple[optim.Optimizer, optim.LRScheduler | None]:
        return optimizer_and_schedule(
            config, model, batches, config.layer_decay, config.layer_grouping
        )

    def average(self, config: TrainConfig) -> float:
        return config.ema

    def announce(self, experiment: Experiment[TrainConfig]) -> str:
        config, split = experiment.config, experiment.split
        images = len(split.train) // config.passes
        return (
            f"{config.model} with {count(experiment.trainer.model):,} parameters on {config.data}: "
            f"{images:,} images to train on, {len(split.test):,} held out"
        )

    def finish(self, experiment: Experiment[TrainConfig], folder: Path) -> None:
        """Save bare weights and the sheet of predictions; say what came out."""
        trainer, split = experiment.trainer, experiment.split
        kind, spec = kind_of(split.spec), split.spec
        io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
        outputs, targets = trainer.predict(experiment.test), targets_of(split.test)
        errors = kind.errors(outputs, targets)
        worst = np.argsort(-errors, kind="stable")[: SHOWN // 4]
        others = np.setdiff1d(np.arange(len(errors)), worst)[: SHOWN - len(worst)]
        chosen = np.concatenate([worst, others])
        drawing = predictions_svg(
            np.stack([experiment.seen(split.test[int(i)][0]) for i in chosen]),
            [kind.truth(targets[i], spec) for i in chosen],
            [kind.caption(told, spec) for told in kind.told(outputs[chosen], spec)],
            title=f"{folder.name}: {kind.summary(outputs, targets, spec)}",
        )
        drawing.save(folder / "predictions.svg")
        print(kind.summary(outputs, targets, spec))

    def asked(self, trained: Trained[TrainConfig], split: Split) -> str:
        config = trained.config
        return (
            f"{trained.path}: {config.model} on {len(split.test):,} held-out images of "
            f"{config.data}"
        )

    def evaluate(self, trained: Trained[TrainConfig], split: Split) -> Findings:
        """Return loss and scores, and those of every class."""
        config, spec = trained.config, trained.images
        if strange := sorted(set(split.spec.classes) - set(spec.classes)):
            raise DataError(
                f"{config.data} has a class {strange[0]!r}, which the model does not know; its "
                f"classes are {', '.join(spec.classes)}"
            )
        kind = kind_of(spec)
        trainer = Trainer(trained.model, precision=config.precision)
        outputs, targets = trainer.predict(trained.held_out(split)), targets_of(split.test)
        if spec.targets == "class":
            targets = np.array([spec.classes.index(name) for name in split.spec.classes])[targets]
        given = Tensor(outputs), Tensor(targets)
        scores = {name: metric(*given) for name, metric in kind.metrics().items()}
        scores = {"loss": kind.val_loss()(*given).item(), **scores}
        return kind.findings(scores, outputs, targets, spec)

    def mistakes(
        self, trained: Trained[TrainConfig], split: Split, found: Findings
    ) -> Iterator[tuple[str, SVG]]:
        """Yield the worst mistakes, and where in them what was said is found."""
        spec, config = trained.images, trained.config
        outputs, targets = found.outputs, found.targets
        drawable = spec.spatial_dims == 1 or spec.channels in (1, 3)
        if outputs is None or targets is None or not drawable:
            return
        kind, transform = kind_of(spec), eval_transform(config, spec)
        errors = kind.errors(outputs, targets)
        worst = np.argsort(-errors, kind="stable")[: SHOWN // 4]
        worst = worst[errors[worst] > 0]
        if not len(worst):
            return
        rng = np.random.default_rng(0)
        seen = np.stack([np.asarray(transform(split.test[int(i)][0], rng)) for i in worst])
        told = [kind.caption(each, spec) for each in kind.told(outputs[worst], spec)]
        truth = [kind.truth(targets[i], spec) for i in worst]
        yield "The worst mistakes", predictions_svg(seen, truth, told, columns=4, title=config.data)
        if spec.targets != "class" or spec.spatial_dims != 2:
            return
        try:
            said = outputs[worst].argmax(1).tolist()
            cams = grad_cam(trained.model, Tensor(seen).to(trained.device), said)
        except MinigradError:  # a model without stages
            return
        drawing = images_svg(cams, told, under=seen, columns=4, title="Grad-CAM of the last stage")
        yield "Where the model found that", drawing

    def read(self, trained: Trained[TrainConfig], path: Path) -> NDArray[Any]:
        images = trained.images
        transform = eval_transform(trained.config, images)
        if images.spatial_dims == 1:
            image = read_signal(path, images.channels, images.size or 0)
        else:
            image = read_image(path, trained.config.channels if images.mono else images.channels)
            if images.size is not None:  # pictures of any size come to that of the data's
                image = T.resize(image, (images.size, images.size))
            if images.mono:
                image = mono(image)
        return transform(image, np.random.default_rng(0))

    def shares(
        self, trained: Trained[TrainConfig], images: NDArray[Any]
    ) -> tuple[NDArray[np.float64], None]:
        """Return the probability of every class or label, or the numbers themselves."""
        x = Tensor(images).to(trained.device)
        with no_grad():
            outputs = trained.model(x).cpu().numpy()
        return kind_of(trained.images).told(outputs, trained.images), None


def changes(config: TrainConfig, images: ImageSpec) -> list[T.Transform]:
    """Return what is done to training images at random, beside what every kind of run does."""
    if images.spatial_dims != 2 and (config.turn or config.zoom or config.tint):
        raise OptionError("turn, zoom and tint are for pictures, and these are signals")
    found: list[T.Transform] = []
    if config.turn or config.zoom:
        found.append(RandomAffine(config.turn, config.zoom, CHANGED))
    if config.tint:
        found.append(RandomTint(config.tint, CHANGED))
    if config.auto_augment:
        fill = tuple(min(255, round(255 * mean)) for mean in images.mean)
        found.append(RandAugment(config.auto_augment, fill))
    if config.color_jitter:
        found.append(T.ColorJitter(*[config.color_jitter] * 3))
    return found


def targets_of(part: Dataset) -> NDArray[Any]:
    """Return what is known of every sample."""
    return np.array([part[i][1] for i in range(len(part))])
