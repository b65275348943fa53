"""The benchmarks by name, at sizes where they say nothing but run through."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import all as everything
from benchmarks import cpu, frameworks, loading, networks, peers, scaling
from benchmarks.__main__ import COMMANDS, main
from benchmarks.turns import middle
from minigrad import backend
from minigrad.errors import MinigradError


def test_without_a_name_all_are_listed(capsys):
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cpuu"], "unknown benchmark 'cpuu'; did you mean 'cpu'?"),
        (["cpu", "inferenc"], "unknown task 'inferenc'; did you mean 'inference'?"),
        (["cpu", "inference", "--model", "convnext_tiney"], "did you mean 'convnext_tiny'?"),
        (["cpu", "inference", "--peers", "minigrad, NumPy onl"], "did you mean 'minigrad, N"),
        (["fashion", "steps"], "unknown task 'steps'; did you mean 'step'?"),
        (
            ["scaling", "training", "--along", "depht"],
            "unknown axis 'depht'; did you mean 'depth'?",
        ),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_explains_its_options(capsys, name):
    if name == "segmentation":
        pytest.importorskip("torch")
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert "usage: " in capsys.readouterr().out


def test_old_spelling_of_the_command(repo):
    for module in ("benchmarks.cpu", "benchmarks.overhead"):
        answer = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=repo, capture_output=True, text=True
        )
        assert answer.returncode == 0
        assert "--rounds" in answer.stdout


def test_cpu_records_what_it_prints(capsys, tmp_path):
    file = tmp_path / "cpu.json"
    words = "cpu inference training --model convnextv2_atto --size 32 --batch 2 --rounds 2"
    words = [*words.split(), "--threads", "1"]
    assert main([*words, "--peers", peers.NUMPY_ONLY, "--json", str(file)]) == 0
    sections = json.loads(file.read_text())["sections"]
    names = [name.removesuffix(" threads 1") for name in sections]
    assert names == [f"{task} convnextv2_atto 32 batch 2" for task in ("inference", "training")]
    printed = capsys.readouterr().out
    for section in sections.values():
        (row,) = section["rows"]
        assert row["peer"] == peers.NUMPY_ONLY
        assert row["rounds"] == 2
        assert 0 < row["ms"]["low"] <= row["ms"]["median"] <= row["ms"]["high"]
        assert row["ratio"]["median"] == 1
        assert row["difference"] == 0
        assert row["precision"] == section["options"]["precision"] == "float32"
        assert 0 < row["paused_ms"]["median"]
        assert 0 < row["before_mb"] < row["peak_mb"]
        assert section["command"].startswith("python -m benchmarks cpu")
        assert f"{row['ms']['median']:.1f}" in printed


def test_all_peers_of_a_task_compute_the_same(capsys):
    pytest.importorskip("torch")
    names = [peers.NUMPY_ONLY, "torch, tuned"]
    words = "cpu training --model convnextv2_atto --size 32 --batch 2 --rounds 1 --threads 1"
    assert main([*words.split(), "--peers", *names]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("torch")]
    assert len(lines) == 1
    assert all(float(line.split()[-1]) < 1e-5 for line in lines)


def test_the_short_way_takes_the_tuned_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(cpu, "compare", lambda *given: asked.append(given) or {"rows": []})
    monkeypatch.setattr(cpu, "report", lambda *given: None)
    words = "cpu training --model unet_3d --size 32 --batch 4 --short".split()
    assert main(words) == 0
    ((task, options, rounds, names, tries),) = asked
    assert (task, rounds, tries, options["calls"]) == ("training", 5, 1, 2)
    known = peers.peers(task, options)
    assert list(names) == [n for n in known if known[n].tuned]
    assert not {peers.NUMPY_ONLY, peers.RECOMPUTING, "torch", "jax"} & set(names)


@pytest.mark.parametrize("model", ["unet_2d", "unet_3d"])
def test_u_nets_of_both_take_the_same_step(tmp_path, model):
    pytest.importorskip("torch")
    options = networks.describe(model) | {"size": 16, "batch": 2, "threads": 1}
    options["folder"] = str(tmp_path)
    networks.write_weights(options)
    theirs = frameworks.torch_training(options)
    with backend.use_kernels("reference"):
        ours = frameworks.minigrad_training(options, "reference")
        losses = [[step(), step()] for step in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0][1] < losses[0][0]


def test_a_worker_that_fails_says_why(capsys):
    words = "cpu inference --model convnextv2_atto --size 8 --batch 1 --rounds 1 --peers".split()
    assert main([*words, peers.NUMPY_ONLY]) == 2  # an image that vanishes on the way
    error = capsys.readouterr().err
    assert f"the worker of inference {peers.NUMPY_ONLY} ended" in error
    assert "ShapeError" in error


def test_scaling_changes_one_thing_at_a_time(capsys, tmp_path, monkeypatch):
    asked = []

    def compare(task, options, rounds, names):
        asked.append((options["batch"], options["size"], options["depths"]))
        row = {"ms": middle([1.0]), "rounds": rounds, "before_mb": 1.0, "peak_mb": 2.0}
        return {"others": 0.1 * len(asked), "rows": [{"peer": "minigrad"} | row]}

    monkeypatch.setattr(scaling, "compare", compare)
    monkeypatch.setattr(scaling, "peers", lambda task: scaling.PEERS)
    file = tmp_path / "cpu.json"
    for axis, value in (("batch", 2), ("side", 64), ("depth", 5)):
        words = f"scaling training --along {axis} --values {value} --json {file}"
        assert main(words.split()) == 0
    assert asked == [
        (2, 224, [3, 3, 9, 3]), (4, 64, [3, 3, 9, 3]), (4, 224, [3, 3, 5, 3]),
    ]  # fmt: skip
    section = json.loads(file.read_text())["sections"]["scaling training depth"]
    assert section["rows"][0]["depth"] == 5
    assert section["others"] == pytest.approx(0.3)


def test_scaling_without_anything_to_measure_names_the_extra(capsys, monkeypatch):
    monkeypatch.setattr(scaling, "peers", lambda task: {})
    assert main(["scaling", "inference", "--along", "batch", "--values", "1"]) == 2
    assert "pip install 'minigrad[fast]'" in capsys.readouterr().err


def test_overhead(capsys, tmp_path):
    file = tmp_path / "cpu.json"
    assert main(["overhead", "--length", "20", "--rounds", "2", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["sections"]["overhead"]["rows"]
    assert rows[0]["peer"] == "minigrad"
    assert all(0 < row["forward"]["median"] for row in rows)


@pytest.mark.slow
@pytest.mark.needs("safetensors")
def test_loading(capsys, tmp_path):
    file = tmp_path / "cpu.json"
    words = ["loading", "--model", "convnextv2_atto", "--rounds", "1", "--json", str(file)]
    assert main(words) == 0
    rows = json.loads(file.read_text())["sections"]["loading convnextv2_atto"]["rows"]
    assert [(row["peer"], row["file"]) for row in rows if row["ratio"]["median"] != 1] == [
        ("load_pretrained", "float32"), ("load_pretrained", "float16"), ("minigrad.load", "whole"),
    ]  # fmt: skip
    assert all(0 < row["grown"] < 10 for row in rows)
    with pytest.raises(MinigradError, match=r"(?s)minigrad\.load does not load.*cannot be read"):
        loading.turn("minigrad.load", tmp_path / "none")


def test_all_records_every_step_or_those_that_are_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(everything, "STEPS", ("cpu inferenc", "overhead --length 20 --rounds 2"))
    file = tmp_path / "cpu.json"
    assert main(["all", "2", "--json", str(file)]) == 0
    assert list(json.loads(file.read_text())["sections"]) == ["overhead"]
    assert main(["all", "--json", str(file)]) == 2
    assert main(["all", "3"]) == 2
    assert "a step must lie between 1 and 2, got 3" in capsys.readouterr().err


def test_claims_without_figures_are_not_measured(capsys, tmp_path):
    file = tmp_path / "cpu.json"
    here = {"processor": "a processor", "cores": 2}
    file.write_text(json.dumps({"machine": here, "sections": {}}))
    assert main(["claims", "--json", str(file)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("goal  a processor, 2 cores")
    assert lines
    assert all(line.endswith("not measured") for line in lines)


def test_against_another_checkout(capsys, repo, tmp_path):
    assert main(["against", str(repo), "forward", "--rounds", "3"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["ms", "before", "after", "before/after", "quartiles"]
    assert row.startswith("forward ")
    assert 0.1 < float(row.split()[3]) < 10.0  # it is the same checkout
    assert main(["against", str(tmp_path)]) == 2
    assert "no checkout of minigrad" in capsys.readouterr().err
    assert main(["against", str(repo), "forwards"]) == 2
    assert "did you mean 'forward'?" in capsys.readouterr().err
