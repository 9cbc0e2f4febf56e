"""Large output buffers, reused: half of a 16M-element call was the page faults of a fresh one.

A buffer is lent through a Lease, the `base` of the array handed out and so of every view of it.
When the last of these is gone, the lease is, and the memory comes back; not before.
"""

from __future__ import annotations

import weakref
from itertools import count

import numpy as np

SMALLEST = 1 << 20  # bytes; below, the C library reuses memory itself and no pages fault
IDLE = 2  # times the bytes lent at once, lately: so much is kept while nobody holds it
LIMIT = 1 << 29  # bytes: the most that is kept so
LATELY = 1024  # requests, or up to twice as many: more than a training step has
LINE = 64  # bytes: a vector of the widest kind that starts at a multiple lies in one cache line


class Lease(np.ndarray):
    """A buffer's bytes. A type of its own, or NumPy would skip it when it follows `base`."""


_free: dict[int, list[np.ndarray]] = {}  # by size, those first that nobody has asked for longest
_lent: dict[int, tuple[weakref.ref, int]] = {}  # alive, for they give the buffers back; sizes
_most = [0, 0]  # bytes lent at once: since the latest multiple of LATELY requests, and before
_requests = count(1)


def empty_like(array: np.ndarray) -> np.ndarray:
    """An array of that shape and dtype in row order, whatever its memory holds."""
    size = array.nbytes
    if size < SMALLEST:
        return np.empty(array.shape, array.dtype)
    buffers = _free.pop(size, None)
    if buffers:
        buffer = buffers.pop()
        if buffers:
            _free[size] = buffers  # last in order
    else:
        owner = Lease(size + LINE, np.uint8)
        start = -owner.ctypes.data % LINE
        buffer = owner[start : start + size]
    lease = buffer[:]

    def take_back(ref):
        del _lent[id(ref)]
        _free.setdefault(size, []).append(buffer)
        _trim()

    ref = weakref.ref(lease, take_back)
    _lent[id(ref)] = ref, size
    if next(_requests) % LATELY == 0:
        _most[:] = 0, _most[0]
    _most[0] = max(_most[0], sum(n for _, n in list(_lent.values())))
    return np.ndarray(array.shape, array.dtype, lease)


def _trim():
    """Give back to the system what is more than enough."""
    enough = min(IDLE * max(_most), LIMIT)
    idle = {size: size * len(buffers) for size, buffers in list(_free.items())}
    too_much = sum(idle.values()) - enough
    for size, kept in idle.items():
        if too_much <= 0:
            break
        buffers = _free.get(size, [])
        del buffers[: -(-min(too_much, kept) // size)]
        too_much -= kept
        if not buffers:
            _free.pop(size, None)


def empty_cache() -> None:
    """Give the buffers that nobody holds back to the system."""
    _free.clear()
