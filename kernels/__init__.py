"""The losses' kernels on raw arrays, for the CPU and for GPUs. Imports as minigrad.kernels."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from . import cpu
from .losses import LOSSES


def backend(array: Any) -> ModuleType:
    """The module whose kernels run on the array: cpu, or cuda, imported with its first array."""
    if type(array) is np.ndarray or isinstance(array, np.generic):
        return cpu
    return importlib.import_module(".cuda", __package__)
