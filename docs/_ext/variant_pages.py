"""Write one page per named ConvNeXt, and the table of all, before Sphinx reads the sources.

The counts come from the formulas below; each is compared with the model itself, and a difference
stops the build.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from minigrad import models
from minigrad.nn import init

FOLDER = Path(__file__).parents[1] / "models" / "variants"

V1_PAPER = "[A ConvNet for the 2020s](https://arxiv.org/abs/2201.03545)"
V2_PAPER = (
    "[ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders]"
    "(https://arxiv.org/abs/2301.00808)"
)
SUMMARY = (
    "A 4 × 4 patchify stem, four stages of blocks with a 2 × 2 downsampling between, global "
    "average pooling, layer norm and a linear head. Each block is a 7 × 7 depthwise convolution, "
    "layer norm, and an MLP of four times the width {}."
)
V1_BLOCK = "with GELU, scaled and added to the input"
V2_BLOCK = "with GELU and global response normalisation, added to the input"

PAGE = """\
# {title}

```{{eval-rst}}
.. currentmodule:: minigrad.models
.. autofunction:: {name}
   :no-index:
```

## Parameters

Those of [ConvNeXt](../classes/ConvNeXt.md), but for `depths` and `dims`, which the name decides:

{options}

`pretrained` is a file of weights, a folder or a name on Hugging Face's hub.

## Size

| | |
| --- | --- |
| Name | `{name}` |
| Paper | {paper} |
| Depths | {depths} |
| Dims | {dims} |
| Parameters, 1000 classes | {parameters:,} |
| Parameters, without the head | {trunk:,} |
| Multiply-adds, 224 × 224 | {macs_224:,} |
| Multiply-adds, 384 × 384 | {macs_384:,} |

Multiply-adds are those of the convolutions and linear layers, for one image. No weights come with
minigrad, and a top-1 is that of the authors' own: [Weights](../weights.md) says how to get them,
and `pretrained=` reads them.

## Architecture

{summary}

```{{architecture}} {name}
```

| | map at 224 × 224 | channels | blocks | parameters | multiply-adds |
| --- | --- | --- | --- | --- | --- |
{rows}

## Examples

**Basic example**

```python
import minigrad as mg
import minigrad.models as models

model = models.{name}(num_classes=1000)
input_ = mg.randn(1, 3, 224, 224)
output = model(input_)
print(output.shape)  # (1, 1000)
```

**By name, for other classes and channels**

```python
model = models.create_model(
    "{name}", in_channels=1, num_classes=10, drop_path_rate=0.1
)
```

**As a feature extractor**

```python
model = models.create_model("{name}", num_classes=0)
print(model.forward_features(input_).shape)  # (1, {last}, 7, 7)
print(model(input_).shape)  # (1, {last})
```
"""


@dataclass(frozen=True)
class Part:
    """A row of the architecture table."""

    name: str
    side: int
    channels: int
    blocks: int
    parameters: int
    macs: int


def parts(depths: tuple[int, ...], dims: tuple[int, ...], grn: bool, size: int) -> list[Part]:
    """Count parameters and multiply-adds, part by part, for an image of `size` × `size`."""
    rows = []
    side = size // 4
    before = 3
    for i, (depth, c) in enumerate(zip(depths, dims, strict=True)):
        kernel = 16 if i == 0 else 4  # the stem cuts patches of 4 × 4, downsampling of 2 × 2
        side //= 1 if i == 0 else 2
        norm = 2 * (c if i == 0 else before)
        conv = kernel * before * c
        label = "stem" if i == 0 else f"downsampling {i}"
        rows.append(Part(label, side, c, 0, conv + c + norm, side**2 * conv))
        depthwise, mlp = 49 * c, 8 * c * c
        small = c + 2 * c + 4 * c + c + (8 * c if grn else c)  # biases and norm; GRN or scale
        rows.append(
            Part(
                f"stage {i + 1}",
                side,
                c,
                depth,
                depth * (depthwise + mlp + small),
                depth * side**2 * (depthwise + mlp),
            )
        )
        before = c
    rows.append(Part("norm", 1, before, 0, 2 * before, 0))
    rows.append(Part("head", 1, 1000, 0, before * 1000 + 1000, before * 1000))
    return rows


@cache
def options(grn: bool) -> str:
    """Return the parameters that a named model takes, from the docstring of its class."""
    listed = NumpyDocString(inspect.getdoc(models.ConvNeXt) or "")["Parameters"]
    other = {"grn": True, "layer_scale_init_value": None} if grn else {}  # V2's defaults
    return "\n".join(
        f"- **{name}** (*{kind.partition('default')[0]}default {other[name]}*): {' '.join(text)}"
        if name in other
        else f"- **{name}** (*{kind}*): {' '.join(text)}"
        for name, kind, text in listed
        if name not in ("depths", "dims")
    )


@cache
def facts(name: str) -> dict[str, Any]:
    """Return everything the page of a model says, after comparing it with the model."""
    with init.skip_random():
        model = models.create_model(name)
    depths, dims = model.depths, model.dims
    grn = name.startswith("convnextv2")
    at_224 = parts(depths, dims, grn, 224)
    counted = sum(part.parameters for part in at_224)
    real = sum(p.numel() for p in model.parameters())
    if counted != real:
        raise ExtensionError(
            f"{name}: the formula counts {counted:,} parameters, the model {real:,}"
        )
    size = name.partition("_")[2]
    return {
        "name": name,
        "title": f"ConvNeXt{' V2' if grn else ''} {size.capitalize().replace('Xl', 'XL')}",
        "paper": V2_PAPER if grn else V1_PAPER,
        "depths": ", ".join(map(str, depths)),
        "dims": ", ".join(map(str, dims)),
        "parameters": real,
        "trunk": real - at_224[-1].parameters,
        "macs_224": sum(part.macs for part in at_224),
        "macs_384": sum(part.macs for part in parts(depths, dims, grn, 384)),
        "last": dims[-1],
        "options": options(grn),
        "summary": SUMMARY.format(V2_BLOCK if grn else V1_BLOCK),
        "rows": "\n".join(
            f"| {p.name} | {f'{p.side} × {p.side}' if p.macs and p.name != 'head' else ''} "
            f"| {p.channels} | {p.blocks or ''} | {p.parameters:,} | {p.macs:,} |"
            for p in at_224
        ),
    }


def by_size(page: dict[str, Any]) -> tuple[bool, int]:
    """Sort key: V1 before V2, small before large."""
    return "V2" in page["title"], page["parameters"]


def write(app: Sphinx) -> None:
    """Write the pages and the table; a page that has not changed keeps its date."""
    FOLDER.mkdir(exist_ok=True)
    pages = sorted(map(facts, models.list_models(family="convnext")), key=by_size)
    files = {f"{page['name']}.md": PAGE.format(**page) for page in pages}
    files["table.txt"] = "\n".join(
        [
            "| Model | Depths | Dims | Parameters | Multiply-adds, 224 × 224 |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| [{p['title']}](variants/{p['name']}.md) | {p['depths']} | {p['dims']} "
                f"| {p['parameters'] / 1e6:.1f} M | {p['macs_224'] / 1e9:.2f} G |"
                for p in pages
            ),
        ]
    )
    names = "\n".join(f"variants/{page['name']}" for page in pages)
    files["toctree.txt"] = f"```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    for name, text in files.items():
        path = FOLDER / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages as soon as Sphinx starts."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
