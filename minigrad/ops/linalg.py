"""Matrix products; NumPy hands them to BLAS."""

import numpy as np

from . import promotion
from .op import Array, op
from .shape import reshape


def product(a, b) -> Array:
    """a @ b; of plain matrices by np.dot, half of np.matmul's time at toy sizes."""
    return np.dot(a, b) if type(a) is np.ndarray and a.ndim == b.ndim == 2 else a @ b


@op(
    lambda g, other: product(g, other.swapaxes(-1, -2)),
    lambda g, input: product(input.swapaxes(-1, -2), g),
    promote=promotion.one_dtype,
)
def _matmul(input, other):
    if input.shape[-1] != other.shape[-2]:
        a, b = ("x".join(map(str, x.shape)) for x in (input, other))
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a} and {b})")
    return product(input, other)


def matmul(input, other) -> Array:
    """The matrix product; vectors count as a row or a column, leading dimensions broadcast."""
    if input.ndim == 0 or other.ndim == 0:
        ranks = f"{input.ndim}D and {other.ndim}D"
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {ranks}")
    if input.ndim > 1 and other.ndim > 1:
        return _matmul(input, other)
    a = reshape(input, (1, -1)) if input.ndim == 1 else input
    b = reshape(other, (-1, 1)) if other.ndim == 1 else other
    out = _matmul(a, b)
    kept = out.shape[:-2] + out.shape[-2:-1] * (input.ndim > 1) + out.shape[-1:] * (other.ndim > 1)
    return reshape(out, tuple(kept))


def _ranked(name, *ranks):
    """The matrix product for operands of just these ranks."""

    def ranked(input, other):
        if (input.ndim, other.ndim) != ranks:
            expected, found = f"{ranks[0]}D and {ranks[1]}D", f"{input.ndim}D and {other.ndim}D"
            raise RuntimeError(f"{name}: expected {expected} tensors, got {found}")
        if ranks == (3, 3) and input.shape[0] != other.shape[0]:
            raise RuntimeError(f"bmm: batch sizes {input.shape[0]} and {other.shape[0]} differ")
        return matmul(input, other)

    ranked.__name__, ranked.__doc__ = name, f"matmul for {ranks[0]}-d by {ranks[1]}-d tensors."
    return ranked


mm, bmm = _ranked("mm", 2, 2), _ranked("bmm", 3, 3)
mv, dot = _ranked("mv", 2, 1), _ranked("dot", 1, 1)


def outer(input, vec2) -> Array:
    """The products of every pair of elements of two vectors."""
    if (input.ndim, vec2.ndim) != (1, 1):
        raise RuntimeError(f"outer: expected 1D tensors, got {input.ndim}D and {vec2.ndim}D")
    return reshape(input, (-1, 1)) * vec2
