"""Squared error, d = x - y:  value d²;  slope 2d."""


def reference(x, y):
    """The value and its derivatives by x and by y, on arrays or Tensors of one shape."""
    d = x - y
    return d * d, 2 * d, -2 * d


def rule(real, math):
    """Scalar math: point(x, y, parameter, up) -> value, up * slope by x. No parameter here."""

    def point(x, y, _, up):
        d = x - y
        return d * d, d * (up + up)  # 2d may overflow where 2d/n does not

    return point
