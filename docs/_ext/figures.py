"""Figures of blocks and architectures, drawn from the modules themselves, in the page's colours.

    ```{architecture} blocks
    ```

    ```{architecture} convnext_tiny
    :shape: 3 224 224
    ```

    ```{architecture} unet
    ```

The first shows the block of a ResNet and the two of ConvNeXt, the second a network with the shapes
that it gives to its maps, the third a U-Net on a small ConvNeXt. `network_figures` draws networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from network_figures import COLOURS, column_svg, grid_svg, u_svg
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minigrad import models, nn
from minigrad.nn import init
from minigrad.viz.svg import SVG, Canvas

KEY = {"mix": "weights", "norm": "normalisation", "act": "activation"}
LINE = 38  # from box to box
SEGMENTING = {
    "unet": (u_svg, "U-Net"),
    "attention_unet": (u_svg, "Attention U-Net"),
    "unet_plus_plus": (grid_svg, "UNet++"),
}


@dataclass(frozen=True)
class Step:
    """A box: what is done, with how many channels it comes out, and of which kind it is."""

    name: str
    channels: int
    kind: str


def parameters(module: nn.Module) -> int:
    """Return how many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def step(module: nn.Module, channels: int) -> Step | None:
    """Return the box of a layer, None for one that does nothing."""
    if isinstance(module, nn.Conv2d):
        size = " × ".join(map(str, module.kernel_size))
        kind = "depthwise" if module.groups == module.in_channels > 1 else "convolution"
        return Step(f"{size} {kind}", module.out_channels, "mix")
    if isinstance(module, nn.Linear):
        return Step("linear", module.out_features, "mix")
    if isinstance(module, nn.BatchNorm2d):
        return Step("batch norm", channels, "norm")
    if isinstance(module, nn.LayerNorm):
        return Step("layer norm", channels, "norm")
    if isinstance(module, nn.GRN):
        return Step("GRN", channels, "norm")
    if isinstance(module, nn.ReLU):
        return Step("ReLU", channels, "act")
    if isinstance(module, nn.DropPath):
        return Step("drop path", channels, "plain")
    if isinstance(module, nn.Identity):
        return None
    raise TypeError(f"no box for a {type(module).__name__}")


def bottleneck(dim: int, inside: int) -> nn.Sequential:
    """Return the branch of a ResNet's block."""
    return nn.Sequential(
        nn.Conv2d(dim, inside, 1, bias=False), nn.BatchNorm2d(inside), nn.ReLU(),
        nn.Conv2d(inside, inside, 3, padding=1, bias=False), nn.BatchNorm2d(inside), nn.ReLU(),
        nn.Conv2d(inside, dim, 1, bias=False), nn.BatchNorm2d(dim),
    )  # fmt: skip


def branch(block: nn.Module, dim: int) -> list[Step]:
    """Return the boxes of a block's branch, in the order in which its layers are called."""
    steps: list[Step] = []
    for name, layer in block.named_children():
        box = step(layer, steps[-1].channels if steps else dim)
        if name == "drop_path" and getattr(block, "gamma", None) is not None:
            steps.append(Step("layer scale γ", dim, "mix"))
        steps += [] if box is None else [box]
        if name == "pwconv1":
            steps.append(Step("GELU", steps[-1].channels, "act"))
    return steps


def block_svg(title: str, block: nn.Module, dim: int, after: str | None = None) -> SVG:
    """Draw a block: a branch beside the way past it, each box as wide as it has channels."""
    steps, width, middle = branch(block, dim), 230.0, 125.0
    canvas = Canvas(width, (len(steps) + 3 + bool(after)) * LINE + 8, title)
    canvas.text(middle, 18, title, size=14, font_weight="bold")
    canvas.text(middle, 36, f"{dim} channels", size=11, fill_opacity=0.75)
    y = float(LINE + 24)
    canvas.add("path", d=f"M{middle:g},{y - 18:g} V{y - 8:g} H18 V{y + len(steps) * LINE + 2:g} "
               f"H{middle - 9:g}", fill="none", stroke=COLOURS["plain"])  # fmt: skip
    for each in steps:
        wide = 128 + 60 * each.channels / 384
        colour = COLOURS[each.kind]
        canvas.add("rect", x=middle - wide / 2, y=y - 8, width=wide, height=LINE - 12.0, rx=5,
                   fill=colour, fill_opacity=0.15, stroke=colour)  # fmt: skip
        label = each.name if each.kind != "mix" else f"{each.name}, {each.channels}"
        canvas.text(middle, y + 9, label, size=11.5)
        canvas.add("path", d=f"M{middle:g},{y + LINE - 20:g} v12", stroke=COLOURS["plain"])
        y += LINE
    canvas.add("circle", cx=middle, cy=y + 2, r=9, fill="none", stroke=COLOURS["plain"])
    canvas.text(middle, y + 6.5, "+", size=14)
    if after:
        y += LINE
        canvas.add("path", d=f"M{middle:g},{y - LINE + 11:g} V{y - 8:g}", stroke=COLOURS["plain"])
        canvas.add("rect", x=middle - 48, y=y - 8, width=96, height=LINE - 12.0, rx=5,
                   fill=COLOURS["act"], fill_opacity=0.15, stroke=COLOURS["act"])  # fmt: skip
        canvas.text(middle, y + 9, after, size=11.5)
    canvas.text(middle, y + 36, f"{parameters(block):,} parameters", size=11, fill_opacity=0.75)
    return canvas.svg()


def blocks() -> list[SVG]:
    """Draw the blocks of ResNet, ConvNeXt and ConvNeXt V2, of about the same work."""
    return [
        block_svg("ResNet", bottleneck(256, 64), 256, after="ReLU"),
        block_svg("ConvNeXt", models.Block(96), 96),
        block_svg("ConvNeXt V2", models.Block(96, layer_scale_init_value=None, grn=True), 96),
    ]


def key() -> SVG:
    """Draw what the colours mean."""
    canvas = Canvas(330, 20, "Colours of the figure")
    for i, (kind, word) in enumerate(KEY.items()):
        canvas.add("rect", x=4 + 112 * i, y=4, width=12, height=12, fill=COLOURS[kind],
                   fill_opacity=0.15, stroke=COLOURS[kind])  # fmt: skip
        canvas.text(22 + 112 * i, 14, word, size=11.5, text_anchor="start")
    return canvas.svg()


def draw(what: str, shape: tuple[int, ...] | None = None) -> list[SVG]:
    """Return the pictures of a figure."""
    if what == "blocks":
        return [*blocks(), key()]
    if what in SEGMENTING:
        encoder = models.ConvNeXtV2(depths=(1, 1, 1, 1), dims=(40, 80, 160, 320))
        net = models.create_model(what, encoder=encoder, num_classes=3, head_upsample="auto")
        svg, title = SEGMENTING[what]
        return [svg(net, shape or (3, 64, 64), f"{title} on ConvNeXt V2")]
    if what.startswith("mednext"):
        return [u_svg(models.create_model(what), shape or (1, 32, 32, 32), what)]
    with init.skip_random():
        model: Any = models.create_model(what)
    return [column_svg(model, shape or (3, 224, 224), what)]


class Architecture(SphinxDirective):
    """A figure of real modules; the directive's text is its caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"shape": directives.positive_int_list}

    def run(self) -> list[nodes.Node]:
        shape = self.options.get("shape")
        drawn = "".join(draw(self.arguments[0], None if shape is None else tuple(shape)))
        html = f'<div class="drawn">{drawn}</div>'
        return [nodes.raw("", html, format="html"), *self.parse_content_to_nodes()]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("architecture", Architecture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
