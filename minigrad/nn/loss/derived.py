"""Losses written as one scalar expression: `@loss`, and those that are made by it.

The function is traced, its slopes are derived, and the rule that comes out is bound to the loop
that all pointwise losses share. See README, "From a scalar to a kernel".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial, wraps
from inspect import signature
from numbers import Real
from types import SimpleNamespace

import numpy as np

from ... import scalar
from ...generated import define
from ...ops import Op, op
from ...scalar import rules
from ...tensor import Tensor
from .checks import check_number, check_reduction
from .fused import operation_of, pointwise

__all__ = [
    "HUBER", "hinge_loss", "huber_loss", "log_cosh_loss", "loss", "poisson_nll_loss",
    "quantile_loss", "sigmoid_focal_loss",
]  # fmt: skip


def loss(function: Callable) -> Callable[..., Tensor]:
    """Decorate a function of two scalars: it becomes a loss of Tensors, with fused kernels.

    function(x, y, *parameters) computes with operators and the functions of `minigrad.scalar` on
    numbers x, y and parameters that have defaults. It may be any callable: a partial or a lambda,
    an object, with parameters by keyword alone. A parameter whose default is True or False is a
    choice, which an `if` may make; the others are numbers that a kernel is given at each call. What
    depends on them alone, such as 1 - q, is computed in float64 before.

    Returns f(input, target, *parameters, reduction="mean"): floats of any one shape -> () or, with
    reduction "none", that shape; differentiable by both, to any order. The function is called once
    here (and once for each new choice) to write down what it does, and the slopes follow from that.
    TypeError where it cannot be written down: an `if`, `and` or `not` on x, or a function of
    another library.
    """
    made_of = function.func if isinstance(function, partial) else function
    name = getattr(made_of, "__name__", type(made_of).__name__)
    try:
        given = list(signature(function).parameters.values())
    except (TypeError, ValueError):
        given = []
    inputs, parameters = given[:2], given[2:]
    if [p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in inputs] != [True] * 2:
        raise TypeError(f"loss: expected a function of two scalars and parameters, got {function}")
    defaults = {p.name: p.default for p in parameters}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(f"{name}: expected parameters with names and defaults, got {p}")
        if p.name in ("input", "target", "reduction"):
            raise TypeError(f"{name}: its parameter {p.name!r} needs another name")
        if not isinstance(p.default, (Real, np.bool_)):
            raise TypeError(f"{name}: expected a number as the default of {p.name!r}")
    choices = tuple(isinstance(default, (bool, np.bool_)) for default in defaults.values())
    by_place = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)

    @cache
    def traced(*chosen):
        """The operation, where parameters that are choices are `chosen`."""

        def of_numbers(x, y, *numbers):
            rest, made = iter(numbers), iter(chosen)
            values = [next(made if choice else rest) for choice in choices]
            by_name = dict(list(zip(defaults, values, strict=True))[by_place:])
            return function(x, y, *values[:by_place], **by_name)

        return derived(rules.derive(name, of_numbers, len(choices) - len(chosen)))

    traced(*(bool(x) for x, choice in zip(defaults.values(), choices, strict=True) if choice))
    bind = _binding(name, defaults, by_place)

    @wraps(function)
    def call(*args, **options):
        input, target, given, reduction = bind(*args, **options)
        for parameter, x in zip(defaults, given, strict=True):
            check_number(parameter, x)
        operation = traced(*(bool(x) for x, choice in zip(given, choices, strict=True) if choice))
        numbers = tuple(float(x) for x, choice in zip(given, choices, strict=True) if not choice)
        return pointwise(operation, input, target, numbers, check_reduction(reduction))

    call.__name__, call.__signature__ = name, signature(bind)  # type: ignore[attr-defined]
    return call


def derived(loss: SimpleNamespace) -> Op:
    """The operation of a loss that was derived; its slopes are derived to any order."""
    return operation_of(loss, slopes_by=[operation_of_formula(slope) for slope in loss.slopes])


def operation_of_formula(formula: rules.Formula) -> Op:
    """A formula as an operation, whose gradients are by its derivatives."""

    @cache
    def slope(k):
        return operation_of_formula(formula.derivative(k))

    def forward(input, target, parameter):
        return formula(input, target, parameter)

    forward.__name__ = formula.name
    return op(
        lambda g, input, target, parameter: g * slope(0)(input, target, parameter),
        lambda g, input, target, parameter: g * slope(1)(input, target, parameter),
    )(forward)


def _binding(name, defaults, by_place):
    """A call's input, target, parameters and reduction; Python itself fills in defaults, takes
    keywords and says what is missing. Of `pinball(x, y, q=0.5, *, tilt=0.0)`:

    def bind(input, target, q, reduction, *, tilt):
        return input, target, (q, tilt, ), reduction
    """
    names = list(defaults)
    arguments = ["input", "target", *names[:by_place], "reduction"]
    arguments += ["*", *names[by_place:]] if names[by_place:] else []
    source = f"def bind({', '.join(arguments)}):\n"
    source += f"    return input, target, ({''.join(f'{n}, ' for n in names)}), reduction\n"
    bind = define("bind", source, {})
    values = list(defaults.values())
    bind.__defaults__, bind.__qualname__ = (*values[:by_place], "mean"), name
    bind.__kwdefaults__ = {n: defaults[n] for n in names[by_place:]}
    return bind


def _huber(x, y, delta):
    d = x - y
    size = abs(d)
    return scalar.where(size >= delta, delta * (size - 0.5 * delta), 0.5 * d * d)


HUBER = rules.derive("huber", _huber, 1)
HUBER_OPERATION = derived(HUBER)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """d²/2 where |d| < delta, else delta (|d| - delta/2); d = input - target, delta > 0.

    weight: of the input's shape, may require a gradient; "mean" divides by the number of values.
    Source: Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    check_number("delta", delta)
    if not delta > 0:
        raise RuntimeError(
            f"huber_loss does not support non-positive values for delta: got {delta}"
        )
    reduction = check_reduction(reduction)
    return pointwise(
        HUBER_OPERATION, input, target, (float(delta),), reduction,
        weight=weight, mean_by_weight=False,
    )  # fmt: skip


@loss
def log_cosh_loss(x, y):
    """log cosh d, d = input - target: d²/2 near 0, |d| - log 2 far out; slope tanh d.

    The tanh near 0 keeps the digits of a small d; it is clamped, or the second derivative of what
    is not taken far out would be infinite.
    """
    d = x - y
    size, t = abs(d), scalar.tanh(scalar.clamp(d, -1, 1))
    far = size + scalar.log1p(scalar.exp(-2 * size)) - math.log(2)
    return scalar.where(size < 1, -0.5 * scalar.log1p(-t * t), far)


@loss
def quantile_loss(x, y, q=0.5):
    """q d where d = target - input > 0, else (q - 1) d: the pinball loss, least at a q-quantile.

    Source: Koenker and Bassett, "Regression Quantiles", 1978.
    """
    d = y - x
    return scalar.where(d > 0, q * d, (q - 1) * d)


@loss
def poisson_nll_loss(x, y, log_input=True, full=False, eps=1e-8):
    """The Poisson distribution's -log probability of counts `target`, without log(target!).

    input: the logarithm of the rate, exp(input) - target * input; or, with log_input=False, the
    rate, input - target * log(input + eps). full: add Stirling's formula for log(target!), where
    target > 1.
    """
    value = scalar.exp(x) - y * x if log_input else x - y * scalar.log(x + eps)
    if full:
        stirling = y * scalar.log(y) - y + 0.5 * scalar.log(2 * math.pi * y)
        value += scalar.where(y > 1, stirling, 0)
    return value


@loss
def hinge_loss(x, y):
    """max(0, 1 - target * input), targets -1 and 1; slope 0 on the margin."""
    return scalar.relu(1 - y * x)


@loss
def sigmoid_focal_loss(x, y, alpha=0.25, gamma=2.0):
    """Binary cross-entropy of logits, times (1 - p)^gamma, p the probability of the right class.

    Times alpha for target 1 and 1 - alpha for target 0 as well, unless alpha < 0. torchvision's,
    but for the default reduction. Source: Lin et al., "Focal Loss for Dense Object Detection",
    2017.
    """
    wrong = y * scalar.sigmoid(-x) + (1 - y) * scalar.sigmoid(x)
    value = wrong**gamma * (y * scalar.softplus(-x) + (1 - y) * scalar.softplus(x))
    return value * scalar.where(alpha >= 0, alpha * y + (1 - alpha) * (1 - y), 1)
