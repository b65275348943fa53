from __future__ import annotations

import base64
import io
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from minigrad.errors import OptionError, ShapeError
from minigrad.viz import SVG, curves_svg, plot_svg, predictions_svg
from minigrad.viz.axes import ticks
from minigrad.viz.svg import Canvas, png

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parse(drawing: SVG) -> ET.Element:
    return ET.fromstring(drawing)


def test_text_is_escaped_and_saved(tmp_path: Path) -> None:
    canvas = Canvas(10, 10, "a < b & c")
    canvas.text(1, 2, "<script>", fill='"red"')
    drawing = canvas.svg()
    drawing.save(tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()
    assert root.findtext(f"{NAMESPACE}title") == "a < b & c"
    assert root.findtext(f"{NAMESPACE}text") == "<script>"
    assert drawing._repr_svg_() == drawing


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png_is_what_pillow_reads(shape: tuple[int, ...]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = base64.b64decode(png(pixels).removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(pillow.open(io.BytesIO(data))), pixels)


def test_curves_have_a_line_per_series_and_skip_what_is_not_finite() -> None:
    history = [
        {"epoch": 1, "lr": 0.1, "train_loss": 2.0, "val_loss": math.inf, "val_accuracy": 0.5},
        {"epoch": 2, "lr": 0.1, "train_loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.9},
    ]
    root = parse(curves_svg(history, "a & b"))
    lines = [line.attrib["points"].split() for line in root.iter(f"{NAMESPACE}polyline")]
    assert [len(line) for line in lines] == [2, 1, 2]
    text = [element.text for element in root.iter(f"{NAMESPACE}text")]
    assert "train loss 1.0000" in text
    assert "val accuracy 0.9000" in text


def test_curves_of_one_epoch_and_of_nothing() -> None:
    parse(curves_svg([{"epoch": 1, "train_loss": 0.3}]))
    with pytest.raises(OptionError, match="no entry that ends in 'loss' or 'accuracy'"):
        curves_svg([{"epoch": 1}])


def test_plot_svg_draws_lines_and_dots_in_one_call() -> None:
    root = parse(plot_svg({"x²": ([1, 2], [1, 4])}, {"here": ([1], [1])}, log="xy"))
    text = [e.text for e in root.iter(f"{NAMESPACE}text")]
    assert {"x²", "here", "x", "y"} <= set(text)
    assert len(list(root.iter(f"{NAMESPACE}polyline"))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_few_even_and_enclose(seed: int) -> None:
    low, high = sorted(np.random.default_rng(seed).normal(0, 10.0 ** (seed % 5 - 2), 2))
    values = ticks(float(low), float(high))
    assert values[0] <= low < high <= values[-1]
    assert 3 <= len(values) <= 9
    np.testing.assert_allclose(np.diff(values), values[1] - values[0])


def test_predictions_show_colour_truth_and_layout() -> None:
    images = np.random.default_rng(0).random((5, 3, 6, 6))
    drawing = predictions_svg(images, [0, 1, 1, 0, 1], [0, 1, 0, 0, 1], ["cat", "<dog>"], columns=2)
    root = parse(drawing)
    pictures = [(e.attrib["x"], e.attrib["y"]) for e in root.iter(f"{NAMESPACE}image")]
    assert len({x for x, _ in pictures}) == 2
    assert len({y for _, y in pictures}) == 3
    text = [element.text for element in root.iter(f"{NAMESPACE}text")]
    assert text.count("cat") == 3
    assert text.count("not <dog>") == 1


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((4, 4), [0], r"\(N, 1 or 3, H, W\), got \(4, 4\)"),
        ((2, 1, 4, 4), [0], "2 images, 1 labels"),
    ],
)
def test_predictions_refuse(shape: tuple[int, ...], labels: list[int], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        predictions_svg(np.zeros(shape), labels, labels)


def test_a_picture_has_the_page_s_colours_and_as_a_file_a_ground(tmp_path: Path) -> None:
    canvas = Canvas(10, 10, "dot")
    canvas.add("circle", cx=5, cy=5, r=2)
    drawing = canvas.svg()
    assert parse(drawing).attrib["fill"] == "currentColor"
    assert "white" not in drawing
    drawing.save(tmp_path / "dot.svg")
    ground, dot = list(ET.parse(tmp_path / "dot.svg").getroot())[1:]
    assert ground.attrib == {"width": "100%", "height": "100%", "fill": "white"}
    assert dot.tag == f"{NAMESPACE}circle"
