"""The graph and the walk backwards through it.

A Node is one recorded operation: which operation, which nodes fed it, which values its formulas
read. Its parents are always older, so visiting nodes newest first visits every user of a value
before the value's producer: no recursion, and the depth of a graph is bounded by memory alone.

Nothing here knows what a Tensor is. The walk runs on raw arrays; when the backward pass is to
be differentiated itself (`create_graph`), it runs the same formulas on Tensors.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from operator import add, attrgetter, iadd, methodcaller
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..devices import one
from ..kernels import backend
from ..kernels.locks import free_at_forks
from ..quiet import quiet
from ..tape import active_tape, refuse, run
from .grad_mode import grad_mode

if TYPE_CHECKING:
    from ..tensor import Tensor

Tensors: TypeAlias = "Tensor | Sequence[Tensor]"
_birth = itertools.count().__next__
_by_birth = attrgetter("birth")


class Node:
    """One recorded operation, or (op None) a leaf that collects a gradient.

    `values` are `(out, *inputs, *options)` with None for what no formula reads. `stamps` holds, for
    each Tensor of which an array is kept, its version counter, its count at recording time, and
    that array.
    """

    __slots__ = (
        "__weakref__", "birth", "dtype", "op", "owner", "parents", "shape", "stamps", "values",
    )  # fmt: skip

    def __init__(self, op, parents, values, stamps, out):
        self.op, self.parents = op, parents
        self.values, self.stamps = values, stamps
        self.shape, self.dtype = out.shape, out.dtype
        self.birth, self.owner = _birth(), None

    @classmethod
    def leaf(cls, tensor: Any) -> Node:
        """The node of a Tensor that requires a gradient and was computed from nothing."""
        node = cls(None, (), None, (), tensor.array)
        node.owner = weakref.ref(tensor)
        return node

    def name(self) -> str:
        """As PyTorch calls the node: AddBackward0."""
        if self.op is None:
            return "AccumulateGrad"
        user_defined = getattr(self.op, "node_name", None)
        return user_defined or f"{self.op.name.title().replace('_', '')}Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """PyTorch's view of the parents: pairs of (node, output number)."""
        return tuple((parent, 0) for parent in self.parents)

    def read(self) -> tuple:
        """The values the formulas need, after making sure that they still are what they were."""
        if self.values is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Specify retain_graph=True if you "
                "need to backward through the graph a second time."
            )
        for version, count, _ in self.stamps:
            if version[0] != count:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: a value that {self.name()} needs is at version "
                    f"{version[0]}; expected version {count} instead. Hint: use the out-of-place "
                    "operation, or clone() the value before changing it."
                )
        return self.values


def _between(targets, roots) -> set[Node]:
    """The targets, and those of the roots and their ancestors that were computed from one."""
    seen, stack = set(roots), list(roots)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent.parents and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    useful = set(targets)
    for node in sorted(seen, key=_by_birth):
        if not useful.isdisjoint(node.parents):
            useful.add(node)
    return useful


@quiet
def walk(roots, retain, lift=None, targets=None):
    """Send the gradients in `roots` (node -> gradient) down to the leaves.

    Returns node -> gradient for the leaves, for `targets` and for nodes that retain theirs, and the
    set of nodes whose gradient array nobody else holds. `lift(array, node)` makes a Tensor of a
    saved value: given, the formulas run on Tensors and are recorded.
    """
    useful = None if targets is None else _between(targets, roots)
    tape, wanted = active_tape(), targets or ()
    pending, owned, found = dict(roots), set(), {}
    queue = [(-node.birth, node) for node in roots]  # the newest is first, by heapq
    heapify(queue)
    while queue:
        node = heappop(queue)[1]
        g, parents = pending.pop(node), node.parents
        if node.op is None or node.owner is not None or node in wanted:
            found[node] = g
            if node.op is None:
                continue
        if tape is not None:
            tape.visit(node)
        if useful is not None:
            parents = [p if p in useful else None for p in parents]
            if not any(parents):
                continue
        values = node.read() if node.stamps or node.values is None else node.values
        if lift is not None:
            values = _lifted(values, node, lift)
        if tape is None:
            gradients = node.op.gradients(g, values, parents)
        else:
            gradients = tape.run(node.op.gradients, g, values, parents)
        for parent, d in zip(parents, gradients, strict=True):
            if d is None:
                continue
            fresh = lift is None and d is not g and _owns_memory(d)
            if d.shape != parent.shape:
                d, fresh = run(unbroadcast, d, parent.shape), True
            if d.dtype is not parent.dtype and d.dtype != parent.dtype:
                d, fresh = run(_as_dtype, d, parent.dtype), True
            before = pending.get(parent)
            if before is None:
                pending[parent] = d
                heappush(queue, (-parent.birth, parent))
                if fresh:
                    owned.add(parent)
            elif lift is None and parent in owned:
                pending[parent] = run(iadd, before, d)  # in place, unless it is a number
            else:
                pending[parent] = run(add, before, d)
                owned.add(parent)
        if node.stamps and not retain:  # a formula that reads no Tensor can run again
            node.values, node.stamps = None, ()
    if tape is not None:
        tape.visit(None)
    return found, owned


def _lifted(values, node, lift):
    """The saved values as Tensors in the graph, under the counters they were stamped with.

    Of options, which have no place in the graph, only what a Tensor was is one again.
    """
    versions = {id(array): version for version, _, array in node.stamps}
    nodes = (node, *node.parents)

    def option(x):
        if type(x) is tuple:
            return tuple(map(option, x))
        return lift(x, None, versions[id(x)]) if id(x) in versions else x

    lifted = [lift(x, n, versions.get(id(x))) for x, n in zip(values, nodes, strict=False)]
    return (*lifted, *map(option, values[len(nodes) :]))


def _owns_memory(array):
    """Whether an array that was just made may be added to: it is no view of another array.

    A kernel's result is one of a buffer, of a class of its own, that was lent to it alone
    (kernels/cpu/memory.py): that counts as its own.
    """
    return type(array.base) is not type(array)


copied = methodcaller("copy", "K")  # of an array on any device, in its order of memory


def _as_dtype(g, dtype):
    """An array or a Tensor, whose cast is recorded, in a dtype."""
    return g if g.dtype == dtype else g.astype(dtype)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which its input was broadcast. Here, nowhere else."""
    axes = _added_axes(g.shape, shape)
    total = g.sum(axes) if hasattr(g, "array") else backend(g).run_sum(g, axes)
    return total if total.shape == shape else total.reshape(shape)


@lru_cache(4096)
def _added_axes(shape, before):
    """The axes along which an array of shape `before` was repeated to have that shape."""
    extra = len(shape) - len(before)
    wide = [i + extra for i, n in enumerate(before) if n == 1 != shape[i + extra]]
    return (*range(extra), *wide)


def _first_gradients(outputs, gradients, create_graph):
    """The gradients the walk starts with, checked: node -> array or Tensor."""
    pending = {}
    for t, g in zip(outputs, gradients, strict=True):
        node = t.node
        if node is None:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn: nothing "
                "in its computation had requires_grad=True, or it ran under no_grad()"
            )
        if g is None:
            if t.array.size != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs: got shape "
                    f"{t.array.shape}; reduce it (for instance .sum()) or pass gradient="
                )
            g = run(np.ones_like, t.array) if t.array.shape else one(t.array)
            g = t.wrap(g) if create_graph else g
        elif not hasattr(g, "array"):
            raise TypeError(f"gradient: expected a Tensor or None, got {type(g).__name__}")
        elif g.array.shape != t.array.shape:
            raise RuntimeError(
                f"Mismatch in shape: gradient has a shape of {g.array.shape} and the output has a "
                f"shape of {t.array.shape}."
            )
        else:
            g = run(_as_dtype, g if create_graph else g.array, t.array.dtype)
        pending[node] = run(add, pending[node], g) if node in pending else g
    return pending


def _run(outputs, gradients, retain_graph, create_graph, targets=None):
    if create_graph:
        refuse("create_graph differentiates the backward pass itself")
    gradients = (None,) * len(outputs) if gradients is None else gradients
    if len(gradients) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients")
    pending = _first_gradients(outputs, gradients, create_graph)
    retain = create_graph if retain_graph is None else retain_graph
    lift = outputs[0].lift if create_graph else None
    token = grad_mode.set(create_graph)
    try:
        return walk(pending, retain, lift, targets)
    except Exception as error:
        tape = active_tape()
        if tape is not None:
            tape.failed(error)
        raise
    finally:
        grad_mode.reset(token)


def _tensors(x, name):
    """One Tensor or several as a tuple."""
    several = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    for t in several:
        if not hasattr(t, "node"):
            raise TypeError(f"{name}: expected Tensors, got {type(t).__name__}")
    return several


def _gradients(x):
    return x if x is None else tuple(x) if isinstance(x, (tuple, list)) else (x,)


def backward(
    tensors: Tensors, grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None, create_graph: bool = False, *, inputs: Tensors | None = None,
) -> None:  # fmt: skip
    """Add d tensors / d leaf to `.grad` of every leaf (or of `inputs` alone).

    `grad_tensors` are the gradients of the outputs, needed unless an output has one element. The
    graph is freed unless `retain_graph` (by default: `create_graph`) is true.
    """
    outputs, grads = _tensors(tensors, "tensors"), _gradients(grad_tensors)
    owners = None if inputs is None else {t.node: t for t in _tensors(inputs, "inputs")}
    if owners == {}:
        raise RuntimeError("inputs: expected at least one tensor, got none; leave it out for all")
    if owners is not None and None in owners:
        raise RuntimeError("inputs: one of the tensors does not require grad")
    found, owned = _run(outputs, grads, retain_graph, create_graph, owners)
    collected = []
    for node, g in found.items():
        tensor = node.owner and node.owner() if owners is None else owners.get(node)
        if tensor is None:
            continue  # it is gone
        place = tensor.node
        if place is None:
            continue  # it asks for no gradient any more
        if node.op is None and place.op is not None:
            raise RuntimeError("leaf variable has been moved into the graph interior")
        if create_graph:
            tensor._grad = g if tensor._grad is None else tensor._grad + g
            continue
        tape = active_tape()
        if tape is not None:
            tape.read_gradient(tensor)
        collected.append((tensor, g, node in owned))
    if collected:
        run(_collect, collected)


def _collect(collected):
    """Add to the gradients of leaves, each with (tensor, g, whether g is its own), and return them.

    All at once: a lock takes 0.2 µs.
    """
    grads = []
    with _collecting:
        for tensor, g, owned in collected:
            if g.shape != tensor.array.shape:
                problem = f"got a gradient of shape {g.shape} for a tensor of {tensor.array.shape}"
                raise RuntimeError(f"{problem}: its .data was replaced since the forward pass")
            grad = tensor._grad
            if grad is None:
                tensor._grad = grad = tensor.wrap(g if owned else copied(g))
            else:
                grad.array[...] += g
                grad.version[0] += 1
            grads.append(grad)
    return tuple(grads)


_collecting = free_at_forks(threading.Lock())  # threads that share a leaf add up


def grad(
    outputs: Tensors, inputs: Tensors, grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None, create_graph: bool = False, allow_unused: bool = False,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The gradients of `outputs` with respect to each of `inputs`, as a tuple of Tensors.

    Leaves every `.grad` alone. An input that the outputs do not depend on is an error, or None with
    `allow_unused`.
    """
    outputs, inputs = _tensors(outputs, "outputs"), _tensors(inputs, "inputs")
    grads = _gradients(grad_outputs)
    if any(t.node is None for t in inputs):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    targets = {t.node for t in inputs}
    found, owned = _run(outputs, grads, retain_graph, create_graph, targets)
    if not allow_unused and targets - found.keys():
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set "
            "allow_unused=True if this is the desired behavior."
        )
    results = []
    for t in inputs:
        g = found.get(t.node)
        if g is not None and not create_graph:
            g = t.wrap(g if t.node in owned else run(copied, g))
            owned.discard(t.node)  # the same input asked for twice gets two arrays
        results.append(g)
    return tuple(results)
