"""Mixed precision: half precision where it is fast, float32 where it is needed.

`autocast` chooses the precision of every operation, `GradScaler` keeps small float16 gradients from
becoming zero. PyTorch's ``torch.amp``.
"""

from __future__ import annotations

from minigrad.casting import autocast, get_autocast_dtype, is_autocast_enabled
from minigrad.optim.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]
