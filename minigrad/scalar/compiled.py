"""compile: a scalar function written down once, and replayed, forward and backward, in one call.

What a trace found becomes a table of integers, which one loop, compiled once and for all, goes
through: no function is too long to compile. Instructions on one level depend on earlier levels
only; those of one level and operation are a run, for which the loop decides once what to do. Sums
of products (all of + - * and what they share no part of) are one instruction, "dot". An instruction
handles LANES samples at a time, side by side; one sample alone has a build with one lane.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import cache, wraps
from hashlib import sha256
from itertools import groupby

import numpy as np

from ..kernels import cpu
from .expressions import TRUTHS, Expression, Trace, needed
from .operations import OPERATIONS
from .value import CELLS, LEAF, NUMBERS, RECORDED, Value, tracer

prange = point = None  # bound by kernels/cpu/binding.py
LANES = 16  # samples side by side: two vectors of 8, and 1000 slots stay in the second-level cache
BLOCKS = 64  # parts of an array of samples, whose gradients are added in order
HEAD = 9  # numbers at the beginning of a table
LINEAR = ("add", "sub", "mul", "neg")
ROWS = [name for name in OPERATIONS if name not in LINEAR]  # instruction 0 is "dot"


def replay(table, cells, samples):
    """Columns of `samples` (inputs + 1, n): inputs; the last row receives the values.

    table: see Program. cells: CELLS.both; gradients are added.
    """
    leaves, lanes, blocks = table[1], table[2], table[3]
    chunks = (samples.shape[1] + lanes - 1) // lanes
    blocks = min(chunks, blocks)
    parts = np.empty((blocks, leaves))
    for block in prange(blocks):
        begin, end = chunks * block // blocks, chunks * (block + 1) // blocks
        slots = np.empty((2, table[4], lanes))
        point(table, cells, slots, samples, begin, end, parts[block])  # see _rule
    for block in range(blocks):
        for i in range(leaves):
            cells[1, table[9 + i]] += parts[block, i]


def replay_one(table, cells, slots):
    """For one sample, in `slots` (2, n, 1): values, which begin with the inputs, and gradients."""
    point(table, cells, slots, None, 0, 1, None)
    return slots[0, table[5], 0]


BLOCK = '''
def block(table, cells, slots, samples, begin, end, part):
    """The chunks begin ... end - 1, of LANES samples each; gradients go to `part`.

    slots: (2, n, LANES). Without `samples`, one is there already, and gradients go to the cells.

    Forward, an operation leaves its slopes in slots of their own. So backward there is nothing but
    products: a pair (p, q) hands g * q on to p, and to q, if that is a factor as well, g * p.
    Places are unsigned, which saves a test for negative ones, and a fifth of the time.
    """
    inputs, leaves, root = table[0], table[1], table[5]
    runs, nodes, pairs = table[6], table[7], table[8]
    fixed = inputs + leaves
    run = HEAD + leaves
    run_from, run_to = run + runs, run + runs + runs
    start = run_to + runs
    stop = start + nodes
    left = stop + nodes
    middle = left + nodes
    right = middle + nodes
    factor = right + nodes
    other = factor + pairs
    v, g = slots[0], slots[1]  # values, gradients
    g[:fixed] = 0.0
    for i in range(leaves):
        for s in range(LANES):
            v[inputs + i, s] = cells[0, table[HEAD + i]]
    for chunk in range(begin, end):
        count = 1
        if samples is not None:
            first = chunk * LANES
            count = min(LANES, samples.shape[1] - first)
            for i in range(inputs):
                for s in range(LANES):  # lanes without a sample repeat the last one
                    v[i, s] = samples[i, first + min(s, count - 1)]
        for r in range(runs):
            code, lo, hi = table[run + r], table[run_from + r], table[run_to + r]
            if code == 0:
                for k in range(lo, hi):
                    o, total = fixed + k, 0.0
                    for s in range(LANES):
                        v[o, s] = 0.0
                    for j in range(table[start + k], table[stop + k]):
                        p, q = table[factor + j], table[other + j]
                        if LANES == 1:  # in a register
                            total += v[p, 0] * v[q, 0]
                        else:
                            for s in range(LANES):
                                v[o, s] += v[p, s] * v[q, s]
                    if LANES == 1:
                        v[o, 0] = total
{branches}
        if samples is not None:
            for s in range(count):
                samples[inputs, first + s] = v[root, s]
        g[fixed : fixed + nodes] = 0.0
        for s in range(count):
            g[root, s] += 1.0
        k = nodes
        while k:
            k -= ONE
            o = fixed + k
            u = g[o, 0]
            if LANES == 1 and u == 0.0:  # a branch not taken, whose slope may be infinite
                continue
            for j in range(table[start + k], table[stop + k]):
                p, q = table[factor + j], table[other + j]
                for s in range(LANES):
                    x, y = v[p, s], v[q, s]
                    if LANES > 1:
                        u = g[o, s]
                        x, y = x if u != 0.0 else 0.0, y if u != 0.0 else 0.0
                    g[p, s] += u * y
                    g[q, s] += u * x
    for i in range(leaves):
        total = 0.0
        for s in range(LANES):
            total += g[inputs + i, s]
        if part is None:
            cells[1, table[HEAD + i]] += total
        else:
            part[i] = total
'''


def _branch(code, name):
    """How an operation computes its value and its slopes."""
    value, slopes = OPERATIONS[name]
    lines = [f"elif code == {code}:", "    for k in range(lo, hi):"]
    lines += ["        o, j = fixed + k, table[start + k]"]
    used = [*zip("abc", ("left", "middle", "right"), strict=True)][: OPERATIONS[name].operands]
    lines += [f"        at_{x} = table[{where} + k]" for x, where in used]
    kept = [(f"to_{x}", slope) for x, slope in zip("abc", slopes, strict=False) if slope != "0.0"]
    lines += [f"        {to} = table[other + j{' + ONE' * i}]" for i, (to, _) in enumerate(kept)]
    lines += ["        for s in range(LANES):"]
    lines += [f"            {x} = v[at_{x}, s]" for x, _ in used]
    lines += [f"            out = {value if slopes else f'1.0 if {value} else 0.0'}"]
    lines += ["            v[o, s] = out"]
    lines += [f"            v[{to}, s] = {slope}" for to, slope in kept]
    return "".join(f"            {line}\n" for line in lines)


@cache
def _rule(lanes: int) -> Callable:
    """The rule of `replay`, made from the table; its name tells builds on disk apart."""
    branches = "".join(_branch(code, name) for code, name in enumerate(ROWS, 1))
    source = BLOCK.format(branches=branches.rstrip())

    def rule(real, elementary):
        scope = vars(math) | vars(elementary) | {"LANES": lanes, "np": np}
        scope |= {"HEAD": np.uint32(HEAD), "ONE": np.uint32(1)}
        exec(builtins.compile(source, "<replay>", "exec"), scope)
        return scope["block"]

    rule.__name__ = f"{sha256(source.encode()).hexdigest()[:16]}-{lanes}"
    return rule


class Program:
    """A trace as a table, column by column: HEAD counts; the leaves' cells; runs (operation, from,
    to); for each instruction the range of its pairs and three operands, of which "dot" has none;
    the pairs: two factors, or an operand and the slope by it.

    Slots are numbered: inputs, leaves (the numbers are some), instructions, slopes.
    """

    def __init__(self, trace: Trace, inputs: list[Expression], leaves: dict, result: Expression):
        nodes, sums = _instructions(result)
        for e in [result, *(e for node in nodes for e in _operands(node, sums))]:
            if e.number is not None:  # a leaf that nobody else sees
                leaves.setdefault(e, e)
        level: dict[Expression, int] = {}
        for node in nodes:
            level[node] = 1 + max(level.get(e, 0) for e in _operands(node, sums))
        order = sorted(nodes, key=lambda node: (level[node], _code(node)))
        slots = [*inputs, *leaves.values(), *order]
        place = {e: k for k, e in enumerate(slots)}
        runs: list[tuple] = []
        pairs: list[tuple] = []
        columns: list[tuple] = []
        at, slots_used = 0, len(slots)
        for (_, code), run in groupby(order, key=lambda node: (level[node], _code(node))):
            start = at
            for node in run:
                operands = [place[e] for e in node.operands] if node not in sums else []
                before = len(pairs)
                pairs += [(place[a], place[b]) for a, b in sums.get(node, ())]
                if operands:
                    slopes = OPERATIONS[node.name].slopes
                    for e, slope in zip(operands, slopes, strict=False):
                        if slope != "0.0":
                            pairs.append((e, slots_used))
                            slots_used += 1
                columns.append((before, len(pairs), *operands, 0, 0, 0)[:5])
                at += 1
            runs.append((code, start, at))
        counts = [len(inputs), len(leaves), LANES, BLOCKS, slots_used, place[result]]
        counts += [len(runs), len(order), len(pairs)]
        # This keeps them, and so their cells, alive.
        self.leaves = [x if isinstance(x, Value) else Value(x.number) for x in leaves]
        parts: list = [counts, [leaf.cell() for leaf in self.leaves]]
        parts += [column for rows in (runs, columns, pairs) for column in zip(*rows, strict=True)]
        self.table = np.array([x for part in parts for x in part], np.uint32)
        self.inputs, self.slots = len(inputs), slots_used
        self.alone = cpu.kernel(replay_one, _rule(1), np.dtype("float64"))

    def room(self):
        """Slots for one sample, and the same memory as Python's floats, set in half the time."""
        slots = np.empty((2, self.slots, 1))
        return slots, memoryview(slots.reshape(-1))

    def one(self, sample) -> float:
        """Replay for one sample, a sequence of numbers."""
        slots, _ = self.room()
        slots[0, : self.inputs, 0] = sample
        with CELLS.lock:
            return self.alone(self.table, CELLS.both, slots)

    def many(self, columns, n: int) -> np.ndarray:
        """Replay for n samples; columns: an array (n,) or a number each."""
        samples = np.empty((self.inputs + 1, n))
        for row, column in zip(samples, columns, strict=False):
            row[:] = column
        if n:
            loop = cpu.kernel(replay, _rule(LANES), samples.dtype, n * self.slots >= cpu.PARALLEL)
            with CELLS.lock:
                loop(self.table, CELLS.both, samples)
        return samples[-1]


def _code(node):
    return 0 if node.name in LINEAR else 1 + ROWS.index(node.name)


def _operands(node, sums):
    return [e for pair in sums[node] for e in pair] if node in sums else node.operands


def _instructions(result):
    """The nodes to be computed, in order; and for those that are sums, their pairs of factors.

    A sum takes in the sums it is made of where nobody else uses them.
    """
    trace, found = result.trace, needed([result])
    uses: dict[Expression, int] = {result: 1}
    for node in found:
        for e in node.operands:
            uses[e] = uses.get(e, 0) + 1
    one, minus = trace.number(1.0), trace.number(-1.0)
    sums: dict[Expression, list] = {}
    inside: set[Expression] = set()
    for node in reversed(found):
        if node.name not in LINEAR or node in inside:
            continue
        pairs, stack = [], [(node, one)]
        while stack:
            e, sign = stack.pop()
            if e is not node and (e.name not in LINEAR or uses[e] > 1):
                pairs.append((e, sign))
                continue
            if e.name == "mul":
                a, b = sorted(e.operands, key=lambda e: e.number is not None)
                if sign is minus and b.number is None:
                    pairs.append((e, sign))
                    continue
                pairs.append((a, b if sign is one else trace.number(-b.number)))
            else:
                last = sign if e.name == "add" else minus if sign is one else one
                stack.append((e.operands[-1], last))
                if e.name != "neg":
                    stack.append((e.operands[0], sign))
            inside.add(e)
        sums[node] = pairs
    return [e for e in found if e in sums or (e.operands and e not in inside)], sums


def lift(trace: Trace, leaves: dict, known: dict, value: Value) -> Expression:
    """What a Value was computed from, in the trace; leaves are inputs, collected in `leaves`.

    known: (tape, number of a slot) -> what was lifted before.
    """

    def leaf(value):
        if value not in leaves:
            leaves[value] = trace.input(len(leaves))
        return leaves[value]

    if value._tape is None:
        return leaf(value)
    stack = [(value._tape, value._home)]
    while stack:
        tape, at = stack[-1]
        i = at - tape.base
        if tape.code[i] == LEAF:
            origin = tape.leaves[i]() if i in tape.leaves else None
            if origin is None:
                known[tape, at] = trace.number(tape.data[i])
            elif origin._tape is None:
                known[tape, at] = leaf(origin)
            else:
                key = (origin._tape, origin._home)
                if key not in known:
                    stack.append(key)
                    continue
                known[tape, at] = known[key]
        else:
            name = RECORDED[tape.code[i] - 1]
            numbers = (tape.left[i], tape.right[i])[: OPERATIONS[name].operands]
            missing = [(tape, x) for x in numbers if (tape, x) not in known]
            if missing:
                stack += missing
                continue
            known[tape, at] = trace.apply(name, *(known[tape, x] for x in numbers))
        stack.pop()
    return known[value._tape, value._home]


def _trace(function, shape) -> Program:
    leaves: dict[Value, Expression] = {}
    inputs: list[Expression] = []
    known: dict[tuple, Expression] = {}

    def outside(x):
        return lift(trace, leaves, known, x) if isinstance(x, Value) else None

    def argument(shape):
        if shape is None:
            inputs.append(trace.input(f"input {len(inputs)}"))
            return inputs[-1]
        return [argument(part) for part in shape]

    trace = Trace(outside)
    token = tracer.set(trace)
    try:
        result = trace.expression(function(*argument(shape)))
    finally:
        tracer.reset(token)
    if result is None or result.name in TRUTHS:
        raise TypeError("compile: expected the function to return one Value or number")
    return Program(trace, inputs, leaves, result)


def compile(function: Callable) -> Callable:
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
    plain: dict[int, tuple] = {}  # for so many numbers: what the short way needs
    nested: dict[tuple, Program] = {}

    @wraps(function)
    def step(*args):
        try:  # the short way, in which Python takes less time than the replay
            loop, table, rooms = plain[len(args)]
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

    def general(args):
        flat: list = []
        shape = _shape(args, flat)
        if shape not in nested:
            nested[shape] = _trace(function, shape)
        program = nested[shape]
        sizes = {x.size for x in flat if isinstance(x, np.ndarray)}
        if len(sizes) > 1:
            raise ValueError(f"expected arrays of one length, got {sorted(sizes)}")
        if sizes:
            return program.many(flat, sizes.pop())
        if shape == (None,) * len(args):
            rooms = plain.setdefault(len(args), (program.alone, program.table, []))[2]
            if not rooms:  # there is one for each thread that is inside
                rooms.append(program.room())
        return program.one(flat)

    return step


def _shape(x, flat):
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
