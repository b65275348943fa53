"""The road from images without labels to a fine-tuned model and a picture of what it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import pretraining
from minigrad import io, models
from minigrad.cli import main
from minigrad.train import load_checkpoint
from tests.cli.command import run

SMALL = ["--depths", "1", "1", "--dims", "4", "8", "--batch-size", "256"]
TINY = [*SMALL, "--decoder-dim", "8"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def done(capsys: pytest.CaptureFixture[str], words: str, *more: str) -> str:
    """Return what a command prints that ends well."""
    status, out, err = run(capsys, *words.split(), *more)
    assert (status, err) == (0, "")
    return out


def weights(path: str) -> dict[str, Any]:
    return io.load_file(path)[0]


def test_the_whole_road(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = done(capsys, "pretrain --epochs 2", *TINY)
    assert "1,437 images without labels" in out
    assert "fine-tune it with: minigrad train --data digits --init-from runs/digits-pretr" in out
    assert {path.name for path in (tmp_path / "runs" / "digits-pretrained").iterdir()} == {
        "pretraining.safetensors", "encoder.safetensors", "config.toml", "curves.svg", "log.csv",
        "log.jsonl", "reconstructions.svg",
    }  # fmt: skip
    drawing = Path("runs/digits-pretrained/reconstructions.svg").read_text()
    assert drawing.count("<image") == 24
    log = Path("runs/digits-pretrained/log.csv").read_text().splitlines()
    assert log[0] == "epoch,lr,train_loss,val_loss,seconds"
    assert len(log) == 3

    # sizes come from the run; the whole encoder starts where pre-training ended
    out = done(capsys, "train --init-from runs/digits-pretrained --labels 0.1 --epochs 1 --lr 0")
    assert "144 images to train on" not in out  # a tenth of each class, rounded
    assert "143 images to train on, 360 held out" in out
    before, after = weights("runs/digits-pretrained/encoder.safetensors"), weights(
        "runs/digits/model.safetensors"
    )  # fmt: skip
    assert set(after) - set(before) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    assert all((before[name] == after[name]).all() for name in before)

    # from a trained run the head comes along
    done(capsys, "train --init-from runs/digits --epochs 1 --lr 0 --name again")
    again = weights("runs/again/model.safetensors")
    assert all((again[name] == after[name]).all() for name in after)

    np.save("digit.npy", np.eye(8, dtype=np.float32))
    out = done(capsys, "explain digit.npy --model runs/again")
    assert out.startswith("digit.npy: ")
    assert "digit-explained.png shows where the last stage finds it" in out
    assert Path("digit-explained.png").read_bytes()[:4] == b"\x89PNG"
    done(capsys, "explain digit.npy --class 3 --layer stages.0 -o three.png")
    assert Path("three.png").read_bytes() != Path("digit-explained.png").read_bytes()
    out = done(capsys, "explain --receptive-field")
    assert "what the middle of the last stage of runs/again looks at" in out
    assert Path("receptive-field.png").is_file()


def test_the_receptive_field_of_a_named_model(capsys: pytest.CaptureFixture[str]) -> None:
    out = done(capsys, "explain --receptive-field --model convnextv2_atto --size 32 -o field.png")
    assert "convnextv2_atto, untrained looks at; 50 % in " in out
    assert out.strip().endswith("pixels of 32 across")
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open("field.png") as picture:
        assert picture.size == (256, 256)


def test_resuming_gives_the_same_bits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done(capsys, "pretrain --epochs 3 --name calm", *TINY)

    def stop(self: Any, trainer: Any) -> None:
        if trainer.step == 7:  # in the middle of the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("minigrad.train.progress.Progress.on_step_end", stop)
        options = ["--checkpoint-every", "2", *TINY]
        assert main(["pretrain", "--epochs", "3", "--name", "broken", *options]) == 130
    assert "pretrain --output runs --name broken --resume" in capsys.readouterr().out
    assert load_checkpoint("runs/broken/pretraining.safetensors")["step"] == 6
    out = done(capsys, "pretrain --resume --name broken")
    assert "from epoch 2, batch 1" in out
    calm, broken = (weights(f"runs/{n}/encoder.safetensors") for n in ("calm", "broken"))
    assert all(calm[name].tobytes() == broken[name].tobytes() for name in calm)
    losses = [
        [line.split(",")[:4] for line in Path(f"runs/{n}/log.csv").read_text().splitlines()]
        for n in ("calm", "broken")
    ]
    assert losses[0] == losses[1]


def test_a_pretraining_under_way_can_be_taken(capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "pretrain --epochs 1", *TINY)
    Path("runs/digits-pretrained/encoder.safetensors").unlink()
    done(capsys, "train --init-from runs/digits-pretrained --epochs 1 --lr 0")
    state = load_checkpoint("runs/digits-pretrained/pretraining.safetensors")["model"]
    before, after = models.from_fcmae(state), weights("runs/digits/model.safetensors")
    assert all((before[name] == after[name]).all() for name in before)


def test_resuming_does_not_need_the_initial_weights(capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "pretrain --epochs 1", *TINY)
    done(capsys, "train --init-from runs/digits-pretrained --epochs 1 --name it")
    Path("runs/digits-pretrained/encoder.safetensors").rename("gone")
    Path("runs/digits-pretrained/pretraining.safetensors").rename("gone too")
    assert "images to train on" in done(capsys, "train --resume --name it")


def test_the_benchmark(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """The command that docs/walkthroughs/masked.md quotes, on digits."""
    monkeypatch.setattr(pretraining, "SIZES", {"depths": (1,), "dims": (8,), "patch_size": 2})
    words = "--data digits --pretrain-epochs 1 --epochs 1 --folder out --seeds"
    pretraining.main([*words.split(), "0", "1"])
    out = capsys.readouterr().out
    lines = out.strip().splitlines()[-5:]
    assert [line.split()[0] for line in lines] == ["seed", "0", "1", "mean", "standard"]
    pretraining.main([*words.split(), "0", "1"])  # what is there is not computed again
    assert capsys.readouterr().out.strip().splitlines() == lines
