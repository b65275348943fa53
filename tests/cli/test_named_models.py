"""`summary`, `graph` and `explain` on every kind of model that has a name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import models
from minigrad.models.registry import encoders_of
from tests.cli.command import run

UNETS = [name for name in models.list_models() if encoders_of(name)]
OWN = ["--encoder", "convnext", "--depths", "1", "1", "1", "--dims", "4", "8", "8"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_there_are_u_nets() -> None:
    assert len(UNETS) >= 3
    assert len(encoders_of("unet")) >= 14


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", UNETS)
def test_u_nets(name: str, dims: int, capsys: pytest.CaptureFixture[str]) -> None:
    sample = ["--spatial-dims", str(dims), "--size", "21", "--channels", "2"]
    shape = [*OWN, *sample]
    status, out, err = run(capsys, "summary", name, *shape, "--classes", "4", "--patch-size", "2")
    assert (status, err) == (0, "")
    encoder = models.ConvNeXt(2, 0, (1, 1, 1), (4, 8, 8), patch_size=2, spatial_dims=dims)
    model = models.create_model(name, encoder=encoder, num_classes=4)
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in out
    assert " × ".join(["1", "4", *["21"] * dims]) in out  # the result is as large as the input
    for ending in ("svg", "dot", "mmd"):
        status, out, err = run(capsys, "graph", name, *shape, "-o", f"it.{ending}")
        assert (status, err) == (0, "")
        assert "encoder.stages.0.0.dwconv.weight" in Path(f"it.{ending}").read_text()
    field = ["explain", "--receptive-field", "--model", name, "--encoder", "convnextv2_atto"]
    status, out, err = run(capsys, *field, *sample)
    assert (status, err) == (0, "")
    assert f"the result of {name}, untrained looks at" in out
    assert Path("receptive-field.png").is_file()


@pytest.mark.parametrize("encoder", ["convnextv2_atto", "ConvNeXt-V2-Atto"])
def test_encoders_by_name(encoder: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "summary", "unet++", "--encoder", encoder, "--size", "32")
    assert (status, err) == (0, "")
    assert "encoder (ConvNeXtFeatures)" in out


def test_a_named_model_keeps_its_own_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "summary", "convnext_isotropic_small", "--depth", "0")
    own = mg.models.create_model("convnext_isotropic_small")
    assert f"{sum(p.numel() for p in own.parameters()):,} parameters" in out


def test_a_narrow_terminal_loses_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What rich would cut is printed plainly."""
    words = ["summary", "convnext", "--depths", "1", "--dims", "4", "--size", "8"]
    _, plain, _ = run(capsys, *words)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    assert run(capsys, *words)[1] == plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("summary unet --encoder convnext_tinny", "unknown model 'convnext_tinny'; did you mean"),
        ("summary unet --encoder convnext_isotropic_small", "encoder must be a name, a ConvNeXt"),
        ("summary convnext_tiny --encoder convnext", "--encoder is for a U-Net, which convnext_ti"),
        ("summary unet --spatial-dims 3 --size 1 2", "--size takes one or three numbers, got 1 2"),
        ("summary unet --spatial-dims 1 --size 1 2", "--size takes one number, got 1 2"),
        ("summary unet --spatial-dims 4", "unknown --spatial-dims 4 (choose from 1, 2, 3)"),
        ("summary --size 0", "--size and --channels must be 1 or more"),
        ("summary --size -5", "--size and --channels must be 1 or more"),
        ("summary --channels 0", "--size and --channels must be 1 or more"),
        ("summary --depth -1", "--depth must be 0 or more"),
        ("summary --classes -1", "num_classes"),
        ("summary convnext --patch-size 0", "patch_size"),
        ("summary convnext --depths 1 1 --dims 4", "depths"),
        ("explain --receptive-field --model nothing", "unknown model 'nothing'"),
    ],
)
def test_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, *words.split())
    assert (status, out) == (2, "")
    assert message in err
    assert re.fullmatch(r"minigrad: .*\n", err)
    assert not list(Path.cwd().iterdir())
