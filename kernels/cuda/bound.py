"""The names that a loop leaves open on a GPU, which `binding` fills in; see cpu/bound.py.

What is a number or a bool here is a constant of a kernel: what depends on it is decided, and loops
over it are unrolled, when the kernel is compiled.
"""

from typing import Any

import numpy as np
from numba import float64

from ..cpu.bound import exp_gap, log1p, point  # noqa: F401 (the same names there)
from ..namespace import Real

# The kernel's float type: as NumPy's (real(0.5)), and as Numba's, for arrays; infinity of it. wide:
# Numba's type of the numbers that a team adds up.
real: Real = np.float64
kind: Any = float64
wide: Any = float64
infinity: float = np.inf

BLOCK: int = 0  # threads of a block
TEAM: int = 0  # threads that share a row, a part of a warp or whole warps
TEAMS: int = 0  # of a block
WIDTH: int = 0  # elements in the 16 bytes of the widest access
VECTORS: int = 0  # such accesses that a thread makes before the first use: its part, in registers
KEPT: int = 0  # elements in these
STAGED: int = 0  # such accesses of a thread that are kept in shared memory
BEYOND: bool = False  # whether more of a row is read twice
CLASSES: int = 0  # how many, if a kernel is for one number of them; else 0
EACH: int = 0  # rows that a thread then takes
TILE: int = 0  # and elements of all of a block's

ALIGNED: bool = False  # whether arrays begin at multiples of 16 bytes
VALUES: bool = False  # whether values are wanted, and
SLOPES: bool = False  # whether slopes are
VARIES: bool = False  # whether each element has a parameter of its own
WEIGHTED: bool = False  # whether classes have weights
KEEP: bool = False  # whether rows may be left out
A: bool = False  # whether an optimizer has a first state,
B: bool = False  # a second
C: bool = False  # and a third


def exp(x: float) -> float:
    """e^x; CUDA's own."""
    raise NotImplementedError


def number_of(parameter: Any, each: Any) -> Any:
    """The parameter that all elements share: `given` or `stored` of pointwise.py."""
    raise NotImplementedError


def parameter_at(common: Any, each: Any, i: int) -> Any:
    """The parameter of element i: `the_same` or `its_own` of pointwise.py."""
    raise NotImplementedError
