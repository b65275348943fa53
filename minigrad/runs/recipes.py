"""The official recipes of ConvNeXt V1 and V2, by name: what a run takes that asks for one.

Sources: the papers' tables (arXiv:2201.03545, 5 and 6; arXiv:2301.00808, 8 to 13), and where the
authors' repositories have a command, that command. Rates are those of the stated batch, which is
``batch_size`` times ``accumulate``: whoever trains with another one scales ``lr`` with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minigrad.errors import OptionError, unknown
from minigrad.models.registry import find

__all__ = ["FINE_TUNING", "PRETRAINING", "TRAINING", "Recipe", "chosen", "plain"]

Values = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """Options of a run.

    Parameters
    ----------
    about : str
        What it trains, on what.
    values : mapping
        Options by name.
    models : mapping
        The models that it is for, the first by default, and what is other for each.
    fine_tunes : bool
        Whether it begins with weights, which the user must name.

    Examples
    --------
    >>> TRAINING["convnext-1k"].of("convnext_small")["drop_path"]
    0.4
    """

    about: str
    values: Values
    models: Mapping[str, Values]
    fine_tunes: bool = field(default=False)

    def of(self, model: str | None = None) -> dict[str, Any]:
        """Return the options for a model; those of the first one for a model not in the recipe."""
        first = next(iter(self.models))
        try:
            name = find(model).name if model else first
        except OptionError:  # of sizes of its own
            name = first
        return {**self.values, "model": name, **self.models.get(name, self.models[first])}

    def text(self, values: Mapping[str, Any]) -> str:
        """Return every option with its value in a run, and what the recipe has where they differ.

        Examples
        --------
        >>> recipe = Recipe("a test", {"epochs": 30, "flip": True}, {"convnext_tiny": {}})
        >>> recipe.text({"model": "convnext_tiny", "epochs": 5, "flip": True})
        'epochs 5 (recipe: 30), flip on, model convnext_tiny'
        """
        parts = []
        for name, wanted in self.of(values["model"]).items():
            is_, was = plain(values[name]), plain(wanted)
            parts.append(f"{name} {is_}" + (f" (recipe: {was})" if is_ != was else ""))
        return ", ".join(parts)


ALL: Values = {
    "image_size": 224,
    "patch_size": 4,
    "interpolation": "bicubic",
    "optimizer": "adamw",
    "betas": (0.9, 0.999),
    "schedule": "cosine",
    "min_lr": 1e-6,
    "flip": True,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "erase": 0.25,
    "erase_mode": "pixel",
    "label_smoothing": 0.1,
    "threads": 0,
}
MIXED: Values = {"mixup": 0.8, "cutmix": 1.0}
V1 = ALL | {"repeat_peak": True}
V1_TUNED = V1 | {
    "epochs": 30, "warmup_epochs": 0.0, "batch_size": 32, "accumulate": 16, "lr": 5e-5,
    "weight_decay": 1e-8, "head_init_scale": 0.001, "layer_grouping": "group",
}  # fmt: skip
LARGE: Values = {"image_size": 384, "crop_pct": 1.0}
V2 = ALL | {"ema": 0.9999, "head_init_scale": 0.001}
V2_SMALL = V2 | {
    "epochs": 600, "warmup_epochs": 0.0, "batch_size": 32, "accumulate": 32, "lr": 8e-4,
    "weight_decay": 0.3, "layer_decay": 0.9, "layer_grouping": "single", "label_smoothing": 0.2,
}  # fmt: skip
V2_LARGE = V2 | MIXED | {  # the repository's rate for base; the paper prints ten times as much
    "epochs": 100, "warmup_epochs": 20.0, "batch_size": 32, "accumulate": 32, "lr": 2.5e-3,
    "weight_decay": 0.05, "layer_decay": 0.6, "layer_grouping": "group",
}  # fmt: skip
V2_TUNED = {
    "atto": V2_SMALL | {"drop_path": 0.1},
    "femto": V2_SMALL | {"drop_path": 0.0, "weight_decay": 0.05, "mixup": 0.3, "cutmix": 0.3},
    "pico": V2_SMALL | {"drop_path": 0.0, "mixup": 0.3, "cutmix": 0.3},
    "nano": V2_SMALL | {"drop_path": 0.1, "mixup": 0.5, "cutmix": 0.5},
    "tiny": V2_SMALL | MIXED | {
        "epochs": 300, "warmup_epochs": 40.0, "lr": 3.2e-3, "weight_decay": 0.05,
        "label_smoothing": 0.1, "drop_path": 0.2,
    },
    "base": V2_LARGE | {"drop_path": 0.1},
    "large": V2_LARGE | {"drop_path": 0.2},
    "huge": V2_LARGE | {
        "epochs": 50, "warmup_epochs": 10.0, "layer_decay": 0.75, "drop_path": 0.3,
    },
}  # fmt: skip
SINGLE: Values = {"layer_decay": 0.9, "layer_grouping": "single"}
GROUPED: Values = {"layer_decay": 0.8, "layer_grouping": "group"}

TRAINING = {
    "convnext-1k": Recipe(
        "ConvNeXt from scratch on ImageNet-1k, batch 4096",
        V1 | MIXED | {
            "epochs": 300, "warmup_epochs": 20.0, "batch_size": 128, "accumulate": 32, "lr": 4e-3,
            "weight_decay": 0.05, "ema": 0.9999,
        },
        {
            "convnext_tiny": {"drop_path": 0.1},
            "convnext_small": {"drop_path": 0.4},
            "convnext_base": {"drop_path": 0.5},
            "convnext_large": {"drop_path": 0.5, "batch_size": 64, "accumulate": 64},
        },
    ),
    "convnext-22k": Recipe(
        "ConvNeXt from scratch on ImageNet-22k, batch 4096",
        V1 | MIXED | {
            "epochs": 90, "warmup_epochs": 5.0, "batch_size": 32, "accumulate": 128, "lr": 4e-3,
            "weight_decay": 0.05,
        },
        {
            "convnext_tiny": {"drop_path": 0.0},
            "convnext_small": {"drop_path": 0.0},
            "convnext_base": {"drop_path": 0.1},
            "convnext_large": {"drop_path": 0.1},
            "convnext_xlarge": {"drop_path": 0.2},
        },
    ),
}  # fmt: skip

FINE_TUNING = {
    "convnext-1k-ft-384": Recipe(
        "ConvNeXt trained on ImageNet-1k, on with pictures of 384 pixels, batch 512",
        V1_TUNED | LARGE | {"layer_decay": 0.7},
        {"convnext_base": {"drop_path": 0.8}, "convnext_large": {"drop_path": 0.95}},
        fine_tunes=True,
    ),
    **{
        f"convnext-22k-ft-1k{suffix}": Recipe(
            f"ConvNeXt trained on ImageNet-22k, to ImageNet-1k at {side} pixels, batch 512",
            V1_TUNED | size | {"layer_decay": 0.8},
            {
                "convnext_tiny": {"drop_path": 0.0},
                "convnext_small": {"drop_path": 0.1},
                "convnext_base": {"drop_path": 0.2},
                "convnext_large": {"drop_path": 0.3},
                "convnext_xlarge": {"drop_path": 0.4, "ema": 0.9999},
            },
            fine_tunes=True,
        )
        for suffix, side, size in (("", 224, {}), ("-384", 384, LARGE))
    },
    **{
        f"convnextv2-ft-{size}": Recipe(
            f"ConvNeXt V2-{size} after FCMAE pre-training, to ImageNet-1k, batch 1024",
            values,
            {f"convnextv2_{size}": {}},
            fine_tunes=True,
        )
        for size, values in V2_TUNED.items()
    },
    "convnextv2-22k": Recipe(
        "ConvNeXt V2 after FCMAE pre-training, to ImageNet-22k, batch 4096",
        ALL | MIXED | {
            "epochs": 90, "warmup_epochs": 5.0, "batch_size": 32, "accumulate": 128, "lr": 4e-3,
            "weight_decay": 0.05, "head_init_scale": 0.001,
        },
        {
            "convnextv2_nano": SINGLE | {"drop_path": 0.0},
            "convnextv2_tiny": SINGLE | {"drop_path": 0.0},
            "convnextv2_base": GROUPED | {"drop_path": 0.1},
            "convnextv2_large": GROUPED | {"drop_path": 0.1},
            "convnextv2_huge": GROUPED | {"drop_path": 0.3},
        },
        fine_tunes=True,
    ),
    "convnextv2-22k-ft-1k": Recipe(
        "ConvNeXt V2 trained on ImageNet-22k, to ImageNet-1k, batch 512",
        V2 | {
            "epochs": 30, "warmup_epochs": 0.0, "batch_size": 32, "accumulate": 16, "lr": 5e-5,
            "weight_decay": 1e-8,
        },
        {
            "convnextv2_nano": SINGLE | {"epochs": 90, "drop_path": 0.1},
            "convnextv2_tiny": SINGLE | {"epochs": 90, "drop_path": 0.1},
            "convnextv2_base": GROUPED | {"drop_path": 0.2},
            "convnextv2_large": GROUPED | {"drop_path": 0.3},
            "convnextv2_huge": GROUPED | {"layer_decay": 0.85, "drop_path": 0.5, "ema": 0.0},
        },
        fine_tunes=True,
    ),
}  # fmt: skip

PRETRAINING = {
    "convnextv2-fcmae": Recipe(
        "ConvNeXt V2 as a masked autoencoder on ImageNet-1k without labels, batch 4096",
        {
            "image_size": 224, "patch_size": 4, "interpolation": "bicubic", "flip": True,
            "optimizer": "adamw", "betas": (0.9, 0.95), "schedule": "cosine", "min_lr": 0.0,
            "epochs": 1600, "warmup_epochs": 40.0, "batch_size": 64, "accumulate": 64, "lr": 2.4e-3,
            "weight_decay": 0.05, "mask_ratio": 0.6, "decoder_depth": 1, "decoder_dim": 512,
            "norm_pix_loss": True, "threads": 0,
        },
        {
            f"convnextv2_{size}": {}
            for size in ("base", "atto", "femto", "pico", "nano", "tiny", "large", "huge")
        },
    ),
}  # fmt: skip


def plain(value: Any) -> str:
    """Return an option's value as one writes it on the command line.

    Examples
    --------
    >>> plain(True), plain((2, 2))
    ('on', '2 2')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def chosen(recipes: Mapping[str, Recipe], name: str) -> Recipe:
    """Return the recipe of a name, or refuse it."""
    if name not in recipes:
        raise unknown("recipe", name, recipes)
    return recipes[name]
