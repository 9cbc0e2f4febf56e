"""Reductions. `dim` is None (all), an int or several; `keepdim` leaves the reduced axes as 1."""

import math
from collections import namedtuple

import numpy as np

from ..devices import module
from ..kernels import backend
from . import elementwise as ew
from . import promotion
from .arguments import at_dim
from .index import take_along_dim
from .op import Array, op
from .shape import broadcast_to, flip, reshape, unsqueeze

Extremes = namedtuple("Extremes", ["values", "indices"])  # what max and min give along a dimension


def _axes(dim, rank):
    """`dim` as the axes to reduce: all for None and (), none of a number's."""
    if dim is None or dim == ():
        return tuple(range(rank))
    dims = (dim,) if isinstance(dim, int) else dim
    axes = tuple([at_dim(d, rank) for d in dims])
    return axes if rank else ()


def _axis(dim, rank):
    """`dim` as the one axis of a position or a running sum; None (all) of a number."""
    axis = None if dim is None else at_dim(dim, rank)
    return axis if rank else None


def _kept(x, shape, dim):
    """A reduced `x` with its reduced axes put back as 1, so that it broadcasts against `shape`."""
    axes = _axes(dim, len(shape))
    return reshape(x, tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def _count(shape, dim):
    return math.prod([shape[d] for d in _axes(dim, len(shape))])


def _wide(input, dtype):
    """The dtype of a sum or product: int64 of integers and bools, unless given."""
    return np.int64 if dtype is None and input.dtype.kind in "biu" else dtype


def _in_float64(input, dtype, accumulate):
    """accumulate(dtype), of floats in float64, and rounded once."""
    dtype = np.dtype(_wide(input, dtype) or input.dtype)
    out = accumulate(np.float64 if dtype.kind == "f" else dtype)
    return out.astype(dtype, copy=False)


def _total(input, dim, keepdim=False, dtype=None, divisor=1.0, center=None):
    """The sum / divisor, or that of (input - center)²; of floats and to floats in float64, and
    rounded once."""
    if keepdim not in (False, True):  # which NumPy would see, and a kernel not
        raise TypeError(f"keepdim: expected a bool, got {keepdim!r}")
    axes = _axes(dim, input.ndim)
    if dtype is not None or input.dtype.kind != "f":
        dtype = _wide(input, dtype)
        if (input.dtype if dtype is None else np.dtype(dtype)).kind != "f":
            return input.sum(axis=axes, keepdims=keepdim, dtype=dtype)
        input = input if input.dtype.kind == "f" else input.astype(np.float64)
    return backend(input).run_sum(input, axes, keepdim, dtype, divisor, center)


def _spread(g, shape, dim):
    """Hand a reduction's gradient to every element it was made of."""
    return broadcast_to(_kept(g, shape, dim), shape)


@op(_spread)
def sum(input, dim=None, keepdim=False, dtype=None):
    """The sum; integers and bools are summed as int64."""
    return _total(input, dim, keepdim, dtype)


@op(lambda g, shape, dim: _spread(g, shape, dim) / _count(shape, dim))
def mean(input, dim=None, keepdim=False, dtype=None):
    """The arithmetic mean of floats; NaN of nothing."""
    if (input.dtype if dtype is None else np.dtype(dtype)).kind != "f":
        raise RuntimeError(f"mean(): expected a floating point dtype, got {dtype or input.dtype}")
    return _total(input, dim, keepdim, dtype, float(_count(input.shape, dim)))


def _others(input, dim):
    """For each element, the product of the others along `dim` (exact where some are 0)."""
    n, last = input.shape[dim], input.ndim
    eye = (
        module(getattr(input, "array", input))
        .eye(n, dtype=bool)
        .reshape((n,) + (1,) * (last - 1 - dim % last) + (n,))
    )
    rows = unsqueeze(input, -1).swapaxes(dim % last, -1)  # (..., 1, ..., n): a copy per element
    return prod(ew.where(eye, 1.0, rows), -1)


def _prod_gradient(g, shape, out, input, dim, keepdim):
    if not shape:
        return g
    if dim is None:
        return reshape(g * _others(reshape(input, (-1,)), 0), shape)
    return _kept(g, shape, (dim,)) * _others(input, dim)


@op(_prod_gradient)
def prod(input, dim=None, keepdim=False, dtype=None):
    """The product; integers and bools are multiplied as int64."""
    axes = _axes(dim, input.ndim)
    return _in_float64(
        input, dtype, lambda wide: input.prod(axis=axes, keepdims=keepdim, dtype=wide)
    )


def _share(g, shape, out, input, dim, keepdim):
    """Ties share the gradient of an extreme evenly."""
    hit = input == _kept(out, shape, dim)
    return _kept(g, shape, dim) * hit / hit.sum(axis=_axes(dim, len(shape)), keepdims=True)


def _nonempty(name, input, dim):
    if input.size == 0 and _count(input.shape, dim) == 0:
        problem = "nothing to choose from, input.numel() == 0"
        raise IndexError(f"{name}(): {problem}: got shape {input.shape}, dim {dim}")
    return input


@op(_share)
def amax(input, dim=(), keepdim=False):
    """The largest value, NaN if any is; ties share the gradient."""
    return _nonempty("amax", input, dim).max(axis=_axes(dim, input.ndim), keepdims=keepdim)


@op(_share)
def amin(input, dim=(), keepdim=False):
    """The smallest value, NaN if any is; ties share the gradient."""
    return _nonempty("amin", input, dim).min(axis=_axes(dim, input.ndim), keepdims=keepdim)


@op(None, promote=promotion.numeric)
def argmax(input, dim=None, keepdim=False):
    """The position of the largest value (the first of ties, a NaN before all), int64."""
    return _nonempty("argmax", input, dim).argmax(axis=_axis(dim, input.ndim), keepdims=keepdim)


@op(None, promote=promotion.numeric)
def argmin(input, dim=None, keepdim=False):
    """The position of the smallest value (the first of ties, a NaN before all), int64."""
    return _nonempty("argmin", input, dim).argmin(axis=_axis(dim, input.ndim), keepdims=keepdim)


def _extreme(input, dim, keepdim, all_of, pairwise, position):
    if dim is None and 0 in input.shape:
        raise RuntimeError(f"{all_of.name[1:]}(): nothing to choose from, input.numel() == 0")
    if dim is None:
        return all_of(input)
    if not isinstance(dim, int):
        return pairwise(input, dim)
    indices = position(input, dim, True)
    values = take_along_dim(input, indices, dim) if input.ndim else input
    if keepdim or not input.ndim:
        return Extremes(values, indices)
    return Extremes(values.squeeze(dim), indices.squeeze(dim))


def max(input, dim=None, keepdim=False) -> Array:
    """max(x): the largest value. max(x, dim): (values, indices). max(x, y): as maximum."""
    return _extreme(input, dim, keepdim, amax, ew.maximum, argmax)


def min(input, dim=None, keepdim=False) -> Array:
    """min(x): the smallest value. min(x, dim): (values, indices). min(x, y): as minimum."""
    return _extreme(input, dim, keepdim, amin, ew.minimum, argmin)


def _freedom(shape, dim, correction):
    return float(_count(shape, dim) - correction)


def _by_variance(g, shape, input, dim, correction):
    deviation = input - mean(input, dim, True)
    return _spread(g, shape, dim) * deviation * 2 / _freedom(shape, dim, correction)


def _by_deviation(g, shape, out, input, dim, correction):
    return _by_variance(_quotient(g, out) / 2, shape, input, dim, correction)


def _variance(input, dim, correction, keepdim, dtype):
    """In two passes; NaN or inf where too few elements are left."""
    if input.dtype.kind != "f":
        raise RuntimeError(f"std and var only support floating point dtypes, got {input.dtype}")
    center = _total(input, dim, True, np.float64, float(_count(input.shape, dim)))
    left = np.maximum(_freedom(input.shape, dim, correction), 0.0)
    return _total(input, dim, keepdim, dtype, float(left), center)


@op(_by_variance)
def _var(input, dim, correction, keepdim):
    return _variance(input, dim, correction, keepdim, input.dtype)


@op(_by_deviation)
def _std(input, dim, correction, keepdim):
    spread = _variance(input, dim, correction, keepdim, np.float64)
    return np.sqrt(spread).astype(input.dtype, copy=False)


def _degrees(dim, unbiased, correction):
    """PyTorch's two spellings, var(unbiased) and var(dim, unbiased), beside `correction`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return dim, int(unbiased) if unbiased is not None else 1 if correction is None else correction


def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None) -> Array:
    """The variance, divided by n - correction (1 unless given)."""
    return _var(input, *_degrees(dim, unbiased, correction), keepdim)


def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None) -> Array:
    """The standard deviation, from the variance with divisor n - correction (1 unless given)."""
    return _std(input, *_degrees(dim, unbiased, correction), keepdim)


@op(None)
def any(input, dim=None, keepdim=False):
    """Whether any element is nonzero."""
    return input.any(axis=_axes(dim, input.ndim), keepdims=keepdim)


@op(None)
def all(input, dim=None, keepdim=False):
    """Whether all elements are nonzero."""
    return input.all(axis=_axes(dim, input.ndim), keepdims=keepdim)


def _by_exponents(g, shape, out, input, dim):
    return _spread(g, shape, dim) * ew.exp(input - _kept(out, shape, dim))


def _highest(input, axes):
    """The largest value, -inf of nothing, which CuPy's max cannot be told."""
    if input.size:
        return input.max(axis=axes, keepdims=True)
    shape = [1 if i in axes else n for i, n in enumerate(input.shape)]
    return np.full_like(input, -np.inf, shape=shape)


@op(_by_exponents, promote=promotion.floating)
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) without overflow."""
    axes = _axes(dim, input.ndim)
    high = _highest(input, axes)
    shift = np.where(np.isfinite(high), high, input.dtype.type(0))
    total = _total(np.exp(input - shift), dim, True, np.float64)
    out = (np.log(total) + shift).astype(input.dtype, copy=False)
    return out if keepdim else out.squeeze(axes)


def _below_zero(input, dim, dtype):
    """`input`, in the given dtype if any, less its largest value along `dim`."""
    input = input if dtype is None else input.astype(dtype)
    return input - _highest(input, _axes(at_dim(dim, input.ndim), input.ndim))


@op(lambda g, out, dim: out * (g - sum(g * out, dim, True)), promote=promotion.floating)
def softmax(input, dim, dtype=None):
    """exp(input) / sum(exp(input)) along `dim`."""
    e = np.exp(_below_zero(input, dim, dtype))
    return e / _total(e, dim, True)


@op(lambda g, out, dim: g - ew.exp(out) * sum(g, dim, True), promote=promotion.floating)
def log_softmax(input, dim, dtype=None):
    """log(softmax(input)) along `dim`, without overflow or cancellation."""
    shifted = _below_zero(input, dim, dtype)
    log_total = np.log(_total(np.exp(shifted), dim, True, np.float64))
    return shifted - log_total.astype(shifted.dtype, copy=False)


@op(lambda g, dim: flip(cumsum(flip(g, (dim,)), dim), (dim,)))
def cumsum(input, dim, dtype=None):
    """The running sum along `dim`; integers and bools are summed as int64."""
    axis = _axis(dim, input.ndim)
    out = _in_float64(input, dtype, lambda wide: input.cumsum(axis=axis, dtype=wide))
    return out.reshape(input.shape)


@op(lambda g: None)
def _is_nonzero(input):
    """1 or 0, in the dtype of `input`; has a place in the graph, as in PyTorch, but no gradient."""
    return (input != 0).astype(input.dtype)


def _quotient(g, x, power=1):
    """g / x^power, but 0 where x is 0, as are all derivatives there."""
    return ew.where(x == 0, 0.0, g / ew.where(x == 0, 1.0, x) ** power)


def _by_powers(g, shape, out, input, p, dim):
    total = _quotient(_kept(g, shape, dim), _kept(out, shape, dim), p - 1)
    return _quotient(total * ew.sign(input), ew.abs(input), 1 - p)


@op(_by_powers)
def _norm(input, p, dim, keepdim):
    powers = np.absolute(input).astype(np.float64, copy=False) ** p
    total = _total(powers, dim, keepdim, np.float64)
    return (total ** (1 / p)).astype(input.dtype, copy=False)


@op(lambda g, shape, out, input, dim: input * _spread(_quotient(g, out), shape, dim))
def _norm2(input, dim, keepdim):
    squares = _total(input, dim, keepdim, np.float64, center=0.0)
    return np.sqrt(squares).astype(input.dtype, copy=False)


def norm(input, p="fro", dim=None, keepdim=False) -> Array:
    """(sum |input|^p)^(1/p): p is a number, inf, -inf or "fro" (2, over all of `dim`)."""
    if input.dtype.kind != "f":
        raise RuntimeError(f"norm(): input dtype should be floating point, got {input.dtype}")
    if p != "fro" and not isinstance(p, (int, float)):
        raise RuntimeError(f"p: expected a number, inf, -inf or 'fro', got {p!r}")
    if p in ("fro", 2):
        return _norm2(input, dim, keepdim)
    if (p < 0 or p == np.inf) and _count(input.shape, dim) == 0:
        raise RuntimeError(f"norm(): nothing has no norm for p = {p}: shape {tuple(input.shape)}")
    size = ew.abs(input)
    if p in (np.inf, -np.inf):
        return (amax if p > 0 else amin)(size, dim, keepdim)
    if p == 0:
        return sum(_is_nonzero(input), dim, keepdim)
    if p == 1:
        return sum(size, dim, keepdim)
    return _norm(input, p, dim, keepdim)
