"""RMSprop."""

from typing import Any

from ..kernels import optimizers
from .optimizer import Optimizer, Params, check


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(running mean of g²) + eps), with momentum and centering if asked for."""

    rule = staticmethod(optimizers.rmsprop)
    states = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self, params: Params, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
    ) -> None:  # fmt: skip
        check("learning rate", lr, "lr >= 0")
        check("epsilon", eps, "eps >= 0")
        check("momentum", momentum, "momentum >= 0")
        check("weight_decay", weight_decay, "weight_decay >= 0")
        check("alpha", alpha, "alpha >= 0")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay,
        })  # fmt: skip

    def needs(self, group: dict[str, Any]) -> tuple[bool, ...]:
        return True, group["centered"], group["momentum"] != 0

    def numbers(self, group: dict[str, Any], t: int) -> optimizers.RMSpropNumbers:
        lr, alpha, eps = group["lr"], group["alpha"], group["eps"]
        rest = group["weight_decay"], group["momentum"], group["centered"]
        return optimizers.RMSpropNumbers(lr, alpha, 1 - alpha, eps, *rest)
