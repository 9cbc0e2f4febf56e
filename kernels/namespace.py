"""One formula for arrays of any library and for Tensors; and the words of formulas and rules."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = Any  # of NumPy, or a library that has its functions; or a Tensor
Real = Any  # a kernel's float type, np.float32 or np.float64: real(0.5) is a constant of it
Math = SimpleNamespace  # the functions that a machine is good at: cpu/elementary.py
Point = Callable[..., tuple]  # a rule's function of one element


def namespace(x: Array) -> Any:
    """The functions for x: those of its library, or NumPy's, which CuPy's arrays answer, too."""
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np
