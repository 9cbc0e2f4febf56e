"""Users' own operations: a forward and a backward on Tensors."""

from __future__ import annotations

import weakref

import numpy as np

from .graph import Node, is_grad_enabled, no_grad


class Context:
    """What forward leaves for backward: saved tensors, any attribute, and which inputs matter."""

    def __init__(self, needs_input_grad):
        self.needs_input_grad, self._saved = needs_input_grad, ()

    def save_for_backward(self, *tensors):
        """Keep inputs or outputs (or None) for backward, which reads them as saved_tensors."""
        self._saved = tensors

    @property
    def saved_tensors(self):
        return tuple(t() if callable(t) else t for t in self._saved)

    def mark_non_differentiable(self, *tensors):
        self.non_differentiable = tensors

    non_differentiable: tuple = ()


class _Parts:
    """The gradients of some of a call's outputs, adding up on their way to its node."""

    base = None

    def __init__(self, parts, shape, dtype):
        self.parts, self.shape, self.dtype = parts, shape, dtype

    def __add__(self, other):
        parts = {i: self.parts.get(i, 0) + g for i, g in other.parts.items()}
        return _Parts(self.parts | parts, self.shape, self.dtype)


class _Output:
    """The operation that made output number `position` out of a call."""

    def __init__(self, name, position, call):
        self.name, self.position, self.shape, self.dtype = name, position, call.shape, call.dtype

    def gradients(self, g, values, parents):
        return [_Parts({self.position: g}, self.shape, self.dtype)]


class _Call:
    """One call of a Function: its node runs the user's backward once, for all inputs."""

    def __init__(self, function, context, tensor, outputs):
        self.name, self.backward, self.context = function.__name__, function.backward, context
        self.wrap, self.specs = tensor.wrap, [(o.array.shape, o.array.dtype) for o in outputs]

    def gradients(self, g, values, parents):
        parts = [g.parts.get(i) for i in range(len(self.specs))]
        recorded = any(hasattr(part, "node") for part in parts)
        given = [
            part if hasattr(part, "node") else self.wrap(np.zeros(*spec) if part is None else part)
            for part, spec in zip(parts, self.specs, strict=True)
        ]
        results = self.backward(self.context, *given)
        results = results if isinstance(results, tuple) else (results,)
        while len(results) > len(parents) and results[-1] is None:
            results = results[:-1]
        if len(results) != len(parents):
            raise RuntimeError(
                f"function {self.name}Backward returned an incorrect number of gradients (expected "
                f"{len(parents)}, got {len(results)})"
            )
        results = [r if p is not None else None for r, p in zip(results, parents, strict=True)]
        for i, (result, parent) in enumerate(zip(results, parents, strict=True)):
            if result is not None and result.array.shape != parent.shape:
                raise RuntimeError(
                    f"function {self.name}Backward returned an invalid gradient at index {i} - got "
                    f"{list(result.shape)} but expected shape compatible with {list(parent.shape)}"
                )
        if recorded:
            return results
        return [r if r is None else r.array.view() for r in results]  # views: the user may keep it


class Function:
    """A differentiable operation of your own.

    Subclass with static methods forward(ctx, *args) and backward(ctx, *gradients of the outputs),
    the latter returning one gradient (or None) per argument of forward; call with .apply(*args).
    Backward is differentiable itself if it uses differentiable operations.
    """

    @staticmethod
    def forward(ctx, *args):
        raise NotImplementedError("define a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError("define a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args):
        parents = [getattr(x, "node", None) for x in args]
        ctx = Context(tuple(p is not None for p in parents))
        with no_grad():
            result = cls.forward(ctx, *args)
        outputs = result if isinstance(result, tuple) else (result,)
        given = {id(x) for x in args}  # an input that is returned becomes a tensor of its own
        outputs = tuple(o.detach() if id(o) in given else o for o in outputs)
        if is_grad_enabled() and any(ctx.needs_input_grad):
            cls._record(ctx, parents, args, outputs)
        else:
            ctx._saved = ()
        return outputs if isinstance(result, tuple) else outputs[0]

    @classmethod
    def _record(cls, ctx, parents, args, outputs):
        call = Node(
            _Call(cls, ctx, outputs[0], outputs),
            parents,
            (ctx,),
            [(t.version, t.version[0]) for t in ctx._saved if t is not None],
            outputs[0].array,
        )
        alive, wrap = weakref.ref(call), outputs[0].wrap

        def restored(t, i):
            """A saved output, made again when asked for: holding its node would be a cycle."""
            array = t.array

            def make():
                node = alive() if is_grad_enabled() else None
                return wrap(array, node and output_node(i, node, array))

            return make

        def output_node(i, call, array):
            return Node(_Output(cls.__name__, i, call), (call,), (), (), array)

        position = {id(o): i for i, o in enumerate(outputs)}
        ctx._saved = tuple(
            restored(t, position[id(t)]) if id(t) in position else t for t in ctx._saved
        )
        fixed = {id(t) for t in ctx.non_differentiable}
        ctx.non_differentiable = ()
        for i, out in enumerate(outputs):
            if id(out) not in fixed and out.array.dtype.kind == "f":
                out.node = output_node(i, call, out.array)
