"""Losses written as one scalar expression: against the hand-written rules and against PyTorch."""

import math
import os
import subprocess
import sys
from functools import partial

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad import scalar
from minigrad.kernels import LOSSES, cpu
from minigrad.kernels.cpu import binding, elementary
from minigrad.nn import functional as F
from minigrad.scalar import Value, exp, log1p, max, rules, where

NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
DTYPES = ("float32", "float64")


def mse(x, y):
    return (x - y) ** 2


def l1(x, y):
    return abs(x - y)


def smooth_l1(x, y, beta):
    d = x - y
    return where(abs(d) >= beta, abs(d) - 0.5 * beta, 0.5 * d * d / beta)


def bce_with_logits(x, y):
    s = log1p(exp(-abs(x)))
    return y * (max(-x, 0) + s) + (1 - y) * (max(x, 0) + s)


# --- as good as written by hand -----------------------------------------------------------------

EXTREMES = [0, -0.0, 0.25, -0.25, 1.5, 40, -40, 88, -88, -104, 1e4, -1e4, 1e-20, -1e-40, 3e38]
EXTREMES += [np.inf, -np.inf, np.nan]


@pytest.mark.parametrize(
    ("function", "dtype"),
    [(f, "float32") for f in (mse, l1, smooth_l1)] + [(bce_with_logits, d) for d in DTYPES],
)
def test_the_rule_written_by_hand(function, dtype):
    """Values and slopes within 2 ulp (of the larger term, 1, where a slope is a difference)."""
    name, parameters = function.__name__, (0.25,) * (function is smooth_l1)
    derived, hand = rules.derive(name, function, len(parameters)), LOSSES[name]
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((2, 20000)) * 3).astype(dtype)
    x[:2000], y[1000:3000] = np.round(x[:2000]), np.round(y[1000:3000])  # ties
    x[2000:2500] = y[2000:2500] + rng.choice([0, 0.25, -0.25], 500).astype(dtype)
    if function is bce_with_logits:
        y = rng.choice([0, 1, 0.3, 0.9999], len(x)).astype(dtype)
    edges = np.array(np.meshgrid(EXTREMES, [0, 1, 0.25]), dtype).reshape(2, -1)
    up = -0.75
    for a, b in ((x, y), edges):
        a, b = a.copy(), b.copy()
        want = cpu.run_pointwise(hand, a, b, *parameters or (1.0,), up, True)
        given = derived.combine(*parameters) if parameters else 0.0
        got = cpu.run_pointwise(derived, a, b, given, up, True)
        eps = np.finfo(dtype).eps
        tiny = 4 * np.finfo(dtype).smallest_subnormal
        np.testing.assert_allclose(got[1], want[1], rtol=2 * eps, atol=tiny)
        difference = function is bce_with_logits
        np.testing.assert_allclose(
            got[2], want[2], rtol=2 * eps, atol=2 * eps * abs(up) if difference else tiny
        )


def test_constants_are_typed():
    """One float64 in it, and a float32 rule is twice as slow."""
    for op in (F.hinge_loss, F.log_cosh_loss, F.sigmoid_focal_loss, F.poisson_nll_loss):
        names = list(__import__("inspect").signature(op).parameters)
        count = len(names) - 3
        function = op.__wrapped__
        if op is F.poisson_nll_loss:
            function, count = partial(_poisson, function), 1
        derived = rules.derive("it", function, count)
        count = len(derived.combine(*[0.5] * count)) if derived.combine else count
        point = numba.njit(derived.rule(np.float32, elementary.functions(np.float32)))
        given = [np.float32(0.5)] * 4
        given[2] = (np.float32(0.5),) * count if count > 1 else np.float32(0.5)
        point(*given)
        (signature,) = point.nopython_signatures
        assert signature.return_type == numba.types.UniTuple(numba.float32, 2)


def _poisson(function, x, y, eps):
    return function(x, y, False, True, eps)


# --- what is shipped ----------------------------------------------------------------------------


def torch_focal(torch, x, y, alpha=0.25, gamma=2.0):
    """As torchvision's sigmoid_focal_loss computes it."""
    ce = torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    p = torch.sigmoid(x)
    value = ce * (1 - p * y - (1 - p) * (1 - y)) ** gamma
    return value * (alpha * y + (1 - alpha) * (1 - y)) if alpha >= 0 else value


def torch_poisson(torch, x, y, **options):
    return torch.nn.functional.poisson_nll_loss(x, y, reduction="none", **options)


normal = np.random.default_rng(2).standard_normal
counts = np.random.default_rng(3).poisson(3, 600).astype(float)
binary = np.random.default_rng(4).integers(0, 2, 600).astype(float)
rates = np.random.default_rng(5).uniform(0.2, 5, 600)
SHIPPED = {  # ours, PyTorch's on the library, input, target, options
    "huber": (
        F.huber_loss,
        lambda t, x, y, delta: t.nn.functional.huber_loss(x, y, delta=delta, reduction="none"),
        normal(600) * 2, normal(600), {"delta": 0.75},
    ),
    "log_cosh": (
        F.log_cosh_loss,
        lambda t, x, y: (x - y).abs() + t.nn.functional.softplus(-2 * (x - y).abs()) - math.log(2),
        normal(600) * 3, normal(600), {},
    ),
    "quantile": (
        F.quantile_loss,
        lambda t, x, y, q: t.maximum(q * (y - x), (q - 1) * (y - x)),
        normal(600), normal(600), {"q": 0.2},
    ),
    "poisson": (F.poisson_nll_loss, torch_poisson, normal(600), counts, {}),
    "poisson_full": (F.poisson_nll_loss, torch_poisson, normal(600), counts + 0.5, {"full": True}),
    "poisson_rates": (
        F.poisson_nll_loss, torch_poisson, rates, rates[::-1].copy(),
        {"log_input": False, "full": True, "eps": 1e-3},
    ),
    "hinge": (
        F.hinge_loss, lambda t, x, y: t.relu(1 - x * y), normal(600) * 2, 2 * binary - 1, {},
    ),
    "focal": (F.sigmoid_focal_loss, torch_focal, normal(600) * 3, binary, {}),
    "focal_soft": (
        F.sigmoid_focal_loss, torch_focal, normal(600), np.abs(normal(600)) % 1,
        {"alpha": -1.0, "gamma": 1.5},
    ),
}  # fmt: skip


def evaluate(m, loss, x, y, dtype, reduction, upstream):
    """Value, gradients, and the gradients of a projection of these, all as float64 arrays."""
    x, y = (m.tensor(a, dtype=getattr(m, dtype), requires_grad=True) for a in (x, y))
    out = loss(x, y)
    if m is not mg:
        out = out + 0 * (x * y) ** 2  # so that torch has second derivatives, if only 0
        out = out if reduction == "none" else getattr(out, reduction)()
    up = m.tensor(upstream if reduction == "none" else 0.75, dtype=out.dtype)
    first = m.autograd.grad(out, (x, y), up, create_graph=True)
    out.backward(up, retain_graph=True)  # the fused slopes, which create_graph does not use
    u = m.tensor(upstream, dtype=out.dtype)
    second = m.autograd.grad((first[0] * u).sum() + (first[1] * u * u).sum(), (x, y))
    fused = x.grad, y.grad
    return [np.float64(a.detach().numpy()) for a in (out, *first, *fused, *second)]


@pytest.mark.torch
@pytest.mark.parametrize(  # a build each, of a second and more
    ("name", "reduction", "dtype"),
    [(name, "none", "float64") for name in SHIPPED]
    + [(name, "mean", "float32") for name in ("log_cosh", "quantile", "poisson_rates", "focal")],
)
def test_against_torch(name, reduction, dtype):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    ours, theirs, x, y, options = SHIPPED[name]
    x, y = x.astype(np.float32), y.astype(np.float32)
    x[:20], y[:20] = np.round(x[:20], 0), np.round(y[:20], 0)
    if name == "log_cosh":
        y[:20] = x[:20] + 0.5  # written this way, abs has a kink in the middle
    if name == "poisson_rates":
        x[:20], y[:20] = 1.0, 2.0
    if name == "quantile":
        x[:20] += 0.25  # torch.maximum halves the slope at a tie
    upstream = np.random.default_rng(6).standard_normal(600)
    want = evaluate(
        torch, lambda a, b: theirs(torch, a, b, **options), x, y, "float64", reduction, upstream
    )
    f = partial(ours, reduction=reduction, **options)
    got = evaluate(mg, f, x, y, dtype, reduction, upstream)
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


def test_ties():
    """Slopes where a branch changes; PyTorch's relu and, for log cosh, the smooth function's."""
    zero, one = mg.zeros(1), mg.ones(1)
    for loss, x, y, want in (
        (F.hinge_loss, one, one, 0.0),
        (F.quantile_loss, one, one, 0.5),
        (F.log_cosh_loss, one, one, 0.0),
        (F.sigmoid_focal_loss, zero, one, -0.25 * (0.25 * 0.5 + 2 * 0.25 * 0.5 * math.log(2))),
    ):
        x = x.clone().requires_grad_()
        loss(x, y).backward()
        np.testing.assert_allclose(x.grad.numpy(), [want], rtol=1e-6)


def test_small_and_large_differences_keep_their_digits():
    d = np.float32([1e-20, 1e-4, -1e-3, 0.5, 1, -30, 1e30])
    x = mg.tensor(d, requires_grad=True)
    out = F.log_cosh_loss(x, mg.zeros(len(d)), reduction="none")
    out.backward(mg.tensor(np.full(len(d), 0.5, np.float32)))
    w = np.float64(d)
    want = np.abs(w) + np.log1p(np.expm1(-2 * np.abs(w)) / 2)
    want[:3] = w[:3] ** 2 / 2 - w[:3] ** 4 / 12
    np.testing.assert_allclose(out.detach().numpy(), want, rtol=1e-6, atol=1e-45)
    np.testing.assert_allclose(x.grad.numpy(), 0.5 * np.tanh(w), rtol=1e-6)
    sure = mg.tensor(np.float32([60, -60]), requires_grad=True)
    F.sigmoid_focal_loss(sure, mg.tensor([1.0, 0.0]), gamma=0.5, reduction="sum").backward()
    p = math.exp(-60)
    want = np.float64([-0.25, 0.75]) * 1.5 * p**1.5
    np.testing.assert_allclose(sure.grad.numpy(), want, rtol=1e-5)


# --- the decorator ------------------------------------------------------------------------------


@mg.loss
def pinball(x, y, q=0.5):
    d = y - x
    return where(d > 0, q * d, (q - 1) * d)


def test_decorated():
    x, y = mg.tensor([1.0, 2.0, 3.0], requires_grad=True), mg.tensor([2.0, 2.0, 1.0])
    assert pinball(x, y, 0.75).item() == pytest.approx((0.75 + 0 + 0.5) / 3)
    assert pinball(x, y, q=0.75, reduction="sum").item() == 1.25
    assert pinball(x, y, 0.75, "none").tolist() == [0.75, 0.0, 0.5]
    assert pinball.__name__ == "pinball"
    assert pinball.__wrapped__(1.0, 3.0, 0.75) == 1.5
    assert "PinballBackward" in repr(pinball(x, y).grad_fn)
    with pytest.warns(UserWarning, match="Using a target size") as caught:
        assert pinball(x, mg.zeros(2, 3), reduction="none").shape == (2, 3)
    assert caught[0].filename == __file__
    assert pinball(x, y.double()).dtype == mg.float64
    assert pinball(x, mg.tensor([1, 2, 3])).dtype == mg.float32


def test_decorated_refuses():
    x = mg.zeros(2)
    for error, message, args in (
        (TypeError, "target: expected a Tensor", (x, [0.0, 0.0])),
        (TypeError, "q: expected a number, got str", (x, x, "a")),
        (ValueError, "reduction: expected", (x, x, 0.5, "average")),
        (RuntimeError, "input: expected floating", (x.long(), x.long())),
        (TypeError, "argument", (x,)),
    ):
        with pytest.raises(error, match=message):
            pinball(*args)


W = Value(1.0)
NOT_LOSSES = [
    (lambda x, y: x if x > y else y, r"minigrad\.scalar\.where"),
    (lambda x, y: math.exp(x), r"minigrad\.scalar\.exp"),
    (lambda x, y: np.exp(x - y), r"minigrad\.scalar\.exp"),
    (lambda x, y: __import__("builtins").max(x, y), r"minigrad\.scalar\.max"),
    (lambda x, y: x * W, "no gradient by a Value from outside"),
    (lambda x, y: x > y, "return a number"),
    (lambda x, y: None, "return a number"),
    (lambda x: x, "function of two scalars"),
    (lambda x, y, q: x, "a number as the default of 'q'"),
    (lambda x, y, q="a": x, "a number as the default of 'q'"),
    (lambda x, y, *q: x, "two scalars|default"),
    (lambda x, y, reduction=1: x, "another name"),
    (3, "function of two scalars"),
]


@pytest.mark.parametrize(("function", "message"), NOT_LOSSES)
def test_what_cannot_be_a_loss(function, message):
    with pytest.raises(TypeError, match=message):
        mg.loss(function)


def test_choices_and_numbers():
    """A bool is a choice of the trace; numbers are the kernel's: another one compiles nothing."""

    @mg.loss
    def chosen(x, y, scale=1.0, cubed=False, shift=0.5):
        d = scale * (x - y) + shift
        return d**3 if cubed else d * d

    x = mg.tensor([1.0, -2.0], dtype=mg.float64, requires_grad=True)
    y = mg.tensor([0.5, 1.0], dtype=mg.float64, requires_grad=True)
    for cubed in (False, True):
        f = partial(chosen, scale=1.5, cubed=cubed, shift=-1, reduction="none")
        assert mg.autograd.gradcheck(f, (x, y))
        assert mg.autograd.gradgradcheck(f, (x, y))
    source = rules.derive("it", lambda x, y, s, t: (s * (x - y) + t) ** 2, 2).source
    build = binding.kernel(
        cpu.pointwise.pointwise, rules.rule_of(source), np.dtype("float64"), False
    )
    before = len(build.signatures)
    rule = rules.rule_of(source)
    for scale in (1.0, 2.0, 3.0):
        loss = type("Loss", (), {"rule": staticmethod(rule)})
        cpu.run_pointwise(loss, np.ones(3), np.zeros(3), (scale, 0.5), 1.0)
    assert len(build.signatures) <= before + 1


def test_equal_expressions_are_computed_once():
    source = rules.derive("it", lambda x, y: exp(x * y) + exp(y * x) * exp(x * y), 0).source
    assert source.count("exp(") == 1
    hand = rules.derive("it", bce_with_logits, 0).source
    assert hand.count("log1p_unit(") == hand.count("exp_unit(") == 1


def test_threads_give_the_same_bits():
    n = 3 * cpu.PARALLEL + 17
    x, y = np.random.default_rng(0).standard_normal((2, n)).astype(np.float32)
    results, before = set(), numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            tx = mg.tensor(x, requires_grad=True)
            out = pinball(tx, mg.tensor(y), q=0.3)
            out.backward()
            results.add((out.item(), tx.grad.numpy().tobytes()))
    finally:
        numba.set_num_threads(before)
    assert len(results) == 1


AGAIN = """
import minigrad as mg, numpy as np
from minigrad.scalar import {names}where, rules
from minigrad.kernels import cpu
from minigrad.kernels.cpu import binding
@mg.loss
def {name}(a, b, {parameter}=0.5):
    {d} = b - a
    return where({d} > 0, {parameter} * {d}, 0.125 * {d})

x = mg.tensor([1.0, 3.0], requires_grad=True)
out = {name}(x, mg.tensor([2.0, 2.0]), 0.75, "sum")
out.backward()
print(out.item(), x.grad.tolist())
rule = rules.derive("", {name}.__wrapped__, 1).rule
build = binding.kernel(cpu.pointwise.pointwise, rule, np.dtype("float32"), False)
print(sum(build.stats.cache_misses.values()))
"""


def test_a_second_process_compiles_nothing(tmp_path):
    """Builds are found by content: `python -c`, then the source on stdin, under other names."""
    first = AGAIN.format(names="", name="ours", parameter="q", d="d")
    second = AGAIN.format(names="exp, ", name="another", parameter="weight", d="gap")
    printed = []
    for arguments, text in ((["-c", first], None), (["-"], second)):
        done = subprocess.run(
            [sys.executable, *arguments], input=text, capture_output=True, text=True, check=False,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.split("\n")[:2])
    assert printed == [["0.625 [-0.75, -0.125]", "1"], ["0.625 [-0.75, -0.125]", "0"]]


def test_in_a_notebook():
    """Cells are compiled from strings, and a function may be defined anew with another meaning."""
    cell = "@mg.loss\ndef again(x, y):\n    return {} * (x - y)\n"
    x = mg.ones(2, requires_grad=True)
    for factor in (2.0, 3.0):
        scope = {"mg": mg}
        exec(compile(cell.format(factor), "<ipython-input-1>", "exec"), scope)
        x.grad = None
        scope["again"](x, mg.zeros(2), reduction="sum").backward()
        assert x.grad.tolist() == [factor, factor]


# --- what parameters alone decide, and what may be decorated --------------------------------------


@pytest.mark.parametrize("q", [0.99999, 1 - 1e-7, 1e-9])
def test_arithmetic_on_parameters_is_that_of_float64(q):
    x, y = mg.tensor([2.0, 0.0], requires_grad=True), mg.tensor([1.0, 1.0])
    F.quantile_loss(x, y, q=q, reduction="sum").backward()
    np.testing.assert_allclose(x.grad.numpy(), [1 - q, -q], rtol=1e-7)
    x = mg.tensor([0.5], requires_grad=True)
    F.sigmoid_focal_loss(x, mg.zeros(1), alpha=q, gamma=0.0).backward()
    np.testing.assert_allclose(x.grad.numpy(), [(1 - q) / (1 + math.exp(-0.5))], rtol=1e-6)
    curved = mg.loss(lambda x, y, p=0.5, r=1.0: (1 - p * p) / (1 - p) * r * (x - y))
    x = mg.tensor([0.5], requires_grad=True)
    curved(x, mg.zeros(1), q).backward()
    np.testing.assert_allclose(x.grad.numpy(), [(1 - q * q) / (1 - q)], rtol=1e-6)


def inside(x, y, *, scale=2.0, low=-1):
    return where((x > low) & ~(y >= 1) | (x > 3) & True, scale * (x - y), y - x)


class Inside:
    def __call__(self, x, y, scale=2.0, *, low=-1):
        return inside(x, y, scale=scale, low=low)


@pytest.mark.parametrize("function", [inside, partial(inside), Inside(), Inside().__call__])
@pytest.mark.parametrize("bound", [{}, {"scale": 0.5}, {"low": 0.25}, {"scale": -1.0, "low": 2}])
def test_connected_comparisons_of_any_callable(function, bound):
    xs, ys = [-2.0, 0.0, 0.5, 4.0, 4.0], [0.0, 0.0, 2.0, 0.5, 2.0]
    low = bound.get("low", -1)
    want = [
        bound.get("scale", 2.0) * (x - y) if (x > low and not y >= 1) or x > 3 else y - x
        for x, y in zip(xs, ys, strict=True)
    ]
    made = mg.loss(function)
    assert made(mg.tensor(xs), mg.tensor(ys), reduction="none", **bound).tolist() == want
    assert mg.loss(partial(function, **bound))(mg.tensor(xs), mg.tensor(ys)).item() == (
        pytest.approx(sum(want) / 5)
    )


def test_exclusive_or():
    made = mg.loss(lambda x, y: where((x > 0) ^ (y > 0), x, y))
    x, y = mg.tensor([1.0, 1.0, -1.0]), mg.tensor([2.0, -2.0, -2.0])
    assert made(x, y, reduction="none").tolist() == [2.0, 1.0, -2.0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: where(x > 0 and y > 0, x, y), r"\(a < b\) & \(b < c\)"),
        (lambda x, y: where(x > 0 or y > 0, x, y), r"\| and ~"),
        (lambda x, y: where(not x > 0, x, y), r"`not`"),
        (lambda x, y: where(0 < x < 1, x, y), "a < b < c"),
        (lambda x, y: where(x & y, x, y), "&: expected comparisons"),
        (lambda x, y: where((x > 0) | 2, x, y), r"\|: expected comparisons.*got int"),
        (lambda x, y, *more: x, "parameters with names and defaults"),
        (lambda x, y, **more: x, "parameters with names and defaults"),
        (lambda x, *, y: x, "function of two scalars"),
    ],
)
def test_what_cannot_be_decided(function, message):
    with pytest.raises(TypeError, match=message):
        mg.loss(function)


# --- to any order ---------------------------------------------------------------------------------

GUARDED = {
    "logistic": (lambda x, y: scalar.softplus(-y * x), (100.0, 1.0), 0.0),
    "logistic, the other side": (lambda x, y: scalar.softplus(-y * x), (-1000.0, 1.0), 0.0),
    "a root": (lambda x, y: where(x > 0, y * scalar.sqrt(x), 0), (-1.0, 1.0), 0.0),
    "a root at 0": (lambda x, y: where(x > 0, y * scalar.sqrt(x), 0), (0.0, 1.0), 0.0),
    "a root of a guard": (lambda x, y: scalar.sqrt(where(x > 0, x, 0)) * y, (-1.0, 1.0), 0.0),
    "a power of a guard": (lambda x, y: where(x > 0, x, 0) ** 0.5 * y, (-1.0, 1.0), 0.0),
    "a logarithm": (lambda x, y: where(x > 0, y * scalar.log(x), x * x), (-1.0, 1.0), 2.0),
    "a quotient": (lambda x, y: where(x != 0, y / x, x * x), (0.0, 1.0), 2.0),
    "a square": (lambda x, y: ((x - y) ** 2) ** where(y > 0, 1.0, 2.0), (1.0, 1.0), 2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", GUARDED)
def test_second_derivatives_of_what_is_guarded(name):
    function, at, expected = GUARDED[name]
    x, y = (mg.tensor([v], dtype=mg.float64, requires_grad=True) for v in at)
    out = F.loss(function)(x, y, reduction="sum")
    first = mg.autograd.grad(out, [x, y], create_graph=True)
    second = [mg.autograd.grad(d.sum(), [x, y], create_graph=True) for d in first]
    third = [mg.autograd.grad(d.sum(), [x, y]) for row in second for d in row]
    found = [d.item() for row in (first, *second, *third) for d in row]
    assert np.isfinite(found).all()
    assert second[0][0].item() == pytest.approx(expected, abs=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 50.0, 100.0, 1000.0, 1e30])
@pytest.mark.parametrize(
    "name", ["huber_loss", "log_cosh_loss", "quantile_loss", "hinge_loss", "sigmoid_focal_loss"]
)
def test_the_derived_losses_far_out(name, size, dtype):
    for sign, target in ((1, 0.0), (1, 1.0), (-1, 0.0), (-1, 1.0)):
        x, y = (
            mg.tensor([v], dtype=getattr(mg, dtype), requires_grad=True)
            for v in (sign * size, target)
        )
        level = [getattr(F, name)(x, y, reduction="sum")]
        for _ in range(3):
            level = [d for out in level for d in mg.autograd.grad(out.sum(), [x, y],
                                                                  create_graph=True)]  # fmt: skip
            assert np.isfinite([d.item() for d in level]).all()
