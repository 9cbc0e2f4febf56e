"""Looking at all that a program can reach: values, options, identity, shared memory."""

import numpy as np

import minigrad as mg


class Picture:
    """Facts about everything that some names lead to: path -> values, options, identity."""

    def __init__(self):
        self.facts, self._known, self._arrays, self._alive = {}, {}, [], []

    def add(self, path, x):
        if x is None or isinstance(x, bool | int | float | str | np.generic):
            self.facts[path] = type(x).__name__, repr(x)
            return
        if type(x).__name__ in ("function", "type", "module", "builtin_function_or_method"):
            return
        # A compiled module is another object with the model's attributes.
        identity = id(vars(x)) if isinstance(x, mg.nn.Module) else id(x)
        if identity in self._known:
            self.facts[path] = "is", self._known[identity]
            return
        self._known[identity] = path
        self._alive.append(x)
        if isinstance(x, mg.Tensor):
            self._array(path, x.array)
            self.facts[path] += type(x).__name__, x.requires_grad, _is_leaf(x)
            if x._grad is not None:
                self.add(f"{path}.grad", x._grad)
        elif isinstance(x, np.ndarray):
            self._array(path, x)
        elif isinstance(x, mg.random.Generator):
            self.facts[path] = str(x.get_state())
        elif isinstance(x, np.random.Generator):
            self.facts[path] = str(x.bit_generator.state)
        elif isinstance(x, dict):
            self.facts[path] = "dict", len(x)
            for i, (name, part) in enumerate(x.items()):
                self.add(f"{path}[{name if isinstance(name, str | int) else i}]", part)
        elif isinstance(x, tuple | list):
            self.facts[path] = type(x).__name__, len(x)
            for i, part in enumerate(x):
                self.add(f"{path}[{i}]", part)
        elif isinstance(x, mg.optim.Optimizer):
            for name in ("defaults", "param_groups", "state"):
                self.add(f"{path}.{name}", getattr(x, name))
        elif isinstance(x, mg.nn.Module | mg.optim.lr_scheduler.LRScheduler):
            for name in sorted(vars(x)):
                if not name.startswith("_"):
                    self.add(f"{path}.{name}", vars(x)[name])

    def _array(self, path, array):
        self._arrays.append((path, array))
        layout = array.strides if array.size else ()
        self.facts[path] = str(array.dtype), array.shape, layout, array.tobytes()

    def whole(self):
        for i, (path, array) in enumerate(self._arrays):
            shared = [other for other, b in self._arrays[:i] if np.may_share_memory(array, b)]
            if shared:
                self.facts[f"memory of {path}"] = shared
        return self.facts


def _is_leaf(tensor):
    try:
        return tensor.is_leaf
    except RuntimeError as error:  # a view that cannot follow its base
        return str(error)


def compare(plain, compiled):
    """The first difference, in words; None if there is none."""
    for (number, a), (_, b) in zip(plain.seen, compiled.seen, strict=False):
        for path in [*a, *b]:
            if path not in a or path not in b or a[path] != b[path]:
                values = [_readable(facts.get(path, "nothing")) for facts in (a, b)]
                return f"after #{number}, {path}:\n  plain    {values[0]}\n  compiled {values[1]}"
    if compiled.refused is None and len(plain.seen) != len(compiled.seen):
        return f"{len(plain.seen)} lines plain, {len(compiled.seen)} compiled"
    return None


def _readable(fact):
    if isinstance(fact, tuple) and any(isinstance(part, bytes) for part in fact):
        dtype, shape, _, data, *rest = fact
        return np.frombuffer(data, dtype).reshape(shape).tolist(), *rest
    return fact
