"""Value: a number that remembers how it was computed, with micrograd's interface.

Operations write themselves down on a page (pages.py), a slot each; `backward()` walks the slots
from the newest to the oldest in one compiled loop, made from the table of operations.
"""

from __future__ import annotations

import operator
import weakref
from array import array
from collections.abc import Callable, Container, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import pages
from .cells import CELLS
from .expressions import active_trace
from .operations import ieee, on_floats
from .pages import CODES, Page, kernel, write_sums

NUMBERS = (int, float, np.integer, np.floating, np.bool_)
F = TypeVar("F", bound=Callable[..., Any])
new = object.__new__


# --- methods of Value, made from the table --------------------------------------------------------


def _unary(name: str) -> Callable[[Value], Value]:
    """The method of an operation on one Value: `record`, written out for speed."""
    compute, code = on_floats(name), CODES[name]

    def method(self: Value) -> Value:
        a, left, page = self._data, self._slot, pages.current
        base = page.base
        try:
            out = compute(a)
        except (ArithmeticError, ValueError):
            out = ieee(name, a)
        if left >= base:
            for slot in page.slots:
                i = slot - base
                page.code[i], page.left[i], page.data[i] = code, left, out
                value = new(Value)
                value._data, value._page, value._left = out, page, self
                value._slot = value._home = slot
                return value
        return record(name, out, self)

    return _named(method, name)


def _binary(name: str, reflected: bool = False) -> Callable[[Value, Value | float], Value]:
    """The method of an operation on a Value and another, or a number: `record`, written out.

    reflected: the Value is on the right, as in 1 - x.
    """
    compute, code = on_floats(name), CODES[name]

    def method(self: Value, other: Value | float) -> Value:
        a, left, page = self._data, self._slot, pages.current
        base = page.base
        if isinstance(other, Value):
            b, right = other._data, other._slot
        elif isinstance(other, NUMBERS):
            b = other = float(other)
            right = page.write(b) or -1
        else:
            return NotImplemented
        if reflected:
            a, b = b, a
            left, right = right, left
        try:
            out = compute(a, b)
        except (ArithmeticError, ValueError):
            out = ieee(name, a, b)
        if left >= base <= right:
            for slot in page.slots:
                i = slot - base
                page.code[i], page.data[i] = code, out
                page.left[i], page.right[i] = left, right
                value = new(Value)
                value._data, value._page = out, page
                value._left, value._right = self, other
                value._slot = value._home = slot
                return value
        return record(name, out, *((other, self) if reflected else (self, other)))

    return _named(method, name)


def _comparison(name: str) -> Callable[[Value, object], bool]:
    compare = on_floats(name)

    def method(self: Value, other: object) -> Any:
        trace = active_trace.get()
        if trace is not None:
            return trace.operate(name, self, other)
        if isinstance(other, Value):
            return compare(self._data, other._data)
        return compare(self._data, other) if isinstance(other, NUMBERS) else NotImplemented

    return _named(method, name)


def _named(method: F, name: str) -> F:
    method.__name__, method.__qualname__ = name, f"Value.{name}"
    return method


class Value:
    """A scalar and its gradient.

    data: a float64 number. grad: d(root)/d(this) after `root.backward()`, 0.0 before.

    Operators take Values and numbers, on either side. Arithmetic is IEEE 754's, as in PyTorch:
    1 / 0 is inf and log(-1) is nan. Comparisons are those of `data` and give bools.

    A number written into the `data` of a leaf counts from the next operation on; `backward()` goes
    by what was computed. Written into a result's, it stands in the slopes of operations that have
    used it, as in micrograd. A copy of a Value is a leaf: it has the numbers, not the history.
    """

    # _slot: the number of the latest slot that stands for this Value; _home: of the one on _page
    # that computed it; _left and _right keep its operands alive. A leaf has no page; its gradient
    # is in _grad, or in its cell if it has one, which then holds its data as well.
    __slots__ = (
        "__weakref__", "_cell", "_data", "_grad", "_home", "_left", "_page", "_right", "_slot",
    )  # fmt: skip
    _home: int
    _page: Page | None
    _left: object
    _right: object

    __array_priority__ = -1  # NumPy's scalars leave operators to us, its arrays take us as elements

    def __init__(self, data: float) -> None:
        self._data = _checked("data", data)
        self._grad = 0.0
        self._page, self._slot, self._cell = None, -1, -1

    @property
    def data(self) -> float:
        if active_trace.get() is not None:
            _not_while_tracing(
                "reads `data` of a Value, which changes from call to call; use the Value"
            )
        return self._data

    @data.setter
    def data(self, data: float) -> None:
        number = _checked("data", data)
        self._data = number
        if self._page is None:
            self._slot = -1
            if self._cell >= 0:  # asked last: a cell that comes after this has the new number
                with CELLS.lock:
                    self._data = CELLS.data[self._cell] = number
        else:
            self._page.data[self._home - self._page.base] = number
            self._slot = self._home

    @property
    def grad(self) -> float:
        if self._page is not None:
            return self._page.grad[self._home - self._page.base]
        return self._grad if self._cell < 0 else CELLS.grad[self._cell]

    @grad.setter
    def grad(self, grad: float) -> None:
        if self._page is not None:
            self._page.grad[self._home - self._page.base] = _checked("grad", grad)
        elif self._cell < 0:
            self._grad = _checked("grad", grad)
        else:
            with CELLS.lock:
                CELLS.grad[self._cell] = _checked("grad", grad)

    def cell(self) -> int:
        """The number of a leaf's cell, where its data and grad are from now on."""
        with CELLS.lock:
            if self._cell < 0:
                cell = CELLS.take(self)
                # Whoever finds no cell adds to _grad in the same step of the interpreter, and
                # whoever finds one waits for the lock: nothing gets lost in between.
                CELLS.grad[cell], self._cell = self._grad, cell
                CELLS.data[cell] = self._data
        return self._cell

    def _slot_on(self, page: Page) -> int | None:
        """The number of the slot that stands for this Value there; None if the page is full.

        A Value made on another thread may be on a later page: then this one is full as well.
        """
        if self._slot >= page.base:
            return self._slot
        data = self._data
        slot = page.write(data)
        if slot is not None:
            page.leaves[slot - page.base] = weakref.ref(self)
            self._slot = slot
            if self._data is not data:  # another thread has just written it
                self._slot = -1
        return slot

    def backward(self) -> None:
        """Set `grad` on all that this Value was computed from: d(this) / d(that).

        Leaves add to the gradient they have, as in PyTorch; results get theirs anew.
        """
        if self._page is None:
            self.grad += 1.0
            return
        waiting = {self._page: {self._home: 1.0}}
        while waiting:
            youngest = max(waiting, key=lambda page: page.base)
            for reference, grad in youngest.sweep(waiting.pop(youngest)):
                leaf = None if reference is None else reference()
                if leaf is None:  # a plain number
                    continue
                if leaf._page is None:  # in one step of the interpreter: threads add up
                    if leaf._cell < 0:
                        leaf._grad += grad
                    else:
                        with CELLS.lock:
                            CELLS.grad[leaf._cell] += grad
                else:
                    seeds = waiting.setdefault(leaf._page, {})
                    seeds[leaf._home] = seeds.get(leaf._home, 0.0) + grad

    def __repr__(self) -> str:
        return f"Value(data={self._data}, grad={self.grad})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _copy, (self.data, self.grad)

    def __bool__(self) -> bool:
        if active_trace.get() is not None:
            _not_while_tracing("decides on a Value; write minigrad.scalar.where(condition, a, b)")
        return self._data != 0.0

    __hash__ = object.__hash__  # two Values of equal data are two keys

    __add__, __radd__ = _binary("add"), _binary("add", reflected=True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", reflected=True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", reflected=True)
    __truediv__, __rtruediv__ = _binary("div"), _binary("div", reflected=True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", reflected=True)
    __lt__, __le__ = _comparison("lt"), _comparison("le")
    __gt__, __ge__ = _comparison("gt"), _comparison("ge")
    __eq__, __ne__ = _comparison("eq"), _comparison("ne")
    __neg__, __abs__ = _unary("neg"), _unary("abs")
    max, min = _binary("max"), _binary("min")
    abs, relu, sqrt = _unary("abs"), _unary("relu"), _unary("sqrt")
    exp, log, log1p = _unary("exp"), _unary("log"), _unary("log1p")
    sin, cos, tanh = _unary("sin"), _unary("cos"), _unary("tanh")
    sigmoid, softplus = _unary("sigmoid"), _unary("softplus")


def _not_while_tracing(why: str) -> None:
    raise TypeError(f"a function that is compiled is written down once, and this one {why}")


def _checked(argument: str, x: object) -> float:
    if isinstance(x, NUMBERS):
        return float(x)
    raise TypeError(f"{argument}: expected a number, got {type(x).__name__}")


def _copy(data: float, grad: float) -> Value:
    value = Value(data)
    value.grad = grad
    return value


# --- writing down ---------------------------------------------------------------------------------


def record(name: str, out: float, *operands: Value | float) -> Value:
    """Write one operation down: the general way, also where a page ends."""
    while True:
        page = pages.current
        numbers: list[Any]  # None in it: the page is full
        numbers = [x._slot_on(page) if isinstance(x, Value) else page.write(x) for x in operands]
        slot = None if None in numbers else next(page.slots, None)
        if slot is not None:
            i = slot - page.base
            page.code[i], page.left[i], page.right[i] = CODES[name], numbers[0], numbers[-1]
            page.data[i] = out
            return _result(out, page, slot, operands)
        pages.turn(page)


def _result(out: float, page: Page, slot: int, operands: Sequence[Value | float]) -> Value:
    value = new(Value)
    value._data, value._page, value._left = out, page, operands
    value._slot = value._home = slot
    return value


def weighted_sums(
    weights: Sequence[Sequence[Value]], starts: Sequence[Value], inputs: Sequence[Value]
) -> list[Value]:
    """[start + w[0] inputs[0] + w[1] inputs[1] + ... for w, start in zip(weights, starts)].

    Writes down the very operations that the operators would, in their order, but all at once: a
    layer of 16 neurons over 16 inputs in a sixth of the time.
    """
    terms = [*inputs, *chain(*weights), *starts]
    work = 2 * len(inputs) * len(weights)
    if not all(isinstance(x, Value) for x in inputs):  # they are being traced
        work = 0
    while 0 < work <= pages.SIZE - len(terms):
        page = pages.current
        numbers: list[Any] = [term._slot for term in terms]
        if min(numbers) < page.base:
            numbers = [term._slot_on(page) for term in terms]
        # `work` neighbours, taken in one step; None if the page is full, or was for an operand
        last = next(islice(page.slots, work - 1, work), None)
        if last is not None:
            operands = np.frombuffer(array("q", numbers), np.int64)
            n, first, write = len(inputs), last + 1 - work, kernel(write_sums)
            outs = write(*page.columns, page.base, operands, n, len(weights), first).tolist()
            ends = range(first + 2 * n - 1, last + 1, 2 * n)
            return [_result(out, page, end, terms) for out, end in zip(outs, ends, strict=True)]
        pages.turn(page)
    rows = zip(weights, starts, strict=True)
    return [sum(map(operator.mul, w, inputs), start) for w, start in rows]


# --- reading it again ----------------------------------------------------------------------------


class Step(NamedTuple):
    """One number of a graph: an operation's result, or (operation None) a leaf.

    grad: None for a plain number. operands: positions in the list that this is in.
    """

    operation: str | None
    data: float
    grad: float | None
    operands: tuple[int, ...]


def slots_of(root: Value, known: Container[int] = ()) -> list[tuple[int, Page]]:
    """The slots that a result was computed from, but for the `known` ones: operands before results.

    A slot may stand for the result of an older page, which then is here, too.
    """
    found: dict[int, Page] = {}
    stack = [] if root._page is None else [(root._home, root._page)]
    while stack:
        slot, page = stack.pop()
        if slot in found or slot in known:
            continue
        found[slot] = page
        value = page.leaf(slot)
        if value is None:
            stack += [(operand, page) for operand in page.operation(slot)[1]]
        elif value._page is not None:
            stack.append((value._home, value._page))
    return sorted(found.items())


def history(root: Value) -> list[Step]:
    """All that a Value was computed from, operands before results, the Value itself last."""
    steps: list[Step] = []
    places: dict[Value | int, int] = {}  # of leaves and slots, in `steps`
    for slot, page in slots_of(root):
        value, position = page.leaf(slot), slot - page.base
        if value is not None:
            key = value if value._page is None else value._home
            if key not in places:
                places[key] = len(steps)
                steps.append(Step(None, value.data, value.grad, ()))
            places[slot] = places[key]
            continue
        operation, operands = page.operation(slot)
        grad = page.grad[position] if operation else None
        places[slot] = len(steps)
        steps.append(Step(operation, page.data[position], grad, tuple(places[x] for x in operands)))
    return steps or [Step(None, root.data, root.grad, ())]
