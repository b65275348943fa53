"""Write `cupy_names.json`: what the installed CuPy offers, for machines that have none.

Run it where CuPy is installed (no GPU is needed): ``python -m tests.emulated.record``. The stand-in
in `fake_cupy` has these names and accepts these arguments, nothing else; so a call that CuPy would
refuse is refused on every machine.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("cupy_names.json")
NAMESPACES = (
    "",
    "cuda",
    "cuda.Device",
    "cuda.Event",
    "cuda.Graph",
    "cuda.MemoryPool",
    "cuda.Stream",
    "cuda.runtime",
    "lib.stride_tricks",
    "linalg",
    "ndarray",
    "RawKernel",
    "RawModule",
)


def signature_of(f: Any) -> str | None:
    """Return the parameters of a function as source, every default as ``...``; None if unknown."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # compiled: its first line of documentation says it
        return _from_documentation(f)
    words = [_word(p) for p in parameters]
    kinds = [p.kind for p in parameters]
    keyword = inspect.Parameter.KEYWORD_ONLY
    if keyword in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        words.insert(kinds.index(keyword), "*")
    return ", ".join(words)


def _word(p: inspect.Parameter) -> str:
    stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    return f"{stars}{p.name}" + ("" if p.default is p.empty else "=...")


def _from_documentation(f: Any) -> str | None:
    lines = (getattr(f, "__doc__", None) or "").splitlines()
    found = re.match(r"[\w.]+\((.*)\)( ->.*)?$", lines[0]) if lines else None
    if not found:
        return None
    words = []
    for word in filter(None, found[1].split(", ")):
        name = word.partition("=")[0].split()[-1]  # the type may stand before it
        words.append(name + ("=..." if "=" in word else ""))
    return ", ".join(words)


def record() -> dict[str, Any]:
    """Look through CuPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy
    ufunc = cupy.ufunc
    names: dict[str, list[str]] = {}
    signatures: dict[str, str] = {}
    ufuncs: list[str] = []
    for space in NAMESPACES:
        place = cupy
        for part in filter(None, space.split(".")):
            place = getattr(place, part)
        names[space] = sorted(n for n in dir(place) if not n.startswith("_"))
        for name in names[space]:
            value = getattr(place, name)
            path = f"{space}.{name}".lstrip(".")
            if isinstance(value, ufunc):
                ufuncs.append(path)
            elif callable(value) and not isinstance(value, type):
                text = signature_of(value)
                if text is not None:
                    signatures[path] = text
    return {
        "version": cupy.__version__,
        "names": names,
        "ufuncs": sorted(ufuncs),
        "signatures": dict(sorted(signatures.items())),
    }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
    print(f"wrote {RECORD}")
