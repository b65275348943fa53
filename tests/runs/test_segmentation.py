"""`minigrad segment`: a small head learnt, files, resume to the same bits, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import cli, io, models
from minigrad.data.fashion import find_fashion_mnist
from minigrad.errors import DataError, OptionError
from minigrad.runs import SegmentConfig, prepare
from minigrad.train import load_checkpoint
from tests.heads import write_head

SEGMENTATION = "segmentation.safetensors"
SMALL = ["--dims", "8", "12", "16", "--decoder-filters", "8", "8", "4", "--image-size", "16"]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_head(tmp_path_factory.mktemp("head"))


def run(head: Path, output: Path, *more: str) -> int:
    words = ["segment", "--data", "brain", "--root", str(head), "--output", str(output)]
    words += ["--samples", "16", "--batch-size", "4", *SMALL, *more]
    return cli.main(words)


def test_a_head_is_learnt_and_its_files_written(
    head: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(head, tmp_path, "--epochs", "20", "--lr", "0.01") == 0
    said = capsys.readouterr().out
    assert "unet over convnextv2 with" in said
    folder = tmp_path / "brain"
    found = {path.name for path in folder.iterdir()}
    assert {SEGMENTATION, "model.safetensors", "scores.csv", "log.csv", "masks.svg"} <= found
    rows = [line.split(",") for line in (folder / "scores.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["class", "outside", "fluid", "grey", "white", "mean"]
    assert float(rows[1][2]) > 0.9  # Dice of what is outside; 80 steps do not teach all tissues
    log = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    loss = log[0].index("val_loss")
    assert float(log[-1][loss]) < 0.6 * float(log[1][loss])
    assert "white" in (folder / "masks.svg").read_text()
    assert "val_iou" in (folder / "log.csv").read_text().splitlines()[0]


def test_resume_ends_with_the_same_bits(
    head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(head, tmp_path, "--epochs", "2", "--name", "whole") == 0
    config = SegmentConfig.from_values(
        {"data": "brain", "root": str(head), "samples": 16, "batch_size": 4, "epochs": 2,
         "dims": [8, 12, 16], "decoder_filters": [8, 8, 4], "image_size": 16}
    )  # fmt: skip
    part = prepare(config)
    part.trainer.fit(part.train, part.test, 1)
    broken = tmp_path / "broken"
    shutil.copytree(tmp_path / "whole", broken)
    about = {"kind": "trainer", "about": part.about}
    io.save({**about, **part.trainer.state_dict()}, broken / SEGMENTATION)
    assert run(head, tmp_path, "--name", "broken", "--resume") == 0
    a, b = (load_checkpoint(tmp_path / name / SEGMENTATION) for name in ("whole", "broken"))
    for name, value in a["model"].items():
        np.testing.assert_array_equal(value, b["model"][name], err_msg=name)
    assert run(head, tmp_path, "--name", "whole", "--resume", "--epochs", "3") == 0
    assert run(head, tmp_path, "--name", "whole", "--resume", "--lr", "0.1") == 2


@pytest.mark.skipif(find_fashion_mnist() is None, reason="Fashion-MNIST is not here")
@pytest.mark.parametrize("network", ["attention_unet", "unet_plus_plus"])
def test_scenes_with_the_other_networks(network: str, tmp_path: Path) -> None:
    words = ["segment", "--network", network, "--output", str(tmp_path), "--samples", "8"]
    words += ["--held-out", "4", "--epochs", "1", "--batch-size", "4", *SMALL]
    words[words.index("--image-size") + 1] = "40"
    words += ["--depths", "1", "1", "1", "--kernel-size", "3"]
    for fine, classes in ((False, 6), (True, 11)):
        name = f"fine-{fine}"
        assert cli.main([*words, "--name", name, *["--fine"] * fine]) == 0
        scores = (tmp_path / name / "scores.csv").read_text().splitlines()
        assert len(scores) == 1 + classes + 1  # names above, the mean below


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "brian"}, "unknown data set to segment 'brian'; did you mean 'brain'"),
        ({"network": "unet3"}, "unknown network 'unet3'; did you mean 'unet'"),
        ({"loss": "dise"}, "unknown loss 'dise'; did you mean 'dice'"),
        ({"model": "convnext_tiny"}, "unknown encoder 'convnext_tiny'"),
        ({"ema": 2.0}, "ema must lie between 0 and 1, got 2.0"),
        ({"fine": True, "data": "brain"}, "fine is for fashion-scenes; brain has its own"),
        ({"flip": True}, "crop and flip are for pictures with one label"),
        ({"samples": -1}, "samples must be 0 or more, got -1"),
        ({"decoder_filter": [1]}, "did you mean 'decoder_filters'"),
    ],
)
def test_refused_choices(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SegmentConfig.from_values(values)


@pytest.mark.skipif(find_fashion_mnist() is None, reason="Fashion-MNIST is not here")
def test_the_encoder_may_be_a_trained_classifier(tmp_path: Path) -> None:
    trunk = models.ConvNeXtV2(1, 10, (1, 1, 1), (8, 12, 16), patch_size=2, kernel_size=3)
    io.save(trunk.state_dict(), tmp_path / "classifier.safetensors")
    values: dict[str, Any] = {
        "init_from": str(tmp_path / "classifier.safetensors"), "model": "convnextv2",
        "depths": [1, 1, 1], "dims": [8, 12, 16], "decoder_filters": [8, 8, 4],
        "kernel_size": 3, "samples": 4,
    }  # fmt: skip
    model = prepare(SegmentConfig.from_values(values)).trainer.model
    own = trunk.state_dict()
    for name, value in model.encoder.state_dict().items():
        if not name.startswith("norm"):
            np.testing.assert_array_equal(value, own[name], err_msg=name)
    with pytest.raises(DataError, match=r"do not fit the model, .*dims"):
        prepare(SegmentConfig.from_values(values | {"dims": [8, 12, 24]}))


def test_other_runs_are_not_resumed(head: Path, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "checkpoint.safetensors").write_bytes(b"")
    assert run(head, tmp_path, "--name", "digits", "--resume") == 2
