"""Functions NumPy lacks."""

import math

import numpy as np
from numba import njit


def erf(x):
    """The error function of a float array, elementwise."""
    out = np.empty(x.shape, x.dtype)
    _erf(np.asarray(x, order="C").reshape(-1), out.reshape(-1))
    return out


@njit(cache=True)
def _erf(x, out):
    for i in range(x.size):
        out[i] = math.erf(x[i])
