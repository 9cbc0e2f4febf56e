"""Seeing a computation while it runs, above all to write it down.

What computes on raw arrays (an operation's forward, a node's formulas, an optimizer's step) is
called through `run`, and so by the Tape that is active in this thread, if there is one: a Recording
(recording.py) writes each call down, to repeat it; an Anomaly (autograd/anomaly.py) looks for NaN
in what it returns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_active: ContextVar[Tape | None] = ContextVar("tape", default=None)  # per thread and per task

active_tape, activate = _active.get, _active.set


def run(function: Callable, *args: Any) -> Any:
    """function(*args) on raw arrays, numbers and constants, called by the active tape."""
    tape = _active.get()
    return function(*args) if tape is None else tape.run(function, *args)


def raw(x: Any) -> Any:
    """The array of a Tensor, which an active tape then knows of; anything else as it is."""
    array = getattr(x, "array", x)
    tape = _active.get()
    if tape is not None and array is not x:
        tape.capture(x)
    return array


def repeated(function: F) -> F:
    """Decorate what a replay calls as a whole: it reads and changes objects that outlive a step."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if _active.get() is None:
            return function(*args, **kwargs)
        if not kwargs:
            return run(function, *args)
        return run(_with_names, function, tuple(kwargs), *args, *kwargs.values())

    return call  # type: ignore[return-value]


def _with_names(function, names, *args):
    """function(*args), the last of them by name."""
    first = len(args) - len(names)
    return function(*args[:first], **dict(zip(names, args[first:], strict=True)))


def refuse(why: str) -> None:
    """Raise RuntimeError if a step is being recorded."""
    tape = _active.get()
    if tape is not None:
        tape.refuse(why)


class _Structure:
    """How the modules stand that recordings may know.

    `changes` counts what was done to them; `age` is an object, another one for each recording and
    after it: what was made in this age no recording knows.
    """

    changes = 0
    age: object = object()


structure = _Structure()


def age() -> object:
    """What a module keeps to know later whether a recording may know it."""
    tape = _active.get()
    return structure.age if tape is None else tape.age


def changed(born: object, what: str) -> None:
    """Note that a module made in the age `born` is about to be changed.

    Recordings made before it count no more; within one, RuntimeError that names `what`.
    """
    if born is not age():
        refuse(f"it changes {what}, which a replay would not; do that outside of the step")
        structure.changes += 1


class Tape:
    """What makes every call while it is active; the other methods tell it of what else happens."""

    @property
    def age(self) -> object:
        """What modules made now keep as their age."""
        return structure.age

    def run(self, function: Callable, *args: Any) -> Any:
        """Call the function. What it calls in turn is part of it."""
        token = _active.set(None)
        try:
            return function(*args)
        finally:
            _active.reset(token)

    def refuse(self, why: str) -> None:
        """What a replay could not repeat is about to be done."""

    def made(self, array: Any) -> None:
        """An array came into being otherwise than by a call."""

    def require(self, condition: str, *values: Any) -> None:
        """What follows depends on `condition`, an expression with {} for each of the values."""

    def capture(self, tensor: Any) -> None:
        """A Tensor is read."""

    def options(self, operation: Any, options: tuple) -> None:
        """An operation is run with these options."""

    def enter(self, module: Any) -> None:
        """A module is called."""

    def read_gradient(self, tensor: Any) -> None:
        """A Tensor's gradient is read."""

    def write_gradient(self, tensor: Any, new: Any) -> None:
        """A Tensor's gradient is about to be `new`, a Tensor or None."""

    def recorded(self, node: Any) -> None:
        """An operation took its place in the graph."""

    def visit(self, node: Any) -> None:
        """The backward pass is at a node; None: it is over."""

    def failed(self, error: Exception) -> None:
        """The backward pass raised an error."""
