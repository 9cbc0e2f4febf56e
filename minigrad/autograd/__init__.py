"""Reverse-mode automatic differentiation: the graph, users' own operations, gradient checks."""

from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .graph import backward, enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "Function", "GradcheckError", "backward", "enable_grad", "grad", "gradcheck", "gradgradcheck",
    "is_grad_enabled", "no_grad", "set_grad_enabled",
]  # fmt: skip
