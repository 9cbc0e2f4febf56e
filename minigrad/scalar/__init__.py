"""Scalars that know their gradients, with micrograd's interface."""

from .draw import draw
from .compiled import compile
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
    sqrt,
    tanh,
    where,
)  # fmt: skip
from .value import Value
