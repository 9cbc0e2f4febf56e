"""The losses of classes: cross-entropy of logits, and the negative log-likelihood.

cross_entropy checks, and brings classes last; `_cross_entropy` is the operation, whose forward pass
leaves its slopes behind as a pointwise loss's does (fused.py); the kernels have the formula
(kernels/losses/cross_entropy.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...autograd import is_grad_enabled
from ...devices import module
from ...kernels import LOSSES, backend
from ...ops import elementwise, op, reduce
from ...tape import raw, run
from ...tensor import Tensor, apply, on_one_device
from .checks import check_constant, check_number, check_reduction, check_tensors
from .fused import per_element, promoted, reduced, scaled

__all__ = ["cross_entropy", "nll_loss"]


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-sum_c q_c log softmax(input)_c along the class dimension.

    input: logits (C,), (N, C) or (N, C, d1, ...). target: class indices, int, of input's shape
    without C, or probabilities of input's shape. weight: (C,), one per class; beside probabilities
    it may require a gradient. "mean" divides by the weights of the target classes that are not
    ignored, or by N (d1 ...) for probabilities.
    Raises IndexError for a class outside [0, C) that is not ignore_index; on a GPU, when a value
    is next read from there.
    """
    reduction = check_reduction(reduction, size_average, reduce)
    classes, rows = _check_arguments(input, target, weight, ignore_index, label_smoothing)
    smoothing = float(label_smoothing)  # of any type: float128 is none that kernels know
    if target.array.dtype.kind == "f":
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        target = _smoothed(_classes_last(target, classes), weight, smoothing)
        input, target = promoted(input, target)
        weight, count = None, len(target) if classes and len(target) else math.nan
    else:
        # They were checked for this: a change of them is an error.
        flat, count = run(_checked_classes, raw(target), raw(weight), classes, ignore_index)
        target = Tensor.wrap(flat, None, target.version)
    x = _classes_last(input, classes)
    slopes = run(list) if x.requires_grad and is_grad_enabled() else None
    options = (weight, int(ignore_index), smoothing, reduction, count, slopes)
    out = apply(_cross_entropy, (x, target, *options))
    return out.reshape(rows) if reduction == "none" else out


def _check_arguments(input, target, weight, ignore_index, label_smoothing=0.0):
    """Raise what PyTorch raises; gives the number of classes and the shape of the rows."""
    check_tensors(input=input, target=target)
    check_number("label_smoothing", label_smoothing)
    if not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"ignore_index: expected an integer, got {type(ignore_index).__name__}")
    if not -(2**63) <= ignore_index < 2**63:
        raise ValueError(f"ignore_index: expected an integer of 64 bits, got {ignore_index}")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if type(target.array) is not type(input.array):
        on_one_device((input, target))
    shape = input.array.shape
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"input: expected floating point logits, got {input.dtype}")
    if not shape:
        raise RuntimeError("input: expected (C,), (N, C) or (N, C, d1, ...), got a number")
    classes, rows = (shape[1], shape[:1] + shape[2:]) if len(shape) > 1 else (shape[0], ())
    _check_target(target, shape, rows)
    if weight is not None:
        _check_weight(weight, input, classes, beside_indices=target.array.dtype.kind != "f")
    return classes, rows


def _check_target(target, shape, rows):
    given, kind = target.array.shape, target.array.dtype.kind
    if kind == "f":
        if given != shape:
            raise (ValueError if rows and given[:1] != rows[:1] else RuntimeError)(
                f"target: probabilities must have the input's shape {shape}, got {given}; class "
                "indices must be integers"
            )
    elif given != rows and (len(shape), given) != (1, (1,)):
        raise (ValueError if given[:1] != rows[:1] else RuntimeError)(
            f"target: expected shape {rows} (one class per row) for input of shape {shape}, got "
            f"{given}"
        )
    elif kind == "b":
        raise RuntimeError(f"target: expected class indices or probabilities, got {target.dtype}")


def _check_weight(weight, input, classes, beside_indices):
    check_tensors(weight=weight)
    on_one_device((input, weight))
    if tuple(weight.shape) != (classes,):
        raise RuntimeError(
            "weight tensor should be defined either for all or no classes: expected shape "
            f"({classes},), got {tuple(weight.shape)}"
        )
    if beside_indices:
        check_constant(weight=weight)
        if weight.dtype != input.dtype:
            raise RuntimeError(f"weight: expected {input.dtype} as the input, got {weight.dtype}")


def _checked_classes(target, weight, classes, ignore_index):
    """Class indices as a flat int64 array, and the weight of those that are not ignored."""
    flat = target.astype(dtypes.int64, copy=False).reshape(-1)
    try:
        return flat, backend(flat).count_classes(flat, weight, classes, ignore_index)
    except IndexError as error:
        bad = error.args[0]
        position = tuple(map(int, np.unravel_index(bad, target.shape)))
        raise IndexError(
            f"target: class {flat[bad]} at position {position} is out of bounds for {classes} "
            f"classes; expected 0 to {classes - 1}, or ignore_index ({ignore_index})"
        ) from None


def _classes_last(input, classes):
    """(C,), (N, C) or (N, C, d1, ...) -> (rows, C)."""
    rank = input.array.ndim
    if rank > 2:
        input = input.permute(0, *range(2, rank), 1)
    return input if rank == 2 else input.reshape(math.prod(input.array.shape[:-1]), classes)


def _kept_classes(y, ignore_index):
    """Which rows are not to be ignored, and the classes with 0 for the others'."""
    keep = y != ignore_index
    return keep, np.where(keep, y, 0)


def _class_weights(target, weight, ignore_index, smoothing, shape, dtype):
    """Class indices (N,) as weights of every class in every row, (N, C); False for ignored rows."""
    keep = target != ignore_index
    rows = (target[:, None] == module(target).arange(shape[1])).astype(dtype)
    return _smoothed(rows, weight, smoothing) * keep[:, None], keep


def _smoothed(rows, weight, smoothing):
    """Probabilities (..., C), an array or a Tensor, smoothed and times the classes' weights."""
    if smoothing:
        rows = rows * (1 - smoothing) + smoothing / max(rows.shape[-1], 1)
    return rows if weight is None else rows * weight


def _one_pass(input, target, weight, ignore_index, smoothing, reduction, count, with_slopes):
    """The kernel's total, values and slopes: of class indices (N,), or of weights (N, C)."""
    loss, keep, kernels = LOSSES["cross_entropy"], None, backend(input)
    upstream, count = 1.0 if with_slopes else None, count if reduction == "mean" else 1.0
    options = (upstream, reduction == "none", count)
    if target.ndim == 1 and not smoothing:
        return kernels.run_classes(loss, input, target, weight, ignore_index, *options)
    if target.ndim == 1:
        form = (input.shape, input.dtype)
        target, keep = _class_weights(target, weight, ignore_index, smoothing, *form)
    return kernels.run_weights(loss, input, target, keep, *options)


def _by_logits(g, input, target, weight, ignore_index, smoothing, reduction, count, slopes):
    if isinstance(g, Tensor):
        keep = None
        if target.ndim == 1:
            options = (ignore_index, smoothing, input.shape, input.dtype)
            rows, keep = _class_weights(raw(target), raw(weight), *options)
            target = Tensor.wrap(rows, None, target.version)
        g = per_element(g, reduction, count)
        if keep is not None:  # what is ignored may be NaN, and the mean of nothing is
            input = elementwise.where(Tensor.wrap(keep[:, None]), input, 0.0)
            g = elementwise.where(Tensor.wrap(keep), g, 0.0)
        slope = reduce.softmax(input, 1) * target.sum(1, True) - target
        return slope * (g.unsqueeze(1) if g.ndim else g)

    def again():
        if target.ndim == 1:  # changed unseen, through .data or NumPy, they may be of no class
            _checked_classes(target, weight, input.shape[1], ignore_index)
        options = (weight, ignore_index, smoothing, reduction, count)
        return _one_pass(input, target, *options, True)[2]

    return scaled(g[:, None] if g.ndim else g, slopes, again)


def _by_probabilities(g, input, target, reduction, count):
    g = per_element(g, reduction, count)
    return -reduce.log_softmax(input, 1) * (g[:, None] if g.ndim else g)


@op(_by_logits, _by_probabilities, holds="weight")
def _cross_entropy(input, target, weight, ignore_index, smoothing, reduction, count, slopes):
    options = (weight, ignore_index, smoothing, reduction, count)
    total, values, slope = _one_pass(input, target, *options, slopes is not None)
    if slopes is not None:
        slopes.append(slope)
    return reduced(total, values, input.dtype)


@op(lambda g, input: elementwise.kinked(g, input))
def _picked_from(input):
    return input  # whose second derivative is 0 in PyTorch, where that of an index is absent


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-weight[y] * input[y] of log-probabilities; shapes and reductions as in cross_entropy."""
    reduction = check_reduction(reduction, size_average, reduce)
    classes, rows = _check_arguments(input, target, weight, ignore_index)
    if target.dtype.kind == "f":
        raise RuntimeError(f"target: expected class indices, got {target.dtype}")
    y, count = run(_checked_classes, raw(target), raw(weight), classes, ignore_index)
    keep, y = run(_kept_classes, y, ignore_index)
    positions = Tensor.wrap(run(module(y).arange, len(y)))
    y = Tensor.wrap(y, None, target.version)
    log_p = apply(_picked_from, (_classes_last(input, classes),))
    picked = -(log_p[positions, y] if classes else log_p.sum(1))
    if weight is not None:
        picked = picked * Tensor.wrap(raw(weight[y]), None, weight.version)
    values = elementwise.where(Tensor.wrap(keep), picked, 0.0)
    if reduction == "none":
        return values.reshape(rows)
    total = values.sum()
    return total if reduction == "sum" else (total / count).to(total.dtype)  # float64 on a GPU
