"""`read_checkpoint`: what a file is, its bytes say; weights come out, the rest is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from minigrad.errors import DataError
from minigrad.io import read_checkpoint, save_file

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_the_official_training_container() -> None:
    found = read_checkpoint(GOLDEN / "ctr_fb_training.pth")
    assert found.format == "torch"
    assert found.selected == "model"
    assert found.metadata["epoch"] == 7
    assert found.metadata["args"]["model"] == "convnext_tiny"
    assert {"optimizer", "model_ema", "scaler"} < set(found.dropped)
    average = read_checkpoint(GOLDEN / "ctr_fb_training.pth", select="model_ema")
    assert list(average.tensors) == list(found.tensors)
    for name, array in average.tensors.items():
        np.testing.assert_array_equal(array, found.tensors[name] * 0.5)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "ctr_legacy_format.pth", tmp_path / "a.safetensors")
    save_file({"x": np.arange(3)}, tmp_path / "b.pth")
    assert read_checkpoint(tmp_path / "a.safetensors").format == "torch legacy"
    assert read_checkpoint(tmp_path / "b.pth").tensors["x"].tolist() == [0, 1, 2]


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no tensors in 'ema'; choose with select= among args"):
        read_checkpoint(GOLDEN / "ctr_fb_training.pth", select="ema")
    save_file({"x": np.arange(3)}, tmp_path / "a")
    with pytest.raises(DataError, match="no tensors in 'ema'"):
        read_checkpoint(tmp_path / "a", select="ema")


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="no checkpoint that is known"):
        read_checkpoint(tmp_path / "a.pth")
