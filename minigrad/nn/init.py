"""Starting values for parameters, written in place; every function returns its tensor.

`generator`: a minigrad.Generator to draw from instead of the default one.
"""

import math
from statistics import NormalDist

import numpy as np

from ..autograd import no_grad
from ..creation import eye
from ..random import Generator, stream
from ..tensor import Tensor

_GAINS = {"sigmoid": 1.0, "linear": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_GAINS |= {f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the signal's scale through `nonlinearity`.

    nonlinearity: a name in nn.functional; `param` is leaky_relu's negative slope (0.01).
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"param: expected a number as the negative slope, got {param!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        names = ", ".join(["leaky_relu", *_GAINS])
        raise ValueError(f"nonlinearity: expected one of {names}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fans(tensor):
    """How many inputs feed one output, and how many outputs one input feeds."""
    if tensor.ndim < 2:
        found = f"fewer than 2 dimensions, got shape {tuple(tensor.shape)}"
        raise ValueError(f"Fan in and fan out can not be computed for tensor with {found}")
    outputs, inputs, *window = tensor.shape
    return inputs * math.prod(window), outputs * math.prod(window)


def _fill(tensor, values):
    with no_grad():
        return tensor.copy_(values)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the uniform distribution over [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draw from the normal distribution cut off outside [a, b]."""
    normal = NormalDist(mean, std)
    # 1e-300 and 1 - 2**-53: inv_cdf takes nothing at 0 or 1, where a bound far out puts it.
    p = stream(generator).uniform(normal.cdf(a), normal.cdf(b), tensor.shape)
    values = np.vectorize(normal.inv_cdf, otypes=[float])(p.clip(1e-300, 1 - 2**-53))
    return _fill(tensor, Tensor(values.clip(a, b)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Set every element to `val`."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Set every element to 1."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Set every element to 0."""
    return _fill(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a 2-dimensional tensor the identity, padded with zeros."""
    if tensor.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got {tensor.ndim}")
    return _fill(tensor, eye(*tensor.shape))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw uniformly with the variance 2 gain² / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw normally with the variance 2 gain² / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor, a, mode, nonlinearity):
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor), strict=True))
    if mode not in fans:
        raise ValueError(f"mode: expected 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans[mode], 1))  # 0: nothing to fill


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draw uniformly with the variance gain² / fan (He et al. 2015); `a`: leaky_relu's slope."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draw normally with the variance gain² / fan (He et al. 2015); `a`: leaky_relu's slope."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Make the rows (or columns, if they are fewer) orthogonal, of length `gain`.

    Dimensions after the first count as one (Saxe et al. 2013).
    """
    if tensor.ndim < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got {tensor.ndim}")
    rows, cols = tensor.shape[0], math.prod(tensor.shape[1:])
    q, r = np.linalg.qr(stream(generator).normal(size=(max(rows, cols), min(rows, cols))))
    q *= np.sign(r.diagonal())  # without it Q is not uniform over the orthogonal matrices
    return _fill(tensor, Tensor(gain * (q if rows >= cols else q.T).reshape(tensor.shape)))
