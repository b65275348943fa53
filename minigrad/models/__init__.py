"""Models: ConvNeXt V1 and V2, and the registry that knows them by name."""

from minigrad.models.convnext import Block, ConvNeXt, ConvNeXtV2
from minigrad.models.features import ConvNeXtFeatures, Feature, FeatureInfo
from minigrad.models.registry import create_model, list_models, register
from minigrad.models.variants import *  # noqa: F403
from minigrad.models.variants import __all__ as _variants

__all__ = [
    "Block",
    "ConvNeXt",
    "ConvNeXtFeatures",
    "ConvNeXtV2",
    "Feature",
    "FeatureInfo",
    "create_model",
    "list_models",
    "register",
]
__all__ += _variants
