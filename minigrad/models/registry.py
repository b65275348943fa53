"""Models by name: register them, list them, create them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from minigrad.errors import OptionError, unknown
from minigrad.making import Call
from minigrad.models.catalog import ModelList, Shelf
from minigrad.models.weights.load import (
    TAKEN,
    Loaded,
    PretrainedReport,
    Rules,
    Source,
    build_with,
    read_pretrained,
)
from minigrad.nn.module import Module

__all__ = [
    "build_pretrained",
    "create_model",
    "encoders_of",
    "find",
    "list_models",
    "register",
    "registered_as",
]

Build = Callable[..., Module]
B = TypeVar("B", bound=Build)

TYPES = ("backbone", "segmentation")


@dataclass(frozen=True)
class Entry:
    """A registered model."""

    name: str
    build: Build
    family: str | None  # of a backbone
    allowed_families: tuple[str, ...]  # of the backbones that a segmentation model takes
    aliases: tuple[str, ...]
    features: Callable[..., Module] | None  # makes the maps of its stages come out
    data: str | None  # what it is trained on if nothing else is said
    options: Mapping[str, Any]  # of a run that trains it, where they differ from the defaults

    def fitting(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the options that the model has."""
        takes = inspect.signature(self.build).parameters
        if any(each.kind is each.VAR_KEYWORD for each in takes.values()):
            return dict(options)
        return {name: value for name, value in options.items() if name in takes}


_models: dict[str, Entry] = {}  # by name


def register(
    family: str | None = None,
    *,
    name: str | None = None,
    type: str = "backbone",
    allowed_families: Sequence[str] = (),
    aliases: Sequence[str] = (),
    features: Callable[..., Module] | None = None,
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[[B], B]:
    """Make a function or a class a model that `create_model` knows by name.

    Parameters
    ----------
    family : str, optional
        What `list_models` groups a backbone under.
    name : str, optional
        Its name; by default that of the function, in lower case.
    type : {"backbone", "segmentation"}
        A segmentation model has no family of its own, but is listed beside those it is built on.
    allowed_families : sequence of str
        The families of encoders that a segmentation model takes.
    aliases : sequence of str
        Other names. Upper case, hyphens and underscores need none: they never matter.
    features : callable, optional
        Given the model, built with ``num_classes=0``, and options of its own: the module that
        ``create_model(…, features_only=True)`` returns.
    data : str, optional
        The data set that `minigrad.runs` trains it on if none is named.
    options : mapping, optional
        What differs from the defaults of a run that trains it, such as ``{"lr": 1e-3}``. Of what a
        run chooses about the model (``patch_size``, ``drop_path_rate`` …) it is given those that
        it has a parameter for.

    Raises
    ------
    OptionError
        If the name is taken, or the type and the families do not fit each other.

    Examples
    --------
    >>> from minigrad import nn
    >>> @register(family="examples")
    ... def one_layer(num_classes=10):
    ...     return nn.Linear(4, num_classes)
    >>> create_model("One-Layer", num_classes=3).out_features
    3
    """
    if type not in TYPES:
        raise unknown("model type", type, TYPES)
    if (family is not None) != (type == "backbone") or bool(allowed_families) == bool(family):
        raise OptionError(
            "register: a backbone has a family and no allowed_families, a segmentation model has "
            f"allowed_families and no family; got type={type!r}, family={family!r}, "
            f"allowed_families={tuple(allowed_families)}"
        )

    def decorate(build: B) -> B:
        own = (name or build.__name__).lower()
        families = tuple(each.lower() for each in allowed_families)
        lowered = None if family is None else family.lower()
        entry = Entry(own, build, lowered, families, tuple(aliases), features, data, options or {})
        for key in (own, *aliases):
            other = _by_key().get(_key(key))
            if other and (other.name != own or other.build.__module__ != build.__module__):
                raise OptionError(
                    f"a model {key!r} is registered already, by {other.build.__module__}"
                )
        _models[own] = entry
        if inspect.isclass(build):
            build._remembers = True  # type: ignore[attr-defined]
        return build

    return decorate


def build_pretrained(
    entry: Entry, loaded: Loaded, rules: Rules, options: Mapping[str, Any]
) -> tuple[Module, PretrainedReport]:
    """Build a registered model with weights; what `options` leave open, the weights decide."""
    ours = (entry.family or "").startswith(("convnext", "mednext"))
    return build_with(entry.build, loaded, rules, options, TAKEN if ours else ())


def list_models(family: str | None = None) -> ModelList:
    """Return the names of all models, or of one family, sorted.

    Parameters
    ----------
    family : str, optional
        A family of backbones, in any case.

    Returns
    -------
    ModelList
        A list of str; in the terminal and in notebooks it shows itself as a table of the families,
        their variants and the segmentation models that take them as encoders.

    Raises
    ------
    OptionError
        If there is no such family; the nearest is suggested.

    Examples
    --------
    >>> list_models(family="convnext")[:3]
    ['convnext_base', 'convnext_large', 'convnext_small']
    >>> "convnextv2_atto" in list_models()
    True
    """
    families = sorted({e.family for e in _models.values() if e.family is not None})
    if family is not None:
        if family.lower() not in families:
            raise unknown("model family", family, families)
        families = [family.lower()]
    shelves = [
        Shelf(
            kind,
            tuple(sorted(n for n, e in _models.items() if e.family == kind)),
            tuple(sorted(n for n, e in _models.items() if kind in e.allowed_families)),
        )
        for kind in families
    ]
    names = _models if family is None else shelves[0].variants
    return ModelList(sorted(names), shelves)


def create_model(
    name: str,
    *,
    pretrained: Source | bool | None = None,
    features_only: bool = False,
    **options: Any,
) -> Module:
    """Build a model by name.

    Parameters
    ----------
    name : str
        One of `list_models`. Case, hyphens and underscores do not matter: ``ConvNeXtV2Tiny`` and
        ``convnext-v2-tiny`` are ``convnextv2_tiny``.
    pretrained : path or mapping of str to array, optional
        Weights to load, see `load_pretrained`; the model's ``pretrained_report`` says
        what was done with them. True raises: no weights come with minigrad.
    features_only : bool, default False
        Return the maps of the stages instead of classes; for a ConvNeXt see `ConvNeXtFeatures`,
        whose options ``out_indices`` and ``norm`` may then be given too.
    **options
        Options of the model, such as ``num_classes`` or ``drop_path_rate``.

    Raises
    ------
    OptionError
        If the name or an option is unknown; the nearest one is suggested. If the model has no maps.
    DataError
        If pretrained weights are asked for.

    Examples
    --------
    >>> create_model("convnextv2_ato")
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown model 'convnextv2_ato'; did you mean 'convnextv2_atto'? ...
    """
    entry = find(name)

    def build(**options: Any) -> Module:
        if pretrained is None or pretrained is False:
            model = entry.build(**options)
            if model._made is None:  # of a class that is not registered, made by a function that is
                vars(model)["_made"] = Call((), options, entry.name)
            return model
        model, report = build_pretrained(entry, read_pretrained(pretrained, name), Rules(), options)
        model.pretrained_report = report
        return model

    if not features_only:
        return build(**options)
    if entry.features is None:
        known = [(n, e) for n, e in _models.items() if e.features]
        raise OptionError(
            f"{entry.name} has no stages to take maps from, so features_only cannot be True; use "
            f"one of the families {', '.join(sorted({e.family or n for n, e in known}))}"
        )
    own = inspect.signature(entry.features).parameters
    chosen = {key: options.pop(key) for key in list(own)[1:] if key in options}
    return entry.features(build(num_classes=0, **options), **chosen)


def find(name: str) -> Entry:
    """Return what is registered under a name, in any of its spellings.

    Raises
    ------
    OptionError
        If nothing is; the nearest name is suggested.
    """
    known = _by_key()
    if entry := known.get(_key(name)):
        return entry
    bare = known.get(_key(name.partition(".")[0]))  # timm's names go on with the weights' tag
    raise unknown("model", name, _models, {name: bare.name} if bare else None)


def registered_as(build: Build) -> str | None:
    """Return the name under which a class is registered, or a function; None if it is not."""
    return next((name for name, entry in _models.items() if entry.build is build), None)


def encoders_of(name: str) -> list[str]:
    """Return the names of the encoders that a segmentation model takes; none for other models.

    Raises
    ------
    OptionError
        If there is no such model; the nearest is suggested.

    Examples
    --------
    >>> encoders_of("convnext_tiny")
    []
    >>> "convnextv2_atto" in encoders_of("unet")
    True
    """
    taken = find(name).allowed_families
    return sorted(n for n, entry in _models.items() if entry.family in taken)


def _key(name: str) -> str:
    """Return what two spellings of one name share."""
    return name.lower().replace("_", "").replace("-", "")


def _by_key() -> dict[str, Entry]:
    return {_key(name): e for e in _models.values() for name in (e.name, *e.aliases)}
