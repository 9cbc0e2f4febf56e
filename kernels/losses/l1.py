"""Absolute error, d = x - y:  value |d|;  slope sign d, 0 at 0 and (as PyTorch's) at NaN."""

from ..namespace import namespace


def reference(x, y):
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    d = x - y
    slope = xp.sign(xp.where(d == d, d, 0.0))
    return xp.abs(d), slope, -slope


def rule(real, math):
    """Scalar math: point(x, y, parameter, up) -> value, up * slope by x. No parameter here."""
    zero, one = real(0), real(1)

    def point(x, y, _, up):
        d = x - y
        return abs(d), up * (one if d > 0 else -one if d < 0 else zero)

    return point
