"""Smooth L1, d = x - y:  value d²/2β if |d| < β else |d| - β/2;  slope d/β, else sign d.

Quadratic near zero, linear far out (Girshick, "Fast R-CNN", 2015). β = 0 is L1.
"""

from ..namespace import Array, Math, Point, Real, namespace


def reference(x: Array, y: Array, beta: float = 1.0) -> tuple[Array, Array, Array]:
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    d = x - y
    near = xp.abs(d) < beta
    scaled = d / (beta or 1.0)
    slope = xp.where(near, scaled, xp.sign(d))
    return xp.where(near, 0.5 * d * scaled, xp.abs(d) - 0.5 * beta), slope, -slope


def rule(real: Real, math: Math) -> Point:
    """Scalar math: point(x, y, beta, upstream) -> value, slope by x * upstream."""
    half, one, large = real(0.5), real(1), real(2**24)

    def point(x, y, beta, upstream):
        d = x - y
        lift = large if beta < one else one  # 1 / beta alone may overflow; the loop divides once
        size, scaled = abs(d), d * lift * (one / (beta * lift))
        sign = one if d > 0 else -one if d < 0 else d
        near = size < beta
        value = half * d * scaled if near else size - half * beta
        return value, upstream * (scaled if near else sign)

    return point
