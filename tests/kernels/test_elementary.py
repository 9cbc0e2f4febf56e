"""exp, log, log1p: accuracy over the whole range, special values, and that loops vectorize."""

import os
import re
import subprocess
import sys
from functools import cache

import mpmath
import numpy as np
import pytest
from numba import njit

from helpers import TESTS
from minigrad.kernels.cpu import elementary

NAMES = "exp", "log", "log1p"
REALS = np.float32, np.float64
INF, NAN = np.inf, np.nan


@cache
def loop(real, name):
    """The function over an array, called as the losses call it: from a FAST loop."""
    function = getattr(elementary.functions(real), name)

    @njit(fastmath=elementary.FAST, error_model="numpy")
    def apply(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return apply


def evaluate(real, name, x):
    x = np.asarray(x, real)
    out = np.empty_like(x)
    loop(real, name)(x, out)
    return out


def assert_same_bits(got, expected):
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


def around(centres, reach):
    """Float32 bit patterns within `reach` steps of each centre and of its negative."""
    bits = np.array(centres, np.float32).view(np.uint32).astype(np.int64)
    near = bits[:, None] + np.arange(-reach, reach + 1)
    return (np.stack([near, near + 2**31]).ravel() % 2**32).astype(np.uint32)


@pytest.mark.parametrize("name", NAMES)
def test_float32_within_one_ulp(name):
    thresholds = [0, 6e-8, 1.2e-38, 0.25, 0.5, 0.75, 1, 1.5, 87.34, 88.7228, 103.97, INF]
    worst = [80.75198, 0.71757513, 0.42482406]  # of exp, log, log1p, in the exhaustive run
    grid = np.arange(0, 2**32, 4096, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([grid, around(thresholds + worst, 2000)]).view(np.float32)
    got = evaluate(np.float32, name, x).astype(np.float64)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64))
        nearest = exact.astype(np.float32)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(got[~finite], nearest[~finite])
    error = np.abs(got[finite] - exact[finite]) / np.spacing(np.abs(nearest[finite]))
    assert error.max() <= 1  # a NaN fails too


def points64(name):
    rng = np.random.default_rng(0)
    tiny, largest = np.finfo(np.float64).tiny, np.finfo(np.float64).max
    ends = [5e-324, 1e-310, tiny, 1e-20, 2.0**-53, largest]
    if name == "exp":
        x = [rng.uniform(-746, 709.78, 1500), rng.uniform(-1, 1, 500), [709.78271289338397]]
        return np.concatenate([*x, rng.uniform(-745.14, -708, 500), ends[:-1], [-745.13, -1e-20]])
    wide = rng.integers(1, 0x7FF0000000000000, 1000).view(np.float64)
    x = [wide, rng.uniform(0, 3, 1000), rng.integers(1, 2**52, 200).view(np.float64), ends]
    if name == "log1p":
        near = [-x[1][x[1] < 1], -(10.0 ** rng.uniform(-300, 0, 500)), [-1 + 2.0**-53, -5e-324]]
        return np.concatenate([*x, *near])
    return np.concatenate([*x, 1 + rng.standard_normal(500) * 1e-3, 1 + 2.0 ** -np.arange(1, 53)])


@pytest.mark.parametrize("name", NAMES)
def test_float64_within_two_ulp(name):
    x = points64(name)
    function = getattr(mpmath, name)
    with mpmath.workdps(60):
        for value, got in zip(x.tolist(), evaluate(np.float64, name, x).tolist(), strict=True):
            exact = function(mpmath.mpf(value))
            error = abs(got - exact) / float(np.spacing(abs(float(exact))))
            assert error <= 2, (value, got, exact)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("exp", [(0.0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (NAN, NAN), (1e4, INF), (-1e4, 0)]),
        ("log", [(1, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-INF, NAN), (NAN, NAN)]),
        ("log", [(-1, NAN), (-1e-40, NAN), (-1e30, NAN)]),
        ("log1p", [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, NAN), (NAN, NAN)]),
        ("log1p", [(-1, -INF), (-1.0000002, NAN), (-1e30, NAN)]),
    ],
)
def test_special_values(real, name, cases):
    # 100 copies: the vectorized body and the scalar rest of the loop.
    for x, expected in cases:
        got = evaluate(real, name, np.full(100, x))
        if np.isnan(expected):
            assert np.isnan(got).all(), x
        else:
            assert_same_bits(got, np.full(100, expected, real))


@pytest.mark.parametrize("real", REALS)
def test_log1p_of_tiny_is_tiny(real):
    info = np.finfo(real)
    tiny = np.array([info.smallest_subnormal, info.tiny / 8, info.tiny, info.eps / 8], real)
    x = np.concatenate([tiny, -tiny])
    assert_same_bits(evaluate(real, "log1p", x), x)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_stays_in_its_type(real, name):
    function = getattr(elementary.functions(real), name)
    function(real(0.5))
    assert [str(s.return_type) for s in function.nopython_signatures] == [real.__name__]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", NAMES)
def test_loop_vectorizes_and_keeps_its_flags(real, name):
    evaluate(real, name, [0.5])
    (code,) = loop(real, name).inspect_llvm().values()
    kind = {np.float32: "float", np.float64: "double"}[real]
    assert re.search(rf"fmul contract <\d+ x {kind}>", code)
    assert not re.search(rf"call [^\n]*(@{name}f?\(|@llvm\.{name}|CPUDispatcher)", code)
    # The caller's reassoc must not reach the instructions inlined from here.
    assert "reassoc" not in code


@pytest.mark.parametrize("real", REALS)
def test_two_in_one_loop_vectorize(real):
    math = elementary.functions(real)
    exp, log1p = math.exp, math.log1p

    @njit(fastmath=elementary.FAST, error_model="numpy")
    def softplus(x, out):
        for i in range(x.size):
            out[i] = log1p(exp(-abs(x[i])))

    x = np.linspace(-30, 30, 1001, dtype=real)
    out = np.empty_like(x)
    softplus(x, out)
    rtol = 4 * np.finfo(real).eps
    np.testing.assert_allclose(out, np.log1p(np.exp(-np.abs(x.astype(np.float64)))), rtol=rtol)
    (code,) = softplus.inspect_llvm().values()
    assert re.search(r"fmul contract <\d+ x ", code)


def test_float32_within_one_ulp_without_fma():
    script = TESTS / "scripts" / "exhaustive_elementary.py"
    run = subprocess.run(
        [sys.executable, script, "--every", "4099"],
        env=os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("cheap", "name", "largest", "sign", "bound"),
    [
        ("log1p_unit", "log1p", 1.0, 1, 3),  # 2.8 over all inputs
        ("exp_unit", "exp", 200.0, -1, 1.1),  # 1.04 over all inputs, with FMA
        ("log_finite", "log", 3.4e38, 1, 1),
        ("log1p_finite", "log1p", 1.0, -1, 1),
    ],
)
def test_cheaper_functions_float32(cheap, name, largest, sign, bound):
    """Every 64th float32 of the range they are for, both ends included."""
    top = np.float32(largest).view(np.uint32)
    x = sign * np.append(np.arange(0, top, 64, dtype=np.uint32), top).view(np.float32)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64))
        nearest = exact.astype(np.float32)
    got = evaluate(np.float32, cheap, x).astype(np.float64)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(got[~finite], nearest[~finite])
    error = np.abs(got[finite] - exact[finite]) / np.spacing(np.abs(nearest[finite]))
    assert error.max() <= bound
    assert np.isnan(evaluate(np.float32, cheap, [NAN]))
