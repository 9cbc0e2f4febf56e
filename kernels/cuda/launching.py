"""Between CuPy's arrays and a kernel's arguments."""

from __future__ import annotations

from ctypes import c_double, c_float, c_int64
from functools import cache, lru_cache
from threading import get_ident
from typing import NamedTuple

import cupy
import numpy as np
from cuda import core
from cuda.bindings import driver
from numba import types

SCALARS = {types.int64: c_int64, types.float32: c_float, types.float64: c_double}
BLOCKS = 2112  # of a launch, at most: sixteen on each of an H200's 132 SMs
PER_THREAD = 2  # CUDA's name for the default stream of a thread, in every thread the same


class State(NamedTuple):
    """What the launches on a stream share, which queue for it: the blocks' sums and a ticket (see
    sums.fold), and (position, class, number of classes) of the first class out of range, or -1."""

    part: cupy.ndarray
    ticket: cupy.ndarray
    bad_class: cupy.ndarray


states: dict[tuple, State] = {}


def state() -> State:
    """That of the next launch."""
    key = here()
    if key not in states:
        fresh = State(cupy.empty(2 * BLOCKS), cupy.zeros(1, np.uint32), cupy.full(3, -1, np.int64))
        states.setdefault(key, fresh)
    return states[key]


def here() -> tuple:
    """The device and the stream of the next launch."""
    stream = cupy.cuda.get_current_stream().ptr
    return cupy.cuda.Device().id, (stream, get_ident()) if stream == PER_THREAD else stream


@lru_cache(256)
def _constant(here, number):
    return cupy.full((), number, np.float64)


def on_device(number):
    """A number where kernels read it; an array as it is."""
    return number if isinstance(number, cupy.ndarray) else _constant(here(), float(number))


def launch(kernel, blocks, threads, *arguments, shared=0):
    """Launch on CuPy's current stream, with so many bytes of dynamic shared memory.

    Not by Numba's dispatcher, which looks at every argument anew, and warns of few blocks: a call
    of run_pointwise takes 11 µs of the host's time without the driver's, and takes 27 with it.
    """
    function, kinds, spread = _ready(kernel)
    if spread >= 0:
        arguments = (*arguments[:spread], *arguments[spread], *arguments[spread + 1 :])
    values = [kind(x) for kind, x in zip(kinds, arguments, strict=True)]
    stream = _stream(cupy.cuda.get_current_stream().ptr)
    core.launch(stream, _grid(max(1, blocks), threads, shared), function, *values)


@cache
def _stream(handle):
    return core.Stream.from_handle(handle)


@lru_cache(4096)
def _grid(blocks, threads, shared):
    return core.LaunchConfig(grid=blocks, block=threads, shmem_size=shared)


@cache
def _ready(kernel):
    """A compiled kernel as the driver knows it, what makes its arguments, and which is a tuple."""
    ((signature, compiled),) = kernel.overloads.items()
    kinds, spread = [], -1
    for i, argument in enumerate(signature):
        if isinstance(argument, types.BaseTuple):
            spread = i
            kinds += [SCALARS[part] for part in argument]
        else:
            kinds.append(SCALARS.get(argument, pointer))
    return compiled._codelibrary.get_cufunc().kernel, tuple(kinds), spread


def pointer(x):
    """Where an array begins, 0 for none."""
    return 0 if x is None else x.data.ptr


def aligned(x):
    """Whether accesses of 16 bytes may begin where the array does."""
    return x.data.ptr % 16 == 0


def in_order(x):
    """The array, or a copy, in row order. cupy.ascontiguousarray makes (1,) of a shape ()."""
    return x if x.flags.c_contiguous else x.copy()


def plain(x):
    """The same and aligned; no array as it is."""
    if not isinstance(x, cupy.ndarray):
        return x
    x = in_order(x)
    return x if aligned(x) else x.copy()


@cache
def shared_memory():
    """Bytes of shared memory that a block may ask for: 227 KiB on an H200, 99 on smaller GPUs."""
    return cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]


def allow_shared(kernel, size):
    """Ask for `size` bytes of a block's shared memory, once for a kernel.

    48 KiB need no asking, but a kernel's arrays of constant size are of them.
    """
    ((_, compiled),) = kernel.overloads.items()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    handle = compiled._codelibrary.get_cufunc().handle
    (error,) = driver.cuKernelSetAttribute(attribute, size, handle, cupy.cuda.Device().id)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"cross_entropy: this GPU has no {size} bytes of shared memory: {error}")
