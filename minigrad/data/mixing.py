"""Mixing the images of one batch: mixup and CutMix.

Both take images (N, C, *spatial) and soft labels (N, classes), and a generator that the
`DataLoader` seeds for every batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import whole_number
from minigrad.errors import DTypeError, OptionError, RangeError
from minigrad.loading import check_numbers

__all__ = ["Mix", "cutmix", "mixup", "one_hot"]

Floats = NDArray[np.float32]
Rng = np.random.Generator


def one_hot(labels: NDArray[np.integer[Any]], classes: int) -> Floats:
    """Return a row per label with 1 at its class.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.array([1]), 3).tolist()
    [[0.0, 1.0, 0.0]]
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: labels are whole numbers, got {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise RangeError(
            f"one_hot: labels reach from {labels.min()} to {labels.max()}, but the {classes} "
            f"classes are numbered 0 to {classes - 1}"
        )
    rows: Floats = np.eye(classes, dtype=np.float32)[labels]
    return rows


def mixup(images: Floats, labels: Floats, rng: Rng, alpha: float = 0.8) -> tuple[Floats, Floats]:
    r"""Blend every image and its label with those of another sample.

    .. math:: x' = λ x + (1 - λ) x_π, \quad λ ∼ Beta(α, α)

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.eye(2, dtype=np.float32)
    >>> x = y.reshape(2, 1, 1, 2)
    >>> x, y = mixup(x, y, np.random.default_rng(0))
    >>> bool(np.allclose(x.reshape(2, 2), y))
    True
    """
    keep = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    rest = np.float32(1) - keep
    return keep * images + rest * images[other], keep * labels + rest * labels[other]


def cutmix(images: Floats, labels: Floats, rng: Rng, alpha: float = 1.0) -> tuple[Floats, Floats]:
    """Paste a box of another sample into every image; labels mix by area.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((2, 1, 4, 4), np.float32); x[1] = 1
    >>> x, y = cutmix(x, np.eye(2, dtype=np.float32), np.random.default_rng(0))
    >>> bool(np.allclose(x.mean((1, 2, 3)), y[:, 1]))
    True
    """
    sizes = images.shape[2:]
    share = 1 - rng.beta(alpha, alpha)
    other = rng.permutation(len(images))
    box: list[slice] = []
    for n in sizes:
        centre, half = rng.integers(0, n), n * share ** (1 / len(sizes)) / 2
        box.append(slice(max(0, round(centre - half)), min(n, round(centre + half))))
    images = images.copy()
    target = images[:, :, *box]
    rest = np.float32(target[0, 0].size / images[0, 0].size)  # what the image really lost
    target[...] = images[other][:, :, *box]
    return images, (np.float32(1) - rest) * labels + rest * labels[other]


class Mix:
    """Mix a batch with mixup or CutMix, and turn its labels into soft ones.

    Parameters
    ----------
    classes : int
        Number of classes.
    mixup, cutmix : float, default 0
        The α of each; 0 switches it off.
    p : float, default 1
        Probability that a batch is mixed at all.
    switch : float, default 0.5
        With both on, the probability that it is mixed by CutMix.

    Examples
    --------
    >>> import numpy as np
    >>> mix = Mix(10, mixup=0.8)
    >>> x, y = np.zeros((4, 1, 8, 8), np.float32), np.arange(4)
    >>> mix(x, y, np.random.default_rng(0))[1].sum(1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        classes: int,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        p: float = 1.0,
        switch: float = 0.5,
    ) -> None:
        classes = whole_number("Mix: classes", classes, 1)
        check_numbers("Mix", mixup=mixup, cutmix=cutmix, p=p, switch=switch)
        if not (mixup >= 0 and cutmix >= 0 and 0 <= p <= 1 and 0 <= switch <= 1):  # nor NaN
            raise OptionError(
                f"Mix: mixup and cutmix must be 0 or more, p and switch in [0, 1]; "
                f"got mixup={mixup}, cutmix={cutmix}, p={p}, switch={switch}"
            )
        self.classes, self.mixup, self.cutmix = classes, mixup, cutmix
        self.p, self.switch = p, switch

    def __call__(
        self, images: Floats, labels: NDArray[np.int64], rng: Rng
    ) -> tuple[Floats, Floats]:
        soft = one_hot(labels, self.classes)
        if not (self.mixup or self.cutmix) or rng.random() >= self.p:
            return images, soft
        if self.cutmix and (not self.mixup or rng.random() < self.switch):
            return cutmix(images, soft, rng, self.cutmix)
        return mixup(images, soft, rng, self.mixup)

    def __repr__(self) -> str:
        return (
            f"Mix({self.classes}, mixup={self.mixup}, cutmix={self.cutmix}, p={self.p}, "
            f"switch={self.switch})"
        )
