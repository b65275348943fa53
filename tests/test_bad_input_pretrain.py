"""What a user sees after a wrong call of pre-training or of an explanation: the table of messages.

As in `tests.test_bad_input`: a wrong call says what is wrong and changes nothing. To read all
messages as a user would::

    python -m tests.test_bad_input_pretrain
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import io, models, viz
from minigrad.compat import convnext
from minigrad.errors import MinigradError
from minigrad.models.fcmae import patchify, random_mask, unpatchify
from tests import test_bad_input
from tests.test_bad_input import command

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
    ("train.load_initial(model, 'run')", "DataError",
     r"run/encoder\.safetensors: .* do not fit the model.*dims.* of the run that made them"),
    ("train.load_initial(v2, 'empty')", "DataError",
     r"empty: no weights to start from \(looked for encoder\.safetensors"),
    ("train.load_initial(v2, 'nowhere')", "DataError", r"nowhere: cannot be read"),
    ("train.load_initial(v2, 'truncated.safetensors')", "DataError", r"truncated\.safetensors"),
    ("train.PretrainConfig.from_values({'mask_ratio': 1.5})", "OptionError", r"got 1\.5"),
    ("train.PretrainConfig.from_values({'mixup': 0.2})", "OptionError",
     r"unknown training option 'mixup'"),
    ("train.TrainConfig.from_values({'labels': 0.0})", "OptionError", r"labels must lie above 0"),
    ("data.stratified_subset(digits, 1.5)", "OptionError", r"share must lie in \(0, 1\], got 1\.5"),
]  # fmt: skip

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
    ("viz.reconstructions_svg({'a': np.zeros((8, 8))})", "ShapeError",
     r"one shape \(N, 1 or 3, H, W\), got \[\(8, 8\)\]"),
]  # fmt: skip

CALLS = [*FCMAE, *EXPLAIN]

COMMANDS = [
    ("minigrad pretrain --mask-ratio 1", r"mask_ratio must lie between 0 and 1, got 1\.0"),
    ("minigrad pretrain --mask_ratio 0.5", r"did you mean '--mask-ratio'"),
    ("minigrad pretrain --model convnext", r"without GRN, as ConvNeXt V1"),
    ("minigrad pretrain --patch-size 3", r"8×8 do not divide into patches of side 6"),
    ("minigrad pretrain --patch-size 4", r"mask_ratio 0\.6 keeps 0 of 1 patches"),
    ("minigrad pretrain --grn-statistic all", r"unknown grn_statistic 'all'"),
    ("minigrad pretrain --mixup 0.1", r"unknown option of minigrad pretrain '--mixup'"),
    ("minigrad pretrain --data nowhere", r"unknown data set 'nowhere'"),
    ("minigrad pretrain --resume --name nothing", r"unknown run 'nothing'"),
    ("minigrad pretrain --resume --output . --name run --mask-ratio 0.5",
     r"run was trained with mask_ratio=0\.6, not 0\.5; leave the option out to resume it"),
    ("minigrad train --resume --output . --name run", r"run is a run of 'minigrad pretrain'"),
    ("minigrad train --init-from nowhere", r"nowhere: cannot be read \(No such file"),
    ("minigrad train --init-from empty", r"empty: no weights to start from"),
    ("minigrad train --init-from run --dims 16 32", r"weights do not fit the model, first of them"),
    ("minigrad train --labels 1.5", r"labels must lie between 0 and 1, got 1\.5"),
    ("minigrad predict image.npy --checkpoint run",
     r"pretraining\.safetensors is a pre-training, which knows no classes; fine-tune it with 'min"),
    ("minigrad explain", r"name a picture to explain, or ask for --receptive-field"),
    ("minigrad explain image.npy", r"no trained model below runs/"),
    ("minigrad explain image.npy --model run", r"run/pretraining\.safetensors is a pre-training"),
    ("minigrad explain nowhere.npy --model trained", r"nowhere\.npy: no such picture"),
    ("minigrad explain image.npy --model trained --class ten",
     r"unknown class 'ten' \(choose from 0, 1, 2"),
    ("minigrad explain image.npy --model trained --layer stages.9",
     r"unknown module of ConvNeXtV2 'stages\.9'; did you mean 'stages"),
    ("minigrad explain image.npy --model trained -o a.jpg", r"unknown ending '\.jpg'"),
    ("minigrad explain --receptive-field --model trained --layer head",
     r"head must give a map .* got \(1, 10\)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a pre-training and a training once."""
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder)
    return folder


def make_runs(folder: Path) -> None:
    small = f"--epochs 1 --depths 1 1 --dims 4 8 --batch-size 512 --output {folder}"
    assert command(f"minigrad pretrain {small} --decoder-dim 4 --name run")[0] == 0
    assert command(f"minigrad train {small} --name trained")[0] == 0


def build_world(runs: Path) -> dict[str, Any]:
    """Return the names that the calls use, and write the files they read to the current folder."""
    world = test_bad_input.build_world()
    for name in ("run", "trained"):
        shutil.copytree(runs / name, name)
    np.save("image.npy", np.zeros((8, 8), np.float32))
    sizes = {"depths": (1, 1), "dims": (4, 8), "patch_size": 2}
    v2 = models.ConvNeXtV2(1, 4, **sizes)
    fcmae = models.FCMAE(models.ConvNeXtV2(1, 4, **sizes), decoder_embed_dim=4)
    return world | {
        "v1": models.ConvNeXt(**sizes), "dropping": models.ConvNeXtV2(drop_path_rate=0.1, **sizes),
        "rescaling": convnext.ConvNeXtV2(1, 4, include_rescaling=True, **sizes),
        "overlapping": models.ConvNeXtV2(1, 4, (1, 1), (4, 8), stem="auto", input_size=32),
        "models": models, "viz": viz, "io": io, "v2": v2, "fcmae": fcmae, "sizes": sizes,
        "random_mask": random_mask, "patchify": patchify, "unpatchify": unpatchify,
    }  # fmt: skip


def snapshot(world: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a wrong call must not change, the two more models included."""
    seen = test_bad_input.snapshot(world)
    for name in ("v2", "fcmae"):
        for key, p in world[name].state_dict().items():
            seen[f"{name}.{key}"] = p.array.tobytes()
        modules = list(world[name].modules())
        seen[name] = [(m.training, len(m._forward_hooks)) for m in modules]
    return seen


@pytest.fixture
def world(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return build_world(runs)


@pytest.mark.parametrize(("code", "kind", "message"), CALLS, ids=[c for c, _, _ in CALLS])
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(
    code: str, kind: str, message: str, world: dict[str, Any]
) -> None:
    before = snapshot(world)
    error = test_bad_input.attempt(code, world)
    assert error is not None, "nothing was raised"
    assert type(error).__name__ == kind, f"{type(error).__name__}: {error}"
    assert re.search(message, str(error), re.DOTALL), str(error)
    assert isinstance(error, MinigradError)
    after = snapshot(world)
    assert [k for k in before if before[k] != after[k]] == []


@pytest.mark.parametrize(("line", "message"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_a_wrong_command_says_so_in_one_line_and_writes_nothing(
    line: str, message: str, world: dict[str, Any]
) -> None:
    before = snapshot(world)
    status, printed = command(line)
    assert status == 2
    assert re.search(message, printed, re.DOTALL), printed
    assert printed.startswith("minigrad: ")
    assert "\n" not in printed
    after = snapshot(world)
    assert [k for k in before if before[k] != after[k] and k != "random"] == []


def test_a_picture_without_pillow(world: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # as if it were not installed
    status, printed = command("minigrad explain broken.png --model trained")
    assert status == 2
    assert "Pillow is not installed; run: pip install 'minigrad[images]'" in printed


def test_no_row_stands_twice() -> None:
    rows = [row[0] for row in (*CALLS, *COMMANDS)]
    assert len(rows) == len(set(rows))


def main() -> None:
    """Print every wrong call and the message that a user sees."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_runs(Path("made"))
        world = build_world(Path("made"))
        for code, *_ in CALLS:
            error = test_bad_input.attempt(code, world)
            print(f">>> {code}\n{type(error).__name__}: {error}\n")
        for line, _ in COMMANDS:
            print(f"$ {line}\n{command(line)[1]}\n")
    print(f"{len(CALLS)} calls, {len(COMMANDS)} commands", file=sys.stderr)


if __name__ == "__main__":
    mg.manual_seed(0)
    main()
