"""What kernels/cpu.py is on the CPU, on a GPU: the same functions for CuPy's arrays.

A call launches kernels on CuPy's current stream and waits for nothing: results are arrays on the
device, also a loss's total, and a class that is out of range is remembered there until `check`.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cupy
import numpy as np
from numba import cuda, from_dtype
from numba.types import CPointer, UniTuple, float64, int64, uint8, uint32

from . import cross_entropy, pointwise
from .compiling import build

FEW = 32  # up to so many classes, a thread takes a row
BLOCKS = 2112  # at most, for rows: sixteen on each of an H200's 132 SMs. By size alone
# Threads to a row, accesses of 16 bytes that each keeps in registers, and how many more it may keep
# in shared memory; the first that covers the row. As many threads share an SM as their registers
# allow: while some reduce, others load, 64 to 128 KB at a time.
LAYOUTS = (
    (4, 4, 0), (8, 4, 0), (16, 4, 0), (32, 4, 0), (32, 8, 0), (128, 4, 0), (128, 8, 0), (256, 8, 0),
    (512, 6, 4), (1024, 5, 12),
)  # fmt: skip
SMALLEST = 128  # threads to a block
WEIGHT_THREADS, WARP_ROW = 256, 1024  # with weights of every class: a warp takes so short a row

_INTEGERS, _DOUBLES, _TICKET, _BOOLS = map(CPointer, (int64, float64, uint32, uint8))


# --- launching ----------------------------------------------------------------------------------


def pointer(x):
    """An argument as a kernel takes it: where an array begins, a number as it is."""
    if isinstance(x, cupy.ndarray):
        return x.data.ptr
    return 0 if x is None else x


@lru_cache(64)
def _stream(handle):
    return cuda.external_stream(handle) if handle else 0


def launch(kernel, blocks, threads, *arguments, shared=0):
    """Launch on CuPy's current stream, with so many bytes of dynamic shared memory."""
    stream = _stream(cupy.cuda.get_current_stream().ptr)
    kernel[blocks, threads, stream, shared](*map(pointer, arguments))


@lru_cache(64)
def _scratch(device, stream):
    """The blocks' sums and the ticket (see sums.fold): a pair to a stream, whose launches queue."""
    return cupy.empty(2 * BLOCKS), cupy.zeros(1, np.uint32)


def scratch():
    return _scratch(cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr)


@cache
def _status(device):
    """(position, class, number of classes) of the first class that was out of range; -1: none."""
    return cupy.full(3, -1, np.int64)


def check():
    """Raise IndexError if a target's class was out of range since the last check. Waits."""
    status = _status(cupy.cuda.Device().id)
    position, found, classes = cupy.asnumpy(status).tolist()
    if position >= 0:
        status.fill(-1)
        raise IndexError(
            f"target: class {found} at position {position} (counted through the flattened target) "
            f"is out of bounds for {classes} classes; expected 0 to {classes - 1}, or ignore_index"
        )


@lru_cache(64)
def _constant(device, number):
    return cupy.full((), number, np.float64)


def on_device(count):
    """A count as a kernel reads it: float64 on the device."""
    if isinstance(count, cupy.ndarray):
        return count
    return _constant(cupy.cuda.Device().id, float(count))


def aligned(x):
    return x.data.ptr % 16 == 0


def plain(x):
    """The array, or a copy, in row order and aligned to 16 bytes; no array as it is."""
    if not isinstance(x, cupy.ndarray):
        return x
    x = cupy.ascontiguousarray(x)
    return x if aligned(x) else x.copy()


def outputs(x, values_like, value, slopes):
    """The arrays a loss fills: the total, and the values and slopes where they are wanted."""
    return (
        cupy.empty((), x.dtype),
        cupy.empty(values_like, x.dtype) if value else None,
        cupy.empty(x.shape, x.dtype) if slopes else None,
    )


# --- losses -------------------------------------------------------------------------------------


def run_pointwise(loss, x, y, parameter=0.0, upstream=None, value=False, count=1.0):
    """One pass of a pointwise loss over arrays x, y of one shape and float dtype.

    parameter: a number, a tuple of numbers or an array of that shape, as the rule takes it;
    upstream: a number, or None for no gradient; value: whether to return the values one by one.
    Returns the sum of the values / count, the values or None, and upstream / count * slope or None.
    """
    x, y = cupy.ascontiguousarray(x), cupy.ascontiguousarray(y)
    total, values, slopes = outputs(x, x.shape, value, upstream is not None)
    each = cupy.ascontiguousarray(parameter) if isinstance(parameter, cupy.ndarray) else None
    kernel, threads = pointwise_kernel(
        loss.rule, x.dtype, len(parameter) if type(parameter) is tuple else -1, each is not None,
        value, upstream is not None,
    )  # fmt: skip
    n, tile = x.size, threads * pointwise.VECTORS * 16 // x.itemsize
    tiles = n // tile if all(aligned(a) for a in (x, y, each) if a is not None) else 0
    blocks = max(1, min(-(-n // (4 * threads)), pointwise.BLOCKS))
    up = 0.0 if upstream is None else upstream / count
    parameter = 0.0 if each is not None else parameter
    launch(
        kernel, blocks, threads, x, y, parameter, each, up, count, n, tiles, values, slopes,
        *scratch(), total,
    )  # fmt: skip
    return total, values, slopes


@cache
def pointwise_kernel(rule, dtype, numbers, varies, value, slopes):
    """The kernel, and the threads of a block. numbers: how many parameters, -1 for just one."""
    real = from_dtype(dtype)
    array = CPointer(real)
    parameter = real if numbers < 0 else UniTuple(real, numbers)
    signature = (
        array, array, parameter, array, real, float64, int64, int64, array, array, _DOUBLES,
        _TICKET, array,
    )  # fmt: skip
    kernel = build(
        pointwise.pointwise, signature, pointwise.BLOCK, rule, dtype.type, blocks=16 // dtype.itemsize,
        VARIES=varies,
        VALUES=value, SLOPES=slopes,
        parameter_at=pointwise.its_own if varies else pointwise.the_number,
    )  # fmt: skip
    return kernel, pointwise.BLOCK


def count_classes(target, weight, classes, ignore):
    """The weight of the targets (n,) int64 that are not ignored, NaN if there are none: 0-d float64.

    weight: (C,), or None to count each as 1. The first class out of range is kept for `check`.
    """
    count = cupy.empty((), np.float64)
    dtype = np.dtype("float32") if weight is None else weight.dtype
    kernel = count_kernel(dtype, weight is not None)
    blocks = max(1, min(-(-target.size // 256), BLOCKS))
    launch(
        kernel, blocks, 256, plain(target), plain(weight), ignore, target.size, classes, *scratch(),
        count, _status(cupy.cuda.Device().id),
    )  # fmt: skip
    return count


@cache
def count_kernel(dtype, weighted):
    signature = (
        _INTEGERS, CPointer(from_dtype(dtype)), int64, int64, int64, _DOUBLES, _TICKET, _DOUBLES,
        _INTEGERS,
    )  # fmt: skip
    return build(
        cross_entropy.count_classes, signature, 256, dtype=dtype.type, wide=float64,
        WEIGHTED=weighted,
    )  # fmt: skip


def run_classes(loss, x, target, weight, ignore, upstream=None, value=False, count=1.0):
    """One pass of cross-entropy over x (n, C) and class indices target (n,) int64.

    Rows whose class is `ignore` or out of range give 0; `count` is a number or what count_classes
    gave; the rest as in run_pointwise.
    """
    arguments = plain(target), plain(weight), ignore
    layout = class_layout(x.shape[1], x.itemsize)
    kernel = class_kernel(
        x.dtype, tuple(layout.items()), weight is not None, value, upstream is not None
    )
    return _run_rows(kernel, layout, x, arguments, upstream, value, count)


def run_weights(loss, x, t, keep, upstream=None, value=False, count=1.0):
    """One pass of cross-entropy over x (n, C) and class weights t (n, C).

    keep: (n,) bool or None, False for rows that give 0; the rest as in run_classes.
    """
    team = 32 if x.shape[1] <= WARP_ROW else WEIGHT_THREADS
    layout = {"threads": WEIGHT_THREADS, "TEAM": team}
    kernel = weight_kernel(loss.rule, x.dtype, team, keep is not None, value, upstream is not None)
    return _run_rows(kernel, layout, x, (plain(t), plain(keep)), upstream, value, count)


def _run_rows(kernel, layout, x, arguments, upstream, value, count):
    x = plain(x)
    (n, classes), threads = x.shape, layout["threads"]
    total, values, slopes = outputs(x, n, value, upstream is not None)
    rows = threads // layout["TEAM"] * layout.get("EACH", 1)
    shared = layout.get("STAGED", 0) * threads * 16
    blocks = max(1, min(-(-n // rows), BLOCKS))
    up = 0.0 if upstream is None else upstream
    launch(
        kernel, blocks, threads, x, *arguments, up, n, classes, on_device(count), values, slopes,
        *scratch(), total, shared=shared,
    )  # fmt: skip
    return total, values, slopes


def class_layout(classes, itemsize):
    """How a row is kept on the chip while it is read once: constants of the kernel, by its size."""
    width = 16 // itemsize
    if 0 < classes <= FEW:
        each, threads = max(1, 8 * width // classes), cross_entropy.ROWS  # 8 to 25 KB
        return {
            "threads": threads, "TEAM": 1, "CLASSES": classes, "EACH": each,
            "VECTORS": -(-each * classes // width), "TILE": threads * each * (classes | 1),
        }  # fmt: skip
    # A row that begins between two places of 16 bytes may reach into one place more.
    places = -(-classes // width) + (classes % width > 0)
    for team, vectors, limit in LAYOUTS:
        if team == 1024 and itemsize == 8:  # has the registers of half as many threads
            team, limit = team // 2, limit * 2
        staged = max(0, -(-places // team) - vectors)
        if staged <= limit:
            break
    return {
        "threads": max(team, SMALLEST), "TEAM": team, "VECTORS": vectors,
        "STAGED": min(staged, limit), "BEYOND": staged > limit,
    }  # fmt: skip


@cache
def class_kernel(dtype, layout, weighted, value, slopes):
    """The kernel for such a layout, a hashable one."""
    real, options = CPointer(from_dtype(dtype)), dict(layout)
    few, threads = "CLASSES" in options, options.pop("threads")
    # So many threads leave each 64 registers or, with a larger share of a row, 80; no spills.
    resident = (768 if few or options["VECTORS"] == 8 else 1024) * 4 // dtype.itemsize
    signature = (
        real, _INTEGERS, real, int64, float64, int64, int64, _DOUBLES, real, real, _DOUBLES,
        _TICKET, real,
    )  # fmt: skip
    kernel = build(
        cross_entropy.few_classes if few else cross_entropy.class_rows, signature,
        threads, dtype=dtype.type, blocks=max(1, resident // threads), WEIGHTED=weighted, VALUES=value, SLOPES=slopes,
        **options,
    )  # fmt: skip
    shared = options.get("STAGED", 0) * threads * 16
    if shared > 48 * 1024:
        _allow_shared(kernel, shared)
    return kernel


def _allow_shared(kernel, size):
    """More than 48 KiB of a block's shared memory has to be asked for, once for each kernel."""
    from cuda.bindings import driver

    (compiled,) = kernel.overloads.values()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    handle = compiled._codelibrary.get_cufunc().handle
    (error,) = driver.cuKernelSetAttribute(attribute, size, handle, cupy.cuda.Device().id)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"cross_entropy: this GPU has no {size} bytes of shared memory: {error}")


@cache
def weight_kernel(rule, dtype, team, keep, value, slopes):
    real = CPointer(from_dtype(dtype))
    signature = (
        real, real, _BOOLS, float64, int64, int64, _DOUBLES, real, real, _DOUBLES, _TICKET, real
    )  # fmt: skip
    return build(
        cross_entropy.weight_rows, signature, WEIGHT_THREADS, rule, dtype.type, wide=float64, TEAM=team,
        KEEP=keep, VALUES=value, SLOPES=slopes,
    )  # fmt: skip


# --- other loops --------------------------------------------------------------------------------


def run_zero_below(g, out):
    """g where out > 0 or NaN, else 0: the slope of a ReLU whose results were out."""
    g, slopes = cupy.ascontiguousarray(g), cupy.empty(g.shape, g.dtype)
    _map(pointwise.zero_below, g.dtype, g.size, "xxx", g, cupy.ascontiguousarray(out), slopes)
    return slopes


def run_erf(x):
    """The error function of an array of any shape."""
    x, out = cupy.ascontiguousarray(x), cupy.empty(x.shape, x.dtype)
    _map(pointwise.erf, x.dtype, x.size, "xx", x, out)
    return out


def bind_update(rule, p, states):
    """A function step(g, h) that updates p and its states (contiguous, or None) in place."""
    present = tuple(state is not None for state in states)
    zero = cupy.empty(0, p.dtype)
    states = [zero if state is None else state for state in states]

    def step(g, h):
        whole = cupy.ascontiguousarray(p)
        _map(
            pointwise.update, p.dtype, p.size, f"xxxxx{len(h)}", whole, cupy.ascontiguousarray(g),
            *states, tuple(map(float, h)), rule=rule, present=present,
        )  # fmt: skip
        if whole is not p:
            p[...] = whole

    return step


def add_at(out, index, values):
    """out[index] += values, repeated positions added one after the other: the same bits every time.

    out: contiguous floats. CuPy's own is as quick as its atomic additions, and as unordered.
    """
    places = cupy.arange(out.size).reshape(out.shape)[index]
    values = cupy.ascontiguousarray(cupy.broadcast_to(values, places.shape), out.dtype)
    places = places.ravel()
    order = cupy.argsort(places)  # stable
    starts = cupy.searchsorted(places[order], cupy.arange(out.size + 1))
    _map(pointwise.add_runs, out.dtype, out.size, "xiix", values, order, starts, out)


def _map(kernel, dtype, n, kinds, *arguments, rule=None, present=(False, False, False)):
    """Run a kernel of pointwise.py over n elements.

    kinds: of the arguments, a letter each: x an array of the dtype, i of int64, or the length of a
    tuple of float64.
    """
    built = _map_kernel(kernel, dtype, kinds, rule, present)
    blocks = max(1, min(-(-n // pointwise.BLOCK), BLOCKS))
    launch(built, blocks, pointwise.BLOCK, *arguments, n)


@cache
def _map_kernel(kernel, dtype, kinds, rule, present):
    types = {"x": CPointer(from_dtype(np.dtype(dtype))), "i": _INTEGERS}
    signature = [types.get(kind) or UniTuple(float64, int(kind)) for kind in kinds]
    return build(
        kernel, (*signature, int64), pointwise.BLOCK, rule, dtype.type,
        **dict(zip("ABC", present, strict=True)),
    )  # fmt: skip
