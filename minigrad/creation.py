"""Making tensors from data, numbers and shapes."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex, TypeAlias, TypedDict, Unpack

import numpy as np

from . import dtypes
from .devices import DeviceLike, cupy, imported, placed
from .dtypes import DTypeLike
from .ops.arguments import sizes
from .quiet import quiet
from .tensor import Tensor

__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_dlpack", "from_numpy",
    "full", "full_like", "linspace", "ones", "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip

Sizes: TypeAlias = SupportsIndex | Sequence[SupportsIndex]


class Options(TypedDict, total=False):
    """What most creation functions take besides sizes and values."""

    dtype: DTypeLike
    device: DeviceLike
    requires_grad: bool


def _finish(array, device=None, requires_grad=False) -> Tensor:
    return Tensor(placed(array, device), requires_grad)


def adopted(data: Any) -> Tensor | None:
    """A Tensor, or another library's array or tensor as one; None if it is neither."""
    if isinstance(data, Tensor):
        return data
    other = not isinstance(data, np.generic) and any(hasattr(data, name) for name in _INTERFACES)
    return as_tensor(data) if other else None


_INTERFACES = ("__array__", "__cuda_array_interface__", "__dlpack__")


@quiet
def _array_of(data, dtype, copy):
    """Data as a native-order array: Python floats are float32, arrays keep their dtype."""
    if isinstance(data, Tensor):
        data = data.array
    elif hasattr(data, "requires_grad"):  # PyTorch's, which hands out none that is in its graph
        data = data.detach()
    foreign = imported(data)
    if foreign is not None:
        dtype = dtypes.as_dtype(dtype or foreign.dtype, "dtype" if dtype else "data")
        return foreign.astype(dtype, copy=copy)
    if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        data = np.from_dlpack(data)
    if hasattr(data, "__array__"):
        array = data.__array__()  # np.asarray would warn that PyTorch's takes no `copy`
        array = np.array(array) if copy else np.asarray(array)
        dtype = dtypes.as_dtype(dtype) if dtype else dtypes.as_dtype(array.dtype, "data")
        return array.astype(dtype, copy=False)
    if isinstance(data, (list, tuple)):
        data = [x.cpu().array if isinstance(x, Tensor) else x for x in data]
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"data: expected nested sequences of equal length ({error})") from None
    if array.dtype.kind == "O" or array.dtype == np.uint64:
        for x in array.flat:
            if not isinstance(x, (int, float, np.integer)):
                raise RuntimeError(f"data: Could not infer dtype of {type(x).__name__}")
        array = array.astype(np.float64)  # integers beyond int64
        if dtype is None:
            raise ValueError("data: Overflow when unpacking an integer: it does not fit int64")
    dtype = dtypes.as_dtype(dtype) if dtype else dtypes.as_dtype(_dtype_inside(data, array), "data")
    if array.size and dtype != array.dtype:
        dtypes.check_range(array.min(), array.max(), dtype)
    return array.astype(dtype, copy=False)


def _dtype_inside(data, array):
    """That of `array`, made of `data`; but Python floats are float32."""
    if array.dtype != np.float64:
        return array.dtype
    first = data
    while isinstance(first, (list, tuple)):
        first = first[0] if first else None
    return _widest(data) if hasattr(first, "dtype") else dtypes.float32


def _widest(data):
    if isinstance(data, (list, tuple)):
        return functools.reduce(dtypes.widen, map(_widest, data), dtypes.bool)
    return dtypes.result_type(data)


def tensor(
    data: Any, *, dtype: DTypeLike = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor with a copy of `data`: a number, nested sequences, an array or a Tensor.

    What is on a GPU, of any library with `__cuda_array_interface__`, stays there unless `device`
    says otherwise; other data go to the default device. Without a dtype, Python floats become
    float32, ints int64, bools bool, and arrays keep theirs. Raises TypeError for strings and dtypes
    unknown here, RuntimeError for other objects, ValueError for ragged sequences.
    """
    return _finish(_array_of(data, dtype, True), device, requires_grad)


def as_tensor(data: Any, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
    """As tensor(), but a Tensor or an array of the right dtype and device is not copied."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return _finish(_array_of(data, dtype, False), device)


asarray = as_tensor


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A Tensor on the array's own memory: a change of either shows in both."""
    if not isinstance(ndarray, np.ndarray):
        given = dtypes.name_of(ndarray)
        raise TypeError(f"from_numpy(): expected np.ndarray, got {given}; tensor() takes others")
    if not ndarray.dtype.isnative:
        raise ValueError("ndarray: expected the machine's byte order; tensor(ndarray) converts it")
    return Tensor(ndarray)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor on the memory of another library's array, on the CPU or a GPU, by DLPack."""
    if not hasattr(ext_tensor, "__dlpack_device__"):
        given = dtypes.name_of(ext_tensor)
        raise TypeError(f"ext_tensor: expected an array of a library with DLPack, got {given}")
    if not hasattr(ext_tensor, "__dlpack_device__"):
        kind = type(ext_tensor).__name__
        raise TypeError(f"ext_tensor: expected an array of a library with DLPack, got {kind}")
    kind = ext_tensor.__dlpack_device__()[0]
    if kind == 1:  # kDLCPU
        return Tensor(np.from_dlpack(ext_tensor))
    if kind == 2:  # kDLCUDA
        return Tensor(cupy().from_dlpack(ext_tensor))
    raise BufferError(f"ext_tensor: expected memory of the CPU or of a CUDA GPU, got kind {kind}")


def _shape(size):
    try:
        size = tuple(map(operator.index, sizes(size)))
    except TypeError:
        raise TypeError(f"size: expected integers, got {size}") from None
    if any(n < 0 for n in size):
        raise RuntimeError(f"size: expected non-negative sizes, got {size}")
    if math.prod(n or 1 for n in size) >= 2**60:  # of 8 bytes: what NumPy can count
        raise RuntimeError(f"size: {size} is more than an array can hold")
    return size


def check_numbers(**arguments: Any) -> None:
    """TypeError unless all are numbers, or arrays and Tensors of no dimension."""
    for name, x in arguments.items():
        of = getattr(getattr(x, "dtype", None), "kind", "f")  # "U": a text, as NumPy keeps it
        numbers = (int, float, np.integer, np.floating, np.bool_)
        if not isinstance(x, numbers) and (getattr(x, "ndim", 1) != 0 or of not in "biuf"):
            raise TypeError(f"{name}: expected a number, got {dtypes.name_of(x)}")


def like(input: Tensor, dtype: DTypeLike, device: DeviceLike) -> dict[str, Any]:
    """The dtype and the device of a Tensor unless others are given; TypeError if it is none."""
    if not isinstance(input, Tensor):
        raise TypeError(f"input: expected a Tensor, got {type(input).__name__}")
    return {"dtype": dtype or input.dtype, "device": input.device if device is None else device}


def zeros(
    *size: Sizes, dtype: DTypeLike = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the given shape; float32 unless told otherwise."""
    return full(size, 0, dtype=dtype or np.float32, device=device, requires_grad=requires_grad)


def ones(
    *size: Sizes, dtype: DTypeLike = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the given shape; float32 unless told otherwise."""
    return full(size, 1, dtype=dtype or np.float32, device=device, requires_grad=requires_grad)


def empty(
    *size: Sizes, dtype: DTypeLike = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Memory of the given shape, whatever it holds; float32 unless told otherwise."""
    array = np.empty(_shape(size), dtypes.as_dtype(dtype or np.float32))
    return _finish(array, device, requires_grad)


def full(
    size: Sizes | tuple[Sizes, ...], fill_value: float, *, dtype: DTypeLike = None,
    device: DeviceLike = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`fill_value` everywhere; its Python type decides the dtype unless given."""
    check_numbers(fill_value=fill_value)
    value = _array_of(fill_value, dtype, False)
    size = size if isinstance(size, (tuple, list)) else (size,)
    return _finish(np.full(_shape(tuple(size)), value, value.dtype), device, requires_grad)


def full_like(
    input: Tensor, fill_value: float, *, dtype: DTypeLike = None, device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`fill_value` in the shape and dtype of `input`, on its device."""
    options = like(input, dtype, device)
    return full(input.shape, fill_value, requires_grad=requires_grad, **options)


def zeros_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Zeros in the shape and dtype of `input`; options as in full_like."""
    return full_like(input, 0, **options)


def ones_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Ones in the shape and dtype of `input`; options as in full_like."""
    return full_like(input, 1, **options)


def empty_like(
    input: Tensor, *, dtype: DTypeLike = None, device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Memory in the shape and dtype of `input`, on its device, whatever it holds."""
    options = like(input, dtype, device)
    return empty(input.shape, requires_grad=requires_grad, **options)


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: DTypeLike = None,
    device: DeviceLike = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """start, start + step, ... below `end`; int64 if all are integers, else float32."""
    start, end = (0, start) if end is None else (start, end)
    check_numbers(start=start, end=end, step=step)
    if step == 0 or not 0 <= (end - start) / step < math.inf:
        raise RuntimeError(f"arange(): step {step} does not lead from {start} to {end}")
    dtype = dtypes.result_type(start, end, step) if dtype is None else dtypes.as_dtype(dtype)
    return _finish(np.arange(start, end, step).astype(dtype), device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: DTypeLike = None, device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` evenly spaced values from `start` to `end`, both included."""
    check_numbers(start=start, end=end)
    dtype = dtypes.as_dtype(dtype or np.float32)
    return _finish(np.linspace(start, end, *_shape((steps,))).astype(dtype), device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: DTypeLike = None, device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal of an (n, m) matrix, zeros elsewhere."""
    n, m = _shape((n, n if m is None else m))
    return _finish(np.eye(n, m, dtype=dtypes.as_dtype(dtype or np.float32)), device, requires_grad)
