"""What a recorded step relies on in the Python around it: its arguments, and the names it uses.

Names are those of the function's closure and globals, and of the functions of the user's that it
finds there; containers among them are looked into. Nothing is known of other objects' attributes.
"""

from __future__ import annotations

import dis
import functools
import io
import random
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from operator import is_
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .devices import on_gpu
from .tensor import Tensor

SIMPLE = (bool, int, float, complex, str, bytes, type(None))
CONTAINERS = (list, dict, set, deque)
LOOKED_INTO = 1000  # elements of a container; of a larger one only the length is compared
# Code that is not the user's: its own names are left alone.
_LIBRARIES = (
    __file__.removesuffix("guards.py"),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
)


# --- arguments ----------------------------------------------------------------------------------


class _Same:
    """An object as part of a key: equal to itself alone."""

    __slots__ = ("object",)

    def __init__(self, x: object):
        self.object = x

    def __hash__(self) -> int:
        return id(self.object)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other.object is self.object


def signature(x: Any, tensors: list[Tensor]) -> Any:
    """What of an argument must be equal for a replay; its Tensors are added to `tensors`.

    Numbers count with type and sign, other objects by identity.
    """
    kind = type(x)
    if isinstance(x, Tensor):
        return _of_tensor(x, kind, tensors)
    if kind in SIMPLE:
        return kind, x if x and x == x else repr(x)  # -0.0 is no 0.0, NaN is NaN
    if kind is list or isinstance(x, tuple):
        return kind, *[signature(part, tensors) for part in x]
    if kind is dict:
        return dict, *[(signature(k, []), signature(v, tensors)) for k, v in x.items()]
    if kind is slice:
        return slice, *[signature(part, tensors) for part in (x.start, x.stop, x.step)]
    if isinstance(x, np.generic):
        return kind, x.tobytes()
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"minigrad.compile: expected Tensors and hashable values as arguments, got "
            f"{kind.__name__}"
        ) from None
    return _Same(x)


def _of_tensor(x, kind, tensors):
    shared, base, a = None, None, x.array
    if tensors:
        version = x.version
        for i, other in enumerate(tensors):
            if other is x:
                return i
            if other.version is version:
                shared = i
    if x.view_of is not None:
        x._follow_base()
        base = x.view_of[0].requires_grad
    if x.node is not None:
        raise RuntimeError(
            "minigrad.compile: an argument requires a gradient; detach() it, or let the function "
            "use it without passing it"
        )
    tensors.append(x)
    writeable = type(a) is np.ndarray and a.flags.writeable
    return kind, a.shape, a.dtype.num, a.strides, type(a), writeable, x._grad is None, shared, base


def substitute(x: Tensor, known: dict[int, Tensor]) -> Tensor:
    """A Tensor on the same memory, for the time of a recording: no other object is taken for it.

    Of a view whose base has one in `known`, by id, a view of that.
    """
    t = type(x).__new__(type(x))
    t.array, t._grad, t.node, t.version = x.array.view(), x._grad, None, x.version
    t.view_of = None
    if x.view_of is not None:
        base, *rest = x.view_of
        t.view_of = known.get(id(base), base), *rest
    if hasattr(x, "__dict__"):
        t.__dict__ = x.__dict__
    return t


def mapped(x: Any, function: Callable[[Any], Any]) -> Any:
    """x with function(part) for all that is in its tuples, lists and dicts; lists and dicts are new
    ones, and tuples where a part is."""
    kind = type(x)
    if isinstance(x, tuple) or kind is list:
        parts = [mapped(part, function) for part in x]
        if kind is list:
            return parts
        same = all(map(is_, parts, x))
        return x if same else kind._make(parts) if hasattr(x, "_fields") else kind(parts)
    if kind is dict:
        return {k: mapped(v, function) for k, v in x.items()}
    return function(x)


# --- memory -------------------------------------------------------------------------------------


def owner(array: Any) -> Any:
    """The array, or another object, that owns an array's memory."""
    base = array.base
    while isinstance(base, np.ndarray):
        array, base = base, base.base
    return array if base is None else base


def owners(tensors: list[Tensor]) -> dict[int, Any]:
    """What owns the memory of Tensors, by id."""
    arrays = [x.array for x in tensors]
    roots = [a if a.base is None else owner(a) for a in arrays]
    return dict(zip(map(id, roots), roots, strict=True))


def _surely(roots):
    """Whether memory that belongs to one of them does not belong to something else as well."""
    for root in roots.values():
        if type(root) is not np.ndarray and not isinstance(root, np.ndarray) and not on_gpu(root):
            return False
    return True


class Memory:
    """Arrays, and whether others meet their memory."""

    def __init__(self) -> None:
        self.arrays: list = []
        self.owners: dict[int, Any] = {}
        self.sure = True

    def add(self, array: Any) -> None:
        """Remember an array."""
        root = owner(array)
        self.arrays.append(array)
        self.owners[id(root)] = root
        self.sure = self.sure and _surely({0: root})

    def meets(self, tensors: list[Tensor], roots: dict[int, Any]) -> bool:
        """Whether Tensors, whose memory has these owners, may share some with one of them."""
        if not self.owners.keys().isdisjoint(roots):
            return True
        if self.sure and _surely(roots):
            return False
        return any(np.may_share_memory(x.array, a) for x in tensors for a in self.arrays)


def apart(tensors: list[Tensor], roots: dict[int, Any]) -> bool:
    """Whether no two of the Tensors, whose memory has these owners, share any."""
    if len(roots) == len(tensors) and _surely(roots):
        return True
    arrays = [x.array for x in tensors]
    return not any(_share(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def _share(a, b):
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=1000)
    except (np.exceptions.TooHardError, TypeError):  # CuPy's takes no max_work
        return True


# --- names --------------------------------------------------------------------------------------


def contents(x: Any) -> tuple:
    """A container's elements; of a dict, keys and values."""
    if len(x) > LOOKED_INTO:
        return ()
    return (*x, *x.values()) if isinstance(x, dict) else tuple(x)


def alike(x: Any, before: tuple, length: int) -> bool:
    """Whether a container holds the objects that it held."""
    parts = chain(x, x.values()) if isinstance(x, dict) else x
    return len(x) == length and all(map(is_, parts, before))


def same(a: Any, b: Any) -> bool:
    """Whether two values are one object, or numbers or texts of one type, value and sign."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) in SIMPLE and repr(a) == repr(b)


@functools.cache
def _global_names(code: CodeType) -> frozenset[str]:
    """The globals that code, and the code within it, reads."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = (_global_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(names).union(*inner)


def functions_of(x: Any) -> Iterator[FunctionType]:
    """The functions of the user's that x is, wraps, or has as methods."""
    if isinstance(x, functools.partial):
        x = x.func
    if isinstance(x, MethodType | staticmethod | classmethod):
        x = x.__func__
    if isinstance(x, property):
        x = x.fget
    if isinstance(x, FunctionType):
        if not x.__code__.co_filename.startswith(_LIBRARIES):
            yield x
        elif hasattr(x, "__wrapped__"):
            yield from functions_of(x.__wrapped__)


def methods(kind: type) -> Iterator[FunctionType]:
    """The functions of the user's among the methods of a class."""
    for parent in kind.__mro__[:-1]:
        for x in vars(parent).values():
            yield from functions_of(x)


def functions(x: Any) -> Iterator[FunctionType]:
    """The functions of the user's that calling x, or a method of it, may run."""
    yield from functions_of(x)
    if not isinstance(x, type | FunctionType | ModuleType | Tensor):
        yield from methods(type(x))


def names(function: FunctionType) -> Iterator[tuple[Any, str, Any]]:
    """What a function finds by name: (cell, dict of globals or function, name in it, value)."""
    for cell in function.__closure__ or ():
        try:
            yield cell, "cell_contents", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    scope = function.__globals__
    for name in sorted(_global_names(function.__code__) & scope.keys()):
        yield scope, name, scope[name]
    for name in ("__defaults__", "__kwdefaults__"):
        if getattr(function, name):
            yield function, name, getattr(function, name)


def containers(x: Any) -> Iterator[Any]:
    """x and the lists, dicts, sets and deques within it, or in tuples and partials in it."""
    waiting, seen = [x], set[int]()
    while waiting and len(seen) < LOOKED_INTO:
        x = waiting.pop()
        if isinstance(x, CONTAINERS) and id(x) not in seen and not isinstance(x, Tensor):
            seen.add(id(x))
            yield x
            waiting += contents(x)
        elif type(x) is tuple:
            waiting += x
        elif isinstance(x, functools.partial):
            waiting += x.args, x.keywords


def tensors(x: Any) -> Iterator[Tensor]:
    """x if it is a Tensor, or the Tensors in a container or tuple."""
    parts = chain.from_iterable(map(contents, containers(x))) if not isinstance(x, tuple) else x
    return (part for part in (x, *parts) if isinstance(part, Tensor))


# --- random numbers that minigrad does not draw --------------------------------------------------


def random_states() -> tuple:
    """The states of Python's and NumPy's global random numbers."""
    of_numpy: Any = np.random.get_state()  # noqa: NPY002
    return random.getstate(), of_numpy[1].tobytes(), of_numpy[2:]


def is_generator(x: Any) -> bool:
    """Whether x is a source of random numbers of Python's or NumPy's."""
    return isinstance(x, random.Random | np.random.Generator | np.random.RandomState)


def state(x: Any) -> Any:
    """The state of such a source."""
    if isinstance(x, random.Random):
        return x.getstate()
    return x.bit_generator.state if isinstance(x, np.random.Generator) else x.get_state()


def is_iterator(x: Any) -> bool:
    """Whether x has a place that it moves on from; files are written to."""
    return hasattr(type(x), "__next__") and not isinstance(x, io.IOBase)
