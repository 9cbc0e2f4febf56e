"""Functions NumPy lacks."""

import math

from numba import vectorize


@vectorize(cache=True)
def erf(x):
    """The error function, elementwise on floats."""
    return math.erf(x)
