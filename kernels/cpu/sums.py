"""Adding up, so that the same input gives the same bits.

An array is cut into blocks by its size alone, a block is summed in lanes of float64 (a mean is
finite where the sum overflows float32, and equal terms, whose roundings add up, keep their digits),
blocks are added in order. How many threads share the blocks changes nothing, and as the lanes are
written out, neither does how the compiler vectorizes a loop: left to reorder sums (`reassoc`), it
did so differently in a fresh build and in the cached one.
"""

from .bound import real

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
