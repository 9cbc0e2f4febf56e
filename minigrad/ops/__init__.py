"""Differentiable operations on arrays. See op.py for what one is made of."""

from . import elementwise, index, linalg, reduce, shape
from .op import Op, op

__all__ = ["ALIASES", "OPERATIONS", "Op", "op"]

# Other names PyTorch, NumPy and the array API standard know an operation by.
ALIASES = {
    "absolute": "abs", "subtract": "sub", "multiply": "mul", "divide": "div",
    "true_divide": "div", "negative": "neg", "power": "pow", "clip": "clamp", "fix": "trunc",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "concat": "cat", "concatenate": "cat", "permute_dims": "permute",
    "expand_dims": "unsqueeze", "invert": "bitwise_not", "bitwise_invert": "bitwise_not",
    "rint": "round", "mod": "remainder", "take_along_axis": "take_along_dim",
}  # fmt: skip

# What operations and Tensor's indexing are made of.
_INTERNAL = {"assign", "canonical", "kinked", "on_gpu", "product", "put", "write", "zero_below"}

# Every public operation by name. A file's public functions are operations or made of operations.
OPERATIONS = {
    name: f
    for module in (elementwise, reduce, linalg, shape, index)
    for name, f in vars(module).items()
    if not (name.startswith("_") or name in _INTERNAL or isinstance(f, type))
    and (isinstance(f, Op) or getattr(f, "__module__", None) == module.__name__)
}
