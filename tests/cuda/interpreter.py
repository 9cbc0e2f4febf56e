"""minigrad.kernels.cuda on the interpreter of ptx.py: what its kernels are compiled to runs."""

import ctypes
from contextlib import contextmanager
from functools import cache
from unittest import mock

import driver
import numpy as np
import numpy_cupy
import ptx
from cuda.core._kernel_arg_handler import ParamHolder


@contextmanager
def running(cupy=numpy_cupy.cupy, random=None, text=str):
    """The module, for arrays of `cupy`. What a launch is given is packed by cuda.core, as ever.

    random: of the order of blocks; text: a function of a kernel's PTX that gives what runs.
    """
    random = random or np.random.default_rng()
    kernel = cache(lambda ptx_of_it: ptx.Kernel(text(ptx_of_it)))
    arrays = []  # of the launch: what it may read and write

    def launch(stream, config, library, *values):
        program, size = kernel(library.get_asm_str()), config.shmem_size
        allowed = getattr(library, "allowed", 48 * 1024 - program.shared)
        if size > min(allowed, driver.SHARED - program.shared):
            raise ptx.Fault(
                f"{size} bytes of dynamic shared memory, where {allowed} were asked for"
            )
        holder = ParamHolder(values)
        packed = ctypes.cast(holder.ptr, ctypes.POINTER(ctypes.c_void_p))
        numbers = []
        for k, (kind, _) in zip(range(len(values)), program.parameters, strict=True):
            kind = ptx.KINDS[kind[1:]]
            numbers.append(np.frombuffer(ctypes.string_at(packed[k], kind.itemsize), kind)[0])
        (blocks, *_), (threads, *_) = config.grid, config.block
        ptx.Launch(program, blocks, threads, numbers, arrays, size, random).run()

    def launch_with(*given, **options):
        arrays[:] = [getattr(x, "_host", x) for x in given if isinstance(x, cupy.ndarray)]
        launch_of_it(*given, **options)

    with (
        driver.without_a_gpu(cupy, launch) as device,
        mock.patch.object(device.launching, "aligned", numpy_cupy.aligned),
        mock.patch.object(device.launching, "pointer", numpy_cupy.pointer),
    ):
        launch_of_it = device.launch
        with mock.patch.object(device, "launch", launch_with):
            yield device
