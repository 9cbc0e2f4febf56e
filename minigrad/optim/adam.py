"""Adam, and Adam with the weight decay taken out of the gradient."""

from typing import Any

from ..kernels import optimizers
from .optimizer import Optimizer, Params, check


class Adam(Optimizer):
    """Steps of about `lr`, whatever the gradient's scale; weight_decay is an L2 term."""

    rule, states = staticmethod(optimizers.adam), ("exp_avg", "exp_avg_sq")
    decoupled = False  # whether weight_decay shrinks parameters instead

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0,
    ) -> None:  # fmt: skip
        check("learning rate", lr, "lr >= 0")
        check("epsilon", eps, "eps >= 0")
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas: expected two numbers in [0, 1), got {betas!r}")
        for i, beta in enumerate(betas):
            check(f"beta parameter at index {i}", beta, "0 <= beta < 1", below=1)
        check("weight_decay", weight_decay, "weight_decay >= 0")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def numbers(self, group: dict[str, Any], t: int) -> optimizers.AdamNumbers:
        lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        step_size, correction = lr / (1 - beta1**t), (1 - beta2**t) ** -0.5
        l2, shrink = (0.0, 1 - lr * decay) if self.decoupled else (decay, 1.0)
        return optimizers.AdamNumbers(
            step_size, beta1, 1 - beta1, beta2, 1 - beta2, correction, group["eps"], l2, shrink
        )


class AdamW(Adam):
    """Adam that shrinks parameters by lr * weight_decay instead of adding an L2 term."""

    decoupled = True

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay)
