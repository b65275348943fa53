"""Losses as layers; the functions of the same names carry the formulas."""

from __future__ import annotations

from minigrad.errors import unknown
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceLoss",
    "GeneralizedDiceLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]

REDUCTIONS = ("none", "mean", "sum")


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in REDUCTIONS:
            raise unknown(f"{type(self).__name__} reduction", reduction, REDUCTIONS)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class _ClassLoss(_Loss):
    """A loss with a weight per class, held as a buffer so that it moves with the module."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, reduction: str) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_ClassLoss):
    """Softmax and negative log-likelihood in one, from logits.

    Parameters
    ----------
    weight : Tensor, optional
        Weight of each class, shape (C,).
    ignore_index : int, default -100
        Label that does not count.
    reduction : {"mean", "sum", "none"}
        How the samples are combined.
    label_smoothing : float, default 0
        Part of the target that is spread over all classes.

    Examples
    --------
    >>> import minigrad as mg
    >>> loss = mg.nn.CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(mg.zeros(4, 10), mg.tensor([1, 2, 3, 4]))
    tensor(2.3026)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_ClassLoss):
    """Negative log-likelihood from log-probabilities; parameters as `CrossEntropyLoss`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.NLLLoss()(mg.tensor([[-0.5, -1.0]]), mg.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(_ClassLoss):
    """Binary cross entropy from probabilities; prefer `BCEWithLogitsLoss`, which cannot overflow.

    Parameters
    ----------
    weight : Tensor, optional
        Weight of each element, broadcast to the input.
    reduction : {"mean", "sum", "none"}
        How the elements are combined.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.BCELoss()(mg.tensor([0.5]), mg.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_ClassLoss):
    """Binary cross entropy from logits.

    Parameters
    ----------
    weight : Tensor, optional
        Weight of each element, broadcast to the input.
    reduction : {"mean", "sum", "none"}
        How the elements are combined.
    pos_weight : Tensor, optional
        Weight of the positive targets.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.BCEWithLogitsLoss()(mg.zeros(1), mg.ones(1))
    tensor(0.6931)
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
        )


class MSELoss(_Loss):
    """Mean of (input − target)².

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.MSELoss()(mg.tensor([1.0, 3.0]), mg.zeros(2))
    tensor(5.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Mean of |input − target|.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.L1Loss()(mg.tensor([1.0, 4.0]), mg.zeros(2))
    tensor(2.5)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic below `beta`, linear above (the Huber loss over beta).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        How the elements are combined.
    beta : float, default 1
        Where the quadratic part meets the linear one.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.SmoothL1Loss()(mg.tensor([0.5, 3.0]), mg.zeros(2))
    tensor(1.3125)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class DiceLoss(_ClassLoss):
    """One minus the overlap of prediction and target, for segmentation, from logits.

    1 − (2·Σpt + smooth) / (Σp + Σt + smooth) per sample and class (Milletari et al., 2016); p is
    the softmax of the input, or its sigmoid where there is one class.

    Parameters
    ----------
    smooth : float, default 1
        Keeps the quotient defined where a class is absent.
    ignore_index : int, default -100
        Label that does not count.
    reduction : {"mean", "sum", "none"}
        How samples and classes are combined.
    weight : Tensor, optional
        Weight of each class, shape (C,).
    include_background : bool, default True
        Whether class 0 counts.
    from_logits : bool, default True
        False if the input holds probabilities.
    multilabel : bool, default False
        Classes may overlap: each has its own sigmoid, and the target the input's shape.
    batch : bool, default False
        Whether the sums run over the samples too.
    squared : bool, default False
        Squares in the denominator, as in V-Net.

    Examples
    --------
    >>> import minigrad as mg
    >>> loss = mg.nn.DiceLoss(include_background=False)
    >>> loss(mg.tensor([[[0.0, 0.0], [40.0, 40.0]]]), mg.tensor([[1, 1]]))
    tensor(0.)
    """

    def __init__(
        self,
        smooth: float = 1.0,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        weight: Tensor | None = None,
        include_background: bool = True,
        from_logits: bool = True,
        multilabel: bool = False,
        batch: bool = False,
        squared: bool = False,
    ) -> None:
        super().__init__(weight, reduction)
        self.smooth, self.ignore_index = smooth, ignore_index
        self.include_background, self.from_logits = include_background, from_logits
        self.multilabel, self.batch, self.squared = multilabel, batch, squared

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.dice_loss(
            input,
            target,
            self.smooth,
            self.ignore_index,
            self.reduction,
            weight=self.weight,
            include_background=self.include_background,
            from_logits=self.from_logits,
            multilabel=self.multilabel,
            batch=self.batch,
            squared=self.squared,
        )


class GeneralizedDiceLoss(_Loss):
    """Dice loss of all classes together, in which rare classes weigh more (Sudre et al., 2017).

    Parameters
    ----------
    weight_type : {"square", "simple", "uniform"}
        Weight of a class: 1 / size², 1 / size, or 1.
    smooth, ignore_index, reduction, include_background, from_logits, multilabel
        As for `DiceLoss`; `smooth` is 1e-5 by default.

    Examples
    --------
    >>> import minigrad as mg
    >>> logits = mg.tensor([[[30.0, -30.0], [-30.0, 30.0]]])
    >>> mg.nn.GeneralizedDiceLoss()(logits, mg.tensor([[0, 1]])) < 0.01
    tensor(True)
    """

    def __init__(
        self,
        weight_type: str = "square",
        smooth: float = 1e-5,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        include_background: bool = True,
        from_logits: bool = True,
        multilabel: bool = False,
    ) -> None:
        super().__init__(reduction)
        if weight_type not in ("square", "simple", "uniform"):
            raise unknown(
                "GeneralizedDiceLoss weight_type", weight_type, ("square", "simple", "uniform")
            )
        self.weight_type, self.smooth, self.ignore_index = weight_type, smooth, ignore_index
        self.include_background, self.from_logits = include_background, from_logits
        self.multilabel = multilabel

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.generalized_dice_loss(
            input,
            target,
            self.weight_type,
            self.smooth,
            self.ignore_index,
            self.reduction,
            include_background=self.include_background,
            from_logits=self.from_logits,
            multilabel=self.multilabel,
        )


class DiceCELoss(_ClassLoss):
    """Dice loss plus cross entropy, binary cross entropy for one class (as nnU-Net trains).

    Parameters
    ----------
    dice_weight, ce_weight : float, default 1
        Of the two parts.
    smooth, ignore_index, include_background, from_logits, multilabel, batch
        As for `DiceLoss`.
    reduction : {"mean", "sum"}
        Of each part.
    weight : Tensor, optional
        Weight of each class in the cross entropy, shape (C,).
    label_smoothing : float, default 0
        Of the cross entropy.

    Examples
    --------
    >>> import minigrad as mg
    >>> loss = mg.nn.DiceCELoss(dice_weight=0.5)
    >>> loss(mg.zeros(2, 3, 4, 4), mg.zeros(2, 4, 4).long())
    tensor(1.4589)
    """

    def __init__(
        self,
        dice_weight: float = 1.0,
        ce_weight: float = 1.0,
        smooth: float = 1.0,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        weight: Tensor | None = None,
        label_smoothing: float = 0.0,
        include_background: bool = True,
        from_logits: bool = True,
        multilabel: bool = False,
        batch: bool = False,
    ) -> None:
        super().__init__(weight, reduction)
        self.dice_weight, self.ce_weight = dice_weight, ce_weight
        self.smooth, self.ignore_index = smooth, ignore_index
        self.label_smoothing, self.include_background = label_smoothing, include_background
        self.from_logits, self.multilabel, self.batch = from_logits, multilabel, batch

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.dice_ce_loss(
            input,
            target,
            self.dice_weight,
            self.ce_weight,
            self.smooth,
            self.ignore_index,
            self.reduction,
            weight=self.weight,
            label_smoothing=self.label_smoothing,
            include_background=self.include_background,
            from_logits=self.from_logits,
            multilabel=self.multilabel,
            batch=self.batch,
        )
