"""The names that a loop leaves open: `binding` fills them in for each rule and float type.

Loops import them from here, where they are what they would be in a program of float64 in plain
Python. A kernel never runs these: what it gets instead is told with each. (With NUMBA_DISABLE_JIT=1
kernels are plain Python.)
"""

import math
import os
from types import ModuleType
from typing import Any

import numpy as np

from ..namespace import Real

# The float type of a kernel's arrays, and the integer type of as many bits. real(0.5) is a constant
# of a kernel's own type: a bare 0.5 would make float32 arithmetic float64.
real: Real = np.float64
bits: type[np.signedinteger] = np.int64

# The number of classes, in a kernel that is compiled for one number of them; else 0.
CLASSES: int = 0

# The range of blocks that threads share; Numba's prange, which is range in a serial kernel.
prange = range


def point(*numbers: Any) -> tuple[Any, ...]:
    """The rule's function of one element: what a loss in kernels/losses, or an optimizer, is."""
    raise NotImplementedError("a loop is run by way of binding")


def exp_gap(x: float, top: float) -> float:
    """e^(x - top), x <= top; elementary.py's, which the compiler can vectorize."""
    return math.exp(x - top)


def log1p(x: float) -> float:
    """log(1 + x); elementary.py's."""
    return math.log1p(x)


# Whose functions generated loops call. Python's raise where C's have an answer, and NumPy's do not.
libm: ModuleType = math if os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0") else np

# An argument may be an array or, for all elements alike, a number. Which it is, is known when a
# kernel is compiled, so that neither form costs the other anything.


def element(x: Any, i: int) -> Any:
    """x[i] of an array; a number, in the kernel's float type; a tuple of numbers as it is."""
    return x[i] if isinstance(x, np.ndarray) else x


def section(x: Any, begin: int, end: int) -> Any:
    """x[begin:end] of an array; a number as it is. A loop over a section is free of wrap-around
    tests of its indices."""
    return x[begin:end] if isinstance(x, np.ndarray) else x


def store(x: Any, i: int, value: float) -> None:
    """x[i] = value of an array; nothing for a number."""
    if isinstance(x, np.ndarray):
        x[i] = value
