"""The same values in different memory: what a kernel or a view may trip over."""

import numpy as np


def _strided(a):
    """Every second element of a larger array, the gaps filled with NaN."""
    wide = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
    return wide[tuple(slice(None, None, 2) for _ in a.shape)]


def _reversed(a):
    backwards = tuple(slice(None, None, -1) for _ in a.shape)
    return np.ascontiguousarray(a[backwards])[backwards]


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def _unaligned(a):
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    out = buffer[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


LAYOUTS = {
    "contiguous": lambda a: a.copy(),
    "fortran": np.asfortranarray,
    "strided": _strided,
    "reversed": _reversed,
    "read_only": _read_only,
    "unaligned": _unaligned,
}
