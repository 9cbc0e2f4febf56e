"""Smooth L1, d = x - y:  value d²/2β if |d| < β else |d| - β/2;  slope d/β, else sign d.

Quadratic near zero, linear far out (Girshick, "Fast R-CNN", 2015). β = 0 is L1.
"""

from ..namespace import namespace


def reference(x, y, beta=1.0):
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = namespace(x)
    d = x - y
    near = xp.abs(d) < beta
    scaled = d / (beta or 1.0)
    slope = xp.where(near, scaled, xp.sign(d))
    return xp.where(near, 0.5 * d * scaled, xp.abs(d) - 0.5 * beta), slope, -slope


def rule(real, math):
    """Scalar math: point(x, y, beta, up) -> value, up * slope by x."""
    half, one, large = real(0.5), real(1), real(2**24)

    def point(x, y, beta, up):
        d = x - y
        lift = large if beta < one else one  # 1 / beta alone may overflow; the loop divides once
        size, scaled = abs(d), d * lift * (one / (beta * lift))
        sign = one if d > 0 else -one if d < 0 else d
        near = size < beta
        value = half * d * scaled if near else size - half * beta
        return value, up * (scaled if near else sign)

    return point
