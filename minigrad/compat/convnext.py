"""ConvNeXt with the switches of medicai and dl_techniques, which the paper's model does without."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from minigrad import models
from minigrad.compat.block import Block
from minigrad.compat.rescaling import InputRescaling
from minigrad.errors import unknown
from minigrad.models.activations import check_classifier_activation, classify
from minigrad.models.arguments import accepts
from minigrad.models.convnext import trunc_normal
from minigrad.models.registry import find
from minigrad.models.variants import SIZES
from minigrad.nn import init
from minigrad.nn.layers import Identity
from minigrad.tensor import Tensor

__all__ = ["ConvNeXt", "ConvNeXtV2", "named"]

Initializer = Callable[[Tensor], object]

POOLINGS = ("avg", "max")
INITIALIZERS: dict[str, Initializer] = {
    "trunc_normal": trunc_normal,
    "normal": partial(init.normal_, std=0.02),
    "glorot_uniform": init.xavier_uniform_,
    "glorot_normal": init.xavier_normal_,
    "he_uniform": partial(init.kaiming_uniform_, nonlinearity="relu"),
    "he_normal": partial(init.kaiming_normal_, nonlinearity="relu"),
}

SWITCHES = [
    name
    for name, p in inspect.signature(Block).parameters.items()
    if p.kind is inspect.Parameter.KEYWORD_ONLY
]
"""What `Block` takes beyond the plain block."""


class ConvNeXt(models.ConvNeXt):
    """A `minigrad.models.ConvNeXt` with more choices; names of parameters stay the official ones.

    Parameters
    ----------
    *args, **options
        As `minigrad.models.ConvNeXt` takes them.
    include_top : bool, default True
        Whether there is a head at all; without, the last stage's map comes out.
    include_rescaling : bool, default False
        Whether the model takes pixels of 0 to 255, see `InputRescaling`.
    pooling : {"avg", "max"}
        What becomes of the last map. Also ``global_pool``.
    classifier_activation : str or None, default None
        softmax, sigmoid … of the outputs, in float32 at least; None gives logits.
    initializer : str or callable, default "trunc_normal"
        First weights of convolutions and linear layers: trunc_normal and normal (of 0.02),
        glorot_uniform, glorot_normal, he_uniform, he_normal, or a function that fills a tensor.
    dropout, spatial_dropout, activation, approximate, grn_norm, grn_position, grn_eps, grn_init
        Of every `minigrad.compat.block.Block`.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = ConvNeXt(
    ...     depths=(1, 1), dims=(8, 16), include_top=False, activation="relu"
    ... )
    >>> model(mg.randn(2, 3, 32, 32)).shape
    (2, 16, 4, 4)
    """

    @accepts(global_pool="pooling")
    def __init__(
        self,
        *args: Any,
        include_top: bool = True,
        include_rescaling: bool = False,
        pooling: str = "avg",
        classifier_activation: str | None = None,
        initializer: str | Initializer = "trunc_normal",
        **options: Any,
    ) -> None:
        check_classifier_activation(classifier_activation)
        if pooling not in POOLINGS:
            raise unknown("ConvNeXt pooling", pooling, POOLINGS)
        if isinstance(initializer, str):
            if initializer not in INITIALIZERS:
                raise unknown("initializer", initializer, INITIALIZERS)
            initializer = INITIALIZERS[initializer]
        switches = {key: options.pop(key) for key in SWITCHES if key in options}
        self.include_top, self.pooling = include_top, pooling
        self.classifier_activation = classifier_activation
        super().__init__(
            *args, block=partial(Block, **switches), initializer=initializer, **options
        )
        if include_rescaling:
            place = next(self.parameters())
            at: dict[str, Any] = {"device": str(place.device), "dtype": place.dtype}
            self.rescaling = InputRescaling(self.in_channels, self.spatial_dims, **at)
        if not include_top:
            self.num_classes = 0
            self.norm, self.head = Identity(), Identity()

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and norm a map, and classify it unless `pre_logits`."""
        if self.pooling == "max":
            x = x.amax(tuple(range(2, x.ndim)), keepdim=True)  # of which the mean is itself
        y = super().forward_head(x, pre_logits)
        return y if pre_logits else classify(y, self.classifier_activation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.include_top else self.forward_features(x)


class ConvNeXtV2(ConvNeXt):
    """ConvNeXt V2 with the same choices: GRN in every block, and no layer scale.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = ConvNeXtV2(
    ...     num_classes=10, depths=(1, 1), dims=(8, 16), activation="relu"
    ... )
    >>> model(mg.ones(1, 3, 32, 32)).shape
    (1, 10)
    """

    def __init__(
        self,
        *args: Any,
        layer_scale_init_value: float | None = None,
        grn: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(*args, layer_scale_init_value=layer_scale_init_value, grn=grn, **options)


def named(name: str, **options: Any) -> ConvNeXt:
    """Build a model of a size that `minigrad.models` knows by name, such as "convnextv2_atto".

    Examples
    --------
    >>> named("convnextv2_atto", num_classes=10).dims
    (40, 80, 160, 320)
    """
    entry = find(name)
    depths, dims = SIZES[entry.name]
    build = ConvNeXtV2 if entry.name.startswith("convnextv2") else ConvNeXt
    return build(depths=depths, dims=dims, **options)
