"""What docs/benchmarks.md shows: the recorded tables as Markdown, the sweeps as SVG plots too.

A table has all machines, one after the other. ``python -m benchmarks.page`` writes the table of
speeds into README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims import CLAIMS, NOT_MEASURED, SPEED, table
from benchmarks.machine import HERE, label
from benchmarks.plots import lines
from benchmarks.results import Section, read, recorded
from benchmarks.tables import TABLES, markdown, notes

README, BEGIN, END = HERE.parent / "README.md", "<!-- speed:begin -->", "<!-- speed:end -->"
LABELS = {"batch": "images in the batch", "side": "side of the image",
          "depth": "blocks in the third stage"}  # fmt: skip


def scaling_plot(axis: str, sections: Mapping[str, Section]) -> str:
    """Return the picture of a sweep, from machine -> section."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {
        "ms per image": {}, "MB at most": {},
    }  # fmt: skip
    for where, section in sections.items():
        for row in section["rows"]:
            values = row["ms"]["median"], row["peak_mb"]
            for panel, y in zip(panels.values(), values, strict=True):
                panel.setdefault(f"{row['peer']}, {where}", []).append((row[axis], y))
        title = f"{section['model']}, {section['task']}"
    return lines(title, LABELS[axis], panels)


def machine(whole: Mapping[str, Any]) -> str:
    """Return what the figures were taken on."""
    m = whole["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    return (
        f"{m['processor']}, {m['cores']} cores ({m['vectors']}), {m['memory_gb']} GB of memory; "
        f"{m['system']}; Python {m['python']}; {packages}."
    )


def speeds(wholes: Sequence[Mapping[str, Any]]) -> str:
    """Return README's table: minigrad beside the fastest other, where any machine measured it."""
    head, rows = table(SPEED, wholes)
    return markdown(head, [row for row in rows if set(row[2:]) != {NOT_MEASURED}])


def pages(wholes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what each file that the page includes holds.

    A section ``inference convnext_tiny 224 batch 8`` becomes
    ``inference-convnext_tiny-224-batch-8.txt``; a sweep has a picture beside its table.
    """
    files = {
        "machine.txt": "\n".join(f"- {machine(whole)}" for whole in wholes),
        "claims.txt": markdown(*table(CLAIMS, wholes)),
    }
    for name in dict.fromkeys(name for whole in wholes for name in whole["sections"]):
        sections = {
            label(whole["machine"]): whole["sections"][name]
            for whole in wholes
            if name in whole["sections"]
        }
        file = name.replace(" ", "-")
        files[f"{file}.txt"] = "\n\n".join(
            text
            for where, section in sections.items()
            for text in (
                f"**{where}**", markdown(*TABLES[section["kind"]](section)), *notes(section),
            )
        )  # fmt: skip
        if name.startswith("scaling"):
            axis = name.split()[-1]
            files[f"{file}.svg"] = scaling_plot(axis, sections).on_white()
    return files


def write(folder: Path) -> list[str]:
    """Write all of it to a folder; return the names of the files."""
    files = pages(list(map(read, recorded())))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return list(files)


def main() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = speeds(list(map(read, recorded())))
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
