"""What every loss asks of its arguments. Errors are of PyTorch's types."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ...autograd import is_grad_enabled
from ...dtypes import name_of
from ...tensor import Tensor


def check_reduction(
    reduction: str, size_average: Any = None, reduce: Any = None, stacklevel: int = 3
) -> str:
    """The reduction's name; the deprecated arguments are translated as PyTorch does."""
    if size_average is not None or reduce is not None:
        average, reduced = size_average is not False, reduce is not False
        reduction = "none" if not reduced else "mean" if average else "sum"
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{reduction}' instead.",
            stacklevel=stacklevel,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


def check_tensors(**arguments: Any) -> None:
    """TypeError unless all are Tensors."""
    for name, x in arguments.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {name_of(x)}")


def check_constant(**weights: Any) -> None:
    """TypeError unless all are Tensors or None, RuntimeError if one would need a gradient."""
    for name, x in weights.items():
        if x is not None and not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor or None, got {type(x).__name__}")
        if x is not None and x.requires_grad and is_grad_enabled():
            raise RuntimeError(
                f"{name}: a loss is not differentiable with respect to it; detach() it first"
            )


def check_number(name: str, x: Any) -> None:
    """TypeError unless x is a number, or a Tensor or array of shape ()."""
    if not isinstance(x, (int, float, np.integer, np.floating)) and getattr(x, "shape", None) != ():
        raise TypeError(f"{name}: expected a number, got {type(x).__name__}")
