"""What all optimizers share: parameter groups, states, and the loop over parameters."""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, ClassVar, TypeAlias, overload

import numpy as np

from ..autograd import enable_grad
from ..creation import adopted
from ..devices import module
from ..dtypes import name_of
from ..kernels import backend
from ..tape import active_tape, age, refuse, repeated
from ..tensor import Tensor

Params: TypeAlias = Iterable[Tensor | dict[str, Any] | tuple[str, Tensor]]


# Options that came later: a state dict or a pickle may lack them, and means this.
_LATER = {
    "amsgrad": False, "maximize": False, "foreach": None, "capturable": False,
    "differentiable": False, "fused": None, "decoupled_weight_decay": False,
}  # fmt: skip


def check(name: str, value: Any, expected: str, below: float | None = None) -> None:
    """Raise ValueError in PyTorch's words unless a hyperparameter is in [0, below)."""
    try:
        fits = value >= 0 and (below is None or value < below)
    except TypeError:
        raise TypeError(f"{name}: expected a number, {expected}, got {name_of(value)}") from None
    if not fits:
        raise ValueError(f"Invalid {name} value: {value}; expected {expected}")


def number(option: Any) -> Any:
    """A hyperparameter, which may be a tensor of one element, as Python's number."""
    return option.item() if isinstance(option, Tensor) else option


class Optimizer:
    """Steps parameters along their gradients, one fused kernel pass each.

    A subclass names its scalar `rule` and the states of that, and gives the numbers of a step.
    `foreach` and `fused`, by which PyTorch chooses among its kernels, are taken and change nothing.
    """

    rule: Any  # see kernels/optimizers.py
    states: tuple[str, ...] = ()  # those that are always there, in the rule's order, and then
    optional: ClassVar[dict[str, str]] = {}  # those that an option asks for, by its name
    counts = False  # whether a state begins with "step", how many there were: a 0-d tensor

    def __init_subclass__(cls, **options: Any) -> None:
        """A step() of the user's is repeated as a whole: it may read what it likes."""
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _without_closure(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        vars(self)["_age"] = age()  # a step that is compiled may not step what it makes
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            hint = "; pass its .parameters()" if hasattr(params, "parameters") else ""
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {name_of(params)}{hint}"
            )
        self.defaults = defaults
        self.state, self.param_groups = defaultdict(dict), []
        # parameter -> its array, the names of its states in use, the state, the arrays of that by
        # name, the count of steps among them, and the kernel bound to these
        self._bound: dict[Tensor, tuple] = {}
        _check_ways(defaults)
        groups: list[Any] = [g[1] if isinstance(g, tuple) else g for g in params]
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list; a module registers layers and Parameters "
                "that are its attributes, or in an nn.ModuleList, not those in a plain list or dict"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters with their options. A compiled step that reads these counts on them."""
        tape = active_tape()
        if tape is not None:
            tape.require("{}({}) == {}", _options, self, _options(self))
        return vars(self)["param_groups"]

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        vars(self)["param_groups"] = groups

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """What is remembered of each parameter, besides its gradient."""
        refuse("it reads the state of an optimizer; read it before the step")
        return vars(self)["state"]

    @state.setter
    def state(self, state: dict[Tensor, dict[str, Any]]) -> None:
        vars(self)["state"] = state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: {"params": [...], "lr": ...}."""
        if vars(self).get("_age") is not age():
            refuse("add_param_group() changes an optimizer; call it before the step")
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group: expected a dict, got {name_of(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("params: expected a list, got a set, whose order changes between runs")
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                hint = "; pass its .parameters()" if hasattr(p, "parameters") else ""
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of them is {name_of(p)}{hint}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group")
        group = {**self.defaults, **param_group, "params": params}
        _check_ways(group)
        if len(set(params)) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=3,
            )
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or, with set_to_none=False, fill them with 0)."""
        tape, params = active_tape(), _params(self)
        if tape is not None:
            tape.require("[*map(id, {}({}))] == {}", _params, self, [*map(id, params)])
        for p in params:
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                if p.grad.grad_fn is not None:
                    p.grad.detach_()
                p.grad.detach().zero_()

    def numbers(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """What the rule wants to know of step t = 1, 2, ...; if no steps are counted, t is 1 in the
        step that begins the state, else 2."""
        raise NotImplementedError

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], Any]) -> Any: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns closure()'s loss, if one is given."""
        if closure is not None:
            refuse(_CLOSURE)
            with enable_grad():
                loss = closure()
            self._step()
            return loss
        return self._step()

    @repeated
    def _step(self):
        bounds, states, groups = self._bound, vars(self)["state"], vars(self)["param_groups"]
        for group in groups:
            _check_ways(group)
            numbers, names, maximize = {}, self._used(group), group.get("maximize")
            for p in group["params"]:
                grad = p._grad
                if grad is None:
                    continue
                begins = False
                try:  # is all in place that the kernel was bound to?
                    array, used, state, arrays, count, update = bounds[p]
                    if array is not p.array or used != names or state is not states[p]:
                        raise KeyError
                    for name, part in arrays:
                        if state[name].array is not part:
                            raise KeyError
                except (KeyError, AttributeError):  # no, or something else is, or nothing
                    array = None
                if array is None:
                    array, count, update, begins = self._bind(p, names)
                g = grad.array
                if g.shape != array.shape or g.dtype != array.dtype:  # .data was replaced
                    raise _mismatch(array, g)
                t = count[()] + 1 if count is not None else 1 if begins else 2
                if t not in numbers:
                    numbers[t] = self._numbers(group, t)
                if count is not None:
                    count[()] = t
                update(-g if maximize else g, numbers[t])
                p.version[0] += 1

    def _used(self, group):
        """The names of the states that the group's options use."""
        names = self.states
        for name, option in self.optional.items():
            if group[option]:
                names += (name,)
        return names

    def _numbers(self, group, t):
        try:
            return tuple(map(float, self.numbers(group, t)))
        except (TypeError, ValueError, ArithmeticError) as error:
            options = {name: group[name] for name in group if name != "params"}
            problem = f"param_groups: no step can be made with {options}: {error}"
            raise type(error)(problem) from None

    def _bind(self, p, names):
        """A kernel bound to the parameter and its states, and whether one of these is new.

        States that are missing begin as zeros; those that are not of the parameter's device and
        dtype any more, for the model has moved, follow it.
        """
        if p.dtype.kind != "f":
            raise RuntimeError(f"params: expected floating point tensors, got one of {p.dtype}")
        repeats = any(n > 1 and not by for n, by in zip(p.shape, p.array.strides, strict=True))
        if (repeats and p.numel()) or not _writeable(p.array):
            raise RuntimeError(
                "params: one cannot be changed: its memory is read-only, or one element of it "
                "stands for several (expand); make it of a clone()"
            )
        state, begins = self.state.setdefault(p, {}), False
        if self.counts:
            count = state.get("step", 0)
            cell = isinstance(count, Tensor) and count.ndim == 0 and count.dtype.kind == "f"
            if not cell or count.is_cuda or not _writeable(count.array):
                state["step"] = _count(count, "step")
        for name in names:
            kept = state.get(name)
            if begins := kept is None:
                zeros = module(p.array).zeros(p.array.shape, p.array.dtype)
                state[name] = kept = Tensor.wrap(zeros)
            if not _fits(kept, p):
                shape = tuple(p.shape)
                got = (
                    f"{(*kept.shape,)} {kept.dtype}" if isinstance(kept, Tensor) else name_of(kept)
                )
                raise RuntimeError(
                    f"{name}: expected floats of shape {shape}, as the parameter's, got {got}"
                )
            if kept.dtype != p.dtype or kept.device != p.device:
                kept.data = kept.data.to(p)
            if not kept.is_contiguous() or not _writeable(kept.array):
                kept.data = kept.data.clone().contiguous()
        known = *self.states, *self.optional
        rows = [state[name].array if name in names else None for name in known]
        update = backend(p.array).bind_update(self.rule, p.array, rows + [None] * (3 - len(rows)))
        # A memoryview takes half the time of item() and fill().
        count = memoryview(state["step"].array) if self.counts else None
        arrays = [(name, state[name].array) for name in ("step", *names) if name in state]
        self._bound[p] = p.array, names, state, arrays, count, update
        return p.array, count, update, begins

    def state_dict(self) -> dict[str, Any]:
        """States and options, with parameters numbered in order.

        The tensors are those of the optimizer, and change with its next step, all of them:
        copy.deepcopy() what is to stay.
        """
        number: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                number.setdefault(id(p), i)
            start += len(group["params"])
            groups.append({**group, "params": [number[id(p)] for p in group["params"]]})
        state = {number[id(p)]: dict(s) for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a copy of the states and options of an optimizer with groups of the same sizes.

        PyTorch's is one of those, its tensors included. Raises ValueError, and takes over nothing,
        if sizes, shapes or dtypes differ, a state or an option is missing, or what is given is no
        state dict.
        """
        refuse("load_state_dict() changes an optimizer; call it before the step")
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
        order: dict[int, Tensor] = {}
        found: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        taken = []
        for n, (ours, (theirs, params)) in enumerate(zip(self.param_groups, groups, strict=True)):
            group = {k: _copied(v) for k, v in theirs.items() if k != "params"}
            group["params"] = ours["params"]
            self._complete(group)
            for option in self.defaults:
                if option not in group:
                    raise ValueError(f"loaded state dict lacks param_groups.{n}.{option}")
            _check_ways(group)
            order |= dict(zip(params, ours["params"], strict=True))
            taken.append(group)
        for i, state in states.items():
            if i not in order:
                raise ValueError(f"loaded state dict has state.{i}, but no such parameter")
            found[order[i]] = self._fitting(f"state.{i}", state, order[i])
        self.state, self.param_groups = found, taken

    def _complete(self, group):
        """Give a group that was stored before some options came what it means without them."""
        for name, value in _LATER.items():
            if name in self.defaults:
                group.setdefault(name, value)

    def _fitting(self, key, state, p):
        """A copy of the loaded state of parameter p, after making sure that it fits."""
        copy, known = {}, {*self.states, *self.optional}
        for name, value in state.items():
            value = value if (taken := adopted(value)) is None else taken
            if name == "step" and self.counts:
                copy[name] = _count(value, f"{key}.step")
            elif name in known and value is not None:  # None: PyTorch's, of one to begin
                if not _fits(value, p):
                    tensor = isinstance(value, Tensor)
                    got = f"{value.dtype} {tuple(value.shape)}" if tensor else value
                    raise ValueError(
                        f"loaded state dict: expected floats of shape {tuple(p.shape)}, as the "
                        f"parameter's, for {key}.{name}, got {got}"
                    )
                copy[name] = value.detach().to(p).clone().contiguous()
            elif name not in known:
                copy[name] = _copied(value)
        for name in ("step", *self.states) if self.counts and copy else ():
            if name not in copy:
                raise ValueError(f"loaded state dict lacks {key}.{name}")
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_bound"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _bound={})
        for group in self.param_groups:
            self._complete(group)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


_CLOSURE = "optimizer.step(closure) runs the closure as it likes; call step() without one"


def _without_closure(step):
    @functools.wraps(step)
    def call(self, *args, **kwargs):
        if any(map(callable, (*args, *kwargs.values()))):
            refuse(_CLOSURE)
        return whole(self, *args, **kwargs)

    whole = repeated(step)
    return call


def _params(optimizer):
    groups = vars(optimizer)["param_groups"]
    return groups[0]["params"] if len(groups) == 1 else [p for g in groups for p in g["params"]]


def _options(optimizer):
    """All that the groups hold, in a form that can be compared: numbers by type and sign."""
    groups = vars(optimizer)["param_groups"]
    return [
        [(k, [*map(id, v)] if k == "params" else (type(v), repr(v))) for k, v in g.items()]
        for g in groups
    ]


def _mismatch(array, g):
    what, ours, other = "shape", array.shape, g.shape
    if ours == other:
        what, ours, other = "dtype", array.dtype, g.dtype
    found = f"{ours}, but its gradient {other}; call zero_grad() first"
    return RuntimeError(f"params: one has {what} {found}")


def _check_ways(group):
    """Refuse the ways of stepping that PyTorch has, and that would do here what they do not say."""
    if group.get("fused") and group.get("foreach"):
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if group.get("differentiable"):
        why = "a step is not part of the graph here; write it with operations on Tensors"
        raise RuntimeError(f"differentiable: expected False, for {why}")
    if group.get("capturable"):
        why = "a step reads its numbers on the host, which a CUDA graph would not repeat"
        raise RuntimeError(f"capturable: expected False, for {why}")


def _fits(value, p):
    """Whether it may be a state of parameter p."""
    return isinstance(value, Tensor) and value.shape == p.shape and value.is_floating_point()


def _copied(value):
    taken = adopted(value)  # PyTorch's tensors as well
    return deepcopy(value) if taken is None else taken.detach().clone()


def _count(value, name):
    """A count of steps as a state keeps it: on the CPU, where a step reads it."""
    try:
        count = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a number of steps, got {value!r}") from None
    if not (count >= 0 and count == int(count)):
        raise ValueError(f"{name}: expected a number of steps, got {count}")
    return Tensor.wrap(np.array(count, np.float32))


def _writeable(array):
    return getattr(array.flags, "writeable", True)  # CuPy's always is
