"""compile: a step that is recorded once and replayed without the cost of deciding what to do.

A Recording writes each call that is made through `tape.run` down as a line of Python: arrays that a
line made are variables, everything else is a constant. The lines become one straight function,
which repeats the same calls on the same or on new arrays, without the graph: the same bits, and
nothing of what decided on the calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

import numpy as np

from .autograd import is_grad_enabled
from .devices import on_gpu
from .generated import define
from .quiet import quiet
from .tape import Tape, activate, active_tape, refuse
from .tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")
KEPT = 8  # recordings for one kind of arguments

# What a line may make. Not bools and Python's ints, which are shared between their users.
_MADE = (np.ndarray, np.floating, np.integer, float, list)


def _made(x):
    return isinstance(x, _MADE) or on_gpu(x)


class Recording(Tape):
    """The lines written so far, what they rely on, and the names of the arrays they made."""

    def __init__(self, inputs: list[np.ndarray]):
        self.walked: set = set()  # nodes whose backward pass was recorded
        self._lines: list[tuple[list[str], str]] = []  # names read, text
        self._guards: dict[str, None] = {}  # conditions under which the lines may be repeated
        self._constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._alive: list = []  # so that an id stays that of one object
        self._unrecorded: set[int] = set()  # arrays made within the step, but by no line
        self._gradients: set = set()  # tensors whose .grad a line has written or a guard has tested
        self._read: list[str] = []
        self._inputs = [self._name(a) for a in inputs]

    def __enter__(self) -> Self:
        self._before = active_tape()
        activate(self)
        return self

    def __exit__(self, *error: object) -> None:
        activate(self._before)

    def run(self, function: Callable, *args: Any) -> Any:
        """Call the function and write the call down."""
        text = f"{self.text(function)}({', '.join(map(self.text, args))})"
        result = super().run(function, *args)
        if isinstance(result, tuple):
            text = f"{''.join(f'{self._name(r)}, ' for r in result)}= {text}"
        elif _made(result):
            text = f"{self._name(result)} = {text}"
        self._lines.append((self._read, text))
        self._read = []
        return result

    def refuse(self, why: str) -> NoReturn:
        raise RuntimeError(f"minigrad.compile cannot record this step: {why}")

    def visit(self, node: Any) -> None:
        self.walked.add(node)

    def _name(self, x):
        """A new variable for x."""
        if not _made(x):
            return "_"
        self._names[id(x)] = name = f"a{len(self._alive)}"
        self._alive.append(x)
        return name

    def constant(self, x: Any) -> str:
        """The name of an object that is the same in every replay."""
        name = f"k{id(x)}"
        self._constants[name] = x
        return name

    def text(self, x: Any) -> str:
        """An argument as Python: a variable, a tuple or list with one inside, or a constant."""
        name = self._names.get(id(x))
        if name is not None:
            self._read.append(name)
            return name
        if id(x) in self._unrecorded:
            refuse(
                f"it uses {type(x).__name__} data of shape {x.shape} made within the step by other "
                "means than operations on Tensors; make it before the step, or pass it as an "
                "argument"
            )
        if type(x) in (tuple, list):
            before, known = len(self._read), len(self._constants)
            inner = ", ".join(map(self.text, x))
            if len(self._read) > before:
                return f"({inner},)" if type(x) is tuple else f"[{inner}]"
            while len(self._constants) > known:  # those of the parts are not needed
                self._constants.popitem()
        return self.constant(x)

    def made(self, array: Any) -> None:
        """Note an array that no line made: a replay would not make it anew."""
        if id(array) not in self._names:
            self._unrecorded.add(id(array))
            self._alive.append(array)

    def require(self, condition: str) -> None:
        """Repeat the lines only where `condition`, an expression on constants, holds."""
        self._guards[condition] = None

    def capture(self, tensor: Any) -> None:
        """Note a Tensor that is read: if it is from outside, it must stay what it is."""
        if id(tensor.array) in self._names or id(tensor.array) in self._unrecorded:
            return
        if not tensor.is_leaf:
            refuse("it uses a tensor whose graph was recorded outside the step; detach() it first")
        name = self.constant(tensor)
        self.require(f"{name}.array is {self.constant(tensor.array)}")
        self.require(f"{name}.node is {self.constant(tensor.node)}")

    def read_gradient(self, tensor: Any) -> None:
        """Note that `.grad` is read: whether there is one decides what is recorded next."""
        name = self.constant(tensor)
        present = tensor._grad is not None
        if tensor not in self._gradients:
            self._gradients.add(tensor)
            self.require(f"{name}._grad is {'not ' if present else ''}None")
        if present and id(tensor._grad.array) not in self._names:
            self.run(_gradient_array, tensor)

    def write_gradient(self, tensor: Any) -> None:
        """Note that `.grad` is about to be written."""
        self._gradients.add(tensor)

    def functions(self, result: str) -> tuple[Callable, Callable]:
        """(whether the lines may be repeated now, the lines as a function of the inputs).

        `result` is the text of what the step returns. Of `lambda x: (x * w).sum()`, k1 to k6 being
        the constants w, its array, its node (None), two operations and Tensor.wrap:

            def valid():
                return k1.array is k2 and k1.node is k3

            def replay(a0):
                a1 = k4(a0, k2)
                a2 = k5(a1, k3, False, k3)
                del a1
                return k6(a2)
        """
        kept, body = set(self._read), []
        for read, text in reversed(self._lines):  # a variable goes when the last line read it
            over = sorted(set(read) - kept)
            kept |= set(read)
            body += [f"del {', '.join(over)}"] * bool(over) + [text]
        lines = "".join(f"    {line}\n" for line in [*reversed(body), f"return {result}"])
        conditions = " and ".join(self._guards) or "True"
        valid = define("valid", f"def valid():\n    return {conditions}\n", self._constants)
        arguments = ", ".join(self._inputs)
        replay = define("replay", f"def replay({arguments}):\n{lines}", self._constants)
        return valid, replay


def _gradient_array(tensor):
    return tensor._grad.array


def compile(function: Callable[P, R]) -> Callable[P, R]:
    """A function that does what `function` does, recorded at the first call and then replayed.

    For a whole training step on small models: forward pass, backward(), optimizer.step(). The
    replay repeats the recorded calls of array functions in order, so results, gradients, parameters
    and random numbers are bit for bit those of the plain function; only the Python between them is
    gone. Arguments are Tensors without gradient (new values are used at each call) and other
    hashable values; tuples and lists of them too. It is recorded again when shapes, dtypes, strides
    or other arguments change, a module's training mode, the memory of a parameter, or which of them
    need a gradient. What the function returns is outside any graph.

    As with every tracer, Python runs while recording only: numbers from outside the function are
    what they were then, and print or append happen once. Optimizers and schedulers are called as
    they are, so a new learning rate counts. RuntimeError for what a recording cannot hold: reading
    a tensor's value, indexing by a mask, arrays made on the way, create_graph, a user's Function,
    train() or eval(), and a result whose backward pass is still to come.
    """
    if not callable(function):
        raise TypeError(f"function: expected a callable, got {type(function).__name__}")
    recordings: dict[tuple, list] = {}  # kind of arguments -> (may it be repeated?, replay) pairs

    @quiet
    def call(args, kwargs):
        if active_tape() is not None:
            return function(*args, **kwargs)
        arrays: list = []
        key = (is_grad_enabled(), _signature(args, arrays), _signature(kwargs, arrays))
        known = recordings.setdefault(key, [])
        for valid, replay in known:
            if valid():
                return replay(*arrays)
        with Recording(arrays) as tape:
            result = function(*args, **kwargs)
            text = _text(result, tape)
            known.append(tape.functions(text))
        del known[:-KEPT]
        return _detached(result)

    @functools.wraps(function, updated=())
    def replayed(*args, **kwargs):
        return call(args, kwargs)

    return replayed


def _signature(x, arrays):
    """What of an argument must be the same for a replay; its arrays are added to `arrays`."""
    if isinstance(x, Tensor):
        if x.node is not None:
            raise RuntimeError(
                "minigrad.compile: an argument requires a gradient; detach() it, or let the "
                "function use it without passing it"
            )
        a = x.array
        same = next((i for i, other in enumerate(arrays) if other is a), None)
        arrays.append(a)
        return a.shape, a.dtype, a.strides, same
    if type(x) in (tuple, list):
        return type(x), *[_signature(part, arrays) for part in x]
    if type(x) is dict:
        return dict, *[(name, _signature(part, arrays)) for name, part in x.items()]
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"minigrad.compile: expected Tensors and hashable values as arguments, got "
            f"{type(x).__name__}"
        ) from None
    return type(x), x


def _text(x, tape):
    """What the function returned, as Python."""
    if isinstance(x, Tensor):
        if x.node is not None and not x.is_leaf and x.node not in tape.walked:
            refuse(
                "it returns a tensor whose backward pass is still to come; call backward() within "
                "the step, or return detach()"
            )
        tape.capture(x)
        array = tape.text(x.array)
        return (
            tape.constant(x) if array.startswith("k") else f"{tape.constant(Tensor.wrap)}({array})"
        )
    if type(x) in (tuple, list):
        inner = "".join(f"{_text(part, tape)}, " for part in x)
        return f"({inner})" if type(x) is tuple else f"[{inner}]"
    if type(x) is dict:
        return f"{{{', '.join(f'{name!r}: {_text(part, tape)}' for name, part in x.items())}}}"
    return tape.constant(x)


def _detached(x):
    if isinstance(x, Tensor):
        return x if x.is_leaf else x.detach()
    if type(x) in (tuple, list):
        return type(x)(map(_detached, x))
    if type(x) is dict:
        return {name: _detached(part) for name, part in x.items()}
    return x
