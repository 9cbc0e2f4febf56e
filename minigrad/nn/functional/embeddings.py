"""Rows by index: embeddings, and one-hot rows."""

from __future__ import annotations

import numpy as np

from ...devices import module
from ...functions import where
from ...tape import raw, refuse, run
from ...tensor import Tensor
from ..loss.checks import check_tensors


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (V, D) at indices `input` (...) -> (..., D); padding_idx gets no gradient."""
    check_tensors(input=input, weight=weight)
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"embedding: expected integer indices, got {input.dtype}")
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, got shape {tuple(weight.shape)}")
    run(_check_indices, raw(input), len(weight))
    if padding_idx and not -len(weight) <= padding_idx < len(weight):
        raise AssertionError(
            f"Padding_idx must be within num_embeddings: got {padding_idx} for {len(weight)} rows"
        )
    rows = weight[input]
    if padding_idx is None:
        return rows
    padding = (input == padding_idx % max(len(weight), 1)).unsqueeze(-1)
    return where(padding, rows.detach(), rows)


def _check_indices(indices, rows):
    if indices.size and not 0 <= indices.min() <= indices.max() < rows:
        raise IndexError(
            f"embedding: index out of range: indices run from {indices.min()} to {indices.max()}, "
            f"the table has {rows} rows"
        )


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class indices (...) as int64 rows (..., num_classes) with a single 1."""
    check_tensors(tensor=tensor)
    if not isinstance(num_classes, (int, np.integer)):
        raise TypeError(f"num_classes: expected an integer, got {type(num_classes).__name__}")
    if tensor.dtype.kind not in "iu":
        raise RuntimeError(f"one_hot is only applicable to index tensors, got {tensor.dtype}")
    if num_classes == -1:
        refuse("one_hot needs num_classes, or the shape of its result depends on values")
        if not tensor.numel():
            raise RuntimeError("num_classes: an empty tensor does not tell how many; pass it")
        num_classes = int(tensor.array.max()) + 1
    return Tensor.wrap(run(_one_hot, raw(tensor), num_classes))


def _one_hot(indices, classes):
    if indices.size and not 0 <= indices.min() <= indices.max() < classes:
        raise RuntimeError(
            f"one_hot: class values must be in [0, {classes}), got {indices.min()} to "
            f"{indices.max()}"
        )
    return (indices[..., None] == module(indices).arange(classes)).astype(np.int64)
