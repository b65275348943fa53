"""What the figures are made of: work, medians, files, tables, plots, verdicts."""

from __future__ import annotations

import doctest
import json
import mmap
import os
import re
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad.models as models
from benchmarks import (
    claims,
    machine,
    networks,
    page,
    peers,
    plots,
    results,
    tables,
    turns,
    work,
)
from benchmarks.all import STEPS
from benchmarks.scaling import AXES
from benchmarks.turns import middle
from benchmarks.work import product_flops, product_macs
from minigrad.errors import DataError
from minigrad.viz import summary


@pytest.mark.parametrize(("name", "size"), [("convnext_tiny", 64), ("convnextv2_atto", 96)])
def test_work_is_what_the_summary_counts_without_the_depthwise(name, size):
    model = models.create_model(name)
    table = summary(model, (3, size, size), depth=9)
    depthwise = sum(row.macs for row in table.rows if row.name == "dwconv")
    total, _ = product_macs(model.depths, model.dims, size)
    assert total == table.macs - depthwise


def test_training_is_three_times_the_products_but_for_the_stem():
    shape = (1, 2), (8, 16), 32
    total, stem = product_macs(*shape)
    assert stem == 8 * 8 * 48 * 8
    assert product_flops("inference", *shape) == 2 * total
    assert product_flops("training", *shape) == 2 * (3 * total - stem)


@pytest.mark.parametrize("module", [machine, plots, tables, turns, work])
def test_examples(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_middle_of_one_is_itself():
    assert middle([2.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_memory_is_the_process_s_own():
    before = machine.memory_now()
    with mmap.mmap(-1, 64 << 20) as block:  # no allocator that has some left
        block.write(bytes(64 << 20))
        assert machine.memory_now() >= before + 60
    assert machine.memory_peak() >= before + 60
    assert machine.memory_now() < before + 60


def test_deeper_networks_keep_the_rest():
    options = networks.describe("convnext_tiny", (3, 3, 27, 3))
    assert options["depths"] == [3, 3, 27, 3]
    assert options["dims"] == [96, 192, 384, 768]


# ---- the file ---------------------------------------------------------------------------------


def section(**more):
    return {"date": "2026-01-02T03:04:05+00:00", "commit": "abc", "load": [0.1, 0.2, 0.3],
            "command": "python -m benchmarks cpu", **more}  # fmt: skip


def row(peer, ms, ratio, peak=100.0, **more):
    return {
        "peer": peer, "rounds": 3, "ms": {"median": ms, "low": ms - 1, "high": ms + 1},
        "ratio": {"median": ratio, "low": ratio, "high": ratio}, "before_mb": 50.0,
        "peak_mb": peak, "difference": 1e-6, "gflops": 10.0, "precision": "float32", **more,
    }  # fmt: skip


def test_a_section_replaces_its_own_and_no_other(tmp_path):
    file = tmp_path / "new" / "cpu.json"
    results.record(file, "a", section(kind="compare", rows=[1]))
    results.record(file, "b", section(kind="compare", rows=[2]))
    results.record(file, "a", section(kind="compare", rows=[3]))
    whole = results.read(file)
    assert {name: s["rows"] for name, s in whole["sections"].items()} == {"a": [3], "b": [2]}
    assert whole["machine"] == machine.machine()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cores": 999}, "another machine .cores 999, here"),
        ({"packages": {"numpy": "1.0"}}, "other versions of numpy"),
    ],
)
def test_figures_of_two_machines_are_not_mixed(tmp_path, change, message):
    file = tmp_path / "cpu.json"
    results.record(file, "a", section(rows=[]))
    whole = results.read(file)
    whole["machine"] |= change
    file.write_text(json.dumps(whole))
    before = file.read_bytes()
    with pytest.raises(DataError, match=message):
        results.record(file, "b", section(rows=[]))
    assert file.read_bytes() == before


# ---- pages ------------------------------------------------------------------------------------


def test_tables_show_the_figures_of_the_file(tmp_path):
    products = {"numpy": 200.0, "minigrad": 400.0, "fastest": 400.0}
    rows = [
        row("minigrad", 10.0, 1.0, products=products, share=0.5),
        row("torch, tuned", 21.5, 2.15, products=products, share=0.2),
    ]
    sweep = [
        {"batch": b, "peer": p, "ms": {"median": 3.25}, "peak_mb": 77.0}
        for b in (1, 2)
        for p in ("minigrad", "torch")
    ]
    kernel = {"kernel": "k", "flops": 2e9, "ms": 10.0, "torch_ms": 20.0,
              "ratio": {"median": 2.0, "low": 1.9, "high": 2.1}}  # fmt: skip
    three = {"median": 1.5, "low": 1.4, "high": 1.6}
    sections = {
        claims.T8: section(kind="compare", others=0.25, rows=rows),
        "kernels": section(kind="kernels", rows=[kernel]),
        "overhead": section(
            kind="overhead", rows=[{"peer": "minigrad", "forward": three, "both": three}]
        ),
        "fashion epoch": section(kind="fashion epoch", rows=[row("minigrad", 9500.0, 1, last=0.9)]),
        "scaling training batch": section(
            kind="scaling", axis="batch", task="training", model="m", rows=sweep
        ),
    }
    here = {"processor": "Here", "cores": 2, "vectors": "avx2", "memory_gb": 8, "system": "Linux",
            "python": "3.11", "packages": {}}  # fmt: skip
    kept = [{"machine": here, "sections": sections}]
    paused = row("minigrad", 9.0, 1.0, paused_ms=three, paused_ratio=three)
    other = {claims.T8: section(kind="compare", method="Twice.", rows=[paused])}
    kept.append({"machine": here | {"processor": "There"}, "sections": other})
    written = page.pages(kept)
    phase, there = written["inference-convnext_tiny-224-batch-8.txt"].split("**There, 2 cores**")
    assert phase.startswith("**Here, 2 cores**\n\n|")
    assert "after a pause" not in phase
    assert "| ms after a pause | to minigrad |" in there
    assert "| 1.00 to 1.00 | 1.5 | 1.50 | 1.40 to 1.60 |" in there
    assert there.split("\n\n")[2] == "Twice."
    assert "| torch, tuned | 21.5 | 20.5 to 22.5 | 2.15 |" in phase
    assert "The limit: 400 GFLOP/s" in phase
    assert "other programs had 25 % of the processors meanwhile" in phase
    assert "| k | 200 | 100 | 10.00 | 20.00 | 2.00 | 1.90 to 2.10 |" in written["kernels.txt"]
    assert "| minigrad | 9.5 | 9.5 to 9.5 | 1.00 | 90.0 % |" in written["fashion-epoch.txt"]
    assert "| minigrad | 1.50 | 1.40 to 1.60 | 1.50 |" in written["overhead.txt"]
    assert "| 2 | 3.2 | 3.2 | 77 | 77 |" in written["scaling-training-batch.txt"]
    assert written["scaling-training-batch.svg"].count("<polyline") == 4
    line = next(x for x in written["claims.txt"].splitlines() if "ConvNeXt-T, batch 8 |" in x)
    assert "| ≥ 1.12× | 2.15× (torch, tuned): met | not measured |" in line


def test_speed_is_judged_against_the_fastest_other_of_the_same_precision():
    rows = [
        row("minigrad", 1.0, 1.0), row("minigrad, recomputing", 0.5, 0.5),
        row("torch", 1.5, 1.5), row("torch, tuned", 1.2, 1.2), row("torch.compile", 1.05, 1.05),
        row("openvino", 0.4, 0.4, precision="bfloat16"),
        row("torch, tuned", 1.3, 1.3, precision="bfloat16"),
    ]  # fmt: skip
    find = {precision: claims.fastest_peer(precision) for precision in ("float32", "bfloat16")}
    assert find["float32"]({"rows": rows}) == (1.05, "torch.compile")
    assert find["bfloat16"]({"rows": rows}) == (0.4, "openvino")
    claim = claims.Claim("", "s", find["float32"], 1.1)
    assert claim.judge({"s": {"rows": rows}}) == "1.05× (torch.compile): missed"
    assert claim.judge({"s": {"rows": rows[:2]}}) == claim.judge({}) == claims.NOT_MEASURED


def test_memory_is_judged_against_the_least_of_pytorch():
    rows = [
        row("minigrad", 1, 1, 65.0), row(peers.RECOMPUTING, 1, 1, 40.0),
        row("torch", 1, 1, 130.0), row("torch, tuned", 1, 1, 100.0),
        row("torch, recomputing", 1, 1, 80.0), row("onnxruntime", 1, 1, 10.0),
    ]  # fmt: skip
    verdicts = {
        claim.text: claim.judge({claims.TRAINING: {"rows": rows}}) for claim in claims.CLAIMS
    }
    peak = "Peak memory of a training step of ConvNeXt-T, batch 8, of PyTorch's"
    assert verdicts[peak] == "0.65× (torch, tuned): met"
    assert verdicts["… with recomputation, of PyTorch's without"] == "0.40× (torch, tuned): met"
    assert verdicts["… with recomputation, of PyTorch's with it"] == "0.50× (torch, recomputing)"


def test_readme_says_what_is_recorded(repo):
    table = page.speeds([results.read(path) for path in results.recorded()])
    assert f"{page.BEGIN}\n{table}\n{page.END}" in (repo / "README.md").read_text()


def test_plot_has_a_logarithmic_axis():
    picture = plots.lines("t", "batch", {"ms": {"a": [(1, 0.0), (2, 1.0), (4, 2.0)]}})
    points = picture.partition('points="')[2].partition('"')[0].split()
    (x1, y1), (x2, y2), (x4, y4) = (tuple(map(float, p.split(","))) for p in points)
    assert x2 - x1 == pytest.approx(x4 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y4, abs=0.2)
    assert y4 < y1  # larger is higher


def test_the_page_shows_what_the_benchmarks_take(repo):
    page = (repo / "docs" / "benchmarks.md").read_text()
    used = set(re.findall(r"\{(?:include|image)\} benchmarks/(\S+)\.(?:txt|svg)", page))
    taken = {"machine", "claims"}
    for step in STEPS:
        name, *words = step.split()
        given = dict(pairwise(words))
        if name == "cpu" and "--model" in given:
            batches = re.findall(r"(?<=--batch )[\d ]+", step)[0].split()
            start = f"{words[0]}-{given['--model']}-{given.get('--size', 224)}"
            end = "-bfloat16" if "--precision" in given else ""
            taken |= {f"{start}-batch-{batch}{end}" for batch in batches}
        elif name == "scaling":
            taken |= {f"scaling-{words[0]}-{axis}" for axis in AXES}
        else:
            taken.add(words[0] if name == "cpu" else "-".join([name, *words[:1]]))
    assert used == taken
    assert {claim.section.replace(" ", "-") for claim in claims.CLAIMS} <= used


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        (r"perf_count|process_time\b", "turns.py"),
        (r"ArgumentParser\(", "options.py"),
        (r"import write_text|json\.dump\(", "results.py"),
        (r"rjust|ljust|:[<>]\{?\w", "tables.py"),
    ],
)
def test_timing_options_recording_and_printing_have_one_place_each(repo, pattern, place):
    files = (repo / "benchmarks").glob("*.py")
    assert {path.name for path in files if re.search(pattern, path.read_text())} == {place}


# ---- twins ------------------------------------------------------------------------------------


def test_jax_network_is_the_same():
    jax = pytest.importorskip("jax")
    import minigrad as mg
    from benchmarks.convnext_jax import convnext, from_official

    depths, dims = (1, 2), (8, 16)
    options = {"size": 16, "batch": 2, "num_classes": 10}
    for grn in (False, True):
        kind = models.ConvNeXtV2 if grn else models.ConvNeXt
        model = kind(num_classes=10, depths=depths, dims=dims).eval()
        saved = {n: p.detach().numpy() for n, p in model.named_parameters()}
        images, _ = networks.images_and_labels(options)
        ours = model(mg.tensor(images)).detach().numpy()
        theirs = convnext(
            from_official(saved), jax.numpy.asarray(images.transpose(0, 2, 3, 1)), depths
        )
        np.testing.assert_allclose(theirs, ours, atol=2e-5)


def test_fashion_twin_takes_the_same_steps(tmp_path):
    torch = pytest.importorskip("torch")
    from benchmarks import fashion
    from minigrad.data.fashion import find_fashion_mnist

    if find_fashion_mnist() is None:
        pytest.skip("needs Fashion-MNIST: apt-get install dataset-fashion-mnist")
    fashion.write_start(tmp_path)
    options = {"folder": str(tmp_path), "threads": torch.get_num_threads()}
    ours, theirs = fashion.minigrad_step(options), fashion.torch_step(options)
    losses = np.array([[ours(), theirs()] for _ in range(4)])
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    assert losses[-1, 0] < losses[0, 0]
    assert "torch, tuned" in fashion.peers("step")


def test_fashion_epochs_of_both_end_alike(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import fashion
    from minigrad import data
    from minigrad.data.catalog import ImageSpec, Split
    from minigrad.runs import task

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 512)
    images = np.zeros((512, 1, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 8] = 200  # a bar, as high up as the class says
    parts = [data.ArrayDataset(images[a:b], labels[a:b]) for a, b in ((0, 256), (256, 512))]
    split = Split(*parts, ImageSpec(tuple("0123456789"), 1, 28, (0.3,), (0.4,)))
    for module in (data, task):
        monkeypatch.setattr(module, "load_split", lambda *a, **k: split)
    fashion.write_start(tmp_path)
    options = {"folder": str(tmp_path), "threads": torch.get_num_threads()}
    ours, theirs = fashion.minigrad_epoch(options)(), fashion.torch_epoch(options)()
    assert 0 < ours <= 1
    assert ours == pytest.approx(theirs, abs=0.05)  # two steps of the warm-up, mirrored otherwise


def test_the_first_call_of_a_turn_counts_apart() -> None:
    times = iter([0.0, 9.0, 10.0, 12.0, 20.0, 24.0])  # seconds 9, 2, 4
    calls: list[float] = []
    answer = turns.turn(lambda: calls.append(1.0) or len(calls), lambda: next(times), calls=2)
    assert answer == {"paused": 9.0, "seconds": 3.0, "value": 3.0}
    times = iter([0.0, 5.0])
    assert turns.turn(list, lambda: next(times), calls=0) == {"paused": 5.0, "seconds": 5.0}


class Recorder:
    """Stands for a worker: notes its turns in a list that all share."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.process = SimpleNamespace(pid=os.getpid())
        self.name, self.calls = name, calls
        self.taken: dict[int, dict[str, float]] = {}
        self.turns: dict[int, dict[str, float]] = {}

    def take_turn(self, number: int) -> None:
        self.calls.append(self.name)
        self.taken[number] = {"seconds": 1.0}


def test_processes_take_turns_in_drawn_orders_each_after_a_rest(monkeypatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(turns.time, "sleep", lambda seconds: calls.append("rest"))
    workers = {name: Recorder(name, calls) for name in "abc"}
    turns.take_turns(workers, 40, {"c": 20}, tries=1)
    assert {name: len(worker.turns) for name, worker in workers.items()} == {
        "a": 40, "b": 40, "c": 20,
    }  # fmt: skip
    assert calls[::2] == ["rest"] * 100
    order = calls[1::2]
    first = [order[i : i + 3] for i in range(0, 60, 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in first)
    assert len(set(map(tuple, first))) == 6


def test_a_fixed_order_flatters_nobody() -> None:
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "abc"}
    taken = turns.by_turns(runs, 60, warm=1)
    assert {name: len(seconds) for name, seconds in taken.items()} == dict.fromkeys("abc", 60)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    followers = Counter(pair for each in rounds for pair in pairwise(each))
    assert len(followers) == 6
    assert min(followers.values()) >= 8
