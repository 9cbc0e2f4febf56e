"""Random programs with casts, mixed dtypes and kinks: PyTorch's derivatives, to the third order."""

from __future__ import annotations

import random

import numpy as np

from programs import _beside_torch, _operations

SHORT, NEEDS_TORCH = 60, True
VALUES = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0, 2.0]


def attempt(draw: random.Random) -> None:
    """One to three operations on numbers that are often equal, or 0."""
    lines = _operations.lines(draw, ["a", "b"], draw.randint(1, 3))
    source, run = _beside_torch.program(lines, "a, b")
    dtypes = [draw.choice(["float32", "float64"]) for _ in "ab"]
    shape = draw.choice([(3,), (2, 3), (2, 3), (3, 3)])
    rng = np.random.default_rng(draw.getrandbits(32))
    arrays = [rng.choice(VALUES, shape).astype(dtype) for dtype in dtypes]
    order = 2 if "layer_norm" in source else 3  # PyTorch's own third derivative of it is wrong
    _beside_torch.compare(source, run, arrays, draw.getrandbits(32), order)
