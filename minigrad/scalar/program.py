"""compile: a scalar function written down once, and replayed, forward and backward, in one call.

What a trace found becomes a table of integers, which one loop, compiled once and for all, goes
through (replay.py): no function is too long to compile. Instructions depend on earlier ones only.
Sums of products (all of + - * and what they share no part of) are one instruction, "dot". An
instruction handles LANES samples at a time, side by side, or one sample alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import chain
from typing import Any

import numpy as np

from ..kernels import cpu
from . import replay
from .cells import CELLS
from .expressions import Expression, Trace, active_trace, needed
from .operations import OPERATIONS, TRUTHS
from .value import NUMBERS, Value, slots_of

KEPT = 64  # programs for one function: one for each shape of its arguments, the newest
Sums = dict[Expression, list[tuple[Expression, Expression]]]


class ValueTrace(Trace):
    """The Expressions of a function that uses Values from outside.

    A Value counts as what it was computed from; `leaves` are those at its beginning.
    """

    def __init__(self) -> None:
        super().__init__()
        self.leaves: dict[Value | Expression, Expression] = {}
        self._slots: dict[int, Expression] = {}  # what pages have, as far as it was needed

    def outside(self, x: object) -> Expression | None:
        if not isinstance(x, Value):
            return None
        if x._page is None:
            return self._leaf(x)
        for slot, page in slots_of(x, self._slots):
            value, (operation, operands) = page.leaf(slot), page.operation(slot)
            if operation is not None:
                e = self.apply(operation, *(self._slots[operand] for operand in operands))
            elif value is None:
                e = self.number(page.data[slot - page.base])
            else:
                e = self._leaf(value) if value._page is None else self._slots[value._home]
            self._slots[slot] = e
        return self._slots[x._home]

    def _leaf(self, value: Value) -> Expression:
        if value not in self.leaves:
            self.leaves[value] = self.input(f"leaf {len(self.leaves)}")
        return self.leaves[value]


class Program:
    """A function as a table for the loops of replay.py: counts, then columns (see there).

    Slots are numbered: inputs, leaves (the numbers are some), instructions, slopes.
    """

    def __init__(self, trace: ValueTrace, inputs: list[Expression], result: Expression):
        nodes, sums = _instructions(result)
        leaves = trace.leaves
        used = [pair for node in nodes for pair in sums.get(node, [node.operands])]
        for e in (result, *chain(*used)):
            if e.number is not None:  # a leaf that nobody else sees
                leaves.setdefault(e, e)
        slots = {e: slot for slot, e in enumerate([*inputs, *leaves.values(), *nodes])}
        self.slots = len(slots)
        self.leaves = [x if isinstance(x, Value) else Value(x.number) for x in leaves]  # type: ignore
        rows: list[tuple[int, ...]] = []
        pairs: list[tuple[int, int]] = []
        for node in nodes:
            first = len(pairs)
            if node in sums:
                pairs += [(slots[e], slots[factor]) for e, factor in sums[node]]
                rows.append((replay.DOT, first, len(pairs), 0, 0, 0))
                continue
            operands = [slots[e] for e in node.operands]
            for slot, slope in zip(operands, OPERATIONS[node.name].slopes, strict=False):
                if slope != "0.0":
                    pairs.append((slot, self.slots))
                    self.slots += 1
            rows.append((replay.CODES[node.name], first, len(pairs), *operands, 0, 0)[:6])
        cells = [leaf.cell() for leaf in self.leaves]  # theirs as long as `self.leaves` has them
        head = replay.Head(
            inputs=len(inputs), leaves=len(leaves), nodes=len(rows), pairs=len(pairs),
            slots=self.slots, result=slots[result],
        )  # fmt: skip
        columns = [column for part in (rows, pairs) for column in zip(*part, strict=True)]
        self.table = np.hstack([head, cells, *columns]).astype(np.uint32)
        self.inputs = len(inputs)
        self.alone = cpu.kernel(replay.replay_one, replay.instructions, np.dtype("float64"))

    def room(self) -> tuple[np.ndarray, memoryview]:
        """Slots for one sample, and the same memory as Python's floats, set in half the time."""
        slots: Any = np.empty((2, self.slots, 1))
        return slots, memoryview(slots.reshape(-1))

    def one(self, sample: Sequence[float]) -> float:
        """Replay for one sample, a number for each input."""
        slots, _ = self.room()
        slots[0, : self.inputs, 0] = sample
        with CELLS.lock:
            return self.alone(self.table, CELLS.both, slots)

    def many(self, columns: Iterable[Any], n: int) -> np.ndarray:
        """Replay for n samples; columns: an array (n,) or a number each."""
        samples = np.empty((self.inputs + 1, n))
        for row, column in zip(samples, columns, strict=False):
            row[:] = column
        if n:
            in_threads = n * self.slots >= cpu.PARALLEL
            loop = cpu.kernel(replay.replay_many, replay.instructions, samples.dtype, in_threads)
            with CELLS.lock:
                loop(self.table, CELLS.both, samples)
        return samples[-1]


def _instructions(result: Expression) -> tuple[list[Expression], Sums]:
    """The nodes to be computed, in order; and for those that are sums, their pairs of factors.

    A sum takes in the sums it is made of where nobody else uses them.
    """
    trace, found = result.trace, needed([result])
    uses: dict[Expression, int] = {result: 1}
    for node in found:
        for e in node.operands:
            uses[e] = uses.get(e, 0) + 1
    one, minus = trace.number(1.0), trace.number(-1.0)
    sums: Sums = {}
    inside: set[Expression] = set()
    for node in reversed(found):
        if node.name not in replay.LINEAR or node in inside:
            continue
        pairs, stack = [], [(node, one)]
        while stack:
            e, sign = stack.pop()
            if e is not node and (e.name not in replay.LINEAR or uses[e] > 1):
                pairs.append((e, sign))
                continue
            if e.name == "mul":
                a, b = sorted(e.operands, key=lambda e: e.number is not None)
                if sign is minus and b.number is None:
                    pairs.append((e, sign))
                    continue
                pairs.append((a, b if sign is one else trace.apply("neg", b)))
            else:
                last = sign if e.name == "add" else minus if sign is one else one
                stack.append((e.operands[-1], last))
                if e.name != "neg":
                    stack.append((e.operands[0], sign))
            inside.add(e)
        sums[node] = pairs
    return [e for e in found if e in sums or (e.operands and e not in inside)], sums


def _written_down(function: Callable[..., Any], shape: tuple[Any, ...]) -> Program:
    """The function as a program, for arguments of that shape (see _shape)."""
    trace = ValueTrace()
    inputs: list[Expression] = []

    def argument(shape: tuple[Any, ...] | None) -> Any:
        if shape is None:
            inputs.append(trace.input(f"input {len(inputs)}"))
            return inputs[-1]
        return [argument(part) for part in shape]

    token = active_trace.set(trace)
    try:
        result = trace.expression(function(*argument(shape)))
    finally:
        active_trace.reset(token)
    if result is None or result.name in TRUTHS:
        raise TypeError("compile: expected the function to return one Value or number")
    return Program(trace, inputs, result)


def compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of scalars, replayed: its value, and the gradients of all Values it uses.

    step(*args) takes the arguments of `function`: numbers, or arrays (n,) of n samples each, or
    lists of these. It returns the value, a float, or an array (n,) float64 of a value per sample.

    Each call computes forward and backward: as `function(*args).backward()` would, it reads `data`
    of the Values that `function` uses from outside, such as weights, and adds to their `grad`, from
    all samples. The first call for a kind of arguments calls `function` once to write down what it
    does; Python runs at no other time, so other numbers and lists from outside stay what they were.
    TypeError for what cannot be written down: an `if` on an argument or on a Value, reading `data`,
    a function of another library.
    """
    if not callable(function):
        raise TypeError(f"function: expected a callable, got {type(function).__name__}")
    plain: dict[int, tuple[Any, ...]] = {}  # for so many numbers: what the short way needs
    nested: dict[tuple[Any, ...], Program] = {}

    @wraps(function)
    def step(*args: Any) -> Any:
        try:  # the short way, in which Python takes less time than the replay
            _program, loop, table, rooms = plain[len(args)]  # it keeps the cells of its numbers
            room = rooms.pop()
        except (KeyError, IndexError):
            return general(args)
        slots, items = room
        for k, x in enumerate(args):
            if not isinstance(x, float) and type(x) is not int:
                rooms.append(room)
                return general(args)
            items[k] = x
        with CELLS.lock:
            out = loop(table, CELLS.both, slots)
        rooms.append(room)
        return out

    def general(args: tuple[Any, ...]) -> Any:
        flat: list[Any] = []
        shape = _shape(args, flat)
        program = nested.get(shape)
        if program is None:
            if len(nested) >= KEPT:
                nested.clear()
                plain.clear()
            program = nested.setdefault(shape, _written_down(function, shape))
        sizes = {x.size for x in flat if isinstance(x, np.ndarray)}
        if len(sizes) > 1:
            raise ValueError(f"expected arrays of one length, got {sorted(sizes)}")
        if sizes:
            return program.many(flat, sizes.pop())
        if shape == (None,) * len(args):
            rooms = plain.setdefault(len(args), (program, program.alone, program.table, []))[3]
            if not rooms:  # there is one for each thread that is inside
                rooms.append(program.room())
        return program.one(flat)

    return step


def _shape(x: Any, flat: list[Any]) -> Any:
    """None for a number or an array, a tuple of these for a list; the numbers go into `flat`."""
    if isinstance(x, (list, tuple)):
        return tuple([_shape(part, flat) for part in x])
    if isinstance(x, np.ndarray) and x.ndim == 1 and x.dtype.kind in "fiub":
        flat.append(x)
    elif isinstance(x, NUMBERS):
        flat.append(float(x))
    else:
        what = f"array of shape {x.shape}, {x.dtype}" if isinstance(x, np.ndarray) else type(x)
        raise TypeError(
            f"expected a number, an array (n,) of numbers or a list of these, got {what}; the "
            "function uses Values from outside"
        )
