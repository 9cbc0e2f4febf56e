"""Whether operations are recorded: no_grad and its like, for this thread and task alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])
grad_mode: ContextVar[bool] = ContextVar("grad_mode", default=True)  # per thread and per task

is_grad_enabled: Callable[[], bool] = grad_mode.get


class _Mode:
    """A `with` block or a decorator that sets whether operations are recorded in this thread."""

    mode: bool

    def __init__(self) -> None:
        self.before: list[bool] = []

    def __enter__(self) -> Self:
        self.before.append(grad_mode.get())
        grad_mode.set(self.mode)
        return self

    def __exit__(self, *error: object) -> None:
        grad_mode.set(self.before.pop())

    def __call__(self, function: F) -> F:
        mode = self.mode

        @functools.wraps(function)
        def decorated(*args, **kwargs):
            with set_grad_enabled(mode):
                return function(*args, **kwargs)

        @functools.wraps(function)
        def generator(*args, **kwargs):  # the mode holds while the body runs, not between items
            running = function(*args, **kwargs)
            resume, value = running.send, None
            while True:
                try:
                    with set_grad_enabled(mode):
                        item = resume(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    resume, value = running.send, (yield item)
                except BaseException as error:  # thrown in by the caller, or closed
                    resume, value = running.throw, error

        wrapped: Any = generator if inspect.isgeneratorfunction(function) else decorated
        return wrapped


class set_grad_enabled(_Mode):
    """Turn recording on or off: as a call (at once), a `with` block, or a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        super().__enter__()

    def __enter__(self) -> Self:
        return self if self.before else super().__enter__()

    def __call__(self, function: F) -> F:
        while self.before:
            self.__exit__()  # decorating is not entering
        return super().__call__(function)


class no_grad(_Mode):
    """Record nothing in this thread: `with no_grad():`, `@no_grad()` or `@no_grad`."""

    mode = False

    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]
    @overload
    def __new__(cls, function: None = None) -> Self: ...
    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Record again inside a `no_grad` block."""

    mode = True
