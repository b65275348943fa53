"""The namings of ConvNeXt weights: one table for each, used to read and to write.

A line is our key, the library's key and, where it is another one, the layout (see
`minigrad.models.weights.layout`); a dash stands where one side has nothing. Our own names are
those of Facebook's code. Sources: facebookresearch/ConvNeXt, ConvNeXt-V2 and dinov3, timm 1.0,
torchvision 0.28, transformers 5.23, Keras 3.15, open_clip, mmpretrain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from minigrad.errors import unknown
from minigrad.models.weights.naming import Naming, Row

__all__ = ["NAMINGS", "named"]


def rows(text: str, *, written: bool = True) -> tuple[Row, ...]:
    """Read the lines of a table."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]
    return tuple(
        Row(*("" if cell == "-" else cell for cell in line), written=written) for line in lines
    )


def prefixed(prefix: str, table: Iterable[Row]) -> tuple[Row, ...]:
    """Return a table with a prefix before their keys."""
    return tuple(Row(r.ours, prefix + r.theirs, r.layout.text, written=r.written) for r in table)


# ---- Facebook ---------------------------------------------------------------------------------

BLOCK = """
    {at}.gamma            {at}.gamma
    {at}.dwconv.*         {at}.dwconv.*
    {at}.norm.*           {at}.norm.*
    {at}.pwconv1.weight   {at}.pwconv1.weight   o i = o i
    {at}.pwconv1.bias     {at}.pwconv1.bias
    {at}.pwconv2.weight   {at}.pwconv2.weight   o i = o i
    {at}.pwconv2.bias     {at}.pwconv2.bias
    {at}.grn.*            {at}.grn.*
"""
TRUNK = rows("downsample_layers.{i}.{k}.*  downsample_layers.{i}.{k}.*") + rows(
    BLOCK.replace("{at}", "stages.{i}.{j}")
)
HEAD = """
    norm.*   norm.*
    head.*   head.*
"""
MAPS = "norm{i}.*  norm{i}.*"  # of the maps for detection and segmentation

FACEBOOK = Naming("facebook", TRUNK + rows(HEAD) + rows(MAPS))
ISOTROPIC = Naming(
    "facebook", rows("stem.*  stem.*") + rows(BLOCK.replace("{at}", "blocks.{j}")) + rows(HEAD)
)

AUTOENCODER = rows("""
    mask_token   mask_token
    proj.*       proj.*
    pred.*       pred.*
""") + rows(BLOCK.replace("{at}", "decoder.{j}"))
FCMAE = Naming(  # training checkpoints, whose encoder is sparse
    "fcmae",
    rows("""
        downsample_layers.0.{k}.*       encoder.downsample_layers.0.{k}.*
        downsample_layers.{i}.0.*       encoder.downsample_layers.{i}.0.ln.*
        downsample_layers.{i}.1.weight  encoder.downsample_layers.{i}.1.kernel  o i h w = (w h) i o
        downsample_layers.{i}.1.bias    encoder.downsample_layers.{i}.1.bias    c = 1 c
        stages.{i}.{j}.dwconv.weight    encoder.stages.{i}.{j}.dwconv.kernel    c 1 h w = (w h) c
        stages.{i}.{j}.dwconv.bias      encoder.stages.{i}.{j}.dwconv.bias      c = 1 c
        stages.{i}.{j}.norm.*           encoder.stages.{i}.{j}.norm.ln.*
        stages.{i}.{j}.pwconv{k}.*      encoder.stages.{i}.{j}.pwconv{k}.linear.*
        stages.{i}.{j}.grn.*            encoder.stages.{i}.{j}.grn.*            * c = 1 c
    """)
    + AUTOENCODER,
)
FCMAE_DENSE = Naming("fcmae_dense", prefixed("encoder.", TRUNK) + AUTOENCODER)

# ---- DINOv3 and EUPE --------------------------------------------------------------------------

DINOV3_LICENCE = "DINOv3 licence: derivatives under the same terms"
EUPE_LICENCE = "FAIR non-commercial research licence, for outputs too"

LAST_NORM = """
    norm.*   norm.*
    norm.*   norms.3.*
"""
DINOV3 = Naming("dinov3", TRUNK + rows(LAST_NORM), licence=DINOV3_LICENCE)
PROJECTORS = """
    -   norms.{i}.*
    -   projectors.{path}
"""
EUPE = Naming("eupe", TRUNK + rows("norm.*  norm.*") + rows(PROJECTORS), licence=EUPE_LICENCE)
DINOV3_HF = Naming(
    "dinov3_huggingface",
    rows("""
        downsample_layers.{i}.{k}.*  model.stages.{i}.downsample_layers.{k}.*
        stages.{i}.{j}.gamma         model.stages.{i}.layers.{j}.gamma
        stages.{i}.{j}.dwconv.*      model.stages.{i}.layers.{j}.depthwise_conv.*
        stages.{i}.{j}.norm.*        model.stages.{i}.layers.{j}.layer_norm.*
        stages.{i}.{j}.pwconv{k}.*   model.stages.{i}.layers.{j}.pointwise_conv{k}.*
        norm.*                       layer_norm.*
    """),
    licence=DINOV3_LICENCE,
)

# ---- timm and open_clip -----------------------------------------------------------------------

TIMM_TABLE = """
    downsample_layers.0.{k}.*         stem.{k}.*
    downsample_layers.{i}.{k}.*       stages.{i}.downsample.{k}.*
    stages.{i}.{j}.gamma              stages.{i}.blocks.{j}.gamma
    stages.{i}.{j}.dwconv.*           stages.{i}.blocks.{j}.conv_dw.*
    stages.{i}.{j}.norm.*             stages.{i}.blocks.{j}.norm.*
    stages.{i}.{j}.pwconv{k}.weight   stages.{i}.blocks.{j}.mlp.fc{k}.weight   o i = o i
    stages.{i}.{j}.pwconv{k}.bias     stages.{i}.blocks.{j}.mlp.fc{k}.bias
    stages.{i}.{j}.grn.gamma          stages.{i}.blocks.{j}.mlp.grn.weight     * c = c
    stages.{i}.{j}.grn.beta           stages.{i}.blocks.{j}.mlp.grn.bias       * c = c
    norm_pre.*                        norm_pre.*
    norm.*                            head.norm.*
    pre_logits.*                      head.pre_logits.fc.*
    head.*                            head.fc.*
"""
TIMM = Naming("timm", rows(TIMM_TABLE))
TIMM_CONV_MLP = Naming("timm_conv_mlp", rows(TIMM_TABLE.replace("o i = o i", "o i = o i 1 1")))

CLIP_TRUNK = [row for row in TIMM.rows if not row.ours.startswith(("pre_logits", "head"))]
CLIP_TRUNK += rows(  # of towers that timm builds with linear layers as convolutions
    "stages.{i}.{j}.pwconv{k}.weight  stages.{i}.blocks.{j}.mlp.fc{k}.weight  o i = o i 1 1",
    written=False,
)
CLIP_MLP = Naming(
    "open_clip",
    prefixed("visual.trunk.", CLIP_TRUNK)
    + rows("""
        pre_logits.*  visual.head.mlp.fc1.*
        head.weight   visual.head.mlp.fc2.weight
        head.bias     -
    """)
    + rows("head.bias  visual.head.mlp.fc2.bias", written=False),
)
CLIP_PROJECTION = Naming(
    "open_clip",
    prefixed("visual.trunk.", CLIP_TRUNK)
    + rows("""
        head.weight  visual.head.proj.weight
        head.bias    -
    """)
    + rows("head.bias  visual.head.proj.bias", written=False),
)

# ---- torchvision, Hugging Face, mmpretrain ----------------------------------------------------

TORCHVISION = Naming(
    "torchvision",
    rows("""
        downsample_layers.{i}.{k}.*  features.{2i}.{k}.*
        stages.{i}.{j}.gamma         features.{2i+1}.{j}.layer_scale  c = c 1 1
        stages.{i}.{j}.dwconv.*      features.{2i+1}.{j}.block.0.*
        stages.{i}.{j}.norm.*        features.{2i+1}.{j}.block.2.*
        stages.{i}.{j}.pwconv1.*     features.{2i+1}.{j}.block.3.*
        stages.{i}.{j}.pwconv2.*     features.{2i+1}.{j}.block.5.*
        norm.*                       classifier.0.*
        head.*                       classifier.2.*
    """),
)

HF_TABLE = """
    downsample_layers.0.0.*         embeddings.patch_embeddings.*
    downsample_layers.0.1.*         embeddings.layernorm.*
    downsample_layers.{i}.{k}.*     encoder.stages.{i}.downsampling_layer.{k}.*
    stages.{i}.{j}.dwconv.*         encoder.stages.{i}.layers.{j}.dwconv.*
    stages.{i}.{j}.norm.*           encoder.stages.{i}.layers.{j}.layernorm.*
    stages.{i}.{j}.pwconv{k}.*      encoder.stages.{i}.layers.{j}.pwconv{k}.*
    norm.*                          layernorm.*
"""
HF_SCALE = "stages.{i}.{j}.gamma  encoder.stages.{i}.layers.{j}.layer_scale_parameter"
HF_GRN = """
    stages.{i}.{j}.grn.gamma   encoder.stages.{i}.layers.{j}.grn.weight   * c = 1 1 1 c
    stages.{i}.{j}.grn.beta    encoder.stages.{i}.layers.{j}.grn.bias     * c = 1 1 1 c
"""
HF_MAPS = "norm{i}.*  hidden_states_norms.stage{i+1}.*"
HF_V1, HF_V2 = rows(HF_TABLE) + rows(HF_SCALE), rows(HF_TABLE) + rows(HF_GRN)
CLASSIFIER = rows("head.*  classifier.*")
HUGGINGFACE = tuple(
    Naming("huggingface", table, eps=1e-12)
    for table in (
        prefixed("convnext.", HF_V1) + CLASSIFIER,
        prefixed("convnextv2.", HF_V2) + CLASSIFIER,
        HF_V1 + rows(HF_GRN) + rows(HF_MAPS),  # the bare model, and backbones
    )
)

MMPRETRAIN = Naming(
    "mmpretrain",
    rows("""
        downsample_layers.{i}.{k}.*      backbone.downsample_layers.{i}.{k}.*
        stages.{i}.{j}.gamma             backbone.stages.{i}.{j}.gamma
        stages.{i}.{j}.dwconv.*          backbone.stages.{i}.{j}.depthwise_conv.*
        stages.{i}.{j}.norm.*            backbone.stages.{i}.{j}.norm.*
        stages.{i}.{j}.pwconv{k}.weight  backbone.stages.{i}.{j}.pointwise_conv{k}.weight  o i = o i
        stages.{i}.{j}.pwconv{k}.bias    backbone.stages.{i}.{j}.pointwise_conv{k}.bias
        stages.{i}.{j}.grn.*             backbone.stages.{i}.{j}.grn.*                     * c = c
        norm.*                           backbone.norm3.*
        head.*                           head.fc.*
    """)
    + rows(
        "stages.{i}.{j}.pwconv{k}.weight  backbone.stages.{i}.{j}.pointwise_conv{k}.weight"
        "  o i = o i 1 1",
        written=False,
    ),
)

# ---- MedNeXt ----------------------------------------------------------------------------------

PARTS = ("enc_block_{i}.{j}", "dec_block_{i}.{j}", "bottleneck.{j}", "down_{i}", "up_{i}")
LAYERS = ("conv{k}.*", "norm.*", "grn_gamma", "grn_beta", "res_conv.*")
MEDNEXT = Naming(  # its own names, and a number that its recomputation needs
    "mednext",
    tuple(Row(f"{part}.{layer}", f"{part}.{layer}") for part in PARTS for layer in LAYERS)
    + rows("""
        stem.*              stem.*
        out_{i}.conv_out.*  out_{i}.conv_out.*
        -                   dummy_tensor
    """),
    constants={"dummy_tensor": np.ones(1, np.float32)},
)

# ---- Keras ------------------------------------------------------------------------------------


def keras_path(key: str) -> str:
    """Return where a layer's weight stands in a file: in the layer's group, or its Sequential's.

    Examples
    --------
    >>> keras_path("net_stem_conv/bias"), keras_path("net_head_dense/bias")
    ('net_stem/net_stem/net_stem_conv/bias', 'net_head_dense/net_head_dense/bias')
    """
    group = key.split("/")[0]
    nested = re.sub(r"_stem_.*", "_stem", group)
    nested = re.sub(r"_downsampling_[a-z]+_", "_downsampling_block_", nested)
    return f"{nested}/{nested}/{key}" if nested != group else f"{group}/{key}"


KERAS_PARTS = ("depthwise_conv", "layernorm", "pointwise_conv_1", "pointwise_conv_2", "layer_scale")


def keras_order(path: str) -> tuple[int, int, int]:
    """Return where a weight's layer stands in the network: older files are read by position.

    Examples
    --------
    >>> names = ["net_head_dense", "net_stage_1_block_0_layernorm"]
    >>> sorted([*names, "net_downsampling_block_0"], key=keras_order)
    ['net_downsampling_block_0', 'net_stage_1_block_0_layernorm', 'net_head_dense']
    """
    group = path.partition("/")[0]
    if found := re.search(r"_stage_(\d+)_block_(\d+)_(\w+)", group):
        return 2 * int(found[1]) + 1, int(found[2]), KERAS_PARTS.index(found[3])
    if found := re.search(r"_downsampling_block_(\d+)", group):
        return 2 * int(found[1]) + 2, 0, 0
    ends = ("_stem", "_head_layernorm", "_head_dense")
    number = next(n for n, end in enumerate(ends) if group.endswith(end))
    return (10**9 if number else 0), number, 0


KERAS_LAYERS = rows("""
    downsample_layers.0.0.weight     stem_conv/kernel  o i * = * i o
    downsample_layers.0.0.bias       stem_conv/bias
    downsample_layers.0.1.weight     stem_layernorm/gamma
    downsample_layers.0.1.bias       stem_layernorm/beta
    downsample_layers.{i}.0.weight   downsampling_layernorm_{i-1}/gamma
    downsample_layers.{i}.0.bias     downsampling_layernorm_{i-1}/beta
    downsample_layers.{i}.1.weight   downsampling_conv_{i-1}/kernel  o i * = * i o
    downsample_layers.{i}.1.bias     downsampling_conv_{i-1}/bias
    stages.{i}.{j}.dwconv.weight     stage_{i}_block_{j}_depthwise_conv/kernel  o i * = * i o
    stages.{i}.{j}.dwconv.bias       stage_{i}_block_{j}_depthwise_conv/bias
    stages.{i}.{j}.norm.weight       stage_{i}_block_{j}_layernorm/gamma
    stages.{i}.{j}.norm.bias         stage_{i}_block_{j}_layernorm/beta
    stages.{i}.{j}.pwconv{k}.weight  stage_{i}_block_{j}_pointwise_conv_{k}/kernel  o i = i o
    stages.{i}.{j}.pwconv{k}.bias    stage_{i}_block_{j}_pointwise_conv_{k}/bias
    stages.{i}.{j}.gamma             stage_{i}_block_{j}_layer_scale/variable{_b}
    norm.weight                      head_layernorm/gamma
    norm.bias                        head_layernorm/beta
    head.weight                      head_dense/kernel  o i = i o
    head.bias                        head_dense/bias
""") + rows("stages.{i}.{j}.gamma  stage_{i}_block_{j}_layer_scale/*", written=False)

KERAS_H5 = Naming(  # the files that keras.applications downloads
    "keras_h5",
    prefixed("{name}_", KERAS_LAYERS),
    tail=2,
    path=keras_path,
    order=keras_order,
)
KERAS = Naming(  # Keras 3's own files: a layer's class, and how many of it were before
    "keras",
    rows("""
        downsample_layers.0.0.weight    layers/sequential/layers/conv2d/vars/0      o i * = * i o
        downsample_layers.0.0.bias      layers/sequential/layers/conv2d/vars/1
        downsample_layers.0.1.weight    layers/sequential/layers/layer_normalization/vars/0
        downsample_layers.0.1.bias      layers/sequential/layers/layer_normalization/vars/1
        downsample_layers.{i}.0.weight  layers/sequential{_i}/layers/layer_normalization/vars/0
        downsample_layers.{i}.0.bias    layers/sequential{_i}/layers/layer_normalization/vars/1
        downsample_layers.{i}.1.weight  layers/sequential{_i}/layers/conv2d/vars/0  o i * = * i o
        downsample_layers.{i}.1.bias    layers/sequential{_i}/layers/conv2d/vars/1
        norm.weight                     layers/layer_normalization{_B}/vars/0
        norm.bias                       layers/layer_normalization{_B}/vars/1
        head.weight                     layers/dense{_2B}/vars/0                    o i = i o
        head.bias                       layers/dense{_2B}/vars/1
        stages.{i}.{j}.dwconv.weight    layers/conv2d{_b}/vars/0                    o i * = * i o
        stages.{i}.{j}.dwconv.bias      layers/conv2d{_b}/vars/1
        stages.{i}.{j}.norm.weight      layers/layer_normalization{_b}/vars/0
        stages.{i}.{j}.norm.bias        layers/layer_normalization{_b}/vars/1
        stages.{i}.{j}.pwconv1.weight   layers/dense{_2b}/vars/0                    o i = i o
        stages.{i}.{j}.pwconv1.bias     layers/dense{_2b}/vars/1
        stages.{i}.{j}.pwconv2.weight   layers/dense{_2b+1}/vars/0                  o i = i o
        stages.{i}.{j}.pwconv2.bias     layers/dense{_2b+1}/vars/1
        stages.{i}.{j}.gamma            layers/layer_scale{_b}/vars/0
        -                                layers/normalization/vars/{k}
    """),
)

NAMINGS = (
    FACEBOOK, ISOTROPIC, DINOV3, EUPE, FCMAE, FCMAE_DENSE, TIMM, TIMM_CONV_MLP, CLIP_PROJECTION,
    CLIP_MLP, TORCHVISION, *HUGGINGFACE, DINOV3_HF, MMPRETRAIN, KERAS_H5, KERAS, MEDNEXT,
)  # fmt: skip
"""In the order of preference where two know equally many keys."""


def named(name: str) -> list[Naming]:
    """Return the tables of a naming.

    Raises
    ------
    OptionError
        If there is none; the nearest is suggested.
    """
    found = [naming for naming in NAMINGS if naming.name == name]
    if not found:
        raise unknown("naming", name, {naming.name for naming in NAMINGS})
    return found
