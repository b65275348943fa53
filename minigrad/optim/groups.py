"""Parameter groups: which weights decay, and how the learning rate falls towards the stem."""

from __future__ import annotations

from functools import partial
from operator import mul
from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.loading import check_numbers
from minigrad.nn.module import Module

__all__ = ["GROUPINGS", "decays", "param_groups"]

GROUPINGS = ("single", "group")


def decays(name: str, ndim: int) -> bool:
    """Return whether weight decay applies: to matrices and kernels, not biases, norms, scales.

    This is ConvNeXt's rule. GRN's γ and β have four axes and are excluded by name.

    Examples
    --------
    >>> decays("stages.0.0.pwconv1.weight", 2), decays("stages.0.0.grn.gamma", 4)
    (True, False)
    """
    return ndim > 1 and not name.endswith((".bias", ".gamma", ".beta"))


def param_groups(
    model: Module,
    weight_decay: float = 0.05,
    layer_decay: float = 1.0,
    grouping: str = "single",
) -> list[dict[str, Any]]:
    """Sort a model's trainable parameters into optimizer groups.

    Parameters
    ----------
    model : Module
        With ``layer_decay`` below 1 it must have ``layer_ids(grouping)``, as ConvNeXt does.
    weight_decay : float, default 0.05
        For the parameters that decay at all, see `decays`.
    layer_decay : float, default 1
        Factor of the learning rate per layer below the head: lr·layer_decay^(last − id).
    grouping : {"single", "group"}
        What a layer is: one block, or ConvNeXt's twelve groups of blocks.

    Returns
    -------
    list of dict
        Groups with ``name``, ``params``, ``weight_decay``, ``lr_scale`` (the factor),
        ``lr_scaled`` and ``lr`` (the factor times the optimizer's rate), in the order in which the
        model defines their first parameters.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = mg.models.ConvNeXt(num_classes=10, depths=(1, 1), dims=(8, 16))
    >>> groups = param_groups(model, weight_decay=0.05, layer_decay=0.9)
    >>> optimizer = mg.optim.AdamW(groups, lr=1e-3)
    >>> [(g["name"], round(g["lr_scale"], 2)) for g in groups][:2]
    [('layer_1_decay', 0.81), ('layer_1_no_decay', 0.81)]
    >>> round(optimizer.param_groups[0]["lr"], 5)
    0.00081
    """
    check_numbers("param_groups", weight_decay=weight_decay, layer_decay=layer_decay)
    if not 0.0 < layer_decay <= 1.0:
        raise OptionError(f"param_groups: layer_decay must lie in (0, 1], got {layer_decay}")
    if not isinstance(grouping, str) or grouping not in GROUPINGS:
        raise unknown("grouping", grouping, GROUPINGS)
    ids: dict[str, int] = {}
    if layer_decay != 1.0:
        if not hasattr(model, "layer_ids"):
            raise OptionError(
                f"param_groups: {type(model).__name__} has no method layer_ids, so layer_decay "
                "must be 1; ConvNeXt has one"
            )
        ids = model.layer_ids(grouping)
    last = max(ids.values(), default=0)
    groups: dict[str, dict[str, Any]] = {}
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        layer, decay = ids.get(name, last), decays(name, param.ndim)
        key = ("" if decay else "no_") + "decay"
        if ids:
            key = f"layer_{layer}_{key}"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "params": [],
                "weight_decay": weight_decay if decay else 0.0,
                "lr": partial(mul, layer_decay ** (last - layer)),
                "lr_scale": layer_decay ** (last - layer),
                "lr_scaled": True,  # for WarmupCosineLR, which scales else
            },
        )
        group["params"].append(param)
    return list(groups.values())
