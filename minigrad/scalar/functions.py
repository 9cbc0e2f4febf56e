"""The functions of scalar math, of Values and of plain numbers.

What has an operation as a method is asked for it: `exp(x)` is `x.exp()`, so one function serves
Values and whatever else computes with scalars. A number gives a number, as IEEE 754 says it:
log(0) is -inf, log(-1) NaN, exp(1000) inf.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Protocol, TypeVar, overload

from .operations import compute

__all__ = [
    "abs", "clamp", "cos", "exp", "log", "log1p", "max", "min", "relu", "sigmoid", "sin",
    "softplus", "sqrt", "tanh", "where",
]  # fmt: skip


class Scalar(Protocol):
    """What has the operations as methods: a Value, or a number that is being traced."""

    def exp(self) -> Any: ...


S = TypeVar("S", bound=Scalar)


class Unary(Protocol):
    """A number of a number, a Value of a Value."""

    @overload
    def __call__(self, x: float) -> float: ...
    @overload
    def __call__(self, x: S) -> S: ...


class Binary(Protocol):
    """A number of two numbers, a Value where one of them is."""

    @overload
    def __call__(self, a: float, b: float) -> float: ...
    @overload
    def __call__(self, a: S, b: S | float) -> S: ...
    @overload
    def __call__(self, a: float, b: S) -> S: ...


def _unary(name: str, doc: str) -> Unary:
    def function(x: Any) -> Any:
        return compute(name, x) if isinstance(x, Real) else getattr(x, name)()

    function.__name__, function.__qualname__, function.__doc__ = name, name, doc
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


def _binary(name: str, doc: str) -> Binary:
    def function(a: Any, b: Any) -> Any:
        if isinstance(a, Real):
            return compute(name, a, b) if isinstance(b, Real) else getattr(b, name)(a)
        out = getattr(a, name)(b)
        return getattr(b, name)(a) if out is NotImplemented else out

    function.__name__, function.__qualname__, function.__doc__ = name, name, doc
    return function


max = _binary("max", "The larger of two; half the slope each where they are equal. NaN wins.")
min = _binary("min", "The smaller of two; half the slope each where they are equal. NaN wins.")


@overload
def where(condition: object, a: float, b: float) -> float: ...
@overload
def where(condition: object, a: S, b: S | float) -> S: ...
@overload
def where(condition: object, a: float, b: S) -> S: ...
def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b: the other one gets no gradient.

    condition: a comparison; a and b: Values or numbers. A Value if one of them is, either way.
    """
    if hasattr(condition, "where"):
        return condition.where(a, b)
    chosen, other = (a, b) if condition else (b, a)
    if isinstance(chosen, Real) and hasattr(other, "backward"):
        return type(other)(chosen)
    return chosen


@overload
def clamp(x: float, lowest: float, highest: float) -> float: ...
@overload
def clamp(x: S, lowest: S | float, highest: S | float) -> S: ...
def clamp(x: Any, lowest: Any, highest: Any) -> Any:
    """x between two bounds, as torch.clamp: slope 1 inside and on a bound, 0 beyond."""
    return where(x < lowest, lowest, where(x > highest, highest, x))
