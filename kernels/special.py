"""Functions NumPy lacks."""

import math
from functools import cache

import numpy as np
from numba import njit

from .cache import keep_on_disk


def erf(x):
    """The error function of a float array, elementwise."""
    out = np.empty(x.shape, x.dtype)
    _compiled()(np.asarray(x, order="C").reshape(-1), out.reshape(-1))
    return out


@cache
def _compiled():
    return keep_on_disk(njit(_erf))


def _erf(x, out):
    for i in range(x.size):
        out[i] = math.erf(x[i])
