"""The dtypes, and PyTorch's rules for mixing them. A dtype here is NumPy's own."""

import builtins
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "bool", "double", "float", "float32", "float64", "int", "int8", "int16", "int32", "int64",
    "long", "result_type", "short", "uint8",
]  # fmt: skip

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
int64, int32 = np.dtype(np.int64), np.dtype(np.int32)
int16, int8, uint8 = np.dtype(np.int16), np.dtype(np.int8), np.dtype(np.uint8)
bool = np.dtype(np.bool_)
float, double, long, int, short = float32, float64, int64, int32, int16

DTypeLike: TypeAlias = npt.DTypeLike | None  # None: what fits
SUPPORTED: tuple[np.dtype, ...] = (float32, float64, int64, int32, int16, int8, uint8, bool)
_OF_NUMBER: dict[Any, np.dtype] = {
    builtins.bool: bool, builtins.int: int64, builtins.float: float32,
}  # fmt: skip
CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}  # of a dtype's kind: in-place results may not rise
_ALIASES = {"float": float32, "long": int64, "int": int32, "short": int16}


def name_of(value: Any) -> str:
    """What a value is, for errors: PyTorch has a Tensor and a Linear as well."""
    kind = type(value)
    return f"torch.{kind.__name__}" if kind.__module__.startswith("torch") else kind.__name__


def as_dtype(dtype: Any, argument: str = "dtype") -> np.dtype:
    """A supported dtype from what NumPy or a reader would call one; TypeError otherwise."""
    if dtype in _OF_NUMBER:
        return float64 if dtype is builtins.float else _OF_NUMBER[dtype]
    try:
        name: Any = _ALIASES.get(dtype, dtype) if isinstance(dtype, str) else dtype
        found = np.dtype(name)
    except TypeError:
        found = None
    for supported in SUPPORTED:  # the very object, so that `is` tells dtypes apart
        if found is not None and found.newbyteorder("=") == supported:
            return supported
    names = ", ".join(d.name for d in SUPPORTED)
    raise TypeError(f"{argument}: expected one of {names}, got {dtype!r}")


def check_range(low: Any, high: Any, dtype: np.dtype) -> None:
    """Raise RuntimeError unless an integer `dtype` holds low ... high (negatives may wrap)."""
    if dtype.kind in "iu":
        limit = np.iinfo(dtype).max
        if not (-limit - (dtype.kind == "i") <= low and high <= limit):
            problem = f"value cannot be converted to type {dtype} without overflow"
            raise RuntimeError(f"{problem}: got {low} to {high}")


def widen(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype of two operands of equal standing: a float absorbs an integer of any width."""
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else b
    return np.promote_types(a, b)


def _of_kind(x):
    """The dtype of a number of a class of its own, such as an IntEnum's."""
    for kind, dtype in _OF_NUMBER.items():
        if isinstance(x, kind):
            return dtype
    raise TypeError(f"result_type(): expected Tensors or numbers, got {type(x).__name__}")


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an operation on arrays and Python numbers.

    Arrays with dimensions decide; a 0-d array, and after it a Python number, matters only when it
    is of a higher category (bool < integer < float). NumPy's rules differ in int64 with float32,
    in integers with Python floats and in 0-d arrays.
    Source: PyTorch, "Tensor Attributes", type promotion.
    """
    found: list[np.dtype | None] = [None, None, None]  # arrays, 0-d arrays, numbers
    for x in operands:
        if x is not None:
            dtype = x.dtype if hasattr(x, "dtype") else _OF_NUMBER.get(type(x)) or _of_kind(x)
            level = 2 if not hasattr(x, "dtype") else 0 if x.ndim else 1
            before = found[level]
            found[level] = dtype if before is None else widen(before, dtype)
    result = None
    for dtype in found:
        higher = result and dtype and CATEGORY[dtype.kind] > CATEGORY[result.kind]
        result = dtype if result is None or higher else result
    assert result is not None
    return result
