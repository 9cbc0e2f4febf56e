"""Reading and writing at indices: one operation reads, one adds, one assigns."""

import numpy as np

from ..devices import CUDA, module, move
from ..kernels import backend
from ..tape import raw, run
from . import promotion
from .arguments import at_dim
from .elementwise import where
from .op import Array, op
from .shape import broadcast_to, reshape


@op(lambda g, shape, index: put(g, shape, index), view=True, holds="index")
def getitem(input, index):
    """input[index]: ints, slices, None, Ellipsis, boolean masks, integer arrays."""
    out = input[index]
    if isinstance(out, np.generic):  # one element: NumPy copies it, with an Ellipsis it is a view
        out = input[(*index, ...) if isinstance(index, tuple) else (index, ...)]
    return out


@op(lambda g, index: getitem(g, index), holds="index")
def put(input, size, index):
    """Zeros of the given size with `input` added at `index`; repeated positions add up."""
    out = module(input).zeros(size, input.dtype)
    if _repeats(index):
        backend(out).add_at(out, index, input)
    else:
        out[index] = input
    return out


def _repeats(index):
    """Whether an index may name one position twice: only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(getattr(i, "dtype", None) is not None and i.dtype.kind in "iu" for i in parts)


@op(
    lambda g, index: assign(g, 0.0, index),
    lambda g, index: getitem(g, index),
    promote=promotion.stored,
    holds="index",
)
def assign(input, value, index):
    """A copy of `input` in which input[index] is `value`."""
    out = np.copy(input)
    out[index] = value
    return out


def numbers_first(key: tuple) -> tuple:
    """An index as two, of which the first picks by numbers: x[0, :, [1, 3]] is x[0][:, [1, 3]].

    As PyTorch has it, where NumPy puts the 2 in front of the colon. Nothing comes second unless
    the index holds a number and an array.
    """
    if not (any(type(k) is int for k in key) and any(hasattr(k, "dtype") for k in key)):
        return key, None
    first, then = [], []
    for k in key:
        if isinstance(k, (bool, np.bool_)):
            raise IndexError(f"index: {k} cannot stand beside a number and a list; use a mask")
        if hasattr(k, "dtype"):
            first += [slice(None)] * (k.ndim if k.dtype.kind == "b" else 1)
            then.append(k)
        else:
            first.append(k)
            then += [] if type(k) is int else [k if k is ... else slice(None)]
    return tuple(first), tuple(then)


def on_gpu(key) -> Array:
    """An index whose arrays are on the GPU, where the tensor is that it goes with."""
    if isinstance(key, tuple):
        return tuple(map(on_gpu, key))
    if hasattr(key, "__record__"):
        return key.to(CUDA)
    return move(key, CUDA) if isinstance(key, np.ndarray) else key


def index_select(input, dim, index) -> Array:
    """The slices of `input` at the given positions along `dim`; `index` is 1-d int."""
    dim = at_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError(f"index_select(): Index is supposed to be a vector, got {index.ndim}D")
    run(_checked, raw(index), input.shape[dim], dim)
    return getitem(input, (slice(None),) * dim + (index,))


def _checked(index, size, dim):
    """RuntimeError unless all of the index, an array, is in [0, size)."""
    if index.dtype.kind not in "iu":
        raise RuntimeError(f"index: expected integers, got {index.dtype}")
    outside = (index < 0) | (index >= size)
    if outside.any():
        first = index[outside][0]
        raise RuntimeError(f"index {first} is out of bounds for dimension {dim} with size {size}")


def take_along_dim(input, indices, dim=None) -> Array:
    """Elements picked along `dim` by `indices`, broadcast against `input` elsewhere."""
    if indices.dtype.kind not in "iu":
        raise RuntimeError(f"indices: expected integers, got {indices.dtype}")
    if dim is None:
        return getitem(reshape(input, (-1,)), reshape(indices, (-1,)))
    dim = at_dim(dim, input.ndim)
    shape = np.broadcast_shapes(
        *((*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, indices))
    )
    grid = list(module(raw(indices)).ogrid[tuple(map(slice, shape))])
    for axis, n in enumerate(input.shape):
        if axis != dim and n == 1:
            grid[axis] = np.zeros_like(grid[axis])
    whole = (*shape[:dim], indices.shape[dim], *shape[dim + 1 :])
    grid[dim] = broadcast_to(indices, whole)
    return getitem(input, tuple(grid))


def gather(input, dim, index) -> Array:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on; `index` may be smaller."""
    dim = at_dim(dim, input.ndim)
    if index.ndim != input.ndim:
        ranks = f"got {index.ndim} and {input.ndim}"
        raise RuntimeError(f"index and input must have the same number of dimensions, {ranks}")
    if any(
        n > m for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if d != dim
    ):
        shapes = f"got {tuple(index.shape)} for {tuple(input.shape)}"
        raise RuntimeError(
            f"index: may not be larger than input but along dimension {dim}: {shapes}"
        )
    run(_checked, raw(index), input.shape[dim], dim)
    grid = list(module(raw(index)).ogrid[tuple(map(slice, index.shape))])
    grid[dim] = index
    return getitem(input, tuple(grid))


def masked_fill(input, mask, value) -> Array:
    """`input` with `value` (a number or 0-d tensor) where `mask`."""
    if getattr(value, "ndim", 0):
        raise RuntimeError(f"masked_fill expects a 0-dimensional value, got {value.ndim} dim(s)")
    return where(mask, value, input).astype(input.dtype)
