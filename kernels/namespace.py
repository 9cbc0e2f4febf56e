"""One formula for arrays of any library and for Tensors."""

import numpy as np


def namespace(x):
    """The functions for x: those of its library, or NumPy's, which CuPy's arrays answer, too."""
    return x.__array_namespace__() if hasattr(x, "__array_namespace__") else np
