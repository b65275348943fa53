from __future__ import annotations

import base64
import io
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import MinigradError, OptionError, ShapeError
from minigrad.viz import SVG, Plot, Row
from minigrad.viz.contours import crossings
from minigrad.viz.plot import CONTOUR_SIDE, REGION_SIDE

NAMESPACE = "{http://www.w3.org/2000/svg}"
FRAME = {"x": (0, 2), "y": (0, 1)}


def parse(plot: Plot | SVG) -> ET.Element:
    return ET.fromstring(plot.svg() if isinstance(plot, Plot) else plot)


def texts(root: ET.Element) -> list[str | None]:
    return [element.text for element in root.iter(f"{NAMESPACE}text")]


def corners(root: ET.Element) -> list[list[tuple[float, float]]]:
    """The lines' points as shares of the frame, from its lower left corner."""
    (frame,) = root.findall(f"{NAMESPACE}svg")
    left, top, width, height = map(float, frame.attrib["viewBox"].split())
    lines = [line.attrib["points"].split() for line in frame.iter(f"{NAMESPACE}polyline")]
    pairs = [[tuple(map(float, p.split(","))) for p in line] for line in lines]
    return [[((x - left) / width, 1 - (y - top) / height) for x, y in line] for line in pairs]


def test_a_line_lies_where_its_numbers_say() -> None:
    plot = Plot("a < b", xlabel="h", ylabel="error", **FRAME).line(
        [0, 1, 2], mg.tensor([0.0, 1.0, 0.5]), "half & half"
    )
    root = parse(plot)
    assert root.findtext(f"{NAMESPACE}title") == "a < b"
    assert {"half & half", "h", "error"} <= set(texts(root))
    np.testing.assert_allclose(corners(root), [[(0, 0), (0.5, 1), (1, 0.5)]], atol=1e-3)


def test_a_logarithmic_axis_has_equal_steps_for_equal_ratios_and_its_powers_as_ticks() -> None:
    plot = Plot("rates", x=(1e-4, 1), log="x", y=(0, 1)).line([1e-4, 1e-2, 1, 0], [0, 1, 0, 1])
    root = parse(plot)
    np.testing.assert_allclose(corners(root), [[(0, 0), (0.5, 1), (1, 0)]], atol=1e-3)
    assert {"0.0001", "0.01", "1"} <= set(texts(root))


def test_what_is_not_finite_is_left_out_and_the_frame_holds_the_rest() -> None:
    ((first, last),) = corners(parse(Plot("loss").line([0, 1, 2], [3.0, math.nan, 5.0])))
    assert first[0] < last[0]
    assert first[1] == pytest.approx(0, abs=1e-3)
    assert last[1] == pytest.approx(1, abs=1e-3)
    assert (
        parse(Plot("points").points([0, 1], [math.inf, 1])).find(f".//{NAMESPACE}circle")
        is not None
    )


def test_a_plot_of_one_number_is_a_plot_and_of_nothing_is_refused() -> None:
    parse(Plot("one").line([1], [1]))
    parse(Plot("empty", **FRAME))
    parse(Plot("lost", **FRAME).path([math.nan], [0]))
    with pytest.raises(OptionError, match="no point to draw; are the values finite"):
        Plot("no logarithm", log="y").line([1, 2], [0, -1]).svg()


def test_classes_have_colours_shapes_and_names() -> None:
    root = parse(Plot("classes").points([0, 1, 2], [0, 1, 2], [2, 1, 2], names=["a", "b"]))
    (frame,) = root.findall(f"{NAMESPACE}svg")
    marks = [
        (mark.tag, mark.attrib.get("transform") is None, mark.attrib["fill"]) for mark in frame
    ]
    assert marks[0] == marks[2] != marks[1]
    shown = texts(root)
    assert "b" in shown
    assert shown[-1] == "2"
    assert "a" not in shown


@pytest.mark.parametrize("ask", ["array", "column", "tensor", "two"])
def test_regions_have_the_colour_of_the_likelier_class(ask: str) -> None:
    pillow = pytest.importorskip("PIL.Image")

    def right(points: np.ndarray) -> Any:
        assert points.dtype == np.float32
        assert points.shape == (REGION_SIDE**2, 2)
        chance = (points[:, 0] > 1).astype(np.float32)
        weight = mg.ones(1, requires_grad=True)
        return {
            "array": chance,
            "column": chance[:, None],
            "tensor": mg.tensor(chance) * weight,
            "two": np.stack([1 - chance, chance], axis=1),
        }[ask]

    plot = Plot("halves", **FRAME).regions(right).points([0, 2], [0, 1], [0, 1])
    root = parse(plot)
    (image,) = root.iter(f"{NAMESPACE}image")
    data = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(pillow.open(io.BytesIO(data)))
    fills = [mark.attrib["fill"] for mark in root.iter() if "fill" in mark.attrib]
    for column, colour in ((0, "#4477aa"), (-1, "#ee6677")):
        assert (pixels[:, column] == pixels[0, column]).all()
        assert "#" + bytes(pixels[0, column, :3]).hex() == colour
        assert colour in fills


def test_regions_are_pale_where_the_model_does_not_know() -> None:
    pillow = pytest.importorskip("PIL.Image")
    (image,) = parse(Plot("p", **FRAME).regions(lambda p: p[:, 1])).iter(f"{NAMESPACE}image")
    data = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    alpha = np.asarray(pillow.open(io.BytesIO(data)))[:, 0, 3].astype(int)
    assert alpha[0] > alpha[REGION_SIDE // 4] > alpha[REGION_SIDE // 2]
    assert alpha[-1] > alpha[REGION_SIDE // 2]


def test_contours_of_a_circle_lie_on_it() -> None:
    side = np.linspace(-1, 1, CONTOUR_SIDE)
    x, y = np.meshgrid(side, side)
    ends = 2 * crossings(x**2 + y**2, 0.5).reshape(-1, 2) - 1
    np.testing.assert_allclose((ends**2).sum(1), 0.5, atol=2e-3)
    angles = np.sort(np.arctan2(ends[:, 1], ends[:, 0]))
    assert np.diff(angles).max() < 0.1  # all around


def test_contours_pass_by_what_is_not_a_number_and_name_their_levels() -> None:
    surface = np.arange(9.0).reshape(3, 3)
    surface[0, 0] = math.nan
    assert np.isfinite(crossings(surface, 3.5)).all()
    root = parse(Plot("bowl", **FRAME).contours(lambda p: (p**2).sum(1), levels=[0.5, 2]))
    assert {"0.5", "2"} <= set(texts(root))
    root = parse(Plot("bowl", **FRAME).contours(lambda p: mg.tensor(p).sum(1), levels=4))
    assert len(list(root.iter(f"{NAMESPACE}path"))) == 4


def test_a_path_goes_from_a_ring_to_a_disc() -> None:
    root = parse(Plot("way", **FRAME).path([0, 1, 2], [0, 1, 0], "SGD"))
    (frame,) = root.findall(f"{NAMESPACE}svg")
    circles = [(c.attrib["fill"], c.attrib["r"]) for c in frame.iter(f"{NAMESPACE}circle")]
    assert circles == [("#4477aa", "1.8"), ("none", "4.5"), ("#4477aa", "4.5")]


def test_pictures_stand_in_the_page_in_its_colour() -> None:
    plot = Plot("themed").line([0, 1], [0, 1])
    assert "white" not in plot.svg()
    assert 'fill="currentColor"' in plot.svg()
    shown = Row(plot, plot.svg())._repr_html_()
    assert shown.count("<title>themed</title>") == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Plot("p", log="z"), OptionError, "names the axes, as in 'xy', got 'z'"),
        (lambda: Plot("p", x=(1, 1)), OptionError, r"low < high.*got \(1, 1\)"),
        (lambda: Plot("p", y=(0, 1), log="y"), OptionError, "above 0"),
        (lambda: Plot("p").line([1, 2], [1]), ShapeError, "x has 2 values and y has 1"),
        (lambda: Plot("p").path([], []), ShapeError, "at least one"),
        (lambda: Plot("p").points([1, 2], [1, 2], [0]), ShapeError, "2 points but 1 classes"),
        (lambda: Plot("p").regions(lambda p: p), OptionError, r"as in x=\(-2, 2\)"),
        (lambda: Plot("p", **FRAME).regions(lambda p: 3 * p[:, 0]), OptionError, "with sigmoid"),
        (lambda: Plot("p", **FRAME).contours(lambda p: p), ShapeError, "a number for each"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    call: Callable[[], object], error: type[MinigradError], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()
