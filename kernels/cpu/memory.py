"""Large output buffers, reused: half of a 16M-element call was the page faults of a fresh one.

A buffer is lent through a Lease, the `base` of the array handed out and so of every view of it.
When the last of these is gone, the lease is, and the memory comes back; not before.
"""

from __future__ import annotations

import weakref

import numpy as np

SMALLEST = 1 << 20  # bytes; below, the C library reuses memory itself and no pages fault
LIMIT = 1 << 29  # bytes kept at most
LINE = 64  # bytes: a vector of the widest kind that starts at a multiple lies in one cache line


class Lease(np.ndarray):
    """A buffer's bytes. A type of its own, or NumPy would skip it when it follows `base`."""


_free: dict[int, list[np.ndarray]] = {}  # by size
_lent: dict[int, weakref.ref] = {}  # keeps the references alive, which give the buffers back


def empty_like(array: np.ndarray) -> np.ndarray:
    """An array of that shape and dtype in row order, whatever its memory holds."""
    size = array.nbytes
    if size < SMALLEST:
        return np.empty(array.shape, array.dtype)
    try:
        buffer = _free[size].pop()
    except (KeyError, IndexError):
        owner = Lease(size + LINE, np.uint8)
        start = -owner.ctypes.data % LINE
        buffer = owner[start : start + size]
    lease = buffer[:]

    def take_back(ref):
        del _lent[id(ref)]
        kept = sum(n * len(buffers) for n, buffers in list(_free.items()))
        if kept + size > LIMIT:  # room for the sizes now in use
            empty_cache()
        if size <= LIMIT:
            _free.setdefault(size, []).append(buffer)

    ref = weakref.ref(lease, take_back)
    _lent[id(ref)] = ref
    return np.ndarray(array.shape, array.dtype, lease)


def empty_cache() -> None:
    """Give the buffers that nobody holds back to the system."""
    _free.clear()
