"""Other work on one element after another: an optimizer's step, a ReLU's slope, erf."""

import math

from .bound import element, point, prange, real, section, store
from .sums import BLOCK


def update(p, g, a, b, c, numbers):
    """One optimizer step over flat arrays, in place.

    p: the parameter, g: its gradient; a, b, c: the states that the rule has, or 0; numbers: the
    step's, a tuple (see kernels/optimizers.py).
    """
    for block in prange((p.size + BLOCK - 1) // BLOCK):
        begin, end = block * BLOCK, min(p.size, (block + 1) * BLOCK)
        p_block, g_block, a_block = p[begin:end], g[begin:end], section(a, begin, end)
        b_block, c_block = section(b, begin, end), section(c, begin, end)
        for i in range(p_block.size):
            before = element(a_block, i), element(b_block, i), element(c_block, i)
            p_block[i], new_a, new_b, new_c = point(p_block[i], g_block[i], *before, numbers)
            store(a_block, i, new_a)
            store(b_block, i, new_b)
            store(c_block, i, new_c)


def zero_below(g, out, slopes):
    """The slope of a ReLU whose results were `out`: g (n,) where out > 0 or NaN, else 0.

    One pass: np.where takes five times as long on 64 x 128, and 0 * g would make NaN of infinity.
    """
    for block in prange((g.size + BLOCK - 1) // BLOCK):
        begin, end = block * BLOCK, min(g.size, (block + 1) * BLOCK)
        gs, outs, block_slopes = g[begin:end], out[begin:end], slopes[begin:end]
        for i in range(gs.size):
            block_slopes[i] = real(0) if outs[i] <= 0 else gs[i]


def erf(x, out):
    """The error function of x (n,), which NumPy lacks."""
    for i in range(x.size):
        out[i] = math.erf(x[i])
