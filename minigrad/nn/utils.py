"""Clipping the gradients of a model's parameters."""

from collections.abc import Iterable

import numpy as np

from ..tensor import Tensor


def _grads(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad.array for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients in place so that their common norm is at most `max_norm`.

    Returns the norm before clipping, shape (). RuntimeError if it is NaN or infinite and
    `error_if_nonfinite`.
    """
    grads, order = _grads(parameters), float(norm_type)
    norms = [float(np.linalg.norm(grad.ravel(), order)) for grad in grads]
    dtype = np.result_type(*grads) if grads else np.float32
    total = np.linalg.norm(np.array(norms, dtype), order) if grads else np.float32(0)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so "
            "it cannot be clipped; error_if_nonfinite=False scales the gradients by it anyway"
        )
    scale = max_norm / (total + 1e-6)
    if not scale >= 1:  # NaN goes through to the gradients
        for grad in grads:
            grad *= scale
    return Tensor(np.asarray(total))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every gradient in place to [-clip_value, clip_value]."""
    for grad in _grads(parameters):
        grad.clip(-clip_value, clip_value, out=grad)
