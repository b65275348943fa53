"""ConvNeXt in the manner of medicai: images channels last, class probabilities out.

The number of axes of `input_shape` decides between signals, images and volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import models
from minigrad.compat import convnext
from minigrad.compat._build import classifier, spatial
from minigrad.compat.keras.model import Model
from minigrad.models import create_model, list_models

__all__ = [
    "AttentionUNet",
    "ConvNeXtBackbone",
    "ConvNeXtBackboneV2",
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtV2Atto",
    "ConvNeXtV2Base",
    "ConvNeXtV2Femto",
    "ConvNeXtV2Huge",
    "ConvNeXtV2Large",
    "ConvNeXtV2Nano",
    "ConvNeXtV2Pico",
    "ConvNeXtV2Small",
    "ConvNeXtV2Tiny",
    "ConvNeXtXLarge",
    "UNet",
    "UNetPlusPlus",
    "create_model",
    "list_models",
]

STAGES = 4  # of every named model

Shape = Sequence[int | None]


def _variant(name: str, variant: str) -> Callable[..., Model]:
    """Return the function that builds one of the named models."""

    def build(
        *,
        input_shape: Shape,
        include_rescaling: bool = False,
        include_top: bool = True,
        num_classes: int | None = 1000,
        pooling: str | None = None,
        classifier_activation: str | None = "softmax",
        name: str | None = None,
        **options: Any,
    ) -> Model:
        config = {
            "input_shape": tuple(input_shape),
            "include_rescaling": include_rescaling,
            "include_top": include_top,
            "num_classes": num_classes,
            "pooling": pooling,
            "classifier_activation": classifier_activation,
            "name": name,
            **options,
        }
        # Without top, `pooling` asks for the pooled and normed vector instead of the map.
        vector = pooling is not None and not include_top
        net = convnext.named(
            variant,
            num_classes=0 if vector else num_classes,
            include_top=include_top or vector,
            include_rescaling=include_rescaling,
            pooling=pooling or "avg",
            classifier_activation=classifier_activation if include_top and num_classes else None,
            **spatial(input_shape, STAGES, options),
            **options,
        )
        title = name or f"{build.__name__}{net.spatial_dims}D"
        return classifier(net, input_shape, title, ("medicai", build.__name__, config))

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Build {variant}, channels last.

    Parameters
    ----------
    input_shape : sequence of int or None
        (*spatial, channels) of one sample; its length decides the dimension.
    include_rescaling : bool, default False
        Whether the model takes pixels of 0 to 255.
    include_top : bool, default True
        Whether there is a head; without, the last map comes out, or its pooled vector.
    num_classes : int or None, default 1000
        Outputs; 0 or None returns the pooled, normed vector.
    pooling : {{None, "avg", "max"}}
        Without top: None gives the map. With top: None is "avg".
    classifier_activation : str or None, default "softmax"
        None gives logits.
    name : str, optional
        Shown by `Model.summary`.
    **options
        Of `minigrad.compat.convnext.ConvNeXt`, such as ``drop_path_rate``; unknown ones raise.

    Returns
    -------
    Model
        With ``pyramid_outputs``, ``count_params()``, ``compile``, ``fit`` and so on.
    """
    return build


ConvNeXtTiny = _variant("ConvNeXtTiny", "convnext_tiny")
ConvNeXtSmall = _variant("ConvNeXtSmall", "convnext_small")
ConvNeXtBase = _variant("ConvNeXtBase", "convnext_base")
ConvNeXtLarge = _variant("ConvNeXtLarge", "convnext_large")
ConvNeXtXLarge = _variant("ConvNeXtXLarge", "convnext_xlarge")
ConvNeXtV2Atto = _variant("ConvNeXtV2Atto", "convnextv2_atto")
ConvNeXtV2Femto = _variant("ConvNeXtV2Femto", "convnextv2_femto")
ConvNeXtV2Pico = _variant("ConvNeXtV2Pico", "convnextv2_pico")
ConvNeXtV2Nano = _variant("ConvNeXtV2Nano", "convnextv2_nano")
ConvNeXtV2Tiny = _variant("ConvNeXtV2Tiny", "convnextv2_tiny")
ConvNeXtV2Small = _variant("ConvNeXtV2Small", "convnextv2_small")
ConvNeXtV2Base = _variant("ConvNeXtV2Base", "convnextv2_base")
ConvNeXtV2Large = _variant("ConvNeXtV2Large", "convnextv2_large")
ConvNeXtV2Huge = _variant("ConvNeXtV2Huge", "convnextv2_huge")


def ConvNeXtBackbone(
    *,
    depths: Sequence[int],
    projection_dims: Sequence[int],
    input_shape: Shape,
    drop_path_rate: float = 0.0,
    layer_scale_init_value: float | None = 1e-6,
    include_rescaling: bool = False,
    name: str | None = None,
    **options: Any,
) -> Model:
    """Build a trunk of any size; the last stage's map comes out.

    Parameters
    ----------
    depths, projection_dims : sequence of int
        Blocks and channels of each stage.
    input_shape : sequence of int or None
        (*spatial, channels) of one sample.
    drop_path_rate, layer_scale_init_value, include_rescaling, **options
        Of `minigrad.compat.convnext.ConvNeXt`.

    Examples
    --------
    >>> model = ConvNeXtBackbone(
    ...     depths=(1, 1), projection_dims=(4, 8), input_shape=(64, 32, 3)
    ... )
    >>> model.output_shape, model.pyramid_outputs["P1"]
    ((None, 8, 4, 8), <KerasTensor shape=(None, 16, 8, 4), dtype=float32>)
    """
    config = {
        "depths": tuple(depths),
        "projection_dims": tuple(projection_dims),
        "input_shape": tuple(input_shape),
        "drop_path_rate": drop_path_rate,
        "layer_scale_init_value": layer_scale_init_value,
        "include_rescaling": include_rescaling,
        "name": name,
        **options,
    }
    net = convnext.ConvNeXt(
        depths=depths,
        dims=projection_dims,
        include_top=False,
        drop_path_rate=drop_path_rate,
        layer_scale_init_value=layer_scale_init_value,
        include_rescaling=include_rescaling,
        **spatial(input_shape, len(projection_dims), options),
        **options,
    )
    kind = "ConvNeXtBackboneV2" if options.get("grn") else "ConvNeXtBackbone"
    title = name or f"{kind}{net.spatial_dims}D"
    return classifier(net, input_shape, title, ("medicai", "ConvNeXtBackbone", config))


def ConvNeXtBackboneV2(*, layer_scale_init_value: float | None = None, **options: Any) -> Model:
    """Build a trunk of ConvNeXt V2; parameters as `ConvNeXtBackbone`.

    Examples
    --------
    >>> model = ConvNeXtBackboneV2(
    ...     depths=(1, 1), projection_dims=(4, 8), input_shape=(64, 32, 3)
    ... )
    >>> model.output_shape
    (None, 8, 4, 8)
    """
    return ConvNeXtBackbone(grn=True, layer_scale_init_value=layer_scale_init_value, **options)


def _segmentor(name: str, kind: type[models.UNet]) -> Callable[..., Model]:
    """Return the function that builds one of the U-Nets."""

    def build(*, input_shape: Shape, **options: Any) -> Model:
        encoder = options.get("encoder")
        if isinstance(encoder, Model):
            options["encoder"] = encoder.net
        net = kind(input_shape=input_shape, **options)
        _, classes, *sides = net.output_shape
        # An encoder that is an object, not a name, cannot be written into a file.
        plain = encoder is None or isinstance(encoder, str)
        config = {"input_shape": tuple(input_shape), **options}
        keep = ("medicai", name, config) if plain else None
        title = options.get("name") or f"{name}{net.spatial_dims}D"
        return Model(net, input_shape, (*sides, classes), title, keep)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Build a {name}, channels last.

    Parameters
    ----------
    input_shape : sequence of int or None
        (*spatial, channels) of one sample; its length decides the dimension.
    **options
        Of `minigrad.models.{kind.__name__}`: ``encoder_name`` or ``encoder`` (a model of this
        module will do), ``encoder_depth``, ``num_classes``, ``decoder_filters``, ``head_upsample``,
        ``classifier_activation`` and so on.
    """
    return build


UNet = _segmentor("UNet", models.UNet)
AttentionUNet = _segmentor("AttentionUNet", models.AttentionUNet)
UNetPlusPlus = _segmentor("UNetPlusPlus", models.UNetPlusPlus)
