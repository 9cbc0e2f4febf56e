"""Stochastic gradient descent."""

from typing import Any

from ..kernels import optimizers
from .optimizer import Optimizer, Params, check, number


class SGD(Optimizer):
    """p -= lr * d, d the gradient, smoothed by momentum where asked for."""

    rule, optional = staticmethod(optimizers.sgd), {"momentum_buffer": "momentum"}

    def __init__(
        self, params: Params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check("learning rate", lr, "lr >= 0")
        check("momentum", momentum, "momentum >= 0")
        check("weight_decay", weight_decay, "weight_decay >= 0")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def numbers(self, group: dict[str, Any], t: int) -> optimizers.SGDNumbers:
        lr, decay, momentum = number(group["lr"]), number(group["weight_decay"]), group["momentum"]
        nesterov = momentum if group["nesterov"] else 0
        begins = t == 1 or momentum == 0
        before, gain = (0, 1) if begins else (momentum, 1 - group["dampening"])
        return optimizers.SGDNumbers(lr, decay, before, gain, nesterov)
