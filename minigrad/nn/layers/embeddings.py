"""Tables of vectors."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from ...dtypes import name_of
from ...tensor import Tensor
from .. import init
from ..functional import embedding
from ..module import Module
from .parameters import as_size, new_parameter

__all__ = ["Embedding"]


class Embedding(Module):
    """A table of vectors: integers (...) in [0, num_embeddings) to (..., embedding_dim).

    The row `padding_idx` starts at zero and is not trained.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        n = as_size("num_embeddings", num_embeddings)
        d = as_size("embedding_dim", embedding_dim)
        if padding_idx is not None and not isinstance(padding_idx, Integral):
            kinds = f"an integer or None, got {name_of(padding_idx)}"
            raise TypeError(f"padding_idx: expected {kinds}")
        if padding_idx is not None and not -n <= padding_idx < n:
            raise AssertionError(f"padding_idx must lie in num_embeddings ({n}), got {padding_idx}")
        self.num_embeddings, self.embedding_dim = n, d
        self.padding_idx = None if padding_idx is None else padding_idx % n
        self.weight = new_parameter((n, d), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table from the normal distribution."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
