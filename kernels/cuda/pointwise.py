"""The kernel of every pointwise loss."""

from numba import cuda, float64

from .bound import (  # isort: skip
    ALIGNED, BLOCK, KEPT, SLOPES, VALUES, VARIES, VECTORS, WIDTH, kind, number_of, parameter_at,
    point, real,
)  # fmt: skip
from .primitives import copy16
from .sums import grid_sum

THREADS = 256  # to a block
AHEAD = 4  # accesses to each operand before the first use (VECTORS): 131 KB in flight on an SM


def pointwise(x, y, parameter, each, upstream, count, n, values, slopes, block_sums, ticket, total):
    """One pass over x and y (n,): values and slopes * upstream where wanted; total[0] is their sum
    / count.

    parameter: a number or a tuple of them, or else each (n,), or (1,) for all. upstream, count, n:
    numbers. values, slopes: (n,) or nothing. block_sums, ticket: see sums.grid_sum.
    """
    # A thread's elements of a tile: inputs, targets, parameters; then slopes, and values in ys.
    xs = cuda.local.array(KEPT, kind)
    ys = cuda.local.array(KEPT, kind)
    ps = cuda.local.array(KEPT, kind)
    out = cuda.local.array(KEPT, kind)
    common = number_of(parameter, each)
    tile, tiles, sum = cuda.blockIdx.x, n // (BLOCK * KEPT), float64(0)
    # 1. Whole tiles, by accesses of 16 bytes: all are asked for before the first is used.
    while tile < tiles:
        first = (tile * (BLOCK * VECTORS) + cuda.threadIdx.x) * WIDTH
        for k in range(VECTORS):
            copy_vector(xs, k * WIDTH, x, first + k * (BLOCK * WIDTH))
            copy_vector(ys, k * WIDTH, y, first + k * (BLOCK * WIDTH))
            if VARIES:
                copy_vector(ps, k * WIDTH, each, first + k * (BLOCK * WIDTH))
        for j in range(KEPT):
            value, slope = point(xs[j], ys[j], parameter_at(common, ps, j), upstream)
            sum += value
            out[j] = slope
            ys[j] = value
        for k in range(VECTORS):
            if SLOPES:
                copy_vector(slopes, first + k * (BLOCK * WIDTH), out, k * WIDTH)
            if VALUES:
                copy_vector(values, first + k * (BLOCK * WIDTH), ys, k * WIDTH)
        tile += cuda.gridDim.x
    # 2. The elements after the last tile, one by one.
    i = tiles * (BLOCK * KEPT) + cuda.grid(1)
    while i < n:
        value, slope = point(x[i], y[i], parameter_at(common, each, i), upstream)
        sum += value
        if SLOPES:
            slopes[i] = slope
        if VALUES:
            values[i] = value
        i += cuda.gridsize(1)
    # 3. The sum.
    last, sum = grid_sum(sum, block_sums, ticket)
    if last and cuda.threadIdx.x == 0:
        total[0] = real(sum / count)


def copy_vector(to, i, source, j):
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
