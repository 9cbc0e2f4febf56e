"""The losses' kernels: NumPy and Numba only, raw arrays in and out. Imports as minigrad.kernels."""

from . import bce, bce_with_logits, cross_entropy, l1, mse, smooth_l1

# The one table of losses; tests, benchmarks and documents iterate over it.
LOSSES = {
    loss.__name__.rpartition(".")[2]: loss
    for loss in (cross_entropy, bce, bce_with_logits, l1, mse, smooth_l1)
}
