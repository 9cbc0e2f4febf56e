"""The gradient checker, checked: it finds a loss's slope that is wrong by 0.1 %, also at ties."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import GradcheckError, gradcheck
from minigrad.kernels import LOSSES, cpu
from minigrad.nn import functional as F
from minigrad.scalar.rules import Formula

FUNCTIONS = {
    "mse": (F.mse_loss, {}),
    "l1": (F.l1_loss, {}),
    "smooth_l1": (F.smooth_l1_loss, {"beta": 0.5}),
    "huber": (F.huber_loss, {"delta": 0.5}),
    "bce": (F.binary_cross_entropy, {}),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, {}),
    "cross_entropy": (F.cross_entropy, {}),
}
INPUT = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4))
TARGET = np.random.default_rng(1).uniform(0.1, 0.9, (3, 4))
# By loss: differences of input and target at which its slope jumps, or bends.
TIES = {"l1": (0.0,), "smooth_l1": (0.5, -0.5), "huber": (0.5, -0.5), "mse": (0.0,)}


def test_every_loss_rule_is_here():
    assert FUNCTIONS.keys() == {*LOSSES, "huber"}


def wrong_kernels(monkeypatch, spoil):
    """Kernels whose slopes are spoil(slopes, x, y)."""
    for name in ("run_pointwise", "run_classes", "run_weights"):
        kernel = getattr(cpu, name)

        def faulty(loss, x, y, *rest, kernel=kernel):
            total, values, slopes = kernel(loss, x, y, *rest)
            return total, values, slopes if slopes is None else spoil(slopes, x, y)

        monkeypatch.setattr(cpu, name, faulty)


def tensor(array, requires_grad=True):
    return mg.tensor(array, requires_grad=requires_grad)


def assert_wrong(f, inputs):
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(f, inputs)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_slope_by_the_input(name, reduction, monkeypatch):
    function, options = FUNCTIONS[name]
    targets = [TARGET] if name != "cross_entropy" else [TARGET, np.array([0, 3, 2])]
    for target in targets:
        y = tensor(target, False)
        f = lambda x, y=y: function(x, y, reduction=reduction, **options)  # noqa: E731
        assert gradcheck(f, tensor(INPUT))
        for factor in (1.001, 0.999):
            with monkeypatch.context() as patch:
                wrong_kernels(patch, lambda slopes, x, y, factor=factor: slopes * factor)
                assert_wrong(f, tensor(INPUT))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_slope_by_the_target(name, reduction, monkeypatch):
    function, options = FUNCTIONS[name]
    x = tensor(INPUT, False)
    f = lambda y: function(x, y, reduction=reduction, **options)  # noqa: E731
    assert gradcheck(f, tensor(TARGET))
    # cross_entropy's slope by probabilities is its log_softmax, a derived loss's is a formula, the
    # others' is the reference's.
    elsewhere = {"cross_entropy": (mg.ops.reduce, "log_softmax"), "huber": (Formula, "__call__")}
    where = elsewhere.get(name) or (LOSSES[name], "reference")
    original = getattr(*where)
    for factor in (1.001, 0.999):

        def faulty(*args, factor=factor):
            out = original(*args)
            return (*out[:2], out[2] * factor) if isinstance(out, tuple) else out * factor

        with monkeypatch.context() as patch:
            patch.setattr(*where, faulty)
            assert_wrong(f, tensor(TARGET))


def test_slope_of_nll():
    """Made of operations; a term that is always 0 adds 0.1 % to its slope."""
    y = tensor(np.array([0, 3, 2]), False)
    assert gradcheck(lambda x: F.nll_loss(x, y), tensor(INPUT))
    assert_wrong(lambda x: F.nll_loss(x, y) + 1e-3 * F.nll_loss(x - x.detach(), y), tensor(INPUT))


@pytest.mark.parametrize("name", TIES)
def test_slope_at_ties(name, monkeypatch):
    """Where input - target is at a kink alone the slope is wrong: by 0.1 % of the steepest side."""
    function, options = FUNCTIONS[name]
    for tie in TIES[name]:
        x = np.where(np.arange(12).reshape(3, 4) % 3 == 0, tie, 1.25 + INPUT)
        y = tensor(np.zeros((3, 4)), False)
        f = lambda x, y=y: function(x, y, reduction="none", **options)  # noqa: E731
        assert gradcheck(f, tensor(x))
        steepest = {"huber": 0.5, "mse": 0.0}.get(name, 1.0)
        for slope in (steepest + 1e-3, -steepest - 1e-3):

            def spoil(slopes, x, y, tie=tie, slope=slope):
                return np.where(x - y == tie, slope, slopes)

            with monkeypatch.context() as patch:
                wrong_kernels(patch, spoil)
                assert_wrong(f, tensor(x))
