"""Parameter, Module and the containers: how a model names and keeps its tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import groupby
from typing import Any, NamedTuple, Self, SupportsIndex, overload

from ..autograd import no_grad
from ..creation import adopted
from ..devices import DeviceLike
from ..dtypes import CATEGORY, DTypeLike, as_dtype, float32, float64, name_of
from ..tape import active_tape, age, changed, refuse
from ..tensor import Tensor

__all__ = ["Module", "ModuleDict", "ModuleList", "Parameter", "Sequential"]


class _IncompatibleKeys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class Parameter(Tensor):
    """A tensor that a Module registers when it is assigned to one of its attributes."""

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(
                f"data: expected a Tensor, got {name_of(data)}; minigrad.tensor(data) makes one"
            )
        super().__init__(data.array, requires_grad=requires_grad)
        self.version = data.version  # they share memory

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Module:
    """Base class of every layer and model: subclasses call super().__init__(), define forward().

    Parameters, buffers and child modules are ordinary attributes, found as fast as any other;
    `_registered` lists the same objects in order, with None for a name that is only reserved.
    """

    training: bool
    _registered: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Say what is wrong where an attribute is missing."""
        word = type(self).__name__
        if name in ("_registered", "_non_persistent", "training"):
            problem = f"{word} is not ready before Module.__init__() call"
            raise AttributeError(f"{problem}: begin its __init__ with super().__init__()")
        raise AttributeError(f"{word!r} object has no attribute {name!r}")

    def __init__(self) -> None:
        vars(self)["_age"] = age()  # see tape.changed
        self.training, self._registered = True, {}
        self._non_persistent: set[str] = set()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every subclass defines it."""
        name = type(self).__name__
        raise NotImplementedError(f'Module [{name}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call forward()."""
        self._registered  # noqa: B018, says if __init__ has forgotten super().__init__()
        tape = active_tape()
        if tape is not None:
            tape.enter(self)
        return self.forward(*args, **kwargs)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a Parameter, or None to reserve the name, as the attribute `name`."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but is not trained; in state_dict() if `persistent`."""
        self._register(name, tensor, Tensor)
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, or None to reserve the name, as the attribute `name`."""
        self._register(name, module, Module)

    def _register(self, name, value, kind, replace=False):
        word = _KINDS[kind]
        if "_registered" not in vars(self):
            problem = f"cannot assign {word} before Module.__init__() call"
            raise AttributeError(f"{problem}: begin __init__ with super().__init__()")
        if not isinstance(name, str):
            raise TypeError(f"{word} name should be a string, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f'{word} name can\'t be empty or contain ".", got: {name!r}')
        if not replace and name not in self._registered and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        if value is not None and not isinstance(value, kind):
            problem = f"cannot assign '{name_of(value)}' as {word} '{name}'"
            hint = ""
            if isinstance(value, type):
                hint = f"; {value.__name__}() makes one"
            elif isinstance(value, list | tuple):
                hint = "; put * in front of a list to pass what is in it"
            raise TypeError(f"{problem} ({kind.__name__} or None expected){hint}")
        self._changing(name, value)
        self._registered[name] = self.__dict__[name] = value

    def _changing(self, name, value):
        """An attribute is about to be set: recordings know its value, unless it stays the same."""
        if name not in vars(self) or vars(self)[name] is not value:
            changed(vars(self).get("_age"), f"{type(self).__name__}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        kind, registered = _kind(value), vars(self).get("_registered", {})
        if kind not in (Parameter, Module):  # registers nothing new; a registered name stays so
            if name not in registered:
                self._changing(name, value)
                return super().__setattr__(name, value)
            kind = _kind(registered[name]) or Tensor
        self._register(name, value, kind, replace=True)

    def __delattr__(self, name: str) -> None:
        self._changing(name, Module)  # which no attribute is
        super().__delattr__(name)
        self._registered.pop(name, None)
        self._non_persistent.discard(name)

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this module and all below it, a shared one once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._registered.items():
            if isinstance(child, Module):
                yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def _members(self, kind, prefix, recurse, remove_duplicate):
        seen = set()
        modules = self.named_modules(None, prefix, remove_duplicate)
        for path, module in modules if recurse else [(prefix, self)]:
            for name, value in module._registered.items():
                if _kind(value) is kind and id(value) not in seen:
                    if remove_duplicate:
                        seen.add(id(value))
                    yield _join(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter), a shared one once."""
        return self._members(Parameter, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (dotted name, buffer), a shared one once."""
        return self._members(Tensor, prefix, recurse, remove_duplicate)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the direct children, a shared one once."""
        return self._members(Module, "", False, True)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def children(self) -> Iterator[Module]:
        """Yield the direct children."""
        return (child for _, child in self.named_children())

    def _state(self):
        for path, module in self.named_modules(remove_duplicate=False):
            for kind in (Parameter, Tensor):
                for name, value in module._members(kind, "", False, False):
                    if name not in module._non_persistent:
                        yield _join(path, name), value

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """Return every parameter and persistent buffer by dotted name, sharing memory."""
        return OrderedDict((prefix + k, v if keep_vars else v.detach()) for k, v in self._state())

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True
    ) -> _IncompatibleKeys:
        """Copy values into parameters and buffers; returns (missing_keys, unexpected_keys).

        Values are Tensors, NumPy's arrays, or tensors of PyTorch and other libraries.
        Raises RuntimeError, and copies nothing, if a shape differs, if floats are to become
        integers or bools, or, when `strict`, if a key differs.
        """
        if not isinstance(state_dict, Mapping):
            hint = "; pass its state_dict()" if hasattr(state_dict, "state_dict") else ""
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}{hint}.")
        own, errors, values = dict(self._state()), [], {}
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        for word, keys in (("Missing", missing), ("Unexpected", unexpected)):
            if strict and keys:
                names = ", ".join(f'"{key}"' for key in keys)
                errors.append(f"{word} key(s) in state_dict: {names}. ")
        for key, value in own.items():
            try:
                given = adopted(state_dict.get(key, value))
            except (TypeError, RuntimeError, BufferError) as error:  # of a dtype unknown here
                errors.append(f"{key}: {error}.")
                continue
            values[key] = given
            if given is None:
                errors.append(f"expected a Tensor for {key}, got {name_of(state_dict[key])}.")
            elif given.shape != value.shape:
                shapes = (
                    f"{given.shape} from checkpoint, the shape in current model is {value.shape}"
                )
                errors.append(f"size mismatch for {key}: copying a param with shape {shapes}.")
            elif CATEGORY[given.dtype.kind] > CATEGORY[value.dtype.kind]:
                dtypes = f"{given.dtype} from checkpoint, {value.dtype} in current model"
                errors.append(f"dtype mismatch for {key}: {dtypes}.")
        if errors:
            errors.insert(0, f"Error(s) in loading state_dict for {type(self).__name__}:")
            raise RuntimeError("\n\t".join(errors))
        with no_grad():
            for key, value in own.items():
                value.copy_(values[key])
        return _IncompatibleKeys(missing, unexpected)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it in training mode (or not)."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, got {mode!r}")
        if mode != self.training:
            refuse("train() or eval() changes a module's mode; call it before the step")
        self.training = mode
        for child in self.children():
            child.train(mode)  # not by modules(): a child may override train()
        return self

    def eval(self) -> Self:
        """Put this module and all below it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say whether the parameters are to be trained."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero in place."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def to(self, device: DeviceLike | DTypeLike | Tensor = None, dtype: DTypeLike = None) -> Self:
        """Move to a device, a dtype or both; a dtype (float only) leaves integer buffers alone.

        Parameters stay the same objects, so an optimizer's references stay valid; its states follow
        with its next step.
        """
        if device is not None and not isinstance(device, (str, int)):
            device, dtype = None, getattr(device, "dtype", device)
        if dtype is not None and as_dtype(dtype).kind != "f":
            raise TypeError(f"dtype: expected a floating point dtype, got {dtype}")
        tensors = [*self.parameters(), *self.buffers()]
        for tensor in tensors + [t.grad for t in tensors if t.grad is not None]:
            wanted = dtype if tensor.is_floating_point() else None
            tensor.data = tensor.data.to(device=device, dtype=wanted)
        return self

    def cuda(self, device: DeviceLike = None) -> Self:
        """Move to the GPU, as Tensor.cuda()."""
        return self.to("cuda" if device is None else device)

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self.to("cpu")

    def float(self) -> Self:
        """Make floats float32."""
        return self.to(float32)

    def double(self) -> Self:
        """Make floats float64."""
        return self.to(float64)

    def extra_repr(self) -> str:
        """Return what to print between the parentheses; subclasses override it."""
        return ""

    def _children(self):
        """(name, child) pairs; unlike named_children() a shared child comes as often as used."""
        return [(k, v) for k, v in self._registered.items() if isinstance(v, Module)]

    def _child_lines(self):
        return [f"({name}): {child!r}" for name, child in self._children()]

    def __repr__(self) -> str:
        extra, children = self.extra_repr(), self._child_lines()
        if children or "\n" in extra:
            lines = "\n".join(filter(None, [extra, *children])).replace("\n", "\n  ")
            extra = f"\n  {lines}\n"
        return f"{type(self).__name__}({extra})"


_KINDS: dict[type, str] = {Parameter: "parameter", Module: "module", Tensor: "buffer"}


def _kind(value):
    """What a registered value is: its key in _KINDS (a Parameter is no buffer), or None."""
    return next((kind for kind in _KINDS if isinstance(value, kind)), None)


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


class _ModuleRow(Module):
    """What Sequential and ModuleList share: child modules in order, indexed as in a list."""

    def __iter__(self) -> Iterator[Module]:
        return iter([child for _, child in self._children()])

    def __len__(self) -> int:
        return len(self._children())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._part(self._children()[index])
        return list(self)[index]

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        self.add_module(self._children()[index][0], module)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        modules = list(self)
        del modules[index]
        self._refill(modules)

    def _refill(self, modules):
        for name, _ in self._children():
            delattr(self, name)
        self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self.extend([module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"modules: expected Modules in a list, got {name_of(modules)}")
        for module in modules:
            self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Add a module before position `index`."""
        self._refill([*list(self)[:index], module, *list(self)[index:]])


class Sequential(_ModuleRow):
    """Modules called one after another; takes them in order, or one OrderedDict of names."""

    def __init__(self, *modules: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        first = modules[0] if modules else None
        named: Any = first.items() if isinstance(first, OrderedDict) else enumerate(modules)
        for name, module in named:
            self.add_module(str(name), module)

    def _part(self, children):
        return type(self)(OrderedDict(children))

    def forward(self, input: Any) -> Any:
        """Call each module with what the one before it returned."""
        for module in self._registered.values():
            if isinstance(module, Module):
                input = module(input)
        return input


class ModuleList(_ModuleRow):
    """Modules in a list, to be called as its owner likes."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _part(self, children):
        return type(self)(child for _, child in children)

    def _child_lines(self):
        start, lines = 0, []
        for text, equal in groupby(map(repr, self)):
            count = len(list(equal))
            row = f"({start}): " if count == 1 else f"({start}-{start + count - 1}): {count} x "
            lines.append(row + text)
            start += count
        return lines


class ModuleDict(Module, MutableMapping[str, Module]):
    """Modules by name, to be called as its owner likes."""

    __eq__, __hash__ = Module.__eq__, Module.__hash__  # a Mapping compares contents

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, name: str) -> Module:
        return self._registered[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        delattr(self, name) if name in self._registered else self._registered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)
