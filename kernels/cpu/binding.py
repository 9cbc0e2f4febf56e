"""A loop becomes a kernel: bound to a rule and a float type, compiled, shared among threads.

What needs Numba is here and in the two files imported here.
"""

from __future__ import annotations

import os
import threading
import types
from functools import cache
from pathlib import Path

import numba
import numpy as np
from numba import njit, prange
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import overload

from .. import source
from . import elementary
from .cache import keep_on_disk

OPTIONS = {"fastmath": elementary.FAST, "error_model": "numpy", "nogil": True}


# --- what an argument may be: an array or a number ----------------------------------------------


def at(x, i):
    """x[i] of an array; a number is the same everywhere."""


def part(x, lo, hi):
    """x[lo:hi] of an array, so that the inner loop needs no wrap-around test; a number as it is."""


def put(x, i, value):
    """x[i] = value for an array; nothing for a number."""


def cast(real, x):
    """A number in a loop's own float type; a tuple of numbers has it."""


@overload(at)
def _at(x, i):
    return (lambda x, i: x[i]) if hasattr(x, "ndim") else (lambda x, i: x)


@overload(part)
def _part(x, lo, hi):
    return (lambda x, lo, hi: x[lo:hi]) if hasattr(x, "ndim") else (lambda x, lo, hi: x)


@overload(put)
def _put(x, i, value):
    def store(x, i, value):
        x[i] = value

    return store if hasattr(x, "ndim") else (lambda x, i, value: None)


@overload(cast)
def _cast(real, x):
    whole = isinstance(x, numba.types.BaseTuple)
    return (lambda real, x: x) if whole else (lambda real, x: real(x))


# --- binding a loop to a rule -------------------------------------------------------------------

_HERE = Path(__file__).parent
_SOURCE = source.digest(_HERE, _HERE.parent, _HERE.parent / "losses")


@cache
def specialise(loop, rule, dtype, parallel=False, classes=None):
    """`loop` compiled with `rule` and the float type `dtype`, from the disk cache where possible.

    classes: how many, for a loop that is built for one number of them.

    A closure over a dispatcher would miss Numba's disk cache in every new process (the key holds a
    number of the process). So the loop's code is rebound to globals of its own, which are no part
    of the key, and its name carries the rule and a hash of every source file in kernels/
    but those for GPUs: an edit of any compiles anew.
    """
    math = elementary.functions(dtype.type)
    scope = dict(
        loop.__globals__,
        at=at,
        part=part,
        put=put,
        cast=cast,
        prange=prange,
        exp_gap=math.exp_gap,
        log1p=math.log1p,
        real=dtype.type,
        bits=np.int64 if dtype == np.float64 else np.int32,
        CLASSES=classes,
    )
    if rule is not None:
        scope["point"] = njit(forceinline=True, **OPTIONS)(rule(dtype.type, math))
    for helper in scope.get("HELPERS", ()):
        scope[helper.__name__] = njit(forceinline=True, **OPTIONS)(
            types.FunctionType(helper.__code__, scope, helper.__name__)
        )
    function = types.FunctionType(loop.__code__, scope, loop.__name__)
    owner = "" if rule is None else f"{rule.__module__.rpartition('.')[2]}-{rule.__name__}"
    build = f"{'parallel' if parallel else 'serial'}{classes or ''}"
    function.__qualname__ = ".".join([loop.__name__, owner, dtype.name, build, _SOURCE])
    function.__module__ = loop.__module__
    return keep_on_disk(njit(parallel=parallel, **OPTIONS)(function))


def kernel(function):
    """`function` compiled, from the disk cache where possible; its name must tell what is in it."""
    return keep_on_disk(njit(error_model="numpy")(function))


# --- threads and forks --------------------------------------------------------------------------

_threads = threading.Lock()  # of whoever launches them; nobody's in a child that was born without


@cache
def in_threads(loop, rule, dtype, *classes):
    """`loop` shared among threads; it runs in this one alone while those are busy.

    The bits are the same. Numba's workqueue layer ends the process if two Python threads launch at
    once, and OpenMP would give each of them a team of its own.
    """
    start_threads()
    parallel = specialise(loop, rule, dtype, True, *classes)

    def launch(*arguments):
        if not _threads.acquire(False):
            return specialise(loop, rule, dtype, False, *classes)(*arguments)
        try:
            return parallel(*arguments)
        finally:
            _threads.release()

    return launch


@cache
def start_threads():
    """Numba's threads, told not to wait for work for long, if they are GNU OpenMP's.

    They would spin for milliseconds and keep those of NumPy's BLAS from the cores: a product of
    128 x 784 by 784 x 1024, then a loss of 40,000, took 8.0 ms on two cores, and takes 1.4. The
    loss alone takes as long as before; with OMP_WAIT_POLICY=passive, six times as long. Where
    PyTorch shares the library, its small steps take a fifth longer, larger ones a quarter as long.
    """
    waits = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    if waits & os.environ.keys():  # somebody has decided
        return
    os.environ["GOMP_SPINCOUNT"] = "5000"  # which the library reads when it is loaded
    numba.get_num_threads()
    del os.environ["GOMP_SPINCOUNT"]


def _in_forked_child():
    """Leave the threads alone if the parent had some: a fork copies none of them.

    GNU OpenMP would end the child, or wait for them for ever. A child of a parent that has
    launched nothing starts its own.
    """
    global_compiler_lock.release()
    try:
        numba.threading_layer()
    except ValueError:
        return
    _threads.acquire(False)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(  # no fork while a thread compiles: the child could never compile again
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_in_forked_child,
    )
