"""Dropout."""

from __future__ import annotations

import numpy as np

from ...creation import check_numbers
from ...devices import move, of
from ...random import Generator, stream
from ...tape import raw, run
from ...tensor import Tensor
from ..loss.checks import check_number, check_tensors


def check_probability(p: float) -> None:
    """TypeError or ValueError unless p is one."""
    check_numbers(p=p)
    check_number("p", p)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p), when training."""
    check_probability(p)
    check_tensors(input=input)
    if not training or p == 0:
        return input
    return input * Tensor.wrap(run(_dropout_mask, raw(input), p, generator))


def _dropout_mask(like, p, generator):
    kept = stream(generator).random(like.shape, np.float32) >= p
    return move(kept.astype(like.dtype) * (1 / (1 - p) if p < 1 else 0.0), of(like))
