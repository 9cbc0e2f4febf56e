"""The functions of scalar math, of Values and of plain numbers.

What has an operation as a method is asked for it: `exp(x)` is `x.exp()`, so one function serves
Values and whatever else computes with scalars. A number gives a number, as IEEE 754 says it:
log(0) is -inf, log(-1) NaN, exp(1000) inf.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from .operations import OPERATIONS

_NAMES = ("exp", "log", "log1p", "sqrt", "sin", "cos", "tanh", "pow")
_PYTHON, _NUMPY = ({name: getattr(m, name) for name in _NAMES} for m in (math, np))


def ieee(name: str, *operands: float) -> float:
    """An operation's value where Python raises: a division by zero, an overflow, log(0)."""
    numbers = dict(zip("abc", map(np.float64, operands), strict=False))
    with np.errstate(all="ignore"):
        return float(eval(OPERATIONS[name].value, _NUMPY, numbers))


def _number(name: str, *operands: float) -> float:
    """An operation's value as Values have it."""
    try:
        numbers = dict(zip("abc", map(float, operands), strict=False))
        return float(eval(OPERATIONS[name].value, _PYTHON, numbers))
    except (ArithmeticError, ValueError):
        return ieee(name, *operands)


def _unary(name, doc):
    def function(x):
        return _number(name, x) if isinstance(x, Real) else getattr(x, name)()

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


exp = _unary("exp", "e to the power of x.")
log = _unary("log", "The natural logarithm: -inf at 0, NaN below.")
log1p = _unary("log1p", "log(1 + x), exact for small x.")
sqrt = _unary("sqrt", "The square root; NaN below 0. Its slope at 0 is infinite.")
sin = _unary("sin", "The sine of an angle in radians.")
cos = _unary("cos", "The cosine of an angle in radians.")
tanh = _unary("tanh", "The hyperbolic tangent.")
sigmoid = _unary("sigmoid", "1 / (1 + exp(-x)).")
softplus = _unary("softplus", "log(1 + exp(x)), which overflows nowhere.")
relu = _unary("relu", "x, or 0 where x is below; slope 0 at 0.")
abs = _unary("abs", "|x|; slope 0 at 0.")


def _extreme(name, doc):
    def function(a, b):
        if isinstance(a, Real):
            return _number(name, a, b) if isinstance(b, Real) else getattr(b, name)(a)
        out = getattr(a, name)(b)
        return getattr(b, name)(a) if out is NotImplemented else out

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


max = _extreme("max", "The larger of two; half the slope each where they are equal. NaN wins.")
min = _extreme("min", "The smaller of two; half the slope each where they are equal. NaN wins.")


def where(condition, a, b):
    """a where the condition holds, else b: the other one gets no gradient.

    condition: a comparison; a and b: Values or numbers. A Value if one of them is, either way.
    """
    if hasattr(condition, "where"):
        return condition.where(a, b)
    chosen, other = (a, b) if condition else (b, a)
    if isinstance(chosen, Real) and hasattr(other, "backward"):
        return type(other)(chosen)
    return chosen


def clamp(x, lowest, highest):
    """x between two bounds, as torch.clamp: slope 1 inside and on a bound, 0 beyond."""
    return where(x < lowest, lowest, where(x > highest, highest, x))
