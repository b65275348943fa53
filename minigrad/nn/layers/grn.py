"""Global response normalisation, ConvNeXt V2's addition to the block."""

from __future__ import annotations

from typing import Any

from minigrad.nn import functional as F
from minigrad.nn.init import empty, zeros_
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["GRN"]


class GRN(Module):
    """Let the channels of each sample compete (Woo et al., 2023, algorithm 1).

    G(x)_c = ‖x_c‖₂ over all positions, N(x)_c = G(x)_c / (mean_c G(x) + eps),
    y = γ · (x · N(x)) + β + x.

    Parameters
    ----------
    dim : int
        Channels, the last axis of the input (N, *spatial, C).
    eps : float, default 1e-6
        Added to the mean response.
    spatial_dims : int, default 2
        Number of spatial axes; γ and β have shape (1, 1, 1, C) for 2, the official one.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Notes
    -----
    γ and β start at zero, so a new layer is the identity. The norm's derivative is taken as 0 for
    a channel that is zero everywhere, as PyTorch does.

    Examples
    --------
    >>> import minigrad as mg
    >>> layer = mg.nn.GRN(8)
    >>> x = mg.randn(2, 5, 5, 8)
    >>> bool((layer(x) == x).all()), layer.gamma.shape
    (True, (1, 1, 1, 8))
    """

    def __init__(
        self,
        dim: int,
        eps: float = 1e-6,
        spatial_dims: int = 2,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_lengths("GRN", dim=dim)
        self.dim, self.eps = dim, eps
        shape = (*(1,) * (spatial_dims + 1), dim)
        self.gamma = empty(*shape, device=device, dtype=dtype)
        self.beta = empty(*shape, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ and β to zero."""
        zeros_(self.gamma)
        zeros_(self.beta)

    def forward(self, x: Tensor) -> Tensor:
        return F.global_response_norm(x, self.gamma, self.beta, self.eps)

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps}"
