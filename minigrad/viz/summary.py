"""A table of a model's layers: output shapes, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minigrad import nn
from minigrad.modes import no_grad
from minigrad.ops.create import zeros
from minigrad.showing import table
from minigrad.tensor import Tensor

__all__ = ["Row", "Summary", "summary"]

HEAD = ("Layer", "Output shape", "Parameters", "Multiply-adds")
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Row:
    """One module: what it and everything below it has."""

    name: str  # last part of the path; the model itself has its class
    kind: str
    depth: int
    shape: tuple[int, ...] | None  # None where forward does not pass through it
    params: int
    macs: int

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What the table shows."""
        label = "  " * self.depth + (f"{self.name} ({self.kind})" if self.depth else self.kind)
        shape = "" if self.shape is None else " × ".join(map(str, self.shape))
        return label, shape, _number(self.params), _number(self.macs)


@dataclass(frozen=True)
class Summary:
    """The table that `summary` makes; print it.

    Attributes
    ----------
    rows : list of Row
        The model, then its modules in order.
    params, trainable : int
        Parameters of the whole model, and those that require a gradient.
    macs : int
        Multiply-adds of convolutions and linear layers for one sample.

    Examples
    --------
    >>> from minigrad import nn
    >>> table = summary(nn.Linear(4, 2), (4,))
    >>> table.params, table.trainable, table.macs
    (10, 10, 8)
    """

    rows: list[Row]
    params: int
    trainable: int
    macs: int

    @property
    def total(self) -> str:
        """The last line."""
        frozen = "" if self.trainable == self.params else f" ({self.trainable:,} trainable)"
        unit, letter = next(((u, w) for u, w in UNITS if self.macs >= u), (1.0, ""))
        macs = f"{self.macs / unit:.4g} {letter}".rstrip()
        return f"{self.params:,} parameters{frozen}, {macs} multiply-adds per sample"

    def __str__(self) -> str:
        cells = [HEAD, *(row.cells for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
        lines = ["  ".join(_pad(line, widths)).rstrip() for line in cells]
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, self.total])

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        return table((row.cells for row in self.rows), HEAD, self.total, words=2)

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            caption=self.total,
            caption_style="bold",
            caption_justify="left",
        )
        for i, name in enumerate(HEAD):
            table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row.cells, style="bold" if row.depth == 0 else None)
        return table


def summary(model: nn.Module, input_shape: Sequence[int], depth: int = 3) -> Summary:
    """Run the model once on zeros and tabulate its layers.

    Parameters
    ----------
    model : Module
        Any model that takes one tensor.
    input_shape : sequence of int
        Shape of one sample, such as (3, 224, 224).
    depth : int, default 3
        How many levels of modules are shown; the numbers always cover everything below a row.

    Returns
    -------
    Summary
        Multiply-adds count convolutions and linear layers (weights × positions), as is usual;
        norms, activations and additions are left out.

    Examples
    --------
    >>> from minigrad import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GELU(), nn.Flatten(),
    ...                       nn.Linear(512, 10))
    >>> print(summary(model, (1, 8, 8)))
    Layer          Output shape   Parameters  Multiply-adds
    ───────────────────────────────────────────────────────
    Sequential     1 × 10              5,210          9,728
      0 (Conv2d)   1 × 8 × 8 × 8          80          4,608
      1 (GELU)     1 × 8 × 8 × 8           –              –
      2 (Flatten)  1 × 512                 –              –
      3 (Linear)   1 × 10              5,130          5,120
    ───────────────────────────────────────────────────────
    5,210 parameters, 9.728 k multiply-adds per sample
    """
    shapes: dict[int, tuple[int, ...]] = {}
    own_macs: dict[int, int] = {}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[id(module)] = output.shape
            own_macs[id(module)] = own_macs.get(id(module), 0) + _macs(module, args[0], output)

    modules = dict(model.named_modules())
    handles = [module.register_forward_hook(note) for module in modules.values()]
    training = model.training
    first = next(model.parameters(), None)
    dtype, device = (None, None) if first is None else (first.dtype, str(first.device))
    try:
        image = zeros(1, *input_shape, dtype=dtype, device=device)
        no_grad().run(model.eval(), image)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()

    rows = []
    for path, module in modules.items():
        level = path.count(".") + 1 if path else 0
        if level <= depth:
            below = list(module.modules())
            rows.append(
                Row(
                    path.rpartition(".")[2],
                    type(module).__name__,
                    level,
                    shapes.get(id(module)),
                    sum(p.numel() for p in module.parameters()),
                    sum(own_macs.get(id(m), 0) for m in below),
                )
            )
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Summary(rows, rows[0].params, trainable, rows[0].macs)


def _macs(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Every weight is used once per position: of the output, or of a transposed one's input."""
    if isinstance(module, nn.Linear):
        return module.weight.numel() * (output.numel() // output.shape[-1])
    if isinstance(module, CONVS):
        return module.weight.numel() * (output.numel() // output.shape[1])
    if isinstance(module, TRANSPOSED):
        return module.weight.numel() * (x.numel() // x.shape[1])
    return 0


def _number(value: int) -> str:
    return f"{value:,}" if value else "–"


def _pad(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Text to the left, numbers to the right."""
    return [
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
