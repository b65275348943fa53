"""`read_checkpoint`: what a file is, its bytes say; weights come out, the rest is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.errors import DataError, OptionError
from minigrad.io import read_checkpoint, save_file, save_torch

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"


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


def test_parts_of_parts_are_asked_for(tmp_path: Path) -> None:
    nested = {"net": {"weights": {"x": np.arange(3)}}, "step": 1}
    save_torch(nested, tmp_path / "a.pth")
    with pytest.raises(DataError, match="choose with select= among net, step"):
        read_checkpoint(tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth", select="net.weights")
    assert found.tensors["x"].tolist() == [0, 1, 2]
    save_torch({"x": np.arange(3)}, tmp_path / "b.pth")
    with pytest.raises(DataError, match=r"no part 'model': it holds the tensors themselves"):
        read_checkpoint(tmp_path / "b.pth", select="model")
    save_torch({}, tmp_path / "b.pth")
    with pytest.raises(DataError, match=r"has tensors$"):
        read_checkpoint(tmp_path / "b.pth")
    with pytest.raises(OptionError, match="select is a name"):
        read_checkpoint(tmp_path / "a.pth", select=3)  # type: ignore[arg-type]


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="no checkpoint that is known"):
        read_checkpoint(tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.pth: the file is empty; fetch it again"):
        read_checkpoint(tmp_path / "a.pth")


# --- several files, folders ----------------------------------------------------------------------


def sharded(folder: Path, **places: str) -> Path:
    save_file({"a": np.arange(3), "b": np.ones(2)}, folder / "1.safetensors")
    save_file({"c": np.zeros(1)}, folder / "2.safetensors")
    path = folder / "model.safetensors.index.json"
    whole = {"a": "1.safetensors", "c": "2.safetensors", "b": "1.safetensors"} | places
    path.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": whole}))
    return path


def test_an_index_gathers_its_files(tmp_path: Path) -> None:
    found = read_checkpoint(sharded(tmp_path))
    assert found.format == "index"
    assert list(found.tensors) == ["a", "c", "b"]
    assert found.tensors["b"].tolist() == [1, 1]
    assert found.metadata == {"total_size": 48}


def test_an_index_of_pytorch_files(tmp_path: Path) -> None:
    path = sharded(tmp_path)
    save_torch({"a": np.arange(3), "b": np.ones(2)}, tmp_path / "1.safetensors")
    assert read_checkpoint(path).tensors["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"d": "1.safetensors"}, "1 of 4 tensors are not where the index says, first of them 'd'"),
        ({"d": "3.safetensors"}, r"3\.safetensors is not beside it; fetch it too"),
        ({"d": "../1.safetensors"}, "no map of tensors to files beside it"),
        ({"d": "/etc/passwd"}, "no map of tensors to files beside it"),
        ({"d": ".."}, "no map of tensors to files beside it"),
        ({"d": 1}, "no map of tensors to files beside it"),
        ({"d": "model.safetensors.index.json"}, "no checkpoint that is known"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, places: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_checkpoint(sharded(tmp_path, **places))


def test_a_folder_as_hubs_have_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which file holds the weights"):
        read_checkpoint(tmp_path)
    sharded(tmp_path)
    (tmp_path / "config.json").write_text('{"layer_norm_eps": 1e-12}')
    found = read_checkpoint(tmp_path)
    assert list(found.tensors) == ["a", "c", "b"]
    assert found.metadata["config"] == {"layer_norm_eps": 1e-12}
    save_file({"x": np.ones(1)}, tmp_path / "model.safetensors")
    assert list(read_checkpoint(tmp_path).tensors) == ["x"]


def test_the_only_file_of_a_folder(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "v1_fb.pth", tmp_path / "convnext_tiny.pth")
    assert read_checkpoint(tmp_path).path.name == "convnext_tiny.pth"
    shutil.copy(GOLDEN / "v2_fb.pth", tmp_path / "convnextv2_tiny.pth")
    with pytest.raises(DataError, match="2 files that end in"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[")
    (tmp_path / "model.safetensors").write_bytes((GOLDEN / "v1_fb.pth").read_bytes())
    with pytest.raises(DataError, match="no JSON"):
        read_checkpoint(tmp_path)


# --- which part ----------------------------------------------------------------------------------


def parts(tmp_path: Path, state: dict[str, Any], select: str | None = None) -> list[str]:
    save_torch(state, tmp_path / "a")
    return list(read_checkpoint(tmp_path / "a", select).tensors)


def test_which_part_are_the_weights(tmp_path: Path) -> None:
    one = np.ones(1)
    choose = partial(parts, tmp_path)
    assert choose({"model_ema": {"e": one}, "model": {"m": one}, "epoch": 1}) == ["m"]
    assert choose({"state_dict": {"s": one}, "module": {"d": one}}) == ["d"]
    assert choose({"x": one, "nested": {"y": one}}) == ["x", "nested.y"]
    assert choose({"backbone": {"b": one}, "optimizer": {"m": one}, "ema": {"e": one}}) == ["b"]
    assert choose({"a": {"model": {"b": one}}}, "a.model") == ["b"]
    with pytest.raises(DataError, match=r"more than one part, or none, has .* among s, t"):
        choose({"s": {"x": one}, "t": {"x": one}})
    with pytest.raises(DataError, match="more than one part, or none"):
        choose({"model_ema": {"e": one}})


def test_a_part_of_flat_names(tmp_path: Path) -> None:
    save_file({"model.x": np.ones(1), "model_ema.x": np.zeros(1)}, tmp_path / "a")
    found = read_checkpoint(tmp_path / "a", select="model_ema")
    assert found.tensors["x"].tolist() == [0]
    assert found.dropped == ("model.x",)


def test_a_state_that_contains_itself(tmp_path: Path) -> None:
    save_torch({"x": np.ones(1)}, tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    long = b"X\0\0\x10\0" + b"n" * (1 << 20)
    for more in (
        b"X\x01\0\0\0y]q\1h\1a",  # a list in itself
        b"X\x01\0\0\0y" + b"]q\1" + b"".join(b"0](h\1h\1eq\1" for _ in range(17)),
        b"X\x01\0\0\0y" + b"]q\1(" + b"}" + long + b"Nsq\2" + b"h\2" * 1000 + b"e",
    ):
        program = entries["archive/data.pkl"]
        changed = program[: program.rindex(b"u.")] + more + b"u."
        with zipfile.ZipFile(tmp_path / "a", "w") as archive:
            for name, content in (entries | {"archive/data.pkl": changed}).items():
                archive.writestr(name, content)
        with pytest.raises(DataError, match=r"nested too deeply, or in itself"):
            read_checkpoint(tmp_path / "a")


def test_nothing_grows_with_what_a_state_repeats(tmp_path: Path) -> None:
    deep: dict[str, Any] = {"x": np.ones(1)}
    for _ in range(20):
        deep = {"a": deep}
    with pytest.raises(DataError, match="nested too deeply, or in itself"):
        parts(tmp_path, {"x": np.ones(1), **deep})
    with pytest.raises(DataError, match=r"two entries have the name 'a\.b'"):
        parts(tmp_path, {"x": np.ones(1), "a": {"b": 1}, "a.b": 2})
    with pytest.raises(DataError, match="nested too deeply"):
        parts(tmp_path, {"x": np.ones(1), "n" * 2000: {"b": 1}})


# --- memory --------------------------------------------------------------------------------------

PEAK = """
import resource, sys
import minigrad as mg

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1e3

with mg.nn.init.skip_random():
    model = mg.nn.Sequential(*(mg.nn.Linear(1000, 1000) for _ in range(25)))
before = peak()
model.load_state_dict(mg.io.read_checkpoint(sys.argv[1]).tensors)
print((peak() - before) / 100.1e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in another way")
def test_a_file_and_a_model_are_never_both_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    state = {
        f"{layer}.{name}": rng.standard_normal(shape).astype(np.float32)
        for layer in range(25)
        for name, shape in (("weight", (1000, 1000)), ("bias", (1000,)))
    }
    save_file(state, tmp_path / "a.safetensors")
    save_torch({"model": state}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        words = [sys.executable, "-c", PEAK, str(tmp_path / name)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        assert float(done.stdout) < 1.15, name
