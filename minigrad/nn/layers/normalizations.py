"""Layers that normalize."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...creation import empty
from ...dtypes import int64
from ...tensor import Tensor
from .. import init
from ..functional import batch_norm, layer_norm
from ..loss.checks import check_tensors
from ..module import Module
from .parameters import as_size, new_parameter

__all__ = ["BatchNorm1d", "LayerNorm"]


class _Normalisation(Module):
    """What LayerNorm and BatchNorm1d share: an optional weight of ones, a bias of zeros."""

    def _make_affine(self, shape, weight, bias, device, dtype):
        self.register_parameter("weight", new_parameter(shape, device, dtype) if weight else None)
        self.register_parameter(
            "bias", new_parameter(shape, device, dtype) if weight and bias else None
        )
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
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5,
        elementwise_affine: bool = True, bias: bool = True, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        shape: Any = normalized_shape
        if not isinstance(shape, Iterable) or isinstance(shape, str):
            shape = (shape,)
        self.normalized_shape = tuple([as_size("normalized_shape", n) for n in shape])
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_affine(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class BatchNorm1d(_Normalisation):
    """Normalise each feature over the batch: (N, C), or (N, C, L) over N and L, then rescale.

    Training uses the batch's statistics and blends them into the running ones by `momentum` (None:
    their plain average); evaluation uses the running ones.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.num_features = num_features = as_size("num_features", num_features)
        self.eps, self.momentum = eps, momentum
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

    def forward(self, input: Tensor) -> Tensor:
        check_tensors(input=input)
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
        counts, momentum = self.training and self.track_running_stats, self.momentum
        if counts and momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1)
        by_batch = self.training or not self.track_running_stats
        affine, running = (self.weight, self.bias), (self.running_mean, self.running_var)
        out = batch_norm(input, *running, *affine, by_batch, momentum or 0.0, self.eps)
        if counts:
            self.num_batches_tracked.add_(1)
        return out

    def extra_repr(self) -> str:
        affine = f"affine={self.affine}, bias={self.bias is not None}"
        tail = f"{affine}, track_running_stats={self.track_running_stats}"
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, {tail}"
