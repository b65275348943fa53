"""Whole models and trainers in a file: `minigrad.save` and `minigrad.load`.

A model is its architecture and its weights. The architecture is the call that made it: the name
of one of our classes, or of a registered model, and plain arguments; no code. Before it is written
the call is tried: what it makes must be the same, layer for layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import dtypes, io, models, nn, optim
from minigrad.backend import Device
from minigrad.errors import DataError, MinigradError, OptionError, brief
from minigrad.files import to_path
from minigrad.io.nested import unpack
from minigrad.making import Call
from minigrad.models.registry import find, registered_as
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.optim import LRScheduler, Optimizer
from minigrad.tensor import Tensor
from minigrad.train import Trainer
from minigrad.train.losses import LOSSES
from minigrad.train.metrics import accuracy

__all__ = ["load", "save"]

VERSION = 1  # of the files
ROOMS: dict[str, Any] = {"nn": nn, "models": models, "optim": optim}  # of classes a file may name
COMPAT = ("dl_techniques", "medicai")  # of `minigrad.compat`: functions too, imported when named
LEFT_OUT = ("device", "initializer", "pretrained")  # of a call: the weights and `load` decide
METRICS = {"accuracy": accuracy}
TRAINER = ("clip_grad", "precision", "cuda_graph")  # its options that are plain values


def save(obj: Any, path: str | Path) -> None:
    """Save a model, a trainer, or a state: what `load` returns is of the same kind.

    The file is safetensors, which any program reads: a model's weights are named
    ``model.stages.0.0.dwconv.weight``, in their own element type, and the rest is JSON in the
    header. It replaces an old one only once it is whole.

    Parameters
    ----------
    obj : Module, Trainer or state
        A model is kept with its architecture, element types, frozen parameters and mode; a trainer
        with its model, optimizer, schedule, average, losses, metrics, position, history and random
        numbers, but without callbacks; anything else as `minigrad.io.save` keeps it.
    path : path
        The file, by convention ``….safetensors``.

    Raises
    ------
    DataError
        If it is made of something that no file can make again, such as a class or a loss of your
        own, or was changed since; or the disk refuses. A ``state_dict()`` can always be saved.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
    >>> model = mg.models.convnextv2_atto(num_classes=3, in_channels=1).half()
    >>> mg.save(model, path)
    >>> again = mg.load(path)
    >>> again.num_classes, again.head.weight.dtype
    (3, dtype('float16'))
    """
    if isinstance(obj, Module):
        obj = _model(obj)
    elif isinstance(obj, Trainer):
        obj = _trainer(obj)
    io.save(obj, path)


def load(path: str | Path, device: str = "cpu") -> Any:
    """Load what `save` saved: a model, a trainer, or a state; of any other weights, the tensors.

    Nothing in the file is run: it names classes of minigrad or registered models, and no others.

    Parameters
    ----------
    path : path
        The file. One that `save` did not write, of any kind that `minigrad.io.read_checkpoint`
        reads (also one of `minigrad.onnx.export`), gives its tensors by name.
    device : str, default "cpu"
        Where a model goes, or a trainer's model.

    Returns
    -------
    Module, Trainer or state
        A trainer goes on with the very next step, with the random numbers of the one saved; a
        state is on the CPU.

    Raises
    ------
    DataError
        If the file is missing, damaged, of a newer version, or names a model that is unknown here.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "trainer.safetensors")
    >>> model = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(64, 10))
    >>> trainer = mg.train.Trainer(model, "sgd")
    >>> train = mg.data.DataLoader(mg.data.digits(), 256)
    >>> _ = trainer.fit(train, epochs=1)
    >>> mg.save(trainer, path)
    >>> again = mg.load(path)
    >>> again.epoch, len(again.fit(train, epochs=2))
    (1, 2)
    """
    place = str(Device(device))
    file = io.read_checkpoint(to_path(path))
    if file.format != "safetensors":
        return unpack(path, {name: np.array(a) for name, a in file.tensors.items()}, {})
    state = unpack(path, file.tensors, file.metadata)  # of views; copied only into what is built
    if not isinstance(state, dict) or "architecture" not in state or "version" not in state:
        return io.load(file.path)
    kind, version = state.get("kind"), state["version"]
    if type(version) is not int or kind not in ("model", "trainer"):
        raise DataError(
            f"{path}: a whole model or trainer is expected, found {brief(kind)} of version "
            f"{brief(version)}"
        )
    if version > VERSION:
        raise DataError(
            f"{path}: the file is of version {version}, which a newer minigrad wrote; this one "
            f"reads up to version {VERSION}: upgrade it, or read the weights with minigrad.io.load"
        )
    with io.building(path, state.get("model")):
        model = _build_model(state).to(place)
        return model if kind == "model" else _build_trainer(state, model, place)


# ---- a model ----------------------------------------------------------------------------------


def _model(model: Module) -> dict[str, Any]:
    """Return a model as a state, after making sure that it can be built again."""
    architecture = describe(model)
    _try(model, architecture)
    extra = getattr(model, "get_extra_state", None)  # PyTorch's name for what is no tensor
    return {
        "kind": "model",
        "version": VERSION,
        "architecture": architecture,
        "training": model.training,
        "frozen": [name for name, p in model.named_parameters() if not p.requires_grad],
        "extra": None if extra is None else extra(),
        "model": model.state_dict(),
    }


def _build_model(state: Mapping[str, Any]) -> Module:
    model: Any = build(state["architecture"], Module)
    weights = state["model"]
    for name, own in model.state_dict(keep_vars=True).items():
        dtype = getattr(weights.get(name), "dtype", own.dtype)
        if own.dtype != dtype and own.is_floating_point() and dtypes.is_floating(dtype):
            own.data = init.empty(*own.shape, dtype=dtype, device=own.device).data
    model.load_state_dict(weights)
    for name in state["frozen"]:
        model.get_parameter(name).requires_grad_(False)
    model.train(state["training"])
    if state["extra"] is not None:
        model.set_extra_state(state["extra"])
    return model  # type: ignore[no-any-return]


def _try(model: Module, architecture: dict[str, Any]) -> None:
    """Build the model again, without weights, and compare it with what is to be saved."""
    try:
        with init.skip_random():
            again = build(architecture, Module)
    except MinigradError as error:
        raise DataError(
            f"save: {type(model).__name__} cannot be built again as it was ({error}); {_MEND}"
        ) from error
    for mine, other in zip_longest(_layers(model), _layers(again)):
        if mine != other:
            raise DataError(
                f"save: the model was changed after it was made: it has {mine or 'no more'}, but "
                f"{architecture['class']} makes {other or 'nothing more'}; {_MEND}"
            )


def _layers(model: Module) -> Iterator[str]:
    """Yield a line for every layer and every tensor: what two equal models share."""
    for path, module in model.named_modules(remove_duplicate=False):
        yield f"{path or 'the whole'}: {type(module).__name__}({module.extra_repr()})"
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        yield f"{name} {tensor.shape}"


_MEND = (
    "save its weights, minigrad.save(model.state_dict(), path), and load them into a model that is "
    "built the same way: model.load_state_dict(minigrad.load(path))"
)


# ---- a trainer --------------------------------------------------------------------------------


def _trainer(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer as a state: its model's, its own, and how its parts were made."""
    schedule, ema = trainer.schedule, trainer.ema
    if ema is not None and type(ema) is not optim.ModelEma:
        raise _refused(f"the average is a {type(ema).__name__}")
    if schedule is not None and schedule.optimizer is not trainer.optimizer:
        raise _refused("its schedule works on another optimizer")
    parts = {
        "optimizer": _optimizer(trainer.optimizer, trainer.model),
        "schedule": None if schedule is None else _schedule(schedule),
        "ema": None if ema is None else ema.decay,
        "loss": _loss(trainer.loss),
        "val_loss": _loss(trainer.val_loss),
        "metrics": {name: _named("metric", f, METRICS) for name, f in trainer.metrics.items()},
        "options": {name: getattr(trainer, name) for name in TRAINER},
    }
    return {**trainer.state_dict(), **_model(trainer.model), "kind": "trainer", "parts": parts}


def _build_trainer(state: Mapping[str, Any], model: Module, place: str) -> Trainer:
    parts = state["parts"]
    optimizer = _build_optimizer(parts["optimizer"], state["optimizer"], model)
    kept: dict[str, Any] = {name: parts["options"][name] for name in TRAINER}
    kept["cuda_graph"] = bool(kept["cuda_graph"]) and place != "cpu"
    schedule, decay = parts["schedule"], parts["ema"]
    if schedule is not None:
        schedule = build(schedule, LRScheduler, optimizer)
    trainer = Trainer(
        model,
        optimizer,
        _build_loss(parts["loss"]),
        val_loss=_build_loss(parts["val_loss"]),
        schedule=schedule,
        ema=None if decay is None else optim.ModelEma(model, decay),
        metrics={name: METRICS[each] for name, each in parts["metrics"].items()},
        **kept,
    )
    trainer.load_state_dict(state)
    return trainer


def _optimizer(optimizer: Optimizer, model: Module) -> dict[str, Any]:
    """Return an optimizer's class, options, and the names of the parameters of its groups."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [[names.get(id(p)) for p in group["params"]] for group in optimizer.param_groups]
    if any(None in group for group in groups):
        raise _refused("its optimizer has parameters that are not the model's")
    return {"class": _ours("optimizer", optimizer), "options": optimizer.defaults, "groups": groups}


def _build_optimizer(described: Mapping[str, Any], state: Any, model: Module) -> Optimizer:
    kind = _find(described["class"], Optimizer)
    known = inspect.signature(kind).parameters
    options = {name: v for name, v in described["options"].items() if name in known}
    groups = [
        {"params": [model.get_parameter(name) for name in group]} for group in described["groups"]
    ]
    made: Optimizer = kind(groups, **options)
    made.load_state_dict(state)  # now, as a schedule may ask for the groups' initial rates
    return made


def _schedule(schedule: LRScheduler) -> dict[str, Any]:
    name, made = _ours("schedule", schedule), schedule._made
    assert made is not None  # it is ours
    options = {name: value for name, value in made.options.items() if name != "optimizer"}
    arguments = made.arguments if "optimizer" in made.options else made.arguments[1:]
    return _describe_call(Call(arguments, options, name))


def _ours(what: str, part: Optimizer | LRScheduler) -> str:
    """Return the name of a part's class, if that and plain numbers are all that it is."""
    name = type(part).__name__
    if getattr(optim, name, None) is not type(part) or isinstance(part, optim.LambdaLR):
        raise _refused(f"its {what} is a {name}, with code of your own")
    return f"optim.{name}"


def _loss(loss: Any) -> dict[str, Any]:
    """Return a loss: a layer, or a function of ours with its options."""
    if isinstance(loss, Module):
        return describe(loss)
    options: dict[str, Any] = {}
    while isinstance(loss, partial) and not loss.args:
        loss, options = loss.func, {**loss.keywords, **options}
    name = _named("loss", loss, LOSSES)
    return {"function": name, "options": {k: _plain(v, name) for k, v in options.items()}}


def _build_loss(described: Mapping[str, Any]) -> Any:
    if "function" not in described:
        return build(described, Module)
    loss, options = LOSSES[described["function"]], _options(described["options"])
    return partial(loss, **options) if options else loss


def _named(kind: str, function: Any, known: Mapping[str, Any]) -> str:
    for name, each in known.items():
        if each is function:
            return name
    shown = getattr(function, "__name__", type(function).__name__)
    raise _refused(f"its {kind} {shown} is none of {', '.join(known)}")


def _refused(why: str) -> DataError:
    return DataError(
        f"save: no file can make this trainer again: {why}; save its state, "
        "minigrad.save(trainer.state_dict(), path), and load it into a trainer that is built the "
        "same way: trainer.load_state_dict(minigrad.load(path))"
    )


# ---- calls: what made something, in plain values ------------------------------------------------


def describe(module: Module) -> dict[str, Any]:
    """Return how a module is made, in plain values: ``class``, ``arguments``, ``options``."""
    if type(module) in (nn.Sequential, nn.ModuleList, nn.ModuleDict):  # by what they hold now
        items: Any = module._named_items()  # type: ignore[attr-defined]
        held = list(items.values()) if type(module) is nn.ModuleList else items
        return _describe_call(Call((held,), {}, _name(type(module))))
    return _describe_call(_made(module))


def build(described: Any, kind: type[Any], *first: Any) -> Any:
    """Make what `describe` described; `first` are arguments that come before.

    Raises
    ------
    DataError
        If it names what no file may name.
    """
    called = _find(described["class"], kind)
    arguments, options = _value(described["arguments"]), _options(described["options"])
    made = called(*first, *arguments, **options)
    if not isinstance(made, kind):
        raise DataError(f"{described['class']} makes a {type(made).__name__}")
    return made


def _made(obj: Module) -> Call:
    made = obj._made
    if made is None:
        raise DataError(
            f"save: a {type(obj).__name__} is made by code of your own, which no file holds; "
            + _MEND
            + "; or give your class a name with @minigrad.models.register"
        )
    return made if made.name else made._replace(name=_name(type(obj)))


def _describe_call(made: Call) -> dict[str, Any]:
    kept = {name: value for name, value in made.options.items() if name not in LEFT_OUT}
    name = made.name
    return {
        "class": name,
        "arguments": [_plain(value, f"an argument of {name}") for value in made.arguments],
        "options": {key: _plain(value, f"{key} of {name}") for key, value in kept.items()},
    }


def _plain(value: Any, what: str) -> Any:
    """Return a value of a call so that a file can hold it; the inverse is `_value`."""
    if value is None or isinstance(value, bool | int | float | str | np.generic | np.ndarray):
        return value
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return value
    if isinstance(value, Module):
        return describe(value)
    if isinstance(value, list | tuple):
        items = [_plain(item, what) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping) and not {"class", "dtype"} & set(value):
        return {key: _plain(item, what) for key, item in value.items() if key not in LEFT_OUT}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": dtypes.to_dtype(value).name}
    if isinstance(value, type) and issubclass(value, Module):
        return {"class": _name(value)}
    raise DataError(
        f"save: {what} is {brief(value)}, which no file can hold; only plain values, tensors and "
        f"layers of minigrad; {_MEND}"
    )


def _value(plain: Any) -> Any:
    """Return the value that `_plain` made plain."""
    if isinstance(plain, list | tuple):
        return type(plain)([_value(item) for item in plain])
    if isinstance(plain, Tensor | np.ndarray):  # a view of the file, which may change
        return plain.clone() if isinstance(plain, Tensor) else np.array(plain)
    if not isinstance(plain, dict):
        return plain
    if "dtype" in plain:
        return dtypes.to_dtype(plain["dtype"])
    if "class" in plain:
        return build(plain, Module) if len(plain) > 1 else _find(plain["class"], Module)
    return _options(plain)


def _options(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name; a file may not name another file, nor a device."""
    if refused := plain.keys() & set(LEFT_OUT):
        raise DataError(f"a call has the option {min(refused)}, which no file may give")
    return {key: _value(item) for key, item in plain.items()}


def _name(kind: type) -> str:
    """Return the name under which `_find` finds a class."""
    for room, home in ROOMS.items():
        if kind.__name__ in home.__all__ and getattr(home, kind.__name__) is kind:
            return f"{room}.{kind.__name__}"
    if name := registered_as(kind):
        return name
    raise DataError(
        f"save: {kind.__module__}.{kind.__qualname__} is neither a public class of minigrad's nor "
        f"a registered model; {_MEND}; or give your class a name with @minigrad.models.register"
    )


def _find(name: Any, kind: type) -> Any:
    """Return what a file names, if it may: a public class, or a registered model."""
    room, dot, own = name.partition(".") if isinstance(name, str) else ("", "", "")
    if not dot and room and kind is Module:
        try:
            return find(room).build
        except OptionError as error:
            raise DataError(f"it names {brief(name)}: {error}") from None
    home = import_module(f"minigrad.compat.{room}") if room in COMPAT else ROOMS.get(room)
    found = getattr(home, own, None) if own in getattr(home, "__all__", ()) else None
    ours = isinstance(found, type) and issubclass(found, kind)
    if not ours and not (room in COMPAT and kind is Module and callable(found)):
        shown = name if isinstance(name, str) and name.isprintable() else brief(name)
        raise DataError(f"it names {shown:.200}, which is unknown here")
    return found
