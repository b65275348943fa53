"""Wrong calls and commands of pre-training and of explanations."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import cli, models, viz
from minigrad.compat import convnext
from minigrad.models.fcmae import patchify, random_mask, unpatchify
from tests.bad_input import core

FCMAE = [
    ("models.FCMAE(v1)", "OptionError",
     r"blocks without GRN, as ConvNeXt V1; pre-train a ConvNeXtV2, or build .* grn=True"),
    ("models.FCMAE(linear)", "OptionError", r"encoder must be a ConvNeXtV2, got Linear"),
    ("models.FCMAE(v2, mask_ratio=1.0)", "OptionError",
     r"FCMAE: mask_ratio must lie between 0 and 1, got 1\.0"),
    ("models.FCMAE(v2, mask_ratio=-0.1)", "OptionError", r"between 0 and 1, got -0\.1"),
    ("models.FCMAE(v2, decoder_embed_dim=0)", "OptionError",
     r"decoder needs .* channels, got decoder_depth=1, decoder_embed_dim=0"),
    ("models.FCMAE(v2, grn_statistic='sampel')", "OptionError",
     r"unknown grn_statistic 'sampel'; did you mean 'sample'"),
    ("models.FCMAE(dropping)", "OptionError",
     r"drop path or dropout, which pre-training does without; build it with drop_path_rate=0"),
    ("models.FCMAE(rescaling)", "OptionError",
     r"include_rescaling=True is for finished models; normalise the images yourself"),
    ("models.FCMAE(overlapping)", "OptionError",
     r"Conv2d\(1, 4, kernel_size=\(3, 3\).* looks beyond a patch; .* stride = kernel size"),
    ("fcmae(mg.ones(1, 1, 9, 8))", "ShapeError",
     r"images of 9×8 do not divide into patches of side 4; resize or crop them to a multiple"),
    ("fcmae(mg.ones(1, 3, 8, 8))", "ShapeError", r"batch, 1 channels.*got \(1, 3, 8, 8\)"),
    ("fcmae(mg.ones(1, 1, 4, 4))", "OptionError",
     r"mask_ratio 0\.6 keeps 0 of 1 patches; some must be kept.*enlarge the images"),
    ("fcmae(mg.ones(2, 1, 8, 8), mg.ones(2, 3))", "ShapeError",
     r"need a mask of shape \(2, 4\), one number per patch, got \(2, 3\)"),
    ("fcmae(mg.ones(1, 1, 8, 8), mg.ones(1, 4))", "OptionError",
     r"must leave a visible patch in every sample"),
    ("random_mask(2, 49, 0.0)", "OptionError", r"mask_ratio must lie between 0 and 1, got 0\.0"),
    ("patchify(mg.ones(1, 1, 8, 6), 4)", "ShapeError", r"8×6 do not divide .* side 4"),
    ("unpatchify(mg.ones(1, 4, 9), 4, 1, (2, 2))", "ShapeError",
     r"grid of \(2, 2\) patches .* shape \(1, 4, 16\), got \(1, 4, 9\)"),
    ("models.from_fcmae(linear.state_dict())", "DataError",
     r"no weight of a masked autoencoder's encoder .* weight, bias"),
    ("runs.load_initial(model, 'run')", "DataError",
     r"run/encoder\.safetensors: .* do not fit the model.*dims.* of the run that made them"),
    ("runs.load_initial(v2, 'empty')", "DataError",
     r"empty: no weights to start from \(looked for encoder\.safetensors"),
    ("runs.load_initial(v2, 'nowhere')", "DataError", r"nowhere: cannot be read"),
    ("runs.load_initial(v2, 'truncated.safetensors')", "DataError", r"truncated\.safetensors"),
    ("runs.PretrainConfig.from_values({'mask_ratio': 1.5})", "OptionError", r"got 1\.5"),
    ("runs.PretrainConfig.from_values({'mixup': 0.2})", "OptionError",
     r"unknown training option 'mixup'"),
    ("runs.TrainConfig.from_values({'labels': 0.0})", "OptionError", r"labels must lie above 0"),
    ("data.stratified_subset(digits, 1.5)", "OptionError", r"share must lie in \(0, 1\], got 1\.5"),
]  # fmt: skip  # fmt: skip

EXPLAIN = [
    ("viz.grad_cam(v2, mg.ones(1, 1, 8, 8), layer='stage.1')", "OptionError",
     r"unknown module of ConvNeXtV2 'stage\.1'; did you mean 'stages\.1'"),
    ("viz.grad_cam(v2, mg.ones(1, 1, 8, 8), layer='head')", "ShapeError",
     r"'head' must give a map .* got \(1, 4\); name a stage or a convolution"),
    ("viz.grad_cam(v2, mg.ones(1, 1, 8, 8), target=10)", "RangeError",
     r"classes are numbered 0 to 3, got 10"),
    ("viz.grad_cam(linear, mg.ones(1, 3))", "OptionError", r"Linear has no stages"),
    ("viz.receptive_field(v2, (3, 16, 16))", "ShapeError", r"1 channels.*got \(1, 3, 16, 16\)"),
    ("viz.receptive_field(v2, (1, 16, 16), 'norm')", "ShapeError",
     r"norm must give a map \(N, C, \*spatial\), got \(1, 8\)"),
    ("viz.overlay(np.zeros((1, 8, 8)), np.full((2, 2), np.nan))", "OptionError",
     r"must not be negative or NaN"),
    ("viz.Plot('t', x=3)", "OptionError", r"x must be \(low, high\) with low < high.*got 3"),
    ("viz.Plot('t', x='ab')", "DTypeError", r"Plot: x must be numbers.*got 'ab'"),
    ("viz.Plot('t', width='a')", "OptionError", r"width must be a number, got 'a'"),
    ("viz.Plot('t', height=-5)", "OptionError", r"no room for a frame in 360 × -5 pixels"),
    ("viz.Plot('t').line('ab', [1, 2])", "DTypeError", r"Plot\.line: x must be numbers.*'ab'"),
    ("viz.Plot('t').line([[1], [1, 2]], [1, 2])", "DTypeError", r"in rows of one length"),
    ("viz.Plot('t').points([1], [1], [-1])", "OptionError", r"whole numbers from 0 on"),
    ("viz.Plot('t').points([1], [1], [0.5])", "OptionError", r"whole numbers from 0 on"),
    ("viz.Plot('t').points([1], [1], ['a'])", "DTypeError", r"classes must be numbers"),
    ("viz.Plot('t', x=(0, 1), y=(0, 1)).regions(3)", "OptionError", r"f is a function.*not 3"),
    ("viz.Plot('t', x=(0, 1), y=(0, 1)).regions(lambda p: p.sum())", "ShapeError",
     r"\(N,\) or \(N, classes\) for the N = 9216 points, got shape \(\)"),
    ("viz.Plot('t', x=(0, 1), y=(0, 1)).regions(lambda p: None)", "ShapeError", r"got shape \(\)"),
    ("viz.Plot('t', x=(0, 1), y=(0, 1)).contours(lambda p: p[:, 0], -1)", "OptionError",
     r"levels must be at least 1, got -1"),
    ("viz.Plot('t', x=(0, 1), y=(0, 1)).contours(lambda p: p[:, 0], 'ab')", "DTypeError",
     r"levels must be numbers"),
    ("viz.plot_svg({}, 't')", "OptionError", r"dots is a dict of names and \(x, y\), not 't'"),
    ("viz.images_svg('abc')", "DTypeError", r"a picture must be numbers.*got 'a'"),
    ("viz.images_svg(3)", "ShapeError", r"pictures come as \(N, H, W\).*not 3"),
    ("viz.memory_svg(3)", "ShapeError", r"one or two axes, got shape \(\)"),
    ("viz.walk(3)", "OptionError", r"function computes a tensor from the inputs; not 3"),
    ("viz.walk(lambda x: x, x='a')", "DTypeError", r"walk: x must be numbers.*got 'a'"),
    ("viz.walk(lambda x: 3, x=2.0)", "GraphError", r"must return a scalar tensor, got 3"),
    ("mg.io.save_keras(3, 'x.h5')", "OptionError", r"a dict of paths and arrays, not 3"),
    ("viz.reconstructions_svg({'a': np.zeros((8, 8))})", "ShapeError",
     r"one shape \(N, 1 or 3, H, W\), got \[\(8, 8\)\]"),
]  # fmt: skip  # fmt: skip

COMMANDS = [
    ("minigrad pretrain --mask-ratio 1", "exit 2",
     r"mask_ratio must lie between 0 and 1, got 1\.0"),
    ("minigrad pretrain --mask_ratio 0.5", "exit 2", r"did you mean '--mask-ratio'"),
    ("minigrad pretrain --model convnext", "exit 2", r"without GRN, as ConvNeXt V1"),
    ("minigrad pretrain --patch-size 3", "exit 2", r"8×8 do not divide into patches of side 6"),
    ("minigrad pretrain --patch-size 4", "exit 2", r"mask_ratio 0\.6 keeps 0 of 1 patches"),
    ("minigrad pretrain --grn-statistic all", "exit 2", r"unknown grn_statistic 'all'"),
    ("minigrad pretrain --mixup 0.1", "exit 2", r"unknown option of minigrad pretrain '--mixup'"),
    ("minigrad pretrain --data nowhere", "exit 2", r"unknown data set 'nowhere'"),
    ("minigrad pretrain --resume --name nothing", "exit 2", r"unknown run 'nothing'"),
    ("minigrad pretrain --resume --output . --name run --mask-ratio 0.5", "exit 2",
     r"run was trained with mask_ratio=0\.6, not 0\.5; leave the option out to resume it"),
    ("minigrad train --resume --output . --name run", "exit 2",
     r"run is a run of 'minigrad pretrain'"),
    ("minigrad train --init-from nowhere", "exit 2", r"nowhere: cannot be read \(No such file"),
    ("minigrad train --init-from empty", "exit 2", r"empty: no weights to start from"),
    ("minigrad train --init-from run --dims 16 32", "exit 2",
     r"weights do not fit the model, first of them"),
    ("minigrad train --labels 1.5", "exit 2", r"labels must lie between 0 and 1, got 1\.5"),
    ("minigrad predict image.npy --checkpoint run", "exit 2",
     r"pretraining\.safetensors is a pre-training, which knows no classes; fine-tune it with 'min"),
    ("minigrad explain", "exit 2", r"name a picture to explain, or ask for --receptive-field"),
    ("minigrad explain image.npy", "exit 2", r"no trained model below runs/"),
    ("minigrad explain image.npy --model run", "exit 2",
     r"run/pretraining\.safetensors is a pre-training"),
    ("minigrad explain nowhere.npy --model trained", "exit 2", r"nowhere\.npy: no such picture"),
    ("minigrad explain image.npy --model trained --class ten", "exit 2",
     r"unknown class 'ten' \(choose from 0, 1, 2"),
    ("minigrad explain image.npy --model trained --layer stages.9", "exit 2",
     r"unknown module of ConvNeXtV2 'stages\.9'; did you mean 'stages"),
    ("minigrad explain image.npy --model trained -o a.jpg", "exit 2", r"unknown ending '\.jpg'"),
    ("minigrad explain --receptive-field --model trained --layer head", "exit 2",
     r"head must give a map .* got \(1, 10\)"),
]  # fmt: skip

TABLE = {"fcmae": FCMAE, "explain": EXPLAIN, "commands": COMMANDS}


@cache
def runs() -> tempfile.TemporaryDirectory[str]:
    """Make a pre-training and a training, once."""
    made = tempfile.TemporaryDirectory()
    small = "--epochs 1 --depths 1 1 --dims 4 8 --batch-size 512 --output".split()
    for line in ("pretrain --decoder-dim 4 --name run", "train --name trained"):
        assert cli.main([*line.split(), *small, made.name]) == 0
    return made


def world() -> dict[str, Any]:
    """Return the names that the calls use, and write the files they read to the current folder."""
    names = core.world()
    for run in ("run", "trained"):
        shutil.copytree(Path(runs().name, run), run)
    np.save("image.npy", np.zeros((8, 8), np.float32))
    sizes: dict[str, Any] = {"depths": (1, 1), "dims": (4, 8), "patch_size": 2}
    return names | {
        "v1": models.ConvNeXt(**sizes), "dropping": models.ConvNeXtV2(drop_path_rate=0.1, **sizes),
        "rescaling": convnext.ConvNeXtV2(1, 4, include_rescaling=True, **sizes),
        "overlapping": models.ConvNeXtV2(1, 4, (1, 1), (4, 8), stem="auto", input_size=32),
        "v2": models.ConvNeXtV2(1, 4, **sizes),
        "fcmae": models.FCMAE(models.ConvNeXtV2(1, 4, **sizes), decoder_embed_dim=4),
        "random_mask": random_mask, "patchify": patchify, "unpatchify": unpatchify,
        "models": models, "viz": viz,
    }  # fmt: skip
