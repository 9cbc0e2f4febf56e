"""Reading and writing at indices: one operation reads, one adds, one assigns."""

import math
import operator
import warnings

import numpy as np

from ..devices import CUDA, module, move
from ..kernels import backend
from ..tape import active_tape, raw, refuse, run
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
    return any(hasattr(i, "dtype") and i.dtype.kind in "iu" for i in parts)


def write(array, index, value):
    """array[index] = value; of values for one position the last stays, in row order of the index,
    where NumPy follows the order of memory."""
    if type(index) is tuple and _repeats(index):
        index = tuple([i.copy() if hasattr(i, "dtype") else i for i in index])
    array[index] = value


def _that_stayed(g, index):
    """The gradient of the values that were written: 0 where a later one replaced them."""
    out = getitem(g, index)
    if not _repeats(index):
        return out
    numbers = module(getattr(g, "array", g))
    order = numbers.arange(math.prod(out.shape)).reshape(out.shape)
    last = numbers.empty(g.shape, np.int64)
    positions = tuple(map(raw, index))
    write(last, positions, order)
    return where(last[positions] == order, out, 0.0)


@op(
    lambda g, index: assign(g, 0.0, index),
    lambda g, index: _that_stayed(g, index),
    promote=promotion.stored,
    holds="index",
)
def assign(input, value, index):
    """A copy of `input` in which input[index] is `value`."""
    out = np.copy(input)
    write(out, index, value)
    return out


INT_OR_NONE = {int, type(None)}
PLAIN = {*INT_OR_NONE, slice, type(...)}  # parts of a key that give a view


def canonical(key, shape: tuple[int, ...]) -> tuple[tuple, tuple]:
    """x[key], of an x of that shape, as x[picks][arrays]: what PyTorch takes a key for.

    picks: ints, slices of ints, None and an Ellipsis, which give a view, or one of these; () if
    they leave x as it is. arrays: () or, for each dimension of that view, slice(None), an array of
    integers or a mask, NumPy's or a Tensor; so NumPy puts their dimensions where PyTorch does.
    IndexError for what cannot be an index.
    """
    if isinstance(key, tuple):
        parts = list(map(_part, key))
        if PLAIN.issuperset(map(type, parts)):
            return tuple(parts), ()
    else:
        part = _part(key)
        if type(part) in PLAIN:
            return part, ()
        if type(part) is not bool:
            _check_mask(part, shape, 0)
            return (), (part,)
        parts = [part]
    if sum([k is ... for k in parts]) > 1:
        raise IndexError("an index can only have a single Ellipsis ('...')")
    whole, dim = slice(None), 0
    left = len(shape) - sum([_dimensions(k) for k in parts])
    picks: list = []
    arrays: list = []
    for k in parts:
        if type(k) is bool:  # a mask of no dimensions: of a new one, it takes all or nothing
            picks.append(None)
            arrays.append(np.zeros(int(k), np.int64))
        elif hasattr(k, "dtype"):
            _check_mask(k, shape, dim)
            picks += [whole] * _dimensions(k)
            arrays.append(k)
        elif k is ...:
            picks += [whole] * left
            arrays += [whole] * left
            dim += left
        else:
            picks.append(k)
            arrays += [] if type(k) is int else [whole]
        dim += _dimensions(k)
    return () if all(k == whole for k in picks) else tuple(picks), tuple(arrays)


def _dimensions(part) -> int:
    """How many dimensions of a tensor a part of a canonical key is about."""
    if hasattr(part, "dtype"):
        return part.ndim if part.dtype.kind == "b" else 1
    return 0 if part is None or part is ... or type(part) is bool else 1


def _check_mask(k, shape, dim):
    """Raise IndexError unless a mask goes with the dimensions from `dim`; NumPy lets some pass."""
    if k.dtype.kind == "b" and tuple(k.shape) != tuple(shape[dim : dim + k.ndim]):
        raise IndexError(
            f"boolean index did not match the indexed tensor of shape {list(shape)} at dimension "
            f"{dim}: the shape of the mask is {list(k.shape)}"
        )


def _part(k):
    """A part of a key as an int, a slice of ints, None, Ellipsis, a bool, or an array or a Tensor
    that has dimensions, of integers or bools."""
    kind = type(k)
    if kind is int or k is None or k is ...:
        return k
    if kind is slice:
        if INT_OR_NONE.issuperset((type(k.start), type(k.stop), type(k.step))):
            return k
        return slice(_bound(k.start), _bound(k.stop), _bound(k.step))
    if isinstance(k, (bool, np.bool_)):
        return bool(k)
    if isinstance(k, (list, tuple, range)):
        k = _listed(k) if active_tape() is None else run(_listed, _fixed(k))
    elif isinstance(k, np.ndarray):
        k = np.array(k)  # a change of it must not reach the backward pass
        tape = active_tape()
        if tape is not None:  # which did not see where its numbers are from
            tape.made(k)
    elif not hasattr(k, "dtype") or isinstance(k, np.generic):
        try:
            return operator.index(k)
        except TypeError:
            raise IndexError(
                "index: only integers, slices (`:`), Ellipsis (`...`), None, and lists, arrays and "
                f"tensors of integers or bools are valid, got {type(k).__name__}"
            ) from None
    if k.dtype.kind not in "biu":
        raise IndexError(
            "index: what is used as indices must be integer or bool (a number, list, array or "
            f"tensor), got {k.dtype}"
        )
    if k.dtype == np.uint8:
        if k.ndim:
            warnings.warn(
                "indexing with dtype minigrad.uint8 is now deprecated, please use a dtype "
                "minigrad.bool instead.",
                stacklevel=5,
            )
        k = k != 0
    if k.dtype.kind == "b":
        if not isinstance(k, np.ndarray):
            refuse("the shape of x[mask] depends on values; use where()")
        return k if k.ndim else bool(k)
    if not k.ndim:
        return operator.index(k)
    if k.dtype.kind == "u" and k.size and k.max() >= 2**63:  # NumPy would count from the end
        raise IndexError(f"index {k.max()} is out of bounds")
    return k


def _bound(x):
    """Where a slice begins or ends, or its step: an int or None."""
    if x is None:
        return x
    try:
        return operator.index(x)
    except TypeError:
        raise TypeError(
            "slice indices must be integers or None or have an __index__ method, got "
            f"{getattr(x, 'dtype', type(x).__name__)}"
        ) from None


def _fixed(k):
    """Nested lists as tuples: a step that is recorded keeps what they hold now."""
    return tuple(map(_fixed, k)) if isinstance(k, (list, tuple)) else k


def _listed(k):
    """Nested lists as one array, as NumPy reads them; an empty one is of integers."""
    try:
        array = np.array(k) if type(k) is not range else np.arange(k.start, k.stop, k.step)
    except ValueError:
        raise IndexError(f"index: expected nested lists of equal length, got {k}") from None
    if array.dtype.kind == "O":
        raise IndexError(
            f"index: expected integers or bools in a list, got {k}; slices, None and arrays belong "
            "into a tuple"
        )
    return array if array.size else array.astype(np.int64)


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
    if not input.ndim:
        return reshape(index_select(reshape(input, (1,)), 0, reshape(index, (1,))), ())
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
    grid = list(run(_open_grid, raw(indices), shape))
    for axis, n in enumerate(input.shape):
        if axis != dim and n == 1:
            grid[axis] = run(np.zeros_like, grid[axis])
    whole = (*shape[:dim], indices.shape[dim], *shape[dim + 1 :])
    grid[dim] = broadcast_to(indices, whole)
    return getitem(input, tuple(grid))


def _open_grid(like, shape):
    """The positions along each dimension of `shape`, beside `like`."""
    return tuple(module(like).ogrid[tuple(map(slice, shape))])


def gather(input, dim, index) -> Array:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on; `index` may be smaller."""
    dim = at_dim(dim, input.ndim)
    if 0 in index.shape:
        return reshape(getitem(reshape(input, (-1,)), slice(0)), index.shape)
    if max(index.ndim, 1) != max(input.ndim, 1):
        ranks = f"got {index.ndim} and {input.ndim}"
        raise RuntimeError(f"index and input must have the same number of dimensions, {ranks}")
    if not index.ndim:
        return reshape(gather(input, dim, reshape(index, (1,))), ())
    if not input.ndim:
        input = reshape(input, (1,))
    if any(
        n > m for d, (n, m) in enumerate(zip(index.shape, input.shape, strict=True)) if d != dim
    ):
        shapes = f"got {tuple(index.shape)} for {tuple(input.shape)}"
        raise RuntimeError(
            f"index: may not be larger than input but along dimension {dim}: {shapes}"
        )
    run(_checked, raw(index), input.shape[dim], dim)
    grid = list(run(_open_grid, raw(index), index.shape))
    grid[dim] = index
    return getitem(input, tuple(grid))


def masked_fill(input, mask, value) -> Array:
    """`input` with `value` (a number or 0-d tensor) where `mask`."""
    if getattr(value, "ndim", 0):
        raise RuntimeError(f"masked_fill expects a 0-dimensional value, got {value.ndim} dim(s)")
    return where(mask, value, input).astype(input.dtype)


@op(
    lambda g, shape, index: put(g, shape, index),
    view=True,
    problem=(
        "A view is one of several that a function returned and {}. Such functions do not allow "
        "their views to be modified inplace. Replace the inplace operation by an out-of-place one."
    ),
)
def _select(input, index):
    """input[index], where others take other parts."""
    return getitem.forward(input, index)


def split(tensor, split_size_or_sections, dim=0) -> tuple:
    """Views of consecutive parts: of a given size, or of the sizes in a list."""
    n, sections = _size_at("split", tensor, dim), split_size_or_sections
    if isinstance(sections, int):
        if sections < (n > 0):
            raise RuntimeError(f"split expects split_size to be positive, but got {sections}")
        sections = [min(sections, n - start) for start in range(0, n, sections or 1)] or [0]
    elif sum(sections) != n:
        problem = f"split expects split_sizes to sum exactly to {n}, the size at dimension {dim}"
        raise RuntimeError(f"{problem}, but got {list(sections)}")
    elif min(sections, default=0) < 0:
        raise RuntimeError(f"split expects split_sizes to be at least 0, but got {list(sections)}")
    before = (slice(None),) * at_dim(dim, tensor.ndim)
    ends = np.cumsum(sections, dtype=int).tolist()
    parts = zip(sections, ends, strict=True)
    return tuple(_select(tensor, (*before, slice(end - size, end))) for size, end in parts)


def _size_at(name, input, dim):
    if not input.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return input.shape[at_dim(dim, input.ndim)]


def chunk(input, chunks, dim=0) -> tuple:
    """Split into at most `chunks` views of equal size (the last may be smaller)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    return split(input, max(1, -(-_size_at("chunk", input, dim) // chunks)), dim)


def unbind(input, dim=0) -> tuple:
    """The slices along `dim`, as a tuple of views."""
    before = (slice(None),) * at_dim(dim, input.ndim)
    return tuple(_select(input, (*before, i)) for i in range(input.shape[dim]))
