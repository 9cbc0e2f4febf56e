"""The loops of cross-entropy. A row of logits x (C,) with target y, whose weight is w, is worth

    value      w (log s - (x_y - top))       top = max x,  e_c = e^(x_c - top),  s = sum_c e_c
    slope_c    w e_c / s                     c is not y
    slope_y    -w rest / s                   rest = s - e_y, added up without e_y

and log s is log1p(rest + (e_y - 1)). The target's own exponential stays out of `rest`, so that
where the target wins, both log1p(rest) and slope_y keep their digits, however sure the row is.
"""

import numpy as np

from .bound import CLASSES, bits, element, exp_gap, log1p, point, prange, real
from .sums import BLOCK, CHAIN, LANES, flush, sum_blocks, sum_lanes

FEW = 32  # up to so many classes, few_classes takes the rows
ROWS = 256  # which it turns on their side at a time


def class_rows(x, target, weight, ignore, upstream, values, slopes):
    """Cross-entropy of logits x (n, C) and class indices target (n,): the sum of the values.

    target: checked to be in range; rows of class `ignore`, and of no class, give 0. weight: (C,),
    or None for 1. upstream: a number or (n,). values (n,), slopes (n, C): for the results, or None.
    """
    n, classes = x.shape
    rows = max(1, BLOCK // max(classes, 1))
    sums = np.zeros((n + rows - 1) // rows)
    for block in prange(sums.size):
        partial, lanes = np.zeros(LANES, x.dtype), np.zeros(LANES)
        for r in range(block * rows, min(n, (block + 1) * rows)):
            row, y = x[r], class_of(target[r], classes, ignore)
            value = real(0)
            if y >= 0:
                # 1. top = max x.
                top = row_max(row)
                # 2. e_c to the gradient's row, and their sum but for e_y.
                row_slopes = None if slopes is None else slopes[r]
                rest = exp_sum(row, top, y, row_slopes, partial, lanes)
                # 3. value = w (log s - gap_y), log s = log1p(rest) where e_y = 1.
                gap, e_y = row[y] - top, exp_gap(row[y], top)
                w = weight[y] if weight is not None else real(1)
                value = w * (log1p(rest if gap == 0 else rest + e_y - real(1)) - gap)
                # 4. slope_c = e_c share, slope_y = -rest share, share = upstream w / s.
                if slopes is not None:
                    share = w / (rest + e_y) * element(upstream, r)
                    for c in range(classes):
                        row_slopes[c] = row_slopes[c] * share
                    row_slopes[y] = -rest * share
            elif slopes is not None:
                slopes[r, :] = real(0)
            if values is not None:
                values[r] = value
            sums[block] += value
    return sum_blocks(sums)


def few_classes(x, target, weight, ignore, upstream, values, slopes):
    """class_rows for a few classes: ROWS rows are turned on their side, a vector lane to a row.

    65536 x 10 takes 0.45 ms this way and 2.6 ms row by row, whose inner loops are too short. Their
    number is a constant of the kernel, CLASSES, where a row is copied: 1.0 ms where it is not.
    """
    n, classes = x.shape
    rows = ROWS * max(1, BLOCK // (classes * ROWS))
    sums = np.zeros((n + rows - 1) // rows)
    for block in prange(sums.size):
        turned, total = np.empty((classes, ROWS), x.dtype), np.zeros(ROWS)
        # Numbers of each row. y: its class, -1 of one that is ignored; gap: x_y - top; w: the
        # weight, then the slopes' factor; partial: up to CHAIN terms of rest.
        y = np.empty(ROWS, bits)
        w, value, top, gap, e_y, rest, partial = seven_numbers(x.dtype)
        for first in range(block * rows, min(n, (block + 1) * rows), ROWS):
            m = min(ROWS, n - first)
            # 1. Turn the rows: x_c of row r to turned[c, r].
            for r in range(m):
                for c in range(CLASSES):
                    turned[c, r] = x[first + r, c]
                y[r] = bits(class_of(target[first + r], classes, ignore))
                w[r] = real(1)
                if weight is not None:
                    w[r] = weight[y[r]] if y[r] >= 0 else real(0)
            # 2. top = max x.
            for r in range(m):
                top[r] = turned[0, r]
                rest[r], gap[r], e_y[r] = real(0), real(0), real(1)
            for c in range(1, classes):
                for r in range(m):
                    top[r] = turned[c, r] if turned[c, r] > top[r] else top[r]
            # 3. e_c in the place of x_c, rest = sum of e_c but for e_y; x_y - top and e_y apart.
            for c in range(classes):
                for r in range(m):
                    difference, e = turned[c, r] - top[r], exp_gap(turned[c, r], top[r])
                    turned[c, r] = e
                    mine = y[r] == c
                    partial[r] += real(0) if mine else e
                    gap[r] = difference if mine else gap[r]
                    e_y[r] = e if mine else e_y[r]
                if (c + 1) % CHAIN == 0 or c + 1 == classes:
                    flush(partial, rest)
            # 4. value = w (log s - gap_y), log s = log1p(rest) where e_y = 1; w becomes the share,
            # upstream w / s.
            for r in range(m):
                others = rest[r] if gap[r] == 0 else rest[r] + e_y[r] - real(1)
                value[r] = real(0) if y[r] < 0 else w[r] * (log1p(others) - gap[r])
                w[r] = w[r] / (rest[r] + e_y[r]) * element(upstream, first + r)
                if values is not None:
                    values[first + r] = value[r]
            for r in range(m):
                total[r] += value[r]
            # 5. slope_c = e_c share, slope_y = -rest share; turn them back.
            if slopes is not None:
                for c in range(classes):
                    for r in range(m):
                        turned[c, r] = (-rest[r] if y[r] == c else turned[c, r]) * w[r]
                for r in range(m):
                    if y[r] < 0:
                        slopes[first + r, :] = real(0)
                    else:
                        for c in range(CLASSES):
                            slopes[first + r, c] = turned[c, r]
        sums[block] = sum_lanes(total)
    return sum_blocks(sums)


def weight_rows(x, t, keep, upstream, values, slopes):
    """Cross-entropy of logits x (n, C) and the weight of every class in every row, t (n, C).

    keep: (n,) bool, False for rows that give 0, or None; the rest is as in class_rows, with a
    largest logit in the target's place. The value is the sum of t_c (log s - (x_c - top)), and
    slope_c = e_c sum(t) / s - t_c.
    """
    n, classes = x.shape
    rows = max(1, BLOCK // max(classes, 1))
    sums = np.zeros((n + rows - 1) // rows)
    for block in prange(sums.size):
        e, partial, lanes = np.empty(classes, x.dtype), np.zeros(LANES, x.dtype), np.zeros(LANES)
        for r in range(block * rows, min(n, (block + 1) * rows)):
            row, weights = x[r], t[r]
            value = real(0)
            if keep is None or keep[r]:
                # 1. top = max x, and y, where it is.
                top = row_max(row)
                y = last_place(row, top)
                # 2. e_c, and their sum but for e_y.
                rest = exp_sum(row, top, y, e, partial, lanes)
                # 3. whole = sum(t).
                lanes[:] = 0.0
                for first in range(0, classes, LANES):
                    for k in range(min(LANES, classes - first)):
                        lanes[k] += weights[first + k]
                whole = real(sum_lanes(lanes))
                # 4. log s, and share = whole / s; e_y is 1, or NaN of an infinite logit.
                log_s, share = log1p(rest), whole / (rest + exp_gap(top, top))
                # 5. Each class's value and slope, by the rule.
                if slopes is not None:
                    row_slopes, up = slopes[r], element(upstream, r)
                lanes[:] = 0.0
                for first in range(0, classes, LANES):
                    count = min(LANES, classes - first)
                    for k in range(count):
                        c = first + k
                        partial[k], slope = point(row[c] - top, e[c], log_s, share, weights[c])
                        if slopes is not None:
                            row_slopes[c] = slope * up
                    flush(partial, lanes)
                value = real(sum_lanes(lanes))
                # 6. slope_y = whole - t_y - rest share, where e_y share may be close to t_y.
                if slopes is not None and rest < 1 and y >= 0:  # there is none of no classes
                    row_slopes[y] = (whole - weights[y] - share * rest) * up
            elif slopes is not None:
                slopes[r, :] = real(0)
            if values is not None:
                values[r] = value
            sums[block] += value
    return sum_blocks(sums)


# --- parts of a row -----------------------------------------------------------------------------


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


def seven_numbers(dtype):
    """Seven arrays (ROWS,) of 0 in one piece of memory: seven of them cost 4 % of few_classes."""
    a = np.zeros((7, ROWS), dtype)
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6]


def last_place(x, top):
    """Where x (C,) is `top`, the last of such places; -1 where it is nowhere."""
    where = bits(-1)
    for c in range(x.size):
        where = max(where, bits(c) if x[c] == top else bits(-1))
    return where


def exp_sum(x, top, y, e_out, partial, lanes):
    """The sum of e^(x - top) over x (C,) but for element y; gives every term in e_out, or None.

    `partial` is zero, before and after.
    """
    lanes[:] = 0.0
    whole = x.size // LANES * LANES
    for first in range(0, whole, LANES):
        exp_chunk(x, top, y, e_out, partial, first, LANES, 0)
        if (first + LANES) % (CHAIN * LANES) == 0:
            flush(partial, lanes)
    last = x.size - LANES
    if last < 0:
        exp_chunk(x, top, y, e_out, partial, 0, x.size, 0)
    elif whole < x.size:  # a whole chunk once more: its vectors are cheaper than single elements
        exp_chunk(x, top, y, e_out, partial, last, LANES, whole - last)
    flush(partial, lanes)
    return real(sum_lanes(lanes))


def exp_chunk(x, top, y, e_out, partial, first, count, seen):
    """The elements first ... first + count - 1 of `exp_sum`; adds them to `partial`, but for the
    first `seen` and y."""
    xs = x[first : first + count]
    if e_out is not None:
        es = e_out[first : first + count]
    left_out = bits(y - first)
    for k in range(count):
        e = exp_gap(xs[k], top)
        partial[k] += real(0) if bits(k) == left_out or k < seen else e
        if e_out is not None:
            es[k] = e


def class_of(y, classes, ignore):
    """The class of a row; -1 if it is ignored, or changed to none since it was checked."""
    return y if y != ignore and 0 <= y < classes else -1


# --- before the rows ----------------------------------------------------------------------------


def count_classes(target, weight, classes, ignore):
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
        y = class_of(target[i], classes, ignore)
        total += weight[y] if y >= 0 else 0.0
    return -1, total
