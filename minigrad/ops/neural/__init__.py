"""The operations of neural networks: convolutions, norms, activations, losses and their kin."""

from minigrad.ops.neural import (  # noqa: F401 (what they declare becomes known)
    activation,
    attention,
    conv,
    dropout,
    loss,
    mlp,
    norm,
    pool,
    resize,
    segmentation,
)
