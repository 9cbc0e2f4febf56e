"""Every operation on scalars, once: its value and its partial derivatives, as Python source.

Expressions are over the operands `a`, `b`, `c` and the value `out`. They are made of + - * /,
comparisons, `x if condition else y`, numbers, and calls of exp, log, log1p, sqrt, sin, cos, tanh,
abs, pow: plain enough for Python's floats, for Numba, and to be taken apart.
Subgradients are PyTorch's: 0 for abs and relu at 0, a half each where max or min ties.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..generated import define


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
    "pow": Operation("pow(a, b)", (
        "b * pow(a, b - 1.0) if b != 0.0 else 0.0",
        "out * log(a) if a != 0.0 else 0.0 if b >= 0.0 else out * log(a)",
    )),
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
}  # fmt: skip

TRUTHS = {name for name, operation in OPERATIONS.items() if not operation.slopes}
FUNCTIONS = [name for name, row in OPERATIONS.items() if row.operands == 1 and name != "neg"]


# --- a formula becomes a function -----------------------------------------------------------------

CALLS = ("exp", "log", "log1p", "sqrt", "sin", "cos", "tanh")  # besides abs and pow
OPERATORS = {
    "a + b": operator.add, "a - b": operator.sub, "a * b": operator.mul, "a / b": operator.truediv,
    "-a": operator.neg, "a < b": operator.lt, "a <= b": operator.le, "a > b": operator.gt,
    "a >= b": operator.ge, "a == b": operator.eq, "a != b": operator.ne,
}  # fmt: skip


@cache
def on_floats(name: str, library: ModuleType = math) -> Callable[..., float]:
    """An operation's value with the functions of `library`. on_floats("sigmoid") is

        def sigmoid(a):
            return 1.0 / (1.0 + exp(-a))

    A formula that is no more than one operator or call is that function of C: 20 ns less, of the
    400 that `a + b` of Values takes. Python's raise where IEEE 754 has an answer.
    """
    formula = OPERATIONS[name].value
    scope = {call: getattr(library, call) for call in (*CALLS, "pow")} | {"abs": abs}
    call = re.fullmatch(r"(\w+)\((a|a, b)\)", formula)
    if call or formula in OPERATORS:
        return scope[call[1]] if call else OPERATORS[formula]  # type: ignore[return-value]
    arguments = ", ".join("abc"[: OPERATIONS[name].operands])
    return define(name, f"def {name}({arguments}):\n    return {formula}\n", scope)


def ieee(name: str, *operands: float) -> float:
    """An operation's value where Python raises: a division by zero, an overflow, log(0)."""
    with np.errstate(all="ignore"):
        return float(on_floats(name, np)(*map(np.float64, operands)))


def compute(name: str, *operands: Any) -> float:
    """An operation's value as Values have it."""
    try:
        return float(on_floats(name)(*map(float, operands)))
    except (ArithmeticError, ValueError):
        return ieee(name, *operands)


@cache
def on_library(formula: str) -> Callable[..., Any]:
    """A formula with the functions of the library that it is given, `where` among them.

    on_library("exp(a) if a < 0.0 else b") is

        def formula(library, a=None, b=None, c=None, out=None):
            return library.where(a < 0.0, library.exp(a), b)
    """
    text = ast.unparse(_OfLibrary().visit(ast.parse(formula, mode="eval")))
    arguments = "library, a=None, b=None, c=None, out=None"
    return define("formula", f"def formula({arguments}):\n    return {text}\n", {})


class _OfLibrary(ast.NodeTransformer):
    """Calls, and selections, which arrays and Expressions can answer as calls only."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        where = ast.Call(ast.Name("where"), [node.test, node.body, node.orelse], [])
        return self.visit_Call(where)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        operands = [self.visit(operand) for operand in node.args]
        return ast.Call(ast.Attribute(ast.Name("library"), node.func.id), operands, [])
