"""The loop of every pointwise loss."""

import numpy as np

from .bound import element, point, prange, section
from .sums import BLOCK, CHAIN, LANES, flush, sum_blocks, sum_lanes


def pointwise(x, y, parameter, upstream, values, slopes):
    """One pass over inputs x and targets y (n,): returns the sum of the losses' values.

    parameter: the loss's (beta, pos_weight, ...), a number, a tuple of numbers, or (n,).
    upstream: the gradient of the result that slopes are multiplied by, a number or (n,).
    values, slopes: (n,) for each element's value and slope times upstream; or None.
    """
    sums = np.empty((x.size + BLOCK - 1) // BLOCK)
    for block in prange(sums.size):
        begin, end = block * BLOCK, min(x.size, (block + 1) * BLOCK)
        partial, lanes = np.zeros(LANES, x.dtype), np.empty(LANES)
        whole = begin + (end - begin) // LANES * LANES
        for chain in (CHAIN, 1):  # the second where a chain overflows, or a value is not finite
            lanes[:] = 0.0
            for first in range(begin, whole, LANES):
                chunk(x, y, parameter, upstream, values, slopes, partial, first, LANES)
                if (first + LANES - begin) % (chain * LANES) == 0:
                    flush(partial, lanes)
            chunk(x, y, parameter, upstream, values, slopes, partial, whole, end - whole)
            flush(partial, lanes)
            sums[block] = sum_lanes(lanes)
            if abs(sums[block]) < np.inf:
                break
    return sum_blocks(sums)


def chunk(x, y, parameter, upstream, values, slopes, partial, first, count):
    """The elements first ... first + count - 1 of `pointwise`; adds their values to `partial`."""
    last = first + count
    xs, ys = x[first:last], y[first:last]
    parameters, upstreams = section(parameter, first, last), section(upstream, first, last)
    if values is not None:
        chunk_values = values[first:last]
    if slopes is not None:
        chunk_slopes = slopes[first:last]
    for k in range(count):
        value, slope = point(xs[k], ys[k], element(parameters, k), element(upstreams, k))
        partial[k] += value
        if values is not None:
            chunk_values[k] = value
        if slopes is not None:
            chunk_slopes[k] = slope
