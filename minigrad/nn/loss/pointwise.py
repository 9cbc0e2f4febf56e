"""The losses of one number against another: L1, MSE, Smooth L1, binary cross-entropy.

Formula and slope of each stand in its file of kernels/losses/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import dtypes
from ...kernels import LOSSES
from ...tape import raw, run
from ...tensor import Tensor
from .checks import check_constant, check_number, check_reduction, check_tensors
from .fused import operation_of, pointwise, weighted

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "l1_loss", "mse_loss",
    "smooth_l1_loss",
]  # fmt: skip

MSE, L1, SMOOTH_L1, BCE = (operation_of(LOSSES[n]) for n in ("mse", "l1", "smooth_l1", "bce"))
BCE_WITH_LOGITS = operation_of(LOSSES["bce_with_logits"], holds="parameter")


def mse_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """(input - target)², floats of any one shape -> () or, with reduction "none", that shape.

    weight: of the input's shape, may require a gradient; "mean" then divides by its sum.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    return pointwise(MSE, input, target, (), reduction, weight=weight)


def l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """|input - target|; the rest as in mse_loss."""
    reduction = check_reduction(reduction, size_average, reduce)
    return pointwise(L1, input, target, (), reduction, weight=weight)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """d²/(2 beta) where |d| < beta, else |d| - beta/2; d = input - target. beta >= 0; 0 is L1."""
    reduction = check_reduction(reduction, size_average, reduce)
    check_number("beta", beta)
    if not beta >= 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta: got {beta}")
    if beta == 0:
        return pointwise(L1, input, target, (), reduction)
    return pointwise(SMOOTH_L1, input, target, (float(beta),), reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-(y log p + (1 - y) log(1 - p)) of probabilities p = input and targets y in [0, 1].

    input and target have one shape; weight broadcasts to it. The logarithms are at least -100.
    RuntimeError where an input or target lies outside [0, 1]; on a GPU the value is NaN there.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    each = reduction if weight is None else "none"
    out = pointwise(BCE, input, target, (), each, same_shape=True)
    if type(out.array) is np.ndarray:  # on a GPU a look at it would wait
        run(_check_probabilities, out.array, input.array, target.array)
    return out if weight is None else _rescaled(out, weight, reduction)


def _check_probabilities(out, input, target):
    """Numbers outside [0, 1] always end in NaN: look for the cause."""
    if np.isnan(out.sum()):
        for name, x in (("input", input), ("target", target)):
            outside = ~((x >= 0) & (x <= 1))
            if outside.any():
                position = np.unravel_index(outside.argmax(), outside.shape)
                raise RuntimeError(
                    f"all elements of {name} should be between 0 and 1, got {x[position]} at "
                    f"position {tuple(map(int, position))}"
                )


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """binary_cross_entropy(sigmoid(input), target), exact for large logits.

    input and target have one shape; weight and pos_weight (the positive class's) broadcast to it.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    check_tensors(input=input, target=target)
    check_constant(pos_weight=pos_weight)
    parameter: tuple = (1.0,)
    if pos_weight is not None:
        w = pos_weight.to(dtypes.result_type(input.array, target.array))
        single = w.array.size == 1 and not w.is_cuda
        w = w.reshape(()) if single else w.broadcast_to(input.shape)
        parameter = (Tensor.wrap(raw(w), None, pos_weight.version),)
    each = reduction if weight is None else "none"
    out = pointwise(BCE_WITH_LOGITS, input, target, parameter, each, same_shape=True)
    return out if weight is None else _rescaled(out, weight, reduction)


def _rescaled(values, weight, reduction):
    """The values times a constant weight, broadcast to their shape, reduced, in their dtype."""
    check_constant(weight=weight)
    return weighted(values, weight.to(values.dtype).broadcast_to(values.shape), reduction)
