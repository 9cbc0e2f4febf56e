"""Losses and gradients at the edges of float32, beside an exact oracle and beside PyTorch."""

from functools import partial

import mpmath
import numpy as np
import pytest

import minigrad as mg
from helpers import extremes
from helpers.extremes import LOSSES, errors, evaluate, exact, inputs, ulps
from minigrad.kernels import LOSSES as KERNELS
from minigrad.kernels import cpu

NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
CELLS = [(loss, family) for loss in LOSSES for family in LOSSES[loss].families]
LOSS_ULP = 8
GRADIENT_ULP = {"cross_entropy": 8}  # 5.1 were found
OTHER_GRADIENT_ULP = 5  # 3.3 were found
# Below it a gradient is as good as PyTorch's: both are products of a few rounded factors, which
# the one or the other happens to round better (0.84 and 0.16, 2.6 and 2.5 ulp were found).
ROUNDING_ULP = 3


@pytest.mark.parametrize(("loss", "family"), CELLS)
def test_within_bounds(loss, family):
    """Which implies: finite wherever the exact number is."""
    of_loss, of_gradient = errors(mg, loss, family)
    assert of_loss <= LOSS_ULP
    assert of_gradient <= GRADIENT_ULP.get(loss.split(",")[0], OTHER_GRADIENT_ULP)


@pytest.mark.torch
@pytest.mark.parametrize(("loss", "family"), CELLS)
def test_gradient_no_worse_than_pytorch(loss, family):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    assert errors(mg, loss, family)[1] <= max(errors(torch, loss, family)[1], ROUNDING_ULP)


@pytest.mark.torch
@pytest.mark.parametrize(("loss", "family"), CELLS)
def test_infinite_where_exact_is_and_nan_as_pytorch(loss, family):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    x, y = inputs(loss, family)
    values, slopes, _ = exact(loss, x, y)
    upstream = np.random.default_rng(0).uniform(1, 2, values.shape).astype(np.float32)
    ours, theirs = (evaluate(m, loss, x, y, "none", upstream) for m in (mg, torch))
    scale = upstream.reshape(upstream.shape + (1,) * (slopes.ndim - upstream.ndim))
    with np.errstate(all="ignore"):
        wants = values, slopes * scale
        for got, reference, want in zip(ours, theirs, wants, strict=True):
            want = np.float32(want)
            beyond = ~np.isfinite(want)
            want = np.where(np.isnan(want), reference, want)
            np.testing.assert_array_equal(got[beyond], want[beyond])


# --- the oracle ---------------------------------------------------------------------------------


def _mp_pointwise(loss, x, y):
    """The value by 50 digits, as the formula in the kernel's docstring has it."""
    log, log1p, exp = mpmath.log, mpmath.log1p, mpmath.exp
    d = abs(x - y)
    beta, delta = mpmath.mpf(extremes.BETA), mpmath.mpf(extremes.DELTA)
    if loss == "smooth_l1":
        return d * d / (2 * beta) if d < beta else d - beta / 2
    if loss == "huber":
        return d * d / 2 if d < delta else delta * (d - delta / 2)
    if loss == "bce":
        return -(y * max(log(x), -100) + (1 - y) * max(log1p(-x), -100))
    if loss.startswith("bce_with_logits"):
        weight = extremes.POS_WEIGHT if "pos" in loss else 1
        return weight * y * log1p(exp(-x)) + (1 - y) * log1p(exp(x))
    return d * d if loss == "mse" else d


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if "cross" not in loss])
def test_pointwise_oracle_has_digits(loss):
    rng = np.random.default_rng(0)
    with mpmath.workdps(50):
        for family in ("ordinary", "confident", "ties", "small squares"):
            if family not in LOSSES[loss].families:
                continue
            x, y = inputs(loss, family)
            values, slopes, terms = exact(loss, x, y)
            for i in rng.choice(len(x), 20, replace=False):
                point = mpmath.mpf(float(x[i])), mpmath.mpf(float(y[i]))
                if loss == "bce" and point[0] * (1 - point[0]) < 1e-11:
                    continue  # the logarithm is cut off, or the divisor of its slope
                want = _mp_pointwise(loss, *point)
                assert abs(values[i] - want) <= 1e-13 * abs(want)
                if family == "ties":
                    continue  # where a slope jumps
                value = partial(_mp_pointwise, loss, y=point[1])
                slope = mpmath.diff(value, point[0], h=abs(point[0]) * mpmath.mpf("1e-20"))
                scale = abs(slope) if terms is None else max(terms[i], abs(slope))
                assert abs(slopes[i] - slope) <= 1e-12 * scale


@pytest.mark.parametrize("family", ["ordinary", "sure and right", "far apart", "all alike"])
@pytest.mark.parametrize("loss", ["cross_entropy, 10 classes", "cross_entropy, probabilities"])
def test_rows_oracle_has_digits(loss, family):
    x, y = inputs(loss, family)
    values, slopes, terms = exact(loss, x, y)
    terms = np.abs(slopes) if terms is None else terms
    with mpmath.workdps(60):
        for r in (0, 1, len(x) - 1):
            row = [mpmath.mpf(float(v)) for v in x[r]]
            one_hot = [float(c == y[r]) for c in range(len(row))] if y.ndim == 1 else y[r].tolist()
            t = [mpmath.mpf(v) for v in one_hot]
            log_sum = mpmath.log(sum(mpmath.exp(v) for v in row))
            want = sum(a * (log_sum - v) for a, v in zip(t, row, strict=True))
            assert abs(values[r] - want) <= 1e-13 * abs(want)
            for c, v in enumerate(row):
                slope = mpmath.exp(v - log_sum) * sum(t) - t[c]
                assert abs(slopes[r, c] - slope) <= 1e-12 * max(abs(slope), terms[r, c])


def test_ulps_counts():
    exact = np.array([1.0, 2.0, 1e-45, 1e39, np.nan, 1.0])
    got = np.array([1 + 2**-23, 2.0, 0, 5, 5, np.inf], np.float32)
    np.testing.assert_allclose(ulps(got, exact), [1, 0, 1e-45 / 2**-149, 0, 0, np.inf])
    assert ulps(1.5, 1.0, terms=4.0) == 2**20


# --- sums ---------------------------------------------------------------------------------------

ALIKE = (-0.3, -1.1, -2.3, -7.7, -16.2)  # the others' logits; their exponentials round alike


@pytest.mark.parametrize(
    "classes",
    [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (9, 31)), 32, 33, 577, 50257],
)
def test_equal_logits(classes):
    """Each of many equal terms is rounded the same way when it is added."""
    loss = "cross_entropy, 10 classes"
    x = np.repeat(np.float32(ALIKE)[:, None], classes, 1)
    x[:, 0] = 0
    for target in (0, 1):
        y = np.full(len(x), target)
        values, slopes, _ = exact(loss, x, y)
        got = evaluate(mg, loss, x, y, "none", np.full(len(x), 1.5, np.float32))
        assert ulps(got[0], values).max() <= LOSS_ULP
        assert ulps(got[1], slopes * 1.5).max() <= 10


many = pytest.mark.parametrize(
    "many", [7_500_000, pytest.param(75_000_000, marks=pytest.mark.slow)]
)


@many
@pytest.mark.parametrize("difference", [0.1, 3.0])
def test_many_elements(difference, many):
    x = np.full(many, np.float32(difference))
    total, _, _ = cpu.run_pointwise(KERNELS["mse"], x, np.zeros(many, np.float32))
    want = np.float64(np.float32(difference)) ** 2 * many
    assert ulps(np.float32(total), want) <= LOSS_ULP
    mean = mg.nn.functional.mse_loss(mg.from_numpy(x), mg.from_numpy(np.zeros(many, np.float32)))
    assert ulps(mean.numpy(), want / many) <= LOSS_ULP


@many
def test_many_logits(many):
    x = np.zeros((many // 3, 3), np.float32)
    x[:, 0] = 0.7
    y = mg.from_numpy(np.full(len(x), 1, np.int8))
    e = np.exp(np.float64(np.float32(0.7)))
    mean = mg.nn.functional.cross_entropy(mg.from_numpy(x), y)
    assert ulps(mean.numpy(), np.log(2 + e)) <= LOSS_ULP


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_mean_of_a_sum_beyond_float32(name):
    big = 1.5e19 if name == "mse_loss" else 3e38
    x = mg.tensor(np.full(1000, big, np.float32), requires_grad=True)
    function = getattr(mg.nn.functional, name)
    mean = function(x, mg.zeros(1000))
    mean.backward(mg.tensor(0.75))
    each = np.float64(np.float32(big)) ** (2 if name == "mse_loss" else 1)
    assert ulps(mean.detach().numpy(), each) <= LOSS_ULP
    assert np.isfinite(x.grad.numpy()).all()
    assert function(x, mg.zeros(1000), reduction="sum").item() == np.inf


@pytest.mark.parametrize("beta", [1e-45, 1e-39, 1.2e-38])
def test_smooth_l1_of_a_subnormal_beta(beta):
    """1 / beta overflows."""
    beta = float(np.float32(beta))
    x = np.float32([0, beta / 2, -beta, 4 * beta, 1])
    d = np.float64(x)
    value, slope, _ = extremes._smooth_l1(d, 0 * d, beta)
    tx = mg.tensor(x, requires_grad=True)
    out = mg.nn.functional.smooth_l1_loss(tx, mg.zeros(5), beta=beta, reduction="none")
    out.backward(mg.tensor(np.full(5, 0.5, np.float32)))
    assert ulps(out.detach().numpy(), value).max() <= LOSS_ULP
    assert ulps(tx.grad.numpy(), slope * 0.5).max() <= 4


@pytest.mark.parametrize("family", list(LOSSES["bce_with_logits"].families))
@pytest.mark.parametrize("pos_weight", [None, 2.5])
def test_gradient_of_a_target_beside_logits(family, pos_weight):
    """It is -x, or nearly: the two logarithms are not subtracted."""
    x, y = inputs("bce_with_logits", family)
    d = np.float64(x)
    weight = 1.0 if pos_weight is None else pos_weight
    softplus = np.log1p(np.exp(-np.abs(d)))
    terms = (weight - 1) * softplus, weight * np.maximum(-d, 0), np.maximum(d, 0)
    ty = mg.tensor(y, requires_grad=True)
    loss = mg.nn.BCEWithLogitsLoss(
        reduction="sum", pos_weight=None if pos_weight is None else mg.tensor(pos_weight)
    )
    loss(mg.tensor(x), ty).backward(mg.tensor(-0.75))
    want = terms[0] + terms[1] - terms[2]
    assert ulps(ty.grad.numpy(), -0.75 * want, np.max(np.abs(terms), 0)).max() <= 4
