"""Kernels against their NumPy references: sizes around every block, ties, extremes."""

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from helpers import TESTS
from helpers.layouts import LAYOUTS
from minigrad.kernels import LOSSES, cpu, optimizers
from minigrad.kernels.cpu import binding, elementary
from minigrad.nn.functional import HUBER

LOSSES = LOSSES | {"huber": HUBER}  # whose rule is derived
CE = LOSSES["cross_entropy"]
POINTWISE = [name for name in LOSSES if name != "cross_entropy"]
PARAMETERS = {"smooth_l1": 0.25, "huber": 0.75, "bce_with_logits": 2.5}  # exact in float32
DTYPES = (np.float32, np.float64)
SERIAL = (0, 1, 7, cpu.sums.BLOCK - 1, cpu.sums.BLOCK, cpu.sums.BLOCK + 1, cpu.PARALLEL - 1)
PARALLEL = (cpu.PARALLEL, 70001)
MODES = ("sum", "slope", "both")
EDGES = np.array(  # ties, the border between two branches, far out, near the border of subnormals
    [
        (0, 0),
        (1.5, 1.5),
        (0.25, 0),
        (0, 0.25),
        (0.75, 0),
        (-0.75, 0),
        (1e4, -1e4),
        (-1e4, 1e4),
        (1e-20, 0),
        (88, 1),
        (-88, 0),
        (-104, 1),
        (-0.0, 0),
        (1e-40, 0),
    ]
).T
PROBABILITIES = np.array(
    [(0, 0), (1, 1), (0, 1), (1, 0), (1e-30, 1), (1e-40, 0.5), (0.5, 0.5), (1 - 2**-24, 0)]
).T


def sample(name, n, dtype, rng):
    """x and y (n,) for a pointwise loss, special values strewn in."""
    x, y = rng.standard_normal((2, n)) * 3
    edges = EDGES
    if name.startswith("bce"):
        y = rng.random(n)
    if name == "bce":
        x, edges = rng.random(n), PROBABILITIES
    strewn = rng.random(n) < 0.1
    which = rng.integers(edges.shape[1], size=strewn.sum())
    x[strewn], y[strewn] = edges[:, which]
    return x.astype(dtype), np.clip(y, 0, 1).astype(dtype) if "bce" in name else y.astype(dtype)


def arguments(name, n, dtype, mode, rng):
    """Everything run_pointwise takes after the loss."""
    parameter = PARAMETERS.get(name, 0.0)
    if mode == "both" and name == "bce_with_logits":
        parameter = rng.uniform(0.5, 3, n).astype(dtype)
    upstream = {"sum": None, "slope": -1.75, "both": rng.standard_normal(n).astype(dtype)}[mode]
    return *sample(name, n, dtype, rng), parameter, upstream, mode == "both"


def expected(name, x, y, parameter):
    wide = [np.float64(a) for a in (x, y, parameter)][: 3 if name in PARAMETERS else 2]
    with np.errstate(divide="ignore"):
        return LOSSES[name].reference(*wide)[:2]


def close(got, want, dtype, scale=8):
    eps = np.finfo(dtype).eps
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=2 * scale * eps, atol=scale * eps)


def close_sum(total, values, dtype):
    assert type(total) is float
    np.testing.assert_allclose(total, values.sum(), rtol=1e-5 if dtype == np.float32 else 1e-12)


def digest(*arrays):
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name, dtype, mode):
    rng = np.random.default_rng(len(name))
    # A parallel build takes a second and more: one mode of each loss, and float64 of one loss.
    parallel = mode == "slope" and (dtype == np.float32 or name == "huber")
    for n in SERIAL + PARALLEL * parallel:
        given = arguments(name, n, dtype, mode, rng)
        before = digest(*given[:3])
        total, value, slope = cpu.run_pointwise(LOSSES[name], *given)
        assert digest(*given[:3]) == before
        x, y, parameter, upstream, _ = given
        want_value, want_slope = expected(name, x, y, parameter)
        close_sum(total, want_value, dtype)
        if mode != "sum":
            close(slope, want_slope * upstream, dtype)
        assert (value is None, slope is None) == (mode != "both", mode == "sum")
        if mode == "both":
            close(value, want_value, dtype)


@pytest.mark.parametrize("name", POINTWISE)
def test_serial_and_parallel_agree(name):
    given = arguments(name, cpu.PARALLEL, np.float32, "slope", np.random.default_rng(1))
    total, _, slope = cpu.run_pointwise(LOSSES[name], *given)
    x, y, *numbers, _ = given
    out = np.empty_like(x)
    serial = binding.kernel(cpu.pointwise.pointwise, LOSSES[name].rule, x.dtype, False)
    np.testing.assert_allclose(serial(x, y, *map(np.float32, numbers), None, out), total, rtol=1e-6)
    np.testing.assert_allclose(out, slope, rtol=1e-6, atol=1e-6)


NUMBERS = {optimizers.sgd: 5, optimizers.adam: 9, optimizers.rmsprop: 7}  # of a step


@pytest.mark.parametrize(
    "rule", [*(loss.rule for loss in LOSSES.values()), *NUMBERS],
    ids=[*LOSSES, *(rule.__name__ for rule in NUMBERS)],
)  # fmt: skip
def test_float32_stays_float32(rule):
    point = numba.njit(rule(np.float32, elementary.functions(np.float32)))
    names = inspect.signature(point.py_func).parameters
    numbers = (0.5,) * NUMBERS.get(rule, 0)
    point(*(numbers if name == "numbers" else np.float32(0.5) for name in names))
    (signature,) = point.nopython_signatures
    results = 4 if numbers else 2
    assert signature.return_type == numba.types.UniTuple(numba.float32, results)


SPECIAL = {  # value and slope where (x, y) = (nan, 0), (inf, 0), (-inf, 0), (inf, inf); parameter 1
    "mse": [(np.nan, np.nan), (np.inf, np.inf), (np.inf, -np.inf), (np.nan, np.nan)],
    "l1": [(np.nan, 0), (np.inf, 1), (np.inf, -1), (np.nan, 0)],
    "smooth_l1": [(np.nan, np.nan), (np.inf, 1), (np.inf, -1), (np.nan, np.nan)],
    "huber": [(np.nan, np.nan), (np.inf, 1), (np.inf, -1), (np.nan, np.nan)],
    "bce_with_logits": [(np.nan, np.nan), (np.inf, 1), (np.nan, 0)],
}
SPECIAL_X, SPECIAL_Y = [np.nan, np.inf, -np.inf, np.inf], [0, 0, 0, np.inf]
SPECIAL_ROWS = {  # logits -> loss and gradient for class 0
    (np.nan, 0, 0): (np.nan, np.nan, np.nan, np.nan),
    (0, np.nan, 0): (np.nan, np.nan, np.nan, np.nan),
    (0, -np.nan, 0): (np.nan, np.nan, np.nan, np.nan),
    (np.inf, 0, 0): (np.nan, np.nan, np.nan, np.nan),
    (0, np.inf, 0): (np.nan, np.nan, np.nan, np.nan),
    (np.inf, np.inf, np.nan): (np.nan, np.nan, np.nan, np.nan),
    (-np.inf, -np.inf, -np.inf): (np.nan, np.nan, np.nan, np.nan),
    (-np.inf, 0, 0): (np.inf, -1, 0.5, 0.5),
    (-np.inf, -np.inf, 0): (np.inf, -1, 0, 1),
    (0, -np.inf, 0): (np.log(2), -0.5, 0, 0.5),
    (0, -np.inf, -np.inf): (0, 0, 0, 0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_nan_and_infinity(name, dtype):
    n = len(SPECIAL[name])
    x, y = np.array(SPECIAL_X[:n], dtype), np.array(SPECIAL_Y[:n], dtype)
    _, value, slope = cpu.run_pointwise(LOSSES[name], x, y, 1.0, np.ones(n, dtype), True)
    np.testing.assert_array_equal(np.stack([value, slope], 1), np.array(SPECIAL[name]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_is_compiled_for(layout):
    rng, place = np.random.default_rng(0), LAYOUTS[layout]
    x, y = rng.standard_normal((2, 6, 4)).astype(np.float32)
    target, weight, keep = rng.integers(4, size=6), y[0] ** 2, y[:, 0] > -1
    pointwise = binding.kernel(cpu.pointwise.pointwise, LOSSES["huber"].rule, x.dtype, False)
    kernels = [
        (pointwise, lambda p: cpu.run_pointwise(LOSSES["huber"], p(x), p(y), p(x * x), p(x), True)),
        (
            binding.kernel(cpu.cross_entropy.few_classes, CE.rule, x.dtype, False, 4),
            lambda p: cpu.run_classes(CE, p(x), p(target), p(weight), 3, p(y[:, 1]), True),
        ),
        (
            binding.kernel(cpu.cross_entropy.weight_rows, CE.rule, x.dtype, False),
            lambda p: cpu.run_weights(CE, p(x), p(y), p(keep), p(y[:, 1]), True),
        ),
    ]
    for loop, call in kernels:
        want = call(np.copy)
        builds = len(loop.signatures)
        got = call(place)
        assert len(loop.signatures) == builds
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("classes", [3, 33])
def test_rows_of_nan_and_infinity(classes):
    rows = np.full((len(SPECIAL_ROWS), classes), -np.inf, np.float32)
    rows[:, :3] = list(SPECIAL_ROWS)
    given = rows, np.zeros(len(rows), np.int64), np.ones(classes, np.float32), -100
    _, value, grad = cpu.run_classes(CE, *given, np.ones(len(rows), np.float32), True)
    got = np.column_stack([value, grad[:, :3]])
    np.testing.assert_allclose(got, np.array(list(SPECIAL_ROWS.values())), rtol=1e-7)


@pytest.mark.torch
def test_special_values_live():
    """The stored ones are PyTorch's."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    functional = torch.nn.functional
    names = {"bce_with_logits": "binary_cross_entropy_with_logits"}
    for name, want in SPECIAL.items():
        x = torch.tensor(SPECIAL_X[: len(want)], requires_grad=True)
        y = torch.tensor(SPECIAL_Y[: len(want)], dtype=x.dtype)
        value = getattr(functional, names.get(name, f"{name}_loss"))(x, y, reduction="none")
        value.sum().backward()
        got = np.stack([value.detach().numpy(), x.grad.numpy()], 1)
        np.testing.assert_array_equal(got, np.array(want), name)
    x = torch.tensor(list(SPECIAL_ROWS), requires_grad=True)
    value = functional.cross_entropy(x, torch.zeros(len(x), dtype=torch.int64), reduction="none")
    value.sum().backward()
    got = np.column_stack([value.detach().numpy(), x.grad.numpy()])
    np.testing.assert_allclose(got, np.array(list(SPECIAL_ROWS.values())), rtol=1e-6)


# --- cross-entropy ------------------------------------------------------------------------------

ROWS = (0, 1, cpu.cross_entropy.ROWS - 1, cpu.cross_entropy.ROWS, cpu.cross_entropy.ROWS + 1)
IGNORED = -7


def logits(n, classes, y, dtype, rng):
    """Random rows, ties, far-off and masked logits; NaN and infinity in the rows to leave out."""
    x = rng.standard_normal((n, classes)) * 3
    x[::3] = np.round(x[::3])
    x[1::7] *= 1e3
    masked = (rng.random(x.shape) < 0.2) & (np.arange(classes) != y[:, None])
    x[masked] = -np.inf
    x[y == IGNORED] = rng.choice([np.nan, np.inf, -np.inf], ((y == IGNORED).sum(), classes))
    return x.astype(dtype)


def expected_rows(x, t, keep):
    x = np.where(keep[:, None], x.astype(np.float64), 0)
    t = np.where(keep[:, None], t.astype(np.float64), 0)
    if not x.size:
        return np.zeros(len(x)), np.zeros(x.shape)
    with np.errstate(invalid="ignore"):  # its value is NaN where a logit is masked out
        _, slope, minus_log_p = CE.reference(x, t)
    return np.where(t > 0, t * np.where(t > 0, minus_log_p, 0), 0).sum(1), slope


def check_rows(results, want, upstream, keep, dtype):
    total, value, grad = results
    close_sum(total, want[0], dtype)
    if value is not None:
        close(value, want[0], dtype, 24)
        assert not value[~keep].any()
    if upstream is not None:
        upstream = upstream[:, None] if isinstance(upstream, np.ndarray) else upstream
        close(grad, want[1] * upstream, dtype, 24)
        assert not grad[~keep].any()


@pytest.mark.parametrize(
    ("classes", "dtype", "mode"),
    [(c, np.float32, "both") for c in (1, 2, 3, 10, 31, 32, 33, 100, 1000)]
    + [(c, np.float32, mode) for c in (10, 33) for mode in ("sum", "slope")]
    + [(c, np.float64, "both") for c in (3, 33)],
)
def test_class_indices(classes, dtype, mode):
    rng = np.random.default_rng(classes)
    for n in ROWS:
        y = rng.integers(classes, size=n)
        y[rng.random(n) < 0.1] = IGNORED
        keep, x = y != IGNORED, logits(n, classes, y, dtype, rng)
        weight = rng.uniform(0.5, 2, classes).astype(dtype) if mode == "both" else None
        t = (np.arange(classes) == y[:, None]) * (1 if weight is None else weight)
        upstream = {"sum": None, "slope": -1.75, "both": rng.standard_normal(n).astype(dtype)}[mode]
        before = digest(x, y, weight)
        results = cpu.run_classes(CE, x, y, weight, IGNORED, upstream, mode == "both")
        assert digest(x, y, weight) == before
        check_rows(results, expected_rows(x, t, keep), upstream, keep, dtype)


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [*((c, np.float32) for c in (1, 3, 100, 1000)), (3, np.float64)],
)
def test_class_weights_of_every_row(classes, dtype):
    rng = np.random.default_rng(classes)
    for n in ROWS:
        y = np.where(rng.random(n) < 0.1, IGNORED, 0)
        keep, x = y != IGNORED, logits(n, classes, y, dtype, rng)
        t = rng.random((n, classes)).astype(dtype)
        t[np.isinf(x) & keep[:, None]] = 0
        x[np.isinf(x) & keep[:, None]] = -50  # 0 times infinity is NaN, as in PyTorch
        upstream = rng.standard_normal(n).astype(dtype)
        before = digest(x, t, keep)
        results = cpu.run_weights(CE, x, t, keep, upstream, True)
        assert digest(x, t, keep) == before
        scale = np.maximum(1, t.sum(1))  # a row's weights do not add up to 1 here
        want = expected_rows(x, t, keep)
        close_sum(results[0], want[0], dtype)
        close(results[1] / scale, want[0] / scale, dtype, 24)
        close(results[2] / scale[:, None], want[1] * (upstream / scale)[:, None], dtype, 24)
        assert not results[1][~keep].any()
        assert not results[2][~keep].any()


@pytest.mark.parametrize("gap", [20, 50, 90])
@pytest.mark.parametrize("classes", [3, 33])
def test_confident_rows_keep_their_digits(classes, gap):
    """Loss and slope of a sure row are tiny, not 0: within 8 ulp of exact."""
    x = np.zeros((2, classes), np.float32)
    x[0, 1], x[1, 2] = gap, -gap  # sure of class 1; sure that it is not class 2
    given = x, np.array([1, 2]), np.ones(classes, np.float32), -100
    _, value, grad = cpu.run_classes(CE, *given, np.ones(2, np.float32), True)
    rest = (classes - 1) * np.exp(-float(gap))
    others = classes - 1 + np.exp(-float(gap))
    tolerance = {"rtol": 8 * 2**-24, "atol": 8 * 2**-149}
    np.testing.assert_allclose(value, [np.log1p(rest), gap + np.log(others)], **tolerance)
    np.testing.assert_allclose(grad[0, :2], [np.exp(-gap) / (1 + rest), -rest / (1 + rest)],
                               **tolerance)  # fmt: skip
    np.testing.assert_allclose(grad[1, :2], np.full(2, 1 / others), **tolerance)
    sure = np.array([gap, -gap], np.float32)
    _, value, slope = cpu.run_pointwise(
        LOSSES["bce_with_logits"], sure, np.array([1, 0], np.float32),
        np.ones(2, np.float32), np.ones(2, np.float32), True,
    )  # fmt: skip
    p = np.exp(-float(gap))
    np.testing.assert_allclose(value, np.full(2, np.log1p(p)), **tolerance)
    np.testing.assert_allclose(slope, [-p / (1 + p), p / (1 + p)], **tolerance)


def test_many_class_weights_add_up():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 50257)).astype(np.float32)
    t = rng.random(x.shape).astype(np.float32)
    t /= t.sum(1, keepdims=True)
    results = cpu.run_weights(CE, x, t, np.ones(3, bool), np.ones(3, np.float32), True)
    value, slope = expected_rows(x, t, np.ones(3, bool))
    np.testing.assert_allclose(results[1], value, rtol=2e-6)
    np.testing.assert_allclose(results[2], slope, rtol=2e-6, atol=2e-6 * np.abs(slope).max())


@pytest.mark.parametrize("ignore", [2**40, -(2**40), 2**32 + 1, 1])
def test_any_ignore_index(ignore):
    """Few classes keep their indices in 32 bits: what is ignored need not fit."""
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    y, ones = np.array([0, ignore, 2, ignore]), np.ones(4, np.float32)
    total, value, grad = cpu.run_classes(CE, x, y, np.ones(3, np.float32), ignore, ones, True)
    assert (value != 0).tolist() == (grad != 0).all(1).tolist() == [True, False, True, False]
    assert total == pytest.approx(value.sum(), rel=1e-6)


def test_check_classes():
    weight = np.array([0.5, 2, 4], np.float32)
    check = cpu.kernel(cpu.cross_entropy.count_classes, None, np.dtype("float64"))
    assert check(np.array([0, 2, -100, 1]), None, 3, -100) == (-1, 3.0)
    assert check(np.array([0, 2, -100, 1]), weight, 3, -100) == (-1, 6.5)
    assert check(np.array([0, 2, 1]), weight, 3, 2) == (-1, 2.5)
    assert check(np.array([0, 3, -1, 9]), None, 3, -100)[0] == 1
    assert check(np.array([0, -1, 3, 9]), weight, 3, -100)[0] == 1
    assert check(np.array([3, 3, -1]), None, 3, 3)[0] == 2
    assert check(np.array([], np.int64), weight, 3, -100) == (-1, 0.0)
    far = np.zeros(cpu.PARALLEL, np.int64)
    far[-1] = 2**40
    assert check(far, None, 3, -100)[0] == len(far) - 1


# --- the disk cache -----------------------------------------------------------------------------


def run_python(code, *args, **environment):
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True,
        env={**os.environ, **environment}, cwd=TESTS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


TRY = """if True:
    import sys, numpy as np
    from copied import LOSSES, cpu
    from copied.cpu import binding
    x = np.full(int(sys.argv[1]), 2, np.float32)
    print(cpu.run_pointwise(LOSSES["mse"], x, x - 1, 0.0, 1.0)[0] / x.size)
    threads = x.size >= cpu.PARALLEL
    runs = [binding.kernel(cpu.pointwise.pointwise, LOSSES["mse"].rule, x.dtype, threads)]
    if len(sys.argv) > 2:
        rows = x[:6].reshape(2, 3)
        cpu.run_classes(LOSSES["cross_entropy"], rows, np.array([0, 1]), None, -100)
        rule = LOSSES["cross_entropy"].rule
        runs.append(binding.kernel(cpu.cross_entropy.few_classes, rule, x.dtype, False, 3))
    print(sum(sum(r.stats.cache_hits.values()) for r in runs))
    print(sum(sum(r.stats.cache_misses.values()) for r in runs))"""


@pytest.fixture
def copied(tmp_path):
    """The kernels as a package of their own, which a test may edit."""
    source = Path(inspect.getfile(cpu)).parents[1]
    shutil.copytree(source, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_second_process_compiles_nothing_until_a_rule_changes(copied):
    where = {"PYTHONPATH": str(copied), "NUMBA_CACHE_DIR": str(copied / "cache")}
    assert run_python(TRY, cpu.PARALLEL, "rows", **where) == ["1.0", "0", "2"]
    assert run_python(TRY, cpu.PARALLEL, "rows", **where) == ["1.0", "2", "0"]
    rule = copied / "copied" / "losses" / "mse.py"
    rule.write_text(rule.read_text().replace("return d * d,", "return 3 * d * d,"))
    assert run_python(TRY, 8, **where) == ["3.0", "0", "1"]


def test_unwritable_install_caches_for_the_user(copied):
    # No folder can take its place, even for root.
    (copied / "copied" / "cpu" / "__pycache__").touch()
    where = {"PYTHONPATH": str(copied), "NUMBA_CACHE_DIR": ""}
    where |= dict.fromkeys(("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"), str(copied / "user"))
    assert run_python(TRY, 8, **where) == ["1.0", "0", "1"]
    assert run_python(TRY, 8, **where) == ["1.0", "1", "0"]
    assert list((copied / "user").rglob("*pointwise*.nbc"))
