"""Faults in the middle of saving: what a crash or a full disk does, at each system call in turn."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minigrad import serialization


@contextmanager
def fault_at(call: int, fault: Callable[[], None]) -> Iterator[list[str]]:
    """Let the system call number `call` = 1, 2, ... of mg.save fail; yields those made so far.

    `fault()` is called in its place, in a write after half of the bytes.
    """
    made: list[str] = []

    def reached(name):
        made.append(name)
        return len(made) == call

    class File(io.FileIO):  # without a buffer, so that each write is a system call
        def __init__(self, path, mode):
            if reached("open"):
                fault()
            super().__init__(path, mode)

        def write(self, data):
            if reached("write"):
                super().write(memoryview(data)[: len(data) // 2])
                fault()
            return super().write(data)

    class System:
        def __getattr__(self, name):
            def function(*args):
                if reached(name):
                    fault()
                return getattr(os, name)(*args)

            return function if name in ("fsync", "replace", "open", "close") else getattr(os, name)

    serialization.os, serialization.open = System(), File
    try:
        yield made
    finally:
        serialization.os = os
        del serialization.open
