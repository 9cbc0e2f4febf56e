"""A pointwise loss as one operation: a pass of its kernel gives values and slopes at once.

From the functions beside this file a loss goes down through `pointwise`, which checks and promotes,
to the operation that `operation_of` makes of its kernel.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ... import dtypes
from ...autograd import is_grad_enabled
from ...devices import one
from ...kernels import backend
from ...ops import Op, op
from ...tape import run
from ...tensor import Tensor, apply, on_one_device
from .checks import check_tensors


def pointwise(
    operation: Op, input: Any, target: Any, parameter: tuple, reduction: str, *,
    same_shape: bool = False, weight: Any = None, mean_by_weight: bool = True,
) -> Tensor:  # fmt: skip
    """Check, broadcast and promote as PyTorch, then run the operation of a loss.

    weight: one for each element of the input, which may require a gradient; the mean divides by
    their sum, or else by how many there are.
    """
    given = input
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        check_tensors(input=input, target=target)
    if type(input.array) is not type(target.array):
        input, target = on_one_device((input, target)) or (input, target)
    if input.array.shape != target.array.shape:
        if same_shape:
            raise ValueError(
                f"target: size ({target.shape}) must be the same as the input size ({input.shape})"
            )
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        try:
            shape = np.broadcast_shapes(input.array.shape, target.array.shape)
        except ValueError as error:
            raise RuntimeError(f"target: {error}") from None
        input, target = input.broadcast_to(shape), target.broadcast_to(shape)
    input, target = promoted(input, target)
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"input: expected floating point values, got {input.dtype}")
    slopes = run(list) if input.requires_grad and is_grad_enabled() else None
    if weight is None:
        return apply(operation, (input, target, parameter, reduction, slopes))
    values = apply(operation, (input, target, parameter, "none", slopes))
    check_tensors(weight=weight)
    if weight.array.shape != given.array.shape:
        raise ValueError(
            f"weight: expected the same size as the input's, {tuple(given.shape)}, got "
            f"{tuple(weight.shape)}"
        )
    return weighted(values, weight, reduction, mean_by_weight)


def operation_of(loss: Any, holds: str | None = None, slopes_by: Any = None) -> Op:
    """The operation of a loss of minigrad.kernels, or of one that was derived.

    Its options are the rule's parameter, the reduction, and a list in which the forward pass leaves
    the slopes by the input, if a gradient will be asked for; else None. `holds` is "parameter" if
    that may be a Tensor. slopes_by: the slopes by input and by target as functions of these and the
    parameter, arrays or Tensors; unless given, the reference's.
    """
    by = slopes_by or [
        lambda input, target, parameter, k=k: loss.reference(input, target, *parameter)[k]
        for k in (1, 2)
    ]

    combine = getattr(loss, "combine", None)  # of a derived one that has parameters

    def one_pass(input, target, parameter, reduction, with_slopes):
        upstream, count = 1.0 if with_slopes else None, 1.0
        parameter = parameter if combine is None else combine(*parameter)
        if reduction == "mean":
            count = input.size or math.nan
        number = parameter[0] if len(parameter) == 1 else parameter or 0.0
        number = number.item() if getattr(number, "shape", None) == () else number
        return backend(input).run_pointwise(
            loss, input, target, number, upstream, reduction == "none", count
        )

    def by_input(g, input, target, parameter, reduction, slopes):
        if isinstance(g, Tensor):
            return by[0](input, target, parameter) * per_element(g, reduction, input.numel())
        return scaled(g, slopes, lambda: one_pass(input, target, parameter, reduction, True)[2])

    def by_target(g, input, target, parameter, reduction):
        slope = by[1](input, target, parameter)
        return slope * per_element(g, reduction, math.prod(input.shape))

    def forward(input, target, parameter, reduction, slopes):
        total, values, slope = one_pass(input, target, parameter, reduction, slopes is not None)
        if slopes is not None:
            slopes.append(slope)
        return reduced(total, values, input.dtype)

    forward.__name__ = loss.__name__.rpartition(".")[2]
    return op(by_input, by_target, holds=holds)(forward)


def per_element(g: Any, reduction: str, count: Any) -> Any:
    """The gradient of each single value from that of the reduced loss."""
    return g / count if reduction == "mean" else g


def reduced(total: Any, values: Any, dtype: np.dtype) -> Any:
    """What a kernel gave, as an array: the values one by one, if it gave them, or their total."""
    if values is not None:
        return values
    return np.array(total, dtype) if type(total) is float else total


def scaled(g: Any, slopes: list, recompute: Any) -> Any:
    """The gradient by the input, on arrays: g times the slopes that the forward pass left.

    They are handed on, not copied, so they serve one backward pass; later ones compute them anew.
    """
    try:  # not asked first: another thread may go backward through the same graph
        slope = slopes.pop()
    except IndexError:
        slope = recompute()
    if g is not one(slope):
        np.multiply(slope, g, out=slope)
    return slope


def promoted(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in their common dtype."""
    if input.array.dtype == target.array.dtype:
        return input, target
    dtype = dtypes.result_type(input.array, target.array)
    return input.to(dtype), target.to(dtype)


def weighted(values: Tensor, weight: Tensor, reduction: str, mean_by_weight=False) -> Tensor:
    """The values times a weight, reduced; "mean" divides by their number or the weight's sum."""
    values = values * weight
    if reduction == "mean" and mean_by_weight:
        return values.sum() / weight.sum(dtype=values.dtype)
    return values if reduction == "none" else getattr(values, reduction)()
