"""Write one page per class of models, and one per name that another system gives to its own.

A page has the signature and the parameters from the docstring, a figure, what the numbers of a
named size are, and an example. Nothing on it is written twice: names come from the modules, sizes
and counts from `variant_pages`, which compares them with the models.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import variant_pages
from sphinx.application import Sphinx

from minigrad import models

DOCS = Path(__file__).parents[1]
CLASSES = {  # and the figure of each
    "ConvNeXt": "convnext_tiny",
    "ConvNeXtV2": "convnextv2_atto",
    "Block": "blocks",
    "ConvNeXtIsotropic": "convnext_isotropic_small",
    "ConvNeXtFeatures": "",
    "TimmConvNeXt": "",
    "FCMAE": "",
    "UNet": "unet",
    "AttentionUNet": "attention_unet",
    "UNetPlusPlus": "unet_plus_plus",
    "MedNeXt": "mednext_s",
}
FIGURES = {  # of other systems' names that stand for no size
    "AttentionUNet": "attention_unet",
    "ConvNeXt": "convnext_tiny",
    "ConvNeXtV1": "convnext_tiny",
    "ConvNeXtV2": "convnextv2_atto",
    "ConvNeXt_V2": "convnextv2_atto",
    "UNet": "unet",
    "UNetPlusPlus": "unet_plus_plus",
    "build": "convnext_tiny",
}
SYSTEMS = ("medicai", "dl_techniques", "lucid", "edifice")
CALLS = {  # how a system's builders are called, where the name of a size is all they need to know
    "medicai": "input_shape=(224, 224, 3), num_classes=10",
    "lucid": "num_classes=10",
}
SAMPLES = {"medicai": "np.zeros((1, 224, 224, 3))", "lucid": "mg.zeros(1, 3, 224, 224)"}

PAGE = """\
# {title}

```{{eval-rst}}
.. currentmodule:: {module}
.. {directive}:: {name}
   :no-index:{members}
```
"""
FIGURE = """
## Figure

```{{architecture}} {figure}
```
"""
SIZES = """
## Named sizes

{rows}
"""
NUMBERS = """
## Size

| | |
| --- | --- |
| Model | [{title}](../../models/variants/{name}.md) |
| Depths | {depths} |
| Dims | {dims} |
| Parameters, three channels and 1000 classes | {parameters:,} |
| Multiply-adds, 224 × 224 | {macs_224:,} |
"""
EXAMPLE = """
## Example

```python
{imports}
from minigrad.compat.{system} import {name}

model = {name}({call})
print(model({sample}).shape)  # (1, 10)
```
"""


def page(module: str, name: str, title: str) -> str:
    """Return what every page begins with."""
    value = getattr(importlib.import_module(module), name)
    is_class = inspect.isclass(value)
    return PAGE.format(
        title=title, module=module, name=name,
        directive="autoclass" if is_class else "autofunction",
        members="\n   :members:" if is_class and not issubclass(value, models.Block) else "",
    )  # fmt: skip


def class_page(name: str, figure: str) -> str:
    """Return the page of a class of models."""
    text = page("minigrad.models", name, name)
    if figure:
        text += FIGURE.format(figure=figure)
    sizes = [n for n in models.__all__ if returns(n) == name]
    if sizes:
        rows = [f"- `models.{n}`: {summary(n)}" for n in sizes]
        text += SIZES.format(rows="\n".join(rows))
    return text


def returns(name: str) -> str:
    """Return the class that a function of a named size says it builds."""
    value = getattr(models, name)
    if inspect.isclass(value) or not hasattr(value, "__annotations__"):
        return ""
    return str(value.__annotations__.get("return", ""))


def summary(name: str) -> str:
    """Return the first line about a model."""
    return (inspect.getdoc(getattr(models, name)) or "").splitlines()[0]


def size_of(system: str, name: str) -> str | None:
    """Return the model that a builder of another system stands for."""
    plain = name.lower().replace("convnext_v2", "convnextv2").replace("_", "")
    known = {n.replace("_", ""): n for n in models.list_models(family="convnext")}
    return known.get(plain)


def entry_page(system: str, name: str) -> str:
    """Return the page of a name of another system."""
    module = f"minigrad.compat.{system}"
    text = page(module, name, f"{name} of {system}")
    size = size_of(system, name)
    if size is not None:
        text += NUMBERS.format(**variant_pages.facts(size))
    if size is not None or name in FIGURES:
        text += FIGURE.format(figure=size or FIGURES[name])
    if size is not None:
        sample = SAMPLES[system]
        text += EXAMPLE.format(
            system=system, name=name, call=CALLS[system], sample=sample,
            imports="import numpy as np\n" if "np." in sample else "import minigrad as mg\n",
        )  # fmt: skip
    return text


def pages() -> dict[Path, str]:
    """Return every page by its place."""
    found = {
        DOCS / "models" / "classes" / f"{name}.md": class_page(name, figure)
        for name, figure in CLASSES.items()
    }
    for system in SYSTEMS:
        module = importlib.import_module(f"minigrad.compat.{system}")
        own = [n for n in module.__all__ if getattr(module, n) is not getattr(models, n, None)]
        for name in own:
            found[DOCS / "coming-from" / system / f"{name}.md"] = entry_page(system, name)
    return found


def write(app: Sphinx) -> None:
    """Write the pages; one that has not changed keeps its date."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages as soon as Sphinx starts."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
