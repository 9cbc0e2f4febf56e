"""The dtypes, and PyTorch's rules for mixing them. A dtype here is NumPy's own."""

import numpy as np

_PYTHON_BOOL, _PYTHON_INT, _PYTHON_FLOAT = bool, int, float  # before the names mean dtypes

float32, float64 = np.dtype("float32"), np.dtype("float64")
int64, int32, int16, int8 = map(np.dtype, ("int64", "int32", "int16", "int8"))
uint8, bool = np.dtype("uint8"), np.dtype("bool")
float, double, long, int, short = float32, float64, int64, int32, int16

SUPPORTED = (float32, float64, int64, int32, int16, int8, uint8, bool)
_OF_NUMBER = {_PYTHON_BOOL: bool, _PYTHON_INT: int64, _PYTHON_FLOAT: float32}
CATEGORY = {"b": 0, "i": 1, "u": 1, "f": 2}  # of a dtype's kind: in-place results may not rise
_ALIASES = {"float": float32, "long": int64, "int": int32, "short": int16}


def as_dtype(dtype, argument="dtype") -> np.dtype:
    """A supported dtype from what NumPy or a reader would call one; TypeError otherwise."""
    if dtype in _OF_NUMBER:
        return float64 if dtype is _PYTHON_FLOAT else _OF_NUMBER[dtype]
    try:
        found = np.dtype(_ALIASES.get(dtype, dtype) if isinstance(dtype, str) else dtype)
    except TypeError:
        found = None
    for supported in SUPPORTED:  # the very object, so that `is` tells dtypes apart
        if found is not None and found.newbyteorder("=") == supported:
            return supported
    names = ", ".join(d.name for d in SUPPORTED)
    raise TypeError(f"{argument}: expected one of {names}, got {dtype!r}")


def check_range(low, high, dtype) -> None:
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


def result_type(*operands) -> np.dtype:
    """The dtype of an operation on arrays and Python numbers.

    Arrays with dimensions decide; a 0-d array, and after it a Python number, matters only when it
    is of a higher category (bool < integer < float). NumPy's rules differ in int64 with float32,
    in integers with Python floats and in 0-d arrays.
    Source: PyTorch, "Tensor Attributes", type promotion.
    """
    found: list[np.dtype | None] = [None, None, None]  # arrays, 0-d arrays, numbers
    for x in operands:
        if x is not None:
            dtype = x.dtype if hasattr(x, "dtype") else _OF_NUMBER[type(x)]
            level = 2 if not hasattr(x, "dtype") else 0 if x.ndim else 1
            before = found[level]
            found[level] = dtype if before is None else widen(before, dtype)
    result = None
    for dtype in found:
        higher = result and dtype and CATEGORY[dtype.kind] > CATEGORY[result.kind]
        result = dtype if result is None or higher else result
    assert result is not None
    return result
