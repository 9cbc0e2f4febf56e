"""How layers make their parameters."""

from __future__ import annotations

import operator
from typing import Any

from ...creation import empty
from ...dtypes import name_of
from ..module import Parameter


def as_size(name: str, value: Any) -> int:
    """An argument of a layer that is a size as an int, TypeError if it is none."""
    try:
        size = operator.index(value)
    except TypeError:
        size = None
    if size is None or isinstance(value, bool):
        raise TypeError(f"{name} is a size: expected integers, got {value!r} ({name_of(value)})")
    return size


def new_parameter(shape: Any, device: Any, dtype: Any) -> Parameter:
    """A parameter whose values the caller sets."""
    return Parameter(empty(shape, device=device, dtype=dtype))
