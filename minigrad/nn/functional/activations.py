"""Activation functions. relu, sigmoid, tanh and the softmaxes are operations of Tensors as well."""

from __future__ import annotations

import math

import numpy as np

from ...creation import check_numbers
from ...functions import erf, log_softmax, relu, sigmoid, softmax, tanh
from ...ops import elementwise, op, promotion
from ...ops.elementwise import kinked, where
from ...tensor import Tensor, apply
from ..loss.checks import check_tensors

__all__ = [
    "elu", "erf", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax",
    "softplus", "tanh",
]  # fmt: skip


@op(
    lambda g, input, negative_slope: kinked(where(input > 0, g, g * negative_slope), input),
    promote=promotion.common,
)
def _leaky_relu(input, negative_slope):
    return np.where(input > 0, input, input * negative_slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """input where it is positive, else negative_slope * input."""
    check_numbers(negative_slope=negative_slope)
    return apply(_leaky_relu, (input, negative_slope))


@op(
    lambda g, input, alpha: where(
        input > 0, g, g * alpha * elementwise.exp(where(input < 0, input, 0.0))
    ),
    promote=promotion.common,
)
def _elu(input, alpha):
    return np.where(input > 0, input, alpha * np.expm1(np.minimum(input, 0)))


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input where it is positive, else alpha * (exp(input) - 1)."""
    check_numbers(alpha=alpha)
    return apply(_elu, (input, alpha))


def silu(input: Tensor) -> Tensor:
    """input * sigmoid(input)."""
    check_tensors(input=input)
    return input * sigmoid(input)


def _smooth_slope(z, threshold):
    return elementwise.sigmoid(where(z >= threshold, threshold, z))  # the same from there on


@op(
    lambda g, input, beta, threshold: where(
        input * beta > threshold, g, g * _smooth_slope(input * beta, threshold)
    ),
    promote=promotion.common,
)
def _softplus(input, beta, threshold):
    z = input * beta
    smooth = (np.maximum(z, 0) + np.log1p(np.exp(-np.absolute(z)))) / beta
    return np.where(z > threshold, input, smooth)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta; the identity where beta * input > threshold."""
    check_numbers(beta=beta, threshold=threshold)
    return apply(_softplus, (input, beta, threshold))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """input * Φ(input), Φ the standard normal's distribution; "tanh" approximates it.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    check_tensors(input=input)
    if approximate == "none":
        return input * (0.5 * (1 + erf(input * math.sqrt(0.5))))
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)
        return input * (0.5 * (1 + tanh(inner)))
    raise RuntimeError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")
