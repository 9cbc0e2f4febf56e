"""compile: a step that is recorded once and replayed without the cost of deciding what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .autograd import is_grad_enabled
from .quiet import quiet
from .tape import Recording, active_tape, refuse
from .tensor import Tensor

PROGRAMS = 8  # recordings kept for one kind of arguments


def compile(function: Callable) -> Callable:
    """A function that does what `function` does, recorded at the first call and then replayed.

    For a whole training step on small models: forward pass, backward(), optimizer.step(). The
    replay repeats the recorded calls of array functions in order, so results, gradients, parameters
    and random numbers are bit for bit those of the plain function; only the Python between them is
    gone. Arguments are Tensors without gradient (new values are used at each call) and other
    hashable values; tuples and lists of them too. It is recorded again when shapes, dtypes, strides
    or other arguments change, a module's training mode, the memory of a parameter, or which of them
    need a gradient. What the function returns is outside any graph.

    As with every tracer, Python runs while recording only: numbers from outside the function are
    what they were then, and print or append happen once. Optimizers and schedulers are called as
    they are, so a new learning rate counts. RuntimeError for what a recording cannot hold: reading
    a tensor's value, indexing by a mask, arrays made on the way, create_graph, a user's Function,
    train() or eval(), and a result whose backward pass is still to come.
    """
    if not callable(function):
        raise TypeError(f"function: expected a callable, got {type(function).__name__}")
    programs: dict[tuple, list] = {}

    @quiet
    def call(args, kwargs):
        if active_tape() is not None:
            return function(*args, **kwargs)
        arrays: list = []
        key = (is_grad_enabled(), _signature(args, arrays), _signature(kwargs, arrays))
        known = programs.setdefault(key, [])
        for valid, replay in known:
            if valid():
                return replay(*arrays)
        with Recording(arrays) as tape:
            result = function(*args, **kwargs)
            text = _text(result, tape)
            known.append(tape.function(text))
        del known[:-PROGRAMS]
        return _detached(result)

    @functools.wraps(function, updated=())
    def compiled(*args, **kwargs):
        return call(args, kwargs)

    return compiled


def _signature(x, arrays):
    """What of an argument must be the same for a replay; its arrays are added to `arrays`."""
    if isinstance(x, Tensor):
        if x.node is not None:
            raise RuntimeError(
                "minigrad.compile: an argument requires a gradient; detach() it, or let the "
                "function use it without passing it"
            )
        a = x.array
        same = next((i for i, other in enumerate(arrays) if other is a), None)
        arrays.append(a)
        return a.shape, a.dtype, a.strides, same
    if type(x) in (tuple, list):
        return type(x), *[_signature(part, arrays) for part in x]
    if type(x) is dict:
        return dict, *[(name, _signature(part, arrays)) for name, part in x.items()]
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"minigrad.compile: expected Tensors and hashable values as arguments, got "
            f"{type(x).__name__}"
        ) from None
    return type(x), x


def _text(x, tape):
    """What the function returned, as Python."""
    if isinstance(x, Tensor):
        if x.node is not None and not x.is_leaf and x.node not in tape.walked:
            refuse(
                "it returns a tensor whose backward pass is still to come; call backward() within "
                "the step, or return detach()"
            )
        tape.capture(x)
        array = tape.text(x.array)
        return (
            tape.constant(x) if array.startswith("k") else f"{tape.constant(Tensor.wrap)}({array})"
        )
    if type(x) in (tuple, list):
        inner = "".join(f"{_text(part, tape)}, " for part in x)
        return f"({inner})" if type(x) is tuple else f"[{inner}]"
    if type(x) is dict:
        return f"{{{', '.join(f'{name!r}: {_text(part, tape)}' for name, part in x.items())}}}"
    return tape.constant(x)


def _detached(x):
    if isinstance(x, Tensor):
        return x if x.is_leaf else x.detach()
    if type(x) in (tuple, list):
        return type(x)(map(_detached, x))
    if type(x) is dict:
        return {name: _detached(part) for name, part in x.items()}
    return x
