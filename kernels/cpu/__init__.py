"""Every loop on the CPU. A loop is written once; `binding` binds it to a rule and a float type.

Same input, same bits: an array is cut into blocks by its size alone, a block is summed in WIDTH
lanes of float64 (a mean is finite where the sum overflows float32, and equal terms, whose roundings
add up, keep their digits), blocks are added in order. How many threads share the blocks
changes nothing, and as the lanes are written out, neither does how the compiler vectorizes a loop:
left to reorder sums (`reassoc`), it did so differently in a fresh build and in the cached one.
"""

from __future__ import annotations

import math
import os
import threading
from functools import cache

import numpy as np

from . import memory

BLOCK = 8192  # elements: 3 x 32 KiB of float32 stay in a core's second-level cache
PARALLEL = 32768  # elements from which waking threads (1-3 µs) is worth it
WIDTH = 64  # lanes of a sum: eight vectors of 8 float64, so that additions need not wait
HALVES = (32, 16, 8, 4, 2, 1)
CHAIN = 8  # chunks summed in the array's own type: the roundings of equal terms add up
FEW, LANES = 32, 256  # up to so many classes, cross-entropy turns so many rows at a time

# Bound anew for each rule and float type (binding.py).
at = part = put = cast = prange = point = exp_gap = log1p = real = bits = CLASSES = None


# --- loops --------------------------------------------------------------------------------------


def pointwise(x, y, parameter, upstream, value_out, grad_out):
    """One pass over x and y (n,): values and slopes * upstream where an output is given.

    `parameter` and `upstream` are numbers or (n,). Returns the sum of the values.
    """
    blocks = (x.size + BLOCK - 1) // BLOCK
    sums = np.empty(blocks)
    for block in prange(blocks):
        lo, hi = block * BLOCK, min(x.size, (block + 1) * BLOCK)
        tile, lanes = np.zeros(WIDTH, x.dtype), np.empty(WIDTH)
        whole = lo + (hi - lo) // WIDTH * WIDTH
        for chain in (CHAIN, 1):  # the second where a chain overflows, or a value is not finite
            lanes[:] = 0.0
            for first in range(lo, whole, WIDTH):
                chunk(x, y, parameter, upstream, value_out, grad_out, tile, first, WIDTH)
                if (first + WIDTH - lo) % (chain * WIDTH) == 0:
                    spill(tile, lanes)
            chunk(x, y, parameter, upstream, value_out, grad_out, tile, whole, hi - whole)
            spill(tile, lanes)
            sums[block] = fold(lanes)
            if abs(sums[block]) < np.inf:
                break
    return in_order(sums)


def chunk(x, y, parameter, upstream, value_out, grad_out, tile, first, count):
    """The elements first ... first + count - 1 of `pointwise`; adds their values to the tile."""
    last = first + count
    xs, ys = x[first:last], y[first:last]
    ps, us = part(parameter, first, last), part(upstream, first, last)
    if value_out is not None:
        vs = value_out[first:last]
    if grad_out is not None:
        gs = grad_out[first:last]
    for k in range(count):
        value, slope = point(xs[k], ys[k], cast(real, at(ps, k)), cast(real, at(us, k)))
        tile[k] += value
        if value_out is not None:
            vs[k] = value
        if grad_out is not None:
            gs[k] = slope


def class_rows(x, target, weight, ignore, upstream, value_out, grad_out):
    """Softmax cross-entropy of x (n, C) and class indices target (n,), checked to be in range.

    weight: (C,) or None; upstream: a number or (n,); outputs (n,) and (n, C), or None. Rows of
    class `ignore` give 0. Returns the sum of the values.

    The target's own exponential stays out of the sum `rest`, so that where the target wins, both
    log(1 + rest) and the slope -rest / s keep their digits, however sure the row is.
    """
    n, classes = x.shape
    rows = max(1, BLOCK // max(classes, 1))
    blocks = (n + rows - 1) // rows
    sums = np.zeros(blocks)
    for block in prange(blocks):
        tile, lanes = np.zeros(WIDTH, x.dtype), np.zeros(WIDTH)
        for r in range(block * rows, min(n, (block + 1) * rows)):
            xr, y = x[r], target[r]
            value = real(0)
            if y != ignore:
                top = row_max(xr)
                er = None if grad_out is None else grad_out[r]
                rest = exp_sum(xr, top, y, er, tile, lanes)
                gap = xr[y] - top
                e = exp_gap(xr[y], top)
                own = weight[y] if weight is not None else real(1)
                value = own * (log1p(rest if gap == 0 else rest + e - real(1)) - gap)
                if grad_out is not None:
                    share = own / (rest + e) * cast(real, at(upstream, r))
                    for c in range(classes):
                        er[c] = er[c] * share
                    er[y] = -rest * share
            elif grad_out is not None:
                grad_out[r, :] = real(0)
            if value_out is not None:
                value_out[r] = value
            sums[block] += value
    return in_order(sums)


def few_classes(x, target, weight, ignore, upstream, value_out, grad_out):
    """class_rows for a few classes: LANES rows are turned on their side, a vector lane to a row.

    65536 x 10 takes 0.45 ms this way and 2.6 ms row by row, whose inner loops are too short. Their
    number is a constant of the build, CLASSES, where a row is copied: 1.0 ms where it is not.
    """
    n, classes = x.shape
    rows = LANES * max(1, BLOCK // (classes * LANES))
    blocks = (n + rows - 1) // rows
    sums = np.zeros(blocks)
    for block in prange(blocks):
        tile = np.empty((classes, LANES), x.dtype)
        lanes, total = np.zeros((7, LANES), x.dtype), np.zeros(LANES)
        top, rest, gap, e_y, own = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
        value, short = lanes[5], lanes[6]
        y = np.empty(LANES, bits)
        for first in range(block * rows, min(n, (block + 1) * rows), LANES):
            m = min(LANES, n - first)
            for r in range(m):
                for c in range(CLASSES):
                    tile[c, r] = x[first + r, c]
                y[r] = target[first + r] if target[first + r] != ignore else -1
                own[r] = real(1)
                if weight is not None:
                    own[r] = weight[y[r]] if y[r] >= 0 else real(0)
            for r in range(m):
                top[r] = tile[0, r]
                rest[r], gap[r], e_y[r] = real(0), real(0), real(1)
            for c in range(1, classes):
                for r in range(m):
                    top[r] = tile[c, r] if tile[c, r] > top[r] else top[r]
            for c in range(classes):
                for r in range(m):
                    d, e = tile[c, r] - top[r], exp_gap(tile[c, r], top[r])
                    tile[c, r] = e
                    mine = y[r] == c
                    short[r] += real(0) if mine else e
                    gap[r] = d if mine else gap[r]
                    e_y[r] = e if mine else e_y[r]
                if (c + 1) % CHAIN == 0 or c + 1 == classes:
                    spill(short, rest)
            for r in range(m):
                others = rest[r] if gap[r] == 0 else rest[r] + e_y[r] - real(1)
                value[r] = real(0) if y[r] < 0 else own[r] * (log1p(others) - gap[r])
                own[r] = own[r] / (rest[r] + e_y[r]) * cast(real, at(upstream, first + r))
                if value_out is not None:
                    value_out[first + r] = value[r]
            for r in range(m):
                total[r] += value[r]
            if grad_out is not None:
                for c in range(classes):
                    for r in range(m):
                        tile[c, r] = (-rest[r] if y[r] == c else tile[c, r]) * own[r]
                for r in range(m):
                    if y[r] < 0:
                        grad_out[first + r, :] = real(0)
                    else:
                        for c in range(CLASSES):
                            grad_out[first + r, c] = tile[c, r]
        sums[block] = fold(total)
    return in_order(sums)


def weight_rows(x, t, keep, upstream, value_out, grad_out):
    """Softmax cross-entropy of x (n, C) and the weight of every class in every row, t (n, C).

    keep: (n,) bool or None, False for rows that give 0; the rest as in class_rows, with a largest
    logit in the place of the target.
    """
    n, classes = x.shape
    rows = max(1, BLOCK // max(classes, 1))
    blocks = (n + rows - 1) // rows
    sums = np.zeros(blocks)
    for block in prange(blocks):
        e, tile, lanes = np.empty(classes, x.dtype), np.zeros(WIDTH, x.dtype), np.zeros(WIDTH)
        for r in range(block * rows, min(n, (block + 1) * rows)):
            xr, tr = x[r], t[r]
            value = real(0)
            if keep is None or keep[r]:
                top = row_max(xr)
                y = place(xr, top)
                rest = exp_sum(xr, top, y, e, tile, lanes)
                lanes[:] = 0.0
                for first in range(0, classes, WIDTH):
                    for k in range(min(WIDTH, classes - first)):
                        lanes[k] += tr[first + k]
                whole = real(fold(lanes))
                # the largest term: 1, or NaN of an infinite logit
                log_s, share = log1p(rest), whole / (rest + exp_gap(top, top))
                if grad_out is not None:
                    gr, up = grad_out[r], cast(real, at(upstream, r))
                lanes[:] = 0.0
                for first in range(0, classes, WIDTH):
                    count = min(WIDTH, classes - first)
                    for k in range(count):
                        c = first + k
                        tile[k], slope = point(xr[c] - top, e[c], log_s, share, tr[c])
                        if grad_out is not None:
                            gr[c] = slope * up
                    spill(tile, lanes)
                value = real(fold(lanes))
                if grad_out is not None and rest < 1:  # where e[y] * share may be close to tr[y]
                    gr[y] = (whole - tr[y] - share * rest) * up
            elif grad_out is not None:
                grad_out[r, :] = real(0)
            if value_out is not None:
                value_out[r] = value
            sums[block] += value
    return in_order(sums)


def update(p, g, a, b, c, h):
    """One optimizer step over flat arrays, in place: parameter p, gradient g, states (or 0)."""
    for block in prange((p.size + BLOCK - 1) // BLOCK):
        lo, hi = block * BLOCK, min(p.size, (block + 1) * BLOCK)
        pb, gb = p[lo:hi], g[lo:hi]
        ab, bb, cb = part(a, lo, hi), part(b, lo, hi), part(c, lo, hi)
        for i in range(pb.size):
            new, ai, bi, ci = point(pb[i], gb[i], at(ab, i), at(bb, i), at(cb, i), h)
            pb[i] = new
            put(ab, i, ai)
            put(bb, i, bi)
            put(cb, i, ci)


def zero_below(g, out, grad_out):
    """The slope of a ReLU whose results were `out`: g (n,) where out > 0 or NaN, else 0.

    One pass: np.where takes five times as long on 64 x 128, and 0 * g would make NaN of infinity.
    """
    for block in prange((g.size + BLOCK - 1) // BLOCK):
        lo, hi = block * BLOCK, min(g.size, (block + 1) * BLOCK)
        gb, ob, db = g[lo:hi], out[lo:hi], grad_out[lo:hi]
        for i in range(gb.size):
            db[i] = real(0) if ob[i] <= 0 else gb[i]


def erf(x, out):
    """The error function of x (n,), which NumPy lacks."""
    for i in range(x.size):
        out[i] = math.erf(x[i])


def row_max(x):
    """The largest of x (C,); NaN if a (positive) NaN is among them, or nothing.

    A float maximum has to mind NaN and does not vectorize; that of the bits read as integers does.
    It orders numbers >= 0; where all are below, the largest is the one with the least bits.
    """
    b = x.view(bits)
    top = bits(np.iinfo(bits).min)
    for c in range(x.size):
        top = max(top, b[c])
    best = bits(top)
    if top < 0:
        least = bits(-1)
        for c in range(x.size):
            least = min(least, b[c])
        best = bits(least)
    return bits(best).view(real)


def place(x, top):
    """Where x (C,) is `top`, the last of such places; -1 where it is nowhere."""
    where = bits(-1)
    for c in range(x.size):
        where = max(where, bits(c) if x[c] == top else bits(-1))
    return where


def exp_sum(x, top, y, e_out, tile, lanes):
    """The sum of e^(x - top) over x (C,) but for element y; gives every term in e_out.

    The tile is zero, before and after.
    """
    lanes[:] = 0.0
    whole = x.size // WIDTH * WIDTH
    for first in range(0, whole, WIDTH):
        exp_chunk(x, top, y, e_out, tile, first, WIDTH, 0)
        if (first + WIDTH) % (CHAIN * WIDTH) == 0:
            spill(tile, lanes)
    last = x.size - WIDTH
    if last < 0:
        exp_chunk(x, top, y, e_out, tile, 0, x.size, 0)
    elif whole < x.size:  # a whole chunk once more: its vectors are cheaper than single elements
        exp_chunk(x, top, y, e_out, tile, last, WIDTH, whole - last)
    spill(tile, lanes)
    return real(fold(lanes))


def exp_chunk(x, top, y, e_out, tile, first, count, seen):
    """Add the elements first ... first + count - 1 of `exp_sum` to the tile but the `seen` ones."""
    xs = x[first : first + count]
    if e_out is not None:
        es = e_out[first : first + count]
    left_out = bits(y - first)
    for k in range(count):
        e = exp_gap(xs[k], top)
        tile[k] += real(0) if bits(k) == left_out or k < seen else e
        if e_out is not None:
            es[k] = e


def spill(tile, lanes):
    """Add the tile to the lanes, and empty it."""
    for k in range(lanes.size):
        lanes[k] += tile[k]
        tile[k] = real(0)


def fold(lanes):
    """The sum of the lanes (WIDTH of them, or twice as often), half on half. Spoils them."""
    width = lanes.size // 2
    while width > HALVES[0]:
        for k in range(width):
            lanes[k] += lanes[k + width]
        width //= 2
    for half in HALVES:  # constants, which saves 10 ns of the 60 a row costs besides its elements
        for k in range(half):
            lanes[k] += lanes[k + half]
    return lanes[0]


def in_order(sums):
    """The sum from first to last."""
    total = 0.0
    for i in range(sums.size):
        total += sums[i]
    return total


def check_classes(target, weight, classes, ignore):
    """The position of the first class outside [0, classes) or -1, and the weight of the others.

    target (n,) int64; weight (C,) or None counts each row that is not ignored as 1.
    """
    rows, bad = 0, 0
    for i in range(target.size):  # no early way out: this loop vectorizes
        rows += target[i] != ignore
        bad += (target[i] != ignore) & ((target[i] < 0) | (target[i] >= classes))
    if bad:
        for i in range(target.size):
            if target[i] != ignore and (target[i] < 0 or target[i] >= classes):
                return i, 0.0
    if weight is None:
        return -1, float(rows)
    total = 0.0
    for i in range(target.size):
        total += weight[target[i]] if target[i] != ignore else 0.0
    return -1, total


HELPERS = (chunk, row_max, place, exp_sum, exp_chunk, spill, fold, in_order)


# --- what the host calls ------------------------------------------------------------------------


def choose(loop, rule, dtype, work, *classes):
    """The build of `loop` for that much work, in elements as costly as a loss's."""
    return build(loop, rule, dtype, work >= PARALLEL, *classes)


@cache
def build(loop, rule, dtype, threads, *classes):
    """`loop` compiled with `rule` and the float type `dtype`, for many threads or for one."""
    if threads:
        return _binding().in_threads(loop, rule, dtype, *classes)
    return _binding().specialise(loop, rule, dtype, False, *classes)


def kernel(function):
    """A function of its own compiled as it is; see binding.kernel."""
    return _binding().kernel(function)


def _binding():
    """With the first kernel, not before: `import minigrad` takes a third without Numba."""
    with _loading:
        from . import binding
    return binding


_loading = threading.RLock()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(  # no fork while a thread imports Numba: the child would wait for it
        before=_loading.acquire,
        after_in_parent=_loading.release,
        after_in_child=_loading.release,
    )


class _Alias:
    """Read-only memory as the kind of array that loops are compiled for, which write to none."""

    def __init__(self, array):
        pointer = array.__array_interface__["data"][0]
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (pointer, False)}


def plain(array):
    """The array, or a copy, in row order, aligned and of the writable kind; no array as it is.

    Or loops would be compiled for every layout of every input, at a second each.
    """
    if type(array) is not np.ndarray or array.flags.carray:
        return array
    array = np.require(array, requirements="CA")
    return array if array.flags.writeable else np.asarray(_Alias(array))


def flat(array):
    """The same in one dimension."""
    return plain(array).ravel() if type(array) is np.ndarray else array


def run_pointwise(loss, x, y, parameter=0.0, upstream=None, value=False, count=1.0):
    """One pass of a pointwise loss over arrays x, y of one shape and float dtype.

    parameter: a number, a tuple of numbers or an array of that shape, as the rule takes it;
    upstream: a number, such an array, or None for no gradient; value: whether to return the values
    one by one. Returns their sum / count (float), the values or None, and upstream / count * slope
    or None: a mean's, where count is how many values there are.
    """
    loop = choose(pointwise, loss.rule, x.dtype, x.size)
    if type(parameter) is tuple:
        parameter = tuple(map(x.dtype.type, parameter))
    value_out = memory.empty_like(x) if value else None
    grad_out = None if upstream is None else memory.empty_like(x)
    up = 0.0 if upstream is None else upstream / count
    total = loop(flat(x), flat(y), flat(parameter), flat(up), flat(value_out), flat(grad_out))
    return total / count, value_out, grad_out


def run_classes(loss, x, target, weight, ignore, upstream=None, value=False, count=1.0):
    """One pass of cross-entropy over x (n, C) and valid class indices target (n,) int64."""
    loop = few_classes if 0 < x.shape[1] <= FEW else class_rows
    return _run_rows(loop, loss, x, (target, weight, ignore), upstream, value, count)


def run_weights(loss, x, t, keep, upstream=None, value=False, count=1.0):
    """One pass of cross-entropy over x (n, C) and class weights t (n, C); see weight_rows."""
    return _run_rows(weight_rows, loss, x, (t, keep), upstream, value, count)


def _run_rows(rows, loss, x, arguments, upstream, value, count):
    classes = x.shape[1:] if rows is few_classes else ()
    loop = choose(rows, loss.rule, x.dtype, x.size if len(x) > 1 else 0, *classes)
    value_out = np.empty(len(x), x.dtype) if value else None
    grad_out = None if upstream is None else memory.empty_like(x)
    up = 0.0 if upstream is None else plain(upstream / count)
    total = loop(plain(x), *map(plain, arguments), up, value_out, grad_out)
    return total / count, value_out, grad_out


def run_zero_below(g, out):
    """See zero_below; arrays of one shape and float dtype."""
    loop = choose(zero_below, None, g.dtype, g.size // 8)
    grad_out = memory.empty_like(g)
    loop(flat(g), flat(out), flat(grad_out))
    return grad_out


def run_erf(x):
    """See erf; an array of any shape."""
    out = memory.empty_like(x)
    build(erf, None, x.dtype, False)(flat(x), flat(out))
    return out


def bind_update(rule, p, states):
    """A function step(g, h) that updates p and its states (contiguous, or None) in place."""
    # Cheap per element, and next to matrix products, whose threads still hold the cores: a step of
    # 128 x 784-1024-10 took 8 ms where PyTorch had set how long OpenMP's threads wait, now 4.
    loop = choose(update, rule, p.dtype, p.size // 256)
    states = [p.dtype.type(0) if s is None else s.reshape(-1) for s in states]
    flat = p.reshape(-1)

    def step(g, h):
        loop(flat, g.reshape(-1), *states, h)

    def step_copy(g, h):
        copy = p.reshape(-1)
        loop(copy, g.reshape(-1), *states, h)
        p[...] = copy.reshape(p.shape)

    return step if p.flags.c_contiguous else step_copy


def first_bad_class(target, weight, classes, ignore):
    """See check_classes."""
    check = build(check_classes, None, np.dtype("float64"), False)
    return check(plain(target), plain(weight), classes, ignore)


def count_classes(target, weight, classes, ignore):
    """The weight of the targets (n,) int64 that are not ignored, NaN if there are none.

    Raises IndexError(position) for a class outside [0, classes).
    """
    bad, count = first_bad_class(target, weight, classes, ignore)
    if bad >= 0:
        raise IndexError(bad)
    return count or math.nan  # the mean of nothing: smoothing must not make it infinite


def add_at(out, index, values):
    """out[index] += values, in order; repeated positions add up."""
    np.add.at(out, index, values)
