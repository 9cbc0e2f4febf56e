"""The losses: a file each, with formula, NumPy reference and scalar rule."""

from types import ModuleType

from . import bce, bce_with_logits, cross_entropy, l1, mse, smooth_l1

# The one table of losses; tests, benchmarks and documents iterate over it.
LOSSES: dict[str, ModuleType] = {
    loss.__name__.rpartition(".")[2]: loss
    for loss in (cross_entropy, bce, bce_with_logits, l1, mse, smooth_l1)
}
