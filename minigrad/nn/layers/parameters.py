"""How layers make their parameters."""

from __future__ import annotations

from typing import Any

from ...creation import empty
from ..module import Parameter


def new_parameter(shape: Any, device: Any, dtype: Any) -> Parameter:
    """A parameter whose values the caller sets."""
    return Parameter(empty(shape, device=device, dtype=dtype))
