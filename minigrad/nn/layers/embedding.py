"""Embedding: a table of vectors looked up by integers."""

from __future__ import annotations

from typing import Any

from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module
from minigrad.ops.index import check_index
from minigrad.tensor import Tensor, wrap

__all__ = ["Embedding"]


class Embedding(Module):
    """Replace each integer by its row of a learned table.

    Parameters
    ----------
    num_embeddings : int
        Rows of the table: one more than the largest integer. A negative one is refused.
    embedding_dim : int
        Length of a row.
    device, dtype : optional
        Where and in which element type the table is made.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Embedding(10, 4)(mg.tensor([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_lengths("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = init.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values from N(0, 1)."""
        init.normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        index = check_index("embedding", x, self.weight.shape, 0)
        return self.weight[wrap(index, x._version)]  # a change of x is seen in backward

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
