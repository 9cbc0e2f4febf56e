"""What kernels/cpu is on the CPU, on a GPU: the same functions for CuPy's arrays.

A call launches kernels on CuPy's current stream and waits for nothing: results are arrays on the
device, a loss's total too, and a class that is out of range is remembered there until `check`.

Same input, same bits: how many blocks there are and what each adds up depends on sizes alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np
from numba import from_dtype, types

from . import binding, cross_entropy, elementwise, launching, pointwise
from .launching import BLOCKS, contiguous, contiguous16, launch, on_device, scratch

WAVE = 528  # blocks of a pointwise loss, at most: four on each of an H200's 132 SMs, all at once
FEW = 32  # up to so many classes, a thread takes a row
# Threads to a row, accesses of 16 bytes that each keeps in registers, and how many more it may keep
# in shared memory; the first that covers the row.
LAYOUTS = (
    (4, 4, 0), (8, 4, 0), (16, 4, 0), (32, 4, 0), (32, 8, 0), (128, 4, 0), (128, 8, 0),
    (256, 8, 0), (512, 6, 4), (1024, 5, 12),
)  # fmt: skip
SMALLEST = 128  # threads to a block
WARP_ROW, THREADS = 1024, 256  # with weights of every class: a warp takes so short a row

AT_ONCE = os.environ.get("CUDA_LAUNCH_BLOCKING") == "1"  # as PyTorch: errors where they arise
# What kernels take: numbers, and pointers to them.
float64, int64, pointer = types.float64, types.int64, types.CPointer
_INTEGERS, _DOUBLES, _TICKET, _BYTES = map(pointer, (int64, float64, types.uint32, types.uint8))

Results = tuple[cupy.ndarray, cupy.ndarray | None, cupy.ndarray | None]  # total, values, slopes


def check() -> None:
    """Raise IndexError if a target's class was out of range since the last check. Waits."""
    for known in list(launching.scratches.values()):
        position, wrong, classes = cupy.asnumpy(known.bad_class).tolist()
        if position >= 0:
            known.bad_class.fill(-1)
            raise IndexError(
                f"target: class {wrong} at position {position} (of the target as one row) is out "
                f"of bounds for {classes} classes; expected 0 to {classes - 1}, or ignore_index"
            )


# --- pointwise losses ---------------------------------------------------------------------------


def run_pointwise(
    loss: Any, x: cupy.ndarray, y: cupy.ndarray, parameter: Any = 0.0,
    upstream: float | None = None, value: bool = False, count: float = 1.0,
) -> Results:  # fmt: skip
    """As cpu.run_pointwise, but that upstream is a number, and the total an array of one."""
    x, y = contiguous(x), contiguous(y)
    each, place = None, "host"
    if isinstance(parameter, cupy.ndarray):
        place = "one" if x.size and not any(parameter.strides) else "each"  # of none none is read
        each, parameter = contiguous(parameter) if place == "each" else parameter, 0.0
    numbers = len(parameter) if type(parameter) is tuple else None
    total, values, slopes = _outputs(x, x.shape, upstream, value)
    n, threads = x.size, pointwise.THREADS
    aligned = all(map(launching.aligned, (x, y, each) if place == "each" else (x, y)))
    kernel = pointwise_kernel(
        loss.rule, x.dtype, numbers, place, aligned, value, upstream is not None
    )
    launch(
        kernel, min(-(-n // (4 * threads)), WAVE), threads, x, y, parameter, each,
        0.0 if upstream is None else upstream / count, count, n, values, slopes,
        *scratch()[:2], total,
    )  # fmt: skip
    return total, values, slopes


def _outputs(x, shape, upstream, value):
    """Arrays for a loss's total and, where they are wanted, its values and slopes."""
    return (
        cupy.empty((), x.dtype),
        cupy.empty(shape, x.dtype) if value else None,
        None if upstream is None else cupy.empty(x.shape, x.dtype),
    )


@cache
def pointwise_kernel(
    rule: Callable, dtype: np.dtype, numbers: int | None, place: str, aligned: bool, value: bool,
    slopes: bool,
) -> Any:  # fmt: skip
    """numbers: how many parameters the rule takes as a tuple; None: one.

    place: where it is: on the "host", or "one" for all elements or for "each" on the device.
    aligned: whether every array begins at a multiple of 16 bytes.
    """
    real, array = from_dtype(dtype), pointer(from_dtype(dtype))
    parameter = real if numbers is None else types.UniTuple(real, numbers)
    signature = (
        array, array, parameter, array, real, float64, int64, array, array, _DOUBLES, _TICKET,
        array,
    )  # fmt: skip
    return binding.kernel(
        pointwise.pointwise, signature, pointwise.THREADS, 16 // dtype.itemsize, dtype, rule,
        VECTORS=pointwise.AHEAD, ALIGNED=aligned, VARIES=place == "each", VALUES=value,
        SLOPES=slopes, number_of=pointwise.stored if place == "one" else pointwise.given,
        parameter_at=pointwise.its_own if place == "each" else pointwise.the_same,
    )  # fmt: skip


# --- cross-entropy ------------------------------------------------------------------------------


def count_classes(
    target: cupy.ndarray, weight: cupy.ndarray | None, classes: int, ignore: int
) -> cupy.ndarray:
    """The weight of the targets (n,) int64 that are not ignored, NaN if there are none; float64.

    weight: (C,), or None to count each as 1. The first class out of range is kept for `check`, or
    raised at once if the environment has CUDA_LAUNCH_BLOCKING=1.
    """
    count, n = cupy.empty((), np.float64), target.size
    block_sums, ticket, bad_class = scratch()
    kernel = count_kernel(
        np.dtype("float32") if weight is None else weight.dtype, weight is not None
    )
    launch(
        kernel, min(-(-n // THREADS), BLOCKS), THREADS, contiguous16(target), contiguous16(weight),
        ignore, n, classes, block_sums, ticket, count, bad_class,
    )  # fmt: skip
    if AT_ONCE:
        check()
    return count


@cache
def count_kernel(dtype: np.dtype, weighted: bool) -> Any:
    """dtype: the weights'."""
    signature = (
        _INTEGERS, pointer(from_dtype(dtype)), int64, int64, int64, _DOUBLES, _TICKET, _DOUBLES,
        _INTEGERS,
    )  # fmt: skip
    return binding.kernel(
        cross_entropy.count_classes, signature, THREADS, 1, dtype, wide=float64,
        WEIGHTED=weighted,
    )  # fmt: skip


def run_classes(
    loss: Any, x: cupy.ndarray, target: cupy.ndarray, weight: cupy.ndarray | None, ignore: int,
    upstream: float | None = None, value: bool = False, count: Any = 1.0,
) -> Results:  # fmt: skip
    """One pass of cross-entropy over x (n, C) and class indices target (n,) int64.

    Rows whose class is `ignore` or out of range give 0; `count` is a number or what count_classes
    gave; the rest as in run_pointwise.
    """
    layout = class_layout(x.shape[1], x.itemsize, launching.shared_memory())
    kernel = class_kernel(
        x.dtype, tuple(layout.items()), weight is not None, value, upstream is not None
    )
    return _run_rows(kernel, layout, x, (target, weight, ignore), upstream, value, count)


def class_layout(classes: int, itemsize: int, shared: int) -> dict[str, int]:
    """How a row is kept on the chip while it is read once: the kernel's constants.

    shared: bytes of shared memory that a block may have.
    """
    width = 16 // itemsize
    if 0 < classes <= FEW:
        each = max(1, 8 * width // classes)  # 8 to 25 KB in a block's shared memory
        return {
            "threads": SMALLEST, "TEAM": 1, "CLASSES": classes, "EACH": each,
            "VECTORS": -(-each * classes // width), "TILE": SMALLEST * each * (classes | 1),
        }  # fmt: skip
    # A row that begins between two places of 16 bytes may reach into one place more.
    places = -(-classes // width) + (classes % width > 0)
    for team, vectors, limit in LAYOUTS:
        if team == 1024 and itemsize == 8:  # has the registers of half as many threads
            team, limit = team // 2, limit * 2
        limit = min(limit, (shared - 4096) // (team * 16))  # 4 KiB for the sums
        staged = max(0, -(-places // team) - vectors)
        if staged <= limit:
            break
    return {
        "threads": max(team, SMALLEST), "TEAM": team, "VECTORS": vectors,
        "STAGED": min(staged, limit), "BEYOND": staged > limit,
    }  # fmt: skip


@cache
def class_kernel(dtype: np.dtype, layout: tuple, weighted: bool, value: bool, slopes: bool) -> Any:
    """layout: the items of what class_layout gave."""
    real, constants = pointer(from_dtype(dtype)), dict(layout)
    threads, few = constants.pop("threads"), "CLASSES" in constants
    signature = (
        real, _INTEGERS, real, int64, float64, int64, int64, _DOUBLES, real, real, _DOUBLES,
        _TICKET, real,
    )  # fmt: skip
    # So many threads on an SM leave each 64 registers or, with more of a row, 80: nothing spills,
    # and while some reduce, others load.
    resident = (768 if few or constants["VECTORS"] == 8 else 1024) * 4 // dtype.itemsize
    kernel = binding.kernel(
        cross_entropy.few_classes if few else cross_entropy.class_rows, signature, threads,
        max(1, resident // threads), dtype, WEIGHTED=weighted, VALUES=value, SLOPES=slopes,
        **constants,
    )  # fmt: skip
    shared = constants.get("STAGED", 0) * threads * 16
    if shared:
        launching.allow_shared(kernel, shared)
    return kernel


def run_weights(
    loss: Any, x: cupy.ndarray, t: cupy.ndarray, keep: cupy.ndarray | None,
    upstream: float | None = None, value: bool = False, count: Any = 1.0,
) -> Results:  # fmt: skip
    """One pass of cross-entropy over x (n, C) and class weights t (n, C).

    keep: (n,) bool or None, False for rows that give 0; the rest as in run_classes.
    """
    team = 32 if x.shape[1] <= WARP_ROW else THREADS
    kernel = weight_kernel(loss.rule, x.dtype, team, keep is not None, value, upstream is not None)
    layout = {"threads": THREADS, "TEAM": team}
    return _run_rows(kernel, layout, x, (t, keep), upstream, value, count)


@cache
def weight_kernel(
    rule: Callable, dtype: np.dtype, team: int, keep: bool, value: bool, slopes: bool
) -> Any:
    """keep: whether rows may be left out."""
    real = pointer(from_dtype(dtype))
    signature = (
        real, real, _BYTES, float64, int64, int64, _DOUBLES, real, real, _DOUBLES, _TICKET, real
    )  # fmt: skip
    return binding.kernel(
        cross_entropy.weight_rows, signature, THREADS, 1, dtype, rule, wide=float64, TEAM=team,
        KEEP=keep, VALUES=value, SLOPES=slopes,
    )  # fmt: skip


def _run_rows(kernel, layout, x, arguments, upstream, value, count):
    x, n, threads = contiguous16(x), len(x), layout["threads"]
    total, values, slopes = _outputs(x, n, upstream, value)
    rows = threads // layout["TEAM"] * layout.get("EACH", 1)
    launch(
        kernel, min(-(-n // rows), BLOCKS), threads, x, *map(contiguous16, arguments),
        0.0 if upstream is None else upstream, n, x.shape[1], on_device(count), values, slopes,
        *scratch()[:2], total, shared=layout.get("STAGED", 0) * threads * 16,
    )  # fmt: skip
    return total, values, slopes


# --- sums ---------------------------------------------------------------------------------------


def run_sum(
    x: cupy.ndarray, axes: tuple[int, ...], keepdims: bool = False, dtype: Any = None,
    divisor: float = 1.0, center: Any = None,
) -> cupy.ndarray:  # fmt: skip
    """As cpu.run_sum; the sum is CuPy's."""
    terms = x if center is None else cupy.square(x.astype(np.float64) - center)
    total = terms.sum(axis=axes, keepdims=keepdims, dtype=np.float64)
    return (total / divisor).astype(x.dtype if dtype is None else dtype)


# --- other loops --------------------------------------------------------------------------------


def run_zero_below(g: cupy.ndarray, out: cupy.ndarray) -> cupy.ndarray:
    """g where out > 0 or NaN, else 0: the slope of a ReLU whose results were out."""
    g, out = contiguous(g), contiguous(out)
    slopes = cupy.empty_like(g)  # in row order as well
    _run(elementwise.zero_below, g.dtype, g.size, "xxx", g, out, slopes)
    return slopes


def run_erf(x: cupy.ndarray) -> cupy.ndarray:
    """The error function of an array of any shape."""
    x = contiguous(x)
    out = cupy.empty_like(x)
    _run(elementwise.erf, x.dtype, x.size, "xx", x, out)
    return out


def bind_update(
    rule: Callable, p: cupy.ndarray, states: Sequence[cupy.ndarray | None]
) -> Callable[[cupy.ndarray, tuple[float, ...]], None]:
    """A function step(g, numbers) that updates p and its states (contiguous, or None) in place."""
    present = tuple(state is not None for state in states)

    def step(g, numbers):
        whole = contiguous(p)
        _run(
            elementwise.update, p.dtype, p.size, f"xxxxx{len(numbers)}", whole,
            contiguous(g), *states, tuple(map(float, numbers)), rule=rule, present=present,
        )  # fmt: skip
        if whole is not p:
            p[...] = whole

    return step


def add_at(out: cupy.ndarray, index: Any, values: Any) -> None:
    """out[index] += values, repeated positions added one after the other: the same bits every time.

    out: contiguous floats. CuPy adds by atomic operations, which come in any order.
    """
    places = cupy.arange(out.size).reshape(out.shape)[index]
    values = cupy.ascontiguousarray(cupy.broadcast_to(values, places.shape), out.dtype)
    places = places.ravel()
    order = cupy.argsort(places)  # stable
    starts = cupy.searchsorted(places[order], cupy.arange(out.size + 1))
    _run(elementwise.add_runs, out.dtype, out.size, "xiix", values, order, starts, out)


def _run(loop, dtype, n, kinds, *arguments, rule=None, present=(False, False, False)):
    """Run a loop of elementwise.py over n elements; the rest as in loop_kernel."""
    kernel = loop_kernel(loop, dtype, kinds, rule, present)
    threads = elementwise.THREADS
    launch(kernel, min(-(-n // threads), BLOCKS), threads, *arguments, n)


@cache
def loop_kernel(
    loop: Callable, dtype: np.dtype, kinds: str, rule: Callable | None, present: tuple[bool, ...]
) -> Any:
    """kinds: of the arguments, a letter each: x an array of the dtype, i of int64, or the length of
    a tuple of float64. present: which states an optimizer has."""
    arrays = {"x": pointer(from_dtype(dtype)), "i": _INTEGERS}
    signature = [arrays.get(kind) or types.UniTuple(float64, int(kind)) for kind in kinds]
    return binding.kernel(
        loop, (*signature, int64), elementwise.THREADS, 1, dtype, rule,
        **dict(zip("ABC", present, strict=True)),
    )  # fmt: skip
