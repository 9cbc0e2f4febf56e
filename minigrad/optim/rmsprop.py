"""RMSprop."""

from ..kernels import optimizers
from .optimizer import Optimizer, check


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(running mean of g²) + eps), with momentum and centering if asked for."""

    rule = staticmethod(optimizers.rmsprop)
    states = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False
    ):
        check("learning rate", lr, "lr >= 0")
        check("epsilon", eps, "eps >= 0")
        check("momentum", momentum, "momentum >= 0")
        check("weight_decay", weight_decay, "weight_decay >= 0")
        check("alpha", alpha, "alpha >= 0")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
            },
        )

    def needs(self, group):
        return True, group["centered"], group["momentum"] != 0

    def numbers(self, group, t):
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")
        return tuple(group[name] for name in names)
