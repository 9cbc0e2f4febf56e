"""Scalars that know their gradients, with micrograd's interface."""

from . import nn
from .draw import draw
from .functions import *
from .program import compile as compile
from .value import Value

__all__ = [
    "Value", "clamp", "cos", "draw", "exp", "log", "log1p", "nn", "relu", "sigmoid", "sin",
    "softplus", "sqrt", "tanh", "where",
]  # fmt: skip


def __dir__() -> list[str]:
    """The public names: also those that a star import must not put in the place of Python's."""
    return sorted([*__all__, "abs", "compile", "max", "min"])
