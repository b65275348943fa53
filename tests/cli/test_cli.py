from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from minigrad import backend
from minigrad.cli import commands, main
from minigrad.data import list_datasets
from minigrad.io import load_file
from minigrad.runs.folders import free_name
from tests.cli.command import run

TINY = ["--epochs", "1", "--depths", "1", "--dims", "4", "--batch-size", "256"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("command", commands())
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"usage: minigrad {command}" in capsys.readouterr().out


def test_train_help_shows_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for word in ("--epochs N", "--lr X", "(default: 0.05)", "(default: digits)", "fashion-mnist:"):
        assert word in text
    assert text.count("(default: ") >= 28


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys)
    assert status == 0
    assert "minigrad train --data fashion-mnist" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'"),
        ("train --epoch 3", "unknown option of minigrad train '--epoch'; did you mean '--epochs'"),
        ("train --learning-rate 1", "'--learning-rate'; did you mean '--lr'"),
        ("train --learning_rate 1", "did you mean '--lr'"),
        ("train --bs 1", "'--bs'; did you mean '--batch-size'"),
        ("segment --num-workers=2", "'--num-workers'; did you mean '--workers'"),
        ("train --lr nan", "lr must be 0 or more, got nan"),
        ("train --seed -1", "seed must be 0 or more, got -1"),
        ("train --data no/where", "no/where: no such folder"),
        ("train --epochs=many", "argument --epochs: invalid int value: 'many'"),
        ("train --epochs 0", "epochs must be 1 or more, got 0"),
        ("train --data digit", "unknown data set 'digit'; did you mean 'digits'"),
        (
            "train --model convnextv2_ato",
            "unknown model 'convnextv2_ato'; did you mean 'conv",
        ),
        ("train --optimizer adamww", "unknown optimizer 'adamww'; did you mean 'adamw'"),
        ("train --schedule cosin", "unknown schedule 'cosin'; did you mean 'cosine'"),
        ("train --device gpu", "unknown device 'gpu'"),
        ("train --depths 1 2 --dims 8", "must have one number per stage each"),
        ("train --config none.toml", "none.toml: cannot be read (No such file"),
        ("train --name a/b", "--name must be the name of a folder"),
        ("train --resume --name nothing", "unknown run 'nothing' (there is none yet)"),
        ("pretrain --depths 1 --dims 4", "a patch of this encoder is one pixel of one channel"),
        ("graph -o no/graph.svg", "no/graph.svg: cannot be written, as there is no folder no"),
        ("explain --receptive-field -o no/x.png", "no/x.png: cannot be written"),
        ("predict a.png --csv no/x.csv", "no/x.csv: cannot be written"),
        ("predict a.png --precision half", "unknown precision 'half'"),
        ("predict a.png --csv /", "/: a folder; name a file in it"),
        ("val", "there is no trained model below runs/"),
        ("val --checkpoint none", "none: cannot be read (No such file"),
        ("predict a.png", "there is no trained model below runs/"),
        ("predict", "the following arguments are required: IMAGE"),
        ("summary convnext_tinny", "unknown model 'convnext_tinny'; did you mean 'convnext_tiny'"),
        ("summary --size 1 2 3", "--size takes one or two numbers"),
        ("models --family convnex", "unknown model family 'convnex'; did you mean 'convnext'"),
        ("data --download digit", "did you mean 'digits'"),
        ("graph -o graph.png", "unknown ending '.png'"),
    ],
)
def test_mistakes_get_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], words: str, message: str, tmp_path: Path
) -> None:
    status, _, err = run(capsys, *words.split())
    assert status == 2
    assert message in err
    assert err.startswith("minigrad: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir()), "nothing may be written"


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="unknown model"):
        main(["summary", "nothing", "--debug"])


def test_train_val_predict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = run(capsys, "train", *TINY)
    assert (status, err) == (0, "")
    assert "epoch 1/1  train loss" in out
    assert "accuracy on 360 held-out images" in out
    files = {path.name for path in (tmp_path / "runs" / "digits").iterdir()}
    assert files == {
        "checkpoint.safetensors", "config.toml", "curves.svg", "log.csv", "log.jsonl",
        "model.safetensors", "predictions.svg",
    }  # fmt: skip
    accuracy = out.split("held-out images: ")[1].split(" %")[0]

    status, out, _ = run(capsys, "val")
    assert status == 0
    assert f"acc {accuracy} %" in out
    assert out.count("\n") == 16

    np.save("digit.npy", np.zeros((8, 8), np.float32))
    np.save("large.npy", np.zeros((30, 20), np.uint8))
    status, out, _ = run(capsys, "predict", "digit.npy", "large.npy", "--top", "2")
    assert status == 0
    assert out.startswith("digit.npy: ")
    assert [line.count("%") for line in out.splitlines()] == [2, 2]
    half = run(capsys, "predict", "digit.npy", "--precision", "float16")[1].split()
    assert half[:2] == out.split()[:2]

    status, _, _ = run(capsys, "train", *TINY)
    assert (tmp_path / "runs" / "digits-2" / "model.safetensors").is_file()
    first, second = (load_file(f"runs/{n}/model.safetensors")[0] for n in ("digits", "digits-2"))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_folder_of_pictures_is_not_needed_to_predict(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(5):
            np.save(tmp_path / "pets" / name / f"{i}.npy", np.full((3, 20, 30), i, np.uint8))
    own = ["--model", "convnext", "--image-size", "16", *TINY, "--checkpoint-every", "1"]
    status, out, err = run(capsys, "train", "--data", "pets", *own)
    assert (status, err) == (0, "")
    assert "8 images to train on, 2 held out" in out
    (tmp_path / "pets" / "cat" / "0.npy").rename("one.npy")
    shutil.rmtree(tmp_path / "pets")
    status, out, _ = run(capsys, "predict", "one.npy")
    assert status == 0
    assert "cat" in out
    assert "dog" in out
    status, _, err = run(capsys, "val")
    assert status == 2
    assert f"{tmp_path / 'pets'}: no such folder" in err
    assert "say where the data are now with --data" in err


def test_a_file_sets_options_and_the_command_line_wins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text("epochs = 5\ndims = [4]\ndepths = [1]\nbatch_size = 256\n")
    status, _, _ = run(capsys, "train", "--config", "a.toml", "--epochs", "1", "--name", "mine")
    assert status == 0
    saved = tomllib.loads((tmp_path / "runs" / "mine" / "config.toml").read_text())
    assert (saved["epochs"], saved["dims"]) == (1, [4])
    (tmp_path / "a.toml").write_text("epoch = 5\n")
    status, _, err = run(capsys, "train", "--config", "a.toml")
    assert status == 2
    assert "unknown training option 'epoch'; did you mean 'epochs'" in err


def test_resume_refuses_other_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "train", *TINY)[0] == 0
    status, _, err = run(capsys, "train", "--resume", "--name", "digits", "--lr", "0.5")
    assert status == 2
    assert "runs/digits was trained with lr=0.004, not 0.5" in err
    status, out, _ = run(capsys, "train", "--resume", "--name", "digits", "--workers", "1", *TINY)
    assert status == 0
    assert "accuracy on 360 held-out images" in out


def test_models_summary_graph_data_doctor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "convnextv2_atto\n" in run(capsys, "models")[1]
    out = run(capsys, "summary", "convnextv2", "--depths", "1", "--dims", "8", "--size", "16")[1]
    assert " k multiply-adds per sample" in out
    for name in ("graph.svg", "graph.dot", "graph.mmd"):
        assert run(capsys, "graph", "-o", name)[0] == 0
        assert "stages.0.0.dwconv.weight" in (tmp_path / name).read_text()
    out = run(capsys, "data")[1]
    assert "comes with minigrad" in out
    for name in (*list_datasets(), *list_datasets(masks=True)):
        assert re.search(rf"^{name}$", out, re.M)
        assert re.search(rf"^data: {name} +\S", run(capsys, "doctor")[1], re.M)
    out = run(capsys, "doctor")[1]
    assert f"kernels  {backend.kernels_in_use()}: " in re.sub("  +", "  ", out)
    assert re.search(r"^bfloat16 +(amx|avx512_bf16|widening)\b", out, re.M)
    for word in ("Python", "NumPy", "BLAS", "CPU cores", "GPU", "Pillow", "data: digits"):
        assert word in out


def test_free_name(tmp_path: Path) -> None:
    assert free_name(tmp_path, "a") == "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").mkdir()
    assert free_name(tmp_path, "a") == "a-3"
