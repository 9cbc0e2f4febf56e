"""What an operation is: a forward function on arrays and one gradient formula for each input.

A formula names what it needs and gets just that: `g` (the gradient of the result), `out`, the
operation's own inputs and options by name, and `shape` (the shape of the input it is for). What no
formula names is not kept. Formulas use operators and other operations, both of which work on
arrays and on Tensors, so the same line serves every order of derivative.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from ..devices import settled
from ..generated import define
from ..quiet import quiet
from . import promotion
from .arguments import as_pytorch

Array: TypeAlias = Any  # NumPy's or CuPy's; a Tensor, too, where operations are all that is used


class Op:
    """`forward(*inputs, *options)` on arrays, and a formula (or None) per input.

    promote: the rule of promotion.py for the inputs' dtypes; None: the inputs are Tensors, no
    numbers, whose dtypes do not matter. view: the result may share memory with the first input.
    holds: the option that may be a Tensor or a tuple with some inside; forward gets their arrays.
    problem: why views it makes cannot be changed in place in the graph, {} being what happened.
    """

    def __init__(
        self, forward: Callable, formulas: tuple, *, promote=None, view=False, holds=None,
        problem=None,
    ):  # fmt: skip
        parameters = inspect.signature(forward).parameters
        names = list(parameters)
        self.name, self.__doc__ = forward.__name__.strip("_"), forward.__doc__
        self.__name__, self.__wrapped__ = self.name, forward
        self.arity, self.inputs = len(formulas), names[: len(formulas)]
        self.options = names[len(formulas) :]
        self.forward = forward if view else quiet(forward)
        self.compute = self._computing(forward)
        self.promote, self.view, self.problem = promote, view, problem
        self.holds = None if holds is None else names.index(holds) - self.arity
        self.takes_numbers = promote not in (None, promotion.one_dtype)
        self.optional = {name for name in self.inputs if parameters[name].default is None}
        self.differentiable = any(formulas)
        reads = [list(inspect.signature(f).parameters) if f else [] for f in formulas]
        self._reads = [{"out", *self.inputs}.intersection(read) for read in reads]
        self.reads = cache(self._read_by)
        self.bind = _binding(self.name, names, forward.__defaults__)
        self.gradients = _gradients(self.inputs, names, formulas, reads)

    def _computing(self, forward):
        """What a recorded step calls: a replay silences NumPy once, results must be arrays, and
        errors PyTorch's."""

        def compute(*args):
            try:
                return settled(forward(*args))
            except (ValueError, TypeError) as error:
                raise as_pytorch(self, args[: self.arity], error) from None

        compute.__name__ = self.name
        return compute

    def _read_by(self, needed: tuple[bool, ...]) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
        """What the formulas of the `needed` inputs read: out?, which inputs; and which not."""
        read = set().union(*(r for r, n in zip(self._reads, needed, strict=True) if n))
        kept = tuple(i for i, name in enumerate(self.inputs) if name in read)
        return "out" in read, kept, tuple(i for i in range(self.arity) if i not in kept)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """On arrays: `forward`. On Tensors: recorded, by whatever `__record__` they bring.

        NumPy's arithmetic on arrays of shape () gives numbers: they become arrays here.
        """
        for x in args:
            if type(x) is np.ndarray:
                continue
            record = getattr(x, "__record__", None)
            if record is not None:
                return record(self, self.bind(*args, **options))
            if isinstance(x, np.generic):
                args = tuple([np.asarray(a) if a is x else a for a in args])
        return self.forward(*args, **options)

    def no_tensor(self, inputs) -> TypeError:
        """The error for the first of the inputs, arrays or Tensors, that is neither."""
        found = zip(self.inputs, inputs, strict=True)
        name, x = next(((name, x) for name, x in found if not hasattr(x, "dtype")), ("input", None))
        kind = type(x).__name__
        return TypeError(f"{self.name}(): argument {name!r} must be Tensor, not {kind}")


def op(*formulas, **traits: Any) -> Callable[[Callable], Op]:
    """Decorate a forward function with its formulas, one per input, in order; traits as of Op."""
    return lambda forward: Op(forward, formulas, **traits)


# Two functions are written out once per operation. Closures take 0.08 and 0.2 to 0.35 µs more for
# each call, of the 2 µs that an operation takes.


def _binding(name: str, names: list[str], defaults: tuple | None) -> Callable[..., tuple]:
    """A call's arguments as a tuple: Python itself fills in defaults, takes keywords, and says
    what is missing. Of `add`, whose alpha has a default:

    def bind(input, other, alpha):
        return (input, other, alpha,)
    """
    arguments = ", ".join(names)
    bind: Any = define("bind", f"def bind({arguments}):\n    return ({arguments},)\n", {})
    bind.__defaults__, bind.__qualname__ = defaults, name
    return bind


def _gradients(inputs, names, formulas, reads) -> Callable:
    """The gradients by the inputs that have a parent node, None for the others. Of `mul`:

    def gradients(g, values, parents):
        out, input, other, = values
        to_input, to_other, = parents
        return (
            None if to_input is None else of_input(g, other),
            None if to_other is None else of_other(g, input),
        )
    """
    source = "def gradients(g, values, parents):\n"
    source += f"    out, {', '.join(names)}, = values\n"
    source += f"    {', '.join(f'to_{name}' for name in inputs)}, = parents\n    return (\n"
    for name, read in zip(inputs, reads, strict=True):
        given = ", ".join(f"to_{name}.shape" if x == "shape" else x for x in read)
        formula = f"None if to_{name} is None else of_{name}({given})" if read else "None"
        source += f"        {formula},\n"
    scope = {f"of_{name}": f for name, f in zip(inputs, formulas, strict=True)}
    return define("gradients", source + "    )\n", scope)
