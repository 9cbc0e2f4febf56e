"""The suite on a GPU: MINIGRAD_TEST_DEVICE=cuda, or =stand-in for the one in helpers/standin.py,
whose kernels are the CPU's, or =compiled: there the CUDA kernels, compiled, are run by cuda/ptx.py.

"cuda" is then the default device, so that tests need not name it, and `numpy()` copies to the CPU.
"""

import gc
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import minigrad as mg
from helpers import TESTS, standin
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
CPU_ONLY = {  # room/file, or room/file::test[case] -> why it is skipped on a GPU
    "kernels/test_accuracy.py": KERNELS,
    "house/test_architecture.py": "the imports are the same on any device",
    "house/test_bad_calls.py": AT_ONCE,
    "benchmarks/test_bench.py": RUNS,
    "house/test_environment.py": RUNS,
    "cli/test_checkpoint.py": RUNS,
    "cli/test_cli.py": RUNS,
    "kernels/test_determinism.py": KERNELS,
    "house/test_differences.py": AT_ONCE,
    "kernels/test_elementary.py": KERNELS,
    "benchmarks/test_gpu_bench.py": "it brings a stand-in of its own",
    "kernels/test_kernels.py": KERNELS,
    "kernels/test_memory.py": HOST,
    "tensor/test_printing.py": PRINTS,
    "house/test_processes.py": RUNS,
    "house/test_programs.py": MIXED,
    "house/test_readme.py": RUNS,
    "scalar/test_scalar.py": SCALAR,
    "scalar/test_scalar_compile.py": SCALAR,
    "benchmarks/test_speed.py": KERNELS,
    "house/test_threads.py": KERNELS,
    "tensor/test_creation.py::test_data": HOST,
    "tensor/test_creation.py::test_from_numpy_read_only": HOST,
    "tensor/test_creation.py::test_from_numpy_shares": HOST,
    "tensor/test_creation.py::test_other_devices": "it expects no GPU",
    "tensor/test_creation.py::test_tensor_copies_and_as_tensor_does_not": HOST,
    "autograd/test_autograd.py::test_arrays_of_the_user_are_copied": MIXED,
    "autograd/test_gradcheck.py::test_slope_at_ties": KERNELS,
    "autograd/test_gradcheck.py::test_slope_by_the_input": KERNELS,
    "autograd/test_gradcheck.py::test_slope_by_the_target": KERNELS,
    "nn/test_losses.py::test_bce_outside_0_to_1": AT_ONCE,
    "nn/test_losses.py::test_class_out_of_range": AT_ONCE,
    "nn/test_losses.py::test_error": AT_ONCE,
    "nn/test_losses.py::test_no_gradient_is_computed_where_none_is_asked_for": KERNELS,
    "nn/test_losses.py::test_program": PRINTS,
    "nn/test_module.py::test_modes_and_whole_tree_changes": "it moves a module to the CPU",
    "nn/test_module.py::test_representation": PRINTS,
    "ops/test_operations.py::test_unusual_shapes": WRAPS,
    "nn/test_parity.py::test_no_grad_allocates_no_gradient": KERNELS,
    "nn/test_parity.py::test_no_grad_computes_no_slopes": KERNELS,
    "recording/test_equal_or_refused.py::test_equal[memory_that_is_read_only]": HOST,
    "recording/test_equal_or_refused.py::test_lists_as_indices_keep_what_they_held": MIXED,
    "recording/test_equal_or_refused.py::test_refused[an array]": MIXED,
    "recording/test_equal_or_refused.py::test_refused[full]": MIXED,
    "recording/test_recording.py::test_errors_come_back_in_a_replay": AT_ONCE,
    "tensor/test_tensor.py::test_arrays_in_operators": MIXED,
    "tensor/test_tensor.py::test_attributes": "it expects no GPU",
    "tensor/test_tensor.py::test_change_errors": HOST,
    "tensor/test_tensor.py::test_conversions": "it expects no GPU",
    "tensor/test_tensor.py::test_index_errors": WRAPS,
    "tensor/test_tensor.py::test_memory": HOST,
    "tensor/test_tensor.py::test_numpy_calls": MIXED,
    "tensor/test_tensor.py::test_numpy_calls_refused": MIXED,
    "tensor/test_tensor.py::test_pickle_and_copy": HOST,
    "tensor/test_tensor.py::test_python_manners": PRINTS,
    "tensor/test_tensor.py::test_to_numpy": HOST,
    "tensor/test_tensor.py::test_ufuncs": MIXED,
    "tensor/test_tensor.py::test_unsupported_ufuncs": MIXED,
}

_running = ExitStack()


def pytest_xdist_auto_num_workers(config):
    """A process for each core where whole folders are run; files and choices are here sooner."""
    option = config.option
    chosen = option.keyword or option.lf or option.usepdb or option.collectonly
    folders = all(Path(argument).is_dir() for argument in config.args)
    return None if folders and not chosen else 0


def pytest_configure():
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if DEVICE == "cpu":
        return
    if DEVICE == "stand-in":
        sys.modules.update(standin.modules())
    if DEVICE == "compiled":
        cupy = sys.modules["cupy"] = standin.modules()["cupy"]
        sys.path.append(str(TESTS / "cuda"))
        import interpreter

        _running.enter_context(interpreter.running(cupy))
    mg.set_default_device("cuda")
    numpy, from_numpy = Tensor.numpy, mg.from_numpy
    Tensor.numpy = lambda self, *, force=False: numpy(self, force=force or not self.requires_grad)
    mg.from_numpy = lambda ndarray: from_numpy(ndarray).cuda()


def pytest_collection_modifyitems(items):
    for item in items if DEVICE != "cpu" else ():
        name = getattr(item, "originalname", item.name)
        file = f"{item.path.parent.name}/{item.path.name}"
        places = (file, f"{file}::{name}", f"{file}::{item.name}")
        why = next((CPU_ONLY[place] for place in places if place in CPU_ONLY), None)
        if why:
            item.add_marker(pytest.mark.skip(reason=f"on the CPU only: {why}"))


@pytest.fixture(autouse=True, scope="module")
def _no_more_to_collect_than_a_file_makes():
    """Going through 11,000 tests and what Numba keeps, each gc.collect() would take 0.3 s."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    _running.close()
