"""What rules and kernels compute with on the GPU: the names of cpu/elementary.py."""

import math
from functools import cache
from types import SimpleNamespace

from ..cpu.elementary import CONSTANTS, log1p_unit
from ..namespace import Math, Real
from .primitives import device, divide


@cache
def functions(real: Real) -> Math:
    """Device functions of a float type.

    exp takes 9 instructions, log 24, log1p 28 (CUDA's, within 1 ulp; the approximations of
    fastmath lose the digits of a log near 1); log1p_unit is the CPU's polynomial, 10.
    """
    lowest = real(CONSTANTS[real].exp_range[0])

    @device
    def exp_gap(x, top):
        """exp of the exact x - top, x <= top; see cpu/elementary.py."""
        gap = x - top
        less = gap - x
        less = (top + less) - (x - (gap - less))
        e = math.exp(gap)
        return e - e * less if gap > lowest else e

    unit = log1p_unit(real, device) or math.log1p
    return SimpleNamespace(
        exp=math.exp, exp_unit=math.exp, exp_gap=exp_gap, log=math.log, log_finite=math.log,
        log1p=math.log1p, log1p_finite=math.log1p, log1p_unit=unit, divide=divide,
    )  # fmt: skip
