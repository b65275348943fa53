"""What a training does with pictures of one's own, chosen by looking at them, and why.

Everything that is decided here is an option of the run, so all of it can be given instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.data import Survey, load_split, survey
from minigrad.data.catalog import sources
from minigrad.data.survey import CHANCE
from minigrad.data.table import is_table, kind_of_table
from minigrad.runs.initial import initial_view

__all__ = ["Choice", "Suggestion", "suggest", "suggestion"]

SHOWN = 6  # classes whose pictures are counted one by one
VIEWS = 24_000  # pictures, each changed anew, that a small network sees before it sees well
EPOCHS, LEAST = 40, 12  # of few pictures, which come several times in each; of many
SMALL, LARGE, WEIGHTS = 64, 128, 224  # sides: of few pictures, of many, of published weights
FEW, MANY = 500, 20_000  # pictures from which a wider network learns more


@dataclass(frozen=True)
class Choice:
    """Options that belong together, and why they have these values.

    Examples
    --------
    >>> print(Choice({"flip": False, "turn": 10.0}, "digits have an upper side"))
    --no-flip --turn 10: digits have an upper side
    """

    options: Mapping[str, Any]
    why: str

    @property
    def words(self) -> str:
        """The options as one writes them on the command line."""
        return " ".join(_word(name, value) for name, value in self.options.items())

    def __str__(self) -> str:
        return f"{self.words}: {self.why}"


@dataclass(frozen=True)
class Suggestion:
    """What to do with pictures that nobody has described.

    Attributes
    ----------
    found : str
        What they are, in a line.
    choices : tuple of Choice
        What is chosen, and why.
    warnings : tuple of str
        What should be known before.
    """

    found: str
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]

    @property
    def options(self) -> dict[str, Any]:
        """All that is chosen, as options of a `TrainConfig`."""
        return {name: value for choice in self.choices for name, value in choice.options.items()}

    def __str__(self) -> str:
        width = max((len(choice.words) for choice in self.choices), default=0)
        lines = [f"  {choice.words:{width}}  {choice.why}" for choice in self.choices]
        return "\n".join([self.found, *lines, *(f"warning: {text}" for text in self.warnings)])


def suggestion(wanted: Mapping[str, Any]) -> Suggestion | None:
    """Look at the folder or table of pictures that is to be trained on; None for other data.

    Parameters
    ----------
    wanted : mapping
        Options that are given; the others are what a choice is left for.

    Raises
    ------
    DataError
        If a picture that is looked at cannot be read, or there are none.
    """
    data = os.path.expanduser(str(wanted.get("data", "")))
    if data in sources or not (os.path.isdir(data) or is_table(data)):
        return None
    told: list[Choice] = []
    targets = wanted.get("targets")
    if is_table(data) and targets is None:
        targets, why = kind_of_table(data)
        told.append(Choice({"targets": targets}, why))
    seed = wanted.get("seed", 0)
    options: dict[str, Any] = {"targets": targets} if is_table(data) else {}
    split = load_split(data, seed=seed, **options)
    found = survey(split, seed)
    if not wanted.get("recipe"):
        told += suggest(found, str(wanted.get("init_from", "")), wanted)
    left = [
        Choice(options, choice.why)
        for choice in told
        if (options := {k: v for k, v in choice.options.items() if k not in wanted})
    ]
    return Suggestion(_described(Path(data), found), tuple(left), found.warnings)


def suggest(
    found: Survey, init_from: str = "", wanted: Mapping[str, Any] | None = None
) -> list[Choice]:
    """Choose how to train on pictures by what they are like.

    Parameters
    ----------
    found : Survey
        What they are like.
    init_from : str, optional
        Weights to start from: a network that can see already needs less of everything.
    wanted : mapping, optional
        Options that are given, on which others depend.

    Examples
    --------
    >>> alike = {"mirror": 0.4, "turn": 0.0004, "invert": 0.3, "hue": 0.0004}
    >>> pets = Survey(60, {"cat": 30, "dog": 30}, 15, 480, 9, False, alike, ())
    >>> for choice in suggest(pets):
    ...     print(choice)
    --channels 3: there are colours
    ...
    """
    given = wanted or {}
    if init_from:
        return [*_with_weights(found, init_from), *_changes(found, True)]
    return [*_from_nothing(found, given), *_changes(found, False)]


def _from_nothing(found: Survey, given: Mapping[str, Any]) -> Iterator[Choice]:
    yield Choice(
        {"channels": 1 if found.grey else 3},
        "no picture that was looked at has a colour" if found.grey else "there are colours",
    )
    n = found.count
    many = n >= MANY and found.side > SMALL
    patch = 4 if found.side >= 24 else 2 if found.side >= 12 else 1
    unit = patch * 4
    side = max(unit, -(-min(found.side, LARGE if many else SMALL) // unit) * unit)
    why = "that is their size"
    if found.side > side:
        why = "from nothing, more pixels cost more than they tell"
    elif found.side < side:
        why = f"they have {found.side}, and sides are whole patches, halved twice"
    yield Choice({"image_size": side, "whole": True}, why)
    width = 16 if n < FEW else 32 if n < MANY else 64
    yield Choice(
        {
            "model": "convnextv2",
            "depths": (1, 1, 1) if n < MANY else (2, 2, 2),
            "dims": (width, 2 * width, 4 * width),
            "patch_size": patch,
            "init": "kaiming",
            "drop_path": 0.0,
            "threads": 1,
        },
        f"a network for {n:,} pictures: {'a' if n < MANY else 'not quite a'} small one",
    )
    epochs = EPOCHS if n * EPOCHS <= VIEWS else max(LEAST, -(-VIEWS // n))
    passes = max(1, -(-VIEWS // (n * epochs)))
    batch = given.get("batch_size", _power_of_two(n / 3, 16, 128))
    yield Choice(
        {"batch_size": batch, "epochs": epochs, "passes": passes, "warmup_epochs": epochs / 10},
        f"{epochs * passes * n:,} pictures, each changed anew, in "
        f"{epochs * max(1, passes * n // batch):,} steps",
    )


def _with_weights(found: Survey, init_from: str) -> Iterator[Choice]:
    known = initial_view(init_from)
    if known:
        yield Choice(known, f"as {os.path.basename(init_from)} has them")
    side = max(32, -(-min(found.side, WEIGHTS) // 32) * 32)
    view = {"image_size": side, "channels": 3, "whole": False}
    if left := {name: value for name, value in view.items() if name not in known}:
        yield Choice(left, "what such weights have seen")
    n = found.count
    batch = _power_of_two(n / 6, 8, 64)
    epochs = min(60, max(5, math.ceil(3000 / n)))
    yield Choice(
        {"lr": 5e-4, "batch_size": batch, "epochs": epochs, "warmup_epochs": 1.0},
        "a network that can see already is changed carefully, and not for long",
    )


def _changes(found: Survey, from_weights: bool) -> Iterator[Choice]:
    """Choose how pictures are changed at random, so that few do for many."""
    p, flip = found.symmetries, found.keeps("mirror")
    if not p:
        yield Choice(
            {"flip": False, "turn": 10.0, "zoom": 0.2, "tint": 0.1},
            "too few pictures to see whether they may be mirrored, turned or tinted",
        )
        return
    many = found.count >= MANY  # show by themselves how pictures differ: a third of it will do
    slight = 3.0 if many else 10.0
    yield Choice({"flip": flip}, _why("mirrored", p["mirror"]))
    yield Choice({"turn": 180.0 if found.keeps("turn") else slight}, _why("turned", p["turn"]))
    if "hue" not in p:
        why = "brightness and contrast; there is no hue"
        yield Choice({"tint": 0.2 if many else 0.5}, why)
    elif not found.keeps("hue"):
        yield Choice({"tint": 0.1}, _why("tinted", p["hue"]))
    elif found.keeps("invert") and not from_weights:
        why = f"of any colours (p = {p['hue']:.2g}) and either darker (p = {p['invert']:.2g})"
        yield Choice({"mono": True}, f"pictures of a class are {why}")
    else:
        yield Choice({"tint": 1.0}, _why("tinted", p["hue"]))
    why = "nearer, farther, not quite in the middle, all there"
    why = f"{why}: a little, there are many" if many else why
    yield Choice({"zoom": 0.1 if many else 0.3, "erase": 0.0}, why)


def _why(changed: str, p: float) -> str:
    if p >= CHANCE:
        return f"{changed} pictures are like others of their class (p = {p:.2g})"
    return f"{changed} pictures are not like others of their class (p = {p:.1g})"


def _described(place: Path, found: Survey) -> str:
    counts = [f"{n:,} {name}" for name, n in found.counts.items()]
    listed = f" ({', '.join(counts)})" if len(counts) <= SHOWN else f" of {len(counts)} classes"
    if not counts:
        listed = ""
    sides = (
        f"{found.side} pixels" if found.sizes == 1 else f"about {found.side} pixels, of many sizes"
    )
    return (
        f"{place.resolve().name}: {found.count:,} pictures to train on{listed}, "
        f"{found.held_out:,} held out, {sides}; chosen for them:"
    )


def _power_of_two(value: float, least: int, most: int) -> int:
    return int(min(most, max(least, 2 ** round(math.log2(max(value, 1))))))


def _word(name: str, value: Any) -> str:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    shown = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    return f"--{option} {shown}"
