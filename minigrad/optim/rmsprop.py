"""RMSprop."""

from typing import Any

from ..kernels import optimizers
from .optimizer import Optimizer, Params, check, number


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(running mean of g²) + eps), with momentum and centering if asked for."""

    rule = staticmethod(optimizers.rmsprop)
    states, optional = ("square_avg",), {"grad_avg": "centered", "momentum_buffer": "momentum"}
    counts = True

    def __init__(
        self, params: Params, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check("learning rate", lr, "lr >= 0")
        check("epsilon", eps, "eps >= 0")
        check("momentum", momentum, "momentum >= 0")
        check("weight_decay", weight_decay, "weight_decay >= 0")
        check("alpha", alpha, "alpha >= 0")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        })  # fmt: skip

    def numbers(self, group: dict[str, Any], t: int) -> optimizers.RMSpropNumbers:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")
        lr, alpha, *rest = [number(group[name]) for name in names]
        return optimizers.RMSpropNumbers(lr, alpha, 1 - alpha, *rest)
