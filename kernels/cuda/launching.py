"""Between CuPy's arrays and a kernel's arguments."""

from __future__ import annotations

from functools import cache
from threading import get_ident

import cupy
import numpy as np
from numba import cuda
from numba.core import config

BLOCKS = 2112  # of a launch, at most: sixteen on each of an H200's 132 SMs
PER_THREAD = 2  # CUDA's name for the default stream of a thread, in every thread the same


def here():
    """The device and the stream of the next launch. Launches queue for what their stream has."""
    stream = cupy.cuda.get_current_stream().ptr
    return cupy.cuda.Device().id, (stream, get_ident()) if stream == PER_THREAD else stream


@cache
def scratch(device, stream):
    """What a loss's kernels need besides its arrays: the blocks' sums, a ticket (see sums.fold)."""
    return cupy.empty(2 * BLOCKS), cupy.zeros(1, np.uint32)


@cache
def status(device, stream):
    """(position, class, number of classes) of the first class that was out of range; -1: none."""
    return cupy.full(3, -1, np.int64)


@cache
def constant(device, stream, number):
    """A number where kernels read it."""
    return cupy.full((), number, np.float64)


@cache
def _stream(handle):
    return cuda.external_stream(handle) if handle else 0


def launch(kernel, blocks, threads, *arguments, shared=0):
    """Launch on CuPy's current stream, with so many bytes of dynamic shared memory.

    A pointer costs a microsecond of the host's time, an array six.
    """
    stream = _stream(cupy.cuda.get_current_stream().ptr)
    # Numba warns of fewer than 128 blocks; a small batch has no more.
    warn, config.CUDA_LOW_OCCUPANCY_WARNINGS = config.CUDA_LOW_OCCUPANCY_WARNINGS, 0
    try:
        configured = kernel[max(1, blocks), threads, stream, shared]
    finally:
        config.CUDA_LOW_OCCUPANCY_WARNINGS = warn
    configured(*map(pointer, arguments))


def pointer(x):
    """An argument as a kernel takes it: where an array begins, a number as it is."""
    if isinstance(x, cupy.ndarray):
        return x.data.ptr
    return 0 if x is None else x


def aligned(x):
    """Whether accesses of 16 bytes may begin where the array does."""
    return x is None or x.data.ptr % 16 == 0


def in_order(x):
    """The array, or a copy, in row order. cupy.ascontiguousarray makes (1,) of a shape ()."""
    return x if x.flags.c_contiguous else x.copy()


def plain(x):
    """The same and aligned; no array as it is."""
    if not isinstance(x, cupy.ndarray):
        return x
    x = in_order(x)
    return x if aligned(x) else x.copy()


def allow_shared(kernel, size):
    """Ask for `size` bytes of a block's shared memory, once for a kernel; 48 KiB need no asking."""
    from cuda.bindings import driver

    (compiled,) = kernel.overloads.values()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    handle = compiled._codelibrary.get_cufunc().handle
    (error,) = driver.cuKernelSetAttribute(attribute, size, handle, cupy.cuda.Device().id)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"cross_entropy: this GPU has no {size} bytes of shared memory: {error}")
