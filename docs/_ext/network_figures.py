"""Figures of whole networks: a column that ends in classes, a U or a grid that ends in a mask.

Each box is a map. Its shape is the one that the modules themselves compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad import models, nn, no_grad
from minigrad.ops.create import zeros
from minigrad.viz.svg import SVG, Canvas

COLOURS = {"mix": "#4477aa", "norm": "#228833", "act": "#cc7722", "plain": "#888888"}
DOWN, UP, ACROSS = "m-3,-4 l3,4 l3,-4", "m-3,4 l3,-4 l3,4", "m-4,-3 l4,3 l-4,3"  # heads of arrows

Shape = tuple[int, ...]
Row = tuple[str, str, Shape, str]  # what is done, how, the shape that comes out, the colour


def by(shape: Shape) -> str:
    """Return a shape as it is read."""
    return " × ".join(map(str, shape))


def arrow(canvas: Canvas, way: str, head: str, dashes: str | None = None) -> None:
    """Draw a line with a head."""
    canvas.add("path", d=f"{way} {head}", fill="none", stroke=COLOURS["plain"],
               stroke_dasharray=dashes)  # fmt: skip


# ---- a column ---------------------------------------------------------------------------------


def counted(blocks: Sequence[nn.Module]) -> str:
    """Return how many blocks there are."""
    return f"{len(blocks)} block{'s' * (len(blocks) > 1)}"


def convnext_rows(model: models.ConvNeXt, shape: Shape) -> list[Row]:
    """Return the rows between the picture and the head of a ConvNeXt."""
    rows: list[Row] = []
    maps = model.pyramid_shapes(shape).values()
    for i, (patch, stage, out) in enumerate(
        zip(model.downsample_layers, model.stages, maps, strict=True)
    ):
        conv: Any = next(layer for layer in patch if not isinstance(layer, nn.LayerNorm))
        step = "" if conv.stride == conv.kernel_size else f", stride {conv.stride[0]}"
        rows.append(("downsampling" if i else "stem", by(conv.kernel_size) + step, out, "plain"))
        rows.append((f"stage {i + 1}", counted(list(stage)), out, "mix"))
    return rows


def isotropic_rows(model: models.ConvNeXtIsotropic, shape: Shape) -> list[Row]:
    """Return the rows between the picture and the head of an isotropic ConvNeXt."""
    patch = model.stem.kernel_size
    out = (model.dim, *(side // size for side, size in zip(shape[1:], patch, strict=True)))
    return [("stem", by(patch), out, "plain"), ("", counted(list(model.blocks)), out, "mix")]


def column_svg(model: Any, shape: Shape, title: str) -> SVG:
    """Draw a classifier from stem to head, as wide as its maps are, as tall as it has channels."""
    isotropic = isinstance(model, models.ConvNeXtIsotropic)
    body = isotropic_rows(model, shape) if isotropic else convnext_rows(model, shape)
    rows = [("picture", "", shape, "plain"), *body]
    rows.append(("mean, layer norm", "", body[-1][2][:1], "norm"))
    if model.num_classes:
        rows.append(("head", "linear", (model.num_classes,), "mix"))
    canvas = Canvas(430, 40 + sum(height(out) + 14 for _, _, out, _ in rows), title)
    canvas.text(215, 18, title, size=14, font_weight="bold")
    y = 34.0
    for i, (name, how, out, kind) in enumerate(rows):
        wide = 150 * (out[-1] / shape[-1]) ** 0.5 if len(out) > 1 else 14
        tall = height(out)
        canvas.add("rect", x=90 - wide / 2, y=y, width=wide, height=tall, rx=3, fill_opacity=0.2,
                   fill=COLOURS[kind], stroke=COLOURS[kind])  # fmt: skip
        if i + 1 < len(rows):
            arrow(canvas, f"M90,{y + tall + 2:g} v10", DOWN)
        middle = y + tall / 2 + 4
        canvas.text(185, middle, ": ".join(filter(None, (name, how))), text_anchor="start")
        canvas.text(424, middle, by(out), size=11, text_anchor="end", fill_opacity=0.75)
        y += tall + 14
    return canvas.svg()


def height(shape: Shape) -> float:
    """Return how tall the box of a map is."""
    return 18 + 30 * (shape[0] / 2816) ** 0.5


# ---- a U, and a grid --------------------------------------------------------------------------


def made(model: nn.Module, shape: Shape, modules: Sequence[nn.Module]) -> list[list[Shape]]:
    """Run a model on zeros; return the shapes of what each module gives, and at last the model."""
    seen: dict[nn.Module, list[Shape]] = {}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        maps = output if isinstance(output, tuple | list) else [output]
        seen[module] = [tuple(each.shape[1:]) for each in maps]

    watched = [*modules, model]
    handles = [module.register_forward_hook(note) for module in watched]
    with no_grad():
        model.eval()(zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return [seen[module] for module in watched]


def sides(model: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the modules that make the maps of the way down, and of the way up."""
    if not isinstance(model, models.MedNeXt):
        return [model.encoder], list(model.decoder.blocks)
    levels = range(len([name for name, _ in model.named_children() if "dec_block" in name]))
    down = [*(getattr(model, f"enc_block_{i}") for i in levels), model.bottleneck]
    up = [getattr(model, f"dec_block_{i}") for i in reversed(levels)]
    return [stage[-1] for stage in down], [stage[-1] for stage in up]


def u_svg(model: Any, shape: Shape, title: str) -> SVG:
    """Draw a U-Net: its encoder's maps on the left, its decoder's on the right."""
    encoder, decoder = sides(model)
    *maps, (result,) = made(model, shape, [*encoder, *decoder])
    # A level is a side; what goes in and what comes out have one of their own.
    inner = [{out[-1]: out for each in part for out in each}
             for part in (maps[: len(encoder)], maps[len(encoder) :])]  # fmt: skip
    down, up = ({(n, False): out for n, out in part.items()} for part in inner)
    down[shape[-1], True], up[result[-1], True] = shape, result
    levels = sorted(down.keys() | up.keys(), reverse=True)
    canvas = Canvas(520, 60 + 62 * len(levels), title)
    canvas.text(260, 18, title, size=14, font_weight="bold")
    left, right = 110.0, 410.0
    y = bottom = 40.0  # of the level, and of the last map on the left
    for level in levels:
        outer = level[1]
        if level in down:
            if not outer:
                arrow(canvas, f"M{left:g},{bottom + 36:g} V{y - 4:g}", DOWN)
            box(canvas, left, y, down[level], shape, "plain" if outer else "mix")
            bottom = y
        if level not in up:
            if not outer:
                arrow(canvas, f"M{left + 84:g},{y + 9:g} H{right:g} V{y - 26:g}", UP)
        else:
            box(canvas, right, y, up[level], shape, "norm" if outer else "act")
            if not outer:
                arrow(canvas, f"M{right:g},{y - 4:g} V{y - 26:g}", UP)
                if level in down:
                    arrow(canvas, f"M{left + 84:g},{y + 9:g} H{right - 88:g}", ACROSS, "4 3")
        y += 62
    for x, word in ((left, "encoder"), (right, "decoder")):
        canvas.text(x, y + 2, word)
    canvas.text(260, y + 2, "dashed: passed across", size=11, fill_opacity=0.75)
    return canvas.svg()


def grid_svg(model: Any, shape: Shape, title: str) -> SVG:
    """Draw a UNet++: the encoder's maps down the left, and right of them every node of the grid."""
    nodes = {tuple(map(int, name.split("_"))): node for name, node in model.decoder.conv.items()}
    first, *others, (result,) = made(model, shape, [model.encoder, *nodes.values()])
    maps = {(i, 0): out for i, out in enumerate(first)}
    maps |= {place: out for place, (out,) in zip(nodes, others, strict=True)}
    last = (0, max(j for _, j in nodes))

    def at(i: int, j: int) -> tuple[float, float]:
        return 84.0 + 60 * (i + 2 * j), 130.0 + 86 * i

    canvas = Canvas(at(*last)[0] + 84, at(len(first), 0)[1] - 14, title)
    canvas.text(canvas.width / 2, 18, title, size=14, font_weight="bold")
    box(canvas, at(0, 0)[0], 40, shape, shape, "plain")
    box(canvas, at(*last)[0], 40, result, shape, "norm")
    arrow(canvas, f"M{at(0, 0)[0]:g},76 V{at(0, 0)[1] - 4:g}", DOWN)
    arrow(canvas, f"M{at(*last)[0]:g},{at(*last)[1] - 4:g} V80", UP)
    for (i, j), out in maps.items():
        x, y = at(i, j)
        box(canvas, x, y, out, shape, "act" if j else "mix")
        if j:
            arrow(canvas, f"M{x - 60:g},{y + 82:g} L{x:g},{y + 48:g} V{y + 38:g}", UP)
        elif i:
            arrow(canvas, f"M{x - 60:g},{y - 50:g} L{x:g},{y - 14:g} V{y - 4:g}", DOWN)
        half = width(out, shape) / 2
        for k in range(j):
            start, bow = at(i, k)[0], 10 * (j - k)
            way = (
                f"M{start + half + 3:g},{y + 9:g} H{x - half - 3:g}"
                if k == j - 1
                else f"M{start + half - 8:g},{y - 3:g} q0,-{bow} 20,-{bow} H{x - half - 10:g} "
                f"q20,0 20,{bow}"
            )
            arrow(canvas, way, ACROSS if k == j - 1 else DOWN, "4 3")
    canvas.text(canvas.width / 2, canvas.height - 6, "dashed: passed across", size=11,
                fill_opacity=0.75)  # fmt: skip
    return canvas.svg()


def width(out: Shape, whole: Shape) -> float:
    """Return how wide the box of a map is."""
    return 24 + 130 * (out[-1] / whole[-1]) ** 0.5


def box(canvas: Canvas, x: float, y: float, out: Shape, whole: Shape, kind: str) -> None:
    """Draw a map, with its shape below it."""
    wide = width(out, whole)
    canvas.add("rect", x=x - wide / 2, y=y, width=wide, height=18, rx=3, stroke=COLOURS[kind],
               fill=COLOURS[kind], fill_opacity=0.2)  # fmt: skip
    canvas.text(x, y + 32, by(out), size=11)
