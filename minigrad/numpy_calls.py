"""NumPy's functions on Tensors: np.exp(t) and np.sum(t, axis=0) give Tensors, and mean what NumPy
means.

Where an operation does just that, it runs, and gradients go through it: OURS says for which of
NumPy's functions and keywords. All else NumPy computes on the arrays, outside the graph; TypeError
if a float comes out of a Tensor that requires a gradient, or if a Tensor's memory would change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from . import dtypes
from .holder import ArrayHolder
from .ops import ALIASES, OPERATIONS, elementwise, linalg, reduce
from .ops import shape as shapes
from .ops.index import take_along_dim

ARRAYS = (ArrayHolder, np.ndarray)
NONE = np._NoValue  # what NumPy has for a keyword that is not given


def of_ufunc(ufunc: np.ufunc, method: str, inputs: tuple, keywords: dict) -> Any:
    """What Tensor.__array_ufunc__ gives. Dtypes are those of operators: array + t calls it, too."""
    if method != "__call__":
        name = f"np.{ufunc.__name__}.{method}"
        raise TypeError(f"{name} takes no Tensors; use its method or function, or pass t.numpy()")
    if keywords.pop("where", True) is not True:
        problem = "where= leaves the rest of a new Tensor undefined; use minigrad.where()"
        raise TypeError(f"np.{ufunc.__name__}: {problem}")
    name = "eq" if ufunc is np.equal else ALIASES.get(ufunc.__name__, ufunc.__name__)
    operation = OPERATIONS.get(name)
    if operation is None or keywords or (len(inputs) == 1 and inputs[0].dtype.kind != "f"):
        return _by_numpy(ufunc, inputs, keywords)
    return operation(*[np.asarray(x) if isinstance(x, (list, tuple)) else x for x in inputs])


def of_function(function: Callable, args: tuple, keywords: dict) -> Any:
    """What Tensor.__array_function__ gives."""
    given = {k: v for k, v in keywords.items() if v is not NONE}
    ours = OURS.get(function)
    if ours is None and _one_dtype(_among((args, given), ARRAYS), floats=True):
        ours = OF_FLOATS.get(function)
    if ours is not None and _takes(ours, args, given):
        result = ours(*args, **given)
        if result is not NotImplemented:
            return result
    return _by_numpy(function, args, keywords)


def _by_numpy(function, args, keywords):
    """The function on arrays that it cannot write to; what comes out as new Tensors."""
    name = f"np.{function.__name__}"
    tensors = [*_among((args, keywords), ArrayHolder)]
    if keywords.get("out") is not None:
        raise TypeError(f"{name}: of Tensors there is no out=; write out[...] = {name}(...)")
    try:
        result = function(*_arrays(args), **_arrays(keywords))
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise TypeError(f"{name} may not change a Tensor; use a method, or t[...] = ...") from error
    if any(t.requires_grad for t in tensors) and any(
        x.dtype.kind == "f" for x in _among(result, (np.ndarray, np.generic))
    ):
        raise TypeError(f"{name} has no gradient here; detach() the tensor first")
    return _as_tensors(result, tensors, name)


def _among(x: Any, kinds: Any) -> Iterator[Any]:
    """What is of these kinds, x itself or in nested tuples, lists and dicts."""
    if isinstance(x, kinds):
        yield x
    elif isinstance(x, (tuple, list, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _among(part, kinds)


def _arrays(x):
    """Tensors as arrays."""
    if isinstance(x, ArrayHolder):
        array = x._value()[...]
        if type(array) is np.ndarray:
            array.flags.writeable = False
        return array
    if isinstance(x, dict):
        return {name: _arrays(part) for name, part in x.items()}
    return type(x)(map(_arrays, x)) if type(x) in (tuple, list) else x


def _as_tensors(x, tensors, name):
    """Arrays and NumPy's numbers as Tensors, on memory of their own."""
    if isinstance(x, (tuple, list)):
        parts = [_as_tensors(part, tensors, name) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if not (hasattr(x, "dtype") and hasattr(x, "shape")):
        return x
    dtype = dtypes.as_dtype(x.dtype, f"{name}: the result's dtype")
    ours = any(np.may_share_memory(x, t.array) for t in tensors)
    return tensors[0].wrap(x.astype(dtype, copy=ours))


# --- what operations do as NumPy does -------------------------------------------------------------


@cache
def _signature(function):
    return inspect.signature(function)


def _takes(function, args, keywords):
    """Whether it may be called so: without an array for the result, nor an axis that says something
    else to PyTorch: none at all, or one of a number."""
    try:
        given = _signature(function).bind(*args, **keywords).arguments
    except TypeError:
        return False
    axis = given.get("axis")
    number = axis is not None and not getattr(next(iter(given.values())), "ndim", 1)
    return given.get("out") is None and axis != () and not number


def _one_dtype(arrays, floats=False):
    """Whether they have one dtype, and NumPy and PyTorch the same one for the result."""
    found = {x.dtype for x in arrays}
    return len(found) == 1 and (not floats or found <= {dtypes.float32, dtypes.float64})


def _squeeze(a, axis=None):
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    long = any(-a.ndim <= i < a.ndim and a.shape[i] != 1 for i in axes)
    return NotImplemented if long else shapes.squeeze(a, axis)


def _var(function):
    return lambda a, axis=None, dtype=None, out=None, ddof=0, keepdims=False: (
        NotImplemented if dtype else function(a, axis, keepdim=keepdims, correction=ddof)
    )


def _cumsum(a, axis=None, dtype=None, out=None):
    return reduce.cumsum(shapes.flatten(a) if axis is None else a, axis or 0, dtype)


def _prod(a, axis=None, dtype=None, out=None, keepdims=False):
    return NotImplemented if isinstance(axis, tuple) else reduce.prod(a, axis, keepdims, dtype)


def _clip(a, a_min=NONE, a_max=NONE, out=None, *, min=NONE, max=NONE):
    old, new = a_min is not NONE and a_max is not NONE, a_min is NONE and a_max is NONE
    low, high = (a_min, a_max) if old else (None if x is NONE else x for x in (min, max))
    if (old == new or low is high is None) or (old and not min is max is NONE):
        return NotImplemented
    return elementwise.clamp(a, low, high)


def _dot(a, b, out=None):
    flat = {1, 2} >= {np.ndim(a), np.ndim(b)}
    return linalg.matmul(a, b) if flat else NotImplemented


def _roll(a, shift, axis=None):
    plain = isinstance(shift, int) and (axis is None or isinstance(axis, int))
    return shapes.roll(a, shift, axis) if plain else NotImplemented


def _where(condition, x, y):
    several = [z for z in (x, y) if isinstance(z, ARRAYS)]
    bools = isinstance(condition, ARRAYS) and condition.dtype.kind == "b"
    if not bools or not _one_dtype(several, floats=len(several) == 1):
        return NotImplemented
    return elementwise.where(condition, x, y)


def _take_along_axis(arr, indices, axis=-1):
    if axis is None or np.ndim(indices) != arr.ndim or not isinstance(arr, ArrayHolder):
        return NotImplemented
    return take_along_dim(arr, indices, axis)


def _joined(function):
    def join(arrays, axis=0, out=None):
        plain = type(arrays) in (list, tuple) and isinstance(axis, int)
        plain = plain and all(isinstance(x, ARRAYS) for x in arrays) and _one_dtype(arrays)
        return function(arrays, axis) if plain else NotImplemented

    return join


def _reduced(function, over_all=None):
    return lambda a, axis=None, out=None, keepdims=False: function(
        a, over_all if axis is None else axis, keepdims
    )


# In NumPy's words, of Tensors of any dtype; NotImplemented leaves it to NumPy.
OURS: dict[Callable, Callable] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.any: _reduced(reduce.any),
    np.all: _reduced(reduce.all),
    np.transpose: lambda a, axes=None: shapes.permute(a, axes or tuple(range(a.ndim))[::-1]),
    np.reshape: lambda a, shape: shapes.reshape(a, shape),
    np.ravel: lambda a: shapes.reshape(a, -1),
    np.squeeze: _squeeze,
    np.swapaxes: lambda a, axis1, axis2: (
        shapes.transpose(a, axis1, axis2) if a.ndim else NotImplemented
    ),
    np.expand_dims: lambda a, axis: (
        shapes.unsqueeze(a, axis) if isinstance(axis, int) else NotImplemented
    ),
    np.flip: lambda m, axis=None: shapes.flip(m, tuple(range(m.ndim)) if axis is None else axis),
    np.roll: _roll,
    np.tile: lambda A, reps: shapes.tile(A, reps),
    np.broadcast_to: lambda array, shape: shapes.broadcast_to(array, shape),
    np.copy: lambda a: shapes.clone(a),
    np.tril: lambda m, k=0: shapes.tril(m, k) if m.ndim > 1 else NotImplemented,
    np.triu: lambda m, k=0: shapes.triu(m, k) if m.ndim > 1 else NotImplemented,
    np.concatenate: _joined(shapes.cat),
    np.stack: _joined(shapes.stack),
    np.where: _where,
    np.take_along_axis: _take_along_axis,
}
# The same, of floats: of integers NumPy and PyTorch have results of other dtypes.
OF_FLOATS: dict[Callable, Callable] = {
    np.sum: lambda a, axis=None, dtype=None, out=None, keepdims=False: reduce.sum(
        a, axis, keepdims, dtype
    ),
    np.mean: lambda a, axis=None, dtype=None, out=None, keepdims=False: (
        NotImplemented if dtype else reduce.mean(a, axis, keepdims)
    ),
    np.prod: _prod,
    np.max: _reduced(reduce.amax, ()),
    np.min: _reduced(reduce.amin, ()),
    np.var: _var(reduce.var),
    np.std: _var(reduce.std),
    np.argmax: _reduced(reduce.argmax),
    np.argmin: _reduced(reduce.argmin),
    np.cumsum: _cumsum,
    np.clip: _clip,
    np.round: lambda a, decimals=0, out=None: elementwise.round(a, decimals),
    np.dot: _dot,
}
OF_FLOATS |= {
    np.amax: OF_FLOATS[np.max],
    np.amin: OF_FLOATS[np.min],
    np.around: OF_FLOATS[np.round],
}
