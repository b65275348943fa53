"""Ensemble: the mean of what several models, or one model in several views, say of an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigrad.errors import OptionError, ShapeError, unknown
from minigrad.loading import check_kinds, several
from minigrad.nn import Module, ModuleList
from minigrad.nn import functional as F
from minigrad.ops import log
from minigrad.ops.arguments import check_tensor
from minigrad.tensor import Tensor

__all__ = ["VIEWS", "Ensemble", "average_weights"]

View = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]  # there and back


class Ensemble(Module):
    """Average the probabilities of several models, over several views of the input.

    Its output is the logarithm of the mean, which does where logits do: ``softmax`` of it is the
    mean itself. Outputs of one value per position are turned back before they are averaged.

    Parameters
    ----------
    models : sequence of Module
        Models of the same classes, which give logits.
    views : sequence of {"flip", "turns"}, default ()
        Test-time augmentation: the input as it is and mirrored along its last axis; turned by
        quarters in the plane of its last two. Both together give eight views.

    Raises
    ------
    OptionError
        If there is no model, or a view is unknown.
    ShapeError
        If the models differ in what they give.

    Examples
    --------
    >>> import minigrad as mg
    >>> head = mg.nn.Sequential(mg.nn.Flatten(), mg.nn.Linear(4, 3))
    >>> both = mg.models.Ensemble([head], views=["flip"])
    >>> x = mg.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    >>> bool(mg.allclose(both(x), both(mg.flip(x, -1))))
    True
    """

    def __init__(self, models: Sequence[Module], views: Sequence[str] = ()) -> None:
        models = several("Ensemble", "models", models, Module)
        if not models:
            raise OptionError("Ensemble: one model at least is needed")
        chosen: list[View] = [(_same, _same)]
        views = several("Ensemble", "views", views, str)
        for name in views:
            if name not in VIEWS:
                raise unknown("view", name, VIEWS)
            chosen = [
                (_after(outer[0], inner[0]), _after(inner[1], outer[1]))
                for inner in chosen
                for outer in VIEWS[name]
            ]
        self.models, self.views = ModuleList(models), views
        self._views = chosen

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the mean of the probabilities."""
        x = check_tensor("Ensemble", x)
        if "turns" in self.views and x.ndim < 4:
            raise ShapeError(
                f"Ensemble: pictures and volumes are turned, but this is of shape {x.shape}; take "
                "the view 'flip' alone"
            )
        total: Any = None
        for there, back in self._views:
            seen = there(x)
            for model in self.models:
                logits = model(seen)
                if not isinstance(logits, Tensor) or logits.ndim not in (2, x.ndim):
                    raise ShapeError(
                        "Ensemble: a model gives logits (N, classes), or such for every position"
                    )
                chances = F.softmax(logits if logits.ndim == 2 else back(logits), 1)
                if total is not None and total.shape != chances.shape:
                    raise ShapeError(
                        f"Ensemble: one model gives {total.shape}, another one {chances.shape}; "
                        "all need the same classes"
                    )
                total = chances if total is None else total + chances
        return log(total / (len(self._views) * len(self.models)))


def average_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of several models' weights: a soup (Wortsman et al., arXiv:2203.05482).

    It pays where the models were fine-tuned from one start; whole numbers are those of the first.

    Parameters
    ----------
    states : sequence of dict
        What ``state_dict()`` of each returned.

    Raises
    ------
    ShapeError
        If the models differ in names or shapes.

    Examples
    --------
    >>> import minigrad as mg
    >>> average_weights([{"w": mg.tensor([1.0])}, {"w": mg.tensor([3.0])}])
    {'w': tensor([2.])}
    """
    states = several("average_weights", "states", states, Mapping)
    if not states:
        raise OptionError("average_weights: one state at least is needed")
    for state in states:
        check_kinds("average_weights", Tensor, **state)
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for number, other in enumerate(shapes):
        if other != shapes[0]:
            name = next(n for n in {**shapes[0], **other} if shapes[0].get(n) != other.get(n))
            raise ShapeError(
                f"average_weights: {name} is {shapes[0].get(name, 'missing')} in the first model, "
                f"{other.get(name, 'missing')} in number {number + 1}; a soup is of models of one "
                "kind"
            )
    mixed = {}
    for name, value in states[0].items():
        if not value.is_floating_point():
            mixed[name] = value.clone()
            continue
        total = value.detach().double()
        for state in states[1:]:
            total = total + state[name].detach().double()
        mixed[name] = (total / len(states)).to(value.dtype)
    return mixed


def _same(x: Tensor) -> Tensor:
    return x


def _mirror(x: Tensor) -> Tensor:
    return x.flip(-1)


def _turn(x: Tensor) -> Tensor:
    """Turn a quarter to the left."""
    return x.transpose(-1, -2).flip(-2)


def _turn_back(x: Tensor) -> Tensor:
    return x.flip(-2).transpose(-1, -2)


def _after(
    g: Callable[[Tensor], Tensor], f: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return lambda x: g(f(x))


def _times(f: Callable[[Tensor], Tensor], count: int) -> Callable[[Tensor], Tensor]:
    return f if count == 1 else _after(f, _times(f, count - 1))


VIEWS: dict[str, tuple[View, ...]] = {
    "flip": ((_same, _same), (_mirror, _mirror)),
    "turns": (
        (_same, _same),
        *((_times(_turn, n), _times(_turn_back, n)) for n in (1, 2, 3)),
    ),
}
