"""``python -m tests.fuzz 20000``: the table; with a name after it, of that format alone."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.fuzz.formats import FORMATS
from tests.fuzz.run import run, run_here

if sys.argv[1:2] == ["--here"]:
    run_here(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    raise SystemExit
count = int(sys.argv[1]) if sys.argv[1:] else 2000
names = [form.name for form in FORMATS if not sys.argv[2:] or form.name in sys.argv[2:]]
print(
    "| format | mutations | right load | clear error | other | over limit | slowest | most memory |"
)
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
bad = []
with ThreadPoolExecutor(os.cpu_count()) as pool:  # each row is a process, whose own time counts
    for name, o in zip(names, pool.map(partial(run, count=count), names), strict=True):
        print(
            f"| {name} | {o.mutations:,} | {o.right:,} | {o.refused:,} | {o.other} | {o.over} "
            f"| {o.slowest:.2f} s | {o.largest:.0f} MB |",
            flush=True,
        )
        bad += o.examples
print("\n".join(bad[:20]))
raise SystemExit(bool(bad))
