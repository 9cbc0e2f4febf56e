"""Adding up: among the threads of a team, and among all blocks, always in the same order."""

from numba import cuda, float64, int32

from .bound import TEAM, wide
from .primitives import fresh, take_ticket

EVERYONE = 0xFFFFFFFF  # all 32 lanes of a warp


def warp_reduce(value, largest, lanes):
    """The largest value, or else the sum, over each `lanes` of a warp, known to all of them."""
    offset = lanes // 2
    while offset > 0:
        other = cuda.shfl_xor_sync(EVERYONE, value, offset)
        value = max(value, other) if largest else value + other
        offset >>= 1
    return value


def team_reduce(value, largest):
    """The same over the threads of a team."""
    value = warp_reduce(value, largest, TEAM if TEAM < 32 else 32)
    if TEAM > 32:
        warps = cuda.shared.array(32, wide)
        cuda.syncthreads()  # whoever still reads those before
        if cuda.threadIdx.x & 31 == 0:
            warps[cuda.threadIdx.x >> 5] = value
        cuda.syncthreads()
        value = warp_reduce(warps[cuda.threadIdx.x & (TEAM // 32 - 1)], largest, TEAM // 32)
    return value


def block_sum(value):
    """The sum of every thread's float64, known to all of them."""
    sums = cuda.shared.array(32, float64)
    value = warp_reduce(value, False, 32)
    cuda.syncthreads()
    if cuda.threadIdx.x & 31 == 0:
        sums[cuda.threadIdx.x >> 5] = value
    cuda.syncthreads()
    value = float64(0)
    for warp in range(cuda.blockDim.x >> 5):
        value += sums[warp]
    return value


def grid_sum(value, block_sums, ticket):
    """(whether this block is the last to come, the sum of every thread's float64 if it is).

    Each block leaves its sum in block_sums; the block that comes last adds them up in order. So one
    launch does it, and the same bits come out however the blocks were scheduled.
    """
    is_last = cuda.shared.array(1, int32)
    value = block_sum(value)
    if cuda.threadIdx.x == 0:
        block_sums[cuda.blockIdx.x] = value
        cuda.threadfence()  # the sum is there before the ticket is taken
        is_last[0] = take_ticket(ticket, cuda.gridDim.x - 1) == cuda.gridDim.x - 1
    cuda.syncthreads()
    if is_last[0] == 0:
        return False, value
    cuda.threadfence()
    value = float64(0)
    block = cuda.threadIdx.x
    while block < cuda.gridDim.x:
        value += fresh(block_sums, block)
        block += cuda.blockDim.x
    return True, block_sum(value)
