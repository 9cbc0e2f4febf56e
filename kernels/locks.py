"""Locks, and forks: a child that is born while another thread holds one would wait for ever."""

from __future__ import annotations

import os
from typing import Any, TypeVar

Lock = TypeVar("Lock")
_locks: list[Any] = []  # in the order in which a thread may take one while it holds another


def free_at_forks(lock: Lock, innermost: bool = False) -> Lock:
    """The lock; from now on a fork waits until nobody holds it.

    innermost: it is taken by who may hold any other, so a fork takes it last.
    """
    _locks.insert(len(_locks) if innermost else 0, lock)
    return lock


def _acquire():
    for lock in _locks:
        lock.acquire()


def _release():
    for lock in reversed(_locks):
        lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
