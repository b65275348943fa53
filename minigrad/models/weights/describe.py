"""The architecture that weights belong to, read off their names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from minigrad.errors import DataError

__all__ = ["describe"]

_BLOCK = re.compile(r"(?:stages\.(\d+)|blocks)\.(\d+)\.dwconv\.weight")
XXLARGE = (384, 768, 1536, 3072)  # timm trains this size, and no other, with an eps of its own
ZEPTO = (32, 64, 128, 256)  # the one size whose norms without a bias are not RMS norms


def describe(weights: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the options of the model that has these weights.

    Parameters
    ----------
    weights : mapping of str to array
        Under our names.

    Returns
    -------
    dict of str to object
        Of `ConvNeXt`, of `TimmConvNeXt` where its options are among them, of `ConvNeXtIsotropic`
        where ``depth`` is, or of `MedNeXt` where ``n_channels`` is.

    Raises
    ------
    DataError
        If there is no stem, or a stage without blocks.

    Examples
    --------
    >>> import minigrad.models as models
    >>> model = models.ConvNeXtV2(1, 10, depths=(1, 2), dims=(8, 16), patch_size=2)
    >>> options = describe(model.state_dict())
    >>> options["depths"], options["dims"], options["grn"], options["in_channels"]
    ((1, 2), (8, 16), True, 1)
    """
    try:
        if "bottleneck.0.conv1.weight" in weights:
            return _mednext(weights)
        return _convnext(weights)
    except (ArithmeticError, LookupError, TypeError) as error:  # shapes that no model has
        raise DataError(f"these are not the weights of a whole model ({error!r:.200})") from None


def _convnext(weights: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    stages: dict[int, int] = {}
    for key in weights:
        if found := _BLOCK.fullmatch(key):
            stages[int(found[1] or 0)] = stages.get(int(found[1] or 0), 0) + 1
    isotropic = "stem.weight" in weights
    stem_key = "stem.weight" if isotropic else "downsample_layers.0.0.weight"
    first = "blocks.0" if isotropic else "stages.0.0"
    stem, kernel = weights[stem_key], weights[f"{first}.dwconv.weight"]
    head = weights.get("head.weight")
    options: dict[str, Any] = {
        "in_channels": stem.shape[1],
        "num_classes": 0 if head is None else len(head),
        "spatial_dims": stem.ndim - 2,
        "kernel_size": kernel.shape[-1],
        "patch_size": stem.shape[-1],
        "grn": f"{first}.grn.gamma" in weights,
        "layer_scale_init_value": 1e-6 if f"{first}.gamma" in weights else None,
    }
    if isotropic:
        return options | {"depth": stages[0], "dim": len(stem)}
    order = range(len(stages))
    options["depths"] = tuple(stages[i] for i in order)
    options["dims"] = tuple(len(weights[f"stages.{i}.0.dwconv.weight"]) for i in order)
    if options["dims"] == XXLARGE:
        options["eps"] = 1e-5
    return options | _timm(weights, options["dims"])


def _timm(weights: Mapping[str, NDArray[Any]], dims: tuple[int, ...]) -> dict[str, Any]:
    """Return what only timm's models have: its stems, norms and heads."""
    options: dict[str, Any] = {}
    inner = [k for k in range(1, 4) if _is_kernel(weights.get(f"downsample_layers.0.{k}.weight"))]
    if inner:
        width = len(weights["downsample_layers.0.0.weight"])
        tiered = "overlap_tiered" if width != dims[0] else "overlap"
        options["stem_type"] = tiered if inner[0] == 1 else "overlap_act"
    if "stages.0.0.norm.bias" not in weights:
        options["norm_layer"] = "simplenorm" if dims == ZEPTO else "rmsnorm"
    if "norm_pre.weight" in weights:
        options["head_norm_first"] = True
    if "pre_logits.weight" in weights:
        options["head_hidden_size"] = len(weights["pre_logits.weight"])
    return options


def _is_kernel(array: NDArray[Any] | None) -> bool:
    return array is not None and array.ndim > 1


def _mednext(weights: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return MedNeXt's options; whether blocks add their input is not to be seen: all do."""
    parts = ["bottleneck", *(f"{kind}_block_{i}" for kind in ("enc", "dec") for i in range(4))]
    bottleneck, encoder, decoder = parts[0], parts[1:5], parts[5:]
    stages = [*encoder, bottleneck, *reversed(decoder)]
    widening = [weights[f"{stage}.0.conv2.weight"].shape for stage in stages]
    stem = weights["stem.weight"]
    kernels = [weights[f"{kind}_block_0.0.conv1.weight"].shape[-1] for kind in ("enc", "dec")]
    return {
        "in_channels": stem.shape[1],
        "n_channels": len(stem),
        "num_classes": weights["out_0.conv_out.weight"].shape[1],
        "exp_r": tuple(shape[0] // shape[1] for shape in widening),
        "kernel_size": kernels[0],
        "dec_kernel_size": None if kernels[0] == kernels[1] else kernels[1],
        "deep_supervision": "out_1.conv_out.weight" in weights,
        "do_res": True,
        "do_res_up_down": "down_0.res_conv.weight" in weights,
        "block_counts": tuple(
            sum(bool(re.fullmatch(rf"{stage}\.\d+\.conv1\.weight", key)) for key in weights)
            for stage in stages
        ),
        "spatial_dims": stem.ndim - 2,
        "grn": "bottleneck.0.grn_gamma" in weights,
    }
