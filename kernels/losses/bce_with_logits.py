"""Binary cross-entropy of sigmoid(x), with the positive class weighted by w:

value w y log(1 + e^-x) + (1 - y) log(1 + e^x);  slope (1 - y) p - w y (1 - p), p = sigmoid(x).

With s = log(1 + e^-|x|), log(1 + e^-x) = max(-x, 0) + s: nothing overflows.
"""

import math

from ..namespace import Array, Math, Point, Real, namespace


def reference(x: Array, y: Array, pos_weight: Array = 1.0) -> tuple[Array, Array, Array]:
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    positive = pos_weight * y
    value = positive * softplus(-x) + (1 - y) * softplus(x)
    slope = (1 - y) * sigmoid(x) - positive * sigmoid(-x)
    return value, slope, (pos_weight - 1) * softplus(-x) - x


# Of Tensors both are operations with slopes of their own: |x| would spoil these at 0.


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), whose exponential is never above 1."""
    xp = namespace(x)
    if hasattr(xp, "sigmoid"):
        return xp.sigmoid(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1 + e)


def softplus(x: Array) -> Array:
    """log(1 + e^x), which overflows nowhere."""
    xp = namespace(x)
    if hasattr(xp, "nn"):
        return xp.nn.functional.softplus(x, threshold=math.inf)
    return xp.clip(x, 0.0, None) + xp.log1p(xp.exp(-xp.abs(x)))


def rule(real: Real, math: Math) -> Point:
    """Scalar math: point(x, y, pos_weight, upstream) -> value, slope by x * upstream."""
    zero, one = real(0), real(1)
    exp, log1p, divide = math.exp_unit, math.log1p_unit, math.divide

    def point(x, y, pos_weight, upstream):
        e = exp(-abs(x))
        s = log1p(e)
        above, below = x if x > zero else zero, -x if x < zero else zero
        negative = one - y
        larger = divide(one, one + e)
        smaller = e * larger  # not 1 - larger: a confident slope keeps all its digits
        p, not_p = (larger, smaller) if x >= zero else (smaller, larger)
        # pos_weight * y would lose a subnormal y's digits before they count.
        value = pos_weight * (y * (below + s)) + negative * (above + s)
        return value, (negative * p - pos_weight * (y * not_p)) * upstream

    return point
