"""Models: ConvNeXt V1 and V2, and the registry that knows them by name.

No weights come with minigrad, and a top-1 beside a name is that of its authors' weights:
`load_pretrained` reads them, in any library's naming.
"""

from minigrad.models.convnext import Block, ConvNeXt, ConvNeXtV2
from minigrad.models.dinov3 import dinov3_features
from minigrad.models.ensemble import Ensemble, average_weights
from minigrad.models.fcmae import FCMAE
from minigrad.models.features import ConvNeXtFeatures, Feature, FeatureInfo
from minigrad.models.isotropic import (
    ConvNeXtIsotropic,
    convnext_isotropic_base,
    convnext_isotropic_large,
    convnext_isotropic_small,
)
from minigrad.models.mednext import MedNeXt, mednext_b, mednext_l, mednext_m, mednext_s
from minigrad.models.pretrained import load_pretrained
from minigrad.models.registry import create_model, list_models, register
from minigrad.models.sliding_window import sliding_window_inference
from minigrad.models.tiled import Tiled
from minigrad.models.timm_convnext import TimmConvNeXt
from minigrad.models.unet import AttentionUNet, UNet, UNetPlusPlus
from minigrad.models.variants import *  # noqa: F403
from minigrad.models.variants import __all__ as _variants
from minigrad.models.weights.export import export_state_dict, from_fcmae

__all__ = [
    "FCMAE",
    "AttentionUNet",
    "Block",
    "ConvNeXt",
    "ConvNeXtFeatures",
    "ConvNeXtIsotropic",
    "ConvNeXtV2",
    "Ensemble",
    "Feature",
    "FeatureInfo",
    "MedNeXt",
    "Tiled",
    "TimmConvNeXt",
    "UNet",
    "UNetPlusPlus",
    "average_weights",
    "convnext_isotropic_base",
    "convnext_isotropic_large",
    "convnext_isotropic_small",
    "create_model",
    "dinov3_features",
    "export_state_dict",
    "from_fcmae",
    "list_models",
    "load_pretrained",
    "mednext_b",
    "mednext_l",
    "mednext_m",
    "mednext_s",
    "register",
    "sliding_window_inference",
]
__all__ += _variants
