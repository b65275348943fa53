"""The one way to print: sections as tables, on the terminal, and as Markdown on the page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.frameworks import PRODUCT
from benchmarks.results import Section, record

Row = Mapping[str, Any]
Table = tuple[Sequence[str], list[Sequence[str]]]  # head and rows


# ---- printing ---------------------------------------------------------------------------------


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


def show(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, the first column left, the others right.

    Examples
    --------
    >>> show(["kernel", "ms"], [["gelu", "1.25"], ["grn", "—"]])
    kernel    ms
    gelu    1.25
    grn        —
    """
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()


def say(text: str) -> None:
    """Say on the side how far it is, while the table waits for its last row."""
    print(text, file=sys.stderr, flush=True)


def plain(rows: Sequence[Row]) -> Table:
    """Return rows of equal keys as a table."""
    head = list(rows[0]) if rows else ["(nothing)"]
    return head, [[_cell(row.get(name)) for name in head] for row in rows]


def report(name: str, section: Section, path: Path | None) -> None:
    """Print a section, and record it if there is a file for it."""
    print(f"\n{name}")
    show(*TABLES[section["kind"]](section))
    print("\n".join(notes(section)), flush=True)
    if path:
        record(path, name, section)


# ---- cells ------------------------------------------------------------------------------------


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:.4g}" if value < 1000 else f"{value:.0f}"
    return str(value)


def _spread(values: Mapping[str, float], digits: int, scale: float = 1.0) -> list[str]:
    """Return a median and its quartiles."""
    median, low, high = (f"{scale * values[k]:.{digits}f}" for k in ("median", "low", "high"))
    return [median, f"{low} to {high}"]


# ---- a table per kind of section --------------------------------------------------------------


def compared(section: Section) -> Table:
    """Return the table of one task."""
    rows = section["rows"]
    shared = all("share" in row for row in rows)
    paused = all("paused_ms" in row for row in rows)
    head = ["", "ms per image", "quartiles", "to minigrad", "quartiles"]
    head += ["ms after a pause", "to minigrad", "quartiles"] * paused
    head += ["of the limit"] * shared + ["MB at start", "MB at most", "differs by"]

    def cells(row: Row) -> Iterator[str]:
        yield from (row["peer"], *_spread(row["ms"], 1), *_spread(row["ratio"], 2))
        if paused:
            yield from (_spread(row["paused_ms"], 1)[0], *_spread(row["paused_ratio"], 2))
        if shared:
            yield f"{100 * row['share']:.0f} %"
        yield from (f"{row[key]:.0f}" for key in ("before_mb", "peak_mb"))
        yield f"{row['difference']:.0e}"

    return head, [list(cells(row)) for row in rows]


def kernels(section: Section) -> Table:
    """Return the table of the single kernels."""

    def cells(row: Row) -> list[str]:
        times = [row["ms"], row["torch_ms"]]
        speeds = [f"{row['flops'] / ms / 1e6:.0f}" if row["flops"] else "" for ms in times]
        return [row["kernel"], *speeds, *(f"{ms:.2f}" for ms in times), *_spread(row["ratio"], 2)]

    head = ["", "GFLOP/s", "PyTorch", "ms", "PyTorch", "to minigrad", "quartiles"]
    return head, [cells(row) for row in section["rows"]]


def fashion(section: Section) -> Table:
    """Return the table of steps or epochs on Fashion-MNIST."""
    step = section["kind"] == "fashion step"
    scale, unit, last = (1.0, "ms", "last loss") if step else (1e-3, "s", "test accuracy")
    head = ["", f"{unit} per {section['kind'].split()[1]}", "quartiles", "to minigrad", last]
    return head, [
        [
            row["peer"], *_spread(row["ms"], 1, scale), f"{row['ratio']['median']:.2f}",
            f"{row['last']:.4f}" if step else f"{100 * row['last']:.1f} %",
        ]
        for row in section["rows"]
    ]  # fmt: skip


def overhead(section: Section) -> Table:
    """Return the table of the overhead per operation."""
    rows, kinds = section["rows"], ("forward", "both")
    head = ["", "µs forward", "quartiles", "µs forward and backward", "quartiles"]
    head += ["forward, to minigrad", "both, to minigrad"]
    return head, [
        [
            row["peer"], *_spread(row["forward"], 2), *_spread(row["both"], 2),
            *(f"{row[kind]['median'] / rows[0][kind]['median']:.2f}" for kind in kinds),
        ]
        for row in rows
    ]  # fmt: skip


def scaling(section: Section) -> Table:
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

    return head, [cells(value) for value in dict.fromkeys(row[axis] for row in rows)]


def against(section: Section) -> Table:
    """Return the table of two checkouts."""
    head = ["ms", "before", "after", "before/after", "quartiles"]
    return head, [
        [
            row["what"], *(f"{row[when]['median']:.2f}" for when in ("before", "after")),
            *_spread(row["ratio"], 3),
        ]
        for row in section["rows"]
    ]  # fmt: skip


def pretraining(section: Section) -> Table:
    """Return the accuracies in per cent: a row per seed, then the mean.

    Examples
    --------
    >>> show(*pretraining({"rows": [{"seed": 0, "scratch": 0.8, "pretrained": 0.85}]}))
    seed  scratch  pretrained   gain
    0       80.00       85.00  +5.00
    mean    80.00       85.00  +5.00
    """
    rows = [(str(r["seed"]), 100 * r["scratch"], 100 * r["pretrained"]) for r in section["rows"]]
    rows.append(("mean", fmean(a for _, a, _ in rows), fmean(b for _, _, b in rows)))
    return ["seed", "scratch", "pretrained", "gain"], [
        [seed, f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}"] for seed, a, b in rows
    ]


def segmentation(section: Section) -> Table:
    """Return the scores on the held-out part: means, then the Dice of every class."""
    rows = section["rows"]
    head = ["", "seconds", "mean IoU", "mean Dice", *rows[0]["dice"]]
    return head, [
        [
            row["peer"], f"{row['seconds']:.1f}",
            *(f"{x:.3f}" for x in (row["mean_iou"], row["mean_dice"], *row["dice"].values())),
        ]
        for row in rows
    ]  # fmt: skip


def loading(section: Section) -> Table:
    """Return the table of files that become models: times and memory, of the file's size."""
    head = ["", "file", "MB", "ms", "quartiles", "to the library", "least to least", "memory/file"]
    return head, [
        [
            row["peer"], row["file"], f"{row['file_mb']:.0f}", *_spread(row["ms"], 0),
            f"{row['ratio']['median']:.2f}", f"{row['least']:.2f}", f"{row['grown']:.3f}",
        ]
        for row in section["rows"]
    ]  # fmt: skip


TABLES: dict[str, Callable[[Section], Table]] = {
    "against": against, "compare": compared, "fashion epoch": fashion, "fashion step": fashion,
    "kernels": kernels, "loading": loading, "overhead": overhead, "pretraining": pretraining,
    "ranks": lambda section: plain(section["rows"]), "scaling": scaling,
    "segmentation": segmentation,
}  # fmt: skip


# ---- what stands below ------------------------------------------------------------------------


def notes(section: Section) -> Iterator[str]:
    """Yield what a table does not say: the limit, and how it was taken."""
    rows = section["rows"]
    if rows and "products" in rows[0]:
        *others, (_, fastest) = rows[0]["products"].items()
        each = ", ".join(f"{name} {gflops:.0f}" for name, gflops in others)
        yield (
            f"The limit: {fastest:.0f} GFLOP/s in a product of {PRODUCT} × {PRODUCT} matrices "
            f"({each})."
        )
    if "method" in section:
        yield section["method"]
    meanwhile = ""
    if section.get("others") is not None:
        share = 100 * section["others"]
        meanwhile = f"; other programs had {share:.0f} % of the processors meanwhile"
    yield (
        f"`{section['command']}`, {section['date'][:16].replace('T', ' ')}, commit "
        f"{section['commit']}; load {', '.join(map(str, section['load']))} before{meanwhile}."
    )
