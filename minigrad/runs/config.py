"""Config: every choice of a run, with its default, its explanation and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from minigrad.backend import Device
from minigrad.data.catalog import list_datasets, sources
from minigrad.data.transforms import INTERPOLATIONS
from minigrad.errors import DataError, OptionError, brief, unknown
from minigrad.files import opened
from minigrad.loading import check_kinds
from minigrad.models.registry import find
from minigrad.runs.recipes import Recipe, chosen, plain
from minigrad.train.loggers import LOGGERS
from minigrad.train.precision import PRECISIONS

__all__ = [
    "FOLDER_SIDE",
    "C",
    "Config",
    "PictureConfig",
    "option",
    "plain",
    "read_notes",
    "read_toml",
    "synonyms",
]

TOML_LIMIT = 16_000  # bytes of a file of options; the parser takes their square
FOLDER_SIDE = 224  # of a folder's pictures, where nobody says another
PATHS = ("data", "root", "init_from")  # options that may name a file or a folder
SYNONYMS = {  # what other programs call an option: whoever writes that is told our name
    "accumulate": "update_freq grad_accum_steps gradient_accumulation_steps",
    "auto_augment": "aa autoaugment randaugment",
    "batch_size": "batch bs train_batch_size",
    "checkpoint_every": "save_every save_steps checkpoint_steps",
    "clip_grad": "grad_clip clip max_grad_norm max_norm gradient_clip_val",
    "data": "dataset data_set data_dir data_path",
    "device": "gpu cuda accelerator",
    "drop_path": "drop_path_rate stochastic_depth",
    "ema": "ema_decay model_ema",
    "epochs": "num_epochs n_epochs max_epochs",
    "erase": "random_erasing reprob",
    "erase_mode": "remode",
    "flip": "hflip mirror",
    "log_to": "logger report_to loggers",
    "image_size": "img_size imgsz input_size resolution",
    "init_from": "pretrained finetune weights",
    "label_smoothing": "smoothing",
    "lr": "learning_rate base_lr max_lr lr0",
    "min_lr": "eta_min lrf",
    "model": "arch architecture backbone encoder",
    "optimizer": "opt optim optimiser",
    "precision": "amp dtype fp16 bf16 half",
    "schedule": "scheduler sched lr_scheduler lr_schedule",
    "seed": "random_seed manual_seed random_state",
    "threads": "num_threads n_threads",
    "warmup_epochs": "warmup warm_up",
    "weight_decay": "wd l2",
    "workers": "num_workers n_workers jobs",
}


def option(default: Any, help: str) -> Any:
    """Declare a field with its explanation, which ``minigrad train --help`` shows."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """What every kind of run chooses, and how the choices are read and checked; immutable.

    Examples
    --------
    >>> from minigrad.runs import TrainConfig
    >>> config = TrainConfig.from_values({"epochs": 3})
    >>> config.epochs, config.data
    (3, 'digits')
    """

    masks: ClassVar[bool] = False  # whether its data have a class for every position
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # what differs for a data set …
    folder: ClassVar[Mapping[str, Any]] = {}  # … and for a folder of pictures
    monitors: ClassVar[tuple[str, ...]] = ("val_loss",)  # what an epoch may be judged by
    official: ClassVar[Mapping[str, Recipe]] = {}  # recipes by name, for the option `recipe`

    data: str = option("digits", "a data set that 'minigrad data' lists, or a picture folder")
    download: bool = option(False, "fetch the data set if it is not on this machine")
    image_size: int = option(0, "side to scale pictures to; 0: the data's own, 224 for folders")
    model: str = option("convnextv2", "convnext or convnextv2 of the sizes below, or a named model")
    depths: tuple[int, ...] = option((2, 2), "blocks of each stage")
    dims: tuple[int, ...] = option((32, 64), "channels of each stage")
    patch_size: int = option(2, "kernel and stride of the stem")
    kernel_size: int = option(7, "kernel of the depthwise convolutions")
    epochs: int = option(30, "passes over the training images")
    minutes: float = option(0.0, "fewer epochs if these take longer, by some first steps; 0: all")
    batch_size: int = option(64, "images per step")
    accumulate: int = option(1, "batches whose gradients are summed up before a step")
    optimizer: str = option("adamw", "adam, adamw, sgd, …: a name of minigrad.optim")
    lr: float = option(4e-3, "largest learning rate")
    min_lr: float = option(0.0, "learning rate at the end of the cosine")
    betas: tuple[float, ...] = option((), "decays of the running means; none: the optimizer's own")
    momentum: float = option(0.0, "of sgd and rmsprop")
    weight_decay: float = option(0.05, "of matrices and kernels, not of biases, norms and scales")
    schedule: str = option("cosine", "learning rate after the warm-up: cosine or constant")
    warmup_epochs: float = option(2.0, "epochs in which the learning rate rises from 0")
    repeat_peak: bool = option(False, "hold the largest rate for two steps, as ConvNeXt V1 did")
    clip_grad: float = option(0.0, "largest norm of the gradient; 0: any")
    clip_value: float = option(0.0, "largest absolute value of its elements; 0: any")
    crop: int = option(0, "random shift by up to so many pixels")
    flip: bool = option(False, "mirror images at random")
    seed: int = option(0, "of the weights, the order and the augmentation")
    device: str = option("cpu", "cpu, cuda or cuda:<number>")
    cuda_graph: bool = option(False, "launch a training step as one CUDA graph; needs a GPU")
    precision: str = option("float32", "of matrix products and convolutions: or bfloat16, float16")
    threads: int = option(1, "threads of a matrix product; 0: all cores. They change the last bits")
    workers: int = option(0, "threads that prepare batches; they change no result")
    processes: bool = option(False, "let these workers be processes; they change no result")
    shard_optimizer: bool = option(False, "divide the optimizer's state among the ranks")
    checkpoint_every: int = option(0, "save after so many steps too; 0: after every epoch only")
    log_to: str = option("", "what draws the curves meanwhile: tensorboard, trackio or none")
    keep_best: bool = option(False, "keep the best epoch's state too, and finish with its weights")
    monitor: str = option("val_loss", "what the best epoch is judged by")
    patience: int = option(0, "stop after so many epochs that were not the best; 0: never")
    freeze: str = option("", "parts that are not trained, as stem,stages.0 or backbone")
    unfreeze_every: int = option(0, "train one of them more, from the last, after so many epochs")

    @classmethod
    def from_values(cls, *values: Mapping[str, Any]) -> Self:
        """Build a config from mappings, a later one winning over an earlier one.

        What they leave open comes from the official recipe that they name, then from the model's
        entry in the registry, then from the recipe of the data set, then from the defaults.

        Raises
        ------
        OptionError
            If a name is unknown (the nearest is suggested), or a value has the wrong type or
            makes no sense.
        """
        merged: dict[str, Any] = {}
        for mapping in values:
            check_kinds(cls.__name__, Mapping, "options by name", values=mapping)
            merged |= mapping
        hints = typing.get_type_hints(cls)
        names = [field.name for field in dataclasses.fields(cls)]
        for name, value in merged.items():
            if isinstance(value, dict):
                raise OptionError(f"options stand at the top of the file, not in a table [{name}]")
            if name not in names:
                raise unknown("training option", name, names, synonyms(names))
        typed = {name: _typed(name, value, hints[name]) for name, value in merged.items()}
        typed |= {name: _absolute(typed[name]) for name in PATHS if name in typed}
        data = cls.data_of(typed)
        recipe = cls.recipes.get(data, {} if data in sources else cls.folder)
        named: dict[str, Any] = {}
        if typed.get("recipe"):
            named = chosen(cls.official, typed["recipe"]).of(typed.get("model"))
        typed = named | typed
        config = cls(**{**recipe, **cls._of_model(typed.get("model")), **typed})
        config.check()
        return config

    @classmethod
    def data_of(cls, values: Mapping[str, Any]) -> str:
        """Return the data set that values choose: by name, by the model, or not at all."""
        own = cls._of_model(values.get("model")).get("data", cls.data)
        return str(values.get("data", own))

    @classmethod
    def _of_model(cls, name: object) -> dict[str, Any]:
        """Return what a model's entry says of such runs; nothing for models without a name."""
        try:
            entry = find(str(name))
        except OptionError:
            return {}
        fields = cls.__dataclass_fields__
        found = {name: value for name, value in entry.options.items() if name in fields}
        return found | ({"data": entry.data} if entry.data in list_datasets(cls.masks) else {})

    def check(self) -> None:
        """Refuse values that make no sense."""
        least = dict.fromkeys(
            ("epochs", "batch_size", "accumulate", "channels", "patch_size", "kernel_size"), 1
        )
        for field in dataclasses.fields(self):
            value, bound = getattr(self, field.name), least.get(field.name, 0)
            if type(value) in (int, float) and not bound <= value < math.inf:
                raise OptionError(f"{field.name} must be {bound} or more, got {value}")
        if self.seed >= 2**64:
            raise OptionError(f"seed must fit into 64 bits, got {self.seed}")
        if len(self.depths) != len(self.dims):
            raise OptionError(
                f"depths {self.depths} and dims {self.dims} must have one number per stage each"
            )
        if self.min_lr > self.lr:
            raise OptionError(f"min_lr {self.min_lr} must not be above lr {self.lr}")
        if self.optimizer.lower() == "lbfgs":
            raise OptionError(
                "lbfgs asks for the loss several times in each step: it is for a loop of your own, "
                "with optim.LBFGS; adamw and sgd are among those for runs"
            )
        if self.accumulate > 1 and self.cuda_graph:
            raise OptionError("cuda_graph captures steps of one batch: leave accumulate out")
        if self.unfreeze_every and not self.freeze:
            raise OptionError("unfreeze_every lets go of frozen parts: name them with freeze")
        if self.monitor not in self.monitors:
            raise unknown("monitor", self.monitor, self.monitors)
        if self.schedule not in ("cosine", "constant"):
            raise unknown("schedule", self.schedule, ("cosine", "constant"))
        if self.log_to and self.log_to not in LOGGERS:
            raise unknown("logger", self.log_to, LOGGERS)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.cuda_graph and Device(self.device).type != "cuda":
            raise OptionError(
                f"cuda_graph needs a GPU, and device is {self.device!r}; set device to 'cuda'"
            )
        Device(self.device)
        if self.data in sources and sources[self.data].masks != self.masks:
            rule, fit = ("one class for each sample", "train")
            if sources[self.data].masks:
                rule, fit = ("a class for every position", "segment")
            raise OptionError(f"{self.data} has {rule}; train on it with 'minigrad {fit}'")

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return dataclasses.asdict(self)

    def to_toml(self, notes: str = "") -> str:
        """Return the values as TOML, which ``minigrad train --config`` reads back.

        The lines of `notes` stand above them, as comments; `read_notes` returns them.
        """
        lines = [f"# {_printable(line)}".rstrip() for line in notes.splitlines()]
        lines += [f"{name} = {json.dumps(value)}" for name, value in self.to_dict().items()]
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class PictureConfig(Config):
    """What runs choose besides whose samples have one label, or none."""

    channels: int = option(3, "of a folder's pictures: 3 in colour, 1 grey, 4 with transparency")
    mono: bool = option(False, "see whole pictures in one channel, whatever their colours are")
    whole: bool = option(False, "scale a folder's pictures whole, once; off: cut parts out of them")
    recipe: str = option("", "official recipe to take what is left open from; see minigrad recipes")
    interpolation: str = option("bilinear", "how pictures are scaled: bilinear, bicubic, nearest")
    crop_pct: float = option(
        0.875, "part of a held-out picture's side that is seen; 1: all, squared"
    )

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        if self.mono and not self.whole:
            raise OptionError("mono is for pictures that are scaled whole; set whole too")
        if not 0 < self.crop_pct <= 1:
            raise OptionError(f"crop_pct must lie in (0, 1], got {self.crop_pct}")
        if self.interpolation not in INTERPOLATIONS:
            raise unknown("interpolation", self.interpolation, INTERPOLATIONS)


C = TypeVar("C", bound=Config)  # the config of one kind of run


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file of options.

    Raises
    ------
    DataError
        If the file is missing or not TOML; the line is named.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.toml")
    ...     _ = path.write_text("epochs = 3")
    ...     read_toml(path)
    {'epochs': 3}
    """
    text = _text(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a TOML file ({str(error)[:200]})") from None


def read_notes(path: str | Path) -> str:
    r"""Return the comments at the beginning of a TOML file.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import TrainConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.toml")
    ...     _ = path.write_text(TrainConfig().to_toml("why\n\nNumPy 2.0"))
    ...     read_notes(path)
    'why\n\nNumPy 2.0'
    """
    lines = itertools.takewhile(lambda line: line[:1] == "#", _text(path).splitlines())
    return "\n".join(line[1:].removeprefix(" ") for line in lines)


def _text(path: str | Path) -> str:
    with opened(path) as source:
        text = source.read(TOML_LIMIT + 1)
    if len(text) > TOML_LIMIT:
        raise DataError(f"{path}: not a TOML file (it is larger than {TOML_LIMIT:,} bytes)")
    try:
        return text.decode("utf-8-sig")  # editors of Windows begin it with a mark
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a TOML file ({error}); save it as UTF-8") from None


def _printable(line: str) -> str:
    """Return a line with nothing in it that a comment may not hold."""
    return "".join(c if c.isprintable() else "?" for c in line)


def synonyms(names: Iterable[str]) -> dict[str, str]:
    """Return our name for what other programs call one of these options.

    Examples
    --------
    >>> synonyms(["lr", "seed"])["learning_rate"]
    'lr'
    """
    return {other: name for name in names for other in SYNONYMS.get(name, "").split()}


def _absolute(value: str) -> str:
    """Return the place a text names, so that it is found from another folder too."""
    if value in sources or not value:
        return value
    place = os.path.expanduser(value)
    return os.path.abspath(place) if os.path.exists(place) else value


def _typed(name: str, value: Any, kind: Any) -> Any:
    """Return `value` as the field's type, or refuse it."""
    if kind == tuple[float, ...]:
        if isinstance(value, list | tuple) and all(type(v) in (int, float) for v in value):
            return tuple(map(float, value))
        raise OptionError(f"{name} must be a list of numbers, got {brief(value)}")
    if isinstance(kind, types.GenericAlias):  # tuple[int, ...]
        if (
            isinstance(value, list | tuple)
            and all(type(v) is int and v > 0 for v in value)
            and value
        ):
            return tuple(value)
        raise OptionError(f"{name} must be a list of positive whole numbers, got {brief(value)}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        word = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise OptionError(f"{name} must be {word[kind]}, got {brief(value)}")
    return value
