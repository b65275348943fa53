"""Models by name: register them, list them, create them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from minigrad.errors import OptionError, unknown
from minigrad.models.features import ConvNeXtFeatures
from minigrad.nn.module import Module

__all__ = ["accepts", "create_model", "list_models", "register"]

Build = Callable[..., Module]
B = TypeVar("B", bound=Build)
P = ParamSpec("P")
R = TypeVar("R")

_models: dict[str, tuple[str, Build]] = {}  # name -> (family, function)


def register(family: str) -> Callable[[B], B]:
    """Make a function a model of that name: the decorator of every named variant.

    Parameters
    ----------
    family : str
        What `list_models` groups it under.

    Raises
    ------
    OptionError
        If the name is taken.

    Examples
    --------
    >>> from minigrad import nn
    >>> @register(family="examples")
    ... def one_layer(num_classes=10):
    ...     return nn.Linear(4, num_classes)
    >>> create_model("One_Layer", num_classes=3).out_features
    3
    """

    def decorate(build: B) -> B:
        name = build.__name__.lower()
        if name in _models and _models[name][1].__module__ != build.__module__:
            raise OptionError(
                f"a model {name!r} is registered already, by {_models[name][1].__module__}"
            )
        _models[name] = (family, build)
        return build

    return decorate


def list_models(family: str | None = None) -> list[str]:
    """Return the names of all models, or of one family, sorted.

    Examples
    --------
    >>> list_models(family="convnext")[:3]
    ['convnext_base', 'convnext_large', 'convnext_small']
    """
    families = {kind for kind, _ in _models.values()}
    if family is not None and family.lower() not in families:
        raise unknown("model family", family, families)
    return sorted(
        n for n, (kind, _) in _models.items() if family in (None, kind) or kind == family.lower()
    )


def create_model(name: str, *, features_only: bool = False, **options: Any) -> Module:
    """Build a model by name.

    Parameters
    ----------
    name : str
        One of `list_models`, in any case.
    features_only : bool, default False
        Return the maps of the stages instead of classes: see `ConvNeXtFeatures`, whose options
        ``out_indices`` and ``norm`` may then be given too.
    **options
        Options of the model, such as ``num_classes`` or ``drop_path_rate``.

    Raises
    ------
    OptionError
        If the name or an option is unknown; the nearest one is suggested.

    Examples
    --------
    >>> create_model("convnextv2_ato")
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown model 'convnextv2_ato'; did you mean 'convnextv2_atto'? ...
    """
    if name.lower() not in _models:
        raise unknown("model", name, _models)
    build = _models[name.lower()][1]
    if not features_only:
        return build(**options)
    chosen = {key: options.pop(key) for key in ("out_indices", "norm") if key in options}
    trunk: Any = build(num_classes=0, **options)
    return ConvNeXtFeatures(trunk, **chosen)


def accepts(**aliases: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a constructor know keyword arguments by other names too, and refuse unknown ones.

    Parameters
    ----------
    **aliases : str
        Other name to proper name.

    Raises
    ------
    OptionError
        By the decorated function: for an unknown name, with the nearest one suggested, or for an
        argument given under both its names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        names = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD and n != "self"]
        closed = all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
        owner = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for key in list(kwargs):
                proper = aliases.get(key, key)
                if proper in kwargs and proper != key:
                    raise OptionError(f"{owner}: {key} is another name of {proper}; give only one")
                if proper not in names and closed:
                    raise unknown(f"{owner} option", key, names)
                kwargs[proper] = kwargs.pop(key)
            return function(*args, **kwargs)

        return wrapper

    return decorate
