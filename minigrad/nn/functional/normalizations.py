"""Normalization: zero mean and unit variance over some dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...creation import check_numbers
from ...tape import run
from ...tensor import Tensor
from ..loss.checks import check_tensors


def _normalize(input, mean, var, weight, bias, eps):
    out = (input - mean) * (var + eps).rsqrt()
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _check_dtype(name, x, input):
    if x is not None and x.dtype != input.dtype:
        raise RuntimeError(
            f"{name}: expected the dtype of input, {input.dtype}, got {x.dtype}; "
            "convert input with .to(dtype), or the layer with .float() or .double()"
        )


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Zero mean and unit variance over the last dimensions, then * weight + bias.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.
    """
    check_tensors(input=input)
    check_numbers(eps=eps)
    n = len(normalized_shape)
    if not n:
        raise RuntimeError("normalized_shape: expected at least one dimension, got none")
    if input.shape[-n:] != tuple(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape "
            f"[*, {', '.join(map(str, normalized_shape))}], but got input of size "
            f"{list(input.shape)}"
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and tuple(x.shape) != tuple(normalized_shape):
            shapes = f"{tuple(normalized_shape)}, got {tuple(x.shape)}"
            raise RuntimeError(f"{name}: expected the shape of normalized_shape, {shapes}")
        _check_dtype(name, x, input)
    dims = tuple(range(-n, 0))
    mean, var = input.mean(dims, True), input.var(dims, correction=0, keepdim=True)
    return _normalize(input, mean, var, weight, bias, eps)


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Zero mean and unit variance per channel of input (N, C, ...), then * weight + bias.

    Training uses the batch's statistics and moves the running ones by `momentum` in place;
    otherwise the running ones are used. Source: Ioffe and Szegedy, "Batch Normalization", 2015.
    """
    check_tensors(input=input)
    check_numbers(momentum=momentum, eps=eps)
    running = {"running_mean": running_mean, "running_var": running_var}
    for name, x in (running | {"weight": weight, "bias": bias}).items():
        if x is not None and x.array.shape != input.array.shape[1:2]:
            channels = f"{input.shape[1]} elements, one per channel of input"
            raise RuntimeError(f"{name}: expected {channels}, got shape {tuple(x.shape)}")
        _check_dtype(name, x, input)
    dims, shape = (0, *range(2, input.ndim)), (1, -1) + (1,) * (input.ndim - 2)
    if training or running_mean is None or running_var is None:
        n = input.numel() // max(input.shape[1], 1)
        if n == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{list(input.shape)}"
            )
        mean, var = input.mean(dims, True), input.var(dims, correction=0, keepdim=True)
        if running_mean is not None and running_var is not None:
            run(_update_running, running_mean, mean.array, momentum)
            run(_update_running, running_var, var.array, momentum, n / (n - 1))
    else:
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    weight = None if weight is None else weight.reshape(shape)
    return _normalize(input, mean, var, weight, None if bias is None else bias.reshape(shape), eps)


def _update_running(running, batch, momentum, scale=1.0):
    """Move a running statistic towards the batch's; in float64, so that momentum 1 replaces it."""
    batch = batch.reshape(-1).astype(np.float64)
    before = running.array.astype(np.float64)
    running.array[...] = (1 - momentum) * before + (momentum * scale) * batch
    running.version[0] += 1
