"""The functions behind the layers, under PyTorch's names; usually imported as ``F``."""

from __future__ import annotations

from minigrad.ops.declare import NAMES

globals().update(NAMES["functional"])
__all__ = sorted(NAMES["functional"])
