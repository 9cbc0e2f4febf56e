"""Linear maps, and layers that only pass on or reshape."""

from __future__ import annotations

import math
from typing import Any

from ...tensor import Tensor
from .. import init
from ..functional import linear
from ..loss.checks import check_tensors
from ..module import Module
from .parameters import as_size, new_parameter

__all__ = ["Flatten", "Identity", "Linear"]


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        self.in_features = as_size("in_features", in_features)
        self.out_features = as_size("out_features", out_features)
        self.weight = new_parameter((self.out_features, self.in_features), device, dtype)
        self.register_parameter(
            "bias", new_parameter(self.out_features, device, dtype) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from within 1 / sqrt(in_features)."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        has_bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={has_bias}"


class Identity(Module):
    """Return the input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Join dimensions `start_dim` to `end_dim` into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        check_tensors(input=input)
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
