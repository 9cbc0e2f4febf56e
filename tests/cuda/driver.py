"""minigrad.kernels.cuda where there is no GPU: compiled as for an H200, launched by whoever asks.

Tests that import this module are skipped where numba-cuda is missing; no driver is needed.
"""

import os
import tempfile
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

import numpy_cupy
import pytest

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    pytest.skip("compiled kernels, without NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)
pytest.importorskip("numba_cuda", reason="compiles with numba-cuda: pip install numba-cuda[cu13]")
pytest.importorskip("cuda.bindings", reason="numba-cuda's driver: pip install numba-cuda[cu13]")

import numba.cuda.dispatcher
from cuda.bindings.driver import CUresult
from numba.cuda import codegen
from numba.cuda.core import caching

SHARED = 227 * 1024  # bytes that a block of an H200 may ask for
FOLDER = tempfile.TemporaryDirectory()  # of compiled kernels, for this process
H200 = SimpleNamespace(compute_capability=(9, 0), id=0)


@contextmanager
def without_a_gpu(cupy=numpy_cupy.cupy, launch=None):
    """The module, with `cupy` for CuPy.

    launch: called in place of cuda.core's with (stream, config, library, *values); library.allowed
    is the dynamic shared memory that was asked for.
    """
    device = numpy_cupy.kernels()
    launching = device.launching

    def loaded(library):
        module = SimpleNamespace(initialized=True)
        return SimpleNamespace(kernel=library, handle=library, module=module)

    def allow(attribute, size, library, device):
        library.allowed = size
        return (CUresult.CUDA_SUCCESS,)

    with ExitStack() as stack:
        for owner, changes in (
            (device, {"cupy": cupy}),
            (launching, {"cupy": cupy, "scratches": {}, "shared_memory": lambda: SHARED}),
            (launching.core, {"launch": launch}),
            (launching.driver, {"cuKernelSetAttribute": allow}),
            (
                codegen,
                {"devices": SimpleNamespace(get_context=lambda: SimpleNamespace(device=H200))},
            ),
            (codegen.CUDACodeLibrary, {"get_cufunc": loaded}),
            (numba.cuda.dispatcher, {"get_current_device": lambda: H200}),
            (caching.config, {"CACHE_DIR": FOLDER.name}),
        ):
            for name, value in changes.items():
                stack.enter_context(mock.patch.object(owner, name, value))
        stack.callback(numpy_cupy.forget, device)
        numpy_cupy.forget(device)
        yield device
