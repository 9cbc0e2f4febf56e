"""Elementwise operations. `g` is the gradient of the result; slopes at kinks are PyTorch's."""

import math

import numpy as np

from ..kernels import backend
from . import promotion
from .op import Array, op


@op(None)
def _zero(input):
    """Zeros like `input`: the gradient by what moves the result nowhere, even of infinity."""
    return np.zeros_like(input)


@op(lambda g: g, lambda g: _zero(g))
def kinked(slope, input):
    """`slope`, which depends on `input` but is the same all around it: the derivative by it is 0,
    as PyTorch has it, and not absent."""
    return slope


def _scaled(x, alpha):
    if not isinstance(alpha, (int, float)):
        raise TypeError(f"alpha: expected a number, got {type(alpha).__name__}")
    if isinstance(alpha, float) and hasattr(x, "dtype") and x.dtype.kind != "f":
        raise RuntimeError(f"alpha: expected an integer for integer tensors, got {alpha}")
    return x * alpha


@op(lambda g: g, lambda g, alpha: g if alpha == 1 else g * alpha, promote=promotion.common)
def add(input, other, alpha=1):
    """input + alpha * other."""
    return np.add(input, other if alpha == 1 else _scaled(other, alpha))


@op(lambda g: g, lambda g, alpha: g * -alpha, promote=promotion.subtraction)
def sub(input, other, alpha=1):
    """input - alpha * other."""
    return np.subtract(input, other if alpha == 1 else _scaled(other, alpha))


@op(lambda g, other: g * other, lambda g, input: g * input, promote=promotion.common)
def mul(input, other):
    """input * other."""
    return np.multiply(input, other)


@op(
    lambda g, other: g / other, lambda g, out, other: -(g * out / other), promote=promotion.floating
)
def _div(input, other):
    return np.divide(input, other)


def div(input, other, *, rounding_mode=None) -> Array:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other)
    raise RuntimeError(f"rounding_mode: expected None, 'trunc' or 'floor', got {rounding_mode!r}")


def _divided(function, input, other):
    """function(input, other); a float divided by 0 is inf or NaN, an integer has no answer."""
    out = function(input, other)
    if out.dtype.kind != "f" and not np.all(other):
        raise RuntimeError("ZeroDivisionError: integer division or modulo by zero")
    return out


@op(lambda g: _zero(g), lambda g: _zero(g), promote=promotion.numeric)
def floor_divide(input, other):
    """The quotient rounded towards minus infinity."""
    return _divided(np.floor_divide, input, other)


@op(lambda g: _zero(g), lambda g: _zero(g), promote=promotion.numeric)
def _truncated(input, other):
    """The quotient rounded towards 0."""
    out = _divided(np.floor_divide, input, other)
    if out.dtype.kind == "f":
        return np.trunc(input / other)
    return out + ((out < 0) & (out * other != input))


@op(
    lambda g: g,
    lambda g, input, other: -(g * floor_divide(input, other)),
    promote=promotion.numeric,
)
def remainder(input, other):
    """input - floor(input / other) * other: the sign follows `other`, as Python's %."""
    return _divided(np.remainder, input, other)


def _pow_slope(g, input, exponent):
    if isinstance(exponent, (int, float)):
        slope = exponent * input ** (exponent - 1)
        return g * slope if exponent != 0 else _zero(g * input)
    flat = exponent == 0  # not 0 * inf where input is 0
    return where(flat, 0.0, g * exponent * input ** where(flat, 1.0, exponent - 1))


def _by_exponent(g, out, input, exponent):
    flat = (input == 0) & (exponent >= 0)
    return where(flat, 0.0, g * out * log(where(flat, 1.0, _tensor_like(input, exponent))))


@op(_pow_slope, _by_exponent, promote=promotion.numeric)
def pow(input, exponent):
    """input ** exponent."""
    return np.power(input, exponent)


def _tensor_like(number, like):
    """A Python number as what `like` is, so that functions of it can be taken."""
    return number if hasattr(number, "shape") else like * 0 + number


@op(lambda g: -g, promote=promotion.numeric)
def neg(input):
    """-input."""
    return np.negative(input)


@op(lambda g, input: g * sign(input), promote=promotion.numeric)
def abs(input):
    """|input|; the slope at 0 is 0."""
    return np.absolute(input)


@op(lambda g: _zero(g), promote=promotion.common)
def sign(input):
    """-1, 0 or 1."""
    return np.sign(input) if input.dtype != bool else input


@op(lambda g, out: g * out, promote=promotion.floating)
def exp(input):
    """e to the input."""
    return np.exp(input)


@op(lambda g, input: g / input, promote=promotion.floating)
def log(input):
    """The natural logarithm; -inf at 0, NaN below."""
    return np.log(input)


@op(lambda g, input: g / (input + 1), promote=promotion.floating)
def log1p(input):
    """log(1 + input), accurate near 0."""
    return np.log1p(input)


@op(lambda g, out: g * (out + 1), promote=promotion.floating)
def expm1(input):
    """exp(input) - 1, accurate near 0."""
    return np.expm1(input)


@op(lambda g, input: g / (input * math.log(2)), promote=promotion.floating)
def log2(input):
    """The logarithm to base 2."""
    return np.log2(input)


@op(lambda g, out: g / (out + out), promote=promotion.floating)
def sqrt(input):
    """The square root; NaN below 0."""
    return np.sqrt(input)


@op(lambda g, out: g * out**3 * -0.5, promote=promotion.floating)
def rsqrt(input):
    """1 / sqrt(input)."""
    return 1 / np.sqrt(input)


@op(lambda g, input: _pow_slope(g, input, 2), promote=promotion.numeric)
def square(input):
    """input²."""
    return np.square(input)


@op(lambda g, out: -(g * out * out), promote=promotion.floating)
def reciprocal(input):
    """1 / input."""
    return 1 / input


@op(lambda g, input: g * cos(input), promote=promotion.floating)
def sin(input):
    """The sine of an angle in radians."""
    return np.sin(input)


@op(lambda g, input: -(g * sin(input)), promote=promotion.floating)
def cos(input):
    """The cosine of an angle in radians."""
    return np.cos(input)


@op(lambda g, out: g * (1 + out * out), promote=promotion.floating)
def tan(input):
    """The tangent of an angle in radians."""
    return np.tan(input)


@op(lambda g, out: g * (1 - out * out), promote=promotion.floating)
def tanh(input):
    """The hyperbolic tangent."""
    return np.tanh(input)


@op(lambda g, out: g * ((1 - out) * out), promote=promotion.floating)
def sigmoid(input):
    """1 / (1 + exp(-input)); exact limits at ±inf."""
    return 1 / (1 + np.exp(-input))


@op(lambda g, out: zero_below(g, out), promote=promotion.numeric)
def relu(input):
    """max(input, 0); the slope at 0 is 0."""
    if input.dtype.kind == "f":
        return zero_below.forward(input, input)  # np.maximum takes twice as long
    return np.maximum(input, 0)


@op(
    lambda g, input: g * (2 / math.sqrt(math.pi)) * exp(-(input * input)),
    promote=promotion.floating,
)
def erf(input):
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to input."""
    return backend(input).run_erf(input)


@op(
    lambda g, input, other: where(input < other, 0.0, where(input == other, g / 2, g)),
    lambda g, input, other: where(other < input, 0.0, where(input == other, g / 2, g)),
    promote=promotion.common,
)
def maximum(input, other):
    """The larger of the two, NaN if either is; a tie sends half the gradient to each."""
    return np.maximum(input, other)


@op(
    lambda g, input, other: where(input > other, 0.0, where(input == other, g / 2, g)),
    lambda g, input, other: where(other > input, 0.0, where(input == other, g / 2, g)),
    promote=promotion.common,
)
def minimum(input, other):
    """The smaller of the two, NaN if either is; a tie sends half the gradient to each."""
    return np.minimum(input, other)


def _above(input, min):
    return True if min is None else input >= min


def _below(input, max):
    return True if max is None else input <= max


def _less(max, min):
    return False if min is None else max < min


@op(
    lambda g, input, min, max: where(
        (input != input) | (_above(input, min) & _below(input, max)), g, 0.0
    ),
    lambda g, input, min, max: where((input < min) & _below(min, max), g, 0.0),
    lambda g, input, min, max: where((input > max) | _less(max, min), g, 0.0),
    promote=promotion.limits,
)
def clamp(input, min=None, max=None):
    """input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
    if min is None and max is None:
        raise RuntimeError("clamp(): at least one of 'min' or 'max' must not be None")
    out = input if min is None else np.maximum(input, min)
    return out if max is None else np.minimum(out, max)


@op(
    None,
    lambda g, condition: where(condition, g, 0.0),
    lambda g, condition: where(condition, 0.0, g),
    promote=promotion.chosen,
)
def where(condition, input, other):
    """input where condition, else other."""
    if not hasattr(condition, "dtype"):
        raise where.no_tensor((condition, input, other))
    if condition.dtype.kind != "b":
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got {condition.dtype}"
        )
    return np.where(condition, input, other)


@op(lambda g, out: zero_below(g, out), lambda g: _zero(g))
def zero_below(input, out):
    """input, but 0 where `out` (of the same shape and dtype) is not above 0; NaN is above."""
    return backend(input).run_zero_below(input, out)


def _rounded(function, input):
    """function(input) of floats; integers are whole, and CuPy's would become floats."""
    return function(input) if input.dtype.kind == "f" else input.copy("K")


@op(lambda g: _zero(g), promote=promotion.numeric)
def floor(input):
    """The largest integer not above."""
    return _rounded(np.floor, input)


@op(lambda g: _zero(g), promote=promotion.numeric)
def ceil(input):
    """The smallest integer not below."""
    return _rounded(np.ceil, input)


@op(lambda g: _zero(g), promote=promotion.numeric)
def trunc(input):
    """The integer part."""
    return _rounded(np.trunc, input)


@op(lambda g: _zero(g), promote=promotion.numeric)
def round(input, decimals=0):
    """The nearest number with so many decimals; halves go to the even neighbour."""
    return np.round(input, decimals)


def _without_gradient(function, doc, promote=None):
    """An operation straight from a NumPy function of one or two arrays."""

    def unary(input):
        return function(input)

    def binary(input, other):
        return function(input, other)

    forward = (unary, binary)[function.nin - 1]
    forward.__name__, forward.__doc__ = function.__name__, doc
    return op(*[None] * function.nin, promote=promote)(forward)


eq = _without_gradient(np.equal, "input == other.", promotion.common)
ne = _without_gradient(np.not_equal, "input != other.", promotion.common)
lt = _without_gradient(np.less, "input < other.", promotion.common)
le = _without_gradient(np.less_equal, "input <= other.", promotion.common)
gt = _without_gradient(np.greater, "input > other.", promotion.common)
ge = _without_gradient(np.greater_equal, "input >= other.", promotion.common)
logical_and = _without_gradient(np.logical_and, "Both are nonzero.", promotion.any_dtypes)
logical_or = _without_gradient(np.logical_or, "At least one is nonzero.", promotion.any_dtypes)
logical_xor = _without_gradient(np.logical_xor, "Just one is nonzero.", promotion.any_dtypes)
logical_not = _without_gradient(np.logical_not, "Is zero.")
_BITS = "bools or integers."
bitwise_and = _without_gradient(np.bitwise_and, f"input & other, {_BITS}", promotion.common)
bitwise_or = _without_gradient(np.bitwise_or, f"input | other, {_BITS}", promotion.common)
bitwise_xor = _without_gradient(np.bitwise_xor, f"input ^ other, {_BITS}", promotion.common)
bitwise_not = _without_gradient(np.invert, f"~input, {_BITS}")
isnan = _without_gradient(np.isnan, "Is NaN.")
isinf = _without_gradient(np.isinf, "Is plus or minus infinity.")
isfinite = _without_gradient(np.isfinite, "Is neither infinite nor NaN.")
