"""Which dtype an operation computes in: PyTorch's rules, one function for each kind of operation.

An operation names its rule, `@op(..., promote=promotion.common)`. A rule takes the operation and
its inputs, arrays or numbers, and gives the inputs in the dtype that the result is to have. Numbers
among floats stay Python's, for NumPy casts these itself. What rules never see, since it needs no
change: inputs of one float dtype, and numbers beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import check_range, float32, result_type

Rule = Callable[[Any, tuple], tuple]
NUMBERS = (float, int)


def common(operation, arrays: tuple) -> tuple:
    """All in the result type of all."""
    return _converted(arrays, _result_type(operation, arrays))


def floating(operation, arrays: tuple) -> tuple:
    """The same, but integers and bools become float32: exp, division."""
    dtype = _result_type(operation, arrays)
    return _converted(arrays, dtype if dtype.kind == "f" else float32)


def numeric(operation, arrays: tuple) -> tuple:
    """The same as `common`; RuntimeError where the result would be bool: negation, powers."""
    dtype = _result_type(operation, arrays)
    if dtype.kind == "b":
        raise _no_bools(operation)
    return _converted(arrays, dtype)


def subtraction(operation, arrays: tuple) -> tuple:
    """The same as `common`; RuntimeError where any input is bool."""
    dtype = _result_type(operation, arrays)
    if any(result_type(x).kind == "b" for x in arrays):
        raise _no_bools(operation)
    return _converted(arrays, dtype)


def any_dtypes(operation, arrays: tuple) -> tuple:
    """As they are, in any mixture: logical operations look at what is zero."""
    return arrays


def one_dtype(operation, arrays: tuple) -> tuple:
    """As they are; RuntimeError unless they have one dtype: matrix products."""
    if len({x.dtype for x in arrays if x is not None}) > 1:
        dtypes = " != ".join(str(x.dtype) for x in arrays if x is not None)
        raise RuntimeError(
            f"{operation.name}(): expected the same dtype for all inputs, but got: {dtypes}; "
            "convert some, with .to(dtype), or a layer with .float() or .double()"
        )
    return arrays


def stored(operation, arrays: tuple) -> tuple:
    """All in the dtype of the first, into which the others are written: x[i] = y.

    RuntimeError for a number beyond an integer dtype, here and in the next two; arithmetic wraps
    around instead.
    """
    return _in_range(arrays, _result_type(operation, arrays[:1]))


def limits(operation, arrays: tuple) -> tuple:
    """All in the result type of all: a value and its bounds."""
    return _in_range(arrays, _result_type(operation, arrays))


def chosen(operation, arrays: tuple) -> tuple:
    """All but the first, a condition, in the result type of these."""
    condition, *rest = arrays
    if not hasattr(condition, "dtype"):
        raise operation.no_tensor(arrays)
    return condition, *_in_range(rest, result_type(*rest))


def _result_type(operation, arrays):
    if not any(hasattr(x, "dtype") for x in arrays):
        raise operation.no_tensor(arrays)
    return result_type(*arrays)


def _no_bools(operation):
    return RuntimeError(f"{operation.name}(): not implemented for bool; convert with .int()")


def _in_range(arrays, dtype):
    for x in arrays:
        if isinstance(x, NUMBERS):
            check_range(x, x, dtype)
    return _converted(arrays, dtype)


def _converted(arrays, dtype) -> tuple:
    """Arrays in the dtype; numbers too, unless they stand beside arrays of floats."""
    left = NUMBERS if dtype.kind == "f" and any(hasattr(x, "dtype") for x in arrays) else ()
    return tuple([x if x is None or isinstance(x, left) else _cast(x, dtype) for x in arrays])


def _cast(x, dtype):
    if hasattr(x, "dtype"):
        return x.astype(dtype, copy=False)
    return np.asarray(x).astype(dtype)[()]  # NumPy's numbers go with arrays on any device
