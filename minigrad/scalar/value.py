"""Value: a number that remembers how it was computed. micrograd's interface, on a flat tape.

Operations write themselves down in flat arrays, a slot each; `backward()` walks the slots of a
tape from the newest to the oldest in one compiled loop, made from the table of operations.

Memory goes by reference count. Slots are numbered once and for all, in order of birth; a Tape
holds SIZE of them, and when it is full the next one begins. A result keeps its tape and its
operands alive, a tape keeps no Value: leaves, and values of older tapes, which it treats as leaves
whose gradient goes on from there, it knows by weak references. (Were they strong, a graph at the
end of each tape would tie it to the one before, and none would ever go.) So there is no cycle, and
a graph goes with its last result; its slots go when all that its tape holds has gone.

Threads share the tape. A slot is taken by one step of a C iterator, after its operands have theirs:
so no two threads get the same one, and operands stay older than results.
"""

from __future__ import annotations

import operator
import os
import threading
import weakref
from array import array
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from itertools import chain, islice
from math import cos, exp, log, log1p, pow, sin, sqrt, tanh  # noqa: F401  # in generated code
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..kernels import cpu
from .functions import ieee  # noqa: F401  # in generated code
from .operations import OPERATIONS

SIZE = 16384  # slots of a tape: 35 bytes each
LEAF = 0
NUMBERS = (int, float, np.integer, np.floating, np.bool_)
new = object.__new__
RECORDED = sorted(
    (name for name, row in OPERATIONS.items() if row.slopes and row.operands < 3),
    key=lambda name: OPERATIONS[name].operands,
)  # `where` picks one of its operands: nothing to write down
CODES = {name: code for code, name in enumerate(RECORDED, 1)}
UNARY = sum(OPERATIONS[name].operands == 1 for name in RECORDED)  # the codes 1 ... UNARY


# While a function is written down (compiled.py), the Trace that it is written to.
tracer: ContextVar = ContextVar("tracer", default=None)


class Cells:
    """Where leaves that compiled functions use have data and grad: a cell of two arrays for each.

    both: (2, n), data and gradients. `data` and `grad` are the same memory, whose items are
    Python's floats, in a quarter of the time. lock: of whoever adds to gradients without Python's
    own lock, or moves the cells.
    """

    data: Any  # of floats, which mypy cannot say of a memoryview
    grad: Any

    def __init__(self):
        self._free: list[int] = []
        self._hold(np.zeros((2, 0)))
        self.lock = threading.Lock()

    def _hold(self, both: np.ndarray) -> None:
        self.both, self.data, self.grad = both, memoryview(both[0]), memoryview(both[1])

    def take(self, value: Value) -> int:
        """A cell for a leaf, which gives it back when it goes."""
        with self.lock:
            if not self._free:
                n = self.both.shape[1]
                self._free += range(n, 2 * n + 1024)
                self._hold(np.hstack([self.both, np.zeros((2, n + 1024))]))
            at = self._free.pop()
            self.data[at], self.grad[at] = value._data, value._grad
        weakref.finalize(value, self._free.append, at).atexit = False
        return at


CELLS = Cells()


class Tape:
    """SIZE operations, in the order in which they were made; a slot's number is base + position.

    code: 0 (LEAF) or the operation; left, right: the operands' numbers; data: values; grad: what
    the latest sweep left; leaves: position -> the Value that gets a leaf's gradient.
    """

    __slots__ = (
        "base",
        "code",
        "data",
        "grad",
        "leaves",
        "left",
        "reached",
        "right",
        "slots",
        "views",
    )

    def __init__(self, base: int):
        self.base = base
        self.slots = iter(range(base, base + SIZE))
        self.code, self.reached = bytearray(SIZE), bytearray(SIZE)
        self.left, self.right = array("q", bytes(8 * SIZE)), array("q", bytes(8 * SIZE))
        self.data, self.grad = array("d", bytes(8 * SIZE)), array("d", bytes(8 * SIZE))
        self.leaves: dict[int, weakref.ref[Value]] = {}
        self.views = (  # the same memory, for compiled loops
            *(np.frombuffer(a, np.uint8) for a in (self.code, self.reached)),
            *(np.frombuffer(a, np.int64) for a in (self.left, self.right)),
            *(np.frombuffer(a, np.float64) for a in (self.data, self.grad)),
        )

    def place(self, operand: Any) -> int | None:
        """The number of the slot that stands for an operand, a Value or a float; None if this tape
        is full.

        A Value made on another thread may be in a later tape: then this one is full as well.
        """
        is_value = isinstance(operand, Value)
        if is_value and operand._at >= self.base:
            return operand._at
        for at in self.slots:
            self.data[at - self.base] = operand._data if is_value else operand
            if is_value:
                self.leaves[at - self.base] = weakref.ref(operand)
                operand._at = at
            return at
        return None

    def sweep(self, seeds: dict[int, float]) -> Iterable[tuple[weakref.ref[Value] | None, float]]:
        """Walk from the slots `seeds` (number -> gradient) to the leaves: pairs of a reference to
        a Value, or None for a plain number, and its gradient.
        """
        starts = np.array(list(seeds), np.int64) - self.base
        positions, grads = compiled("sweep")(
            *self.views, self.base, starts, np.array(list(seeds.values()))
        )
        return zip(map(self.leaves.get, positions.tolist()), grads.tolist(), strict=True)


SWEEP = '''
def sweep(code, reached, left, right, data, grad, base, starts, seeds):
    """Positions of the leaves reached, and their gradients; grad of all that is reached.

    A slot's gradient is set where it is reached first and added to from then on, so nothing is
    left of an earlier sweep, and slots that are not reached keep what they have.
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
            l, operation, out, g = left[i] - base, code[i], data[i], grad[i]
            r = right[i] - base if operation > UNARY else l
            a, b = data[l], data[r]
            by_a, by_b = 0.0, 0.0
BRANCHES
            for side in range(2 if operation > UNARY else 1):
                p, share = (r, by_b * g) if side else (l, by_a * g)
                if reached[p]:
                    grad[p] += share
                    continue
                reached[p], grad[p] = 1, 0.0 + share  # no -0.0
                if code[p] != LEAF:
                    waiting += 1
                    continue
                leaves[found] = p
                found += 1
        i -= 1
    leaves = leaves[:found].copy()
    for p in leaves:
        reached[p] = 0
    return leaves, grad[leaves]
'''


WRITE_SUMS = '''
def write_sums(code, reached, left, right, data, grad, base, operands, n, rows, at):
    """Slots from `at` on: for each of the rows, n products and n sums in turn; returns the last.

    operands: numbers of the n inputs, of n weights a row, and of a start a row.
    """
    outs = np.empty(rows)
    for k in range(rows):
        total = operands[n + rows * n + k]
        for j in range(n):
            i = at - base
            code[i], left[i], right[i] = MUL, operands[n + k * n + j], operands[j]
            data[i] = data[left[i] - base] * data[right[i] - base]
            code[i + 1], left[i + 1], right[i + 1] = ADD, total, at
            data[i + 1] = data[total - base] + data[i]
            total, at = at + 1, at + 2
        outs[k] = data[total - base]
    return outs
'''


@cache
def compiled(name):
    """`sweep` or `write_sums`, from the disk cache where possible."""
    branches = ""
    for operation, code in CODES.items():
        branches += f"            {'if' if code == 1 else 'elif'} operation == {code}:\n"
        for operand, slope in zip("ab", OPERATIONS[operation].slopes, strict=False):
            branches += f"                by_{operand} = {slope}\n"
    source = {"sweep": SWEEP, "write_sums": WRITE_SUMS}[name].replace("BRANCHES\n", branches)
    scope = dict(globals(), MUL=CODES["mul"], ADD=CODES["add"])
    exec(compile(source, __file__, "exec"), scope)
    function = scope[name]
    function.__module__ = __name__
    digest = sha256(repr((source, CODES)).encode()).hexdigest()[:16]
    function.__qualname__ = f"{name}.{digest}"
    return cpu.kernel_alone(function)


# --- writing down ---------------------------------------------------------------------------------

tape = Tape(0)
opening = threading.Lock()
if hasattr(os, "register_at_fork"):  # no fork while a thread holds one: the child would wait for it
    for lock in (opening, CELLS.lock):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


def after(full: Tape) -> None:
    """Begin the next tape, unless another thread has done so."""
    global tape
    with opening:
        if tape is full:
            tape = Tape(full.base + len(full.code))


def record(name: str, out: float, *operands: Value | float) -> Value:
    """Write one operation down: the general way, of which methods have a short cut in them."""
    while True:
        here = tape
        numbers: Any = [here.place(operand) for operand in operands]
        at = None if None in numbers else next(here.slots, None)
        if at is not None:
            i = at - here.base
            here.code[i], here.left[i], here.data[i] = CODES[name], numbers[0], out
            here.right[i] = numbers[-1]
            return result(out, here, at, operands)
        after(here)


def result(out: float, here: Tape, at: int, operands) -> Value:
    value = new(Value)
    value._data, value._tape, value._left = out, here, operands
    value._at = value._home = at
    return value


def weighted_sums(weights: list[list[Value]], starts: list[Value], inputs: list[Value]):
    """[start + w[0] inputs[0] + w[1] inputs[1] + ... for w, start in zip(weights, starts)]: Values.

    Writes down the very operations that the operators would, in their order, but all at once: a
    layer of 16 neurons over 16 inputs in a sixth of the time.
    """
    terms = [*inputs, *chain(*weights), *starts]
    work = 2 * len(inputs) * len(weights)
    if not all(isinstance(x, Value) for x in inputs):  # they are being traced
        work = 0
    while 0 < work <= SIZE - len(terms):
        here = tape
        numbers: Any = [term._at for term in terms]
        if min(numbers) < here.base:
            numbers = [here.place(term) for term in terms]
        # `work` neighbours, taken in one step; None if the tape is full, or was for an operand
        last = next(islice(here.slots, work - 1, work), None)
        if last is not None:
            operands = np.frombuffer(array("q", numbers), np.int64)
            n, first = len(inputs), last + 1 - work
            outs = compiled("write_sums")(*here.views, here.base, operands, n, len(weights), first)
            ends = range(first + 2 * n - 1, last + 1, 2 * n)
            return [
                result(out, here, at, terms) for out, at in zip(outs.tolist(), ends, strict=True)
            ]
        after(here)
    return [
        sum(map(operator.mul, w, inputs), start) for w, start in zip(weights, starts, strict=True)
    ]


class Value:
    """A scalar and its gradient.

    data: a float64 number. grad: d(root)/d(this) after `root.backward()`, 0.0 before.

    Operators take Values and numbers, on either side. Arithmetic is IEEE 754's, as in PyTorch:
    1 / 0 is inf and log(-1) is nan. Comparisons are those of `data` and give bools.

    A number written into the `data` of a leaf counts from the next operation on; `backward()` goes
    by what was computed. Written into a result's, it stands in the slopes of operations that have
    used it, as in micrograd. A copy of a Value is a leaf: it has the numbers, not the history.
    """

    # _at: the number of the latest slot that stands for this Value; _home: of the one in _tape
    # that computed it; _left and _right keep its operands alive. A leaf has no tape; its gradient
    # is in _grad, or in its cell if it has one, which then holds its data as well.
    __slots__ = (
        "__weakref__",
        "_at",
        "_cell",
        "_data",
        "_grad",
        "_home",
        "_left",
        "_right",
        "_tape",
    )
    if TYPE_CHECKING:  # operations become methods at the end of this file; mypy cannot see them
        _at: int
        _data: float
        _home: int
        _left: Any
        _right: Any
        _tape: Any  # a Tape, or None
        __add__ = __sub__ = __mul__ = __truediv__ = __pow__ = cast(Any, None)
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = cast(Any, None)
        __neg__ = __abs__ = __lt__ = __le__ = __gt__ = __ge__ = cast(Any, None)

        def __getattr__(self, name: str) -> Any: ...

    __array_priority__ = -1  # NumPy's scalars leave operators to us, its arrays take us as elements

    def __init__(self, data: float):
        self._data = _checked("data", data)
        self._grad = 0.0
        self._tape, self._at, self._cell = None, -1, -1

    @property
    def data(self) -> float:
        if tracer.get() is not None:
            _not_while_tracing(
                "reads `data` of a Value, which changes from call to call; use the Value"
            )
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        self._data = _checked("data", data)
        if self._tape is None:
            self._at = -1
            if self._cell >= 0:
                with CELLS.lock:
                    CELLS.data[self._cell] = self._data
        else:
            self._tape.data[self._home - self._tape.base] = self._data
            self._at = self._home

    @property
    def grad(self) -> float:
        if self._tape is not None:
            return self._tape.grad[self._home - self._tape.base]
        return self._grad if self._cell < 0 else CELLS.grad[self._cell]

    @grad.setter
    def grad(self, grad: float) -> None:
        if self._tape is not None:
            self._tape.grad[self._home - self._tape.base] = _checked("grad", grad)
        elif self._cell < 0:
            self._grad = _checked("grad", grad)
        else:
            with CELLS.lock:
                CELLS.grad[self._cell] = _checked("grad", grad)

    def cell(self) -> int:
        """A leaf's place in CELLS, where its data and grad are from now on."""
        if self._cell < 0:
            self._cell = CELLS.take(self)
        return self._cell

    def backward(self) -> None:
        """Set `grad` on all that this Value was computed from: d(this) / d(that).

        Leaves add to the gradient they have, as in PyTorch; results get theirs anew.
        """
        if self._tape is None:
            self.grad += 1.0
            return
        waiting = {self._tape: {self._home: 1.0}}
        while waiting:
            youngest = max(waiting, key=lambda tape: tape.base)
            for reference, grad in youngest.sweep(waiting.pop(youngest)):
                leaf = reference and reference()
                if leaf is None:  # a plain number
                    continue
                if leaf._tape is None:  # in one step of the interpreter: threads add up
                    if leaf._cell < 0:
                        leaf._grad += grad
                    else:
                        with CELLS.lock:
                            CELLS.grad[leaf._cell] += grad
                else:
                    seeds = waiting.setdefault(leaf._tape, {})
                    seeds[leaf._home] = seeds.get(leaf._home, 0.0) + grad

    def __repr__(self):
        return f"Value(data={self._data}, grad={self.grad})"

    def __reduce__(self):
        return _copy, (self.data, self.grad)

    def __bool__(self):
        if tracer.get() is not None:
            _not_while_tracing("decides on a Value; write minigrad.scalar.where(condition, a, b)")
        return self._data != 0.0

    __hash__ = object.__hash__  # two Values of equal data are two keys


class Step(NamedTuple):
    """One number of a graph: an operation's result, or (operation None) a leaf.

    grad: None for a plain number. operands: positions in the list that this is in.
    """

    operation: str | None
    data: float
    grad: float | None
    operands: tuple[int, ...]


def history(root: Value) -> list[Step]:
    """All that a Value was computed from, operands before results, the Value itself last."""
    found: dict = {}  # leaf, or number of a slot -> [birth, tape, numbers of operands]
    places: dict = {}  # number of a slot -> key in `found`
    stack: list = [] if root._tape is None else [(root._tape, root._home)]
    while stack:
        here, at = stack.pop()
        if at in places:
            continue
        code, i = here.code[at - here.base], at - here.base
        reference = here.leaves.get(i)
        leaf = reference and reference()
        if leaf is not None and leaf._tape is not None:
            places[at] = leaf._home
            stack.append((leaf._tape, leaf._home))
            continue
        places[at] = key = at if leaf is None else leaf
        numbers = () if code == LEAF else (here.left[i], here.right[i])[: 1 + (code > UNARY)]
        stack += [(here, number) for number in numbers]
        found[key] = min(at, found.get(key, (at,))[0]), here, numbers
    if not found:
        return [Step(None, root.data, root.grad, ())]
    order = sorted(found, key=lambda key: found[key][0])
    positions = {key: position for position, key in enumerate(order)}
    steps = []
    for key in order:
        at, here, numbers = found[key]
        if isinstance(key, Value):
            steps.append(Step(None, key.data, key.grad, ()))
            continue
        i = at - here.base
        operation = RECORDED[here.code[i] - 1] if here.code[i] != LEAF else None
        grad = here.grad[i] if operation else None
        operands = tuple(positions[places[number]] for number in numbers)
        steps.append(Step(operation, here.data[i], grad, operands))
    return steps


def _not_while_tracing(why: str):
    raise TypeError(f"a function that is compiled is written down once, and this one {why}")


def _checked(argument: str, x) -> float:
    if isinstance(x, NUMBERS):
        return float(x)
    raise TypeError(f"{argument}: expected a number, got {type(x).__name__}")


def _copy(data: float, grad: float) -> Value:
    value = Value(data)
    value.grad = grad
    return value


UNARY_METHOD = '''
def {method}(self):
    """{value} for a = self"""
    a, left, here = self._data, self._at, tape
    try:
        out = {value}
    except (ArithmeticError, ValueError):
        out = ieee("{name}", a)
    if left >= here.base:
        for at in here.slots:
            i = at - here.base
            here.code[i], here.left[i], here.data[i] = {code}, left, out
            value = new(Value)
            value._data, value._tape, value._left = out, here, self
            value._at = value._home = at
            return value
    return record("{name}", out, self)
'''

BINARY_METHOD = '''
def {method}(self, other):
    """{value} for {a}, {b} = self, other"""
    {a}, {left}, here = self._data, self._at, tape
    if isinstance(other, Value):
        {b}, {right} = other._data, other._at
    elif isinstance(other, NUMBERS):
        {b} = other = float(other)
        {right} = here.place(other) or -1
    else:
        return NotImplemented
    try:
        out = {value}
    except (ArithmeticError, ValueError):
        out = ieee("{name}", a, b)
    if left >= here.base <= right:
        for at in here.slots:
            i = at - here.base
            here.code[i], here.left[i], here.right[i], here.data[i] = {code}, left, right, out
            value = new(Value)
            value._data, value._tape, value._left, value._right = out, here, self, other
            value._at = value._home = at
            return value
    return record("{name}", out, {operands})
'''

COMPARISON = """
def {method}(self, other):
    if tracer.get() is not None:
        return tracer.get().operate("{name}", self, other)
    a, b = self._data, other._data if isinstance(other, Value) else other
    return {value} if isinstance(b, NUMBERS) else NotImplemented
"""

OPERATORS = {"add", "sub", "mul", "div", "pow", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne"}


AS_WRITTEN = {"a": "a", "b": "b", "left": "left", "right": "right", "operands": "self, other"}
REFLECTED = {"a": "b", "b": "a", "left": "right", "right": "left", "operands": "other, self"}


def _define(name, row):
    """Give Value the methods of one operation."""
    symbol = "truediv" if name == "div" else name
    method = f"__{symbol}__" if name in OPERATORS else name
    template = UNARY_METHOD if row.operands == 1 else BINARY_METHOD if row.slopes else COMPARISON
    orders = {method: AS_WRITTEN}
    if template is BINARY_METHOD and method != name:
        orders[f"__r{symbol}__"] = REFLECTED
    for method, order in orders.items():
        scope = {}
        source = template.format(
            method=method, name=name, value=row.value, code=CODES.get(name), **order
        )
        exec(source, globals(), scope)
        scope[method].__qualname__ = f"Value.{method}"
        setattr(Value, method, scope[method])


for _name, _row in OPERATIONS.items():
    if _row.operands < 3:
        _define(_name, _row)
Value.abs = Value.__abs__  # type: ignore[attr-defined]
