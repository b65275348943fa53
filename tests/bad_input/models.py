"""Wrong calls of the models by name, their feature pyramids, and the other systems' entrances."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import models, nn
from minigrad.compat import convnext, dl_techniques, edifice, keras, lucid, medicai
from tests.bad_input import core

S = "depths=(1, 1), dims=(4, 8)"

OPTIONS = [
    (f"models.ConvNeXt(stem='auto', {S})", "OptionError",
     r"stem='auto' chooses by the smallest side of the input: pass input_size=32"),
    (f"models.ConvNeXt(stem='auto', input_size=32, patch_size=2, {S})", "OptionError",
     r"stem='auto' chooses the patch size itself, so patch_size=2 cannot hold"),
    (f"models.ConvNeXt(stem='automatic', {S})", "OptionError",
     r"unknown stem 'automatic'.*choose from auto, patch"),
    (f"convnext.ConvNeXt(pooling='mean', {S})", "OptionError",
     r"unknown ConvNeXt pooling 'mean' \(choose from avg, max\)"),
    (f"convnext.ConvNeXt(classifier_activation='sofmax', {S})", "OptionError",
     r"unknown classifier_activation 'sofmax'; did you mean 'softmax'"),
    (f"convnext.ConvNeXt(activation='relu', approximate='tanh', {S})", "OptionError",
     r"approximate='tanh' is for GELU; the activation is 'relu'"),
    (f"convnext.ConvNeXtV2(grn_norm='max', {S})", "OptionError",
     r"unknown GRN norm 'max' \(choose from mean, sum\)"),
    (f"convnext.ConvNeXtV2(grn_position='last', {S})", "OptionError",
     r"unknown Block grn_position 'last'.*hidden, projection"),
    (f"convnext.ConvNeXt(initializer='xavier', {S})", "OptionError",
     r"unknown initializer 'xavier'.*glorot_normal, glorot_uniform"),
    (f"models.ConvNeXt(head_dropout=-0.1, {S})", "OptionError",
     r"Dropout: the probability to drop must lie in \[0, 1\], got -0\.1"),
    (f"models.ConvNeXt(drop_rate=0.1, head_dropout=0.1, {S})", "OptionError",
     r"ConvNeXt: drop_rate is another name of head_dropout; give only one"),
    ("models.export_state_dict(3)", "StateError", r"int has no ConvNeXt in it"),
    ("models.load_pretrained(nn.ReLU(), 3)", "OptionError", r"a path is a string or"),
    ("models.load_pretrained('convnext_tinny', {})", "OptionError", r"mean 'convnext_tiny'"),
    ("models.load_pretrained(3, {})", "OptionError", r"or None for the model of.*not 3"),
    ("models.load_pretrained(None, {}, channels='sum')", "OptionError",
     r"unknown rule for channels 'sum'"),
    ("models.load_pretrained(None, {}, inflation='centre')", "OptionError", r"mean 'center'"),
    ("models.load_pretrained(None, {}, head_init_scale='1')", "OptionError",
     r"head_init_scale must be a number, got '1'"),
    ("models.load_pretrained(None, {}, head_init_scale=float('nan'))", "OptionError",
     r"head_init_scale must be finite, got nan"),
    ("models.load_pretrained(None, {}, select='model_ema')", "OptionError",
     r"select='model_ema' names a part of a file, but weights were given"),
    ("models.dinov3_features(nn.ReLU(), 3)", "OptionError",
     r"dinov3_features: model is a ConvNeXt, not ReLU"),
    ("models.convnext_tiny(depth=3)", "OptionError", r"unknown ConvNeXt option 'depth'.*'depths'"),
    ("models.convnext_tiny(depths=(1, 1, 1, 1))", "OptionError",
     r"a named model sets depths and dims itself.*models\.ConvNeXt\(depths=…, dims=…\)"),
    ("models.ConvNeXtIsotropic(depth=0)", "OptionError", r"sizes must be positive.*depth=0"),
    ("models.ConvNeXtIsotropic(depths=(1,))", "OptionError", r"did you mean 'depth'"),
]  # fmt: skip  # fmt: skip

NAMES = [
    ("models.create_model('convnext_tinny')", "OptionError",
     r"unknown model 'convnext_tinny'; did you mean 'convnext_tiny'"),
    ("models.create_model('convnext_tiny.fb_in1k')", "OptionError", r"mean 'convnext_tiny'"),
    ("models.create_model('convnext_tiny', pretrained=True)", "DataError",
     r"no weights of 'convnext_tiny' come with minigrad.*pretrained='model\.safetensors'"),
    ("models.create_model('convnext_v2_attto')", "OptionError", r"did you mean 'convnextv2_atto'"),
    ("models.list_models('convnxt')", "OptionError", r"unknown model family.*mean 'convnext'"),
    ("models.register(type='segmentor')", "OptionError",
     r"unknown model type 'segmentor'; did you mean 'segmentation'"),
    ("models.register('unets', type='segmentation')", "OptionError",
     r"a backbone has a family and no allowed_families, a segmentation model has"),
    ("models.register('toys', name='convnext_tiny')(nn.Linear)", "OptionError",
     r"a model 'convnext_tiny' is registered already, by minigrad\.models\.variants"),
    ("models.register('toys', name='tinyA', aliases=['ConvNeXt-V2-Atto'])(nn.Linear)",
     "OptionError", r"a model 'ConvNeXt-V2-Atto' is registered already"),
    ("dl_techniques.create_convnext_v2('small')", "OptionError",
     r"unknown ConvNeXtV2 variant 'small'"),
    ("edifice.build('convnet')", "OptionError", r"unknown architecture 'convnet'.*'convnext'"),
]  # fmt: skip  # fmt: skip

PYRAMID = [
    ("models.ConvNeXtFeatures(model, out_indices=(0, 2))", "OptionError",
     r"out_indices must name stages 0 to 1 \(P1 to P2\), got \[0, 2\]"),
    ("models.ConvNeXtFeatures(model, out_indices=())", "OptionError", r"got \[\]"),
    ("models.ConvNeXtFeatures(linear)", "OptionError",
     r"Linear has no stages to take maps from; give it a ConvNeXt"),
    ("model.pyramid_shapes((3, 4, 64))", "ShapeError",
     r"4×64 vanishes: the model reduces each side 8 times; enlarge it"),
    ("model.pyramid_shapes((1, 64, 64))", "ShapeError", r"must be \(batch, 3 channels.*in_channel"),
    ("models.create_model('convnextv2_atto', features_only=True, out_index=0)", "OptionError",
     r"unknown ConvNeXt option 'out_index'"),
]  # fmt: skip  # fmt: skip

KERAS = [
    ("medicai.ConvNeXtTiny(input_shape=(96, 96, 96, 96, 4))", "OptionError",
     r"input_shape is one sample, channels last.*got \(96, 96, 96, 96, 4\)"),
    ("medicai.ConvNeXtTiny(input_shape=(32, 32, None))", "OptionError",
     r"channels last: .*got \(32, 32, None\)"),
    ("medicai.ConvNeXtV2Atto(input_shape=(16, 16, 3))", "ShapeError",
     r"16×16 vanishes: the model reduces each side 32 times"),
    ("medicai.ConvNeXtV2Atto(input_shape=(32, 32, 3), drop_pth_rate=0.1)", "OptionError",
     r"did you mean 'drop_path_rate'"),
    ("medicai.UNet(encoder_name='convnextv2_atto', input_shape=(48, 48, 3), encoder_depth=4)",
     "ShapeError", r"the sides must divide by 32.*got 48×48; resize or pad to 64×64"),
    ("cifar.fit(x, y)", "OptionError", r"fit: call model\.compile\(optimizer=…, loss=…\) first"),
    ("cifar(x.transpose(0, 3, 1, 2))", "ShapeError",
     r"channels last, \(None, 8, 8, 3\), got \(2, 3, 8, 8\); move the channels with np\.moveaxis"),
    ("cifar.compile('adamx')", "OptionError", r"unknown optimizer 'adamx'; did you mean 'adam"),
    ("cifar.compile(loss='categorical_crossentropie')", "OptionError",
     r"did you mean 'categorical_crossentropy'"),
    ("cifar.compile(metrics=['acuracy'])", "OptionError", r"did you mean 'accuracy'"),
    ("dl_techniques.create_convnext_v1('tiny', pretrained=True)", "DataError",
     r"no weights of ConvNeXtV1 'tiny' come with minigrad; pass a file instead"),
    ("dl_techniques.create_convnext_v1('cifar10', pretrained='nowhere.keras')", "DataError",
     r"nowhere\.keras"),
    ("keras.models.load_model('weights.safetensors')", "DataError",
     r"weights\.safetensors: no model that model\.save wrote"),
    ("keras.mixed_precision.set_global_policy('mixed_float8')", "OptionError",
     r"unknown mixed precision policy.*did you mean 'mixed_float16'"),
    ("keras.optimizers.AdamW(learningrate=1)", "OptionError", r"did you mean 'learning_rate'"),
    ("lucid.ConvNeXt(layer_scale=1)", "OptionError", r"unknown ConvNeXt option 'layer_scale'"),
    ("edifice.build(image_size=16)", "ShapeError", r"image_size=16 vanishes.*lower patch_size"),
    ("edifice.output_size(dim=[4])", "OptionError", r"unknown option 'dim'; did you mean 'dims'"),
]  # fmt: skip  # fmt: skip

TABLE = {"options": OPTIONS, "names": NAMES, "pyramid": PYRAMID, "keras": KERAS}


def world() -> dict[str, Any]:
    """Return the names that the calls use."""
    cifar = dl_techniques.create_convnext_v2("cifar10", num_classes=2, input_shape=(8, 8, 3))
    return core.world() | {
        "models": models, "nn": nn, "medicai": medicai, "dl_techniques": dl_techniques,
        "convnext": convnext, "edifice": edifice, "lucid": lucid, "keras": keras, "cifar": cifar,
        "x": np.zeros((2, 8, 8, 3), np.float32), "y": np.zeros(2, np.int64),
    }  # fmt: skip
