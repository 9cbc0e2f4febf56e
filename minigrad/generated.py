"""Python that Python writes: where a text becomes a function. Here, nowhere else."""

from __future__ import annotations

from collections.abc import Callable


def define(name: str, source: str, scope: dict) -> Callable:
    """The function `name` that the text `source` defines; it finds its globals in `scope`.

    >>> define("twice", "def twice(x):\\n    return two * x\\n", {"two": 2})(21)
    42
    """
    exec(compile(source, f"<generated {name}>", "exec"), scope)
    return scope[name]
