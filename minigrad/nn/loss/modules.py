"""The losses as modules. Formulas, shapes, options and errors: see the function of each."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from ..module import Module
from .checks import check_reduction
from .classes import cross_entropy, nll_loss
from .derived import huber_loss, poisson_nll_loss
from .pointwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "NLLLoss",
    "PoissonNLLLoss", "SmoothL1Loss",
]  # fmt: skip


class _Loss(Module):
    """Keeps the reduction and the weights, which are buffers.

    The deprecated size_average and reduce are translated once, here.
    """

    def __init__(
        self, reduction: str, size_average: Any = None, reduce: Any = None, **weights: Tensor | None
    ):
        super().__init__()
        self.reduction = check_reduction(reduction, size_average, reduce, stacklevel=4)
        for name, weight in weights.items():
            self.register_buffer(name, weight)


class _ElementWeightedLoss(_Loss):
    """weight: of the input's shape, one for each element."""

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        weight: Tensor | None = None,
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce, weight=weight)


class L1Loss(_ElementWeightedLoss):
    """|x - y|. Robust to outliers; the slope jumps at 0."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction, weight=self.weight)


class MSELoss(_ElementWeightedLoss):
    """(x - y)². Smooth; far-off predictions dominate."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction, weight=self.weight)


class SmoothL1Loss(_Loss):
    """Quadratic where |x - y| < beta, linear beyond."""

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        beta: float = 1.0,
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """delta times Smooth L1 with beta = delta."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None):
        super().__init__(reduction, weight=weight)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta, self.weight)


class PoissonNLLLoss(_Loss):
    """The negative log-likelihood of counts, from rates or their logarithms."""

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ):
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        options = (self.log_input, self.full, self.eps)
        return poisson_nll_loss(input, target, *options, reduction=self.reduction)


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities, as a sigmoid gives them."""

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean",
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce, weight=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits: the sigmoid is included."""

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean", pos_weight: Tensor | None = None,
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce, weight=weight, pos_weight=pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        options = {"reduction": self.reduction, "pos_weight": self.pos_weight}
        return binary_cross_entropy_with_logits(input, target, self.weight, **options)


class CrossEntropyLoss(_Loss):
    """Softmax cross-entropy of logits against class indices or probabilities."""

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, ignore_index: int = -100,
        reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce, weight=weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        options = (None, self.ignore_index, None, self.reduction, self.label_smoothing)
        return cross_entropy(input, target, self.weight, *options)


class NLLLoss(_Loss):
    """The negative log-likelihood of log-probabilities, as LogSoftmax gives them."""

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, ignore_index: int = -100,
        reduce: Any = None, reduction: str = "mean",
    ):  # fmt: skip
        super().__init__(reduction, size_average, reduce, weight=weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        options = (None, self.ignore_index, None, self.reduction)
        return nll_loss(input, target, self.weight, *options)
