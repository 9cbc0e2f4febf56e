"""NumPy for CuPy: what kernels/cuda asks of it."""

import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np


def poisoned(shape, dtype=np.float64):
    """Memory as cupy.empty gives it, at its worst: an element that no kernel writes shows."""
    array = np.empty(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else 77)
    return array


cupy = ModuleType("cupy")
cupy.__getattr__ = lambda name: getattr(np, name)
cupy.ndarray, cupy.empty, cupy.asnumpy = np.ndarray, poisoned, np.array
cupy.argsort = lambda array: np.argsort(array, kind="stable")  # CuPy's always is
cupy.cuda = SimpleNamespace(
    Device=lambda: SimpleNamespace(id=0), get_current_stream=lambda: SimpleNamespace(ptr=0)
)


def kernels():
    """minigrad.kernels.cuda, with or without CuPy."""
    missing = "cupy" not in sys.modules and find_spec("cupy") is None
    if missing:
        sys.modules["cupy"] = cupy
    try:
        from minigrad.kernels import cuda
    finally:
        if missing:
            del sys.modules["cupy"]
    return cuda


def forget(device):
    """Compile anew what is asked for from here on."""
    for cached in (
        device.pointwise_kernel, device.class_kernel, device.weight_kernel, device.count_kernel,
        device.loop_kernel, device.launching._ready, device.launching._constant,
        sys.modules[f"{device.__name__}.binding"].kernel,
    ):  # fmt: skip
        cached.cache_clear()


def start(x):
    """The address of an array of NumPy's, or of the stand-in for CuPy."""
    return getattr(x, "_host", x).ctypes.data


def pointer(x):
    """launching.pointer for these arrays."""
    return 0 if x is None else start(x)


def aligned(x):
    """launching.aligned for them."""
    return start(x) % 16 == 0
