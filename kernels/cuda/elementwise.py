"""Other work on one element after another: optimizers, a ReLU's slope, erf, adding at an index."""

import math

from numba import cuda

from .bound import A, B, C, point, real

THREADS = 256  # to a block


def update(p, g, a, b, c, numbers, n):
    """One optimizer step over n elements, in place: parameter p, gradient g, the states there are.

    numbers: the step's, a tuple (see kernels/optimizers.py).
    """
    i = cuda.grid(1)
    while i < n:
        ai, bi, ci = real(0), real(0), real(0)
        if A:
            ai = a[i]
        if B:
            bi = b[i]
        if C:
            ci = c[i]
        p[i], ai, bi, ci = point(p[i], g[i], ai, bi, ci, numbers)
        if A:
            a[i] = ai
        if B:
            b[i] = bi
        if C:
            c[i] = ci
        i += cuda.gridsize(1)


def zero_below(g, out, slopes, n):
    """The slope of a ReLU whose results were out: g (n,) where out > 0 or NaN, else 0."""
    i = cuda.grid(1)
    while i < n:
        slopes[i] = real(0) if out[i] <= 0 else g[i]
        i += cuda.gridsize(1)


def erf(x, out, n):
    """The error function of x (n,)."""
    i = cuda.grid(1)
    while i < n:
        out[i] = math.erf(x[i])
        i += cuda.gridsize(1)


def add_runs(values, order, starts, out, n):
    """out[i] += values[order[j]] for j from starts[i] to starts[i + 1], one after the other."""
    i = cuda.grid(1)
    while i < n:
        total = out[i]
        for j in range(starts[i], starts[i + 1]):
            total += values[order[j]]
        out[i] = total
        i += cuda.gridsize(1)
