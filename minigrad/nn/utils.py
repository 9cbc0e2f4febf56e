"""Clipping the gradients of a model's parameters."""

from collections.abc import Iterable

import numpy as np

from ..devices import on_gpu
from ..tape import run
from ..tensor import Tensor


def _grads(parameters):
    """The parameters that have a gradient, and the arrays of these."""
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    parameters = [p for p in parameters if p.grad is not None]
    return parameters, [p.grad.array for p in parameters]


def _changed(parameters):
    for p in parameters:
        p.grad.version[0] += 1


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:  # fmt: skip
    """Scale all gradients in place so that their common norm is at most `max_norm`.

    parameters: Tensors, or one. Returns the norm before clipping, shape (). RuntimeError if it is
    NaN or infinite and `error_if_nonfinite`.
    """
    return Tensor.wrap(
        run(_clip, *_grads(parameters), float(max_norm), float(norm_type), error_if_nonfinite)
    )


def _clip(parameters, grads, max_norm, order, error_if_nonfinite):
    norms = [np.linalg.norm(grad.ravel(), order) for grad in grads] or [np.float32(0)]
    dtype = np.result_type(np.float32, *(grad.dtype for grad in grads))
    total = np.linalg.norm(np.stack(norms).astype(dtype), order)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"the norm of order {order} of the gradients is non-finite: {total}")
    scale = max_norm / (total + 1e-6)
    if on_gpu(scale) or not scale >= 1:  # NaN goes through to the gradients
        scale = np.minimum(scale, 1)  # on the GPU, where a look at it would wait
        for grad in grads:
            grad *= scale
    _changed(parameters)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every gradient in place to [-clip_value, clip_value]; parameters: Tensors, or one."""
    run(_clamp, *_grads(parameters), float(clip_value))


def _clamp(parameters, grads, limit):
    for grad in grads:
        np.clip(grad, -limit, limit, grad)
    _changed(parameters)
