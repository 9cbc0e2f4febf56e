"""Scalars that know their gradients, with micrograd's interface."""

from . import nn
from .compiled import compile
from .draw import draw
from .functions import (
    abs,
    clamp,
    cos,
    exp,
    log,
    log1p,
    max,
    min,
    relu,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)  # fmt: skip
from .value import Value
