"""What the bindings of both machines share: filling in what a loop leaves open, and cache names."""

import dis
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any


def bind(loop: Callable, names: dict[str, Any], inlined: Callable) -> FunctionType:
    """A copy of a function, with globals of its own: `names`, and for the rest those it has.

    So has each function that it calls, which `inlined` makes ready to be called.
    """
    globals_, found = dict(names), {}

    def bound(function):
        for name in _globals_of(function) - names.keys() & function.__globals__.keys():
            value = function.__globals__[name]
            if name not in found:
                found[name] = value
                callee = isinstance(value, FunctionType)
                globals_[name] = inlined(bound(value)) if callee else value
            elif found[name] is not value:
                raise NameError(f"{loop.__name__}: two things that it uses are called {name}")
        return FunctionType(function.__code__, globals_, function.__name__)

    return bound(loop)


def _globals_of(function):
    """The names that its code looks up outside of it."""
    return {code.argval for code in dis.get_instructions(function) if code.opname == "LOAD_GLOBAL"}


def title(loop: Callable, rule: Callable | None, *rest: object) -> str:
    """A kernel's name, by which the disk cache tells it from others of the same loop."""
    owner = "" if rule is None else f"{rule.__module__.rpartition('.')[2]}-{rule.__name__}"
    return ".".join(map(str, (loop.__name__, owner, *rest)))


def digest(*folders: Path) -> str:
    """Twelve letters that an edit of any Python file right in these folders changes."""
    files = (path for folder in folders for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
