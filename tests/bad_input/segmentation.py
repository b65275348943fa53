"""Wrong calls of the U-Nets, of the losses and scores of segmentation, and of sliding windows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import models, nn
from minigrad.models import sliding_window_inference as sliding
from minigrad.nn import functional as F
from minigrad.runs import SegmentConfig
from minigrad.train import ConfusionMatrix

ENCODER = [
    ("models.UNet('convnext_tiny', encoder_depth=5)", "OptionError",
     r"encoder_depth=5 needs the maps P1 to P5, but convnext_tiny has no P5; pass encoder_depth=4"),
    ("models.UNet(encoder, encoder_depth=5)", "OptionError",
     r"needs the maps P1 to P5, but ConvNeXt has no P5; pass encoder_depth=4"),
    ("models.UNet(models.ConvNeXtFeatures(encoder, (0, 1, 2)), encoder_depth=4)", "OptionError",
     r"ConvNeXtFeatures has no P4; pass encoder_depth=3"),
    ("models.UNet(shallow)", "OptionError",
     r"encoder_depth=3 needs the maps P1 to P3, but ConvNeXt has no P3"),
    ("models.UNet(encoder, encoder_depth=2)", "OptionError", r"must be 3, 4 or 5, got 2"),
    ("models.UNet(encoder, encoder_name='convnext_tiny')", "OptionError",
     r"give exactly one of encoder and encoder_name, got both"),
    ("models.UNet(num_classes=3)", "OptionError",
     r"exactly one of encoder and encoder_name, got neither; .*encoder_name='convnext_tiny'"),
    ("models.UNet('convnext_tinny')", "OptionError", r"did you mean 'convnext_tiny'"),
    ("models.UNet(linear)", "OptionError",
     r"encoder must be a name, a ConvNeXt, or a module .* feature_info, got Linear"),
    ("models.UNet(models.ConvNeXtFeatures(encoder, (0, 1, 3)))", "OptionError",
     r"the sides must halve .*reductions \[4, 8, 32\]"),
    ("models.UNet(encoder, in_channels=1)", "OptionError",
     r"the encoder has in_channels=3, but in_channels=1 is asked for"),
    ("models.UNet(encoder, spatial_dims=3)", "OptionError",
     r"the encoder has spatial_dims=2, but spatial_dims=3 is asked for"),
    ("models.UNet('convnext_tiny', encoder_options={'drop_pth_rate': 0.1})", "OptionError",
     r"did you mean 'drop_path_rate'"),
]  # fmt: skip

INPUT = [
    ("models.UNet('convnext_tiny', input_shape=(96, 96, 96, 96, 4))", "OptionError",
     r"input_shape must be \(\*sides, channels\) with one to three sides"),
    ("models.UNet('convnext_tiny', input_shape=(4,))", "OptionError", r"one to three sides"),
    ("models.UNet('convnext_tiny', input_shape=(96, None))", "OptionError", r"one to three sides"),
    ("models.UNet('convnext_tiny', input_shape=(96, -1, 3))", "OptionError",
     r"positive integers or None, got \(96, -1, 3\)"),
    ("models.UNet('convnext_tiny', input_shape=(3, 96, 96), in_channels=3)", "OptionError",
     r"has in_channels 96, but in_channels=3 is given; input_shape has the channels last"),
    ("models.UNet('convnext_tiny', input_shape=(100, 96, 3))", "ShapeError",
     r"must divide by 32, .*got 100×96; resize or pad to 128×96, .*pad=True"),
    ("models.UNet('convnext_tiny', spatial_dims=4)", "OptionError", r"must be 1, 2 or 3, got 4"),
    ("model(mg.zeros(1, 3, 64, 40))", "ShapeError",
     r"UNet: the sides must divide by 32, .*P4, got 64×40; resize or pad to 64×64"),
    ("model(mg.zeros(1, 3, 64))", "ShapeError", r"\(batch, 3 channels, height, width\), got"),
    ("model(mg.zeros(1, 1, 64, 64))", "ShapeError", r"\(batch, 3 channels, height, width\), got"),
    ("model(mg.zeros(64, 64, 3))", "ShapeError", r"got \(64, 64, 3\)"),
]  # fmt: skip

DECODER = [
    ("models.UNet(encoder, decoder_block_type='transposed')", "OptionError",
     r"unknown decoder_block_type 'transposed'; did you mean 'transpose'"),
    ("models.UNet(encoder, decoder_normalization='bath')", "OptionError",
     r"unknown decoder_normalization 'bath'; did you mean 'batch'"),
    ("models.UNet(encoder, decoder_normalization=True)", "OptionError",
     r"unknown decoder_normalization True"),
    ("models.UNet(encoder, decoder_activation='rellu')", "OptionError", r"did you mean 'relu'"),
    ("models.UNet(encoder, classifier_activation='softmx')", "OptionError",
     r"unknown activation 'softmx'; did you mean 'softmax'"),
    ("models.UNet(encoder, decoder_filters=(64, 32, 16))", "OptionError",
     r"at least encoder_depth=4 positive integers, coarsest first, got \(64, 32, 16\)"),
    ("models.UNet(encoder, decoder_filters=(64, 32, 16, 0))", "OptionError", r"positive integers"),
    ("models.UNet(encoder, decoder_filters=64)", "OptionError", r"positive integers.*got 64"),
    ("models.UNet(encoder, head_upsample=(2, 2, 2))", "OptionError",
     r"head_upsample must be a positive number, 2 of them, or 'auto', got \(2, 2, 2\)"),
    ("models.UNet(encoder, head_upsample=-1)", "OptionError", r"positive number"),
    ("models.UNet(encoder, head_upsample='automatic')", "OptionError", r"or 'auto', got"),
    ("models.UNet(encoder, num_classes=0)", "OptionError", r"positive integer, got 0"),
    ("models.UNet(encoder, decoder_filter=(1,))", "OptionError", r"did you mean 'decoder_filters'"),
    ("models.UNetPlusPlus(encoder, paper_width=True)", "OptionError", r"unknown UNet option"),
    ("models.AttentionUNet(encoder, depth=4)", "OptionError", r"unknown UNet option 'depth'"),
]  # fmt: skip

SCORES = [
    ("F.dice_loss(mg.zeros(1, 3, 4), mg.zeros(1, 4, dtype=mg.int64) + 3)", "OptionError",
     r"label 3 is out of range for 3 classes"),
    ("F.dice_loss(mg.zeros(1, 3, 4, 4), mg.zeros(1, 4, dtype=mg.int64))", "ShapeError",
     r"must have shape \(1, 4, 4\)"),
    ("F.dice_loss(mg.zeros(1, 3, 4) + 2, mg.zeros(1, 3, 4), from_logits=False)", "OptionError",
     r"must be probabilities between 0 and 1, got 2"),
    ("F.dice_ce_loss(mg.zeros(1, 3, 4), mg.zeros(1, 4))", "DTypeError", r"target\.long\(\)"),
    ("ConfusionMatrix(3).update(np.zeros((1, 4, 5)), np.zeros((1, 5), int))", "ShapeError",
     r"\(N, 3, \.\.\.\), got \(1, 4, 5\)"),
    ("SegmentConfig.from_values({'data': 'brains'})", "OptionError", r"did you mean 'brain'"),
]  # fmt: skip

WINDOWS = [
    ("sliding(image, (64, 64, 64), model)", "OptionError",
     r"roi_size must be a positive integer or 2 of them .*\(96, 96\), got \(64, 64, 64\)"),
    ("sliding(image, 0, model)", "OptionError", r"positive integer"),
    ("sliding(image, 64, model, overlap=1.0)", "OptionError", r"\[0, 1\)"),
    ("sliding(image, 64, model, mode='gausian')", "OptionError", r"did you mean 'gaussian'"),
    ("sliding(image, 64, model)", "ShapeError", r"\(64, 64\).*head_upsample='auto'"),
    ("sliding(image, 65, model)", "ShapeError", r"must divide by 32.*65×65"),
    ("sliding(image[0, 0], 64, model)", "ShapeError", r"a single image needs inputs\[None\]"),
]  # fmt: skip  # fmt: skip

TABLE = {
    "encoder": ENCODER, "input": INPUT, "decoder": DECODER, "scores": SCORES, "windows": WINDOWS,
}  # fmt: skip


@cache  # no call changes it
def world() -> dict[str, Any]:
    """Return the names that the calls use."""
    mg.manual_seed(0)
    encoder = models.ConvNeXt(depths=(1,) * 4, dims=(4, 8, 8, 8))
    return {
        "mg": mg, "np": np, "nn": nn, "F": F, "models": models, "sliding": sliding,
        "ConfusionMatrix": ConfusionMatrix, "SegmentConfig": SegmentConfig, "encoder": encoder,
        "model": models.UNet(encoder, decoder_filters=(8, 8, 4, 4)), "linear": nn.Linear(2, 2),
        "shallow": models.ConvNeXt(depths=(1, 1), dims=(4, 8)), "image": mg.zeros(1, 3, 96, 96),
    }  # fmt: skip
