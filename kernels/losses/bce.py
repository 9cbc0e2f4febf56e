"""Binary cross-entropy of a probability x in [0, 1]:  value -(y log x + (1 - y) log(1 - x)).

The logarithms are cut off at -100, so that a wrong certainty costs 100 and not infinity; slope
(x - y) / (x (1 - x)), the divisor no less than EPSILON; slope by y log(1 - x) - log x. As in
PyTorch.
"""

from ..namespace import Array, Math, Point, Real, namespace

EPSILON = 9.999999960041972e-13  # 1e-12 rounded to float32: PyTorch's, also in float64


def reference(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    log_x, log_not_x = xp.log(x), xp.log1p(-x)
    value = -(y * xp.clip(log_x, -100.0, None) + (1 - y) * xp.clip(log_not_x, -100.0, None))
    slope = (x - y) / xp.clip(x * (1 - x), EPSILON, None)
    return value, slope, log_not_x - log_x


def rule(real: Real, math: Math) -> Point:
    """Scalar math: point(x, y, _, upstream) -> value, slope by x * upstream.

    An x or y outside [0, 1] gives a NaN value: the callers look for one.
    """
    zero, one, least, tiny, nan = map(real, (0, 1, -100, EPSILON, "nan"))
    # Infinity is outside [0, 1] as well.
    log, log1p, divide = math.log_finite, math.log1p_finite, math.divide

    def point(x, y, _, upstream):
        log_x, log_not_x = log(x), log1p(-x)
        log_x = least if log_x < least else log_x
        log_not_x = least if log_not_x < least else log_not_x
        spread = x * (one - x)
        spread = tiny if spread < tiny else spread
        value = -(y * log_x + (one - y) * log_not_x)
        return (value if y * (one - y) >= zero else nan), divide(x - y, spread) * upstream

    return point
