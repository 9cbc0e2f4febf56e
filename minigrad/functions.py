"""What users call: each operation of `minigrad.ops` as a function, a method and an operator.

functions.pyi and methods.pyi, made by tests/types/stubs.py, show editors what comes out: of the
operation `exp`, which is `exp(input)` on arrays, the function `minigrad.exp(input: Tensor)`, the
methods `x.exp()` and `x.exp_()`; of `add`, `x + y`, `2 + x` and `x += y` as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partialmethod

from . import dtypes
from .devices import on_gpu
from .methods import Methods
from .ops import ALIASES, OPERATIONS, Op, elementwise
from .ops.arguments import kinds, misfit
from .tensor import OPERANDS, Tensor, apply, as_operand

KEYWORDS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}


def public(f: Op | Callable) -> Callable:
    """The function users call for an operation, also the method: PyTorch's or NumPy's keywords."""

    def of_operation(*args, **kwargs):
        return apply(f, f.bind(*args, **(_keywords(kwargs) if kwargs else kwargs)))

    def of_operations(*args, **kwargs):
        if kwargs:
            kwargs = _keywords(kwargs)
        try:
            return f(*args, **kwargs)
        except (TypeError, OverflowError, KeyError, AttributeError) as error:
            given = [*args, *kwargs.values()]
            wrong = misfit(f.__name__, _by_name(f, args, kwargs))
            if wrong is None and isinstance(error, AttributeError) and _is_among(error.obj, given):
                wrong = TypeError(f"{f.__name__}(): expected Tensors, got {kinds(given)}")
            if wrong is None:
                raise  # as it is: a message of its own, or a fault of ours
            raise wrong from error

    function = of_operation if isinstance(f, Op) else of_operations
    function.__name__ = function.__qualname__ = f.__name__
    function.__doc__ = f.__doc__
    function.__dict__["__wrapped__"] = getattr(f, "__wrapped__", f)  # for inspect.signature
    return function


def _keywords(kwargs):
    """Keywords as operations have them; an `out` of None, PyTorch's default, is none."""
    return {KEYWORDS.get(k, k): v for k, v in kwargs.items() if k != "out" or v is not None}


def _is_among(x, values):
    """Whether x is one of the values, or in a list that is one."""
    return any(x is v or (isinstance(v, (list, tuple)) and _is_among(x, v)) for v in values)


def _by_name(f, args, kwargs):
    """The arguments of a call by name; {} if it cannot be made."""
    try:
        return inspect.signature(f).bind(*args, **kwargs).arguments
    except TypeError:
        return {}


def _in_place(function):
    def change(self, *args, **kwargs):
        return self._change(lambda old, *inputs: function(old, *inputs, **kwargs), *args)

    change.__name__ = function.__name__ + "_"
    change.__doc__ = f"In place: {function.__doc__}"
    change.__dict__["__wrapped__"] = getattr(function, "__wrapped__", function)
    return change


def _operator(operation, reflected=False):
    """A binary operator: NotImplemented for what is no operand, so that Python asks the other."""

    def operator(self, other):
        if not isinstance(other, OPERANDS) and not on_gpu(other):
            return NotImplemented
        return apply(operation, (other, self, *rest) if reflected else (self, other, *rest))

    rest = operation.bind.__defaults__ or ()
    return operator


def _in_place_operator(operator):
    """The same as an assignment: x += y."""
    change = _in_place(operator)

    def assignment(self, other):
        if not isinstance(other, OPERANDS) and not on_gpu(other):
            return NotImplemented
        return change(self, other)

    return assignment


FUNCTIONS = {name: public(f) for name, f in OPERATIONS.items()}
FUNCTIONS |= {other: FUNCTIONS[name] for other, name in ALIASES.items()}
__all__ = list(FUNCTIONS)


def __getattr__(name: str) -> Callable:
    """`from minigrad.functions import exp`; as globals, abs, any and sum would hide Python's."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Methods: what takes a Tensor first, and in place, with a "_", what works element by element.
METHODS = {
    name: f
    for name, f in FUNCTIONS.items()
    if not hasattr(Tensor, name) and name not in ("where", "cat", "stack", "concat", "concatenate")
}
METHODS |= {
    name + "_": _in_place(f)
    for name, f in FUNCTIONS.items()
    if (name in vars(elementwise) or name == "masked_fill") and name != "where"
}
METHODS |= {
    name: partialmethod(Tensor.to, getattr(dtypes, name))
    for name in ("float", "double", "long", "int", "short", "bool")
}

OPERATORS = {
    "add": elementwise.add, "sub": elementwise.sub, "mul": elementwise.mul,
    "truediv": elementwise._div, "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder, "pow": elementwise.pow, "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
}  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
METHODS |= {f"__{name}__": _operator(operation) for name, operation in OPERATORS.items()}
METHODS |= {f"__r{name}__": _operator(operation, True) for name, operation in OPERATORS.items()}
METHODS |= {f"__i{name}__": _in_place_operator(METHODS[f"__{name}__"]) for name in OPERATORS}
METHODS |= {f"__{name}__": _operator(OPERATIONS[name]) for name in COMPARISONS}
METHODS |= {
    "__neg__": FUNCTIONS["neg"], "__abs__": FUNCTIONS["abs"], "__round__": FUNCTIONS["round"],
    "__invert__": FUNCTIONS["bitwise_not"], "__pos__": lambda self: self,
    "__matmul__": FUNCTIONS["matmul"],
    "__rmatmul__": lambda self, other: FUNCTIONS["matmul"](as_operand(other), self),
}  # fmt: skip

for _name, _method in METHODS.items():
    setattr(Methods, _name, _method)
