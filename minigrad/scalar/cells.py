"""Cells: where leaves that compiled functions use have their data and gradients."""

from __future__ import annotations

import threading
import weakref

import numpy as np

from ..kernels.locks import free_at_forks


class Cells:
    """Two numbers for each such leaf, data and gradient, in two arrays.

    both: (2, n), data and gradients. `data` and `grad` are the same memory, whose items are
    Python's floats, in a quarter of the time. lock: of whoever adds to gradients without Python's
    own lock, or moves the cells.
    """

    both: np.ndarray
    data: memoryview[float]
    grad: memoryview[float]

    def __init__(self) -> None:
        self._free: list[int] = []
        self._hold(np.zeros((2, 0)))
        self.lock = free_at_forks(threading.Lock())

    def _hold(self, both: np.ndarray) -> None:
        self.both, self.data, self.grad = both, memoryview(both[0]), memoryview(both[1])

    def take(self, owner: object) -> int:
        """The number of a cell, free again when its owner has gone; for who has the lock."""
        if not self._free:
            n = self.both.shape[1]
            self._free += range(n, 2 * n + 1024)
            self._hold(np.hstack([self.both, np.zeros((2, n + 1024))]))
        cell = self._free.pop()
        weakref.finalize(owner, self._free.append, cell).atexit = False
        return cell


CELLS = Cells()
