"""Differentiable operations on arrays. See op.py for what one is made of."""

from . import elementwise, index, linalg, reduce, shape
from .op import Op, op

__all__ = ["OPERATIONS", "Op", "op"]

# Every public operation by name. A file's public functions are operations or made of operations.
OPERATIONS = {
    name: f
    for module in (elementwise, reduce, linalg, shape, index)
    for name, f in vars(module).items()
    if not name.startswith("_")
    and (isinstance(f, Op) or getattr(f, "__module__", None) == module.__name__)
    and not isinstance(f, type)
    and name
    not in (
        "sizes",
        "assign",
        "put",
        "zero_below",
        "linear",
        "leaky_relu",
        "elu",
        "silu",
        "softplus",
    )
}
