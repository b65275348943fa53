"""Tiled: a segmenting model that is shown large inputs tile by tile."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.errors import OptionError
from minigrad.loading import check_kinds
from minigrad.models.sliding_window import check_windows, sliding_window_inference
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.ops import log
from minigrad.ops.arguments import check_tensor
from minigrad.tensor import Tensor

__all__ = ["Tiled"]


class Tiled(Module):
    """Show a model tiles that overlap, and blend the probabilities that it gives.

    Its output is the logarithm of these, which does where logits do; no graph is recorded. Only
    `batch` tiles are in the model at a time, so their size decides what memory it takes. An input
    that is no longer than a tile along an axis is not cut there.

    Parameters
    ----------
    model : Module
        From (N, C, *spatial) to logits (N, K, *spatial).
    tile : int or sequence of int
        Sides of a tile.
    overlap : float, default 0.25
        Share of a tile that it has in common with the next, 0 to less than 1.
    mode : {"gaussian", "hann", "constant"}
        How the rim of a tile counts beside its middle, as in `sliding_window_inference`.
    batch : int, default 1
        Tiles in the model at a time.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Notes
    -----
    Where only one tile reaches, and at the places of others that are as far from a tile's rim as
    the model looks, the result is that of the whole input, if tiles begin at multiples of its
    stride. A model with statistics over the whole input (GRN, instance norm) has those of a tile.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.nn.Conv2d(1, 3, 1)
    >>> x = mg.randn(1, 1, 40, 30)
    >>> tiled = mg.models.Tiled(model, 16, overlap=0.5)
    >>> bool(mg.allclose(tiled(x).exp(), mg.softmax(model(x), 1), atol=1e-6))
    True
    """

    def __init__(
        self,
        model: Module,
        tile: int | Sequence[int],
        overlap: float = 0.25,
        mode: str = "gaussian",
        batch: int = 1,
    ) -> None:
        check_kinds("Tiled", Module, model=model)
        sides = tuple(tile) if isinstance(tile, Sequence) else (tile,)
        if not sides or not all(type(side) is int and side >= 1 for side in sides):
            raise OptionError(
                f"Tiled: a tile has sides of 1 or more positions, one number for all or one for "
                f"each; got {tile!r}"
            )
        check_windows("Tiled", 1, overlap, mode, batch)
        self.model, self.tile = model, sides
        self.overlap, self.mode, self.batch = overlap, mode, batch

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithm of the blended probabilities."""
        x = check_tensor("Tiled", x)
        spatial = x.shape[2:]
        sides = self.tile * len(spatial) if len(self.tile) == 1 else self.tile
        if len(sides) != len(spatial):
            raise OptionError(
                f"Tiled: a tile of {len(sides)} sides for an input of shape {x.shape}; give one "
                f"number, or {len(spatial)}"
            )
        roi = [min(side, n) for side, n in zip(sides, spatial, strict=True)]
        chances = sliding_window_inference(
            x.detach(),
            roi,
            self._chances,
            self.overlap,
            self.mode,
            self.batch,
            device=str(x.device),
        )
        return log(chances).to(x.device)

    def _chances(self, tiles: Tensor) -> Tensor:
        return F.softmax(self.model(tiles), 1)
