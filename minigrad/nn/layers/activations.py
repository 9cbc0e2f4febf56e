"""Activation functions as modules."""

from __future__ import annotations

from typing import Any

from ...tensor import Tensor
from ..functional.activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from ..module import Module

__all__ = [
    "ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus",
    "Tanh",
]  # fmt: skip


class _Activation(Module):
    """Keeps the options of the function as attributes, and shows them.

    `inplace` is taken as PyTorch's scripts pass it; the input is left alone all the same.
    """

    def __init__(self, **options: Any):
        super().__init__()
        vars(self).update(options)
        self._options = tuple(k for k in options if k != "inplace" or options["inplace"])

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._options)


class ReLU(_Activation):
    """max(x, 0)."""

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        return relu(input)


class LeakyReLU(_Activation):
    """x, or negative_slope x where x is negative."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(negative_slope=negative_slope, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        return leaky_relu(input, self.negative_slope)


class ELU(_Activation):
    """x, or alpha (exp(x) - 1) where x is negative."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(alpha=alpha, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        return elu(input, self.alpha)


class GELU(_Activation):
    """x Φ(x), Φ the normal distribution's; approximate="tanh" is a faster approximation."""

    def __init__(self, approximate: str = "none"):
        super().__init__(approximate=approximate)

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, self.approximate)


class SiLU(_Activation):
    """x sigmoid(x)."""

    def __init__(self, inplace: bool = False):
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        return silu(input)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, and x where beta x exceeds threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__(beta=beta, threshold=threshold)

    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)


class Softmax(_Activation):
    """exp(x) divided by its sum over dimension `dim`."""

    def __init__(self, dim: int):
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)


class LogSoftmax(_Activation):
    """log(softmax(x)) over dimension `dim`."""

    def __init__(self, dim: int):
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)
