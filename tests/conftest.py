"""The suite on a GPU: MINIGRAD_TEST_DEVICE=cuda, or =stand-in for the one in standin.py, whose
kernels are the CPU's, or =compiled: there the CUDA kernels, compiled, are run by cuda/ptx.py.

"cuda" is then the default device, so that tests need not name it, and `numpy()` copies to the CPU.
"""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import standin

import minigrad as mg
from minigrad import Tensor

DEVICE = os.environ.get("MINIGRAD_TEST_DEVICE", "cpu")
AT_ONCE = "on a GPU a number outside its range is noticed later, or gives NaN"
HOST = "memory shared with NumPy, and its flags"
KERNELS = "the CPU's kernels"
MIXED = "arrays of NumPy's go with tensors on the CPU"
PRINTS = "what is printed names the device"
RUNS = "the command runs in another process"
WRAPS = "CuPy's positions outside an array wrap around"
SCALAR = "Values are no tensors"
CPU_ONLY = {  # file, or file::test -> why it is skipped on a GPU
    "test_accuracy.py": KERNELS,
    "test_architecture.py": "the imports are the same on any device",
    "test_bad_calls.py": AT_ONCE,
    "test_bench.py": RUNS,
    "test_checkpoint.py": RUNS,
    "test_cli.py": RUNS,
    "test_determinism.py": KERNELS,
    "test_differences.py": AT_ONCE,
    "test_elementary.py": KERNELS,
    "test_gpu_bench.py": "it brings a stand-in of its own",
    "test_kernels.py": KERNELS,
    "test_memory.py": HOST,
    "test_printing.py": PRINTS,
    "test_processes.py": RUNS,
    "test_readme.py": RUNS,
    "test_scalar.py": SCALAR,
    "test_scalar_compile.py": SCALAR,
    "test_speed.py": KERNELS,
    "test_threads.py": KERNELS,
    "test_creation.py::test_data": HOST,
    "test_creation.py::test_from_numpy_read_only": HOST,
    "test_creation.py::test_from_numpy_shares": HOST,
    "test_creation.py::test_other_devices": "it expects no GPU",
    "test_creation.py::test_tensor_copies_and_as_tensor_does_not": HOST,
    "test_gradcheck.py::test_slope_at_ties": KERNELS,
    "test_gradcheck.py::test_slope_by_the_input": KERNELS,
    "test_gradcheck.py::test_slope_by_the_target": KERNELS,
    "test_losses.py::test_bce_outside_0_to_1": AT_ONCE,
    "test_losses.py::test_class_out_of_range": AT_ONCE,
    "test_losses.py::test_error": AT_ONCE,
    "test_losses.py::test_no_gradient_is_computed_where_none_is_asked_for": KERNELS,
    "test_losses.py::test_program": PRINTS,
    "test_module.py::test_modes_and_whole_tree_changes": "it moves a module to the CPU",
    "test_module.py::test_representation": PRINTS,
    "test_operations.py::test_unusual_shapes": WRAPS,
    "test_parity.py::test_no_grad_allocates_no_gradient": KERNELS,
    "test_parity.py::test_no_grad_computes_no_slopes": KERNELS,
    "test_recording.py::test_errors_come_back_in_a_replay": AT_ONCE,
    "test_tensor.py::test_arrays_in_operators": MIXED,
    "test_tensor.py::test_attributes": "it expects no GPU",
    "test_tensor.py::test_change_errors": HOST,
    "test_tensor.py::test_conversions": "it expects no GPU",
    "test_tensor.py::test_index_errors": WRAPS,
    "test_tensor.py::test_memory": HOST,
    "test_tensor.py::test_pickle_and_copy": HOST,
    "test_tensor.py::test_python_manners": PRINTS,
    "test_tensor.py::test_to_numpy": HOST,
    "test_tensor.py::test_ufuncs": MIXED,
    "test_tensor.py::test_unsupported_ufuncs": MIXED,
}

_running = ExitStack()


def pytest_configure():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if DEVICE == "cpu":
        return
    if DEVICE == "stand-in":
        sys.modules.update(standin.modules())
    if DEVICE == "compiled":
        cupy = sys.modules["cupy"] = standin.modules()["cupy"]
        sys.path.append(str(Path(__file__).parent / "cuda"))
        import interpreter

        _running.enter_context(interpreter.running(cupy))
    mg.set_default_device("cuda")
    numpy, from_numpy = Tensor.numpy, mg.from_numpy
    Tensor.numpy = lambda self, *, force=False: numpy(self, force=force or not self.requires_grad)
    mg.from_numpy = lambda ndarray: from_numpy(ndarray).cuda()


def pytest_collection_modifyitems(items):
    for item in items if DEVICE != "cpu" else ():
        name = getattr(item, "originalname", item.name)
        why = CPU_ONLY.get(item.path.name) or CPU_ONLY.get(f"{item.path.name}::{name}")
        if why:
            item.add_marker(pytest.mark.skip(reason=f"on the CPU only: {why}"))


def pytest_unconfigure():
    _running.close()
