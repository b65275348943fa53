"""`val`, `predict` and `explain` on every kind of run, by one road."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minigrad import io
from minigrad.cli import main
from minigrad.data import Volume, read_nifti, read_volume
from minigrad.runs import find_trained, load_trained
from tests.cli.command import run
from tests.data.test_dicom import write as write_series
from tests.data.test_fashion import idx
from tests.heads import write_head

TINY = ["--epochs", "1", "--depths", "1", "--dims", "4", "--batch-size", "256"]
DIGITS = "runs/digits/checkpoint.safetensors"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of every kind below one folder, the data of the brain beside them."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "head").mkdir()
    write_head(folder / "head")
    (folder / "pets").mkdir()
    for name in ("cat", "dog"):
        (folder / "pets" / name).mkdir()
        for i in range(5):
            picture = np.full((3, 20, 30), 20 * i + 100 * (name == "dog"), np.uint8)
            np.save(folder / "pets" / name / f"{i}.npy", picture)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", *TINY]) == 0
        small = ["--depths", "1", "1", "--dims", "4", "8", "--decoder-dim", "8", "--epochs", "1"]
        assert main(["pretrain", *small]) == 0
        brain = ["--data", "brain", "--root", "head", "--samples", "8", "--batch-size", "4"]
        brain += ["--dims", "4", "8", "8", "--decoder-filters", "8", "8", "4", "--epochs", "1"]
        assert main(["segment", *brain, "--image-size", "16", "--ema", "0.5"]) == 0
        own = ["--data", "pets", "--model", "convnext", "--image-size", "16", *TINY]
        assert main(["train", *own]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_val_of_a_segmentation_gives_the_scores_of_its_end(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From another folder than the one where it was trained: paths are kept absolute."""
    status, out, err = run(capsys, "val", "--checkpoint", str(runs / "runs" / "brain"))
    assert (status, err) == (0, "")
    said = re.findall(r"^  (\w+) +IoU ([\d.]+)  Dice ([\d.]+)$", out, re.M)
    rows = list(csv.reader((runs / "runs/brain/scores.csv").read_text().splitlines()))[1:]
    for row, mine in zip(rows, said, strict=True):
        assert mine[0] == row[0]
        for shown, exact in zip(mine[1:], row[1:], strict=True):
            assert float(shown) == pytest.approx(float(exact), abs=5.1e-5)
    log = list(csv.DictReader((runs / "runs/brain/log.csv").read_text().splitlines()))
    assert f"loss {float(log[-1]['val_loss']):.4f} (dice_ce)" in out


def test_val_of_a_pretraining(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["val", "--checkpoint", str(runs / "runs" / "digits-pretrained")]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert re.search(r"^loss \d\.\d{4}$", out, re.M)
    assert run(capsys, *words)[1] == out  # the masks are the same ones again


def test_val_of_a_classification_counts_every_class(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "val", "--checkpoint", str(runs / DIGITS))
    assert (status, err) == (0, "")
    rows = re.findall(r"^  (\d) +([\d.]+)  ([\d.]+)  ([\d.]+) +(\d+)$", out, re.M)
    assert [row[0] for row in rows] == [str(i) for i in range(10)]
    counts = [int(row[-1]) for row in rows]
    assert sum(counts) == 360
    hits = [round(float(row[2]) * count) for row, count in zip(rows, counts, strict=True)]
    assert f"acc {100 * sum(hits) / 360:.2f} %" in out
    for (_, _, recall, _, count), hit in zip(rows, hits, strict=True):
        assert float(recall) == round(hit / int(count), 4)


def test_val_writes_what_it_found(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every kind of run what there is; the numbers in the files are those that are said."""
    status, out, err = run(capsys, "val", "--checkpoint", str(runs / DIGITS), "--output", "a/b")
    assert (status, err) == (0, "")
    files = {"findings.json", "classes.csv", "classes.svg", "confusion.svg", "calibration.svg"}
    assert {path.name for path in Path("a/b").iterdir()} == files
    assert all(f"  a/b/{name}\n" in out for name in files)
    found = json.loads(Path("a/b/findings.json").read_text())
    assert f"acc {100 * found['scores']['accuracy']:.2f} %" in out
    assert f"expected calibration error {found['calibration']['ece']:.4f}" in out
    matrix = np.array(found["confusion"])
    rows = list(csv.DictReader(Path("a/b/classes.csv").read_text().splitlines()))
    assert [int(row["support"]) for row in rows] == matrix.sum(1).tolist()
    recalls = np.diagonal(matrix) / matrix.sum(1)
    np.testing.assert_allclose([float(row["recall"]) for row in rows], recalls, rtol=1e-5)
    assert sum(each["count"] for each in found["calibration"]["bins"]) == matrix.sum() == 360
    for kind, names in (("brain", files), ("digits-pretrained", {"findings.json"})):
        words = ["val", "--checkpoint", str(runs / "runs" / kind), "--output", kind]
        assert run(capsys, *words)[0] == 0
        assert {path.name for path in Path(kind).iterdir()} == names
    Path("file").write_text("")
    status, out, err = run(capsys, "val", "--checkpoint", str(runs / DIGITS), "--output", "file")
    assert (status, out) == (2, "")
    assert "file is a file" in err


def test_val_on_other_data(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["val", "--checkpoint", str(runs / "runs" / "pets")]
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert "2 held-out images" in out
    shutil.copytree(runs / "pets", "moved")
    status, moved, _ = run(capsys, *words, "--data", "moved")
    assert status == 0
    assert moved.splitlines()[1:] == out.splitlines()[1:]
    # only dogs, in a part of their own: the numbers of the classes are the model's
    shutil.copytree(runs / "pets" / "dog", "dogs/train/dog")
    shutil.copytree(runs / "pets" / "dog", "dogs/val/dog")
    status, out, _ = run(capsys, *words, "--data", "dogs")
    assert status == 0
    assert re.search(r"^  dog +([\d.]+  ){3} +5$", out, re.M)
    assert "  cat" not in out
    shutil.copytree("dogs/train/dog", "dogs/train/horse")
    status, _, err = run(capsys, *words, "--data", "dogs")
    assert status == 2
    assert "'horse', which the model does not know; its classes are cat, dog" in err
    for data in ("digits", "brain", "nothing", "no/where"):
        assert run(capsys, *words, "--data", data)[0] == 2


def test_predict_a_folder(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "--checkpoint", str(runs / "runs" / "pets"), str(runs / "pets")]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["file", "probability"]
    assert len(lines) == 11
    assert len({line.index(".npy") for line in lines[1:]}) == 1  # aligned
    status, printed, _ = run(capsys, *words, "--csv", "-")
    assert status == 0
    rows = list(csv.DictReader(printed.splitlines()))
    assert [Path(row["file"]).name for row in rows] == [f"{i}.npy" for i in range(5)] * 2
    for row in rows:
        assert float(row["probability"]) >= float(row["probability_2"])
        assert float(row["probability"]) + float(row["probability_2"]) == pytest.approx(1, abs=2e-6)
        assert {row["class"], row["class_2"]} == {"cat", "dog"}
    status, out, _ = run(capsys, *words, "--csv", "all.csv", "--top", "1")
    assert status == 0
    assert "all.csv: 10 files as a table" in out
    assert Path("all.csv").read_text().splitlines()[0] == "file,class,probability"


def test_pictures_shown_together_get_the_same_answers(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "pets", "some")
    Path("some/cat/2.npy").write_text("no array")
    words = ["predict", "--checkpoint", str(runs / "runs" / "pets"), "some", "--csv", "-"]
    alone = list(csv.DictReader(run(capsys, *words)[1].splitlines()))
    for size in ("2", "4", "99"):
        status, out, err = run(capsys, *words, "--batch", size)
        assert status == 1
        assert err.count("\n") == 2
        rows = list(csv.DictReader(out.splitlines()))
        assert [row["file"] for row in rows] == [row["file"] for row in alone]
        for row, other in zip(rows, alone, strict=True):
            assert (row["class"], row["error"]) == (other["class"], other["error"])
            if not row["error"]:
                said = float(other["probability"])
                assert float(row["probability"]) == pytest.approx(said, abs=2e-6)
    status, _, err = run(capsys, *words, "--batch", "0")
    assert (status, err) == (2, "minigrad: --batch must be 1 or more, got 0\n")
    brain = ["predict", "--checkpoint", str(runs / "runs" / "brain"), str(runs / "head")]
    status, out, err = run(capsys, *brain, "--batch", "2")
    assert (status, out) == (2, "")
    assert "volumes are asked one by one" in err


def test_predict_a_folder_with_files_that_cannot_be_read(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "pets", "some")
    Path("some/a.npy").write_text("no array")
    Path("some/.hidden.npy").write_text("no array either")
    (Path("some") / "folder.npy").mkdir()
    Path("some/notes.txt").write_text("")
    words = ["predict", "--checkpoint", str(runs / "runs" / "pets")]
    status, out, err = run(capsys, *words, "some")
    assert status == 1  # the others are answered all the same
    assert out.count("\n") == 11
    assert "some/a.npy: no .npy array of numbers" in err
    assert "1 of 11 files could not be read" in err
    for some in (["some"], ["some/dog/0.npy", "some/a.npy"]):
        assert run(capsys, *words, *some, "--csv", "all.csv", "--top", "1")[0] == 1
        rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
        bad = [row for row in rows if row["error"]]
        assert len(bad) == 1
        assert (bad[0]["file"], bad[0]["class"], bad[0]["probability"]) == ("some/a.npy", "", "")
        assert "no .npy array of numbers" in bad[0]["error"]
        assert {row["class"] for row in rows if not row["error"]} <= {"cat", "dog"}
    status, printed, _ = run(capsys, *words, "some/a.npy", "some/a.npy", "--csv", "-")
    assert (status, printed.splitlines()[0]) == (1, "file,error")
    Path("empty").mkdir()
    for wrong, message in (("empty", "a folder without pictures"), ("no", "no such picture")):
        status, out, err = run(capsys, *words, "some/cat/1.npy", wrong)
        assert (status, out) == (2, "")
        assert message in err


def test_predict_with_a_segmentation(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = next((runs / "head").glob("*t1*"))
    words = ["predict", "--checkpoint", str(runs / "runs" / "brain"), str(scan)]
    status, out, err = run(capsys, *words, "--top", "4", "--masks", "out")
    assert (status, err) == (0, "")
    mask = read_nifti(next(Path("out").glob("*-mask.nii.gz")))
    assert mask.shape == read_nifti(scan).shape
    classes = ("outside", "fluid", "grey", "white")
    for name, count in zip(classes, np.bincount(mask.ravel(), minlength=4), strict=True):
        assert f"{name} {100 * count / mask.size:.1f} %" in out
    status, out, _ = run(capsys, *words, "--csv", "-")
    assert out.splitlines()[0].startswith("file,class,share,class_2,share_2")


def test_a_mask_lies_where_its_volume_does(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However the file's axes run and however large its voxels are: the model works on 2 mm."""
    straight = read_volume(next((runs / "head").glob("*t1*")), canonical=True)
    lying = straight.affine[:, [1, 2, 0, 3]] @ np.diag([1.0, 1.0, -1.0, 1.0])
    lying[:3, 3] += 47 * straight.affine[:3, 0]
    fine = np.repeat(straight.array, 2, 2)
    half = straight.affine @ np.diag([1, 1, 0.5, 1])
    for name, volume in {
        "straight": straight,
        "lying": replace(straight, array=straight.array.transpose(1, 2, 0)[..., ::-1],
                         affine=lying, code=2),
        "fine": Volume(fine, half, (1.0, 1.0, 0.5), units=10),
    }.items():  # fmt: skip
        io.write_volume(f"{name}.nii", volume)
    words = ["predict", "--checkpoint", str(runs / "runs" / "brain"), "--masks", "out"]
    status, out, err = run(capsys, *words, "straight.nii", "lying.nii", "fine.nii")
    assert (status, err) == (0, "")
    masks = {name: read_volume(f"out/{name}-mask.nii.gz") for name in ("straight", "lying", "fine")}
    for name, mask in masks.items():
        given = read_volume(f"{name}.nii")
        assert (mask.array.shape, mask.array.dtype) == (given.array.shape, np.uint8)
        np.testing.assert_array_equal(mask.affine, given.affine)
        assert (mask.spacing, mask.units, mask.code) == (given.spacing, given.units, given.code)
    turned = masks["lying"].array[..., ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(turned, masks["straight"].array)
    assert len({line.split(": ")[1] for line in out.splitlines()[:2]}) == 1  # the same shares
    assert np.mean(masks["fine"].array[..., ::2] == masks["straight"].array) > 0.95
    io.write_volume("flat.nii", Volume(np.ones((4, 4)), np.eye(4), (1.0, 1.0)))
    io.write_volume("holes.nii", replace(straight, array=np.full((9, 9, 9), np.nan)))
    assert "holes.nii: holds NaN" in run(capsys, *words, "holes.nii")[2]
    status, _, err = run(capsys, *words, "flat.nii")
    assert status == 2
    assert "flat.nii: expected a volume (D, H, W), found (4, 4)" in err


def test_large_inputs_in_tiles(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brain, pets = (["--checkpoint", str(runs / "runs" / name)] for name in ("brain", "pets"))
    scan, place = str(next((runs / "head").glob("*t1*"))), ["--masks"]
    found = []
    for words in ([], ["--tile", "64"], ["--tile", "16", "24", "16", "--blend", "hann"]):
        status, out, err = run(capsys, "predict", scan, *brain, *words, *place, str(len(found)))
        assert (status, err) == (0, "")
        found.append(read_nifti(next(Path(str(len(found))).iterdir())))
    np.testing.assert_array_equal(found[0], found[1])  # one tile has room for all
    assert np.mean(found[0] == found[2]) > 0.7  # GRN sees a tile
    assert not np.array_equal(found[0], found[2])
    assert run(capsys, "val", *brain, "--tile", "32", "--overlap", "0.5")[0] == 0
    for words, message in (
        (["--tile", "8", "8"], "--tile takes one number or 3"),
        (["--tile", "0"], "sides of 1 or more"),
        (["--overlap", "0.5"], "--overlap is for tiles"),
        (["--tile", "8", "--overlap", "1"], "overlap must lie in [0, 1)"),
        (["--tile", "8", "--overlap", "nan"], "overlap must lie in [0, 1)"),
        (["--tile", "8", *pets], "--tile is for a segmentation"),
    ):
        status, out, err = run(capsys, "predict", scan, *brain, *words)
        assert (status, out) == (2, "")
        assert message in err


@pytest.mark.needs("pydicom")
def test_a_series_is_one_volume(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(write_series(Path("scans")) / "second", SeriesInstanceUID="1.9")
    io.write_volume("scans/third.nii", Volume(np.ones((4, 5, 6)), np.eye(4), (1.0, 1.0, 1.0)))
    words = ["predict", "--checkpoint", str(runs / "runs" / "brain"), "--masks", "out"]
    status, out, err = run(capsys, *words, "scans/second")
    assert (status, err) == (0, "")
    assert out.startswith("scans/second: ")
    mask, given = read_volume("out/second-mask.nii.gz"), read_volume("scans/second")
    assert mask.array.shape == given.array.shape
    np.testing.assert_allclose(mask.affine, given.affine, rtol=1e-6)
    status, out, err = run(capsys, *words, "scans", "--csv", "-")
    assert (status, err) == (0, "")
    assert [row.split(",")[0] for row in out.splitlines()[1:]] == [
        "scans", "scans/second", "scans/third.nii",
    ]  # fmt: skip
    assert sorted(path.name for path in Path("out").iterdir()) == [
        f"{name}-mask.nii.gz" for name in ("scans", "second", "third")
    ]


def test_explain_a_segmentation(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = str(next((runs / "head").glob("*t1*")))
    words = ["explain", "--model", str(runs / "runs" / "brain"), scan]
    status, out, err = run(capsys, *words, "--class", "white", "-o", "white.png")
    assert (status, err) == (0, "")
    assert "white.png shows where the last stage finds it" in out
    assert Path("white.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.needs("pydicom")
def test_explain_a_series_of_slices(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("scans").mkdir()
    write_series(Path("scans/1.2.840"))
    io.write_volume("scan.nii.gz", Volume(np.ones((9, 8, 7)), np.eye(4), (1.0, 1.0, 1.0)))
    words = ["explain", "--model", str(runs / "runs" / "brain"), "--class", "white"]
    for name, picture in (
        ("scans/1.2.840", "scans/1.2.840-explained.png"), ("scan.nii.gz", "scan-explained.png"),
    ):  # fmt: skip
        status, out, err = run(capsys, *words, name)
        assert (status, err) == (0, "")
        assert f"{picture} shows where the last stage finds it" in out
        assert Path(picture).read_bytes()[:4] == b"\x89PNG"
    status, out, err = run(capsys, *words, "scans")
    assert (status, out) == (2, "")
    assert "scans: a folder; name one volume, or the folder of one series of DICOM slices" in err


def test_what_a_pretraining_cannot_say(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.npy").write_bytes((runs / "pets" / "cat" / "1.npy").read_bytes())
    folder = str(runs / "runs" / "digits-pretrained")
    for words in (
        ["predict", "a.npy", "--checkpoint", folder],
        ["explain", "a.npy", "--model", folder],
    ):
        status, out, err = run(capsys, *words)
        assert (status, out) == (2, "")
        assert "knows no classes; fine-tune it with 'minigrad train --init-from" in err


@pytest.mark.parametrize("what", ["about", "config", "words", "task", "images", "kind"])
def test_checkpoints_of_others_are_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    state = io.load(runs / DIGITS)
    changed = {
        "about": {"about": None},
        "config": {"about": state["about"] | {"config": {"colour": 3}}},
        "words": {"about": state["about"] | {"config": ["lr", "epochs"]}},
        "task": {"about": state["about"] | {"task": "paint"}},
        "images": {"about": state["about"] | {"images": {"size": 3}}},
        "kind": {"kind": "weights"},
    }
    io.save(state | changed[what], "other.safetensors")
    status, out, err = run(capsys, "val", "--checkpoint", "other.safetensors")
    assert (status, out) == (2, "")
    assert err.startswith("minigrad: other.safetensors: ")
    assert err.count("\n") == 1


def test_folders_that_are_no_runs(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/young").mkdir(parents=True)
    status, _, err = run(capsys, "val", "--checkpoint", "runs/young")
    assert status == 2
    assert "a folder, but not of a run" in err
    Path("runs/young/config.toml").write_text("")
    status, _, err = run(capsys, "val", "--checkpoint", "runs/young")
    assert status == 2
    assert "has saved no checkpoint yet" in err


def test_a_checkpoint_may_bear_another_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("brain/segmentation", "digits/checkpoint", "digits-pretrained/pretraining"):
        shutil.copy(runs / "runs" / f"{kind}.safetensors", "best.safetensors")
        assert run(capsys, "val", "--checkpoint", "best.safetensors")[0] == 0


def test_explain_wants_one_picture(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "--model", str(runs / "runs" / "pets")]
    for path, message in ((runs / "pets", "a folder; name one picture"), ("no.png", "no such pic")):
        status, out, err = run(capsys, *words, str(path))
        assert (status, out) == (2, "")
        assert message in err


def test_crop_is_refused_where_it_would_do_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(runs / "pets"), "--recipe", "convnext-1k", "--crop", "2"]
    status, _, err = run(capsys, *words)
    assert status == 2
    assert "crop shifts pictures that all have one size" in err
    assert not list(Path.cwd().iterdir())


def test_a_run_that_is_done_is_only_evaluated(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(runs / "runs"), "--name", "digits"]
    before = (runs / "runs/digits/log.csv").read_text()
    status, out, err = run(capsys, "train", "--resume", *output)
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith(", done already")
    assert (runs / "runs/digits/log.csv").read_text() == before


def test_pictures_are_segmented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scenes of made-up garments: train, val from elsewhere, predict with masks, explain."""
    clothes = tmp_path / "clothes"
    clothes.mkdir()
    rng = np.random.default_rng(0)
    for part, number in (("train", 20), ("t10k", 10)):
        images = np.zeros((number, 28, 28), np.uint8)
        images[:, 6:22, 6:22] = rng.integers(100, 255, (number, 16, 16))
        (clothes / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (clothes / f"{part}-labels-idx1-ubyte").write_bytes(
            idx(np.arange(number, dtype=np.uint8) % 10)
        )
    small = "--samples 8 --held-out 4 --batch-size 4 --epochs 1 --image-size 36 --depths 1 1 1"
    small += " --dims 4 8 8 --decoder-filters 8 8 4 --kernel-size 3"
    status, _, err = run(capsys, "segment", "--root", "clothes", *small.split())
    assert (status, err) == (0, "")
    scores = (tmp_path / "runs/fashion-scenes/scores.csv").read_text()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    trained = ["--checkpoint", "../runs/fashion-scenes"]
    status, out, err = run(capsys, "val", *trained)
    assert (status, err) == (0, "")
    mean = [float(x) for x in scores.splitlines()[-1].split(",")[1:]]
    said = re.findall(r"mean +IoU ([\d.]+)  Dice ([\d.]+)", out)[0]
    assert [float(x) for x in said] == pytest.approx(mean, abs=5.1e-5)
    for name, side in (("a", (36, 36)), ("b", (50, 41))):  # of any size
        Path("pictures", name).mkdir(parents=True)
        np.save(Path("pictures", name, "x.npy"), rng.random(side, np.float32))
    status, out, err = run(capsys, "predict", "pictures", *trained, "--top", "6", "--masks", "m",
                           "--batch", "2")  # fmt: skip
    assert (status, err) == (0, "")
    for name, side in (("a", (36, 36)), ("b", (50, 41))):
        mask = np.load(Path("m", name, "x-mask.npy"))
        assert mask.shape == side
        assert Path("m", name, "x-mask.png").read_bytes()[:4] == b"\x89PNG"
        line = next(line for line in out.splitlines() if f"/{name}/" in line)
        assert re.search(rf"background +{100 * (mask == 0).mean():.1f} %", line)
    status, _, err = run(capsys, "predict", "pictures/a/x.npy", "pictures/b/x.npy", *trained,
                         "--masks", "m")  # fmt: skip
    assert status == 2
    assert "two files would both be written to x-mask.npy" in err
    status, out, err = run(capsys, "explain", "pictures/a/x.npy", *trained, "--class", "dress")
    assert (status, err) == (0, "")
    assert Path("pictures/a/x-explained.png").is_file()


KINDS = ["digits", "digits-pretrained", "brain", "pets"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_is_looked_into(
    runs: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """`summary`, `graph` and `explain` take the folder of a run, whatever made it."""
    folder = str(runs / "runs" / kind)
    trained = load_trained(find_trained(folder), "cpu")
    status, out, err = run(capsys, "summary", folder)
    assert (status, err) == (0, "")
    assert f"{sum(p.numel() for p in trained.model.parameters()):,} parameters" in out
    assert re.search(rf"^{type(trained.model).__name__} ", out, re.M)
    status, out, err = run(capsys, "graph", folder, "-o", "graph.mmd")
    assert (status, err) == (0, "")
    assert "stages.0.0.dwconv.weight" in Path("graph.mmd").read_text()
    status, out, err = run(capsys, "explain", "--receptive-field", "--model", folder)
    assert (status, err) == (0, "")
    assert f"{folder} looks at; 50 % in" in out


def test_a_run_has_its_own_sizes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(runs / "runs" / "digits")
    for words in (["--depths", "2"], ["--channels", "1"], ["--encoder", "convnext"]):
        status, out, err = run(capsys, "summary", folder, *words)
        assert (status, out) == (2, "")
        assert f"{words[0]} is for a model by name; {folder} has its own" in err
    assert "1 × 4 × 8 × 8" in run(capsys, "summary", folder, "--size", "16")[1]
    Path("convnext").mkdir()  # what has a name is no place
    assert run(capsys, "summary", "convnext", "--depths", "1", "--dims", "4", "--size", "8")[0] == 0
