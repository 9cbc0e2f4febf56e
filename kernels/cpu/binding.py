"""A loop and a rule become a kernel: `binding` puts them together, Numba compiles them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import njit, types
from numba.extending import overload

from .. import bind
from ..namespace import Real
from . import bound, elementary
from .cache import keep_on_disk

OPTIONS: dict[str, Any] = {"fastmath": elementary.FAST, "error_model": "numpy", "nogil": True}

_HERE = Path(__file__).parent
_SOURCE = bind.digest(_HERE, _HERE.parent, _HERE.parent / "losses")


def binding(
    loop: Callable, rule: Callable | None, dtype: np.dtype, classes: int = 0
) -> FunctionType:
    """The loop, with the names of bound.py filled in for a rule and a float type: plain Python.

    classes: how many, for a loop that is compiled for one number of them.

    `binding(pointwise, mse.rule, np.dtype("float32"))` is the function that one would have written
    for this one loss by hand, whose innermost loop, in `chunk`, is by then

        for k in range(count):
            d = xs[k] - ys[k]
            value, slope = d * d, d * (float32(upstreams) + float32(upstreams))
            partial[k] += value
            chunk_slopes[k] = slope

    where `upstreams` is a number (else it is `upstreams[k]`) and of the two outputs there is but
    `slopes`: what a loop asks of the types of its arguments leaves no trace in a kernel.

    The code of the loop, and of each function it calls, is given globals of its own. A closure
    would do as well, but miss Numba's disk cache in every new process: the key of the cache holds
    the number that a compiled function in a closure has in its process.
    """
    real: Real = dtype.type
    math = elementary.functions(real)
    names = {
        "real": real,
        "bits": np.int64 if dtype == np.float64 else np.int32,
        "CLASSES": classes,
        "prange": numba.prange,
        "exp_gap": math.exp_gap,
        "log1p": math.log1p,
        "element": _element_of(real),
        "section": bound.section,
        "store": bound.store,
    }
    if rule is not None:
        names["point"] = _inlined(rule(real, math))
    return bind.bind(loop, names, _inlined)


def _inlined(function):
    """Compiled into its callers: LLVM vectorizes no loop with a call in it."""
    return njit(forceinline=True, **OPTIONS)(function)


@cache
def kernel(
    loop: Callable, rule: Callable | None, dtype: np.dtype, parallel: bool, *classes: int
) -> Any:
    """The binding, compiled for many threads or for one, from the disk cache where possible.

    Its name carries all that it is made of: the rule and a digest of every source file in kernels/
    but those for GPUs. So an edit of any compiles anew.
    """
    function = binding(loop, rule, dtype, *classes)
    form = "-".join(["parallel" if parallel else "serial", *map(str, classes)])
    function.__qualname__ = bind.title(loop, rule, dtype.name, form, _SOURCE)
    function.__module__ = loop.__module__
    return _compiled(function, parallel=parallel, **OPTIONS)


@cache
def kernel_alone(function: Callable) -> Any:
    """A function that leaves nothing open, and what it calls, from the disk cache where possible.

    Its qualified name must tell what is in it.
    """
    inlined = njit(error_model="numpy", forceinline=True)
    bound_function = bind.bind(function, {}, inlined)
    bound_function.__module__ = function.__module__
    bound_function.__qualname__ = function.__qualname__
    return _compiled(bound_function, error_model="numpy")


def _compiled(function: Callable, **options: Any) -> Any:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return _in_python(function)
    return keep_on_disk(njit(**options)(function))


def _in_python(function):
    """What a kernel does and gives, in plain Python, for NUMBA_DISABLE_JIT=1: a debugger can step
    through it. Arithmetic as compiled never warns, and results are Python's numbers."""

    def python(x):
        if isinstance(x, tuple):
            return tuple(map(python, x))
        return x.item() if isinstance(x, np.generic) else x

    @wraps(function)
    def kernel(*arguments):
        with np.errstate(all="ignore"):
            return python(function(*arguments))

    return kernel


# --- an argument that is an array or a number: bound.py, by type ---------------------------------


@cache
def _element_of(real):
    def element(x, i):
        """See bound.element."""
        if isinstance(x, np.ndarray):
            return x[i]
        return x if isinstance(x, tuple) else real(x)

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
