"""ConvNeXt in the manner of lucid: PyTorch's layout, lucid's argument names and factories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import models
from minigrad.models import create_model, list_models

__all__ = [
    "ConvNeXt",
    "ConvNeXt_V2",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "convnext_v2_atto",
    "convnext_v2_base",
    "convnext_v2_femto",
    "convnext_v2_huge",
    "convnext_v2_large",
    "convnext_v2_nano",
    "convnext_v2_pico",
    "convnext_v2_tiny",
    "convnext_xlarge",
    "get_model_names",
]


class ConvNeXt(models.ConvNeXt):
    """ConvNeXt V1 with lucid's order of arguments.

    Parameters
    ----------
    num_classes : int, default 1000
        Outputs.
    depths, dims : sequence of int
        Blocks and channels of each stage.
    drop_path : float, default 0
        Of the last block.
    layer_scale_init : float or None, default 1e-6
        First value of the layer scale.
    **options
        Of `minigrad.models.ConvNeXt`, such as ``in_channels``; unknown ones raise.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = ConvNeXt(10, [1, 1, 1, 1], [4, 8, 8, 8], drop_path=0.1)
    >>> model(mg.randn(1, 3, 32, 32)).shape
    (1, 10)
    """

    def __init__(
        self,
        num_classes: int | None = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        dims: Sequence[int] = (96, 192, 384, 768),
        drop_path: float = 0.0,
        layer_scale_init: float | None = 1e-6,
        **options: Any,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            depths=depths,
            dims=dims,
            drop_path_rate=drop_path,
            layer_scale_init_value=layer_scale_init,
            **options,
        )


class ConvNeXt_V2(models.ConvNeXtV2):
    """ConvNeXt V2 with lucid's order of arguments.

    Parameters
    ----------
    num_classes : int, default 1000
        Outputs.
    depths, dims : sequence of int
        Blocks and channels of each stage.
    drop_path : float, default 0
        Of the last block.
    **options
        Of `minigrad.models.ConvNeXtV2`; unknown ones raise.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = ConvNeXt_V2(10, [1, 1, 1, 1], [4, 8, 8, 8], drop_path=0.1)
    >>> model(mg.randn(1, 3, 32, 32)).shape
    (1, 10)
    """

    def __init__(
        self,
        num_classes: int | None = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        dims: Sequence[int] = (96, 192, 384, 768),
        drop_path: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(
            num_classes=num_classes, depths=depths, dims=dims, drop_path_rate=drop_path, **options
        )


def _factory(name: str) -> Callable[..., models.ConvNeXt]:
    def build(num_classes: int | None = 1000, **options: Any) -> models.ConvNeXt:
        made: Any = create_model(name, num_classes=num_classes, **options)
        return made  # type: ignore[no-any-return]

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Build {name} with `num_classes` outputs; options as `ConvNeXt`."""
    return build


convnext_tiny = _factory("convnext_tiny")
convnext_small = _factory("convnext_small")
convnext_base = _factory("convnext_base")
convnext_large = _factory("convnext_large")
convnext_xlarge = _factory("convnext_xlarge")
convnext_v2_atto = _factory("convnext_v2_atto")
convnext_v2_femto = _factory("convnext_v2_femto")
convnext_v2_pico = _factory("convnext_v2_pico")
convnext_v2_nano = _factory("convnext_v2_nano")
convnext_v2_tiny = _factory("convnext_v2_tiny")
convnext_v2_base = _factory("convnext_v2_base")
convnext_v2_large = _factory("convnext_v2_large")
convnext_v2_huge = _factory("convnext_v2_huge")


def get_model_names() -> list[str]:
    """Return the names of all models, as lucid writes them.

    Examples
    --------
    >>> "convnext_v2_atto" in get_model_names()
    True
    """
    return sorted(name.replace("convnextv2", "convnext_v2") for name in list_models())
