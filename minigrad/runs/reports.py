"""A page about a run: what was trained on what, how it went, and what the model gets wrong."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import namespace
from minigrad.data import Split
from minigrad.data.dataset import labels_of
from minigrad.errors import MinigradError
from minigrad.runs.config import plain
from minigrad.runs.evaluation import held_out
from minigrad.runs.record import Record, read_run
from minigrad.runs.task import Trained
from minigrad.runs.trained import load_trained
from minigrad.showing import table
from minigrad.train.progress import describe
from minigrad.train.threads import blas_threads
from minigrad.viz import SVG, curves_svg, summary
from minigrad.viz.page import bars, page

__all__ = ["report"]


def report(folder: str | Path, data: str | None = None, device: str = "cpu") -> str:
    """Return a page about a run in one HTML file, which asks no other.

    Its model is asked about the held-out part of its data once more. What the run has not got yet,
    or what cannot be found any more, is said on the page, which has the rest.

    Parameters
    ----------
    folder : path
        The run.
    data : str, optional
        Where its data are now; by default where they were.
    device : str, default "cpu"
        Where the model runs.

    Raises
    ------
    DataError, OptionError
        If the folder is not that of a run, or there are no such `data`.
    DeviceError, MissingExtra
        If there is no such device.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import run, tasks
    >>> wanted = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> text = report(run(tasks["train"], wanted, output=tempfile.mkdtemp()))
    convnextv2 ...
    >>> "<h2>Held-out data</h2>" in text
    True
    """
    record = read_run(folder)
    namespace(device)
    missing = list(record.missing)
    asked = list(_asked(record, data, device, missing))
    body = [
        f"<p>minigrad {record.task.name}, {escape(_progress(record))}</p>",
        *(f'<p class="warning">{escape(text)}</p>' for text in missing),
        *_course(record),
        *asked,
        *_left(record),
        *_options(record),
        *_notes(record),
    ]
    return page(f"{record.name}: a run of minigrad", f"{record.name}: {record.config.model}", body)


def _progress(record: Record) -> str:
    done, best = len(record.history), record.best
    if best is None:
        return "no epoch is done"
    epoch, value = best.get("epoch", done), best[record.monitor]
    return (
        f"{done} of {record.config.epochs} epochs; the best by {record.monitor} is epoch "
        f"{epoch:g} with {value:.4f}"
    )


def _course(record: Record) -> Iterator[str]:
    """Yield the curves, and the last and the best epoch in numbers."""
    if not record.history:
        return
    yield "<h2>Course</h2>"
    if any(name.endswith(("loss", "accuracy")) for name in record.history[0]):
        yield _wide(curves_svg(record.history, record.name))
    rows = [("last", record.history[-1])] + ([("best", record.best)] if record.best else [])
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    yield table(([n, *(_number(row.get(n)) for _, row in rows)] for n in names),
                ["epoch", *(name for name, _ in rows)])  # fmt: skip


def _asked(record: Record, data: str | None, device: str, missing: list[str]) -> Iterator[str]:
    """Yield what model and data say now; note what they cannot."""
    if record.checkpoint is None:
        return
    try:
        trained = load_trained(record.checkpoint, device)
    except MinigradError as error:
        missing.append(f"the model cannot be loaded: {error}")
        return
    with blas_threads(record.config.threads):
        try:
            trained, split = held_out(trained, data)
            yield from _survey(split)
            found = trained.task.evaluate(trained, split)
        except MinigradError as error:
            if data is not None:  # it was asked for
                raise
            missing.append(f"nothing could be asked: {error}")
        else:
            yield "<h2>Held-out data</h2>"
            for line in [describe(found.scores)] * bool(found.scores) + [*found.lines]:
                yield f"<p>{escape(line)}</p>"
            if found.report is not None:
                yield found.report._repr_html_()
            for _, drawing in found.pictures():
                yield _wide(drawing)
            for heading, drawing in trained.task.mistakes(trained, split, found):
                yield f"<h2>{escape(heading)}</h2>"
                yield _wide(drawing)
        yield from _layers(trained)


def _survey(split: Split) -> Iterator[str]:
    """Yield how many samples there are, of each class where they have one."""
    spec = split.spec
    yield "<h2>Data</h2>"
    side = "of any size" if spec.size is None else " × ".join([str(spec.size)] * spec.spatial_dims)
    facts = [
        ("samples to train on", f"{len(split.train):,}"),
        ("held out", f"{len(split.test):,}"),
        ("size", side),
        ("channels", str(spec.channels)),
        ("mean", ", ".join(f"{x:.4g}" for x in spec.mean)),
        ("standard deviation", ", ".join(f"{x:.4g}" for x in spec.std)),
    ]
    yield table(facts, words=2)
    try:
        parts = [("To train on", labels_of(split.train)), ("Held out", labels_of(split.test))]
    except MinigradError:  # targets are not classes
        return
    for name, labels in parts:
        counts = np.bincount(np.asarray(labels, np.int64), minlength=len(spec.classes))
        yield f"<h3>{name}</h3>"
        yield bars(zip(split.spec.classes, counts.tolist(), strict=True))


def _layers(trained: Trained[Any]) -> Iterator[str]:
    images = trained.images
    side = trained.config.image_size or images.size
    if side is None:
        return
    model = trained.task.trunk(trained)
    shown = summary(model, (images.channels, *[side] * images.spatial_dims), 2)
    yield "<h2>Model</h2>"
    yield f"<details><summary>{escape(shown.total)}</summary>{shown._repr_html_()}</details>"


def _left(record: Record) -> Iterator[str]:
    """Yield the pictures that the run itself has left behind, as they are."""
    for name, what in record.task.files.items():
        path = record.folder / name
        if path.suffix == ".svg" and path.is_file():
            content = base64.b64encode(path.read_bytes()).decode()
            yield f"<h2>{escape(what[:1].upper() + what[1:])}</h2>"
            yield _wide(f'<img src="data:image/svg+xml;base64,{content}" alt="{escape(what)}">')


def _options(record: Record) -> Iterator[str]:
    """Yield every option, those first that are not the default."""
    rows: tuple[list[Sequence[str]], list[Sequence[str]]] = [], []
    values = record.config.to_dict()
    for field in dataclasses.fields(record.config):
        value = getattr(record.config, field.name)
        row = (field.name, plain(values[field.name]) or "none", field.metadata.get("help", ""))
        rows[value == field.default].append(row)
    yield "<h2>Options</h2>"
    head = ["option", "value", "what it is"]
    yield table(rows[0], head, words=3) if rows[0] else "<p>All are the defaults.</p>"
    yield f"<details><summary>{len(rows[1])} have their default</summary>"
    yield f"{table(rows[1], head, words=3)}</details>"


def _notes(record: Record) -> Iterator[str]:
    if record.notes:
        yield "<h2>What was chosen, and where it was trained</h2>"
        yield f"<pre>{escape(record.notes)}</pre>"


def _wide(drawing: SVG | str) -> str:
    return f'<div class="wide">{drawing}</div>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"
