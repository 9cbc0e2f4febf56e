"""A loop and a rule become a kernel for the GPU at hand, as in cpu/binding.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from numba import cuda, from_dtype

from .. import bind
from ..namespace import Real
from . import elementary
from .primitives import device

_HERE = Path(__file__).parent
_SOURCE = bind.digest(*(_HERE.parent / room for room in (".", "losses", "cpu", "cuda")))


@cache
def kernel(
    loop: Callable,
    signature: tuple,
    threads: int,
    blocks: int,
    dtype: np.dtype,
    rule: Callable | None = None,
    **constants: Any,
) -> Any:
    """`loop`, one thread's part of the work, with the names of bound.py filled in, compiled.

    signature: of its arguments; threads: to a block, of which at least `blocks` shall fit on an SM
    (which limits registers); constants: by their names in bound.py. It comes from the disk cache
    where possible, in which its name tells what it is made of.
    """
    real: Real = dtype.type
    math, kind = elementary.functions(real), from_dtype(dtype)
    width, team = 128 // kind.bitwidth, constants.get("TEAM", threads)
    names = {
        "real": real, "kind": kind, "wide": kind, "infinity": real(np.inf), "WIDTH": width,
        "exp": math.exp, "exp_gap": math.exp_gap, "log1p": math.log1p,
        "BLOCK": threads, "TEAM": team, "TEAMS": threads // team,
        "KEPT": constants.get("VECTORS", 0) * width,
        **{k: device(v) if isinstance(v, FunctionType) else v for k, v in constants.items()},
    }  # fmt: skip
    if rule is not None:
        names["point"] = device(rule(real, math))
    function = bind.bind(loop, names, device)
    given = "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in sorted(constants.items()))
    function.__qualname__ = bind.title(loop, rule, kind, given, threads, blocks, _SOURCE)
    function.__module__ = loop.__module__
    # Optimized once more while it is linked (lto), cross-entropy of 32 classes spills.
    options: dict[str, Any] = {"cache": True, "lto": False, "launch_bounds": (threads, blocks)}
    return cuda.jit(signature, **options)(function)
