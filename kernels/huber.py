"""Huber, d = x - y:  value d²/2 if |d| < δ else δ (|d| - δ/2);  slope d, else δ sign d.

Source: Huber, "Robust Estimation of a Location Parameter", 1964.
"""


def reference(x, y, delta=1.0):
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    xp = x.__array_namespace__()
    d = x - y
    near = xp.abs(d) < delta
    slope = xp.where(near, d, delta * xp.sign(d))
    return xp.where(near, 0.5 * d * d, delta * (xp.abs(d) - 0.5 * delta)), slope, -slope


def rule(real, math):
    """Scalar math: point(x, y, delta, up) -> value, up * slope by x."""
    half = real(0.5)

    def point(x, y, delta, up):
        d = x - y
        size = abs(d)
        near = size < delta
        far = delta if d > 0 else -delta if d < 0 else d
        value = half * d * d if near else delta * (size - half * delta)
        return value, up * (d if near else far)

    return point
