"""Between CuPy's arrays and a kernel's arguments."""

from __future__ import annotations

from ctypes import c_double, c_float, c_int64
from functools import cache, lru_cache
from threading import get_ident
from typing import Any, NamedTuple

import cupy
import numpy as np
from cuda import core
from cuda.bindings import driver
from numba import types

SCALARS = {types.int64: c_int64, types.float32: c_float, types.float64: c_double}
BLOCKS = 2112  # of a launch, at most: sixteen on each of an H200's 132 SMs
PER_THREAD = 2  # CUDA's name for the default stream of a thread, in every thread the same


class Scratch(NamedTuple):
    """What the launches on a stream share, which queue for it."""

    block_sums: cupy.ndarray  # two numbers for each block
    ticket: cupy.ndarray  # see sums.grid_sum
    bad_class: cupy.ndarray  # (position, class, classes) of the first out of range, or -1


scratches: dict[tuple, Scratch] = {}


def scratch() -> Scratch:
    """That of the next launch."""
    key = here()
    if key not in scratches:
        sums, ticket = cupy.empty(2 * BLOCKS), cupy.zeros(1, np.uint32)
        scratches.setdefault(key, Scratch(sums, ticket, cupy.full(3, -1, np.int64)))
    return scratches[key]


def here() -> tuple:
    """The device and the stream of the next launch."""
    stream = cupy.cuda.get_current_stream().ptr
    return cupy.cuda.Device().id, (stream, get_ident()) if stream == PER_THREAD else stream


@lru_cache(256)
def _constant(here, number):
    return cupy.full((), number, np.float64)


def on_device(number: Any) -> cupy.ndarray:
    """A number where kernels read it; an array as it is."""
    return number if isinstance(number, cupy.ndarray) else _constant(here(), float(number))


def launch(kernel: Any, blocks: int, threads: int, *arguments: Any, shared: int = 0) -> None:
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
            kinds += [SCALARS[item] for item in argument]
        else:
            kinds.append(SCALARS.get(argument, pointer))
    return compiled._codelibrary.get_cufunc().kernel, tuple(kinds), spread


def pointer(x: cupy.ndarray | None) -> int:
    """Where an array begins, 0 for none."""
    return 0 if x is None else x.data.ptr


def aligned(x: cupy.ndarray) -> bool:
    """Whether accesses of 16 bytes may begin where the array does."""
    return x.data.ptr % 16 == 0


def contiguous(x: cupy.ndarray) -> cupy.ndarray:
    """The array, or a copy, in row order. cupy.ascontiguousarray makes (1,) of a shape ()."""
    return x if x.flags.c_contiguous else x.copy()


def contiguous16(x: Any) -> Any:
    """The same, and beginning at a multiple of 16 bytes; what is no array, as it is."""
    if not isinstance(x, cupy.ndarray):
        return x
    x = contiguous(x)
    return x if aligned(x) else x.copy()


@cache
def shared_memory() -> int:
    """Bytes of shared memory that a block may ask for: 227 KiB on an H200, 99 on smaller GPUs."""
    return cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]


def allow_shared(kernel: Any, size: int) -> None:
    """Ask for `size` bytes of a block's shared memory, once for a kernel.

    48 KiB need no asking, but a kernel's arrays of constant size are of them.
    """
    ((_, compiled),) = kernel.overloads.items()
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    handle = compiled._codelibrary.get_cufunc().handle
    (error,) = driver.cuKernelSetAttribute(attribute, size, handle, cupy.cuda.Device().id)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"cross_entropy: this GPU has no {size} bytes of shared memory: {error}")
