"""`load_pretrained`: a model with weights from anywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minigrad.errors import OptionError, brief
from minigrad.models.convnext import ConvNeXt, ConvNeXtV2
from minigrad.models.isotropic import ConvNeXtIsotropic
from minigrad.models.mednext import MedNeXt
from minigrad.models.registry import build_pretrained, find
from minigrad.models.timm_convnext import TimmConvNeXt
from minigrad.models.weights.load import (
    PretrainedReport,
    Rules,
    Source,
    build_with,
    load_into,
    read,
)
from minigrad.nn.module import Module

__all__ = ["load_pretrained"]

_TIMM = set(inspect.signature(TimmConvNeXt).parameters) - {"args", "options", "head_init_scale"}


def load_pretrained(
    model: Module | str | None,
    source: Source,
    *,
    select: str | None = None,
    strict: bool = False,
    channels: str = "repeat",
    inflation: str = "mean",
    head_init_scale: float = 0.001,
    **options: Any,
) -> tuple[Any, PretrainedReport]:
    """Load weights of any library into a ConvNeXt or MedNeXt, as far as they fit.

    The library is recognised by the keys. Everything is checked and converted before the model is
    changed.

    Parameters
    ----------
    model : Module, str or None
        A model that has a ConvNeXt in it, also a U-Net or a masked autoencoder; or the name of one
        (see `list_models`), which is built; or None for the very model that the weights are of.
    source : path or mapping of str to array or Tensor
        A safetensors file or one of PyTorch's; a name on Hugging Face's hub (extra ``hub``), such
        as "timm/convnext_atto.d2_in1k"; or the weights themselves.
    select : str, optional
        The part of a file to take, such as "model_ema"; averages are taken only if asked for.
    strict : bool, default False
        Refuse weights that are missing, left over or not of the very shape.
    channels : {"repeat", "mean"}
        How the stem is made to fit another number of input channels: its kernels in turn, or their
        mean for each; times old / new number. For one channel both are the sum.
    inflation : {"mean", "center"}
        How the kernels of an image model become those of a volume model: repeated along the new
        axis and divided by its length, or in the middle of zeros. To signals: their sum over the
        height, or the middle row.
    head_init_scale : float, default 0.001
        Factor of the weights of a head that is drawn anew because it has other classes.
    **options
        Of the model that is built. What they leave open, such as ``num_classes``, is as the weights
        have it.

    Returns
    -------
    model : Module
        The one given, or the new one.
    report : PretrainedReport
        What was loaded, adapted, drawn anew, missing and unexpected; and the licence.

    Raises
    ------
    DataError
        If the source cannot be read, or its names belong to no known library.
    StateError
        If the weights are of a model of other sizes, or do not fit and `strict` is given.

    Notes
    -----
    Kernels of another size are interpolated linearly (MedNeXt's UpKern). A model that is built for
    weights with Hugging Face's names has their eps of 1e-12 in its final norm, or what their
    configuration says.

    Examples
    --------
    >>> import minigrad.models as models
    >>> trained = models.ConvNeXt(3, 1000, depths=(1, 1), dims=(8, 16))
    >>> weights = models.export_state_dict(trained, "torchvision")
    >>> model, report = load_pretrained(
    ...     None, weights, spatial_dims=3, in_channels=1, num_classes=2
    ... )
    >>> print(report)
    28 weights of ConvNeXt from a mapping (torchvision)
      licence: not stated in the file
      adapted: 4: 2-D → 3-D (mean); 3 → 1 input channels (repeat), 2-D → 3-D (mean)
      drawn anew: head.weight, head.bias
    """
    rules = Rules(strict, channels, inflation, head_init_scale).checked()
    if isinstance(model, Module):
        if options:
            raise OptionError(
                f"load_pretrained: {', '.join(options)} cannot be changed in a model that stands; "
                "give its name instead, or build it with these options"
            )
        return model, load_into(model, read(source, select), rules)
    if isinstance(model, str):
        entry = find(model)  # a wrong name is told before a large file is read
        return build_pretrained(entry, read(source, select), rules, options)
    if model is not None:
        raise OptionError(
            "load_pretrained: model is one that stands, the name of one, or None for the model of "
            f"the weights; not {brief(model)}"
        )
    loaded = read(source, select)
    return build_with(_kind(loaded.options), loaded, rules, options, loaded.options)


def _kind(options: dict[str, Any]) -> Callable[..., Module]:
    """Return the class of the model that weights are of."""
    if "n_channels" in options:
        return MedNeXt
    if "depth" in options:
        return ConvNeXtIsotropic
    if options.keys() & _TIMM:
        return TimmConvNeXt
    return ConvNeXtV2 if options["grn"] else ConvNeXt
