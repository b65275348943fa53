"""ConvNeXt in the manner of dl_techniques: create_convnext_v1, ConvNeXtV1.from_variant and so on.

Images are channels last, logits come out. Stem and downsamplings adapt to small inputs, as that
system's text promises: see `minigrad.models.stem.layout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.compat import convnext
from minigrad.compat._build import classifier, load_pretrained, read_weights, spatial
from minigrad.compat.keras.model import Model
from minigrad.errors import DataError, OptionError, unknown
from minigrad.models.variants import SIZES

__all__ = ["ConvNeXtV1", "ConvNeXtV2", "create_convnext_v1", "create_convnext_v2"]

Shape = Sequence[int | None]
Sizes = dict[str, dict[str, list[int]]]


def _sizes(prefix: str, names: str) -> Sizes:
    """Return depths and dims of the named sizes, and of the one for CIFAR-10."""
    sizes: dict[str, Any] = {"cifar10": ((5, 5), (96, 192))}
    sizes |= {name: SIZES[prefix + name] for name in names.split()}
    return {k: {"depths": list(depths), "dims": list(dims)} for k, (depths, dims) in sizes.items()}


class ConvNeXtV1(Model):
    """ConvNeXt V1 as a Keras model.

    Parameters
    ----------
    num_classes : int or None, default 1000
        Outputs; 0 or None returns the pooled, normed vector.
    depths, dims : sequence of int
        Blocks and channels of each stage.
    drop_path_rate : float, default 0
        Of the last block.
    kernel_size : int, default 7
        Of the depthwise convolutions.
    activation : str, default "gelu"
        Of the blocks.
    dropout_rate, spatial_dropout_rate : float, default 0
        Of individual hidden values, and of whole hidden channels, in the blocks.
    strides : int, optional
        Kernel and stride of the stem. By default 4, and less for inputs below 128.
    use_gamma : bool, optional
        Whether there is a layer scale; by default in V1 only.
    include_top : bool, default True
        Whether there is a head; without, the last map comes out.
    input_shape : (height, width, channels), default (None, None, 3)
        Of one sample; a signal's or a volume's shape is taken too.
    **options
        Of `minigrad.compat.convnext.ConvNeXt`; unknown ones raise.

    Attributes
    ----------
    MODEL_VARIANTS : dict
        depths and dims by name.

    Examples
    --------
    >>> model = ConvNeXtV2.from_variant(
    ...     "cifar10", num_classes=10, input_shape=(32, 32, 3)
    ... )
    >>> model.output_shape
    (None, 10)
    """

    GRN: ClassVar[bool] = False
    MODEL_VARIANTS: ClassVar[Sizes] = _sizes("convnext_", "tiny small base large xlarge")

    def __init__(
        self,
        num_classes: int | None = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        dims: Sequence[int] = (96, 192, 384, 768),
        drop_path_rate: float = 0.0,
        kernel_size: int = 7,
        activation: str = "gelu",
        dropout_rate: float = 0.0,
        spatial_dropout_rate: float = 0.0,
        strides: int | None = None,
        use_gamma: bool | None = None,
        include_top: bool = True,
        input_shape: Shape | None = (None, None, 3),
        name: str | None = None,
        **options: Any,
    ) -> None:
        shape = (None, None, 3) if input_shape is None else tuple(input_shape)
        config = {
            "num_classes": num_classes,
            "depths": tuple(depths),
            "dims": tuple(dims),
            "drop_path_rate": drop_path_rate,
            "kernel_size": kernel_size,
            "activation": activation,
            "dropout_rate": dropout_rate,
            "spatial_dropout_rate": spatial_dropout_rate,
            "strides": strides,
            "use_gamma": use_gamma,
            "include_top": include_top,
            "input_shape": shape,
            "name": name,
            **options,
        }
        if use_gamma is not None:
            # The switch is about the layer scale alone; its first value is the official one.
            options.setdefault("layer_scale_init_value", 1e-6 if use_gamma else None)
        sides = shape[:-1]
        if strides is not None:
            options["patch_size"] = strides
        elif None not in sides and "stem" not in options and "patch_size" not in options:
            options |= {"stem": "auto", "input_size": sides}
        build = convnext.ConvNeXtV2 if self.GRN else convnext.ConvNeXt
        net = build(
            num_classes=num_classes,
            depths=depths,
            dims=dims,
            drop_path_rate=drop_path_rate,
            kernel_size=kernel_size,
            activation=activation,
            dropout=dropout_rate,
            spatial_dropout=spatial_dropout_rate,
            include_top=include_top,
            **spatial(shape, len(dims), options),
            **options,
        )
        kind = type(self).__name__
        made = classifier(net, shape, name or kind, ("dl_techniques", kind, config))
        super().__init__(net, shape, made.output_shape[1:], made.name, made.config)

    @classmethod
    def from_variant(
        cls,
        variant: str,
        num_classes: int | None = 1000,
        input_shape: Shape | None = None,
        pretrained: bool | Any = False,
        **options: Any,
    ) -> ConvNeXtV1:
        """Build a model of `MODEL_VARIANTS`.

        Parameters
        ----------
        variant : str
            A name of `MODEL_VARIANTS`.
        num_classes, input_shape, **options
            As the class takes them.
        pretrained : bool or path, default False
            A file of weights, of which all that fits is loaded; a head of another size is left out
            and named. True raises, as no weights come with minigrad.

        Raises
        ------
        OptionError
            If the variant is unknown.
        DataError
            If the weights are missing, or nothing in the file fits.
        """
        if variant.lower() not in cls.MODEL_VARIANTS:
            raise unknown(f"{cls.__name__} variant", variant, cls.MODEL_VARIANTS)
        if pretrained is True:
            raise DataError(
                f"no weights of {cls.__name__} {variant!r} come with minigrad; pass a file "
                "instead, pretrained='weights.safetensors'"
            )
        if options.keys() & {"depths", "dims"}:
            raise OptionError(
                f"the variant {variant!r} sets depths and dims; use {cls.__name__}(…)"
            )
        sizes = cls.MODEL_VARIANTS[variant.lower()]
        values = read_weights(pretrained) if pretrained else None
        model = cls(
            num_classes=num_classes,
            depths=sizes["depths"],
            dims=sizes["dims"],
            input_shape=input_shape,
            **options,
        )
        if values is not None:
            load_pretrained(model, values, pretrained)
        return model


class ConvNeXtV2(ConvNeXtV1):
    """ConvNeXt V2 as a Keras model; parameters as `ConvNeXtV1`.

    Examples
    --------
    >>> model = ConvNeXtV2.from_variant("atto", num_classes=10, input_shape=(64, 64, 3))
    >>> model.output_shape
    (None, 10)
    """

    GRN = True
    MODEL_VARIANTS: ClassVar[Sizes] = _sizes(
        "convnextv2_", "atto femto pico nano tiny base large huge"
    )


def create_convnext_v1(
    variant: str = "tiny",
    num_classes: int | None = 1000,
    input_shape: Shape | None = None,
    pretrained: bool | Any = False,
    **options: Any,
) -> ConvNeXtV1:
    """Build a ConvNeXt V1; parameters as `ConvNeXtV1.from_variant`.

    Examples
    --------
    >>> model = create_convnext_v1("cifar10", num_classes=10, input_shape=(32, 32, 3))
    >>> model.output_shape
    (None, 10)
    """
    return ConvNeXtV1.from_variant(variant, num_classes, input_shape, pretrained, **options)


def create_convnext_v2(
    variant: str = "tiny",
    num_classes: int | None = 1000,
    input_shape: Shape | None = None,
    pretrained: bool | Any = False,
    **options: Any,
) -> ConvNeXtV1:
    """Build a ConvNeXt V2; parameters as `ConvNeXtV1.from_variant`.

    Examples
    --------
    >>> model = create_convnext_v2("cifar10", num_classes=10, input_shape=(32, 32, 3))
    >>> model.output_shape
    (None, 10)
    """
    return ConvNeXtV2.from_variant(variant, num_classes, input_shape, pretrained, **options)
