"""Making tensors from data, numbers and shapes."""

from __future__ import annotations

import numpy as np

from . import dtypes
from .ops.shape import sizes
from .tensor import Tensor, check_device


def _finish(array, device=None, requires_grad=False) -> Tensor:
    check_device(device)
    return Tensor(array, requires_grad)


def _array_of(data, dtype, copy):
    """Data as a native-order array: Python floats are float32, arrays keep their dtype."""
    if isinstance(data, Tensor):
        data = data.array
    if not hasattr(data, "__array__"):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
            data = [x.array if isinstance(x, Tensor) else x for x in data]
        try:
            array = np.array(data)
        except ValueError as error:
            raise ValueError(f"data: expected nested sequences of equal length ({error})") from None
        if array.dtype == np.float64 and not _holds_numpy(data):
            array = array.astype(np.float32) if dtype is None else array
        if array.dtype == object or array.dtype == np.uint64:
            try:
                array = array.astype(np.int64 if dtype is None else dtype)
            except OverflowError:
                raise RuntimeError("data: overflow when converting to int64") from None
            except (TypeError, ValueError):
                raise TypeError(
                    f"data: expected numbers, sequences or arrays, got {type(data).__name__}"
                ) from None
    else:
        array = np.array(data) if copy else np.asarray(data)
    wanted = dtypes.as_dtype(array.dtype if dtype is None else dtype, "data")
    return array.astype(wanted, copy=False)


def _holds_numpy(data):
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.generic, np.ndarray))


def tensor(data, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A Tensor with a copy of `data`: a number, nested sequences, an array or a Tensor.

    Without a dtype, Python floats become float32, ints int64, bools bool, and arrays keep theirs.
    Raises TypeError for what is no number, ValueError for ragged sequences.
    """
    return _finish(_array_of(data, dtype, copy=True), device, requires_grad)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """As tensor(), but a Tensor or an array of the right dtype is not copied."""
    check_device(device)
    if isinstance(data, Tensor) and dtype in (None, data.dtype):
        return data
    if isinstance(data, Tensor):
        return data.to(dtype)
    return Tensor(_array_of(data, dtype, copy=False))


asarray = as_tensor


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A Tensor on the array's own memory: a change of either shows in both."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy(): expected np.ndarray, got {type(ndarray).__name__}")
    if not ndarray.dtype.isnative:
        raise ValueError(
            "from_numpy(): given numpy array has byte order different from the native byte order; "
            "use minigrad.tensor(array), which converts"
        )
    return Tensor(ndarray)


def _shape(size):
    size = tuple(map(int, sizes(size)))
    if any(n < 0 for n in size):
        raise RuntimeError(f"size: expected non-negative sizes, got {size}")
    return size


def zeros(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Zeros of the given shape; float32 unless told otherwise."""
    return full(size, 0, dtype=dtype or np.float32, device=device, requires_grad=requires_grad)


def ones(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Ones of the given shape; float32 unless told otherwise."""
    return full(size, 1, dtype=dtype or np.float32, device=device, requires_grad=requires_grad)


def empty(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Memory of the given shape, whatever it holds; float32 unless told otherwise."""
    array = np.empty(_shape(size), dtypes.as_dtype(dtype or np.float32))
    return _finish(array, device, requires_grad)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`fill_value` everywhere; its Python type decides the dtype unless given."""
    dtype = dtypes.result_type(fill_value) if dtype is None else dtypes.as_dtype(dtype)
    size = (size,) if isinstance(size, (int, np.integer)) else size
    return _finish(np.full(_shape(tuple(size)), fill_value, dtype), device, requires_grad)


def _like(input, value, dtype, device, requires_grad):
    dtype = dtype or input.dtype
    return full(input.shape, value, dtype=dtype, device=device, requires_grad=requires_grad)


def zeros_like(input, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Zeros in the shape and dtype of `input`."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(input, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Ones in the shape and dtype of `input`."""
    return _like(input, 1, dtype, device, requires_grad)


def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`fill_value` in the shape and dtype of `input`."""
    return _like(input, fill_value, dtype, device, requires_grad)


def empty_like(input, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Memory in the shape and dtype of `input`, whatever it holds."""
    return empty(
        *input.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad
    )


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, ... below `end`; int64 if all are integers, else float32."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(
            f"arange(): step {step} does not lead from {start} to {end}"
        )  # fmt: skip
    dtype = dtypes.result_type(start, end, step) if dtype is None else dtypes.as_dtype(dtype)
    return _finish(np.arange(start, end, step).astype(dtype), device, requires_grad)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` evenly spaced values from `start` to `end`, both included."""
    dtype = dtypes.as_dtype(dtype or np.float32)
    return _finish(np.linspace(start, end, steps).astype(dtype), device, requires_grad)


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix, zeros elsewhere."""
    return _finish(np.eye(n, m, dtype=dtypes.as_dtype(dtype or np.float32)), device, requires_grad)
