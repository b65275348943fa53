"""Findings: what a trained model makes of data that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad import io
from minigrad.errors import DataError
from minigrad.files import reason, to_path
from minigrad.loading import check_kinds
from minigrad.train import Calibration, ClassReport, ConfusionMatrix
from minigrad.train.progress import describe
from minigrad.viz import SVG, calibration_svg, class_report_svg, confusion_svg

__all__ = ["Findings"]


@dataclass(frozen=True)
class Findings:
    """What `minigrad.runs.evaluate` has found; printed, it is what `minigrad val` says.

    Attributes
    ----------
    scores : mapping of str to float
        The loss and the metrics of the task.
    lines : sequence of str
        What else is said, such as the errors of numbers.
    report : ClassReport, optional
        Every class or label, where there are such.
    confusion : ConfusionMatrix, optional
        Which class was taken for which, where each sample or position has one.
    calibration : Calibration, optional
        How sure the model was.
    outputs, targets : array, optional
        What the model gave for each sample and what is true, where whole samples are asked about.

    Examples
    --------
    >>> print(Findings({"loss": 0.25, "accuracy": 0.5}))
    loss 0.2500 acc 50.00 %
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    lines: Sequence[str] = ()
    report: ClassReport | None = None
    confusion: ConfusionMatrix | None = None
    calibration: Calibration | None = None
    outputs: NDArray[Any] | None = field(default=None, repr=False)
    targets: NDArray[Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        said = [describe(self.scores)] if self.scores else []
        said += self.lines
        if self.report is not None:
            said.append(str(self.report))
        if self.calibration is not None:
            said.append(f"expected calibration error {self.calibration.ece():.4f}")
        return "\n".join(said)

    def pictures(self, name: str = "") -> Iterator[tuple[str, SVG]]:
        """Yield each drawing with the name of its file; `name` stands in their titles."""
        of = f"{name}: " * bool(name)
        if self.report is not None:
            yield "classes.svg", class_report_svg(self.report, f"{of}precision, recall and F1")
        if self.report is not None and self.confusion is not None:
            title = f"{of}what was taken for what"
            yield "confusion.svg", confusion_svg(self.confusion, self.report.classes, title)
        if self.calibration is not None:
            yield "calibration.svg", calibration_svg(self.calibration, f"{of}calibration")

    def save(self, folder: str | Path, name: str = "") -> list[Path]:
        """Write ``findings.json``, ``classes.csv`` and the pictures into a folder.

        Parameters
        ----------
        folder : path
            Is made if it is not there.
        name : str, optional
            Stands in the titles of the pictures.

        Returns
        -------
        list of Path
            The files, each of them written atomically.

        Raises
        ------
        DataError
            If one cannot be written.
        """
        check_kinds("Findings.save", str, name=name)
        folder = to_path(folder)
        about = {"scores": dict(self.scores)}
        if self.report is not None:
            about |= self.report.to_dict()
        if self.confusion is not None:
            about["confusion"] = self.confusion.matrix.tolist()
        if self.calibration is not None:
            about["calibration"] = self.calibration.to_dict()
        texts = {"findings.json": json.dumps(about, indent=1, ensure_ascii=False) + "\n"}
        if self.report is not None:
            texts["classes.csv"] = self.report.to_csv()
        texts |= {file: drawing.on_white() for file, drawing in self.pictures(name)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: no folder can be made here ({reason(error)})") from None
        for file, text in texts.items():
            io.write_text(folder / file, text)
        return [folder / file for file in texts]
