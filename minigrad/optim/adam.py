"""Adam, and Adam with the weight decay taken out of the gradient."""

from typing import Any

from ..kernels import optimizers
from .optimizer import Optimizer, Params, check, number


class Adam(Optimizer):
    """Steps of about `lr`, whatever the gradient's scale; weight_decay is an L2 term.

    amsgrad: divide by the largest mean of squares so far. decoupled_weight_decay: as AdamW does.
    """

    rule = staticmethod(optimizers.adam)
    states, optional = ("exp_avg", "exp_avg_sq"), {"max_exp_avg_sq": "amsgrad"}
    counts = True

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check("learning rate", lr, "lr >= 0")
        check("epsilon", eps, "eps >= 0")
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas: expected two numbers in [0, 1), got {betas!r}")
        for i, beta in enumerate(betas):
            check(f"beta parameter at index {i}", beta, "0 <= beta < 1", below=1)
        check("weight_decay", weight_decay, "weight_decay >= 0")
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(number, betas)), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def numbers(self, group: dict[str, Any], t: int) -> optimizers.AdamNumbers:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        beta1, beta2 = group["betas"]
        step_size, correction = lr / (1 - beta1**t), (1 - beta2**t) ** -0.5
        l2, shrink = (0.0, 1 - lr * decay) if group["decoupled_weight_decay"] else (decay, 1.0)
        return optimizers.AdamNumbers(
            step_size, beta1, 1 - beta1, beta2, 1 - beta2, correction, group["eps"], l2, shrink
        )


class AdamW(Adam):
    """Adam that shrinks parameters by lr * weight_decay instead of adding an L2 term."""

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options
        )

    def _complete(self, group):
        super()._complete(group)
        group["decoupled_weight_decay"] = True  # in the state of an Adam too
