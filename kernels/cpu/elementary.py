"""exp, log and log1p that LLVM's loop vectorizer can take (calls into libm it cannot).

    exp x   = 2^n e^r                x = n ln 2 + r, |r| <= ln 2 / 2
    log u   = log(1 + f) - k ln 2    1 + f = u 2^k in (3/4, 3/2]
    log1p x = the same with u = 1 + x, but f = x 2^k + (2^k - 1): the rounding of 1 + x never enters

Sources: the reduction by ln 2 in two parts is Cody and Waite's; rounding by adding 1.5 2^p and the
order of the last sums follow FreeBSD's msun; the f of log1p is N. Juffa's. The polynomials are
minimax for the relative error of the result (Remez exchange at 50 digits; coefficients rounded, the
last bits of the float32 log searched for the least error). NaN, infinities, signed zeros and
subnormals come out as in C99.

Largest errors of exp, log, log1p in ulp: float32 0.923, 0.898, 0.907 with FMA and 0.951, 0.909,
0.917 without (all 2^32 inputs, tests/scripts/exhaustive_elementary.py); float64 0.906, 0.914, 0.902
with FMA (17 million samples).
"""

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit

from ..namespace import Math, Real

# For the functions that call these. Never nnan or ninf: NaN and infinity must survive. Never
# reassoc or arcp: what they let the compiler do differs from build to build, so the bits would.
FAST = {"contract", "nsz"}

# Here no reassoc: it would cancel the correction terms. Instructions keep their own flags when
# they are inlined into a FAST caller. 'numpy': a division must not branch. forceinline: LLVM finds
# two of these in one loop too large to inline, and a loop with a call in it is not vectorized.
EXACT: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}

# ln2: the first part times any exponent is exact.  exp: (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2.
# log: (log(1 + f) - f + f^2 / 2) / f^3 on [-1/4, 1/2].  unit: (log(1 + x) - x) / x^2 on [0, 1].
# Lowest power first.
# fmt: off
CONSTANTS: dict[Real, SimpleNamespace] = {
    np.float32: SimpleNamespace(
        integer=np.int32, ln2=(0.693145751953125, 1.4286068203094173e-06), exp_range=(-104, 89),
        exp=(0.49999994, 0.16666521, 0.04166839, 0.008368724, 0.0013814584),
        log=(0.3333345, -0.25000098, 0.19990845, -0.16647296, 0.14478381, -0.1316113, 0.10463065,
             -0.04507425),
        unit=(-0.4999993, 0.33330512, -0.24958587, 0.196954, -0.15355395, 0.10680553, -0.05766442,
              0.020204572, -0.0033184697),
    ),
    np.float64: SimpleNamespace(
        integer=np.int64, ln2=(0.6931471805598903, 5.497923018708371e-14), exp_range=(-746, 710),
        exp=(0.5000000000000011, 0.16666666666666413, 0.04166666666653005, 0.008333333333494598,
             0.0013888888943662595, 0.00019841269506362137, 2.4801493061518384e-05,
             2.755758649408025e-06, 2.76302628841946e-07, 2.5000047089410952e-08),
        log=(0.3333333333333375, -0.2500000000001058, 0.19999999999850213, -0.1666666666379957,
             0.14285714299934404, -0.12500000290666208, 0.11111110772712746, -0.09999985542185502,
             0.09090893019047397, -0.08333704396470812, 0.07693387244343643, -0.07138582059383683,
             0.06643360871505669, -0.06249852458317515, 0.060830461610430916, -0.05968086994324859,
             0.050695345164956815, -0.029388551251751976, 0.008090798277209951),
        unit=None,
    ),
}
# fmt: on


def horner(real: Real, coefficients: Sequence[float], compiled: Callable) -> Callable:
    """The polynomial with these coefficients, lowest power first."""
    top, *below = map(real, reversed(coefficients))
    rest = tuple(below)

    @compiled
    def polynomial(x):
        y = top
        for c in rest:
            y = y * x + c
        return y

    return polynomial


def log1p_unit(real: Real, compiled: Callable) -> Callable | None:
    """log1p of x in [0, 1] within 3 ulp, at two thirds of the cost; None for float64."""
    if CONSTANTS[real].unit is None:
        return None
    even = horner(real, CONSTANTS[real].unit[::2], compiled)
    odd = horner(real, CONSTANTS[real].unit[1::2], compiled)

    @compiled
    def log1p_unit(x):
        s = x * x
        return x + s * (even(s) + x * odd(s))

    return log1p_unit


@cache
def functions(real: Real) -> Math:
    """Scalar @njit functions for real = np.float32 or np.float64: exp, log and log1p; exp_unit,
    log_finite, log1p_finite and log1p_unit are cheaper where less is asked of them; exp_gap takes
    the exponent as a difference; divide is the quotient, which a GPU has a cheaper form of.

    A function that calls them and is itself called from a loop needs forceinline=True too.
    """
    constants, info = CONSTANTS[real], np.finfo(real)
    integer = constants.integer
    zero, quarter, half, one, infinity, nan = map(real, (0, 0.25, 0.5, 1, np.inf, np.nan))
    log2e, (ln2_hi, ln2_lo) = real(1 / np.log(2)), map(real, constants.ln2)
    lowest, highest = map(real, constants.exp_range)  # beyond: 0 and infinity
    mantissa, bias = info.nmant, info.maxexp - 1
    # Added to a small number, rounds it to an integer n and leaves n + 2 bias in the lowest bits.
    rounder = real(1.5 * 2**mantissa + 2 * bias)
    # The same for n <= 0, but leaves the exponent bits of 2^n * raised, a normal number.
    raised, lowered = bias // 2 + 1, real(2.0 ** -(bias // 2 + 1))
    rounder_unit = real(1.5 * 2**mantissa + bias + raised)
    exponent = integer(-1 << mantissa)  # the mask of sign and exponent
    three_halves, four = (int(real(v).view(integer)) for v in (1.5, 4))
    smallest, lift = info.tiny, real(2.0 ** (mantissa + 1))

    @njit(**EXACT)
    def bits(x):
        return real(x).view(integer)

    @njit(**EXACT)
    def number(b):
        return integer(b).view(real)

    # Even and odd powers apart, both polynomials in the square: two short chains run side by side.
    exact = njit(**EXACT)
    exp_even, exp_odd = (horner(real, constants.exp[i::2], exact) for i in (0, 1))
    log_even, log_odd = (horner(real, constants.log[i::2], exact) for i in (0, 1))

    @njit(**EXACT)
    def exp(x):
        x = lowest if x < lowest else x  # NaN passes both tests
        x = highest if x > highest else x
        rounded = x * log2e + rounder
        n = rounded - rounder
        hi, lo = x - n * ln2_hi, n * ln2_lo
        r = hi - lo
        s = r * r
        y = hi + ((exp_even(s) + r * exp_odd(s)) * s - lo) + one
        # 2^n as two factors: either is a normal number even where the result is subnormal.
        first = integer(bits(rounded) >> 1)
        second = bits(rounded) - first
        return y * number(first << mantissa) * number(second << mantissa)

    @njit(**EXACT)
    def exp_less(x, less):
        """exp of x - less, x <= 0 and `less` below the spacing of x."""
        x = lowest if x < lowest else x
        rounded = x * log2e + rounder_unit
        n = rounded - rounder_unit
        r = x - n * ln2_hi - n * ln2_lo - less
        s = r * r
        y = (exp_even(s) + r * exp_odd(s)) * s + r + one
        return y * number(bits(rounded) << mantissa) * lowered

    @njit(**EXACT)
    def exp_unit(x):
        """exp of x <= 0 within 1.04 ulp (float64 1.1), at three quarters of the cost."""
        return exp_less(x, zero)

    @njit(**EXACT)
    def exp_gap(x, top):
        """exp of the exact x - top, x <= top: exp(-80) of the rounded one may be off by 32 ulp.

        What rounding took away is Knuth's TwoSum.
        """
        gap = x - top
        less = gap - x
        less = (top + less) - (x - (gap - less))
        return exp_less(gap, less if gap > lowest else zero)  # of -inf it would be NaN

    @njit(**EXACT)
    def scaling(u):
        """k << mantissa, with u 2^k in (3/4, 3/2]."""
        # Numba declares that int64 sums never overflow. With u < 0 or NaN they may, here and where
        # the result is used; the selects at the end of log and log1p never pick those.
        return integer((three_halves - bits(u)) & exponent)

    @njit(**EXACT)
    def log_sum(f, k):
        """log(1 + f) - k ln 2.  Subtracting k = +0 keeps the sign of f = -0."""
        s = f * f
        small = (log_even(s) + f * log_odd(s)) * (s * f) - k * ln2_lo
        return f - (half * s - small) - k * ln2_hi

    @njit(**EXACT)
    def log_finite(x):
        """log of anything but infinity."""
        subnormal = x < smallest
        u = x * lift if subnormal else x
        shift = scaling(u)
        k = integer((shift >> mantissa) + (mantissa + 1 if subnormal else 0))
        y = log_sum(number(bits(u) + shift) - one, real(k))
        return y if x > zero else (-infinity if x == zero else nan)

    @njit(**EXACT)
    def log(x):
        return x if x == infinity else log_finite(x)

    @njit(**EXACT)
    def log1p_finite(x):
        """log1p of anything but infinity."""
        shift = scaling(one + x)
        # 4 2^k, not 2^k: the latter is subnormal for the largest x. Subtracting keeps x = -0.
        f = number(bits(x) + shift) - (one - quarter * number(four + shift))
        y = log_sum(f, real(integer(shift >> mantissa)))
        return y if x > -one else (-infinity if x == -one else nan)

    @njit(**EXACT)
    def log1p(x):
        return x if x == infinity else log1p_finite(x)

    @njit(**EXACT)
    def divide(a, b):
        return a / b

    return SimpleNamespace(
        exp=exp, exp_unit=exp_unit, exp_gap=exp_gap, log=log, log_finite=log_finite, log1p=log1p,
        log1p_finite=log1p_finite, log1p_unit=log1p_unit(real, exact) or log1p, divide=divide,
    )  # fmt: skip
