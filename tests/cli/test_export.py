"""``minigrad export``: a model by name, with weights or without, as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minigrad import io, onnx
from minigrad.cli import main
from minigrad.models import ConvNeXt

GOLDEN = Path(__file__).parents[1] / "golden"


def export(path: Path, *words: str, to: str = "onnx") -> int:
    sizes = ["--depths", "1", "1", "--dims", "8", "16", "--size", "32"]
    return main(["export", "convnext", str(path), "--to", to, *sizes, *words])


@pytest.mark.needs("onnx_ir", "onnxruntime")
def test_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path / "a.onnx", "--verify") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"convnext, untrained: {tmp_path / 'a.onnx'}"
    assert any(line.startswith("stages.1.0.dwconv") for line in lines)
    assert float(lines[-1].split()[4]) < 1e-5


@pytest.mark.needs("onnx_ir")
def test_weights_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = GOLDEN / "v1_timm.safetensors", tmp_path / "a.onnx"
    sizes = ["--depths", "1", "1", "2", "1", "--dims", "8", "12", "16", "20", "--size", "32"]
    words = ["export", "convnext", str(out), "--to", "onnx", "--weights", str(weights)]
    assert main([*words, *sizes, "--classes", "10"]) == 0
    assert f"weights of {weights}" in capsys.readouterr().out
    theirs = io.read_checkpoint(weights).tensors["stem.0.weight"]
    found = onnx.load_weights(out)["downsample_layers.0.0.weight"]
    np.testing.assert_array_equal(found, theirs)


@pytest.mark.needs("onnx_ir")
def test_weights_decide_what_is_not_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a head of 1,000 classes that nobody has trained."""
    weights, out = str(GOLDEN / "v2_timm.safetensors"), str(tmp_path / "a.onnx")
    words = ["export", "convnextv2", out, "--to", "onnx", "--weights", weights, "--size", "32"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"70 weights of ConvNeXtV2 from {weights} (timm)\n  licence: ")
    assert "drawn" not in said
    assert onnx.load_weights(out)["head.weight"].shape == (10, 20)
    assert main([*words, "--classes", "3"]) == 0
    assert "drawn anew: head.weight, head.bias" in capsys.readouterr().out
    assert main(["export", "convnext_tiny", out, "--to", "onnx", "--weights", weights]) == 2
    assert "the weights are of another model than this ConvNeXt" in capsys.readouterr().err


@pytest.mark.needs("onnx_ir")
def test_a_model_of_volumes_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.onnx")
    assert main(["export", "mednext_s", out, "--to", "onnx", "--size", "16"]) == 0
    assert onnx.load_weights(out)["stem.weight"].shape == (32, 1, 1, 1, 1)


def test_the_format_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "convnext", str(tmp_path / "a.onnx")]) == 2
    assert "--to" in capsys.readouterr().err


def test_weights_for_pytorch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pth"
    assert export(path, to="torch") == 0
    own = ConvNeXt(depths=(1, 1), dims=(8, 16)).state_dict()
    assert io.read_checkpoint(path).tensors.keys() == own.keys()
    assert export(path, "--naming", "timm", to="torch") == 0
    assert "stages.0.blocks.0.conv_dw.weight" in io.read_checkpoint(path).tensors
    capsys.readouterr()
    assert export(path, "--verify", to="torch") == 2
    assert "--verify runs an ONNX file" in capsys.readouterr().err
    assert export(path, "--naming", "timm") == 2
    assert "--naming is for weights" in capsys.readouterr().err


@pytest.mark.needs("torch")
def test_pytorch_reads_them(tmp_path: Path) -> None:
    import torch

    assert export(tmp_path / "a.pth", "--naming", "facebook", to="torch") == 0
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    assert state["stages.0.0.dwconv.weight"].shape == (8, 1, 7, 7)
