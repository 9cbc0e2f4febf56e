"""`minigrad info`: show versions, processor, threads, kernel cache, and what is missing."""

import argparse
import importlib.metadata
import platform
import re

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numpy as np

from minigrad import cuda
from minigrad.devices import missing
from minigrad.kernels import LOSSES, cpu
from minigrad.kernels.cpu import binding
from minigrad.optional import DISTRIBUTION, install

SIMD = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve")
MISSING = "missing"
EXTRAS = ("train", "test", "torch", "bench", "cuda", "dev", "fuzz")  # the first that has it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments."""


def run(options: argparse.Namespace) -> None:
    """Print a table of names and values."""
    rows = {"platform": platform.platform(), "python": platform.python_version()}
    rows["minigrad"] = version(DISTRIBUTION)
    rows |= {name: version(name) for name in ("numpy", "numba", "llvmlite")}

    rows["processor"], features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    rows["SIMD"] = " ".join(name for name in SIMD if features.get(name)) or "none known"
    rows["NumPy's BLAS"] = np.show_config("dicts")["Build Dependencies"]["blas"]["name"]

    # Numba settles on a threading layer in its first parallel call, so make one.
    loop = binding.kernel(cpu.pointwise.pointwise, LOSSES["mse"].rule, np.dtype("float32"), True)
    cpu.run_pointwise(LOSSES["mse"], *np.zeros((2, cpu.PARALLEL), np.float32))
    layer = numba.threading_layer()
    advice = ", slow to start: install libgomp" if layer == "workqueue" else ""
    rows["threads"] = f"{numba.get_num_threads()} ({layer} layer{advice})"
    rows["kernel cache"] = loop.stats.cache_path or "none: set NUMBA_CACHE_DIR to a folder"
    rows["CUDA"] = missing() or cuda.get_device_name()

    lines = importlib.metadata.requires(DISTRIBUTION) or ()
    found = re.findall(r"""^([\w-]+).*extra == ['"](\w+)""", "\n".join(lines), re.MULTILINE)
    for package, extra in sorted(found, key=lambda pair: EXTRAS.index(pair[1])):
        advice = f"{MISSING}: {install(extra)}"
        rows.setdefault(package, version(package).replace(MISSING, advice))

    for name, value in rows.items():
        print(f"{name:{max(map(len, rows))}}  {value}")


def version(distribution: str) -> str:
    """The installed version, or MISSING; imports nothing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return MISSING
