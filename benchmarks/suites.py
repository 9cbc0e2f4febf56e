"""The sets of figures: losses, train, scalar, startup, scaling. Each returns a report, plain data:

what, threads, quick; rows: a list of {cell, group, seconds: {rival: median}, spread: {rival: p90 /
p10}, and for losses bytes, roofline (seconds) and peak (gradient buffers)}; control: {seconds,
spread}; absent: {rival: reason}.
"""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from minigrad.optional import require

from . import measure, rivals

ROOT = Path(__file__).resolve().parent.parent  # the checkout, if this is one
SECONDS = 4.0  # of rounds per cell
LARGE = 10_000  # elements from which memory, its rate and its amount, means something
GROUPS = {rivals.Step: "training step", rivals.Perceptron: "scalars"}
QUICK = {
    rivals.Loss("mse", (1_000,)), rivals.Loss("smooth_l1", (1_000,)),
    rivals.Loss("bce_with_logits", (1_000_000,)), rivals.Loss("cross_entropy", (64, 10)),
    rivals.Loss("cross_entropy", (4096, 10)), rivals.STEP_CELLS[0], rivals.STEP_CELLS[1],
    *rivals.SCALAR_CELLS,
}  # fmt: skip


def losses(threads: int, quick: bool) -> dict:
    """Every loss at sizes from a toy's to memory-bound, forward and backward."""
    return compared("losses", rivals.LOSS_CELLS, rivals.LOSS_RIVALS, threads, quick)


def train(threads: int, quick: bool) -> dict:
    """Training steps of small networks."""
    return compared("train", rivals.STEP_CELLS, rivals.STEP_RIVALS, threads, quick)


def scalar(threads: int, quick: bool) -> dict:
    """micrograd's perceptron on one sample, scalar by scalar.

    micrograd's graphs are cycles, left to Python's collector. It shall not go through what has been
    loaded here each time: that made micrograd's time half as long again.
    """
    gc.freeze()
    try:
        return compared("scalar", rivals.SCALAR_CELLS, rivals.SCALAR_RIVALS, threads, quick)
    finally:
        gc.unfreeze()


def compared(what: str, cells: Iterable, names: Iterable[str], threads: int, quick: bool) -> dict:
    cells = [cell for cell in cells if cell in QUICK] if quick else list(cells)
    report, present = start(what, names, threads, quick)
    with measure.held_to(threads):
        for cell in progress(cells, what):
            report["rows"].append(row(cell, present, report))
    return finish(report)


SCALED = {"mse": (), "bce_with_logits": (), "cross_entropy": (64,)}  # loss -> shape of a row


def scaling(threads: int, quick: bool) -> dict:
    """Time against size, 64 to 64 Mi elements in steps of 4, and against threads at 4 Mi."""
    report, present = start("scaling", rivals.LOSS_RIVALS, threads, quick)
    powers = (3, 6, 9) if quick else range(3, 14)  # of 4

    def cell(loss, size):
        row = SCALED[loss]
        return rivals.Loss(loss, (size // int(np.prod(row)), *row))

    cells = [cell(loss, 4**power) for loss in SCALED for power in powers]
    needed = 160  # bytes per element, the check in float64 included
    fitting = [c for c in cells if needed * c.size < measure.available_bytes()]
    for left_out in set(cells) - set(fitting):
        report["absent"][str(left_out)] = f"it needs {needed * left_out.size / 1e9:.0f} GB"
    with measure.held_to(threads):
        for c in progress(fitting, "scaling with size"):
            report["rows"].append(row(c, present, report))

    # JAX's threads are made once; the two that can be told are told.
    told = [name for name in ("minigrad", "PyTorch eager") if name in present]
    counts = sorted({*(2**k for k in range(threads.bit_length()) if 2**k < threads), threads})
    for loss in progress(SCALED, "scaling with threads"):
        for count in counts:
            with measure.held_to(count):
                c = cell(loss, 4 ** (9 if quick else 11))
                line = row(c, told, report)
            words = f"{c}, {count} thread{'s' * (count > 1)}"
            report["rows"].append(line | {"cell": words, "group": str(c), "threads": count})
    return finish(report)


def start(what: str, names: Iterable[str], threads: int, quick: bool) -> tuple[dict, list[str]]:
    """An empty report, and the rivals that can run here."""
    absent = {name: reason for name in names if (reason := rivals.missing(name))}
    if quick and "torch.compile" in names:
        absent.setdefault("torch.compile", "it compiles for seconds in each cell")
    present = [name for name in names if name not in absent]
    for name in present:  # before our threads: who loads OpenMP first settles how its threads wait
        if name in rivals.PACKAGE:
            importlib.import_module(rivals.PACKAGE[name])
    report = {
        "what": what,
        "machine": measure.machine(threads),
        "threads": threads,
        "quick": quick,
        "absent": absent,
        "control": [],
        "rows": [],
    }
    return report, present


def row(cell, names: Iterable[str], report: dict) -> dict:
    """One cell: results checked, then rounds; the control's figures are kept for `finish`."""
    built = {name: rivals.build(name, cell) for name in names}
    runs: dict[str, Callable] = {name: rival.run for name, rival in built.items()}
    runs["control"] = measure.control
    if large := isinstance(cell, rivals.Loss) and cell.size >= LARGE:
        inputs = rivals.data(cell)[: 1 if cell.name == "cross_entropy" else 2]
        runs["roofline"] = measure.roofline(*inputs)
    times = measure.rounds(runs, 0.1 if report["quick"] else SECONDS)
    medians = {name: float(np.median(figures)) for name, figures in times.items()}
    report["control"] += times["control"].tolist()
    line: dict = {
        "cell": str(cell),
        "group": cell.name if isinstance(cell, rivals.Loss) else GROUPS[type(cell)],
        "seconds": {name: medians[name] for name in built},
        "spread": {name: measure.spread(times[name]) for name in built},
    }
    if isinstance(cell, rivals.Loss):
        line |= {"size": cell.size, "bytes": cell.bytes}
    if large:
        peak = measure.peak_bytes(runs["minigrad"]) / (4 * cell.size)
        line |= {"roofline": medians["roofline"], "peak": peak}
    return line


def finish(report: dict) -> dict:
    figures = np.array(report["control"])
    report["control"] = {"seconds": float(np.median(figures)), "spread": measure.spread(figures)}
    return report


def progress(items: Iterable, what: str) -> Iterable:
    """A bar on a terminal, nothing elsewhere."""
    return require("tqdm", "bench").tqdm(items, desc=what, disable=None)


# --- start-up -----------------------------------------------------------------------------------

MODULES = {"minigrad": "minigrad", "PyTorch eager": "torch", "jax.jit": "jax"}
DATA = """
import numpy as np
x, y = np.random.default_rng(0).standard_normal((64, 10), np.float32), np.arange(64) % 10
"""
FIRST_CALL = """
x = {0}.tensor(x, requires_grad=True)
{0}.nn.functional.cross_entropy(x, {0}.tensor(y)).backward()
"""
FIRST_CALL_JAX = """
import jax.numpy as jnp
def loss(x, y):
    return (jax.nn.logsumexp(x, 1) - jnp.take_along_axis(x, y[:, None], 1)[:, 0]).mean()
jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(x, y))
"""


def startup(threads: int, quick: bool) -> dict:
    """Imports and first calls, each in a fresh process; medians."""
    report, present = start("startup", MODULES, threads, quick)
    floor, example = "import of NumPy and Numba alone", "digits example"
    first = "first cross-entropy, forward + backward"
    clocks: dict[tuple[str, str], Callable[[], float]] = {
        (floor, "minigrad"): lambda: clocked("", "import numpy, numba"),
    }
    for name in present:
        module = MODULES[name]
        call = FIRST_CALL_JAX if module == "jax" else FIRST_CALL.format(module)
        load = f"import {module}"
        clocks["import", name] = lambda load=load: clocked("", load)  # type: ignore[misc]
        clocks[first, name] = lambda load=load, call=call: clocked(load + DATA, call)  # type: ignore[misc]
    times: dict[tuple[str, str], list[float]] = {key: [] for key in clocks}
    with measure.held_to(threads):
        for clock in clocks.values():  # bytecode, kernels and files into their caches
            clock()
        for _ in progress(range(2 if quick else 9), "imports and first calls"):
            for key, clock in clocks.items():
                times[key].append(clock())
            report["control"] += [measure.timed(measure.control, 100) for _ in range(10)]
        for _ in progress(range(1 if quick else 3), "the digits example"):
            with tempfile.TemporaryDirectory() as folder:
                for state in ("nothing cached", "kernels cached"):
                    times.setdefault((f"{example}, {state}", "minigrad"), []).append(digits(folder))
    for label in dict.fromkeys(cell for cell, _ in times):
        figures = {name: np.array(t) for (cell, name), t in times.items() if cell == label}
        report["rows"].append(
            {
                "cell": label,
                "group": "start-up",
                "seconds": {name: float(np.median(t)) for name, t in figures.items()},
                "spread": {name: measure.spread(t) for name, t in figures.items()},
            }
        )
    return finish(report)


def clocked(before: str, code: str) -> float:
    """Seconds that `code` takes after `before` in a new process, by its own clock."""
    clock = "__import__('time').perf_counter()"
    text = f"{before}\n_start = {clock}\n{code}\nprint({clock} - _start)"
    return float(python("-c", text).splitlines()[-1])


def digits(cache: str) -> float:
    """Seconds of the whole example in a new process, its kernels kept in the folder `cache`."""
    start = time.perf_counter()
    python("-m", "minigrad", "train", "digits", NUMBA_CACHE_DIR=cache)
    return time.perf_counter() - start


def python(*arguments: str, **environment: str) -> str:
    """What a new process prints; RuntimeError with its complaint if it fails."""
    found = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
    )
    if found.returncode:
        raise RuntimeError(f"python {arguments[0]} failed: {found.stderr.strip()}")
    return found.stdout


SUITES = {
    "losses": losses, "train": train, "scalar": scalar, "startup": startup, "scaling": scaling,
}  # fmt: skip
