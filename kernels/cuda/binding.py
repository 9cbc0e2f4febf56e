"""A kernel bound to a rule, a float type and its constants, compiled for the GPU at hand."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import FunctionType, SimpleNamespace

import numpy as np
from numba import cuda, from_dtype

from .. import source
from ..cpu import elementary
from . import cross_entropy, elementwise, primitives, sums

HELPERS = (*sums.HELPERS, *elementwise.HELPERS, *cross_entropy.HELPERS)
_HERE = Path(__file__).parent
_SOURCE = source.digest(*(_HERE.parent / room for room in (".", "losses", "cpu", "cuda")))


def device(function):
    """A function for kernels to call; LLVM puts its body where it is called."""
    return cuda.jit(device=True, forceinline=True)(function)


@cache
def functions(real):
    """What rules and kernels compute with, on the GPU: the names of elementary.functions.

    exp takes 9 instructions, log 24, log1p 28 (CUDA's, within 1 ulp; the approximations of
    fastmath lose the digits of a log near 1); log1p_unit is the CPU's polynomial, 10.
    """

    @device
    def exp_gap(x, top):
        """exp of the exact x - top, x <= top; see elementary.exp_gap."""
        gap = x - top
        less = gap - x
        less = (top + less) - (x - (gap - less))
        e = math.exp(gap)
        return e - e * less if gap > lowest else e

    lowest = real(elementary.CONSTANTS[real].exp_range[0])
    unit = elementary.log1p_unit(real, device)
    return SimpleNamespace(
        exp=math.exp, exp_unit=math.exp, exp_gap=exp_gap, log=math.log, log_finite=math.log,
        log1p=math.log1p, log1p_finite=math.log1p, log1p_unit=unit or math.log1p,
        divide=primitives.divide,
    )  # fmt: skip


@cache
def build(kernel, signature, threads, blocks, dtype, rule=None, **constants):
    """`kernel` compiled with a float type, a rule and constants, from disk where possible.

    signature: of its arguments; threads: to a block, of which at least `blocks` shall fit on an SM
    (which limits registers).

    As with the CPU's loops (cpu/binding.py), the code of a kernel and of its helpers is bound
    to globals of its own, which are no part of the disk cache's key: its name tells what they are.
    """
    math_of, kind = functions(dtype), from_dtype(np.dtype(dtype))
    width = 128 // kind.bitwidth
    scope = {
        **vars(sums), **vars(elementwise), **vars(cross_entropy), **kernel.__globals__,
        "real": dtype, "kind": kind, "wide": kind, "infinity": dtype(np.inf), "WIDTH": width,
        "exp": math_of.exp, "exp_gap": math_of.exp_gap, "log1p": math_of.log1p,
        "BLOCK": threads, "TEAM": threads,
        **{k: device(v) if isinstance(v, FunctionType) else v for k, v in constants.items()},
    }  # fmt: skip
    scope |= {"TEAMS": threads // scope["TEAM"], "KEPT": (scope.get("VECTORS") or 0) * width}
    if rule is not None:
        scope["point"] = device(rule(dtype, math_of))
    for helper in HELPERS:
        scope[helper.__name__] = device(FunctionType(helper.__code__, scope, helper.__name__))
    function = FunctionType(kernel.__code__, scope, kernel.__name__)
    owner = "" if rule is None else f"{rule.__module__.rpartition('.')[2]}-{rule.__name__}"
    options = "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in sorted(constants.items()))
    name = kernel.__name__, owner, str(kind), options, str(threads), str(blocks), _SOURCE
    function.__qualname__ = ".".join(name)
    function.__module__ = kernel.__module__
    # Optimized once more while it is linked (lto), cross-entropy of 32 classes spills.
    return cuda.jit(signature, cache=True, lto=False, launch_bounds=(threads, blocks))(function)
