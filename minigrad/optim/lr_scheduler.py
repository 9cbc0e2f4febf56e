"""Learning rates that change from epoch to epoch: call scheduler.step() after each.

A scheduler sets group["lr"] of every group in optimizer.param_groups, and group["initial_lr"],
the rate it found there.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from ..tape import refuse, repeated
from ..tensor import Tensor
from .optimizer import Optimizer


def _groups(optimizer):
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer: {type(optimizer).__name__} is not an Optimizer")
    return optimizer.param_groups


class LRScheduler:
    """Base class: a subclass defines get_lr(), the rates of `last_epoch`, one per group.

    It hands its own options on by name; they become attributes.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """A step() of the user's is repeated as a whole, as this one is."""
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = repeated(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, **options: Any) -> None:
        refuse("it makes a scheduler, which would outlive the step; make it before")
        for group in _groups(optimizer):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError("'initial_lr' is not specified: load the optimizer's state first")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        vars(self).update(options)
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self._first = True  # the constructor's step, which must not decay a resumed rate
        self.step()
        self._first = False

    def get_lr(self) -> list[float]:
        """Compute the rates for `last_epoch` from those now in the groups."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rates now set, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    @repeated
    def step(self) -> None:
        """Go to the next epoch and set its rates."""
        self.last_epoch += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and functions."""
        left_out = ("optimizer", "lr_lambdas")
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what state_dict() returned."""
        refuse("load_state_dict() changes a scheduler; call it before the step")
        vars(self).update(state_dict)

    def _times(self, factor):
        return [rate * factor for rate in self.get_last_lr()]


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch); one function, or a list with one per group."""

    lr_lambdas: list[Callable[[int], float]]

    def __init__(
        self, optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = len(_groups(optimizer))
        functions = lr_lambda if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(functions) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(functions)}")
        super().__init__(optimizer, last_epoch, lr_lambdas=functions)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]


class MultiStepLR(LRScheduler):
    """Multiply the rate by `gamma` at every epoch in `milestones`, twice if it is there twice."""

    milestones: list[int]
    gamma: float

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(optimizer, last_epoch, milestones=sorted(milestones), gamma=gamma)

    def get_lr(self) -> list[float]:
        return self._times(self.gamma ** self.milestones.count(self.last_epoch))


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` epochs."""

    step_size: int
    gamma: float

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, step_size=step_size, gamma=gamma)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._times(self.gamma if due else 1)


class ExponentialLR(LRScheduler):
    """Multiply the rate by `gamma` every epoch."""

    gamma: float

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def get_lr(self) -> list[float]:
        return self._times(1 if self._first else self.gamma)


class CosineAnnealingLR(LRScheduler):
    """Lower the rate along half a cosine to `eta_min` at epoch `T_max`, then back up, and so on."""

    T_max: int
    eta_min: float

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, T_max=T_max, eta_min=eta_min)

    def get_lr(self) -> list[float]:
        if self._first:
            return self.get_last_lr()
        # A change of the rate by hand is kept: it enters the next rate as a factor, except where
        # the cosine is at its lowest and leaves nothing to scale.
        before, now = (1 + math.cos(math.pi * (self.last_epoch - i) / self.T_max) for i in (1, 0))
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            pairs = zip(self.base_lrs, self.get_last_lr(), strict=True)
            return [rate + (base - self.eta_min) * now / 2 for base, rate in pairs]
        return [self.eta_min + (rate - self.eta_min) * now / before for rate in self.get_last_lr()]


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` once a metric has not improved for `patience` epochs.

    An improvement passes the best value by `threshold`, relative to it or absolute
    (`threshold_mode`: "rel" or "abs"), downwards for mode "min", upwards for "max". After a
    reduction `cooldown` epochs do not count; the rate stays above `min_lr` (a number, or a list
    with one per group), and changes of less than `eps` are left out. factor < 1.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float | list[float] = 0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        groups = len(_groups(optimizer))
        min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if factor >= 1:
            raise ValueError(f"Factor should be < 1.0, got {factor}")
        if len(min_lrs) != groups:
            raise ValueError(f"expected {groups} min_lrs, got {len(min_lrs)}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Choose 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Choose 'rel' or 'abs'")
        self.optimizer, self.last_epoch, self.min_lrs, self.eps = optimizer, 0, min_lrs, eps
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, metrics: float | Tensor) -> None:  # type: ignore[override]
        """Take the epoch's metric (a number or a tensor of one element), and maybe reduce."""
        current, self.last_epoch = float(metrics), self.last_epoch + 1
        self.num_bad_epochs += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, low)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced

    def _is_better(self, value):
        up = 1 if self.mode == "max" else -1
        margin = up * self.threshold
        goal = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return up * value > up * goal
