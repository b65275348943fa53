"""What docs/benchmarks.md shows: the recorded tables as Markdown, the sweeps as SVG plots too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.claims import CLAIMS, COLUMNS
from benchmarks.plots import lines
from benchmarks.results import Section, read
from benchmarks.tables import TABLES, markdown, notes

LABELS = {"batch": "images in the batch", "side": "side of the image",
          "depth": "blocks in the third stage"}  # fmt: skip


def scaling_plot(section: Section) -> str:
    """Return the picture of a sweep."""
    axis = section["axis"]
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {
        "ms per image": {}, "MB at most": {},
    }  # fmt: skip
    for row in section["rows"]:
        for panel, y in zip(panels.values(), (row["ms"]["median"], row["peak_mb"]), strict=True):
            panel.setdefault(row["peer"], []).append((row[axis], y))
    return lines(f"{section['model']}, {section['task']}", LABELS[axis], panels)


def claims(sections: Mapping[str, Section]) -> str:
    """Return the table of the claims, each with its command."""

    def command(name: str) -> str:
        return f"`{sections[name]['command']}`" if name in sections else ""

    rows = [[*claim.judge(sections), command(claim.section)] for claim in CLAIMS]
    return markdown([*COLUMNS, "Command"], rows)


def machine(whole: Mapping[str, Any]) -> str:
    """Return what the figures were taken on."""
    m = whole["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    return (
        f"{m['processor']}, {m['cores']} cores ({m['vectors']}), {m['memory_gb']} GB of memory; "
        f"{m['system']}; Python {m['python']}; {packages}."
    )


def write(results: Path, folder: Path) -> list[Path]:
    """Write every table and plot of a file of results to a folder; return their paths.

    A section ``inference convnext_tiny 224 batch 8`` becomes
    ``inference-convnext_tiny-224-batch-8.txt``; a sweep has a picture beside its table.
    """
    whole = read(results)
    sections = whole["sections"]
    files = {"machine.txt": machine(whole), "claims.txt": claims(sections)}
    for name, section in sections.items():
        file = name.replace(" ", "-")
        table = markdown(*TABLES[section["kind"]](section))
        files[f"{file}.txt"] = "\n\n".join([table, *notes(section)])
        if section["kind"] == "scaling":
            files[f"{file}.svg"] = scaling_plot(section).on_white()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in files]
