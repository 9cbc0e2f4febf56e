"""Scalar math written down instead of computed: a traced function, its derivatives, its source.

A function is traced by calling it once with Expressions in the place of numbers. What it does with
them makes more Expressions: a graph in which equal ones are one object (common subexpressions are
found as they are written) and constants are folded; the order of birth is an order of computation.

Derivatives run forward, from the table's partial derivatives: a loss has only two inputs, and a
`where` stays outermost, as one writes it by hand. The slope of the branch that is not taken, which
may be infinite, is selected away; running backward, it would be multiplied by 0, which is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextvars import ContextVar
from functools import partial
from numbers import Real
from types import NotImplementedType, SimpleNamespace
from typing import Any

import numpy as np

from . import functions
from .operations import FUNCTIONS, OPERATIONS, TRUTHS, ieee, on_library

Operands = tuple["Expression", ...]
VALUES = {row.value: name for name, row in OPERATIONS.items() if row.operands == 1}
ROOTS = ("sqrt", "pow")
SYMMETRIC = {"add", "mul", "max", "min", "eq", "ne"}
UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "power": "pow",
    "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "equal": "eq", "not_equal": "ne",
}  # fmt: skip
# While `scalar.compile` calls a function, the Trace that it is written to.
active_trace: ContextVar[Trace | None] = ContextVar("active_trace", default=None)


def _function(name: str) -> Callable[..., Expression]:
    return lambda self, *others: self.trace.apply(name, self, *others)


def _operator(name: str, reflected: bool = False) -> Callable[[Expression, Any], Any]:
    if reflected:
        return lambda self, other: self.trace.operate(name, other, self)
    return lambda self, other: self.trace.operate(name, self, other)


def _connective(name: str) -> Callable[[Expression, Any], Any]:
    """What &, | or ^ of two comparisons is, in terms of 1 and 0."""
    connect = {
        "&": lambda trace, a, b: trace.apply("where", a, b, 0.0),
        "|": lambda trace, a, b: trace.apply("where", a, 1.0, b),
        "^": lambda trace, a, b: trace.apply("ne", a, b),
    }[name]
    return lambda self, other: _of_truths(name, partial(connect, self.trace), self, other)


def _of_truths(name: str, connect: Callable[..., Expression], *operands: Any) -> Any:
    """connect(*operands) as a truth value; they are truth values, too."""
    for x in operands:
        truth = x.name in TRUTHS if isinstance(x, Expression) else isinstance(x, (bool, np.bool_))
        if not truth:
            what = "a traced number" if isinstance(x, Expression) else type(x).__name__
            raise TypeError(f"{name}: expected comparisons, such as (x > 0) & (y > 0), got {what}")
    out = connect(*operands)
    return out if out.name in TRUTHS else out.trace.apply("ne", out, 0.0)


class Expression:
    """An operation of the table on other Expressions; an input or a number has no operands.

    key: the operation's name and its operands' places in the trace; ("input", name); or ("number",
    value).
    """

    __slots__ = ("index", "key", "operands", "trace")
    __hash__ = object.__hash__  # by identity: equal Expressions are one

    def __init__(self, trace: Trace, index: int, key: tuple[Any, ...], operands: Operands):
        self.trace, self.index, self.key, self.operands = trace, index, key, operands

    @property
    def name(self) -> str:
        return self.key[0]

    @property
    def number(self) -> float | None:
        """What a number is, None for everything else."""
        return float.fromhex(self.key[1]) if self.key[0] == "number" else None

    def __bool__(self) -> bool:
        raise TypeError(
            "a traced number is neither true nor false, so `if`, `and`, `or`, `not`, a < b < c, "
            "min() and max() cannot decide on it: write minigrad.scalar.where(condition, a, b), "
            "(a < b) & (b < c), | and ~, minigrad.scalar.max(a, b) or min(a, b)"
        )

    def _no_number(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a traced number has no value yet, so functions of math and NumPy, float(), int() and "
            "round() cannot compute with it: write minigrad.scalar.exp(x) instead of math.exp(x), "
            f"and so on; there are {', '.join(FUNCTIONS)}, pow, max, min and where"
        )

    __float__ = __int__ = __index__ = __complex__ = __round__ = __trunc__ = _no_number
    __floor__ = __ceil__ = __array__ = _no_number

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """What np.float64(2) * x calls; np.exp(x) calls it too."""
        if ufunc.__name__ not in UFUNCS or method != "__call__" or kwargs:
            return self._no_number()
        # x[()] is the number that NumPy may have made an array () of
        numbers = (x[()] if isinstance(x, np.ndarray) else x for x in inputs)
        return self.trace.apply(UFUNCS[ufunc.__name__], *numbers)

    def __invert__(self) -> Expression:
        return _of_truths("~", lambda a: self.trace.apply("eq", a, 0.0), self)

    def __pos__(self) -> Expression:
        return self

    def __repr__(self) -> str:
        return f"<traced number: {self.name}>"

    __add__, __radd__ = _operator("add"), _operator("add", reflected=True)
    __sub__, __rsub__ = _operator("sub"), _operator("sub", reflected=True)
    __mul__, __rmul__ = _operator("mul"), _operator("mul", reflected=True)
    __truediv__, __rtruediv__ = _operator("div"), _operator("div", reflected=True)
    __pow__, __rpow__ = _operator("pow"), _operator("pow", reflected=True)
    __lt__, __le__ = _operator("lt"), _operator("le")
    __gt__, __ge__ = _operator("gt"), _operator("ge")
    __eq__, __ne__ = _operator("eq"), _operator("ne")  # type: ignore  # no bool yet
    __and__, __rand__ = _connective("&"), _connective("&")
    __or__, __ror__ = _connective("|"), _connective("|")
    __xor__, __rxor__ = _connective("^"), _connective("^")
    __neg__, __abs__ = _function("neg"), _function("abs")
    abs, relu, sqrt = _function("abs"), _function("relu"), _function("sqrt")
    exp, log, log1p = _function("exp"), _function("log"), _function("log1p")
    sin, cos, tanh = _function("sin"), _function("cos"), _function("tanh")
    sigmoid, softplus = _function("sigmoid"), _function("softplus")
    max, min, where = _function("max"), _function("min"), _function("where")


class Trace:
    """The Expressions of one function, in the order of their birth."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Expression] = {}

    def outside(self, x: object) -> Expression | None:
        """What stands for an object that is neither an Expression nor a number; None if nothing."""
        return None

    def _node(self, *key: Any, operands: Operands = ()) -> Expression:
        if key not in self._known:
            self._known[key] = Expression(self, len(self._known), key, operands)
        return self._known[key]

    def input(self, name: str) -> Expression:
        """The input of that name."""
        return self._node("input", name)

    def number(self, x: float) -> Expression:
        return self._node("number", float(x).hex())  # which tells -0 from 0

    def expression(self, x: object) -> Expression | None:
        """x, a number, or what stands for an object from outside; None for anything else."""
        if isinstance(x, Expression):
            if x.trace is not self:
                raise TypeError("this traced number belongs to another function, traced earlier")
            return x
        return self.number(float(x)) if isinstance(x, (Real, np.bool_)) else self.outside(x)

    def _as_number(self, e: Expression) -> Expression:
        return self.apply("where", e, 1.0, 0.0) if e.name in TRUTHS else e

    def operate(self, name: str, *operands: object) -> Expression | NotImplementedType:
        """What an operator's method returns."""
        found = [self.expression(x) for x in operands]
        if any(e is None for e in found):
            return NotImplemented
        return self.apply(name, *found)

    def apply(self, name: str, *operands: object) -> Expression:
        """An operation of the table, or what is equal to it in every bit."""
        found = []
        for x in operands:
            e = self.expression(x)
            if e is None:
                raise TypeError(f"{name}: expected traced or plain numbers, got {type(x).__name__}")
            found.append(e)
        numbers: list[Any] = [e.number for e in found]
        if name == "where":
            condition, a, b = found
            if numbers[0] is not None or a is b:
                return a if numbers[0] or a is b else b
            if condition.name not in TRUTHS:
                found[0] = self.apply("ne", condition, 0.0)
            found[1:] = map(self._as_number, found[1:])
        else:
            if None not in numbers:
                return self.number(ieee(name, *numbers))
            found = list(map(self._as_number, found))
        same = _shorter(self, name, found, numbers)
        if same is not None:
            return same
        if name in SYMMETRIC:
            found.sort(key=lambda e: e.index)
        return self._node(name, *(e.index for e in found), operands=tuple(found))


def _shorter(
    trace: Trace, name: str, operands: list[Expression], numbers: list[Any]
) -> Expression | None:
    """An Expression of the same value for fewer operations, if there is one."""
    a, b = operands[0], operands[-1]
    n, m = numbers[0], numbers[-1]
    if name in ("add", "mul") and n is not None:
        a, b, n, m = b, a, m, n
    if (name in ("add", "sub") and m == 0) or (name in ("mul", "div", "pow") and m == 1):
        return a
    if (name in ("mul", "div") and m == -1) or (name == "sub" and n == 0):
        return trace.apply("neg", a if m == -1 else b)
    if name == "neg" and a.name == "neg":
        return a.operands[0]
    if name == "abs" and a.name in ("neg", "abs"):
        return trace.apply("abs", a.operands[0])
    if name == "add" and a is b and a.name == "mul":  # the slope of d * d / 2 is d
        half, d = sorted(a.operands, key=lambda e: e.number is None)
        return None if half.number is None else trace.apply("mul", 2 * half.number, d)
    if name == "pow" and m in (2, 3):
        return trace.apply("mul", a, a if m == 2 else trace.apply("mul", a, a))
    if name == "pow" and m == 0.5:
        return trace.apply("sqrt", a)
    return None


def needed(results: Iterable[Expression], given: Container[Expression] = ()) -> list[Expression]:
    """All that the results are computed from, and they themselves, in order of birth.

    What is given counts, but not what that is computed from.
    """
    seen: set[Expression] = set()
    stack = list(results)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += () if node in given else node.operands
    return sorted(seen, key=lambda node: node.index)


def derivative(result: Expression, by: Expression) -> Expression:
    """d(result) / d(by)."""
    trace, zero = result.trace, result.trace.number(0.0)
    tangents = {by: trace.number(1.0)}
    for node in needed([result]):
        ways = [(k, tangents[e]) for k, e in enumerate(node.operands) if e in tangents]
        if node.name in TRUTHS or not ways:
            continue
        if node.name == "where":
            branches = (tangents.get(e, zero) for e in node.operands[1:])
            total = trace.apply("where", node.operands[0], *branches)
        else:
            total = zero
            for k, tangent in ways:
                share = trace.apply("mul", _slope(node, k), tangent)
                if node.name in ROOTS and k == 0:
                    share = _at_roots(node, tangent, share)
                total = trace.apply("add", total, share)
        if total is not zero:
            tangents[node] = total
    return tangents.get(result, zero)


def _slope(node: Expression, k: int) -> Expression:
    """The partial derivative by operand k. What is an operation of the table stays one, for its
    slope is finite where that of its formula is not: softplus's is the sigmoid."""
    formula = OPERATIONS[node.name].slopes[k]
    if formula in VALUES:
        return node.trace.apply(VALUES[formula], *node.operands)
    values: dict[str, Expression] = dict(zip("abc", node.operands, strict=False))
    return on_library(formula)(_TRACED, **values, out=node)


def _at_roots(node: Expression, tangent: Expression, share: Expression) -> Expression:
    """`share`, a root's slope times a tangent, where the slope is infinite and the value is not:
    0 of what does not move, such as the other branch of a `where` inside the root."""
    where, a = node.trace.apply, node.operands[0]
    still = where("where", where("eq", tangent, 0.0), 0.0, share)
    if node.name == "pow":
        still = where("where", where("lt", node.operands[1], 1.0), still, share)
    return where("where", where("eq", a, 0.0), still, share)


_CALLS = {name: getattr(functions, name) for name in (*FUNCTIONS, "where")}
_TRACED = SimpleNamespace(**_CALLS, pow=pow)
