"""Inputs at the edges of float32, the exact losses and slopes there, and errors counted in ulp.

The oracle is float64: it sees float32 inputs as they are and keeps 29 bits more than the kernels;
tests/kernels/test_accuracy.py checks it against 50 digits. A gradient that is the difference of two
terms (probability and target, where both can be anything) is exact to the rounding of the larger
one, so its error is counted in ulp of that; any other gradient's, and every loss's, in ulp of
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

BETA, DELTA, SMOOTHING, POS_WEIGHT = 0.3, 0.7, 0.1, 2.5
LARGEST, LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)
EPSILON = float(np.float32(1e-12))  # the least divisor of BCE's slope, as in PyTorch
N = 2003  # elements of a family: an odd number, below the threads' threshold


class Loss(NamedTuple):
    """call(m, x, y, **options) -> Tensor; exact(x, y) -> values, slopes by x, larger terms."""

    call: Callable
    exact: Callable
    families: dict[str, Callable]  # name -> (rng -> x, y)


def ulps(got, exact, terms=None):
    """|got - exact| in ulp of the exact number, or of `terms`; infinite where it should be finite.

    What is not finite in float32 when exact is left out: 0.
    """
    with np.errstate(all="ignore"):
        exact = np.asarray(exact, np.float64)
        finite = np.isfinite(np.float32(exact))
        scale = np.abs(exact) if terms is None else np.maximum(np.abs(exact), terms)
        unit = np.spacing(np.float32(np.minimum(scale, LARGEST)))
        error = np.abs(np.asarray(got, np.float64) - exact) / unit
        return np.where(finite, np.where(np.isnan(error), np.inf, error), 0.0)


# --- the exact losses ---------------------------------------------------------------------------


def _mse(x, y):
    d = x - y
    return d * d, 2 * d, None


def _l1(x, y):
    d = x - y
    return np.abs(d), np.sign(d), None


def _smooth_l1(x, y, beta=BETA):
    size, sign = np.abs(x - y), np.sign(x - y)
    near = size < beta
    value = np.where(near, size * size / (2 * beta), size - beta / 2)
    return value, sign * np.where(near, size / beta, 1), None


def _huber(x, y, delta=DELTA):
    value, slope, _ = _smooth_l1(x, y, delta)
    return delta * value, delta * slope, None


def _bce(x, y):
    log_x, log_not_x = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return -(y * log_x + (1 - y) * log_not_x), (x - y) / np.maximum(x * (1 - x), EPSILON), None


def _bce_with_logits(x, y, pos_weight=1.0):
    e = np.exp(-np.abs(x))
    s, positive = np.log1p(e), pos_weight * y
    value = positive * (np.maximum(-x, 0) + s) + (1 - y) * (np.maximum(x, 0) + s)
    larger, smaller = 1 / (1 + e), e / (1 + e)
    p, not_p = np.where(x >= 0, larger, smaller), np.where(x >= 0, smaller, larger)
    up, down = (1 - y) * p, positive * not_p
    return value, up - down, np.maximum(up, down)


def _softmax(x):
    """Of rows x (N, C): gap to the top, which class it is, e^gap, and the sum of e^gap but its."""
    top = x.argmax(1)
    gap = x - x.max(1, keepdims=True)
    e = np.exp(gap)
    others = e.copy()
    np.put_along_axis(others, top[:, None], 0, 1)
    return gap, top, e, others.sum(1, keepdims=True)


def _cross_entropy(x, y):
    rows = np.arange(len(x))
    gap, _, e, others = _softmax(x)
    value = np.log1p(others[:, 0]) - gap[rows, y]
    slope = e / (1 + others)
    rest = e.copy()
    rest[rows, y] = 0
    slope[rows, y] = -rest.sum(1) / (1 + others[:, 0])
    return value, slope, None


def _probabilities(x, t):
    rows = np.arange(len(x))
    gap, top, e, others = _softmax(x)
    total = t.sum(1, keepdims=True)
    p = e / (1 + others)
    slope = p * total - t
    without = t.copy()
    without[rows, top] = 0
    slope[rows, top] = without.sum(1) - total[:, 0] * (others / (1 + others))[:, 0]
    return (t * (np.log1p(others) - gap)).sum(1), slope, np.maximum(p * total, t)


def _smoothed(x, y):
    t = np.full(x.shape, SMOOTHING / x.shape[1])
    t[np.arange(len(x)), y] += 1 - SMOOTHING
    return _probabilities(x, t)


# --- inputs -------------------------------------------------------------------------------------


def _powers(rng, low, high, shape):
    """±2^low ... ±2^high, every magnitude as likely."""
    return rng.choice([-1.0, 1.0], shape) * 2.0 ** rng.uniform(low, high, shape)


def _differences():
    def sign(rng):
        return rng.choice([-1, 1], N)

    def ties(rng):
        x = rng.standard_normal(N).round(1)
        border = rng.choice([BETA, DELTA, 0, -0.0, -BETA, -DELTA], N)
        return x, np.float32(x) - border

    def infinite(rng):
        x, y = rng.standard_normal((2, N))
        x[::2], y[1::4] = rng.choice([np.inf, -np.inf], len(x[::2])), np.inf
        return x, y

    return {
        "ordinary": lambda rng: 3 * rng.standard_normal((2, N)),
        "large": lambda rng: _powers(rng, 0, 126.9, (2, N)),
        "largest": lambda rng: np.stack([np.full(N, LARGEST), rng.uniform(0, 1e38, N)]) * sign(rng),
        "mean of a sum that overflows": lambda rng: (rng.uniform(5e18, 1.8e19, N), np.zeros(N)),
        "subnormal": lambda rng: _powers(rng, -149, -126, (2, N)),
        "small squares": lambda rng: _powers(rng, -80, -60, (2, N)),
        "ties": ties,
        "infinite": infinite,
        "all alike": lambda rng: (np.full(30011, 0.1), np.zeros(30011)),
    }


def _probability_families():
    def confident(rng):
        p = 2.0 ** -rng.uniform(1, 149, N)
        x = np.where(rng.random(N) < 0.5, p, 1 - 2.0 ** -rng.integers(1, 25, N))
        return x, rng.choice([0, 1, 0.25], N)

    def certain(rng):
        return rng.integers(2, size=N), rng.integers(2, size=N)

    return {
        "ordinary": lambda rng: rng.random((2, N)),
        "confident": confident,
        "certain": certain,
        "subnormal": lambda rng: np.abs(_powers(rng, -149, -126, (2, N))),
        "ties": lambda rng: (np.linspace(0, 1, N),) * 2,
        "all alike": lambda rng: (np.full(30011, 0.3), np.zeros(30011)),
    }


def _logit_families():
    def ties(rng):
        x = np.float32(3 * rng.standard_normal(N))
        return x, 1 / (1 + np.exp(-x))

    def infinite(rng):
        return rng.choice([np.inf, -np.inf, 1.0], N), rng.random(N)

    return {
        "ordinary": lambda rng: (3 * rng.standard_normal(N), rng.random(N)),
        "large": lambda rng: (_powers(rng, 0, 126.5, N), rng.random(N)),
        "subnormal": lambda rng: (_powers(rng, -149, -126, N), rng.random(N)),
        "confident": lambda rng: (rng.uniform(-110, 110, N), rng.integers(2, size=N)),
        "small targets": lambda rng: (rng.uniform(-90, 90, N), 2.0 ** -rng.uniform(0, 149, N)),
        "ties": ties,
        "infinite": infinite,
        "all alike": lambda rng: (np.full(30011, 0.1), np.zeros(30011)),
    }


def _rows(n, classes):
    """Families of logits (n, classes) and class indices."""

    def classes_of(rng):
        return rng.integers(classes, size=n)

    def normal(rng, scale=3.0):
        return scale * rng.standard_normal((n, classes))

    def sure(rng, sign):
        x, y = normal(rng), classes_of(rng)
        x[np.arange(n), y] += sign * rng.uniform(5, 85, n)
        return x, y

    def apart(rng):  # the gaps to the top are no float32
        x, y = rng.uniform(-60, -8, (n, classes)), classes_of(rng)
        x[np.arange(n), y] = rng.uniform(0, 40, n)
        return x, y

    def masked(rng):
        x, y = normal(rng), classes_of(rng)
        x[(rng.random(x.shape) < 0.5) & (np.arange(classes) != y[:, None])] = -np.inf
        return x, y

    def alike(rng):
        x, y = np.full((n, classes), np.float32(-2.3)), classes_of(rng)
        x[:, 0] = 0
        return x, y

    return {
        "ordinary": lambda rng: (normal(rng), classes_of(rng)),
        "large": lambda rng: (_powers(rng, 0, 126.9, (n, classes)), classes_of(rng)),
        "subnormal": lambda rng: (_powers(rng, -149, -126, (n, classes)), classes_of(rng)),
        "sure and right": lambda rng: sure(rng, 1),
        "sure and wrong": lambda rng: sure(rng, -1),
        "far apart": apart,
        "masked": masked,
        "ties": lambda rng: (normal(rng).round(), classes_of(rng)),
        "all alike": alike,
    }


def _soft(n, classes):
    """The same with probabilities for targets; a mask would make 0 times infinity of them."""

    def soft(make):
        def family(rng):
            x, y = make(rng)
            t = rng.exponential(size=x.shape) ** 3
            t /= t.sum(1, keepdims=True)
            t[: n // 2] = np.arange(classes) == y[: n // 2, None]
            return x, t

        return family

    rows = _rows(n, classes)
    return {name: soft(make) for name, make in rows.items() if name != "masked"}


def _call(name, **fixed):
    return lambda m, x, y, **options: getattr(m.nn.functional, name)(x, y, **fixed, **options)


def _weighted_logits(m, x, y, **options):
    function = m.nn.functional.binary_cross_entropy_with_logits
    return function(x, y, pos_weight=m.tensor(POS_WEIGHT), **options)


_without_masks = {name: make for name, make in _rows(23, 1000).items() if name != "masked"}
LOSSES = {
    "mse": Loss(_call("mse_loss"), _mse, _differences()),
    "l1": Loss(_call("l1_loss"), _l1, _differences()),
    "smooth_l1": Loss(_call("smooth_l1_loss", beta=BETA), _smooth_l1, _differences()),
    "huber": Loss(_call("huber_loss", delta=DELTA), _huber, _differences()),
    "bce": Loss(_call("binary_cross_entropy"), _bce, _probability_families()),
    "bce_with_logits": Loss(
        _call("binary_cross_entropy_with_logits"), _bce_with_logits, _logit_families()
    ),
    "bce_with_logits, pos_weight": Loss(
        _weighted_logits, lambda x, y: _bce_with_logits(x, y, POS_WEIGHT), _logit_families()
    ),
    "cross_entropy, 10 classes": Loss(_call("cross_entropy"), _cross_entropy, _rows(503, 10)),
    "cross_entropy, 1,000 classes": Loss(_call("cross_entropy"), _cross_entropy, _rows(23, 1000)),
    "cross_entropy, probabilities": Loss(_call("cross_entropy"), _probabilities, _soft(503, 10)),
    "cross_entropy, smoothing": Loss(
        _call("cross_entropy", label_smoothing=SMOOTHING), _smoothed, _without_masks
    ),
}


def inputs(loss, family):
    """x and y of a loss's family, float32 (class indices int64), always the same."""
    x, y = LOSSES[loss].families[family](np.random.default_rng(list(family.encode())))
    kind = np.asarray(y).dtype.kind if "cross" in loss else "f"
    return np.float32(x), np.asarray(y, np.int64 if kind == "i" else np.float32)


# --- errors -------------------------------------------------------------------------------------


def exact(loss, x, y):
    """The exact values, slopes and larger terms of float32 x and y."""
    with np.errstate(all="ignore"):
        wide = np.float64(x), y if y.dtype.kind == "i" else np.float64(y)
        return LOSSES[loss].exact(*wide)


def evaluate(m, loss, x, y, reduction, upstream):
    """A library's loss and gradient by x, as arrays."""
    x, y = m.tensor(x).requires_grad_(), m.tensor(y)
    out = LOSSES[loss].call(m, x, y, reduction=reduction)
    out.backward(m.tensor(upstream))
    return out.detach().numpy(), x.grad.numpy()


def errors(m, loss, family):
    """The worst errors of a library's loss and of its gradient, in ulp, over the reductions."""
    x, y = inputs(loss, family)
    values, slopes, terms = exact(loss, x, y)
    worst_loss = worst_gradient = 0.0
    for reduction in ("none", "mean", "sum"):
        rng = np.random.default_rng(len(reduction))
        shape = values.shape if reduction == "none" else ()
        upstream = np.asarray(rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape), np.float32)
        out, grad = evaluate(m, loss, x, y, reduction, upstream)
        with np.errstate(all="ignore"):
            want = {"none": values, "mean": values.mean(), "sum": values.sum()}[reduction]
            scale = np.float64(upstream) / (values.size if reduction == "mean" else 1)
            scale = scale.reshape(scale.shape + (1,) * (slopes.ndim - scale.ndim))
            larger = None if terms is None else terms * np.abs(scale)
            worst_loss = max(worst_loss, ulps(out, want).max())
            worst_gradient = max(worst_gradient, ulps(grad, slopes * scale, larger).max())
    return worst_loss, worst_gradient
