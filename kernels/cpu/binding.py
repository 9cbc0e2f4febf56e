"""A loop and a rule become a kernel: `bind` puts them together, Numba compiles what comes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType

import numba
import numpy as np
from numba import njit, types
from numba.extending import overload

from .. import source
from . import bound, elementary
from .cache import keep_on_disk

OPTIONS = {"fastmath": elementary.FAST, "error_model": "numpy", "nogil": True}

_HERE = Path(__file__).parent
_SOURCE = source.digest(_HERE, _HERE.parent, _HERE.parent / "losses")


def bind(
    loop: Callable, rule: Callable | None, dtype: np.dtype, classes: int | None = None
) -> FunctionType:
    """The loop, with the names of bound.py filled in for a rule and a float type: plain Python.

    classes: how many, for a loop that is compiled for one number of them.

    `bind(pointwise, mse.rule, np.dtype("float32"))` is the function that one would have written for
    this one loss by hand, whose innermost loop, in `chunk`, is by then

        for k in range(count):
            d = xs[k] - ys[k]
            value, slope = d * d, d * (float32(upstreams) + float32(upstreams))
            partial[k] += value
            grads[k] = slope

    where `upstreams` is a number (else it is `upstreams[k]`) and of the two outputs there is but
    `grad_out`: what a loop asks of the types of its arguments leaves no trace in a kernel.

    The code of the loop, and of each function it calls, is given globals of its own. A closure
    would do as well, but miss Numba's disk cache in every new process: the key of the cache holds
    the number that a compiled function in a closure has in its process.
    """
    math = elementary.functions(dtype.type)
    names = {
        "real": dtype.type,
        "bits": np.int64 if dtype == np.float64 else np.int32,
        "CLASSES": classes or 0,
        "prange": numba.prange,
        "exp_gap": math.exp_gap,
        "log1p": math.log1p,
        "element": _element_of(dtype.type),
        "section": bound.section,
        "store": bound.store,
    }
    if rule is not None:
        names["point"] = _inlined(rule(dtype.type, math))

    def filled_in(function):
        found = function.__globals__
        for name in source.globals_of(function):
            if name not in names and isinstance(found.get(name), FunctionType):
                names[name] = _inlined(filled_in(found[name]))
        return FunctionType(function.__code__, {**found, **names}, function.__name__)

    return filled_in(loop)


def _inlined(function):
    """Compiled into its callers: LLVM vectorizes no loop with a call in it."""
    return njit(forceinline=True, **OPTIONS)(function)


@cache
def kernel(
    loop: Callable,
    rule: Callable | None,
    dtype: np.dtype,
    parallel: bool = False,
    classes: int | None = None,
) -> Callable:
    """The binding, compiled for many threads or for one, from the disk cache where possible.

    Its name carries all that it is made of: the rule and a digest of every source file in kernels/
    but those for GPUs. So an edit of any compiles anew.
    """
    function = bind(loop, rule, dtype, classes)
    owner = "" if rule is None else f"{rule.__module__.rpartition('.')[2]}-{rule.__name__}"
    form = f"{'parallel' if parallel else 'serial'}{classes or ''}"
    function.__qualname__ = ".".join([loop.__name__, owner, dtype.name, form, _SOURCE])
    function.__module__ = loop.__module__
    return keep_on_disk(njit(parallel=parallel, **OPTIONS)(function))


def kernel_alone(function: Callable) -> Callable:
    """A function that leaves nothing open, compiled as it is, from the disk cache where possible.

    Its qualified name must tell what is in it.
    """
    return keep_on_disk(njit(error_model="numpy")(function))


# --- an argument that is an array or a number: bound.py, by type ---------------------------------


@cache
def _element_of(real):
    def element(x, i):
        """See bound.element."""

    @overload(element)
    def _element(x, i):
        if isinstance(x, types.Array):
            return lambda x, i: x[i]
        return (lambda x, i: x) if isinstance(x, types.BaseTuple) else (lambda x, i: real(x))

    return element


@overload(bound.section)
def _section(x, begin, end):
    if isinstance(x, types.Array):
        return lambda x, begin, end: x[begin:end]
    return lambda x, begin, end: x


@overload(bound.store)
def _store(x, i, value):
    def store(x, i, value):
        x[i] = value

    return store if isinstance(x, types.Array) else (lambda x, i, value: None)
