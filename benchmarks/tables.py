"""The recorded figures as Markdown tables and SVG plots; docs/benchmarks.md shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims import CLAIMS, COLUMNS
from benchmarks.cpu import limit_line, others_line
from benchmarks.plots import lines
from benchmarks.results import Section, read

Rows = Sequence[Mapping[str, Any]]
LABELS = {"batch": "images in the batch", "side": "side of the image",
          "depth": "blocks in the third stage"}  # fmt: skip


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, the first column left, the others right.

    Examples
    --------
    >>> print(markdown(["", "ms"], [["a", "1.0"]]))
    |  | ms |
    | --- | ---: |
    | a | 1.0 |
    """
    rules = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def compared(section: Section) -> str:
    """Return the table of one phase."""
    rows = section["rows"]
    shared = all("share" in row for row in rows)
    head = ["", "ms per image", "quartiles", "to minigrad", "quartiles"]
    head += ["of the limit"] * shared + ["MB at start", "MB at most", "differs by"]

    def cells(row: Mapping[str, Any]) -> list[str]:
        ms, ratio = row["ms"], row["ratio"]
        return [
            row["peer"], f"{ms['median']:.1f}", f"{ms['low']:.1f} to {ms['high']:.1f}",
            f"{ratio['median']:.2f}", f"{ratio['low']:.2f} to {ratio['high']:.2f}",
            *([f"{100 * row['share']:.0f} %"] * shared), f"{row['before_mb']:.0f}",
            f"{row['peak_mb']:.0f}", f"{row['difference']:.0e}",
        ]  # fmt: skip

    table = markdown(head, map(cells, rows))
    if not shared:
        return table
    return f"{table}\n\n{limit_line(rows[0]['products'])}"


def kernels(section: Section) -> str:
    """Return the table of the single kernels."""
    head = ["", "GFLOP/s", "PyTorch", "ms", "PyTorch", "to minigrad", "quartiles"]

    def cells(row: Mapping[str, Any]) -> list[str]:
        times = [row["ms"], row["torch_ms"]]
        speeds = [f"{row['flops'] / ms / 1e6:.0f}" if row["flops"] else "" for ms in times]
        r = row["ratio"]
        return [
            row["kernel"], *speeds, *(f"{ms:.2f}" for ms in times),
            f"{r['median']:.2f}", f"{r['low']:.2f} to {r['high']:.2f}",
        ]  # fmt: skip

    return markdown(head, map(cells, section["rows"]))


def fashion(section: Section) -> str:
    """Return the table of steps or epochs on Fashion-MNIST."""
    step = section["kind"] == "fashion step"
    scale, unit, last = (1.0, "ms", "last loss") if step else (1e-3, "s", "test accuracy")
    head = ["", f"{unit} per {section['kind'].split()[1]}", "quartiles", "to minigrad", last]
    return markdown(
        head,
        (
            [
                row["peer"], f"{scale * row['ms']['median']:.1f}",
                f"{scale * row['ms']['low']:.1f} to {scale * row['ms']['high']:.1f}",
                f"{row['ratio']['median']:.2f}",
                f"{row['last']:.4f}" if step else f"{100 * row['last']:.1f} %",
            ]
            for row in section["rows"]
        ),
    )  # fmt: skip


def overhead(section: Section) -> str:
    """Return the table of the overhead per operation."""
    head = ["", "µs forward", "quartiles", "µs forward and backward", "quartiles"]
    return markdown(
        head,
        (
            [row["peer"]]
            + [
                text
                for kind in ("forward", "both")
                for text in (
                    f"{row[kind]['median']:.2f}",
                    f"{row[kind]['low']:.2f} to {row[kind]['high']:.2f}",
                )
            ]
            for row in section["rows"]
        ),
    )


def scaling(section: Section) -> str:
    """Return the table of a sweep: a row per point, two columns per peer."""
    axis, rows = section["axis"], section["rows"]
    names = list(dict.fromkeys(row["peer"] for row in rows))
    head = [axis] + [f"{name}, {unit}" for unit in ("ms per image", "MB at most") for name in names]
    at = {(row[axis], row["peer"]): row for row in rows}

    def cells(value: int) -> list[str]:
        points = [at[value, name] for name in names]
        return [
            str(value),
            *(f"{row['ms']['median']:.1f}" for row in points),
            *(f"{row['peak_mb']:.0f}" for row in points),
        ]

    return markdown(head, map(cells, dict.fromkeys(row[axis] for row in rows)))


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

    return markdown(
        [*COLUMNS, "Command"],
        ([*claim.judge(sections), command(claim.section)] for claim in CLAIMS),
    )


def taken(section: Section) -> str:
    """Return when and how a section was taken."""
    others = ""
    if section.get("others") is not None:
        others = f"; {others_line(section)} meanwhile"
    return (
        f"`{section['command']}`, {section['date'][:16].replace('T', ' ')}, commit "
        f"{section['commit']}; load {', '.join(map(str, section['load']))} before{others}."
    )


def machine(whole: Mapping[str, Any]) -> str:
    """Return what the figures were taken on."""
    m = whole["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in m["packages"].items())
    return (
        f"{m['processor']}, {m['cores']} cores ({m['vectors']}), {m['memory_gb']} GB of memory; "
        f"{m['system']}; Python {m['python']}; {packages}."
    )


TABLES = {
    "compare": compared, "kernels": kernels, "fashion step": fashion, "fashion epoch": fashion,
    "overhead": overhead, "scaling": scaling,
}  # fmt: skip


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
        files[f"{file}.txt"] = f"{TABLES[section['kind']](section)}\n\n{taken(section)}"
        if section["kind"] == "scaling":
            files[f"{file}.svg"] = scaling_plot(section)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in files]
