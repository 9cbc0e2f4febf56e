"""The pointwise losses' kernel, and other work on one element after another."""

import math

from numba import cuda, float64

from .primitives import copy16
from .sums import fold

BLOCK = 256  # threads
VECTORS = 4  # accesses of 16 bytes to each operand before the first use: 131 KB in flight on an SM

# Bound anew for each rule and float type (binding.py). WIDTH: elements in 16 bytes; KEPT: in
# VECTORS times that; ALIGNED: whether arrays begin at multiples of 16 bytes; VARIES: whether there
# is a parameter per element; VALUES, SLOPES: which outputs there are; A, B, C: which states an
# optimizer has.
point = real = kind = number_of = parameter_at = ALIGNED = WIDTH = KEPT = None
VARIES = VALUES = SLOPES = A = B = C = None


def pointwise(x, y, parameter, each, up, count, n, values, slopes, part, ticket, total):
    """One pass over x and y (n,): values and slopes * up where wanted, and their sum / count.

    parameter: a number or a tuple of them, or else each (n,), or (1,) for all.
    """
    xs = cuda.local.array(KEPT, kind)
    ys = cuda.local.array(KEPT, kind)
    ps = cuda.local.array(KEPT, kind)
    out = cuda.local.array(KEPT, kind)
    common = number_of(parameter, each)
    tile, tiles, sum = cuda.blockIdx.x, n // (BLOCK * KEPT), float64(0)
    while tile < tiles:
        first = (tile * (BLOCK * VECTORS) + cuda.threadIdx.x) * WIDTH
        for k in range(VECTORS):
            move(xs, k * WIDTH, x, first + k * (BLOCK * WIDTH))
            move(ys, k * WIDTH, y, first + k * (BLOCK * WIDTH))
            if VARIES:
                move(ps, k * WIDTH, each, first + k * (BLOCK * WIDTH))
        for j in range(KEPT):
            value, slope = point(xs[j], ys[j], parameter_at(common, ps, j), up)
            sum += value
            out[j] = slope
            ys[j] = value
        for k in range(VECTORS):
            if SLOPES:
                move(slopes, first + k * (BLOCK * WIDTH), out, k * WIDTH)
            if VALUES:
                move(values, first + k * (BLOCK * WIDTH), ys, k * WIDTH)
        tile += cuda.gridDim.x
    i = tiles * (BLOCK * KEPT) + cuda.grid(1)
    while i < n:
        value, slope = point(x[i], y[i], parameter_at(common, each, i), up)
        sum += value
        if SLOPES:
            slopes[i] = slope
        if VALUES:
            values[i] = value
        i += cuda.gridsize(1)
    last, sum = fold(sum, part, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count)


def move(to, i, source, j):
    """to[i : i + WIDTH] = source[j : j + WIDTH], in one access where the arrays allow it."""
    if ALIGNED:
        copy16(to, i, source, j)
    else:
        for q in range(WIDTH):
            to[i + q] = source[j + q]


def given(parameter, each):
    """The parameter that all elements share: a number or numbers of the host's."""
    return parameter


def stored(parameter, each):
    """The parameter that all elements share: a number on the device."""
    return each[0]


def the_same(common, each, i):
    """The parameter of element i, where all share it."""
    return common


def its_own(common, each, i):
    """The parameter of element i, where each has its own."""
    return each[i]


def update(p, g, a, b, c, h, n):
    """One optimizer step over n elements, in place: parameter p, gradient g, the states there are.

    h: the step's numbers, a tuple.
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
        p[i], ai, bi, ci = point(p[i], g[i], ai, bi, ci, h)
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


HELPERS = (move,)
