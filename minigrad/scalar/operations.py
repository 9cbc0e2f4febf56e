"""Every operation on scalars, once: its value and its partial derivatives, as Python source.

Expressions are over the operands `a`, `b`, `c` and the value `out`. They are made of + - * /,
comparisons, `x if condition else y`, numbers, and calls of exp, log, log1p, sqrt, sin, cos, tanh,
abs, pow: plain enough for Python's floats, for Numba, and to be taken apart.
Subgradients are PyTorch's: 0 for abs and relu at 0, a half each where max or min ties.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Operation(NamedTuple):
    """`value`, and one expression in `slopes` per operand; a truth value has none."""

    value: str
    slopes: tuple[str, ...] = ()

    @property
    def operands(self) -> int:
        """How many: a, or a and b, or a, b and c."""
        return len(set(re.findall(r"\b[abc]\b", self.value)))


OPERATIONS = {
    "add": Operation("a + b", ("1.0", "1.0")),
    "sub": Operation("a - b", ("1.0", "-1.0")),
    "mul": Operation("a * b", ("b", "a")),
    "div": Operation("a / b", ("1.0 / b", "-out / b")),
    "pow": Operation(
        "pow(a, b)",
        (
            "b * pow(a, b - 1.0) if b != 0.0 else 0.0",
            "out * log(a) if a != 0.0 else 0.0 if b >= 0.0 else out * log(a)",
        ),
    ),
    "neg": Operation("-a", ("-1.0",)),
    "abs": Operation("abs(a)", ("1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0",)),
    "relu": Operation("0.0 if a <= 0.0 else a", ("0.0 if a <= 0.0 else 1.0",)),
    "exp": Operation("exp(a)", ("out",)),
    "log": Operation("log(a)", ("1.0 / a",)),
    "log1p": Operation("log1p(a)", ("1.0 / (1.0 + a)",)),
    "sqrt": Operation("sqrt(a)", ("0.5 / out",)),
    "sin": Operation("sin(a)", ("cos(a)",)),
    "cos": Operation("cos(a)", ("-sin(a)",)),
    "tanh": Operation("tanh(a)", ("1.0 - out * out",)),
    "sigmoid": Operation("1.0 / (1.0 + exp(-a))", ("out * (1.0 - out)",)),
    "softplus": Operation(  # the half is its slope at 0, for those who differentiate this
        "(a if a > 0.0 else 0.0 if a < 0.0 else 0.5 * a) + log1p(exp(-abs(a)))",
        ("1.0 / (1.0 + exp(-a))",),
    ),
    "max": Operation(  # NaN wins, as in torch.maximum
        "a if a > b else a if a != a else b",
        ("0.5 if a == b else 0.0 if a < b else 1.0", "0.5 if a == b else 0.0 if a > b else 1.0"),
    ),
    "min": Operation(
        "a if a < b else a if a != a else b",
        ("0.5 if a == b else 0.0 if a > b else 1.0", "0.5 if a == b else 0.0 if a < b else 1.0"),
    ),
    "where": Operation("b if a else c", ("0.0", "1.0 if a else 0.0", "0.0 if a else 1.0")),
    "lt": Operation("a < b"),
    "le": Operation("a <= b"),
    "gt": Operation("a > b"),
    "ge": Operation("a >= b"),
    "eq": Operation("a == b"),
    "ne": Operation("a != b"),
}
