"""Looking for the operation that made the first NaN."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from ..devices import on_gpu
from ..quiet import quiet
from ..tape import Tape, activate, active_tape, refuse
from .graph import Node

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_calls: WeakKeyDictionary[Node, str] = WeakKeyDictionary()  # where each node was recorded


class Anomaly(Tape):
    """Checks what every call returns, and remembers where operations were called."""

    node: Node | None = None  # where the backward pass has come to

    @quiet
    def run(self, function: Callable, *args: Any) -> Any:
        clean = not any(map(_has_nan, args))  # before the call, which may change them
        result = super().run(function, *args)
        if self.node is not None and function == self.node.op.gradients:
            for i, gradient in enumerate(result):
                if _has_nan(gradient):
                    raise RuntimeError(
                        f"Function '{self.node.name()}' returned nan values in its {i}th output."
                    )
        elif clean and _has_nan(result):
            name = getattr(function, "__name__", type(function).__name__)
            raise RuntimeError(f"Function '{name}' returned nan values from inputs without nan.")
        return result

    def recorded(self, node: Any) -> None:
        frames = traceback.extract_stack()
        while len(frames) > 1 and frames[-1].filename.startswith(_PACKAGE):
            frames.pop()
        _calls[node] = "".join(frames.format())

    def visit(self, node: Any) -> None:
        self.node = node

    def failed(self, error: Exception) -> None:
        node, self.node = self.node, None
        if node is None:
            return
        found = "No forward pass information available: it ran outside detect_anomaly()."
        if node in _calls:
            found = f"Traceback of forward call that caused the error:\n{_calls[node]}"
        error.add_note(f"Error detected in {node.name()}. {found}")


def _has_nan(x):
    """Whether there is a NaN in an array, a Tensor, a number, or a list or tuple of them."""
    if isinstance(x, (list, tuple)):
        return any(map(_has_nan, x))
    x = getattr(x, "array", x)
    is_array = isinstance(x, np.ndarray) or on_gpu(x)
    is_float = isinstance(x, (float, np.floating)) or (is_array and x.dtype.kind == "f")
    return is_float and bool(np.isnan(x).any())


class set_detect_anomaly:
    """Turn detect_anomaly on or off in this thread: as a call (at once), or a `with` block."""

    def __init__(self, mode: bool) -> None:
        refuse("detect_anomaly() watches operations one by one; use it without compile")
        self.before = active_tape()
        activate(Anomaly() if mode else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        activate(self.before)


class detect_anomaly:
    """A `with` block, for debugging: RuntimeError from the operation that makes the first NaN.

    In the backward pass as in PyTorch, naming the node, with the traceback of its forward call
    (if that was in such a block) as a note on this and on any other error. In the forward pass,
    beyond PyTorch, naming an operation that makes NaN of inputs without, even one that where() or a
    mask would hide. Holds in this thread; a compiled function runs as it was written.
    """

    def __enter__(self) -> None:
        self._mode = set_detect_anomaly(True)

    def __exit__(self, *error: object) -> None:
        self._mode.__exit__(*error)
