"""What a training chooses for pictures of one's own, says, and leaves to be chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigrad import io, models
from minigrad.cli import main
from minigrad.data import Survey
from minigrad.errors import OptionError
from minigrad.runs import TrainConfig, find_trained, load_trained
from minigrad.runs.suggestion import suggest, suggestion

ALIKE = {"mirror": 0.5, "turn": 0.5, "invert": 0.5, "hue": 0.5}
PETS = Survey(60, {"cat": 30, "dog": 30}, 15, 480, 9, False, ALIKE, ())
SMALL = ["--epochs", "1", "--passes", "1", "--depths", "1", "--dims", "4"]


def options(found: Survey, **more: object) -> dict[str, object]:
    return {k: v for choice in suggest(found, **more) for k, v in choice.options.items()}


def test_every_choice_is_an_option_and_every_size_can_be_built() -> None:
    for side in (3, 8, 13, 28, 33, 480):
        for count in (3, 60, 4000, 60_000):
            for grey in (False, True):
                found = replace(PETS, count=count, side=side, grey=grey)
                config = TrainConfig.from_values(options(found), {"data": "some/folder"})
                assert config.image_size % (config.patch_size * 2 ** (len(config.depths) - 1)) == 0
                assert 24_000 <= count * config.passes * config.epochs
                assert config.epochs * config.passes <= max(12, 24_000 // count + 40)


def test_pictures_are_changed_as_far_as_their_classes_are() -> None:
    free = options(PETS)
    assert (free["flip"], free["turn"], free["mono"]) == (True, 180.0, True)
    for change, name, value in (
        ("mirror", "flip", False),
        ("turn", "turn", 10.0),
        ("hue", "tint", 0.1),
        ("invert", "tint", 1.0),
    ):
        bound = options(replace(PETS, symmetries=ALIKE | {change: 0.0004}))
        assert bound[name] == value
    many = options(replace(PETS, count=60_000, symmetries=dict.fromkeys(ALIKE, 0.0004)))
    assert (many["turn"], many["zoom"], many["tint"]) == (3.0, 0.1, 0.1)
    few = options(replace(PETS, symmetries={}))
    assert (few["flip"], few["turn"]) == (False, 10.0)
    assert "mono" not in few


def test_weights_are_changed_with_care(tmp_path: Path) -> None:
    model = models.ConvNeXtV2(3, 10, depths=(1, 2), dims=(8, 16), patch_size=2)
    io.save(models.export_state_dict(model, naming="timm"), tmp_path / "theirs.safetensors")
    chosen = options(PETS, init_from=str(tmp_path / "theirs.safetensors"))
    assert chosen["image_size"] == 224
    assert chosen["lr"] < TrainConfig.lr  # type: ignore[operator]
    assert "mono" not in chosen
    assert (chosen["model"], chosen["depths"], chosen["dims"]) == ("convnextv2", (1, 2), (8, 16))
    assert (chosen["patch_size"], chosen["channels"]) == (2, 3)
    (tmp_path / "run").mkdir()
    text = TrainConfig(whole=True, mono=True, image_size=64, dims=(4, 8)).to_toml()
    (tmp_path / "run" / "config.toml").write_text(text)
    chosen = options(PETS, init_from=str(tmp_path / "run"))
    assert (chosen["mono"], chosen["image_size"], chosen["dims"]) == (True, 64, [4, 8])


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """24 pictures: squares on the left or on the right, their height, and a table of all that."""
    rng, lines = np.random.default_rng(0), ["path,side,height,tags"]
    for i in range(24):
        pixels = rng.integers(0, 60, (12, 12, 3), dtype=np.uint8)
        height, left = 2 + i % 5, i % 2 == 0
        pixels[4 : 4 + height, 1 if left else 7 :][:, :4] = 220
        name = f"{'left' if left else 'right'}/{i}.npy"
        (tmp_path / "squares" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "squares" / name, pixels)
        tags = "|".join(["tall"] * (height > 4) + ["left"] * left)
        lines.append(f"squares/{name},{'lr'[not left]},{height},{tags}")
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_what_is_given_is_not_chosen(squares: Path) -> None:
    found = suggestion({"data": str(squares / "squares"), "epochs": 3, "flip": True})
    assert found is not None
    assert not {"epochs", "flip"} & set(found.options)
    assert {"passes", "turn", "dims"} <= set(found.options)
    assert "12 left, " not in str(found)
    assert "10 left, 10 right" in found.found
    assert suggestion({"data": "digits"}) is None


def test_a_folder_is_trained_on_by_its_name_alone(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, runs = str(squares / "squares"), str(tmp_path / "runs")
    assert main(["train", place, *SMALL, "--output", runs]) == 0
    said = capsys.readouterr().out
    assert said.startswith("squares: 20 pictures to train on (10 left, 10 right), 4 held out")
    assert "--image-size 16 --whole" in said
    assert "on 4 held-out images" in said
    config = load_trained(find_trained(f"{runs}/squares"), "cpu").config
    assert (config.whole, config.image_size, config.dims) == (True, 16, (4,))
    assert main(["val", "--checkpoint", f"{runs}/squares", "--data", place, "--all"]) == 0
    assert "on 24 held-out images" in capsys.readouterr().out
    assert main(["val", "--checkpoint", f"{runs}/squares", "--all"]) == 2
    assert "--all is for data that training has not seen" in capsys.readouterr().err
    assert main(["train", place, "--data", "digits", "--output", runs]) == 2
    assert "train on one of them" in capsys.readouterr().err


def column(names: str) -> Callable[[str], str]:
    return lambda line: ",".join(line.split(",")[i] for i in map(int, names.split()))


@pytest.mark.parametrize(
    ("columns", "kind", "said", "asked"),
    [
        ("0 1", "class", "acc", "l "),
        ("0 2", "numbers", "of the variance is", "height "),
        ("0 3", "labels", "of the labels are right", "tall "),
    ],
)
def test_a_table_is_trained_on_by_what_it_tells(
    columns: str,
    kind: str,
    said: str,
    asked: str,
    squares: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = squares / "table.csv"
    chosen = map(column(columns), (squares / "all.csv").read_text().splitlines())
    place.write_text("\n".join(chosen) + "\n")
    runs = str(tmp_path / "runs")
    assert main(["train", str(place), *SMALL, "--output", runs, "--name", "t"]) == 0
    out = capsys.readouterr().out
    assert said in out
    trained = load_trained(find_trained(f"{runs}/t"), "cpu")
    assert trained.config.targets == trained.images.targets == kind
    assert main(["val", "--checkpoint", f"{runs}/t"]) == 0
    assert said in capsys.readouterr().out
    picture = str(squares / "squares" / "left" / "0.npy")
    guesses = tmp_path / "guesses.csv"
    words = ["predict", picture, "--checkpoint", f"{runs}/t", "--csv", str(guesses)]
    assert main(words) == 0
    assert asked in capsys.readouterr().out
    first = guesses.read_text().splitlines()[0]
    assert first == ("file,height" if kind == "numbers" else first)


def test_numbers_come_back_in_their_own_units(squares: Path, tmp_path: Path) -> None:
    place = squares / "table.csv"
    chosen = map(column("0 2"), (squares / "all.csv").read_text().splitlines())
    place.write_text("\n".join(chosen) + "\n")
    words = ["train", str(place), *SMALL, "--lr", "0", "--weight-decay", "0", "--name", "t"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    trained = load_trained(find_trained(str(tmp_path / "t")), "cpu")
    ((mean, deviation),) = trained.images.scales
    image = trained.task.read(trained, squares / "squares" / "left" / "0.npy")
    ((value,),), _ = trained.task.shares(trained, image[None])
    assert abs(value - mean) < deviation  # of an untrained head: near the mean, which is not 0
    assert 3 < mean < 5


def test_options_of_classes_are_refused_for_numbers() -> None:
    for name, value in (("mixup", 0.5), ("balanced", True), ("labels", 0.5)):
        with pytest.raises(OptionError, match=f"{name} are for pictures of one class each"):
            TrainConfig.from_values({"targets": "numbers", name: value})
    with pytest.raises(OptionError, match="mono is for pictures that are scaled whole"):
        TrainConfig.from_values({"mono": True})
