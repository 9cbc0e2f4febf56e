"""minigrad: a minimal tensor with reverse-mode autodiff, and Numba kernels for five losses."""

from typing import TYPE_CHECKING, Any

from . import autograd, cuda, kernels, nn, ops, optim, random, scalar, utils
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)  # fmt: skip
from .devices import device, get_default_device, set_default_device
from .dtypes import (
    bool,
    double,
    float,
    float32,
    float64,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    result_type,
    short,
    uint8,
)  # fmt: skip
from .nn.functional import loss
from .random import (
    Generator,
    initial_seed,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    seed,
)  # fmt: skip
from .recording import compile
from .serialization import load, save
from .functions import FUNCTIONS as _FUNCTIONS
from .holder import Size
from .tensor import Tensor

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


globals().update(_FUNCTIONS)  # every operation of minigrad.ops, under PyTorch's and NumPy's names
__version__ = "0.1.0"
