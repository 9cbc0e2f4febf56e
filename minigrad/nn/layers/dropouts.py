"""Dropout."""

from __future__ import annotations

from ...tensor import Tensor
from ..functional.dropouts import check_probability, dropout
from ..module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, zero each element with probability `p` and divide the others by 1 - p."""

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
