"""Seeing a computation while it runs, above all to write it down.

What computes on raw arrays (an operation's forward, a node's formulas, an optimizer's step) is
called through `run`, and so by the Tape that is active in this thread, if there is one. A Recording
writes each call down as a line of Python: arrays a line made are variables, everything else is a
constant. The lines become one straight function, which repeats the same calls on the same or on new
arrays, without the graph: the same bits, and nothing of what decided on the calls. An Anomaly
(autograd/anomaly.py) looks for NaN in what the calls return.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from .devices import on_gpu

_active: ContextVar[Tape | None] = ContextVar("tape", default=None)  # per thread and per task

active_tape, activate = _active.get, _active.set


def run(function, *args):
    """function(*args) on raw arrays, numbers and constants, called by the active tape."""
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
    tape = _active.get()
    if tape is not None:
        tape.refuse(why)


# What a line may make. Not bools and Python's ints, which are shared between their users.
_MADE = (np.ndarray, np.floating, np.integer, float, list)


def _made(x):
    return isinstance(x, _MADE) or on_gpu(x)


class Tape:
    """What makes every call while it is active; the other methods tell it of what else happens."""

    def run(self, function, *args):
        """Call the function. What it calls in turn is part of it."""
        token = _active.set(None)
        try:
            return function(*args)
        finally:
            _active.reset(token)

    def refuse(self, why: str):
        """What a replay could not repeat is about to be done."""

    def made(self, array):
        """An array came into being otherwise than by a call."""

    def require(self, condition: str):
        """What follows depends on `condition`, an expression on constants."""

    def constant(self, x) -> str:
        """The name of an object for use in a condition."""
        return ""

    def capture(self, tensor):
        """A Tensor is read."""

    def read_gradient(self, tensor):
        """A Tensor's gradient is read."""

    def write_gradient(self, tensor):
        """A Tensor's gradient is about to be written."""

    def recorded(self, node):
        """An operation took its place in the graph."""

    def visit(self, node):
        """The backward pass is at a node; None: it is over."""

    def failed(self, error):
        """The backward pass raised an error."""


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

    def __enter__(self):
        self._token = _active.set(self)
        return self

    def __exit__(self, *error):
        _active.reset(self._token)

    def run(self, function, *args):
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

    def refuse(self, why):
        raise RuntimeError(f"minigrad.compile cannot record this step: {why}")

    def visit(self, node):
        self.walked.add(node)

    def _name(self, x):
        """A new variable for x."""
        if not _made(x):
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
