"""Operations that rearrange, cut and join. Where NumPy gives a view, so do they."""

import math
from functools import cache
from inspect import Parameter, Signature

import numpy as np

from . import promotion
from .arguments import at_dim, many, sizes
from .op import Array, op


@op(lambda g, shape: reshape(g, shape), view=True)
def _reshape(input, new):
    return input.reshape(new)


def reshape(input, *shape) -> Array:
    """The same elements in another shape; one size may be -1. A view where possible."""
    shape = sizes(shape)
    if shape and min(shape) < -1:  # NumPy takes every negative size for -1
        raise RuntimeError(f"shape: expected sizes >= 0, or one -1, got {shape}")
    return _reshape(input, shape)


def view(input, *shape) -> Array:
    """As reshape, but never a copy: RuntimeError where the layout would need one."""
    out = reshape(input, *shape)
    arrays: list = [getattr(x, "array", x) for x in (out, input)]
    if arrays[0].size and not np.may_share_memory(*arrays):
        problem = "view size is not compatible with input tensor's size and stride"
        raise RuntimeError(f"{problem}: {sizes(shape)}. Use .reshape(...) instead.")
    return out


def flatten(input, start_dim=0, end_dim=-1) -> Array:
    """Merge the dimensions from start_dim to end_dim into one; the tensor itself if it is one."""
    shape = tuple(input.shape) or (1,)
    start, end = at_dim(start_dim, len(shape)), at_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError(f"flatten() has invalid args: start_dim {start_dim} > end_dim {end_dim}")
    if start == end and input.ndim:
        return input
    merged = math.prod(shape[start : end + 1])
    return _reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


@op(lambda g, shape: reshape(g, shape), view=True)
def squeeze(input, dim=None):
    """Drop the dimensions of size 1: all, one or several."""
    dims = [at_dim(d, input.ndim) for d in (range(input.ndim) if dim is None else many(dim))]
    return input.squeeze(tuple(d for d in dims if input.ndim and input.shape[d] == 1))


@op(lambda g, shape: reshape(g, shape), view=True)
def unsqueeze(input, dim):
    """Insert a dimension of size 1 before `dim`."""
    return np.expand_dims(input, dim)


@op(lambda g, dim0, dim1: transpose(g, dim0, dim1), view=True)
def transpose(input, dim0, dim1):
    """Swap two dimensions."""
    dims = at_dim(dim0, input.ndim), at_dim(dim1, input.ndim)
    return input.swapaxes(*dims) if input.ndim else input.view()


def swapaxes(input, axis0, axis1) -> Array:
    """NumPy's name for transpose."""
    return transpose(input, axis0, axis1)


@op(lambda g, dims: _permute(g, tuple(np.argsort([d % len(dims) for d in dims]))), view=True)
def _permute(input, dims):
    return input.transpose(dims)


def permute(input, *dims) -> Array:
    """Reorder the dimensions."""
    return _permute(input, sizes(dims))


def t(input) -> Array:
    """The transpose of a matrix; vectors and numbers are returned as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return transpose(input, 0, 1) if input.ndim == 2 else input


@op(lambda g: g, view=True)
def broadcast_to(input, size):
    """Repeat along new or size-1 dimensions without copying."""
    return np.broadcast_to(input, size)


def expand(input, *size) -> Array:
    """As broadcast_to; -1 keeps a dimension's size."""
    size = sizes(size)
    old = (-1,) * (len(size) - input.ndim) + tuple(input.shape)
    return broadcast_to(input, tuple(o if n == -1 else n for n, o in zip(size, old, strict=False)))


@op(lambda g, shape, repeats: _fold(g, shape, repeats))
def _repeat(input, repeats):
    return np.tile(input, repeats)


def _fold(g, shape, repeats):
    """Split each axis into (copies, size), and put the copies first: the walk adds them up."""
    padded = (1,) * (len(repeats) - len(shape)) + tuple(shape)
    pairs = tuple(n for pair in zip(repeats, padded, strict=True) for n in pair)
    return _permute(reshape(g, pairs), (*range(0, len(pairs), 2), *range(1, len(pairs), 2)))


def repeat(input, *repeats) -> Array:
    """Copies of the tensor along each dimension (NumPy's tile)."""
    repeats = sizes(repeats)
    if len(repeats) < input.ndim:
        raise RuntimeError(f"repeat(): got {len(repeats)} repeats for {input.ndim} dimensions")
    return _repeat(input, repeats)


def tile(input, *dims) -> Array:
    """As repeat, with 1 filled in for missing leading dimensions."""
    dims = sizes(dims)
    return _repeat(input, (1,) * (input.ndim - len(dims)) + tuple(dims))


def narrow(input, dim, start, length) -> Array:
    """The part from `start` of the given length along `dim`, a view."""
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = at_dim(dim, input.ndim)
    size = input.shape[dim]
    if not -size <= start <= size:
        raise IndexError(f"start: expected -{size} to {size} at dimension {dim}, got {start}")
    start = start + size if start < 0 else start
    if not 0 <= start <= start + length <= size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return input[(slice(None),) * dim + (slice(start, start + length),)]


@cache
def _join(n):
    """Concatenation as an operation of n inputs: each one's gradient is its own part."""

    def part_of(i):
        return lambda g, dim, bounds: narrow(g, dim, bounds[i], bounds[i + 1] - bounds[i])

    def cat(*args):
        return np.concatenate(args[:n], args[n])

    names = (*(f"x{i}" for i in range(n)), "dim", "bounds")
    cat.__signature__ = Signature([Parameter(k, Parameter.POSITIONAL_OR_KEYWORD) for k in names])
    return op(*map(part_of, range(n)), promote=promotion.common)(cat)


def cat(tensors, dim=0) -> Array:
    """Join tensors along an existing dimension."""
    tensors = tuple(tensors)
    if not tensors:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    if any(not x.ndim for x in tensors):
        raise RuntimeError("zero-dimensional tensor cannot be concatenated")
    like = max(tensors, key=lambda x: x.ndim).shape
    dim = at_dim(dim, len(like))
    empty = (*like[:dim], 0, *like[dim + 1 :])  # PyTorch's old empties, of shape (0,)
    tensors = tuple(reshape(x, empty) if x.shape == (0,) else x for x in tensors)
    bounds = (0, *np.cumsum([x.shape[dim] for x in tensors]).tolist())
    return _join(len(tensors))(*tensors, dim, bounds)


def stack(tensors, dim=0) -> Array:
    """Join tensors of one shape along a new dimension."""
    tensors = tuple(tensors)
    shapes = [tuple(x.shape) for x in tensors]
    if len(set(shapes)) != 1:
        found = ", ".join(map(str, shapes)) or "none"
        raise RuntimeError(f"stack expects at least one tensor, all to be equal size: got {found}")
    return cat([unsqueeze(x, dim) for x in tensors], dim)


@op(lambda g, dims: _flip(g, dims))
def _flip(input, dims):
    return np.flip(input, dims).copy()


def flip(input, *dims) -> Array:
    """Reverse the order along the given dimensions (a copy)."""
    dims = tuple(at_dim(d, input.ndim) for d in sizes(dims))
    return _flip(input, dims if input.ndim else ())


@op(lambda g, shifts, dims: roll(g, tuple(-s for s in many(shifts)), dims))
def roll(input, shifts, dims=None):
    """Shift the elements along `dims` (or all of them, flattened), around the end."""
    if dims is not None and len(many(shifts)) != len(many(dims)):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {shifts}, dims: {dims}")
    if not input.size:
        return input.copy()
    return np.roll(input, shifts if dims is not None else sum(many(shifts)), dims)


@op(lambda g, diagonal: tril(g, diagonal))
def tril(input, diagonal=0):
    """The lower triangle of a matrix (or batch of them), the rest 0."""
    return np.tril(_matrix("tril", input), diagonal)


@op(lambda g, diagonal: triu(g, diagonal))
def triu(input, diagonal=0):
    """The upper triangle of a matrix (or batch of them), the rest 0."""
    return np.triu(_matrix("triu", input), diagonal)


def _matrix(name, input):
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return input


@op(lambda g: g)
def clone(input):
    """A copy that stays in the graph."""
    return input.copy("K")


def contiguous(input) -> Array:
    """The tensor itself if its memory is in row order, else a copy that is."""
    array = getattr(input, "array", input)
    return input if array.flags.c_contiguous else _in_row_order(input)


@op(lambda g: g)
def _in_row_order(input):
    return input.copy("C")
