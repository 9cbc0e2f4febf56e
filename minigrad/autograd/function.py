"""Users' own operations: a forward and a backward on Tensors."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices import module
from ..tape import active_tape, refuse
from .grad_mode import is_grad_enabled, no_grad
from .graph import Node

if TYPE_CHECKING:
    from ..tensor import Tensor


class Context:
    """What forward leaves for backward: saved tensors, any attribute, and which inputs matter."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple = ()
        self._constant: tuple = ()

    if TYPE_CHECKING:  # any attribute may be set

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs (or None) for backward, which reads them as saved_tensors."""
        for t in tensors:
            if t is not None and not hasattr(t, "node"):
                raise TypeError(f"save_for_backward: expected Tensors, got {type(t).__name__}")
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What save_for_backward was given."""
        return tuple(t() if callable(t) else t for t in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name outputs that have no gradient."""
        self._constant = tensors


class _Output:
    """The operation that made output number `position` out of a call with `count` outputs."""

    def __init__(self, name, position, count):
        self.node_name, self.position, self.count = f"{name}Backward", position, count

    def gradients(self, g, values, parents):
        parts = np.zeros(self.count, object)  # what other outputs add on the way to the call's node
        parts[self.position] = g
        return [parts]


class _Call:
    """One call of a Function: its node runs the user's backward once, for all inputs."""

    def __init__(self, function, context, outputs):
        self.node_name, self.context = f"{function.__name__}Backward", context
        self.backward = function.backward
        self.wrap, arrays = outputs[0].wrap, [o.array for o in outputs]
        self.zeros = [partial(module(a).zeros, a.shape, a.dtype) for a in arrays]

    def gradients(self, g, values, parents):
        recorded = any(hasattr(part, "node") for part in g)
        pairs = zip(g, self.zeros, strict=True)
        parts = [part if hasattr(part, "shape") else zeros() for part, zeros in pairs]
        given = [part if hasattr(part, "node") else self.wrap(part) for part in parts]
        results = self.backward(self.context, *given)
        results = results if isinstance(results, tuple) else (results,)
        caller, n = f"function {self.node_name} returned an", len(parents)
        if len(results) < n or any(result is not None for result in results[n:]):
            numbers = f"(expected {n}, got {len(results)})"
            raise RuntimeError(f"{caller} incorrect number of gradients {numbers}")
        found = [None] * n
        for i, (result, parent) in enumerate(zip(results, parents, strict=False)):
            if result is not None and parent is not None:
                if not hasattr(result, "node"):
                    got = f"{type(result).__name__}, no Tensor"
                elif result.array.shape != parent.shape:
                    got = f"{list(result.shape)} but expected {list(parent.shape)}"
                else:
                    got = None
                if got:
                    raise RuntimeError(f"{caller} invalid gradient at index {i} - got {got}")
                found[i] = result if recorded else result.array.view()  # the user may keep it
        return found


class Function:
    """A differentiable operation of your own.

    Subclass with static methods forward(ctx, *args) and backward(ctx, *gradients of the outputs),
    the latter returning one gradient (or None) per argument of forward; call with .apply(*args).
    Backward is differentiable itself if it uses differentiable operations.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("define a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any, **options: Any) -> Any:
        raise NotImplementedError("define a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the operation: what forward returns, in the graph."""
        refuse("a Function's backward is Python that may do anything")
        parents = [getattr(x, "node", None) for x in args]
        ctx = Context(tuple(p is not None for p in parents))
        with no_grad():
            result = cls.forward(ctx, *args)
        outputs = result if isinstance(result, tuple) else (result,)
        for o in outputs:
            if not hasattr(o, "node"):
                problem = f"expected a Tensor or a tuple of Tensors, got {type(o).__name__}"
                raise TypeError(f"{cls.__name__}.forward: {problem}")
        given = {id(x) for x in args}  # an input that is returned becomes a tensor of its own
        outputs = tuple(o.detach() if id(o) in given else o for o in outputs)
        if is_grad_enabled() and any(ctx.needs_input_grad):
            cls._record(ctx, parents, args, outputs)
        else:
            ctx._saved = ()
        return outputs if isinstance(result, tuple) else outputs[0]

    @classmethod
    def _record(cls, ctx, parents, args, outputs):
        arrays, wrap = [o.array for o in outputs], outputs[0].wrap
        versions = [o.version for o in outputs]
        stamps = [(t.version, t.version[0], t.array) for t in ctx._saved if t is not None]
        call = Node(
            _Call(cls, ctx, outputs), parents, (ctx,), stamps, np.empty(len(arrays), object)
        )
        alive, tape = weakref.ref(call), active_tape()
        if tape is not None:
            tape.recorded(call)

        def output_node(i, call):
            return Node(_Output(cls.__name__, i, len(arrays)), (call,), (), (), arrays[i])

        def restored(i):
            """A saved output, made again when asked for: holding its node would be a cycle."""
            call = alive() if is_grad_enabled() else None
            return wrap(arrays[i], call and output_node(i, call), versions[i])

        place = {id(o): i for i, o in enumerate(outputs)}
        ctx._saved = tuple(
            partial(restored, place[id(t)]) if id(t) in place else t for t in ctx._saved
        )
        fixed, ctx._constant = {id(t) for t in ctx._constant}, ()
        for i, out in enumerate(outputs):
            if id(out) not in fixed and out.array.dtype.kind == "f":
                out.node = output_node(i, call)
