"""Load weights of any naming into a model that exists already."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from minigrad import io
from minigrad.errors import DataError, OptionError, StateError, brief, unknown
from minigrad.loading import check_numbers, number
from minigrad.models.weights.adapt import CHANNELS, INFLATIONS, adapt
from minigrad.models.weights.describe import describe
from minigrad.models.weights.detect import recognise
from minigrad.models.weights.preprocessing import Preprocessing, class_names, preprocessing_of
from minigrad.modes import no_grad
from minigrad.nn import init
from minigrad.nn.layers import LayerNorm, Linear
from minigrad.nn.module import Module
from minigrad.nn.state import prepare
from minigrad.showing import table

__all__ = [
    "Loaded",
    "PretrainedReport",
    "Rules",
    "build_with",
    "load_into",
    "own_names",
    "read",
    "read_pretrained",
    "takes_pretrained",
]

B = TypeVar("B", bound=Callable[..., Module])
Source = str | Path | Mapping[str, Any]

_TRUNK = re.compile(r"(.*?)(?:(?:stages\.\d+|blocks)\.\d+\.dwconv|bottleneck\.\d+\.conv1)\.weight")
_GRN = re.compile(r"(?:stages\.\d+|blocks|bottleneck)\.\d+\.grn[._]")
_HEAD = re.compile(r"(head|out_\d+\.conv_out)\.(?:weight|bias)")
STEMS = ("downsample_layers.0.0.weight", "stem.weight")  # whose input channels may differ
SHOWN = 6
NAMED = 1_000_000_000  # numbers; ConvNeXt V2-H has 660 million
LARGER = 16  # times as many numbers a model may have as the file that it is built for
SIZES = ("depths", "dims", "depth", "dim", "n_channels", "exp_r", "block_counts", "grn")

# What a model of a given name takes over from the weights, where it is not told otherwise.
TAKEN = (
    "in_channels",
    "num_classes",
    "spatial_dims",
    "kernel_size",
    "patch_size",
    "layer_scale_init_value",
    "deep_supervision",
)
OTHER_NAMES = {
    "dim": "spatial_dims",
    "n_classes": "num_classes",
    "in_chans": "in_channels",
    "layer_scale_init": "layer_scale_init_value",
    "ls_init_value": "layer_scale_init_value",
}

V2_LICENCE = "CC BY-NC 4.0 if it is one of Meta's releases of ConvNeXt V2; else its maker's"


class Rules(NamedTuple):
    """How weights are made to fit a model that differs.

    Attributes
    ----------
    strict : bool, default False
        Whether a weight that is missing, left over or does not fit as it is, is an error.
    channels : {"repeat", "mean"}
        See `minigrad.models.weights.adapt.with_channels`.
    inflation : {"mean", "center"}
        See `minigrad.models.weights.adapt.inflate`.
    head_init_scale : float, default 0.001
        Factor of the first weights of a head that is drawn anew, that of the official recipes.
    """

    strict: bool = False
    channels: str = "repeat"
    inflation: str = "mean"
    head_init_scale: float = 0.001

    def checked(self) -> Rules:
        """Return the rules themselves, or refuse what is none."""
        if self.channels not in CHANNELS:
            raise unknown("rule for channels", self.channels, CHANNELS)
        if self.inflation not in INFLATIONS:
            raise unknown("inflation", self.inflation, INFLATIONS)
        check_numbers("load_pretrained", head_init_scale=self.head_init_scale)
        if not math.isfinite(self.head_init_scale):
            raise OptionError(f"head_init_scale must be finite, got {self.head_init_scale}")
        return self


@dataclass(frozen=True)
class PretrainedReport:
    """What became of the weights.

    Attributes
    ----------
    model : str
        The class of the model.
    source : str
        The file, or "a mapping".
    naming : str
        Whose names they had.
    licence : str
        Of the weights, as far as the file or its names tell.
    loaded : tuple of str
        Names in the model that have their values from the source.
    adapted : dict of str to str
        Those of them that were changed to fit, and how.
    drawn : tuple of str
        The head, where it is of another size: dropped, and drawn anew.
    missing : tuple of str
        Names in the model for which there was no value; they are unchanged.
    unexpected : tuple of str
        Names in the source for which the model has no place.
    preprocessing : Preprocessing or None
        What their library does to a picture before the network, as the configuration beside them
        says, or as is usual there: a transform.
    classes : tuple of str or None
        Names of the head's classes, where the head came from the source and they are known.
    """

    model: str
    source: str
    naming: str
    licence: str
    loaded: tuple[str, ...]
    adapted: dict[str, str] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] | None = None

    @property
    def complete(self) -> bool:
        """True if all that the model has came from the source, and nothing was left over."""
        return not (self.drawn or self.missing or self.unexpected)

    def _lines(self) -> dict[str, str]:
        how = sorted(set(self.adapted.values()))
        lines = {
            "licence": self.licence,
            "adapted": f"{len(self.adapted)}: {'; '.join(how)}" if how else "",
            "drawn anew": ", ".join(self.drawn),
            "missing": _some(self.missing),
            "unexpected": _some(self.unexpected),
        }
        return {what: text for what, text in lines.items() if text}

    def _head(self) -> str:
        return f"{len(self.loaded)} weights of {self.model} from {self.source} ({self.naming})"

    def __str__(self) -> str:
        lines = (f"{what}: {text}" for what, text in self._lines().items())
        return "\n  ".join([self._head(), *lines])

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        return table(self._lines().items(), (), self._head(), words=2)


class Loaded(NamedTuple):
    """Weights under our names, and what is known about them."""

    weights: dict[str, NDArray[Any]]
    unknown: list[str]
    naming: str
    source: str
    licence: str
    eps: float | None  # of the final norm, where it is not that of the others
    about: Mapping[str, Any]  # what else stood in the file, and beside it

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model that they belong to."""
        return describe(self.weights)


def read(source: Source, select: str | None = None) -> Loaded:
    """Read weights from where they are, and rename them.

    Parameters
    ----------
    source : path or mapping of str to array
        See `minigrad.io.read_checkpoint` for what files there are.
    select : str, optional
        The part of the file to take, such as "model_ema".
    """
    if isinstance(source, Mapping):
        if select is not None:
            raise OptionError(f"select={select!r} names a part of a file, but weights were given")
        where, arrays, about = "a mapping", source, {}
    else:
        file = io.read_checkpoint(source, select)
        where, arrays, about = str(source), file.tensors, file.metadata
    try:
        found = recognise(arrays)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    config = about.get("config")
    config = config if isinstance(config, Mapping) else {}
    licence = _licence(about) or _licence(config) or _licence(config.get("pretrained_cfg"))
    licence = licence or found.naming.licence
    if not licence:
        v2 = any(".grn." in name for name in found.weights)
        licence = V2_LICENCE if v2 else "not stated in the file"
    return Loaded(
        found.weights,
        found.unknown,
        found.naming.name,
        where,
        licence,
        number(config.get("layer_norm_eps", found.naming.eps)),
        about,
    )


def _licence(about: Any) -> str | None:
    told = about.get("license") or about.get("licence") if isinstance(about, Mapping) else None
    return brief(told).strip("'") if told else None


def read_pretrained(source: Source | bool, name: str) -> Loaded:
    """Read what was given as ``pretrained=`` for a model of this name.

    Raises
    ------
    DataError
        If it is True: no weights come with minigrad.
    """
    if isinstance(source, bool):
        raise DataError(
            f"no weights of {name!r} come with minigrad; name a file of them, in any library's "
            "naming: pretrained='model.safetensors'"
        )
    return read(source)


def takes_pretrained(build: B) -> B:
    """Give a function that builds a ConvNeXt the option ``pretrained=``: a file, or weights.

    What options leave open, such as ``num_classes``, is as the weights have it. The model's
    ``pretrained_report`` says what was done.
    """

    @functools.wraps(build)
    def wrapper(*, pretrained: Source | bool | None = None, **options: Any) -> Module:
        if pretrained is None or pretrained is False:
            return build(**options)
        loaded = read_pretrained(pretrained, build.__name__)
        model, report = build_with(build, loaded, Rules(), options, TAKEN)
        model.pretrained_report = report
        return model

    return wrapper  # type: ignore[return-value]


def load_into(model: Module, loaded: Loaded, rules: Rules) -> PretrainedReport:
    """Load weights into a model; see `prepare_weights` for what is refused."""
    report, commit = prepare_weights(model, loaded, rules)
    commit()
    return report


def build_with(
    build: Callable[..., Module],
    loaded: Loaded,
    rules: Rules,
    options: Mapping[str, Any],
    taken: Collection[str] = (),
) -> tuple[Module, PretrainedReport]:
    """Build a model for weights, and load them.

    Parameters
    ----------
    build : callable
        Makes the model.
    loaded : Loaded
        The weights.
    rules : Rules
        How they are made to fit.
    options : mapping
        Of the model.
    taken : iterable of str
        Options that the weights decide, where `options` has none.
    """
    given = {OTHER_NAMES.get(name, name) for name in options}
    found = loaded.options
    wanted = {n: found[n] for n in taken if n in found and n not in given} | dict(options)
    # A file that describes its model cannot ask for one that is much larger than itself, nor one
    # that decides a few options of a named model for one that is larger than all of them.
    count = sum(array.size for array in loaded.weights.values())
    own = NAMED if taken is TAKEN else 1_000_000
    limit = init.at_most(LARGER * count + own) if taken else nullcontext()
    with limit, init.skip_random():  # all of it is overwritten, if nothing is missing
        try:
            model = build(**wanted)
        except OptionError:  # a model of another kind has no such option: it is refused below
            model = build(**options)
    report, commit = prepare_weights(model, loaded, rules)
    if report.missing:
        model = build(**wanted)
        report, commit = prepare_weights(model, loaded, rules)
    norm = getattr(model, "norm", None)
    if loaded.eps is not None and isinstance(norm, LayerNorm):
        norm.eps = loaded.eps
    commit()
    return model, report


def prepare_weights(
    model: Module, loaded: Loaded, rules: Rules
) -> tuple[PretrainedReport, Callable[[], None]]:
    """Find a place for every weight; return what will be done, and the function that does it.

    Raises
    ------
    StateError
        If the weights are those of a model of other sizes, if nothing fits, or if something does
        not and the rules are strict. Nothing has changed then.
    """
    own, state = own_names(model), dict(model.state_dict(keep_vars=True))
    values: dict[str, Any] = {}
    adapted: dict[str, str] = {}
    misfits: list[str] = []
    missing: list[str] = []
    new = _new_heads(own, state, loaded)
    drawn = [own[name] for name in own if (at := _HEAD.fullmatch(name)) and at[1] in new]
    for name, actual in own.items():
        array = loaded.weights.get(name)
        if actual in drawn:
            continue
        if array is None:
            missing.append(actual)
            continue
        channels = rules.channels if name in STEMS else None
        fitted = adapt(array, state[actual].shape, channels, rules.inflation)
        if fitted is None:
            misfits.append(name)
            continue
        values[actual], done = fitted
        if done:
            adapted[actual] = done
    unexpected = [*(n for n in loaded.weights if n not in own), *loaded.unknown]
    report = PretrainedReport(
        type(model).__name__,
        loaded.source,
        loaded.naming,
        loaded.licence,
        tuple(values),
        adapted,
        tuple(drawn),
        tuple(missing),
        tuple(unexpected),
        *_pictures(loaded, bool(drawn)),
    )
    here, there = ([n for n in names if _GRN.match(n)] for names in (own, loaded.weights))
    if bool(here) != bool(there):  # what is left of the one would compute something else
        misfits += here + there
    if misfits or not values:
        raise StateError(_misfit(report, misfits, own, state, loaded))
    if rules.strict and (adapted or not report.complete):
        raise StateError(f"the weights do not fit as they are; nothing was loaded: {report}")
    _, copy = prepare(type(model).__name__, state, values, False, False)
    return report, functools.partial(_commit, copy, model, drawn, rules)


def _pictures(loaded: Loaded, drawn: bool) -> tuple[Preprocessing | None, tuple[str, ...] | None]:
    """Return how pictures are made ready for weights, and what their classes are called."""
    try:
        options = loaded.options
    except DataError:  # a part of a model
        return None, None
    shown = preprocessing_of(loaded.naming, options, loaded.about)
    return shown, None if drawn else class_names(options, loaded.about)


def _new_heads(own: Mapping[str, str], state: Mapping[str, Any], loaded: Loaded) -> set[str]:
    """Return the heads whose weights are of other classes, or of another width."""
    new = set()
    for name, actual in own.items():
        head, array = _HEAD.fullmatch(name), loaded.weights.get(name)
        if head and array is not None:
            found, wanted = ([n for n in s if n != 1] for s in (array.shape, state[actual].shape))
            if found != wanted:
                new.add(head[1])
    return new


def own_names(model: Module) -> dict[str, str]:
    """Return the names of a model's parameters by what they are called in a ConvNeXt of its own.

    Of a U-Net these are its encoder's; a masked autoencoder has its decoder beside the encoder.

    Raises
    ------
    StateError
        If there is no ConvNeXt in the model.
    """
    names = list(model.state_dict()) if isinstance(model, Module) else []
    trunks = [found[1] for name in names if (found := _TRUNK.fullmatch(name))]
    if not trunks:
        raise StateError(
            f"{type(model).__name__} has no ConvNeXt in it, so no weights of one can be loaded or "
            "exported; use load_state_dict and state_dict"
        )
    prefix = min(trunks, key=len)
    whole = "mask_token" in names
    return {name.removeprefix(prefix): name for name in names if whole or name.startswith(prefix)}


def _commit(copy: Callable[[], None], model: Module, drawn: Iterable[str], rules: Rules) -> None:
    copy()
    for path in dict.fromkeys(name.rpartition(".")[0] for name in drawn):
        head: Any = model.get_submodule(path)
        if isinstance(head, Linear):
            init.trunc_normal_(head.weight, std=0.02)
            if head.bias is not None:
                init.zeros_(head.bias)
            no_grad().run(head.weight.mul_, rules.head_init_scale)
        else:
            head.reset_parameters()


def _misfit(
    report: PretrainedReport,
    misfits: list[str],
    own: Mapping[str, str],
    state: Mapping[str, Any],
    loaded: Loaded,
) -> str:
    shapes = []
    for name in misfits:
        there = loaded.weights[name].shape if name in loaded.weights else "missing"
        here = state[own[name]].shape if name in own else "missing"
        shapes.append(f"{name} is {there} there, {here} here")
    try:
        options = loaded.options
    except DataError:
        options = {}
    sizes = ", ".join(f"{k}={options[k]}" for k in SIZES if k in options) or "no whole model"
    return (
        f"{report.source}: the weights are of another model than this {report.model}; nothing was "
        f"loaded: {_some(shapes) or 'no name fits'}; they belong to one of {sizes}"
    )


def _some(names: Any) -> str:
    more = f", … and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
