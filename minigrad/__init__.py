"""minigrad: a minimal tensor with reverse-mode autodiff, and Numba kernels for five losses."""

import builtins

from . import autograd, cuda, kernels, nn, ops, optim, random, scalar, utils
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import *
from .devices import device, get_default_device, set_default_device
from .dtypes import *
from .functions import *  # every operation of minigrad.ops, under PyTorch's and NumPy's names
from .holder import Size
from .nn.functional import loss
from .random import *
from .recording import compile
from .serialization import *
from .tensor import Tensor

__version__ = "0.1.0"

_PUBLIC = [
    "Size", "Tensor", "autograd", "compile", "cuda", "device", "enable_grad", "get_default_device",
    "is_grad_enabled", "kernels", "loss", "nn", "no_grad", "ops", "optim", "random", "scalar",
    "set_default_device", "set_grad_enabled", "utils", *creation.__all__, *dtypes.__all__,
    *functions.__all__, *random.__all__, *serialization.__all__,
]  # fmt: skip
# A star import leaves Python its abs, bool, sum ...
__all__ = sorted(name for name in _PUBLIC if not hasattr(builtins, name))


def __dir__() -> list[str]:
    return [*sorted(_PUBLIC), "__version__"]
