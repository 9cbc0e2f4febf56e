"""Absolute error, d = x - y:  value |d|;  slope sign d, 0 at 0 and (as PyTorch's) at NaN."""

from ..namespace import Array, Math, Point, Real, namespace


def reference(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    d = x - y
    slope = xp.sign(xp.where(d == d, d, 0.0))
    return xp.abs(d), slope, -slope


def rule(real: Real, math: Math) -> Point:
    """Scalar math: point(x, y, _, upstream) -> value, slope by x * upstream."""
    zero, one = real(0), real(1)

    def point(x, y, _, upstream):
        d = x - y
        return abs(d), upstream * (one if d > 0 else -one if d < 0 else zero)

    return point
