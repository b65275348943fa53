"""The operations; and, as a namespace, the `xp` that makes a formula differentiable.

``f(numpy, x)`` and ``f(minigrad.ops, x)`` run the same lines, the first on arrays, the second on
tensors, recorded. The names are NumPy's, taken from the declarations beside the operations
(`minigrad.ops.declare`).

>>> import minigrad as mg
>>> mg.ops.arctan2(mg.tensor(1.0), mg.tensor(1.0))
tensor(0.7854)
"""

from __future__ import annotations

import sys

from minigrad import backend
from minigrad.ops import (  # noqa: F401 (what they declare becomes known)
    arithmetic,
    compare,
    create,
    elementwise,
    index,
    inplace,
    linalg,
    methods,
    neural,
    numpy_names,
    reduce,
    shape,
)
from minigrad.ops.declare import NAMES
from minigrad.tensor import Tensor

globals().update(NAMES["numpy"])
__all__ = sorted(NAMES["numpy"])

methods.bind()
backend.register(Tensor, sys.modules[__name__])
