"""Freezing: parts of a model that are not trained, or only after some epochs."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.data.dataset import whole_number
from minigrad.errors import OptionError, unknown
from minigrad.loading import check_kinds, several
from minigrad.nn import Module
from minigrad.nn.module import Parameter
from minigrad.train.trainer import Callback, Trainer

__all__ = ["Freeze", "parameters_of"]

STEM = "downsample_layers.0"


class Freeze(Callback):
    """Keep parts of a model as they are; let them go again one by one, the last part first.

    Parameters
    ----------
    model : Module
        The model; an optimizer may hold its frozen parameters, which have no gradients.
    parts : sequence of str
        Names of its modules or parameters. ``stem`` and ``stages.1`` are those of a ConvNeXt,
        also within a U-Net; a stage takes along the downsampling before it. ``backbone`` is all
        but the last norm and the head.
    every : int, default 0
        Epochs after which one part more is trained; 0 keeps all of them frozen.

    Raises
    ------
    OptionError
        If a part is unknown, or nothing would be left to train.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.models.ConvNeXt(num_classes=10, depths=(1, 1), dims=(8, 16))
    >>> freeze = mg.train.Freeze(model, ["stem", "stages.0"], every=5)
    >>> [freeze.frozen(epoch) for epoch in (0, 5, 10)]
    [['stem', 'stages.0'], ['stem'], []]
    """

    def __init__(self, model: Module, parts: Sequence[str], every: int = 0) -> None:
        self.every = whole_number("Freeze: every", every, 0)
        check_kinds("Freeze", Module, model=model)
        parts = several("Freeze", "parts", parts, str)
        self.parts = {part: parameters_of(model, part) for part in parts}
        held = {id(p) for params in self.parts.values() for p in params}
        if all(id(p) in held for p in model.parameters() if p.requires_grad):
            raise OptionError(
                f"Freeze: with {', '.join(parts)} frozen nothing is left to train; leave a part out"
            )
        self._apply(0)

    def frozen(self, epoch: int) -> list[str]:
        """Return the parts that are frozen after so many epochs."""
        epoch, names = whole_number("Freeze.frozen: epoch", epoch, -1), list(self.parts)
        gone = epoch // self.every if self.every else 0
        return names[: max(0, len(names) - gone)]

    def _apply(self, epoch: int) -> None:
        held = {id(p) for part in self.frozen(epoch) for p in self.parts[part]}
        for params in self.parts.values():
            for p in params:
                p.requires_grad_(id(p) not in held)
                if id(p) in held:
                    p.grad = None

    def on_fit_start(self, trainer: Trainer) -> None:
        self._apply(trainer.epoch)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.frozen(trainer.epoch) != self.frozen(trainer.epoch - 1):
            self._apply(trainer.epoch)
            trainer.forget_captured()  # the optimizer has no state yet for what is trained now


def parameters_of(model: Module, part: str) -> list[Parameter]:
    """Return the parameters of a part of a model, by the names that `Freeze` takes.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.models.ConvNeXt(num_classes=10, depths=(1, 1), dims=(8, 16))
    >>> len(parameters_of(model, "stem")), len(parameters_of(model, "head"))
    (4, 2)
    """
    named = dict(model.named_parameters())
    inner = "encoder." if any(name.startswith(f"encoder.{STEM}") for name in named) else ""
    if part == "backbone":
        prefixes = [name for name in named if not name.startswith(("norm.", "head."))]
    elif part == "stem":
        prefixes = [part, inner + STEM]
    elif part.startswith("stages."):
        stage = part.split(".")
        prefixes = [inner + part, *([f"{inner}downsample_layers.{stage[1]}"] * (len(stage) == 2))]
        prefixes = [prefix for prefix in prefixes if prefix != inner + STEM]
    else:
        prefixes = [part]
    found = [
        p
        for name, p in named.items()
        if any(name == x or name.startswith(f"{x}.") for x in prefixes)
    ]
    if not found:
        modules = [name for name, _ in model.named_modules() if name]
        raise unknown("part of the model", part, ["stem", "backbone", *modules])
    return found
