"""How time and memory are measured, and what they are compared with: a control and the roofline."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from minigrad.kernels.cpu import memory
from minigrad.kernels.cpu.threads import start_threads
from minigrad.optional import require

ROUND = 2e-2  # seconds of one rival at a time: a short call is repeated, as in a training loop
ROUNDS = 5  # at least, however long a call takes
SETTLE = 0.1  # seconds: OpenBLAS's threads spin as long before they sleep; after 2 ms, a step of
# PyTorch's takes twice as long beside NumPy's as alone
UNSTEADY = 1.25  # p90 / p10 of the control from which a run is called unsteady
PACKAGES = ("numpy", "numba", "torch", "jax")
STATE = np.linspace(0, 1, 65536), np.empty(65536)


def control() -> None:
    """Work that never changes: what makes it slower is the machine."""
    x, out = STATE
    np.multiply(x, x, out=out)
    np.sqrt(out, out=out)


def timed(run: Callable, calls: int) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def rounds(
    runs: dict[str, Callable], seconds: float, length: float = ROUND
) -> dict[str, np.ndarray]:
    """Seconds a call of each, one figure a round; in a round everyone runs once for `length`.

    All take turns in one process, so that a noisy machine hits all alike. What compiles does so
    before the clock starts; and at each turn, threads of the rival before go to sleep and a short
    call fills the caches first. Ends after `seconds`, but not before ROUNDS rounds.
    """
    calls = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, int(length / min(timed(run, 1), timed(run, 1))))
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[name]) < ROUNDS:
        for name, run in runs.items():
            time.sleep(SETTLE)
            if calls[name] > 1:
                run()
            times[name].append(timed(run, calls[name]))
    return {name: np.array(figures) for name, figures in times.items()}


def spread(figures: np.ndarray) -> float:
    """p90 / p10."""
    low, high = np.percentile(figures, [10, 90])
    return float(high / low)


def peak_bytes(run: Callable) -> int:
    """The most bytes that one call holds at a time beyond what it was given.

    NumPy reports its arrays to tracemalloc; other libraries do not. What the call before left
    behind was allocated before the trace began and counts neither when held nor when freed; that
    it may be used again is put off meanwhile, or nothing would show.
    """
    kept, memory.LIMIT = memory.LIMIT, 0
    memory.empty_cache()
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        memory.LIMIT = kept


# --- the roofline -------------------------------------------------------------------------------


@njit(parallel=True, cache=True)
def copy(x, out):
    """Read one array, write one: the least that a gradient by logits can take."""
    for i in prange(x.size):
        out[i] = x[i]


@njit(parallel=True, cache=True)
def triad(x, y, out):
    """Read two arrays, write one: the least that a gradient by predictions can take."""
    three = np.float32(3)
    for i in prange(x.size):
        out[i] = x[i] + three * y[i]


def roofline(*inputs: np.ndarray) -> Callable:
    """What moves as many bytes and computes next to nothing: a copy of one input or the triad of
    two, float32, into a buffer that is already in memory, with all threads."""
    loop: Any = copy if len(inputs) == 1 else triad
    arrays = [x.reshape(-1) for x in inputs]
    out = np.zeros_like(arrays[0])
    return lambda: loop(*arrays, out)


# --- the machine --------------------------------------------------------------------------------


def cores() -> int:
    """How many this process may use."""
    return numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


@contextlib.contextmanager
def held_to(threads: int) -> Iterator[None]:
    """Give kernels, BLAS and what is imported from now on so many threads.

    Where the system can bind a process to cores (Linux), so many cores are all it sees: JAX makes
    one thread for each and has no other setting.
    """
    start_threads()
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with require("threadpoolctl", "bench").threadpool_limits(threads):
        try:
            if allowed and threads < len(allowed):
                _bind(set(sorted(allowed)[:threads]))
            yield
        finally:
            if allowed and threads < len(allowed):
                _bind(allowed)
            numba.set_num_threads(before)


def _bind(chosen: set[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setaffinity(int(thread.name), chosen)


def available_bytes() -> float:
    """Memory that may be used; infinity where the system does not tell."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    return found[0] if found else float("inf")


def machine(threads: int, packages: Iterable[str] = PACKAGES) -> str:
    """One line that says when and where figures were made, and with what."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    used = f"{threads} of {cores()} cores" if threads != cores() else f"{threads} cores"
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return f"{datetime.date.today()}, {name}, {used}, {', '.join(versions)}"
