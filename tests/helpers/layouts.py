"""The same values in different memory: what a kernel or a view may trip over."""

import numpy as np


def _strided(a):
    """Every second element of a larger array, the gaps filled with what would show."""
    wide = np.full([2 * n for n in a.shape], np.nan if a.dtype.kind == "f" else 99, a.dtype)
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


def _sliced(a):
    """The inside of a larger array, its rim filled with what would show."""
    inside = tuple(slice(1, -1) for _ in a.shape)
    wide = np.full([n + 2 for n in a.shape], np.nan if a.dtype.kind == "f" else 99, a.dtype)
    wide[inside] = a
    return wide[inside]


# For tests that read the values back: one changes them, and from_numpy refuses the other.
MORE_LAYOUTS = {
    "transposed": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "sliced": _sliced,
    "zero_stride": lambda a: np.broadcast_to(a[:1].copy(), a.shape),
    "byte_swapped": lambda a: a.astype(a.dtype.newbyteorder()),
}
