"""From a scalar function to what the kernels take: a `rule` and its `reference`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import sha256
from operator import is_
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..generated import define
from ..kernels.cpu.bound import libm
from .expressions import Expression, Trace, derivative, needed
from .operations import CALLS, OPERATIONS, TRUTHS, compute, ieee, on_library

Names = dict[str, str]
ELEMENTARY = ("exp", "exp_unit", "log", "log1p", "log1p_unit")  # of kernels/cpu/elementary.py


def derive(name: str, function: Callable[..., Any], parameters: int) -> SimpleNamespace:
    """`rule` and `reference` of the loss function(x, y, *parameters), which is called once."""
    trace = LossTrace()
    x, y, up = (trace.input(name) for name in ("x", "y", "up"))
    options = [trace.input(f"p{k}") for k in range(parameters)]
    result = trace.expression(function(x, y, *options))
    if result is None or result.name in TRUTHS:
        raise TypeError(f"{name}: expected it to return a number made of its arguments")
    formula = Formula(name, result, (x, y), options)
    slopes = [formula.derivative(k) for k in (0, 1)]
    results = [result, trace.apply("mul", slopes[0].result, up)]
    combined = of_parameters(results, options)
    same = len(combined) == len(options) and all(map(is_, combined, options))
    source = rule_source([x, y, combined, up], results)

    def reference(x_array: Any, y_array: Any, *numbers: float) -> tuple[Any, ...]:
        """The value and its derivatives by x and by y, on arrays of one shape."""
        return tuple([f(x_array, y_array, numbers) for f in (formula, *slopes)])

    return SimpleNamespace(
        __name__=name, rule=rule_of(source), reference=reference, source=source, slopes=slopes,
        combine=None if same else combining(options, combined),
    )  # fmt: skip


def combining(
    parameters: list[Expression], combined: list[Expression]
) -> Callable[..., tuple[float, ...]]:
    """A function of the parameters that gives what a rule needs of them, computed in float64."""

    def combine(*numbers: float) -> tuple[float, ...]:
        known: dict[Expression, Any] = dict(zip(parameters, numbers, strict=True))
        for node in needed(combined):
            if node not in known:
                operands = [known[e] for e in node.operands]
                known[node] = compute(node.name, *operands) if operands else node.number
        return tuple([known[e] for e in combined])

    kept = lru_cache(combine)
    # 0.0 and -0.0 are one key of a cache.
    return lambda *numbers: kept(*numbers) if all(numbers) else combine(*numbers)


class Formula:
    """An Expression of a loss's two inputs and parameters, on arrays; and its derivatives."""

    def __init__(
        self, name: str, result: Expression, inputs: tuple[Expression, Expression],
        parameters: list[Expression],
    ):  # fmt: skip
        self.name, self.result, self.inputs, self.parameters = name, result, inputs, parameters

    def __call__(self, x: Any, y: Any, numbers: tuple[float, ...]) -> Any:
        known = dict(zip([*self.inputs, *self.parameters], [x, y, *numbers], strict=True))
        return on_arrays(self.result, known, x)

    def derivative(self, k: int) -> Formula:
        """That by input k."""
        result = derivative(self.result, self.inputs[k])
        return Formula(self.name, result, self.inputs, self.parameters)


class LossTrace(Trace):
    """The Expressions of a loss, which refuses Values and Tensors that are not its arguments."""

    def outside(self, x: object) -> None:
        if hasattr(x, "backward"):
            raise TypeError(
                f"a loss has no gradient by a {type(x).__name__} from outside; pass numbers as "
                "keyword parameters"
            )


def on_arrays(result: Expression, known: dict[Expression, Any], x: Any) -> Any:
    """The result on arrays of the shape and dtype of x and y."""

    def constant(number: float) -> Any:
        return np.full_like(x, number)

    def where(condition: Any, a: Any, b: Any) -> Any:
        if isinstance(condition, float):
            return a if condition else b
        if isinstance(a, float) and isinstance(b, float):  # would be float64, whatever x is
            a = constant(a)
        return np.where(condition, a, b)

    calls = {name: getattr(np, name) for name in CALLS} | {"abs": abs, "pow": pow, "where": where}
    library = SimpleNamespace(**calls)
    for node in needed([result]):
        if node.number is not None:
            known[node] = node.number
        elif node not in known:
            operands = [known[e] for e in node.operands]
            if all(isinstance(operand, float) for operand in operands):
                known[node] = ieee(node.name, *operands)
            else:
                known[node] = on_library(OPERATIONS[node.name].value)(library, *operands)
    value = known[result]
    return constant(value) if isinstance(value, float) else value


def of_parameters(results: list[Expression], parameters: list[Expression]) -> list[Expression]:
    """What the results need that depends on parameters alone: themselves, 1 - q, q > 0, and so on.

    Computed in float32, for each element, 1 - 0.99999 would keep three digits. What is exact there,
    -q and q / 2, is left to the loop.
    """
    nodes, alone, wanted = needed(results), set(parameters), set(results)
    for node in nodes:
        if node.operands and all(e in alone or e.number is not None for e in node.operands):
            alone.add(node)
        else:
            wanted.update(node.operands)
    for node in reversed(nodes):
        factors = [e.number for e in node.operands if e.number is not None]
        halved = node.name == "mul" and [abs(libm.frexp(x)[0]) for x in factors] == [0.5]
        if node in alone & wanted and (halved or node.name == "neg"):
            wanted.remove(node)
            wanted.update(node.operands)
    return [e for e in nodes if e in alone & wanted]


@cache
def rule_of(source: str) -> Callable[..., Any]:
    """The function `rule` of such a source, whose name tells builds on disk apart."""
    rule = define("rule", source, {"libm": libm})
    rule.__module__, rule.__name__ = "derived", sha256(source.encode()).hexdigest()[:16]
    return rule


def rule_source(inputs: list[Expression | list[Expression]], results: list[Expression]) -> str:
    """`rule(real, math)` as one writes it by hand: a line for each operation, constants typed.

    Of exp(x) / y, which derive("loss", lambda x, y: exp(x) / y, 0).source shows:

        def rule(real, math):
            c0 = real(float.fromhex('0x1.0000000000000p+0'))
            exp = math.exp
            divide = math.divide
            def point(x, y, parameters, up):
                v3 = exp(x)
                v4 = divide(v3, y)
                v6 = divide(c0, y)
                v7 = v3 * v6
                v8 = up * v7
                return v4, v8
            return point
    """
    names: dict[Expression, str] = {}
    constants: Names = {}
    calls: Names = {}
    arguments: list[str] = []
    lines: list[str] = []
    for argument in inputs:
        group = argument if isinstance(argument, list) else [argument]
        for k, e in enumerate(group):
            names[e] = f"p{k}" if group is argument else e.key[1]
        text = ", ".join(names[e] for e in group)
        if len(group) > 1:
            lines.append(f"{text} = parameters")
        arguments.append(text if len(group) == 1 else "parameters")

    def constant(number: float) -> str:
        return constants.setdefault(number.hex(), f"c{len(constants)}")

    for node in needed(results, given=names.copy()):
        if node.number is not None:
            names[node] = constant(node.number)
        elif node not in names:
            tree = ast.parse(OPERATIONS[node.name].value, mode="eval")
            operands = dict(zip("abc", (names[e] for e in node.operands), strict=False))
            text = ast.unparse(_Typed(operands, constant, calls, node).visit(tree))
            names[node] = f"v{len(names)}"
            lines.append(f"{names[node]} = {text}")
    head = [f"{name} = real(float.fromhex({number!r}))" for number, name in constants.items()]
    head += [f"{name} = {where}" for name, where in calls.items()]
    lines.append(f"return {', '.join(names[e] for e in results)}")
    parts = ["def rule(real, math):", *head, f"def point({', '.join(arguments)}):"]
    return "\n    ".join(parts) + "\n        " + "\n        ".join(lines) + "\n    return point\n"


class _Typed(ast.NodeTransformer):
    """An expression of the table with names for its operands, numbers and functions."""

    def __init__(
        self, operands: Names, constant: Callable[..., str], calls: Names, node: Expression
    ):
        self.operands, self.constant, self.calls, self.node = operands, constant, calls, node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.operands[node.id])

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Name(self.constant(float(node.value)))  # type: ignore[arg-type]

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        operands = [self.visit(node.left), self.visit(node.right)]
        if isinstance(node.op, ast.Div):
            self.calls["divide"] = "math.divide"
            return ast.Call(ast.Name("divide"), operands, [])
        return ast.BinOp(operands[0], node.op, operands[1])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        name, operands = node.func.id, list(map(self.visit, node.args))
        if name == "pow":
            return ast.BinOp(operands[0], ast.Pow(), operands[1])
        if name != "abs":
            name = cheaper(self.node) if name == self.node.name else name
            self.calls[name] = f"{'math' if name in ELEMENTARY else 'libm'}.{name}"
        return ast.Call(ast.Name(name), operands, [])


def cheaper(node: Expression) -> str:
    """The function of kernels/cpu/elementary.py for a node whose operand may have a known range."""

    def not_above_zero(e: Expression) -> bool:
        return e.name == "neg" and e.operands[0].name == "abs"

    (e,) = node.operands
    if node.name == "exp" and not_above_zero(e):
        return "exp_unit"
    if node.name == "log1p" and e.name == "exp" and not_above_zero(e.operands[0]):
        return "log1p_unit"
    return node.name
