"""The loops that replay a table of instructions (see program.py), forward and backward.

Forward, an operation leaves its slopes in slots of their own. So backward there is nothing but
products: a pair (p, q) hands g * q on to p, and to q, if that is a factor as well, g * p.
Places are unsigned, which saves a test for negative ones, and a fifth of the time.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np

from ..generated import define
from ..kernels.cpu.bound import libm, point, prange  # `point` is an `instruction`, see there
from .operations import OPERATIONS

LANES = 16  # samples side by side: two vectors of 8, and 1000 slots stay in the second-level cache
BLOCKS = 64  # parts of an array of samples, whose gradients are added in order
DOT, LINEAR = 0, ("add", "sub", "mul", "neg")  # operations that "dot" has taken in
CODES = {name: code for code, name in enumerate((n for n in OPERATIONS if n not in LINEAR), 1)}
ONE = np.uint32(1)
# A table begins with these counts.
Head = namedtuple("Head", "inputs leaves nodes pairs slots result")
HEAD = np.uint32(len(Head._fields))
# After it, columns. Of leaves: their cells. Of instructions: code; the range first ... last - 1 of
# their pairs; the slots of their operands, of which "dot" has none. Of pairs: two factors, or an
# operand and the slope by it.
Columns = namedtuple("Columns", "cell code first last a b c factor other")


def head(table):
    """The counts at the beginning of a table."""
    return Head(table[0], table[1], table[2], table[3], table[4], table[5])


def columns(table):
    """Where the columns of a table begin."""
    counts = head(table)
    n, code = counts.nodes, HEAD + counts.leaves
    a, factor = code + n + n + n, code + n + n + n + n + n + n
    other = factor + counts.pairs
    return Columns(HEAD, code, code + n, code + n + n, a, a + n, a + n + n, factor, other)


def replay_many(table, cells, samples):
    """Columns of `samples` (inputs + 1, n): inputs; the last row receives the values.

    cells: CELLS.both; gradients are added.
    """
    inputs, leaves, _, _, places, result = head(table)  # no tuple: threads get numbers and arrays
    n = samples.shape[1]
    chunks = (n + LANES - 1) // LANES
    blocks = min(chunks, BLOCKS)
    parts = np.empty((blocks, leaves))
    for block in prange(blocks):
        slots = np.empty((2, places, LANES))
        begin(table, cells, slots, LANES)
        for chunk in range(chunks * block // blocks, chunks * (block + 1) // blocks):
            first = chunk * LANES
            count = min(LANES, n - first)
            for i in range(inputs):
                for s in range(LANES):  # lanes without a sample repeat the last one
                    slots[0, i, s] = samples[i, first + min(s, count - 1)]
            forward(table, slots, LANES)
            for s in range(count):
                samples[inputs, first + s] = slots[0, result, s]
            backward(table, slots, count, LANES)
        for i in range(leaves):
            parts[block, i] = 0.0
            for s in range(LANES):
                parts[block, i] += slots[1, inputs + i, s]
    for block in range(blocks):
        for i in range(leaves):
            cells[1, table[HEAD + i]] += parts[block, i]


def replay_one(table, cells, slots):
    """For one sample, in `slots` (2, n, 1): values, which begin with the inputs, and gradients."""
    counts = head(table)
    begin(table, cells, slots, 1)
    forward(table, slots, 1)
    backward(table, slots, 1, 1)
    for i in range(counts.leaves):
        cells[1, table[HEAD + i]] += slots[1, counts.inputs + i, 0]
    return slots[0, counts.result, 0]


def begin(table, cells, slots, lanes):
    """The leaves get their values from the cells; they and the inputs have no gradient yet."""
    inputs, leaves = head(table).inputs, head(table).leaves
    slots[1, : inputs + leaves] = 0.0
    for i in range(leaves):
        for s in range(lanes):
            slots[0, inputs + i, s] = cells[0, table[HEAD + i]]


def forward(table, slots, lanes):
    """Every instruction in turn, on the values `slots[0]`.

    Not given as a view: that v and g of `backward` are one block of memory saves a tenth.
    """
    counts, at = head(table), columns(table)
    out, v = counts.inputs + counts.leaves, slots[0]
    for k in range(counts.nodes):
        code, first = table[at.code + k], table[at.first + k]
        if code == DOT:
            dot(table, at, first, table[at.last + k], v, out + k, lanes)
        else:
            a, b, c = table[at.a + k], table[at.b + k], table[at.c + k]
            to_slope = table[at.other + first]  # a comparison has none: that of the next `where`
            point(code, v, a, b, c, out + k, to_slope, lanes)


def dot(table, at, first, last, v, out, lanes):
    """The sum of products of pairs of slots."""
    total = 0.0
    for s in range(lanes):
        v[out, s] = 0.0
    for j in range(first, last):
        p, q = table[at.factor + j], table[at.other + j]
        if lanes == 1:  # in a register
            total += v[p, 0] * v[q, 0]
        else:
            for s in range(lanes):
                v[out, s] += v[p, s] * v[q, s]
    if lanes == 1:
        v[out, 0] = total


def backward(table, slots, count, lanes):
    """Gradients `slots[1]` of `count` samples, added to those that inputs and leaves have."""
    counts, at = head(table), columns(table)
    out, k = counts.inputs + counts.leaves, counts.nodes
    v, g = slots[0], slots[1]
    g[out : out + k] = 0.0
    for s in range(count):
        g[counts.result, s] += 1.0
    while k:
        k -= ONE
        u = g[out + k, 0]
        if lanes == 1 and u == 0.0:  # a branch not taken, whose slope may be infinite
            continue
        for j in range(table[at.first + k], table[at.last + k]):
            p, q = table[at.factor + j], table[at.other + j]
            for s in range(lanes):
                x, y = v[p, s], v[q, s]
                if lanes > 1:
                    u = g[out + k, s]
                    x, y = x if u != 0.0 else 0.0, y if u != 0.0 else 0.0
                g[p, s] += u * y
                g[q, s] += u * x


def _instruction_source() -> str:
    """`instruction` from the table: values and slopes, in all lanes. Its beginning:

    def instruction(code, v, at_a, at_b, at_c, to, to_slope, lanes):
        if code == 1:
            for s in range(lanes):
                a, b, c = v[at_a, s], v[at_b, s], v[at_c, s]
                out = a / b
                v[to, s] = out
                v[to_slope, s] = 1.0 / b
                v[to_slope + ONE, s] = -out / b
        elif code == 2:
    """
    lines = ["def instruction(code, v, at_a, at_b, at_c, to, to_slope, lanes):"]
    for name, code in CODES.items():
        value, slopes = OPERATIONS[name]
        lines += [f"    {'if' if code == 1 else 'elif'} code == {code}:"]
        lines += ["        for s in range(lanes):"]
        lines += ["            a, b, c = v[at_a, s], v[at_b, s], v[at_c, s]"]
        lines += [f"            out = {value if slopes else f'1.0 if {value} else 0.0'}"]
        lines += ["            v[to, s] = out"]
        for i, slope in enumerate(s for s in slopes if s != "0.0"):
            lines += [f"            v[to_slope{' + ONE' * i}, s] = {slope}"]
    return "\n".join(lines) + "\n"


_SOURCE = _instruction_source()


def instructions(real: type, elementary: object) -> Callable[..., Any]:
    """The rule of the loops here, as those of kernels/ have it; its name is that of the table."""
    return define("instruction", _SOURCE, vars(libm) | vars(elementary) | {"ONE": ONE})


instructions.__name__ = sha256(_SOURCE.encode()).hexdigest()[:16]
