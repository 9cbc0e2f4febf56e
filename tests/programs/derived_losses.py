"""Random scalar expressions under @loss, with guards and far out, against 100 digits.

The value and the derivatives by input and target, to the third order, are finite and right.

A kernel takes a second to compile, so most programs ask the formulas on arrays alone.
"""

from __future__ import annotations

import itertools
import random

import numpy as np

import minigrad as mg
from minigrad import scalar
from minigrad.generated import define
from minigrad.nn.functional import loss
from minigrad.nn.loss.derived import operation_of_formula
from minigrad.scalar import rules

SHORT = 60
WITH_KERNEL = 0.01  # of the programs
LEAVES = ["x", "y", "x - y", "y * x", "1 - y * x", "p * x", "x + 2 * y"]
FUNCTIONS = [
    "-{a}", "0.5 * {a} * {a}", "S.abs({a})", "S.relu({a})", "S.tanh({a})", "S.sigmoid({a})",
    "S.softplus({a})", "S.softplus(-{a})", "S.exp(-S.abs({a}))", "S.sqrt(1 + {a} * {a})",
    "S.log1p(S.exp(-S.abs({a})))", "S.log(1 + {a} * {a})", "S.sin(S.clamp({a}, -3, 3))",
    "S.clamp({a}, -1, 1)", "S.sigmoid({a}) ** q", "S.sigmoid({a}) ** 1.5", "S.tanh({a}) ** 3",
]  # fmt: skip
GUARDS = [
    "S.where({a} > 0, S.sqrt({a}), 0)", "S.where({a} > 0, S.log({a}), {b})",
    "S.where({a} > 0, {a} * S.log({a}), 0)", "S.sqrt(S.where({a} > 0, {a}, 0))",
    "S.where({a} > 0, {a}, 0) ** q", "S.where({a} != 0, S.tanh({a}), {b} / {a})",
    "S.where({a} > 0, {a} ** 2.5, {b})", "S.where({a} < 30, S.exp(S.clamp({a}, -50, 30)), {b})",
    "S.where(S.abs({a}) > 1, 1 / {a}, {b})", "S.where({a} > 0, {a}, 0) ** 0.5",
]  # fmt: skip
PAIRS = ["{a} + {b}", "{a} - {b}", "{a} * {b}", "S.max({a}, {b})", "S.min({a}, {b})"]
# No two of them meet at a kink.
INPUTS = [
    0.2578,
    -1.0313,
    0.5117,
    3.0078,
    -2.0156,
    17.53,
    49.9,
    -50.1,
    100.3,
    -99.7,
    1001.0,
    -999.0,
]
TARGETS = [0.2461, -0.9883, 1.4922, 2.9141]
ORDERS = [o for o in itertools.product(range(4), repeat=2) if sum(o) <= 3]


def attempt(draw: random.Random) -> None:
    lines, names = [], []
    for k in range(draw.randint(1, 4)):
        form = draw.choice(draw.choice([FUNCTIONS, GUARDS, PAIRS]))
        a, b = (draw.choice([f"({leaf})" for leaf in LEAVES] + names * 3) for _ in "ab")
        lines.append(f"    v{k} = {form.format(a=a, b=b)}\n")
        names.append(f"v{k}")
    source = f"def program(S, x, y, p, q):\n{''.join(lines)}    return {names[-1]}\n"
    run = define("program", source, {})
    x, y = draw.choice(INPUTS), draw.choice(TARGETS)
    p, q = draw.choice([0.7, -1.1, 2.3]), draw.choice([0.5, 1.0, 1.5, 2.0, 3.0])
    exact = _Exact()
    try:
        expected = exact.derivatives(run, x, y, p, q)
    except (ZeroDivisionError, TypeError):  # of a branch that is not taken
        return
    if exact.tiny and any(name in source for name in ("S.where", "**")):
        return  # here the number is 0, and so on the other side
    got = _ours(run, x, y, p, q, draw.random() < WITH_KERNEL)
    scale = max(1.0, abs(x), abs(y)) ** 3
    for order, want in expected.items():
        lower = [abs(w) for o, w in expected.items() if sum(o) <= sum(order)]
        wrong = abs(got[order] - want) > 1e-7 * max(1.0, *lower, scale if want == 0 else 0)
        if wrong or not np.isfinite(got[order]):
            raise AssertionError(
                f"derivative {order} is {got[order]}, right is {want}\n"
                f"{source}  at x={x}, y={y}, p={p}, q={q}"
            )


def _ours(run, x, y, p, q, with_kernel: bool) -> dict:
    """The value and the derivatives by x and y of every order in ORDERS, in float64."""

    def function(x, y, p=p, q=q):
        return run(scalar, x, y, p, q)

    inputs = [mg.tensor([z], dtype=mg.float64, requires_grad=True) for z in (x, y)]
    found = {}
    if with_kernel:
        out = loss(function)(*inputs, reduction="sum")
        found[0, 0] = out.item()
        first = mg.autograd.grad(out, inputs, create_graph=True)
    else:
        derived = rules.derive("function", function, 2)
        with np.errstate(all="ignore"):
            found[0, 0] = derived.reference(*(z.detach().numpy() for z in inputs), p, q)[0].item()
        first = [operation_of_formula(slope)(*inputs, (p, q)) for slope in derived.slopes]
    found[1, 0], found[0, 1] = (d.item() for d in first)
    second = [mg.autograd.grad(d.sum(), inputs, create_graph=True) for d in first]
    found[2, 0], found[1, 1], found[0, 2] = (d.item() for d in (*second[0], second[1][1]))
    for at, d in (((2, 0), second[0][0]), ((0, 2), second[1][1])):
        by_x, by_y = mg.autograd.grad(d.sum(), inputs)
        found[at[0] + 1, at[1]], found[at[0], at[1] + 1] = by_x.item(), by_y.item()
    return found


class _Exact:
    """Scalar functions at 100 digits; `tiny`: whether one gave a number that underflows here."""

    def __init__(self):
        import mpmath

        self.mp, self.tiny = mpmath.mp, False
        for name in ("exp", "log", "log1p", "sqrt", "sin", "tanh"):
            setattr(self, name, self._watched(getattr(self.mp, name)))
        self.sigmoid = self._watched(lambda a: 1 / (1 + self.mp.exp(-a)))
        self.softplus = self._watched(lambda a: self.mp.log1p(self.mp.exp(a)))
        self.abs, self.max, self.min = abs, max, min

    def _watched(self, function):
        def call(a):
            out = function(a)
            self.tiny |= 0 < abs(out) < 1e-300
            return out

        return call

    def relu(self, a):
        return a if a > 0 else self.mp.mpf(0)

    def clamp(self, a, low, high):
        return low if a < low else high if a > high else a

    def where(self, condition, a, b):
        return self.mp.mpf(a if condition else b)

    def derivatives(self, run, x, y, p, q) -> dict:
        """Those of every order, where a double holds them and what they are made of."""
        with self.mp.workdps(100):
            at = tuple(map(self.mp.mpf, (x, y)))

            def value(x, y):
                return run(self, x, y, p, q)

            found = {o: self.mp.diff(value, at, o) if any(o) else value(*at) for o in ORDERS}
            return {o: float(d) for o, d in found.items() if abs(d) < 1e200}
