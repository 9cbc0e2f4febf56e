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
from typing import Any

from ..devices import settled
from ..quiet import quiet


class Op:
    """`forward(*inputs, *options)` on arrays, and a formula (or None) per input.

    promote: what happens to the inputs' dtypes before `forward`: None (nothing), "common" (the
    result type), "number" (the same, and a bool result is refused), "no bools" (nor a bool among
    the inputs) or "float" (integers become float32); "same" lets no dtypes mix, "first" takes the
    first input's, "where" leaves the first input alone, "limits" is "common". The last three refuse
    a number that their integer dtype does not hold.
    view: the result may share memory with the first input.
    """

    def __init__(self, forward: Callable, formulas: tuple, *, promote=None, view=False):
        names = list(inspect.signature(forward).parameters)
        self.name, self.__doc__ = forward.__name__.strip("_"), forward.__doc__
        self.__name__, self.__wrapped__ = self.name, forward
        self.forward = forward if view else quiet(forward)
        self.compute = lambda *args: settled(forward(*args))  # what a recorded step calls
        self.compute.__name__ = self.name
        self.promote, self.view, self.arity = promote, view, len(formulas)
        self.differentiable = any(formulas)
        inputs = list(inspect.signature(forward).parameters.values())[: self.arity]
        self.optional = any(p.default is None for p in inputs)  # may an input be None?
        reads = [f and list(inspect.signature(f).parameters) for f in formulas]
        self._inputs_read = [set(r or ()) & {"out", *names[: self.arity]} for r in reads]
        self.inputs = names[: self.arity]
        self.reads = cache(self._reads)
        # Two functions written out once per operation, which cost a tenth of a microsecond a call:
        # `bind` lets Python itself bind defaults and keywords and name what is missing; `gradients`
        # gives the gradient of each input that has a parent node, None for the others.
        self.bind: Any = eval(f"lambda {', '.join(names)}: ({', '.join(names)},)")
        self.bind.__defaults__, self.bind.__qualname__ = forward.__defaults__, self.name
        value = {"g": "g", "out": "v[0]"} | {n: f"v[{i + 1}]" for i, n in enumerate(names)}
        calls = [
            f"p[{i}] and f[{i}]({', '.join(value.get(n, f'p[{i}].shape') for n in read)})"
            if read
            else "None"
            for i, read in enumerate(reads)
        ]
        self.gradients: Any = eval(f"lambda g, v, p: ({', '.join(calls)},)", {"f": formulas})

    def _reads(self, needed: tuple[bool, ...]) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
        """What the formulas of the `needed` inputs read: out?, which inputs; and which not."""
        read = set().union(*(r for r, n in zip(self._inputs_read, needed, strict=True) if n))
        kept = tuple(i for i, name in enumerate(self.inputs) if name in read)
        return "out" in read, kept, tuple(i for i in range(self.arity) if i not in kept)

    def __call__(self, *args, **options):
        """On arrays: `forward`. On Tensors: recorded, by whatever `__record__` they bring."""
        for x in args:
            record = getattr(x, "__record__", None)
            if record is not None:
                return record(self, self.bind(*args, **options))
        return self.forward(*args, **options)


def op(*formulas, promote=None, view=False) -> Callable[[Callable], Op]:
    """Decorate a forward function with its formulas, one per input, in order."""
    return lambda forward: Op(forward, formulas, promote=promote, view=view)
