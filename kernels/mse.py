"""Squared error, d = x - y:  value d²;  slope 2d."""


def reference(x, y):
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    d = x - y
    return d * d, 2 * d, -2 * d


def rule(real, math):
    """Scalar math: point(x, y, parameter) -> value, slope by x. Here without a parameter."""

    def point(x, y, _):
        d = x - y
        return d * d, d + d

    return point
