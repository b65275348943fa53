"""Figures of blocks and architectures, drawn from the modules themselves, in the page's colours.

    ```{architecture} blocks
    ```

    ```{architecture} convnext_tiny
    :shape: 3 224 224
    ```

    ```{architecture} unet
    ```

The first shows the block of a ResNet and the two of ConvNeXt, the second a network with the shapes
that it gives to its maps, the third a U-Net on a small ConvNeXt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minigrad import models, nn, no_grad
from minigrad.nn import init
from minigrad.ops.create import zeros
from minigrad.viz.svg import SVG, Canvas

COLOURS = {"mix": "#4477aa", "norm": "#228833", "act": "#cc7722", "plain": "#888888"}
KEY = {"mix": "weights", "norm": "normalisation", "act": "activation"}
LINE = 38  # from box to box
DOWN, UP, ACROSS = "m-3,-4 l3,4 l3,-4", "m-3,4 l3,-4 l3,4", "m-4,-3 l4,3 l-4,3"  # heads of arrows


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


def by(shape: tuple[int, ...]) -> str:
    """Return a shape as it is read."""
    return " × ".join(map(str, shape))


def convnext_svg(model: Any, shape: tuple[int, ...], title: str) -> SVG:
    """Draw a ConvNeXt from stem to head, as wide as its maps are, as tall as it has channels.

    The shapes are those that the model computes from its convolutions, without a forward.
    """
    maps = list(model.pyramid_shapes(shape).values())
    rows: list[tuple[str, str, tuple[int, ...], str]] = [("picture", "", shape, "plain")]
    for i, (patch, stage, out) in enumerate(
        zip(model.downsample_layers, model.stages, maps, strict=True)
    ):
        conv = next(layer for layer in patch if not isinstance(layer, nn.LayerNorm))
        step = "" if conv.stride == conv.kernel_size else f", stride {conv.stride[0]}"
        what = "stem" if i == 0 else "downsampling"
        rows.append((what, by(conv.kernel_size) + step, out, "plain"))
        count = len(list(stage))
        rows.append((f"stage {i + 1}", f"{count} block{'s' * (count > 1)}", out, "mix"))
    rows.append(("mean, layer norm", "", (model.dims[-1],), "norm"))
    if model.num_classes:
        rows.append(("head", "linear", (model.num_classes,), "mix"))
    canvas = Canvas(430, 40 + sum(_height(out) + 14 for _, _, out, _ in rows), title)
    canvas.text(215, 18, title, size=14, font_weight="bold")
    y = 34.0
    for i, (name, how, out, kind) in enumerate(rows):
        wide = 150 * (out[-1] / shape[-1]) ** 0.5 if len(out) > 1 else 14
        tall = _height(out)
        canvas.add("rect", x=90 - wide / 2, y=y, width=wide, height=tall, rx=3, fill_opacity=0.2,
                   fill=COLOURS[kind], stroke=COLOURS[kind])  # fmt: skip
        if i + 1 < len(rows):
            _arrow(canvas, f"M90,{y + tall + 2:g} v10", DOWN)
        middle = y + tall / 2 + 4
        canvas.text(185, middle, f"{name}{': ' if how else ''}{how}", size=12, text_anchor="start")
        canvas.text(424, middle, by(out), size=11, text_anchor="end", fill_opacity=0.75)
        y += tall + 14
    return canvas.svg()


def _height(shape: tuple[int, ...]) -> float:
    return 18 + 30 * (shape[0] / 2816) ** 0.5


def unet_svg(model: Any, shape: tuple[int, ...], title: str) -> SVG:
    """Draw a U-Net: its encoder's maps on the left, its decoder's on the right, what passes across.

    The shapes are those of a run on zeros.
    """
    seen: dict[str, list[tuple[int, ...]]] = {"encoder": [], "decoder": []}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module is model.encoder:
            seen["encoder"] = [tuple(m.shape[1:]) for m in output]
        else:
            seen["decoder"].append(tuple(output.shape[1:]))

    handles = [part.register_forward_hook(note) for part in (model.encoder, *model.decoder.blocks)]
    with no_grad():
        result = tuple(model.eval()(zeros(1, *shape)).shape[1:])
    for handle in handles:
        handle.remove()
    down = {out[-1]: out for out in (shape, *seen["encoder"])}
    up = {out[-1]: out for out in (*seen["decoder"], result)}
    sides = sorted(down.keys() | up.keys(), reverse=True)
    canvas = Canvas(520, 60 + 62 * len(sides), title)
    canvas.text(260, 18, title, size=14, font_weight="bold")
    left, right = 110.0, 410.0
    y = bottom = 40.0  # of the level, and of the last map on the left
    for side in sides:
        if side in down:
            if down[side] is not shape:
                _arrow(canvas, f"M{left:g},{bottom + 36:g} V{y - 4:g}", DOWN)
            _map(canvas, left, y, down[side], shape, "plain" if down[side] is shape else "mix")
            bottom = y
        if side not in up:
            _arrow(canvas, f"M{left + 84:g},{y + 9:g} H{right:g} V{y - 26:g}", UP)
        else:
            _map(canvas, right, y, up[side], shape, "norm" if up[side] is result else "act")
            if up[side] is not result:
                _arrow(canvas, f"M{right:g},{y - 4:g} V{y - 26:g}", UP)
                if side in down:
                    _arrow(
                        canvas, f"M{left + 84:g},{y + 9:g} H{right - 88:g}", ACROSS, dashes="4 3"
                    )
        y += 62
    for x, word in ((left, "encoder"), (right, "decoder")):
        canvas.text(x, y + 2, word, size=12)
    canvas.text(260, y + 2, "dashed: passed across", size=11, fill_opacity=0.75)
    return canvas.svg()


def _arrow(canvas: Canvas, way: str, head: str, dashes: str | None = None) -> None:
    canvas.add("path", d=f"{way} {head}", fill="none", stroke=COLOURS["plain"],
               stroke_dasharray=dashes)  # fmt: skip


def _map(
    canvas: Canvas, x: float, y: float, out: tuple[int, ...], whole: tuple[int, ...], kind: str
) -> None:
    wide = 24 + 130 * (out[-1] / whole[-1]) ** 0.5
    canvas.add("rect", x=x - wide / 2, y=y, width=wide, height=18, rx=3, stroke=COLOURS[kind],
               fill=COLOURS[kind], fill_opacity=0.2)  # fmt: skip
    canvas.text(x, y + 32, by(out), size=11)


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
    if what in ("unet", "attention_unet"):
        encoder = models.ConvNeXtV2(depths=(1, 1, 1, 1), dims=(40, 80, 160, 320))
        net = models.create_model(what, encoder=encoder, num_classes=3, head_upsample="auto")
        titles = {"unet": "U-Net", "attention_unet": "Attention U-Net"}
        return [unet_svg(net, shape or (3, 64, 64), f"{titles[what]} on ConvNeXt V2")]
    with init.skip_random():
        model: Any = models.create_model(what)
    return [convnext_svg(model, shape or (3, 224, 224), what)]


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
