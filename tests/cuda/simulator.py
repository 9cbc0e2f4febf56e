"""The CUDA simulator, completed: what a GPU does in a warp, and what it forbids.

Numba's simulator runs a kernel's threads as Python threads, block by block. It lacks the operations
of a warp and what is written as PTX, lets negative indices wrap around, and runs blocks in order.
Here NumPy's arrays stand for CuPy's: importing this module makes minigrad.kernels.cuda run on them.
Needs NUMBA_ENABLE_CUDASIM=1 before Numba is imported.
"""

import random
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import numpy_cupy
from numba import cuda
from numba.cuda.simulator import kernel, kernelapi
from numba.np import numpy_support

# --- warps --------------------------------------------------------------------------------------

_init = kernel.BlockManager.__init__


def _with_warps(self, *args):
    _init(self, *args)
    threads = int(np.prod(self._block_dim))
    assert threads % 32 == 0, "our kernels have whole warps"
    self.warps = [(threading.Barrier(32), [None] * 32) for _ in range(threads // 32)]


def _shuffle(self, mask, value, offset):
    thread = threading.current_thread()
    (barrier, slots), lane = thread._manager.warps[thread.thread_id // 32], thread.thread_id % 32
    slots[lane] = value
    barrier.wait(30)  # breaks if a lane of the warp does not come: a deadlock on a GPU
    other = slots[lane ^ offset]
    barrier.wait(30)
    return other


kernel.BlockManager.__init__ = _with_warps
kernelapi.FakeCUDAModule.shfl_xor_sync = _shuffle

_run = kernel.BlockThread.run


def _quiet_run(self):
    with np.errstate(all="ignore"):  # infinities and NaN are values; a new thread would warn
        _run(self)


kernel.BlockThread.run = _quiet_run


class _ShuffledBlocks:
    """NumPy for the simulator, but blocks come in any order: a GPU promises none."""

    def __getattr__(self, name):
        return getattr(np, name)

    def ndindex(self, *shape):
        order = list(np.ndindex(*shape))
        random.shuffle(order)
        return iter(order)


kernel.np = _ShuffledBlocks()

# --- memory -------------------------------------------------------------------------------------

_within = kernel.FakeWithinKernelCUDAArray
_get, _set = _within.__getitem__, _within.__setitem__


def _checked(index):
    if index < 0:
        raise IndexError(f"a kernel reads or writes in front of an array: {index}")
    return index


_within.__getitem__ = lambda self, i: _get(self, _checked(i))
_within.__setitem__ = lambda self, i, value: _set(self, _checked(i), value)


def _shared(self, shape, dtype, alignment=None):
    """Numba's knows no alignment, and tells arrays apart by the line that calls it."""
    dtype, caller = numpy_support.as_dtype(dtype), sys._getframe(1)
    if shape == 0:
        return np.frombuffer(self._dynshared.data, dtype, self._dynshared_size // dtype.itemsize)
    place = caller.f_code, caller.f_lineno
    return self._allocations.setdefault(place, numpy_cupy.poisoned(shape, dtype))


kernelapi.FakeCUDAShared.array = _shared

# --- what is written as PTX ---------------------------------------------------------------------

primitives = ModuleType("minigrad.kernels.cuda.primitives")


def copy16(to, i, source, j):
    width = 16 // np.dtype(source.dtype).itemsize
    assert i % width == j % width == 0, "16 bytes at a place that is no multiple of 16"
    for k in range(width):
        to[i + k] = source[j + k]


def take_ticket(counter, last):
    before = counter[0]
    counter[0] = 0 if before >= last else before + 1
    return before


primitives.copy16, primitives.take_ticket = copy16, take_ticket
primitives.divide = lambda a, b: a / b
primitives.fresh = lambda pointer, i: pointer[i]
primitives.as_new = lambda i: i
primitives.device = lambda function: function  # the simulator would take 5 µs a call
sys.modules["minigrad.kernels.cuda.primitives"] = primitives

# ------------------------------------------------------------------------------------------------

sys.modules["cupy"] = numpy_cupy.cupy
sys.modules["cuda"], sys.modules["cuda.bindings"] = ModuleType("cuda"), ModuleType("cuda.bindings")
sys.modules["cuda"].core = sys.modules["cuda.bindings"].driver = None  # nothing is launched

from minigrad.kernels import cuda as device  # noqa: E402
from minigrad.kernels.cuda import binding, elementary, launching  # noqa: E402

elementary.math = SimpleNamespace(exp=np.exp, log=np.log, log1p=np.log1p)  # Python's raise errors
launching.shared_memory, launching.allow_shared = lambda: 227 * 1024, lambda kernel, size: None
launching.aligned = numpy_cupy.aligned


def launch(kernel, blocks, threads, *arguments, shared=0):
    kernel[max(1, blocks), threads, 0, shared](*map(memory, arguments))


def memory(x):
    """What a pointer gives a kernel: the memory that an array lies in, as one row."""
    if not isinstance(x, np.ndarray):
        return 0 if x is None else x
    x = x if any(x.strides) else x.reshape(-1)[:1]
    return np.require(x, None, "W").reshape(-1)


device.launch = launch
binding.cuda = SimpleNamespace(jit=lambda signature, **options: cuda.jit(signature))
