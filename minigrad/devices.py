"""Where an array lives: NumPy's on the CPU, CuPy's on a GPU; and moving it from one to the other.

Operations need not ask: CuPy's arrays answer NumPy's functions. Only what makes a new array beside
another takes `module(array)`. CuPy is imported when a first array is to go to a GPU.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any, Self, TypeAlias

import numpy as np

from .optional import install

PARTS = {"cupy": "CuPy", "numba_cuda": "numba-cuda"}


class device(str):  # PyTorch's name
    """Where a tensor lives: device("cpu"), device("cuda"), device("cuda", 0), device("cuda:0")."""

    __slots__ = ()

    def __new__(cls, type: str | int, index: int | None = None) -> Self:
        name = f"cuda:{type}" if isinstance(type, int) else type
        return super().__new__(cls, name if index is None else f"{name}:{index}")

    @property
    def type(self) -> str:
        """The name before the colon."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number behind the colon, or None."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"


DeviceLike: TypeAlias = device | str | int | None  # None: the default one, or where it is
CPU, CUDA = device("cpu"), device("cuda:0")
_default = CPU


def find(wanted: str | int) -> device:
    """CPU or CUDA, by name, number or device; RuntimeError that says what is missing, or wrong."""
    if not isinstance(wanted, (str, int)):
        raise TypeError(f"device: expected a device or its name, got {type(wanted).__name__}")
    name = device(wanted)
    if name in ("cpu", "cpu:0"):
        return CPU
    if name in ("cuda", "cuda:0"):
        problem = missing()
        if problem:
            raise RuntimeError(f"device: {problem}; expected 'cpu', got {wanted!r}")
        return CUDA
    one = (
        "'cuda' (one GPU, which CUDA_VISIBLE_DEVICES chooses)" if name.type == "cuda" else "'cuda'"
    )
    raise RuntimeError(f"device: expected {one} or 'cpu', got {wanted!r}")


def cupy() -> Any:
    """CuPy, imported with the first array that goes to a GPU."""
    return importlib.import_module("cupy")


def missing() -> str | None:
    """What a GPU's tensors lack here, and how to get it; None if they can be made."""
    for part, name in PARTS.items():
        if find_spec(part) is None:
            return f"{name} is not installed, {install('cuda')}"
    try:
        found = cupy().cuda.is_available()
    except Exception as error:  # whatever a library raises that it loads
        kind = type(error).__name__
        seen = "python -c 'import cupy' shows it all"
        return f"importing CuPy ends in {kind} ({seen}), {install('cuda')}"
    return None if found else "no GPU, or no driver for it, was found (nvidia-smi lists both)"


def set_default_device(device: str | int) -> None:
    """Let creation functions without `device` put their tensors there; PyTorch's, but global."""
    global _default
    _default = find(device)


def get_default_device() -> device:
    """Where creation functions without `device` put their tensors."""
    return _default


def on_gpu(x: object) -> bool:
    """Whether x is an array of CuPy's. Costs no import: without CuPy there is none."""
    return isinstance(x, getattr(sys.modules.get("cupy"), "ndarray", ()))


def of(array: Any) -> device:
    """The device of an array."""
    return device("cuda", array.device.id) if on_gpu(array) else CPU


def module(array: Any) -> Any:
    """NumPy or CuPy: whose functions make arrays on the device of this one."""
    return np if type(array) is np.ndarray or not on_gpu(array) else sys.modules["cupy"]


def settled(x: Any) -> Any:
    """An array as it is, wherever it lives; a number, as NumPy reduces to, as a 0-d array."""
    return np.asarray(x) if isinstance(x, np.generic) or not on_gpu(x) else x


def move(array: Any, to: device) -> Any:
    """The array on CPU or CUDA; itself if it is there."""
    if on_gpu(array) == (to == CUDA):
        return array
    return cupy().asarray(array) if to == CUDA else array.get()


def placed(array: Any, wanted: DeviceLike = None) -> Any:
    """A new array on the wanted device; by default where it is, or NumPy's on the default one."""
    if wanted is None:
        wanted = of(array) if on_gpu(array) else _default
    return move(array, find(wanted) if wanted is not CPU else CPU)


def imported(x: Any) -> Any:
    """CuPy's array on the memory of another library's on the GPU; None if x is none of these."""
    if not hasattr(x, "__cuda_array_interface__"):
        return None
    find("cuda")
    return cupy().asarray(x)


@cache
def _one(dtype, gpu):
    return cupy().ones((), dtype) if gpu else dtype.type(1)


def one(array: Any) -> Any:
    """The 1 of this dtype and device that a backward pass begins with: always the same object,
    so that who is handed it knows without looking at a number on the GPU."""
    return _one(array.dtype, type(array) is not np.ndarray)
