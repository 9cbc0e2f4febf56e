"""Binary cross-entropy of sigmoid(x), with the positive class weighted by w:

value w y log(1 + e^-x) + (1 - y) log(1 + e^x);  slope (1 - y) p - w y (1 - p), p = sigmoid(x).

With s = log(1 + e^-|x|), log(1 + e^-x) = max(-x, 0) + s: nothing overflows.
"""

from ..namespace import Array, Math, Point, Real, namespace


def reference(x: Array, y: Array, pos_weight: Array = 1.0) -> tuple[Array, Array, Array]:
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    s = xp.log1p(xp.exp(-xp.abs(x)))
    above, below = xp.clip(x, 0.0, None), xp.clip(-x, 0.0, None)
    positive = pos_weight * y
    value = positive * (below + s) + (1 - y) * (above + s)
    slope = (1 - y) * sigmoid(x) - positive * sigmoid(-x)
    by_target = (pos_weight - 1) * s + pos_weight * below - above  # -x without a weight
    return value, slope, by_target


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), whose exponential is never above 1."""
    xp = namespace(x)
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1 + e)


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
