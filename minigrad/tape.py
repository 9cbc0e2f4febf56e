"""Writing a computation down while it runs, so that it can run again without the graph.

What computes on raw arrays (an operation's forward, a node's formulas, an optimizer's step) is
called through `run`. A Tape that is active in this thread calls it and writes the call down as a
line of Python: arrays a line made are variables, everything else is a constant. The lines become
one straight function, which repeats the same calls on the same or on new arrays: the same bits,
and nothing of what decided on the calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

_active: ContextVar[Tape | None] = ContextVar("tape", default=None)  # per thread and per task

active_tape = _active.get


def run(function, *args):
    """function(*args) on raw arrays, numbers and constants; written down by an active tape."""
    tape = _active.get()
    return function(*args) if tape is None else tape.run(function, *args)


def raw(x):
    """The array of a Tensor, which an active tape then knows of; anything else as it is."""
    array = getattr(x, "array", x)
    tape = _active.get()
    if tape is not None and array is not x:
        tape.capture(x)
    return array


def repeated(function):
    """Decorate what a replay calls as a whole: it reads and changes objects that outlive a step."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if _active.get() is None:
            return function(*args, **kwargs)
        return run(functools.partial(function, **kwargs), *args)

    return call


def refuse(why: str) -> None:
    """Raise RuntimeError if a step is being recorded."""
    if _active.get() is not None:
        raise RuntimeError(f"minigrad.compile cannot record this step: {why}")


# What a line may make. Not bools and Python's ints, which are shared between their users.
_MADE = (np.ndarray, np.floating, np.integer, float, list)


class Tape:
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

    def __enter__(self):
        self._token = _active.set(self)
        return self

    def __exit__(self, *error):
        _active.reset(self._token)

    def run(self, function, *args):
        """Call the function and write the call down. What it calls in turn is part of it."""
        text = f"{self.text(function)}({', '.join(map(self.text, args))})"
        token = _active.set(None)
        try:
            result = function(*args)
        finally:
            _active.reset(token)
        if isinstance(result, tuple):
            text = f"{''.join(f'{self._name(r)}, ' for r in result)}= {text}"
        elif isinstance(result, _MADE):
            text = f"{self._name(result)} = {text}"
        self._lines.append((self._read, text))
        self._read = []
        return result

    def _name(self, x):
        """A new variable for x."""
        if not isinstance(x, _MADE):
            return "_"
        self._names[id(x)] = name = f"a{len(self._alive)}"
        self._alive.append(x)
        return name

    def constant(self, x):
        """The name of an object that is the same in every replay."""
        name = f"k{id(x)}"
        self._constants[name] = x
        return name

    def text(self, x):
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

    def made(self, array):
        """Note an array that no line made: a replay would not make it anew."""
        if id(array) not in self._names:
            self._unrecorded.add(id(array))
            self._alive.append(array)

    def require(self, condition: str):
        """Repeat the lines only where `condition`, an expression on constants, holds."""
        self._guards[condition] = None

    def capture(self, tensor):
        """Note a Tensor that is read: if it is from outside, it must stay what it is."""
        if id(tensor.array) in self._names or id(tensor.array) in self._unrecorded:
            return
        if not tensor.is_leaf:
            refuse("it uses a tensor whose graph was recorded outside the step; detach() it first")
        name = self.constant(tensor)
        self.require(f"{name}.array is {self.constant(tensor.array)}")
        self.require(f"{name}.node is {self.constant(tensor.node)}")

    def read_gradient(self, tensor):
        """Note that `.grad` is read: whether there is one decides what is recorded next."""
        name = self.constant(tensor)
        present = tensor._grad is not None
        if tensor not in self._gradients:
            self._gradients.add(tensor)
            self.require(f"{name}._grad is {'not ' if present else ''}None")
        if present and id(tensor._grad.array) not in self._names:
            self.run(_gradient_array, tensor)

    def write_gradient(self, tensor):
        """Note that `.grad` is about to be written."""
        self._gradients.add(tensor)

    def function(self, result: str) -> tuple[Callable, Callable]:
        """(whether the lines may be repeated now, the lines as a function of the inputs).

        `result` is the text of what the function returns.
        """
        kept, body = set(self._read), []
        for read, text in reversed(self._lines):  # a variable goes when the last line read it
            over = sorted(set(read) - kept)
            kept |= set(read)
            body += [f"del {', '.join(over)}"] * bool(over) + [text]
        lines = [*reversed(body), f"return {result}"]
        source = f"def replay({', '.join(self._inputs)}):\n    " + "\n    ".join(lines)
        scope = dict(self._constants)
        exec(source, scope)
        guard = eval(f"lambda: {' and '.join(self._guards) or True}", scope)
        return guard, scope["replay"]


def _gradient_array(tensor):
    return tensor._grad.array
