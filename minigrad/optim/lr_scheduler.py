"""Learning rates that change from epoch to epoch: call scheduler.step() after each.

A scheduler sets group["lr"] of every group in optimizer.param_groups, and group["initial_lr"],
the rate it found there. A rate that is a tensor is changed in place.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from ..creation import adopted, check_numbers
from ..tape import refuse, repeated
from ..tensor import Tensor
from .optimizer import Optimizer


def _groups(optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: {type(optimizer).__name__} is not an Optimizer")
    return optimizer.param_groups


def _rates(groups, key="lr"):
    """What the groups have for `key`; copies where these are tensors."""
    rates = [group[key] for group in groups]
    return [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]


def _taken(value):
    """A value of a state dict, with PyTorch's tensors as our own."""
    if isinstance(value, list):
        return list(map(_taken, value))
    tensor = adopted(value)
    return value if tensor is None else tensor.detach().clone()


def _set_rate(group, rate):
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


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
        groups = _groups(optimizer)
        for group, rate in zip(groups, _rates(groups), strict=True):
            if last_epoch == -1:
                group.setdefault("initial_lr", rate)
            elif "initial_lr" not in group:
                raise KeyError("'initial_lr' is not specified: load the optimizer's state first")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        vars(self).update(options)
        self.base_lrs = _rates(groups, "initial_lr")
        self._is_initial = True  # the constructor's step, which must not decay a resumed rate
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """Compute the rates for `last_epoch` from those now in the groups."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last step left, one per group."""
        return self._last_lr

    @repeated
    def step(self) -> None:
        """Go to the next epoch and set its rates."""
        self.last_epoch += 1
        groups, rates = self.optimizer.param_groups, self.get_lr()
        if len(rates) != len(groups):
            self.last_epoch -= 1
            raise ValueError(
                f"{type(self).__name__} has rates for {len(rates)} parameter groups, its optimizer "
                f"has {len(groups)}: after add_param_group() make the scheduler anew"
            )
        for group, rate in zip(groups, rates, strict=True):
            _set_rate(group, rate)
        self._last_lr = _rates(groups)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what state_dict() returned."""
        refuse("load_state_dict() changes a scheduler; call it before the step")
        if not isinstance(state_dict, Mapping):
            kind = type(state_dict).__name__
            raise TypeError(f"state_dict: expected what state_dict() gives, got {kind}")
        vars(self).update({name: _taken(value) for name, value in state_dict.items()})

    def _times(self, factor):
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    """The initial rate times lr_lambda(epoch); one function, or a list with one per group.

    state_dict() holds the attributes of a callable object, and nothing of a function.
    """

    lr_lambdas: list[Callable[[int], float]]

    def __init__(
        self, optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = len(_groups(optimizer))
        several = isinstance(lr_lambda, list | tuple)
        given: Any = lr_lambda
        functions = list(given) if several else [given] * groups
        if len(functions) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(functions)}")
        for function in functions:
            if not callable(function):
                kind = type(function).__name__
                raise TypeError(f"lr_lambda should be a function, but got {kind}")
        super().__init__(optimizer, last_epoch, lr_lambdas=functions)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=False)  # step() counts them
        return [rate * function(self.last_epoch) for rate, function in pairs]

    def state_dict(self) -> dict[str, Any]:
        attributes = [
            None if isinstance(function, FunctionType) else dict(getattr(function, "__dict__", {}))
            for function in self.lr_lambdas
        ]
        return super().state_dict() | {"lr_lambdas": attributes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict.get("lr_lambdas", ()), strict=False):
            if attributes:
                vars(function).update(attributes)


class MultiStepLR(LRScheduler):
    """Multiply the rate by `gamma` at every epoch in `milestones`, twice if it is there twice."""

    milestones: Counter[int]
    gamma: float

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not isinstance(milestones, Iterable):
            kind = type(milestones).__name__
            raise TypeError(f"milestones: expected a list of epochs, got {kind}")
        check_numbers(gamma=gamma)
        super().__init__(optimizer, last_epoch, milestones=Counter(milestones), gamma=gamma)

    def get_lr(self) -> list[float]:
        return self._times(self.gamma ** Counter(self.milestones)[self.last_epoch])


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` epochs."""

    step_size: int
    gamma: float

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_numbers(step_size=step_size, gamma=gamma)
        if step_size == 0:
            raise ZeroDivisionError("step_size: expected a number of epochs >= 1, got 0")
        super().__init__(optimizer, last_epoch, step_size=step_size, gamma=gamma)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._times(self.gamma if due else 1)


class ExponentialLR(LRScheduler):
    """Multiply the rate by `gamma` every epoch."""

    gamma: float

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        check_numbers(gamma=gamma)
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def get_lr(self) -> list[float]:
        return self._times(1 if self._is_initial else self.gamma)


class CosineAnnealingLR(LRScheduler):
    """Lower the rate along half a cosine to `eta_min` at epoch `T_max`, then back up, and so on."""

    T_max: int
    eta_min: float

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_numbers(T_max=T_max, eta_min=eta_min)
        if T_max == 0:
            raise ZeroDivisionError("T_max: expected a number of epochs >= 1, got 0")
        super().__init__(optimizer, last_epoch, T_max=T_max, eta_min=eta_min)

    def get_lr(self) -> list[float]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        # A change of the rate by hand is kept: it enters the next rate as a factor, except where
        # the cosine is at its lowest and leaves nothing to scale.
        before, now = (1 + math.cos(math.pi * (self.last_epoch - i) / self.T_max) for i in (1, 0))
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            pairs = zip(self.base_lrs, rates, strict=False)  # step() counts them
            rise = 1 - math.cos(math.pi / self.T_max)
            return [rate + (base - self.eta_min) * rise / 2 for base, rate in pairs]
        return [now / before * (rate - self.eta_min) + self.eta_min for rate in rates]


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
        groups, several = _groups(optimizer), isinstance(min_lr, list | tuple)
        lows: Any = min_lr
        min_lrs = list(lows) if several else [lows] * len(groups)
        for low in min_lrs:
            check_numbers(min_lr=low)
        check_numbers(
            factor=factor, patience=patience, threshold=threshold, cooldown=cooldown, eps=eps
        )
        if factor >= 1:
            raise ValueError(f"Factor should be < 1.0, got {factor}")
        if len(min_lrs) != len(groups):
            raise ValueError(f"expected {len(groups)} min_lrs, got {len(min_lrs)}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Choose 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Choose 'rel' or 'abs'")
        self.optimizer, self.last_epoch, self.min_lrs, self.eps = optimizer, 0, min_lrs, eps
        self.mode, self.factor, self.patience, self.cooldown = mode, factor, patience, cooldown
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.best = math.inf if mode == "min" else -math.inf
        self.default_min_lr = None if several else min_lr  # of groups that are added
        self.num_bad_epochs = self.cooldown_counter = 0
        self._last_lr = _rates(groups)

    def step(self, metrics: float | Tensor) -> None:  # type: ignore[override]
        """Take the epoch's metric (a number or a tensor of one element), and maybe reduce."""
        try:
            current = float(metrics)
        except TypeError:
            raise TypeError(f"metrics: expected a number, got {type(metrics).__name__}") from None
        self.last_epoch += 1
        self.num_bad_epochs += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = _rates(self.optimizer.param_groups)

    def _reduce(self):
        groups = self.optimizer.param_groups
        if len(self.min_lrs) != len(groups):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau was made with {len(self.min_lrs)} min_lrs, its optimizer "
                    f"has {len(groups)} parameter groups by now: set scheduler.min_lrs to as many"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, low in zip(groups, self.min_lrs, strict=True):
            rate = float(group["lr"])
            reduced = max(rate * self.factor, low)
            if rate - reduced > self.eps:
                _set_rate(group, reduced)

    def _is_better(self, value):
        up = 1 if self.mode == "max" else -1
        margin = up * self.threshold
        goal = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return up * value > up * goal
