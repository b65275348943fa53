"""The hidden values of a block between its two products: bias, GELU, GRN; see hidden.cu.

Arrays are contiguous (samples, positions, columns). With ``gelu=False`` only GRN remains.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.kernels.cuda.arrays import THREADS, Array, empty
from minigrad.kernels.cuda.launcher import launch
from minigrad.kernels.cuda.reduce import sum_parts
from minigrad.kernels.cuda.table import Table

__all__ = ["Hidden"]


class Hidden(NamedTuple):
    """The values before the bias, and all that is done to them."""

    x: Array
    bias: Array | None
    gamma: Array | None
    beta: Array | None
    eps: float
    gelu: bool

    def _launch(self, name: str, table: Table, *args: Any) -> None:
        launch(name, table.grid, (THREADS,), (*args, *table.sizes), (table.vector, int(self.gelu)))

    def squares(self) -> Array | None:
        """Return the sums over positions of the squares in two units, (samples, 2 * columns).

        None without GRN.
        """
        if self.gamma is None:
            return None
        table = Table.of(self.x.shape, self.x)
        parts = table.parts(self.x, 2)
        self._launch("hidden_squares", table, self.x, self.bias, parts)
        return sum_parts(parts, parts.dtype)

    def forward(self, squares: Array | None) -> Array:
        """Return the values for the second product."""
        gain = None
        if squares is not None:
            gain = empty(squares, (len(squares), self.x.shape[2]))
            self._respond("response", squares, self.gamma, gain)
        y = empty(self.x, self.x.shape)
        table = Table.of(self.x.shape, self.x, y)
        self._launch("hidden", table, self.x, self.bias, gain, self.beta, y)
        return y

    def backward(
        self, g: Array, squares: Array | None, again: bool
    ) -> tuple[Array, Array | None, Array, Array | None, Array | None]:
        """Return the gradient of x; the values once more, if `again`; the gradients of the rest.

        These are: of the bias, of gamma and of beta.
        """
        gain = slope = g_gamma = g_beta = None
        if squares is not None:
            assert self.gamma is not None
            shape = len(squares), self.x.shape[2]
            table = Table.of(self.x.shape, g, self.x)
            parts = table.parts(self.x, 2)
            self._launch("hidden_products", table, g, self.x, self.bias, parts)
            sums = sum_parts(parts, parts.dtype)
            gain, slope = empty(squares, shape), empty(squares, shape)
            self._respond("response_vjp", squares, self.gamma, sums, gain, slope)
            total = sum_parts(sums[None], self.gamma.dtype)
            g_gamma, g_beta = total.reshape(2, shape[1])
        gx = empty(self.x, self.x.shape)
        y = empty(self.x, self.x.shape) if again else None
        table = Table.of(self.x.shape, g, self.x, gx, y)
        parts = table.parts(self.x)
        shift = self.beta if again else None
        self._launch("hidden_vjp", table, g, self.x, self.bias, gain, slope, shift, gx, y, parts)
        g_bias = sum_parts(parts.reshape(1, -1, parts.shape[2]), self._parameter_dtype())
        return gx, y, g_bias.reshape(-1), g_gamma, g_beta

    def _respond(self, name: str, squares: Array, *args: Any) -> None:
        launch(name, (len(squares),), (THREADS,), (squares, *args, self.x.shape[2], self.eps))

    def _parameter_dtype(self) -> Any:
        return self.x.dtype if self.bias is None else self.bias.dtype
