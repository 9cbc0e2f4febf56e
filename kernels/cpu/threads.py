"""A kernel's blocks shared among threads, and what forks must not meet."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from ..locks import free_at_forks
from . import binding

_team = threading.Lock()  # held by whoever launches; by nobody in a child that was born without


@cache
def shared_kernel(
    loop: Callable, rule: Callable | None, dtype: np.dtype, *classes: int
) -> Callable:
    """The kernel, shared among threads; it runs in this one alone while those are busy.

    The bits are the same. Numba's workqueue layer ends the process if two Python threads launch at
    once, and OpenMP would give each of them a team of its own.
    """
    serial = binding.kernel(loop, rule, dtype, False, *classes)
    if not start_threads():
        return serial
    parallel = binding.kernel(loop, rule, dtype, True, *classes)

    def launch(*arguments: Any) -> Any:
        if not _team.acquire(False):
            return serial(*arguments)
        try:
            return parallel(*arguments)
        finally:
            _team.release()

    return launch


@cache
def start_threads() -> bool:
    """Whether there are Numba's threads, from now on. They are told not to wait for work for long,
    if they are GNU OpenMP's.

    They would spin for milliseconds and keep those of NumPy's BLAS from the cores: a product of
    128 x 784 by 784 x 1024, then a loss of 40,000, took 8.0 ms on two cores, and takes 1.4. The
    loss alone takes as long as before; with OMP_WAIT_POLICY=passive, six times as long. Where
    PyTorch shares the library, its small steps take a fifth longer, larger ones a quarter as long.
    """
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return False
    decided = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()  # by somebody else
    if not decided:
        os.environ["GOMP_SPINCOUNT"] = "5000"  # which the library reads when it is loaded
    try:
        numba.get_num_threads()
    except (ValueError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        warnings.warn(
            f"kernels run in one thread, for Numba's do not start: {problem}", stacklevel=2
        )
        return False
    finally:
        if not decided:
            del os.environ["GOMP_SPINCOUNT"]
    return True


def _in_forked_child() -> None:
    """Leave the threads alone if the parent had some: a fork copies none of them.

    GNU OpenMP would end the child, or wait for them for ever. A child of a parent that has
    launched nothing starts its own.
    """
    try:
        numba.threading_layer()
    except ValueError:
        return
    _team.acquire(False)


free_at_forks(global_compiler_lock, innermost=True)  # or a child could never compile again
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_forked_child)
