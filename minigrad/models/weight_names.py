"""Names of other programs' checkpoints, turned into ours.

A ConvNeXt of minigrad has the official names, so official classifiers load as they are. What
differs stands here, one function per naming.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.tensor import Tensor

__all__ = ["from_fcmae"]

_DECODER = re.compile(r"(mask_token|proj|pred|decoder)\b")
_SPARSE = re.compile(r"\.(ln|linear)\.(?=weight$|bias$)")


def from_fcmae(state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Take the encoder out of a masked autoencoder's weights, under ConvNeXt V2's names.

    Parameters
    ----------
    state : mapping of str to Tensor or array
        Weights of `FCMAE`; of the official code's training checkpoints (``encoder.….kernel``,
        ``.ln.``, ``.linear.``), whose sparse layers have other layouts; or of the released files,
        which are plain already.

    Returns
    -------
    dict of str to array
        For ``load_state_dict(…, strict=False)`` of a ConvNeXt V2: no final norm and no head.

    Raises
    ------
    DataError
        If there is no encoder in it.

    Notes
    -----
    The official ``remap_checkpoint_keys``: a sparse kernel numbers the positions of its window
    column by column, ``kernel[w * k + h, …]``; biases and GRN have a leading axis of 1.

    Examples
    --------
    >>> import minigrad as mg
    >>> encoder = mg.models.ConvNeXtV2(1, 10, depths=(1,), dims=(8,), patch_size=2)
    >>> weights = from_fcmae(mg.models.FCMAE(encoder, decoder_embed_dim=8).state_dict())
    >>> encoder.load_state_dict(weights, strict=False).missing
    ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')
    """
    found: dict[str, NDArray[Any]] = {}
    for key, value in state.items():
        name = key.removeprefix("encoder.")
        if _DECODER.match(name) or not name.startswith(("downsample_layers.", "stages.")):
            continue
        array = np.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        name = _SPARSE.sub(".", name)
        if name.endswith(".kernel"):
            name, array = name.removesuffix("kernel") + "weight", _dense_kernel(name, array)
        elif ".grn." in name:
            array = array.reshape(1, 1, 1, -1) if array.ndim <= 2 else array
        elif name.endswith(".bias"):
            array = array.reshape(-1)
        found[name] = array
    if not any(name.startswith("stages.") for name in found):
        raise DataError(
            "from_fcmae: no weight of a masked autoencoder's encoder (encoder.stages.…) among "
            f"{', '.join(list(state)[:4]) or 'no entries'} …"
        )
    return found


def _dense_kernel(name: str, kernel: NDArray[Any]) -> NDArray[Any]:
    """Return a sparse kernel (k·k, C) or (k·k, C_in, C_out) as a convolution's weight."""
    if kernel.ndim not in (2, 3):
        raise DataError(f"from_fcmae: {name} has the shape {kernel.shape}, which is no kernel's")
    side = round(len(kernel) ** 0.5)
    if side * side != len(kernel):
        raise DataError(f"from_fcmae: {name} has {len(kernel)} positions, which is no square")
    window = kernel.reshape(side, side, *kernel.shape[1:])  # (w, h, …)
    if window.ndim == 3:
        return np.ascontiguousarray(window.transpose(2, 1, 0)[:, None])
    return np.ascontiguousarray(window.transpose(3, 2, 1, 0))
