"""Layers: modules with parameters, and the activation functions as modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import Parameter as Option
from inspect import Signature
from typing import Any, ClassVar

from ..creation import empty
from ..dtypes import int64
from ..ops.linalg import linear
from ..ops.shape import flatten
from ..tensor import apply
from . import functional as F
from . import init
from .module import Module, Parameter

__all__ = [
    "ELU", "GELU", "BatchNorm1d", "Dropout", "Embedding", "Flatten", "Identity", "LayerNorm",
    "LeakyReLU", "Linear", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias=True, device=None, dtype=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _new((out_features, in_features), device, dtype)
        self.register_parameter("bias", _new(out_features, device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from within 1 / sqrt(in_features)."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input):
        return apply(linear, (input, self.weight, self.bias))

    def extra_repr(self):
        has_bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={has_bias}"


class Embedding(Module):
    """A table of vectors: integers (...) in [0, num_embeddings) to (..., embedding_dim).

    The row `padding_idx` starts at zero and is not trained.
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, device=None, dtype=None):
        super().__init__()
        n = num_embeddings
        if padding_idx is not None and not -n <= padding_idx < n:
            raise AssertionError(f"padding_idx must lie in num_embeddings ({n}), got {padding_idx}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % n
        self.weight = _new((num_embeddings, embedding_dim), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from the normal distribution."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input):
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self):
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class _Normalisation(Module):
    """What LayerNorm and BatchNorm1d share: an optional weight of ones, a bias of zeros."""

    def _make_affine(self, shape, weight, bias, device, dtype):
        self.register_parameter("weight", _new(shape, device, dtype) if weight else None)
        self.register_parameter("bias", _new(shape, device, dtype) if weight and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to ones and bias to zeros."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Normalisation):
    """Subtract the mean and divide by the deviation over the last dimensions, then rescale."""

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True,
        device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(shape), eps
        self.elementwise_affine = elementwise_affine
        self._make_affine(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input):
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class BatchNorm1d(_Normalisation):
    """Normalise each feature over the batch: (N, C), or (N, C, L) over N and L, then rescale.

    Training uses the batch's statistics and blends them into the running ones by `momentum` (None:
    their plain average); evaluation uses the running ones.
    """

    def __init__(
        self, num_features: int, eps=1e-5, momentum: float | None = 0.1, affine=True,
        track_running_stats=True, device=None, dtype=None, *, bias=True,
    ):  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        mean, var = (empty(num_features, device=device, dtype=dtype) for _ in range(2))
        batches = empty((), device=device, dtype=int64)
        buffers = {"running_mean": mean, "running_var": var, "num_batches_tracked": batches}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer if track_running_stats else None)
        self._make_affine(num_features, affine, bias, device, dtype)

    def reset_running_stats(self) -> None:
        """Forget the batches seen: mean 0, variance 1."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Set weight to ones and bias to zeros, and forget the batches seen."""
        super().reset_parameters()
        self.reset_running_stats()

    def forward(self, input):
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
        counts, momentum = self.training and self.track_running_stats, self.momentum
        if counts and momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1)
        by_batch = self.training or not self.track_running_stats
        affine, running = (self.weight, self.bias), (self.running_mean, self.running_var)
        out = F.batch_norm(input, *running, *affine, by_batch, momentum or 0.0, self.eps)
        if counts:
            self.num_batches_tracked.add_(1)
        return out

    def extra_repr(self):
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        tail = f"{affine}, track_running_stats={self.track_running_stats}"
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, {tail}"


class Dropout(Module):
    """In training, zero each element with probability `p` and divide the others by 1 - p."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return F.dropout(input, self.p, self.training)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Identity(Module):
    """Return the input; takes and ignores any arguments."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input):
        return input


class Functional(Module):
    """A function as a module: it takes the function's options and keeps them as attributes.

    A subclass names the function, and the options in order with their defaults (`Option.empty` for
    none). `inplace` is taken as PyTorch's scripts pass it; the input is left alone all the same.
    """

    function: ClassVar[Callable]
    __signature__: ClassVar[Signature]

    def __init_subclass__(cls, function: Callable | None = None, **options: Any):
        if function is not None:  # else a user's subclass of one of ours
            cls.function, kind = staticmethod(function), Option.POSITIONAL_OR_KEYWORD
            cls.__signature__ = Signature([Option(k, kind, default=v) for k, v in options.items()])

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        given = self.__signature__.bind(*args, **kwargs)
        given.apply_defaults()
        vars(self).update(given.arguments)
        self._options = [name for name in given.arguments if name != "inplace"]

    def forward(self, input):
        if not self._options:
            return self.function(input)
        return self.function(input, **{name: getattr(self, name) for name in self._options})

    def extra_repr(self):
        names = [*self._options, "inplace"] if vars(self).get("inplace") else self._options
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


class Flatten(Functional, function=flatten, start_dim=1, end_dim=-1):
    """Join dimensions `start_dim` to `end_dim` into one."""


class ReLU(Functional, function=F.relu, inplace=False):
    """max(x, 0)."""


class LeakyReLU(Functional, function=F.leaky_relu, negative_slope=0.01, inplace=False):
    """x, or negative_slope x where x is negative."""


class ELU(Functional, function=F.elu, alpha=1.0, inplace=False):
    """x, or alpha (exp(x) - 1) where x is negative."""


class GELU(Functional, function=F.gelu, approximate="none"):
    """x Φ(x), Φ the normal distribution's; approximate="tanh" is a faster approximation."""


class SiLU(Functional, function=F.silu, inplace=False):
    """x sigmoid(x)."""


class Softplus(Functional, function=F.softplus, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta, and x where beta x exceeds threshold."""


class Tanh(Functional, function=F.tanh):
    """The hyperbolic tangent."""


class Sigmoid(Functional, function=F.sigmoid):
    """1 / (1 + exp(-x))."""


class Softmax(Functional, function=F.softmax, dim=Option.empty):
    """exp(x) divided by its sum over dimension `dim`."""


class LogSoftmax(Functional, function=F.log_softmax, dim=Option.empty):
    """log(softmax(x)) over dimension `dim`."""


def _new(shape, device, dtype):
    """A parameter whose values the caller sets."""
    return Parameter(empty(shape, device=device, dtype=dtype))
