"""Pages: where Values write down how they were computed, a slot for each operation.

Slots are numbered once and for all, in order of birth. A page holds SIZE of them, and when it is
full the next one begins.

Memory goes by reference count. A result keeps its page and its operands alive, a page keeps no
Value: leaves, and values of older pages, which it treats as leaves whose gradient goes on from
there, it knows by weak references. (Were they strong, a graph at the end of each page would tie it
to the one before, and none would ever go.) So there is no cycle, and a graph goes with its last
result; its slots go when all that its page holds has gone.

Threads share the page. A slot is taken by one step of a C iterator, after its operands have theirs:
so no two threads get the same one, and operands stay older than results.
"""

from __future__ import annotations

import threading
import weakref
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np

from ..generated import define
from ..kernels import cpu
from ..kernels.cpu.bound import libm
from ..kernels.locks import free_at_forks
from .operations import OPERATIONS

SIZE = 16384  # slots of a page: 35 bytes each
LEAF = 0  # the code of a slot that was not computed
RECORDED = sorted(
    (name for name, row in OPERATIONS.items() if row.slopes and row.operands < 3),
    key=lambda name: OPERATIONS[name].operands,
)  # `where` picks one of its operands: nothing to write down
CODES = {name: code for code, name in enumerate(RECORDED, 1)}
UNARY = sum(OPERATIONS[name].operands == 1 for name in RECORDED)  # the codes 1 ... UNARY
ADD, MUL = CODES["add"], CODES["mul"]


class Page:
    """SIZE operations, in the order in which they were made; a slot's number is base + position.

    code: LEAF or the operation; left, right: the operands' numbers; data: values; grad: what the
    latest sweep left; leaves: position -> the Value that gets a leaf's gradient.
    """

    __slots__ = (
        "base", "code", "columns", "data", "grad", "leaves", "left", "reached", "right", "slots",
    )  # fmt: skip

    def __init__(self, base: int):
        self.base = base
        self.slots = iter(range(base, base + SIZE))
        self.code, self.reached = bytearray(SIZE), bytearray(SIZE)
        self.left, self.right = array("q", bytes(8 * SIZE)), array("q", bytes(8 * SIZE))
        self.data, self.grad = array("d", bytes(8 * SIZE)), array("d", bytes(8 * SIZE))
        self.leaves: dict[int, weakref.ref[Any]] = {}
        self.columns = (  # the same memory, for compiled loops
            *(np.frombuffer(a, np.uint8) for a in (self.code, self.reached)),
            *(np.frombuffer(a, np.int64) for a in (self.left, self.right)),
            *(np.frombuffer(a, np.float64) for a in (self.data, self.grad)),
        )

    def write(self, number: float) -> int | None:
        """A number from outside gets a slot; returns that slot's number, None on a full page."""
        for slot in self.slots:
            self.data[slot - self.base] = number
            return slot
        return None

    def leaf(self, slot: int) -> Any:
        """The Value that the slot stands for; None for an operation or a plain number."""
        reference = self.leaves.get(slot - self.base)
        return None if reference is None else reference()

    def operation(self, slot: int) -> tuple[str | None, tuple[int, ...]]:
        """The name of the slot's operation and its operands' numbers; (None, ()) of a leaf."""
        position = slot - self.base
        code = self.code[position]
        if code == LEAF:
            return None, ()
        operands = (self.left[position], self.right[position])
        return RECORDED[code - 1], operands[: 1 if code <= UNARY else 2]

    def sweep(self, seeds: dict[int, float]) -> Iterable[tuple[weakref.ref[Any] | None, float]]:
        """Walk from the slots `seeds` (number -> gradient) to the leaves: pairs of a reference to
        a Value, or None for a plain number, and its gradient.
        """
        starts = np.array(list(seeds), np.int64) - self.base
        walk = kernel(backward)
        positions, grads = walk(*self.columns, self.base, starts, np.array(list(seeds.values())))
        return zip(map(self.leaves.get, positions.tolist()), grads.tolist(), strict=True)


current = Page(0)  # the one that is written on
turning = free_at_forks(threading.Lock())


def turn(full: Page) -> None:
    """Begin the next page, unless another thread has done so."""
    global current
    with turning:
        if current is full:
            current = Page(full.base + len(full.code))


# --- compiled loops over a page -------------------------------------------------------------------


def backward(code, reached, left, right, data, grad, base, starts, seeds):
    """Positions of the leaves reached, and their gradients; grad of all that is reached.

    The columns of a page and its base, positions to start from and their gradients. A slot's
    gradient is set where it is reached first and added to from then on, so nothing is left of an
    earlier sweep, and slots that are not reached keep what they have.
    """
    leaves = np.empty(code.size, np.int64)  # never a new array in the loop: 3 times as long
    found, waiting, i = 0, 0, 0
    for k in range(starts.size):
        reached[starts[k]], grad[starts[k]] = 1, seeds[k]
        waiting, i = waiting + 1, max(i, starts[k])
    while waiting:
        if reached[i] and code[i] != LEAF:
            reached[i] = 0
            waiting -= 1
            g, sides = grad[i], 2 if code[i] > UNARY else 1
            a = left[i] - base
            b = right[i] - base if sides == 2 else a
            by_a, by_b = slopes(code[i], data[a], data[b], data[i])
            for side in range(sides):
                operand, share = (b, by_b * g) if side else (a, by_a * g)
                if reached[operand]:
                    grad[operand] += share
                    continue
                reached[operand], grad[operand] = 1, 0.0 + share  # no -0.0
                if code[operand] != LEAF:
                    waiting += 1
                    continue
                leaves[found] = operand
                found += 1
        i -= 1
    leaves = leaves[:found].copy()
    for leaf in leaves:
        reached[leaf] = 0
    return leaves, grad[leaves]


def write_sums(code, reached, left, right, data, grad, base, operands, n, rows, slot):
    """Slots from `slot` on: for each of the rows, n products and n sums in turn; returns the last.

    operands: numbers of the n inputs, of n weights a row, and of a start a row.
    """
    outs = np.empty(rows)
    for k in range(rows):
        total = operands[n + rows * n + k]
        for j in range(n):
            i = slot - base
            code[i], left[i], right[i] = MUL, operands[n + k * n + j], operands[j]
            data[i] = data[left[i] - base] * data[right[i] - base]
            code[i + 1], left[i + 1], right[i + 1] = ADD, total, slot
            data[i + 1] = data[total - base] + data[i]
            total, slot = slot + 1, slot + 2
        outs[k] = data[total - base]
    return outs


def _slopes_source() -> str:
    """`slopes` from the table, its beginning:

    def slopes(operation, a, b, out):
        if operation == 1:  # neg
            return -1.0, 0.0
        if operation == 2:  # abs
            return 1.0 if a > 0.0 else -1.0 if a < 0.0 else 0.0, 0.0
    """
    lines = ["def slopes(operation, a, b, out):"]
    for name, code in CODES.items():
        by_a, by_b, *_ = *OPERATIONS[name].slopes, "0.0"
        lines += [f"    if operation == {code}:  # {name}", f"        return {by_a}, {by_b}"]
    return "\n".join([*lines, "    return 0.0, 0.0\n"])


_SOURCE = _slopes_source()
slopes = define("slopes", _SOURCE, vars(libm).copy())


@cache
def kernel(loop: Callable[..., Any]) -> Callable[..., Any]:
    """`backward` or `write_sums` compiled; its name tells builds on disk apart."""
    loop.__qualname__ = f"{loop.__name__}.{sha256(_SOURCE.encode()).hexdigest()[:16]}"
    return cpu.kernel_alone(loop)
