"""What all optimizers share: parameter groups, states, and the loop over parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, overload

from ..autograd import enable_grad
from ..devices import module
from ..kernels import backend
from ..tape import refuse, repeated
from ..tensor import Tensor

Params: TypeAlias = Iterable[Tensor | dict[str, Any] | tuple[str, Tensor]]


def check(name: str, value: Any, expected: str, below: float | None = None) -> None:
    """Raise ValueError in PyTorch's words unless a hyperparameter is in [0, below)."""
    try:
        fits = value >= 0 and (below is None or value < below)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{name}: expected a number, {expected}, got {kind}") from None
    if not fits:
        raise ValueError(f"Invalid {name} value: {value}; expected {expected}")


class Optimizer:
    """Steps parameters along their gradients, one fused kernel pass each.

    A subclass names its scalar `rule` and its `states`, and gives the numbers of a step.
    """

    rule: Any  # see kernels/optimizers.py
    states: tuple[str, ...]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "but got Tensor"
            )
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        # parameter -> its array, its state and which ones are used, the kernel bound to these
        self._bound: dict[Tensor, tuple] = {}
        groups: list[Any] = [g[1] if isinstance(g, tuple) else g for g in params]
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: {"params": [...], "lr": ...}."""
        if not isinstance(param_group, dict):
            kind = type(param_group).__name__
            raise TypeError(f"param_group: expected a dict, got {kind}")
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of them is {type(p)}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group")
        if len(set(params)) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=3,
            )
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or, with set_to_none=False, fill them with 0)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    if p.grad.grad_fn is not None:
                        p.grad.detach_()
                    p.grad.detach().zero_()

    def needs(self, group: dict[str, Any]) -> tuple[bool, ...]:
        """Which of `states` this group's options use."""
        return (True,) * len(self.states)

    def numbers(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """What the rule wants to know of step t = 1, 2, ..."""
        raise NotImplementedError

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], Any]) -> Any: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns closure()'s loss, if one is given."""
        if closure is not None:
            refuse("optimizer.step(closure) runs the closure as it likes; call step() without one")
            with enable_grad():
                loss = closure()
            self._step()
            return loss
        return self._step()

    @repeated
    def _step(self):
        for group in self.param_groups:
            numbers, needs = {}, self.needs(group)
            for p in group["params"]:
                if p._grad is None:
                    continue
                array, state, used, update = self._bound.get(p) or self._bind(p, needs)
                if array is not p.array or state is not self.state.get(p) or used != needs:
                    array, state, used, update = self._bind(p, needs)
                if p._grad.array.shape != array.shape:  # .data was replaced; no kernel would notice
                    shapes = f"{tuple(p.shape)}, but its gradient {tuple(p._grad.shape)}"
                    raise RuntimeError(f"params: one has shape {shapes}; call zero_grad() first")
                t = state["step"] + 1
                if t not in numbers:
                    numbers[t] = tuple(map(float, self.numbers(group, t)))
                state["step"] = t
                update(p._grad.array, numbers[t])
                p.version[0] += 1

    def _bind(self, p, needs):
        """Make the states the parameter lacks, and bind the kernel to its memory."""
        if p.dtype.kind != "f":
            raise RuntimeError(f"params: expected floating point tensors, got one of {p.dtype}")
        state, states = self.state.setdefault(p, {"step": 0}), []
        for name, used in zip(self.states, needs, strict=True):
            if used and name not in state:
                state[name] = Tensor.wrap(module(p.array).zeros(p.array.shape, p.array.dtype))
            if used and state[name].device != p.device:  # the model has moved
                state[name] = state[name].to(p.device)
            if used and state[name].array.shape != p.array.shape:
                shapes = f"{tuple(p.shape)} as the parameter has, got {tuple(state[name].shape)}"
                raise RuntimeError(f"{name}: expected a state of shape {shapes}")
            states.append(state[name].array if used else None)
        update = backend(p.array).bind_update(
            self.rule, p.array, states + [None] * (3 - len(states))
        )
        self._bound[p] = p.array, state, needs, update
        return self._bound[p]

    def state_dict(self) -> dict[str, Any]:
        """States and options, with parameters numbered in order."""
        order = [p for group in self.param_groups for p in group["params"]]
        number = {id(p): i for i, p in enumerate(order)}
        groups = [
            {**group, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {number[id(p)]: dict(s) for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the states and options of an optimizer with groups of the same sizes.

        Raises ValueError, and takes over nothing, if sizes, shapes or dtypes differ, a state or an
        option is missing, or what is given is no state dict.
        """
        try:
            groups = [(dict(g), list(g["params"])) for g in state_dict["param_groups"]]
            states = {int(i): dict(s) for i, s in state_dict["state"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            given = f"{type(error).__name__}: {error}"
            raise ValueError(f"expected what state_dict() of an optimizer gives; {given}") from None
        sizes = [len(params) for _, params in groups]
        if sizes != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                f"optimizer's group: got sizes {sizes}"
            )
        order: dict[int, tuple] = {}
        for n, (ours, (theirs, params)) in enumerate(zip(self.param_groups, groups, strict=True)):
            for option in self.defaults:
                if option not in theirs:
                    raise ValueError(f"loaded state dict lacks param_groups.{n}.{option}")
            needs = self.needs(theirs)
            order |= {i: (p, needs) for i, p in zip(params, ours["params"], strict=True)}
        found = {}
        for i, state in states.items():
            if i not in order:
                raise ValueError(f"loaded state dict has state.{i}, but no such parameter")
            p, needs = order[i]
            found[p] = self._fitting(f"state.{i}", state, p, needs)
        for ours, (theirs, _) in zip(self.param_groups, groups, strict=True):
            ours.update({k: v for k, v in theirs.items() if k != "params"})
        self.state = found

    def _fitting(self, key, state, p, needs):
        """A copy of the loaded state of parameter p, after making sure that it fits."""
        used = [name for name, need in zip(self.states, needs, strict=True) if need]
        for name in ("step", *used):
            value = state.get(name)
            if value is None:
                raise ValueError(f"loaded state dict lacks {key}.{name}")
            if name == "step":
                continue
            fits = isinstance(value, Tensor) and value.shape == p.shape
            if not fits or not value.is_floating_point():
                got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else value
                raise ValueError(
                    f"loaded state dict: expected floats of shape {tuple(p.shape)}, as the "
                    f"parameter's, for {key}.{name}, got {got}"
                )
        return {
            name: value.to(p).contiguous().clone() if isinstance(value, Tensor) else value
            for name, value in state.items()
        }

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])
