"""``minigrad export``: a model by name, with weights or without, as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minigrad import io, onnx
from minigrad.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"
pytestmark = pytest.mark.needs("onnx_ir")


def export(path: Path, *words: str) -> int:
    sizes = ["--depths", "1", "1", "--dims", "8", "16", "--size", "32"]
    return main(["export", "convnext", str(path), "--to", "onnx", *sizes, *words])


@pytest.mark.needs("onnxruntime")
def test_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path / "a.onnx", "--verify") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"convnext, untrained: {tmp_path / 'a.onnx'}"
    assert any(line.startswith("stages.1.0.dwconv") for line in lines)
    assert float(lines[-1].split()[4]) < 1e-5


def test_weights_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = GOLDEN / "v1_timm.safetensors", tmp_path / "a.onnx"
    sizes = ["--depths", "1", "1", "2", "1", "--dims", "8", "12", "16", "20", "--size", "32"]
    words = ["export", "convnext", str(out), "--to", "onnx", "--weights", str(weights)]
    assert main([*words, *sizes, "--classes", "10"]) == 0
    assert f"weights of {weights}" in capsys.readouterr().out
    theirs = io.read_checkpoint(weights).tensors["stem.0.weight"]
    found = onnx.load_weights(out)["downsample_layers.0.0.weight"]
    np.testing.assert_array_equal(found, theirs)


def test_the_format_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "convnext", str(tmp_path / "a.onnx")]) == 2
    assert "--to" in capsys.readouterr().err
