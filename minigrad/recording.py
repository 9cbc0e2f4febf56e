"""compile: a step that is recorded once and replayed without the cost of deciding what to do.

A Recording writes each call that is made through `tape.run` down as a line of Python: what a line
made is a variable, everything else is a constant. The lines become one straight function, which
repeats the same calls on the same or on new arrays, without the graph: the same bits, and nothing
of what decided on the calls.
"""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

import numpy as np

from . import guards
from .autograd import is_grad_enabled
from .devices import on_gpu, one
from .generated import define
from .guards import Memory, signature
from .nn.module import Module
from .quiet import quiet
from .tape import Tape, activate, active_tape, structure
from .tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")
KEPT = 16  # recordings of one function
UNUSED = 16  # recordings in a row that no call used: from then on, new arguments run plainly

# What a line may make. Not bools and Python's ints, which are shared between their users.
_MADE = (np.ndarray, np.floating, np.integer, float, list, Tensor)


def _made(x):
    return isinstance(x, _MADE) or on_gpu(x)


class Recording(Tape):
    """The lines written so far, what they rely on, and the names of what they made."""

    age: Any = None

    def __init__(self, arguments: list[Tensor]):
        self.age = object()
        self.walked: set = set()  # nodes whose backward pass was recorded
        self.memory = Memory()  # of the arrays from outside
        self.named: set[int] = set()  # Tensors from outside that the step has a name for
        self.spoiled = False  # by an error that the step caught: what follows it is not known
        self._refusal: RuntimeError | None = None  # which the step may have caught
        self._lines: list[tuple[list[str], str]] = []  # variables read, text
        # Conditions under which the lines may be repeated, and whether they may hold once more
        # after they did not.
        self._guards: dict[str, bool] = {}
        self._constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}  # by id, expressions for what the lines made
        self._alive: list = []  # so that an id stays that of one object
        self._unrecorded: set[int] = set()  # arrays made within the step, but by no line
        self._captured: set[int] = set()  # Tensors from outside, their arrays and versions, by id
        self._gradients: set = set()  # tensors whose .grad a line has written or a guard has tested
        self._functions: set = set()  # whose names are guarded
        self._modules: set = set()  # whose containers are
        self._containers: list[tuple[Any, tuple, int]] = []  # that it names, what they held
        self._generators: list = []  # sources of random numbers that it names, their states
        self._read: list[str] = []
        self._arguments = [self._name(t) for t in arguments]

    def __enter__(self) -> Self:
        self._before, self._mode = active_tape(), is_grad_enabled()
        self._changes = structure.changes
        self._random = guards.random_states()
        structure.age = object()
        activate(self)
        return self

    def __exit__(self, *error: object) -> None:
        activate(self._before)
        structure.age = object()

    def finish(self) -> bool:
        """Whether the lines may be kept; RuntimeError if they miss what the step did."""
        if self._refusal is not None:
            raise self._refusal
        if is_grad_enabled() != self._mode:
            self.refuse("it leaves gradients switched on or off; use a with block")
        drawn = any(repr(guards.state(x)) != state for x, state in self._generators)
        if drawn or guards.random_states() != self._random:
            self.refuse(
                "it draws from Python's or NumPy's random numbers; use minigrad's, or draw before "
                "the step"
            )
        return not self.spoiled and self._changes == structure.changes

    # --- what happens while recording ---------------------------------------------------------

    def run(self, function: Callable, *args: Any) -> Any:
        """Call the function and write the call down."""
        text = f"{self.text(function)}({', '.join(map(self.text, args))})"
        read, self._read = self._read, []
        try:
            result = super().run(function, *args)
        except BaseException:
            self.spoiled = True
            raise
        if isinstance(result, tuple):
            result = tuple(map(_own, result))
            text = f"{''.join(f'{self._name(r)}, ' for r in result)}= {text}"
        elif result is not None:
            result = _own(result)
            if not _made(result):
                kind = type(result).__name__
                self.refuse(f"a call within it returns a value that Python may look at, a {kind}")
            text = f"{self._name(result)} = {text}"
        self._lines.append((read, text))
        return result

    def refuse(self, why: str) -> NoReturn:
        self._refusal = RuntimeError(f"minigrad.compile cannot record this step: {why}")
        raise self._refusal

    def visit(self, node: Any) -> None:
        self.walked.add(node)

    def made(self, array: Any) -> None:
        """Note an array that no line made: a replay would not make it anew."""
        if id(array) not in self._names:
            self._unrecorded.add(id(array))
            self._alive.append(array)

    def options(self, operation: Any, options: tuple) -> None:
        """Refuse a Tensor among an operation's options, which are the same in every replay."""
        if any(map(_holds_tensor, options)):
            self.refuse(
                f"{operation.name}() reads the value of a tensor, where it takes numbers; pass a "
                "Python number as an argument of the step"
            )

    def enter(self, module: Any) -> None:
        """Rely on the names that a module's methods use, and on the containers it has."""
        if module in self._modules or vars(module).get("_age") is self.age:
            return
        self._modules.add(module)
        self._rely_on(guards.methods(type(module)))
        for name, value in vars(module).items():
            if name not in ("_registered", "_non_persistent"):  # whose changes are counted
                self._rely_on(guards.functions_of(value))
                self._look_into(value)

    def capture(self, tensor: Any) -> None:
        """Note a Tensor that is read: if it is from outside, it must stay what it is."""
        array = tensor.array
        if self._known(tensor) or id(array) in self._unrecorded:
            return
        if not tensor.is_leaf:
            self.refuse(
                "it uses a tensor whose graph was recorded outside the step; detach() it first"
            )
        if id(tensor) in self._captured:
            return
        self._captured |= {id(tensor), id(array), id(tensor.version)}
        self._alive += tensor, array, tensor.version
        self._rely_on_tensor(tensor)

    def _rely_on_tensor(self, tensor):
        array, node = tensor.array, tensor.node
        self.memory.add(array)
        self.require("{}.array is {}", tensor, array, returns=False)
        name = "node" if tensor.view_of is not None else "_node"  # the same, a third as long
        if node is None or not tensor.is_leaf:
            self.require(f"{{}}.{name} is {{}}", tensor, node)
        else:  # another leaf does as well: a parameter that was frozen, and is not any more
            other = "{0}.requires_grad and {0}.is_leaf"
            self.require(f"({{0}}.{name} is {{1}} or {other})", tensor, node)
        if tensor.view_of is not None:
            base = tensor.view_of[0]
            self.require("{}.view_of[0].node is {}", tensor, base.node)

    def read_gradient(self, tensor: Any) -> None:
        """Note that `.grad` is read: whether there is one decides what is recorded next."""
        grad = tensor._grad
        if tensor not in self._gradients:
            self._gradients.add(tensor)
            if not self._known(tensor):  # of an argument the signature says it
                self.require(f"{{}}._grad is {'not ' if grad is not None else ''}None", tensor)
        if grad is not None and not self._known(grad):
            self.run(_gradient, tensor)

    def write_gradient(self, tensor: Any, new: Any) -> None:
        """Write down that a gradient is set."""
        text = f"{self.text(tensor)}._grad = {self.text(new)}"
        read, self._read = self._read, []
        self._lines.append((read, text))
        self._gradients.add(tensor)

    # --- names --------------------------------------------------------------------------------

    def _known(self, tensor):
        """Whether a Tensor is an argument, or made within the step."""
        if id(tensor) in self._captured:  # even if an operation has handed its array on
            return False
        return id(tensor) in self._names or id(tensor.array) in self._names

    def _name(self, x):
        """A new variable for x."""
        if not _made(x):
            return "_"
        name = f"a{len(self._alive)}"
        self._alive.append(x)
        self._names[id(x)] = name
        if isinstance(x, Tensor):
            self._names |= {id(x.array): f"{name}.array", id(x.version): f"{name}.version"}
            self._alive += x.array, x.version
        return name

    def constant(self, x: Any) -> str:
        """The name of an object that is the same in every replay."""
        name = f"k{id(x)}"
        self._constants[name] = x
        return name

    def text(self, x: Any) -> str:
        """An argument as Python: a variable, a tuple or list with one inside, or a constant."""
        name = self._names.get(id(x))
        if name is not None:
            self._read.append(name.partition(".")[0])
            return name
        if isinstance(x, Tensor):
            return self._tensor(x)
        if isinstance(x, np.ndarray) or on_gpu(x):
            if id(x) not in self._captured and not _is_one(x):
                self.refuse(
                    f"it uses {type(x).__name__} data of shape {x.shape} made within the step by "
                    "other means than operations on Tensors; make it before the step, or pass it "
                    "as an argument"
                )
        elif getattr(x, "_age", None) is self.age:
            self.refuse(
                f"it makes a {type(x).__name__}, which would outlive the step; make it before"
            )
        elif type(x) in (tuple, list) and id(x) not in self._captured:
            before, known = len(self._read), len(self._constants)
            inner = ", ".join(map(self.text, x))
            if len(self._read) > before:
                return f"({inner},)" if type(x) is tuple else f"[{inner}]"
            while len(self._constants) > known:  # those of the parts are not needed
                self._constants.popitem()
        return self.constant(x)

    def _tensor(self, x):
        """A Tensor as Python: a constant from outside, or one that a line makes of its array."""
        if not self._known(x) and id(x.array) not in self._unrecorded:
            self.capture(x)
            return self.constant(x)
        read, self._read = self._read, []
        base = chain = problem = None
        if x.view_of is not None and x.node is None:
            base, _, chain, problem, _ = x.view_of
        leaf = x.node is not None and x.is_leaf
        version = self._version(x.version)
        made = [self.text(part) for part in (_restored, x.array)]
        made += [version, str(leaf), *map(self.text, (base, chain, problem))]
        line = (self._read, f"{made[0]}({', '.join(made[1:])})")
        self._names[id(x)] = name = f"a{len(self._alive)}"
        self._alive.append(x)
        self._lines.append((line[0], f"{name} = {line[1]}"))
        self._read = [*read, name]
        return name

    def _version(self, version):
        """The version counter that Tensors on one memory share."""
        if id(version) in self._names or id(version) in self._captured:
            return self.text(version)
        self._names[id(version)] = name = f"a{len(self._alive)}"
        self._alive.append(version)
        self._lines.append(([], f"{name} = {version}"))
        self._read.append(name)
        return name

    # --- what the lines rely on ---------------------------------------------------------------

    def require(self, condition: str, *values: Any, returns: bool = True) -> None:
        """Repeat the lines only where `condition`, with {} for each of the values, holds.

        returns: whether to keep them where it does not, for it may hold again.
        """
        self._guards[condition.format(*map(self.constant, values))] = returns

    def rely_on(self, *roots: Any) -> None:
        """Require that the names stay what they are that a call of these may use."""
        for x in roots:
            self._rely_on(guards.functions(x))
            if isinstance(x, functools.partial):
                self._look_into(x)

    def _rely_on(self, functions):
        waiting = list(functions)
        while waiting:
            function = waiting.pop()
            if function in self._functions:
                continue
            self._functions.add(function)
            for place, name, value in guards.names(function):
                self._rely_on_name(place, name, value)
                waiting += guards.functions(value)

    def _rely_on_name(self, place, name, value):
        found = f"{{0}}[{name!r}]" if isinstance(place, dict) else f"{{0}}.{name}"
        if isinstance(value, types.ModuleType):
            return
        if guards.is_iterator(value):
            self.refuse(f"it names an iterator, a {type(value).__name__}, which a replay leaves")
        if guards.is_generator(value):
            self._generators.append((value, repr(guards.state(value))))
        if type(value) in (*guards.SIMPLE, tuple):
            self.require(f"({found} is {{1}} or {{2}}({found}, {{1}}))", place, value, guards.same)
        else:
            self.require(f"{found} is {{1}}", place, value, returns=False)
        if isinstance(value, np.ndarray) and value.size <= guards.LOOKED_INTO:
            self.require("{}({}) == {}", bytes, value, bytes(value))
        if isinstance(value, Module):
            for module in value.modules():
                self.enter(module)
        self._look_into(value)
        for x in guards.tensors(value):
            self.named.add(id(x))
            self._rely_on_tensor(x)

    def _look_into(self, value):
        for x in guards.containers(value):
            self._containers.append((x, guards.contents(x), len(x)))

    def _guard_containers(self):
        """Containers must hold what they do; a list may get numbers and texts, as a log of calls.

        Where the step itself changes one, the recording will not be used.
        """
        for x, before, n in self._containers:
            added = x[n:] if isinstance(x, list) and guards.alike(x[:n], before, n) else ()
            if not added or not all(type(part) in guards.SIMPLE for part in added):
                self.require(f"{{}}({{}}, {{}}, {n})", guards.alike, x, before)

    # --- the end ------------------------------------------------------------------------------

    def result(self, x: Any, copies: list) -> str:
        """What the function returned, as Python."""
        if isinstance(x, Tensor):
            if x.node is not None and not x.is_leaf and x.node not in self.walked:
                self.refuse(
                    "it returns a tensor whose backward pass is still to come; call backward() "
                    "within the step, or return detach()"
                )
            return self.text(x)
        if any(x is known for known in (*copies, *(named for named, *_ in self._containers))):
            self.refuse("it returns a list or dict that it was given or names; return a new one")
        kind = type(x)
        if isinstance(x, tuple) or kind is list:
            inner = "".join(f"{self.result(part, copies)}, " for part in x)
            if kind in (tuple, list):
                return f"({inner})" if kind is tuple else f"[{inner}]"
            make = kind._make if hasattr(x, "_fields") else kind
            return f"{self.constant(make)}(({inner}))"
        if kind is dict:
            parts = [f"{self.constant(k)}: {self.result(v, copies)}" for k, v in x.items()]
            return f"{{{', '.join(parts)}}}"
        if _made(x) or kind in guards.SIMPLE:
            return self.text(x)
        self.refuse(
            f"it returns an object that may hold tensors, a {kind.__name__}; return Tensors, "
            "numbers, tuples, lists and dicts"
        )

    def sources(self, result: str) -> tuple[str, str, dict[str, Any]]:
        """Two functions as text, and their constants: whether the lines may be repeated now, None
        if never again; and the lines as a function of the arguments' Tensors.

        `result` is the text of what the step returns. Of `lambda x: (x * w).sum()`, in whose
        closure k0 is w, k1, and its array k2; k3 being None, k4 and k5 operations, k6 _restored:

            def valid():
                return k1._node is k3 if k0.cell_contents is k1 and k1.array is k2 else None

            def replay(a0):
                a1 = k4(a0.array, k2)
                del a0
                a2 = k5(a1, k3, False, k3)
                del a1
                a3 = [0]
                a4 = k6(a2, a3, False, k3, k3, k3)
                del a2, a3
                return a4
        """
        self._guard_containers()
        kept, body = set(self._read), []
        for read, text in reversed(self._lines):  # a variable goes when the last line read it
            over = sorted(set(read) - kept)
            kept |= set(read)
            body += [f"del {', '.join(over)}"] * bool(over) + [text]
        lines = "".join(f"    {line}\n" for line in [*reversed(body), f"return {result}"])
        last, others = (
            " and ".join(text for text, returns in self._guards.items() if returns is kind)
            for kind in (False, True)
        )
        valid = f"def valid():\n    return {others or 'True'} if {last or 'True'} else None\n"
        return valid, f"def replay({', '.join(self._arguments)}):\n{lines}", self._constants


def _own(x):
    """A result of a line as an object of its own: math.nan may be anybody's."""
    return x * 1.0 if type(x) is float else x


def _is_one(x):
    """Whether x is the number that a backward pass begins with, always the same object."""
    return not x.shape and x is one(x)


def _holds_tensor(x):
    if isinstance(x, slice):
        return any(map(_holds_tensor, (x.start, x.stop, x.step)))
    return any(map(_holds_tensor, x)) if isinstance(x, (tuple, list)) else isinstance(x, Tensor)


# --- what lines call ------------------------------------------------------------------------------


def _gradient(tensor):
    return tensor._grad


def _restored(array, version, requires_grad, base, chain, problem):
    """A Tensor that the step made, of its array."""
    t = Tensor.wrap(array)
    t.version = version
    if base is not None:
        t.view_of = base, base.node, chain, problem, version[0]
    return t.requires_grad_() if requires_grad else t


class _Kept:
    """A recording that may be replayed: its texts become functions when they are first needed."""

    def __init__(self, tape: Recording, result: str):
        self._sources: Any = tape.sources(result)
        self.memory, self.used = tape.memory, False

    def fits(self, tensors: list[Tensor], owners: dict[int, Any]) -> bool | None:
        """Whether all that the recording relies on is as it was; None if it will not be again."""
        if self._sources is not None:
            valid, replay, constants = self._sources
            self.valid = define("valid", valid, constants)
            self.replay = define("replay", replay, constants)
            self._sources = None
        try:
            fits = self.valid()
        except Exception:  # a name or an attribute that is no more
            return None
        return fits and not (tensors and self.memory.meets(tensors, owners))


def compile(function: Callable[P, R]) -> Callable[P, R]:
    """A function that does what `function` does, recorded at the first call and then replayed.

    For a whole training step on small models: forward pass, backward(), optimizer.step(). The
    replay repeats the recorded calls of array functions in order, so results, gradients, parameters
    and random numbers are bit for bit those of the plain function; only the Python between them is
    gone. Arguments are Tensors without gradient (new values are used at each call), numbers and
    other hashable values; tuples, lists and dicts of them too. What the function returns is outside
    any graph. A Module comes back as one that shares all it has with the one given.

    It is recorded again when something else is other than it was: shapes, dtypes, strides, numbers
    and objects among the arguments; a name of the function's closure, defaults or globals, or of a
    function or method of yours that it names, and what lists, dicts, sets and deques of these names
    hold;
    any attribute, parameter, buffer or child of a Module; which tensors there are, need a gradient
    or have one; parameter groups. Optimizers and schedulers are called as they are, so a new
    learning rate counts. After 16 recordings that no call used, new arguments run plainly; of the
    others, 16 are kept.

    RuntimeError for what a recording cannot hold: reading a tensor's value, also as a number that
    an operation takes (x[:n]), indexing by a mask, arrays and random numbers made on the way,
    assigning to a module, making an optimizer, create_graph, a user's Function, and a result whose
    backward pass is still to come.

    What Python does between the operations it does while recording alone: print, a list that
    numbers are appended to. Not seen are attributes of objects other than Modules, of modules of
    Python and of classes; edits of an object's `__dict__`; names of packages that are installed;
    numbers that the step takes from the clock, from files, from `x.array`, or from an iterator or
    generator that it has no name for; elements of a container or NumPy array with more than
    1,000, and of a bytearray; and that an argument is the same object as a tensor that the step has
    no name for, or a NaN the same as another.
    """
    if isinstance(function, Module):
        return _compiled_module(function)
    if not callable(function):
        raise TypeError(f"function: expected a callable, got {type(function).__name__}")
    for is_kind in (
        inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction,
    ):  # fmt: skip
        if is_kind(function):
            raise TypeError(
                f"function: expected one that returns its result, got {function.__name__}, a "
                "generator or coroutine; compile the step that it calls"
            )
    recordings = _Recordings(function)

    @functools.wraps(function, updated=())
    def replayed(*args, **kwargs):
        return recordings.call(args, kwargs)

    return replayed


class _Recordings:
    """The recordings of one function, by what is the same in all calls that may use them."""

    def __init__(self, function: Callable):
        self.function = function
        self.kept: dict[Any, list[_Kept]] = {}
        self.changes = -1  # of modules, when they were made
        self.unused = 0  # how many more recordings there were than were used
        self.plain: dict[Any, None] = {}  # what ran plainly for that reason, the latest
        self._lock = threading.Lock()

    @quiet
    def call(self, args, kwargs):
        """Replay, or record."""
        if active_tape() is not None:
            return self.function(*args, **kwargs)
        tensors: list[Tensor] = []
        key = is_grad_enabled(), *[signature(x, tensors) for x in args]
        if kwargs:
            key = *key, signature(kwargs, tensors)
        owners = guards.owners(tensors) if tensors else {}
        if self.changes != structure.changes:
            self.kept, self.changes = {}, structure.changes
        known = self.kept.get(key)
        separate = len(tensors) < 2 or guards.apart(tensors, owners)
        if known is not None and separate:
            for kept in known:
                fits = kept.fits(tensors, owners)
                if fits:
                    if not kept.used:
                        kept.used = True
                        self.unused -= 1
                    return kept.replay(*tensors)
                if fits is None:
                    with self._lock:
                        self.kept[key] = [x for x in self.kept.get(key, ()) if x is not kept]
        if self._is_vain(key):
            return _outside(self.function(*args, **kwargs), {})
        return self._record(args, kwargs, key, tensors, owners, separate)

    def _is_vain(self, key):
        """Whether it is not worth to record this: nothing was used lately, and it is new."""
        if self.unused < UNUSED:
            return False
        with self._lock:
            if key in self.plain:
                return False
            self.plain[key] = None
            if len(self.plain) > KEPT:
                del self.plain[next(iter(self.plain))]
        return True

    def _record(self, args, kwargs, key, tensors, owners, separate):
        by_id: dict[int, Tensor] = {}
        inside = [by_id.setdefault(id(x), guards.substitute(x, by_id)) for x in tensors]
        tape = Recording(inside)
        tape.rely_on(self.function, *args, *kwargs.values())
        if any(id(x) in tape.named for x in tensors):  # the step may ask whether it is the same
            return _outside(self.function(*args, **kwargs), {})
        given, named = (
            guards.mapped(x, lambda part: by_id.get(id(part), part)) for x in (args, kwargs)
        )
        copies = [*guards.containers((*given, *named.values()))]
        held = [(x, guards.contents(x), len(x)) for x in copies]
        try:
            with tape:
                result = self.function(*given, **named)
                text = tape.result(result, copies)
            keep = tape.finish() and separate
        finally:
            for x, y in zip(tensors, inside, strict=True):
                x._grad = y._grad
                if y.view_of is None:
                    x.view_of = None
                if not y.is_leaf:
                    x.node = y.node
                elif x.is_leaf:
                    x.requires_grad_(y.requires_grad)
        for x in inside:
            if not x.is_leaf:
                tape.refuse("it leaves an argument in a graph; change a clone() of it in place")
        for x, *before in held:
            if not guards.alike(x, *before):
                tape.refuse("it changes a list or dict that it was given; return a new one")
        if keep and not tape.memory.meets(tensors, owners):
            self._keep(key, _Kept(tape, text))
        originals = {id(y): x for x, y in zip(tensors, inside, strict=True)}
        return _outside(result, originals)

    def _keep(self, key, recording):
        with self._lock:
            self.unused += 1
            self.kept.setdefault(key, []).append(recording)
            while sum(map(len, self.kept.values())) > KEPT:
                oldest = next(iter(self.kept))
                del self.kept[oldest][:1]
                if not self.kept[oldest]:
                    del self.kept[oldest]


def _outside(result, known):
    """A result outside the graph: as a replay gives it. `known`: what became of a Tensor, by id."""

    def outside(x):
        if isinstance(x, Tensor) and id(x) not in known:
            out = known[id(x)] = x if x.is_leaf else x.detach()
            out._grad = x._grad
            if out.view_of is not None:
                base, *rest = out.view_of
                out.view_of = known.get(id(base), base), *rest
        return known.get(id(x), x)

    return guards.mapped(result, outside)


# --- modules --------------------------------------------------------------------------------------


def _compiled_module(model):
    """The same module under a class whose calls are replayed: it has the model's attributes."""
    kind, call = type(model), compile(model.__call__)
    twin = types.new_class(kind.__name__, (kind,), {}, lambda body: body.update(
        __call__=lambda self, *args, **kwargs: call(*args, **kwargs),
        __reduce_ex__=lambda self, protocol: (compile, (model,)),
        __module__=kind.__module__, __qualname__=kind.__qualname__, __doc__=kind.__doc__,
    ))  # fmt: skip
    compiled = object.__new__(twin)
    compiled.__dict__ = vars(model)
    return compiled
