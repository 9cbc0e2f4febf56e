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

from ..quiet import quiet


class Op:
    """`forward(*inputs, *options)` on arrays, and a formula (or None) per input.

    promote: what happens to the inputs' dtypes before `forward`: None (nothing), "common" (the
    result type), "number" (the same, and a bool result is refused), "no bools" (nor a bool among
    the inputs) or "float" (integers become float32); "same" lets no dtypes mix, "first" takes the
    first input's, "where" leaves the first input alone.
    view: the result may share memory with the first input.
    """

    def __init__(self, forward: Callable, formulas: tuple, *, promote=None, view=False):
        names = list(inspect.signature(forward).parameters)
        self.name, self.__doc__ = forward.__name__.strip("_"), forward.__doc__
        self.__name__, self.__wrapped__ = self.name, forward
        self.forward = forward if view else quiet(forward)
        self.promote, self.view, self.arity = promote, view, len(formulas)
        slots = {name: i for i, name in enumerate(["g", "shape", "out", *names])}
        self.formulas = [
            f and (f, [slots[name] for name in inspect.signature(f).parameters]) for f in formulas
        ]
        self.differentiable = any(self.formulas)
        # Python itself binds defaults and keywords, and names what is missing, in 0.1 µs.
        self.bind: Any = eval(f"lambda {', '.join(names)}: ({', '.join(names)},)")
        self.bind.__defaults__, self.bind.__qualname__ = forward.__defaults__, self.name
        self.reads = cache(self._reads)

    def _reads(self, needed: tuple[bool, ...]) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
        """What the formulas of the `needed` inputs read: out?, which inputs; and which not."""
        read = {s for f, n in zip(self.formulas, needed, strict=True) if f and n for s in f[1]}
        inputs = range(self.arity)
        kept = tuple(i for i in inputs if i + 3 in read)
        return 2 in read, kept, tuple(i for i in inputs if i not in kept)

    def gradients(self, g, values, parents) -> list:
        """The gradient of each input that has a parent node, None for the others."""
        given: list[Any] = [g, None, *values]
        found: list[Any] = []
        for formula, parent in zip(self.formulas, parents, strict=True):
            if formula is None or parent is None:
                found.append(None)
            else:
                given[1] = parent.shape
                found.append(formula[0](*[given[slot] for slot in formula[1]]))
        return found

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
