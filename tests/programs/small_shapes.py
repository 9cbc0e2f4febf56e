"""Random programs of tensors of shape (), empty and tiny: values and derivatives are PyTorch's."""

from __future__ import annotations

import random

import numpy as np

from programs import _beside_torch, _operations

SHORT, NEEDS_TORCH = 60, True
SHAPES = [(), (), (0,), (2, 0), (0, 3), (1,), (1, 1), (2, 3)]


def attempt(draw: random.Random) -> None:
    """One or two operations, forward, backward twice, and recorded to the third order."""
    lines = _operations.lines(draw, ["a", "b"], draw.randint(1, 2))
    source, run = _beside_torch.program(lines, "a, b")
    dtype, shape = draw.choice(["float32", "float64"]), draw.choice(SHAPES)
    shapes = [shape, shape if draw.random() < 0.7 else draw.choice(SHAPES)]
    rng = np.random.default_rng(draw.getrandbits(32))
    arrays = [np.asarray(rng.uniform(0.2, 1.5, s), dtype) for s in shapes]
    order = 2 if "layer_norm" in source else 3  # PyTorch's own third derivative of it is wrong
    _beside_torch.compare(source, run, arrays, draw.getrandbits(32), order)
