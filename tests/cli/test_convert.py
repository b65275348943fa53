"""``minigrad convert``: file to file, naming to naming."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from minigrad import io
from minigrad.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_there_and_back(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / f"there{suffix}", tmp_path / f"back{suffix}"
    assert main(["convert", str(GOLDEN / "v2_fb.pth"), str(there), "--to", "huggingface"]) == 0
    assert capsys.readouterr().out == f"70 weights, facebook → huggingface: {there}\n"
    assert main(["convert", str(there), str(back), "--to", "facebook"]) == 0
    expected = io.read_checkpoint(GOLDEN / "v2_fb.pth").tensors
    found = io.read_checkpoint(back).tensors
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


FILES = {  # a file of every naming that has a classifier
    "facebook": "v1_fb.pth", "timm": "v1_timm.safetensors", "torchvision": "v1_torchvision.pth",
    "timm_conv_mlp": "v1_timm_convmlp.safetensors", "huggingface": "v1_hf.safetensors",
    "keras": "v1_keras3.weights.h5", "keras_h5": "v1_keras_legacy.h5",
}  # fmt: skip
ENDINGS = {"keras": ".weights.h5", "keras_h5": ".h5", "torchvision": ".pth"}


@pytest.mark.needs("h5py")
@pytest.mark.parametrize("first", FILES)
@pytest.mark.parametrize("second", [*FILES, "mmpretrain"])
def test_every_naming_there_and_back_is_the_same(tmp_path: Path, first: str, second: str) -> None:
    source = tmp_path / FILES[first]
    golden = GOLDEN / source.name
    source.write_bytes(
        golden.read_bytes()
        if golden.exists()
        else gzip.decompress(golden.with_name(f"{golden.name}.gz").read_bytes())
    )
    there = tmp_path / f"there{ENDINGS.get(second, '.safetensors')}"
    back = tmp_path / f"back{ENDINGS.get(first, '.safetensors')}"
    for words in ([source, there, "--to", second], [there, back, "--to", first]):
        assert main(["convert", *map(str, words), "--name", "convnext_tiny"]) == 0
    expected, found = (io.read_checkpoint(path).tensors for path in (source, back))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


def test_what_is_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(io.read_checkpoint(GOLDEN / "v1_timm.safetensors").tensors)
    io.save_file(arrays | {"step": np.zeros(1)}, tmp_path / "a.safetensors")
    words = [str(tmp_path / "a.safetensors"), str(tmp_path / "b.pth"), "--to", "torchvision"]
    assert main(["convert", *words]) == 0
    assert "left out: step" in capsys.readouterr().out


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(GOLDEN / "v2_fb.pth"), str(tmp_path / "a.npz")
    assert main(["convert", source, out, "--to", "timm"]) != 0
    assert "no file of weights ends in '.npz'" in capsys.readouterr().err
    for naming, name in (("timm", "a.h5"), ("keras", "a.h5"), ("keras_h5", "a.weights.h5")):
        assert main(["convert", source, str(tmp_path / name), "--to", naming]) != 0
        assert "Keras reads its own names (--to keras)" in capsys.readouterr().err
    out = str(tmp_path / "a.pth")
    assert main(["convert", source, out, "--to", "torchvision"]) != 0
    assert "'torchvision' has no name for stages.0.0.grn.gamma" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
