"""Adding up, so that the same input gives the same bits.

An array is cut into blocks by its size alone, a block is summed in lanes of float64 (a mean is
finite where the sum overflows float32, and equal terms, whose roundings add up, keep their digits),
blocks are added in order. How many threads share the blocks changes nothing, and as the lanes are
written out, neither does how the compiler vectorizes a loop: left to reorder sums (`reassoc`), it
did so differently in a fresh build and in the cached one.
"""

import numpy as np

from .bound import element, prange, real, section

BLOCK = 8192  # elements: 3 x 32 KiB of float32 stay in a core's second-level cache
LANES = 64  # of a sum: eight vectors of 8 float64, so that additions need not wait
CHAIN = 8  # terms added in the array's own type: the roundings of equal terms add up
HALVES = (32, 16, 8, 4, 2, 1)


def flush(partial, lanes):
    """Add the partial sums, of the array's own type, to the lanes of float64, and empty them."""
    for k in range(lanes.size):
        lanes[k] += partial[k]
        partial[k] = real(0)


def sum_lanes(lanes):
    """The sum of the lanes (LANES of them, or twice as often), half on half. Spoils them."""
    width = lanes.size // 2
    while width > HALVES[0]:
        for k in range(width):
            lanes[k] += lanes[k + width]
        width //= 2
    for half in HALVES:  # constants, which saves 10 ns of the 60 a row costs besides its elements
        for k in range(half):
            lanes[k] += lanes[k + half]
    return lanes[0]


def sum_blocks(sums):
    """The sum of the blocks' sums, from first to last."""
    total = 0.0
    for i in range(sums.size):
        total += sums[i]
    return total


# --- the sums of an array along an axis -----------------------------------------------------------

COLUMNS = 128  # whose running sums, and eight rows, stay in a core's first-level cache
PARTS = 64  # that an array is cut into for threads, about
SHORT = 32  # up to so many elements, a row is no loop of its own


def axis_sums(x, n, m, center, divisor, out):
    """out (a, m) = sums over the middle axis of x (a, n, m), over divisor. All are flat.

    center: None; or for the sums of (x - center)² a number, or (a, m).

    Rows are added up side by side, in float64, eight to each other and what comes out to the
    running sums, whose own roundings are kept and added at the end: along any axis a sum is off by
    three roundings at most, and the last. Short rows of x (n,) are read as columns.
    """
    turned = m == 1 and n <= SHORT
    if turned:
        a, m, stride, step, pace = 1, out.size, 0, 1, n
    else:
        a, stride, step, pace = out.size // max(m, 1), n * m, m, 1
    columns = max(1, min(m, max(COLUMNS, BLOCK // max(n, 4))))
    side = max(1, min(LANES // columns, n // SHORT))  # rows that are one row of running sums
    chunks = (m + columns - 1) // columns
    rows = max(BLOCK // columns, (n * a * chunks + PARTS - 1) // PARTS)
    rows = (rows + side * CHAIN - 1) // (side * CHAIN) * side * CHAIN
    blocks = max(1, (n + rows - 1) // rows)
    each = max(1, BLOCK // max(n * m, 1))  # of a, to a piece
    groups = (a + each - 1) // each
    parts = out.size if blocks > 1 else 0
    sums, losts = np.empty((blocks, parts)), np.empty((blocks, parts))
    for piece in prange(groups * chunks * blocks):
        block, chunk, group = piece % blocks, piece // blocks % chunks, piece // blocks // chunks
        first, begin, end = chunk * columns, block * rows, min(n, (block + 1) * rows)
        count = min(columns, m - first)
        many = (end - begin) // side
        eights = many // CHAIN * CHAIN
        sum_, lost = np.empty(count * side), np.empty(count * side)
        middle = np.empty(0 if center is None else count * side)
        for i in range(group * each, min(a, (group + 1) * each)):
            sum_[:] = 0.0
            lost[:] = 0.0
            if center is not None:
                for k in range(middle.size):
                    middle[k] = element(center, i * m + first + k % count)
            start = i * stride + begin * step + first * pace
            if turned:
                for r in range(0, eights, CHAIN):
                    add_eight(x, start + r, 1, n, center, middle, sum_, lost)
                for r in range(eights, many):
                    add_row(x, start + r, n, count, center, middle, sum_, lost)
            else:
                for r in range(0, eights, CHAIN):
                    add_eight(x, start + r * side * m, side * m, 1, center, middle, sum_, lost)
                for r in range(eights, many):
                    add_row(x, start + r * side * m, 1, sum_.size, center, middle, sum_, lost)
                rest = (end - begin - many * side) * m
                if rest > 0:
                    add_row(x, start + many * side * m, 1, rest, center, middle, sum_, lost)
                fold(sum_, lost, side, count)
            for k in range(count):
                place = i * m + first + k
                if blocks == 1:
                    out[place] = whole_sum(sum_[k], lost[k]) / divisor
                else:
                    sums[block, place], losts[block, place] = sum_[k], lost[k]
    for place in range(parts):
        for block in range(1, blocks):
            add(sums[0], losts[0], place, sums[block, place], losts[block, place])
        out[place] = whole_sum(sums[0, place], losts[0, place]) / divisor


def add_eight(x, start, step, pace, center, middle, sum_, lost):
    """Add to the running sums eight (CHAIN) rows of x, `step` apart, their elements `pace`."""
    size = (sum_.size - 1) * pace + 1
    x0, x1 = section(x, start, start + size), section(x, start + step, start + step + size)
    start += 2 * step
    x2, x3 = section(x, start, start + size), section(x, start + step, start + step + size)
    start += 2 * step
    x4, x5 = section(x, start, start + size), section(x, start + step, start + step + size)
    start += 2 * step
    x6, x7 = section(x, start, start + size), section(x, start + step, start + step + size)
    for k in range(sum_.size):
        p = k * pace
        a = term(x0[p], center, middle, k) + term(x1[p], center, middle, k)
        b = term(x2[p], center, middle, k) + term(x3[p], center, middle, k)
        c = term(x4[p], center, middle, k) + term(x5[p], center, middle, k)
        d = term(x6[p], center, middle, k) + term(x7[p], center, middle, k)
        add(sum_, lost, k, (a + b) + (c + d), 0.0)


def add_row(x, start, pace, count, center, middle, sum_, lost):
    """Add to the first `count` running sums a row of x."""
    xs = x[start : start + (count - 1) * pace + 1]
    for k in range(count):
        add(sum_, lost, k, term(xs[k * pace], center, middle, k), 0.0)


def term(value, center, middle, k):
    """What is added up: an element in float64, or the square of its distance from a center."""
    if center is None:
        return np.float64(value)
    gap = np.float64(value) - middle[k]
    return gap * gap


def add(sum_, lost, k, value, more):
    """Add a value to a running sum; to `lost` what it loses by that, and more.

    Source: Knuth, "The Art of Computer Programming", volume 2, section 4.2.2.
    """
    before = sum_[k]
    after = before + value
    sum_[k] = after
    if real(1) + real(1e-9) != real(1):  # float32 fits into float64 often enough
        added = after - before
        lost[k] += (before - (after - added)) + (value - added) + more


def fold(sum_, lost, rows, count):
    """Add rows of `count` running sums up, the second half to the first, until one is left."""
    while rows > 1:
        half = (rows + 1) // 2
        for k in range((rows - half) * count):
            add(sum_, lost, k, sum_[half * count + k], lost[half * count + k])
        rows = half


def whole_sum(sum_, lost):
    """A running sum and what it lost, which of an infinite one is NaN."""
    return sum_ + lost if lost == lost else sum_
