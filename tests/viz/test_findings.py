"""Pictures of what a model confuses, of how sure it is, and of every class."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minigrad.errors import MinigradError
from minigrad.train import Calibration, ConfusionMatrix
from minigrad.viz import calibration_svg, class_report_svg, confusion_svg

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing: str) -> list[str | None]:
    return [element.text for element in ET.fromstring(drawing).iter(f"{SVG}text")]


def matrix(classes: int) -> ConfusionMatrix:
    counted = ConfusionMatrix(classes)
    truth = np.arange(4 * classes) % classes
    counted.update(np.where(np.arange(4 * classes) % 3, truth, 0), truth)
    return counted


@pytest.mark.parametrize("classes", [2, 30, 200])
def test_confusions_of_few_and_of_many_classes(classes: int) -> None:
    """Names, and counts, are written as long as there is room."""
    counted = matrix(classes)
    drawing = confusion_svg(counted, [f"<{i}>" for i in range(classes)], "a & b")
    assert drawing.count("<image") == 1
    shown = texts(drawing)
    assert ("<1>" in shown) == (classes < 200)
    written = [int(text) for text in shown if text and text.isdigit()]
    assert sorted(written) == (sorted(counted.matrix[counted.matrix > 0]) if classes < 30 else [])
    assert len(drawing) < 30_000


def test_bars_of_a_calibration_are_as_high_as_it_says() -> None:
    calibration = Calibration(bins=2)
    calibration.update(np.array([0.2, 0.75, 0.75, 0.75]), np.array([0, 1, 1, 0]))
    bars = list(ET.fromstring(calibration_svg(calibration)).iter(f"{SVG}rect"))
    heights = [float(bar.attrib["height"]) for bar in bars]
    accuracy, gap, count = heights[3:]
    assert accuracy / 300 == pytest.approx(2 / 3, abs=1e-4)
    assert gap / 300 == pytest.approx(0.75 - 2 / 3, abs=1e-4)
    assert heights[2] / count == pytest.approx(1 / 3, abs=1e-3)
    assert f"ECE {calibration.ece():.4f}, worst bin 0.2000, 4 predictions" in texts(
        calibration_svg(calibration)
    )


def test_classes_have_a_row_each_the_worst_of_many() -> None:
    shown = texts(class_report_svg(matrix(3).report(["a", "b", "c"])))
    assert {"a", "b", "c", "precision", "recall", "F1", "support"} <= set(shown)
    drawing = class_report_svg(matrix(100).report())
    assert "classes: the 60 with the smallest F1" in texts(drawing)
    assert drawing.count("<circle") == 3 + 60 * 3


def test_refused_pictures() -> None:
    with pytest.raises(MinigradError, match="3 classes but 2 names"):
        confusion_svg(matrix(3), ["a", "b"])
    with pytest.raises(MinigradError, match="nothing was counted"):
        calibration_svg(Calibration())
    with pytest.raises(MinigradError, match="no class occurs"):
        class_report_svg(ConfusionMatrix(2).report())
