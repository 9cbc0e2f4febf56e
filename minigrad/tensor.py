"""Tensor: where operations meet the graph.

`apply`, at the end, runs an operation. functions.py makes a function, a method and, where there is
one, an operator of each operation in `minigrad.ops`; methods.pyi lists them for editors.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from types import NoneType
from typing import Any, Self

import numpy as np

from . import devices, dtypes, numpy_calls
from .autograd import enable_grad, graph, is_grad_enabled
from .autograd.graph import Node
from .devices import CPU, CUDA, on_gpu, settled
from .holder import ArrayHolder
from .ops import Op, index, storage
from .ops.arguments import as_pytorch
from .ops.promotion import NUMBERS, stored
from .printing import format_tensor
from .tape import active_tape, raw, refuse, run


class Tensor(ArrayHolder):
    """An n-dimensional array that remembers how it was computed.

    `array` is the array underneath, NumPy's or on a GPU CuPy's, which library code may read and
    write; `node` its place in the graph (None: no gradient needed). Make one with
    `minigrad.tensor(data)`; `Tensor(array)` wraps without a copy.
    """

    __slots__ = ("__weakref__", "_grad", "_node", "version", "view_of")

    _grad: Tensor | None
    _node: Node | None
    # A counter of in-place changes, shared with every Tensor on the same memory.
    version: list[int]
    # For a view: the Tensor that owns the memory, its node when the view was recorded, and the
    # operations that lead from one to the other; then why it cannot follow changes of the memory
    # (None: it can), and how many there were when it was made.
    view_of: tuple | None

    def __init__(self, array: Any, requires_grad: bool = False):
        if not isinstance(array, np.ndarray) and not on_gpu(array):
            raise TypeError(
                f"Tensor(): expected a NumPy array, got {type(array).__name__}; "
                "minigrad.tensor(data) converts lists and numbers"
            )
        dtypes.as_dtype(array.dtype, "array")
        array = settled(array)  # of a subclass, which would compute in its own way
        self.array, self.version = array, [0]
        self._grad = self._node = self.view_of = None
        tape = active_tape()
        if tape is not None:
            tape.made(array)
        if requires_grad:
            self.requires_grad_(requires_grad)

    @staticmethod
    def wrap(array: Any, node: Node | None = None, version: list[int] | None = None) -> Tensor:
        """A Tensor from an array we made: no checks. Numbers, as NumPy reduces to, become 0-d.

        version: the counter of the Tensor whose changes count as changes of this one.
        """
        t = _new(Tensor)
        t.array = array if type(array) is np.ndarray else settled(array)
        t._grad = t.view_of = None
        t._node, t.version = node, [0] if version is None else version
        return t

    @staticmethod
    def lift(value: Any, node: Node | None, version: list[int] | None) -> Any:
        """A saved value as a Tensor in the graph, for backward passes that are recorded."""
        if isinstance(value, (np.ndarray, np.generic)) or on_gpu(value):
            return Tensor.wrap(value, node, version)
        return value

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph; changes made through it go unnoticed by it."""
        return Tensor.wrap(_memory(self))

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(new).__name__}")
        if self.requires_grad and new.dtype.kind != "f":
            raise RuntimeError(f"data: a tensor that requires a gradient is float, got {new.dtype}")
        if new.array is not self.array:
            if active_tape() is not None and _place(new.array) == _place(self.array):
                return  # x.data += 1 gives back what it took
            refuse("it gives a tensor other memory (.data = ...); change it in place")
        self.array = new.array
        if self.node is not None and self.is_leaf:
            self.node = Node.leaf(self)

    # --- autograd -----------------------------------------------------------------------------

    @property
    def node(self) -> Node | None:
        """The place in the graph: of a view, behind all changes of the memory it looks at."""
        if self.view_of is not None:
            self._follow_base()
        return self._node

    @node.setter
    def node(self, new: Node | None) -> None:
        self._node = new

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() collects, a Tensor of this shape and dtype, or None.

        UserWarning where there will be none: of what was computed, without retain_grad().
        """
        tape = active_tape()
        if tape is not None:
            tape.read_gradient(self)
        node = self.node
        if self._grad is None and node is not None and node.op is not None and node.owner is None:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad attribute won't be populated during backward(). Call retain_grad() on it "
                "before, or access the leaf Tensor instead.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, new: Tensor | None) -> None:
        if new is not None:
            if not isinstance(new, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(new).__name__}")
            if new is self:
                raise RuntimeError("grad: a tensor cannot be its own gradient; assign a clone()")
            if (new.array.shape, new.array.dtype) != (self.array.shape, self.array.dtype):
                raise RuntimeError(
                    f"grad: expected shape {tuple(self.shape)} and dtype {self.dtype} as the "
                    f"tensor has, got {tuple(new.shape)} and {new.dtype}"
                )
            if type(new.array) is not type(self.array):
                raise RuntimeError(f"grad: expected it on {self.device}, got it on {new.device}")
        tape = active_tape()
        if tape is not None:
            tape.write_gradient(self, new)
        self._grad = new

    @property
    def requires_grad(self) -> bool:
        if self.view_of is not None:
            if self._cannot_follow():
                return True
            self._follow_base()
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, mode: bool) -> None:
        self.requires_grad_(mode)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for (or, on a leaf, no longer ask for) a gradient; returns self."""
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(f"requires_grad: expected a bool, got {type(requires_grad).__name__}")
        if requires_grad and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only Tensors of floating point dtype can require gradients, got {self.dtype}"
            )
        if not requires_grad and not self.is_leaf:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if requires_grad != self.requires_grad:
            run(_set_leaf, self, bool(requires_grad))
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was computed from nothing that requires a gradient."""
        node = self.node
        return node is None or node.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.node

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None,
        create_graph: bool = False, inputs: Any = None,
    ) -> None:  # fmt: skip
        """Add d self / d leaf to `.grad` of every leaf (or of `inputs` alone).

        gradient: d objective / d self, same shape; optional where self has one element.
        retain_graph: keep the graph for another backward pass (default: create_graph).
        create_graph: record the backward pass, so that gradients can be differentiated again.
        """
        graph.backward((self,), (gradient,), retain_graph, create_graph, inputs=inputs)

    def retain_grad(self) -> None:
        """Keep `.grad` of this interior Tensor in the next backward pass."""
        if self.node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        self.node.owner = weakref.ref(self)

    def detach(self) -> Tensor:
        """The same memory outside the graph."""
        return Tensor.wrap(_memory(self), None, self.version)

    def detach_(self) -> Self:
        """Leave the graph; returns self."""
        if self.view_of is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        if self._node is not None:
            run(_leave_graph, self)
        return self

    def _follow_base(self):
        """A view whose base was changed in place takes its place behind the base's new node."""
        base, recorded, chain, problem, count = self.view_of
        if problem is not None:
            if is_grad_enabled() and self._cannot_follow():
                raise RuntimeError(
                    problem.format("its base or another view of its base has been modified inplace")
                )
            return
        node, now = base._node, self.version[0]
        if node is None and recorded is None:
            return
        if count == now and (node is recorded or node is None or node.op is None):
            return  # a base that came to need a gradient unchanged is another leaf, as in PyTorch
        if node is None:  # the base left the graph, and then changed
            self._node = None
        elif node is not recorded or self._node is None:
            with enable_grad():
                t = base
                for operation, options in chain:
                    t = apply(operation, (t, *options))
            self._place(t._node)
        self.view_of = base, node, chain, problem, now

    def _place(self, node):
        """Take another node, which keeps the gradient if the one before did."""
        before = self._node
        if before is not None and before.op is not None:
            node.owner, before.owner = before.owner, None
        self._node = node

    def _cannot_follow(self):
        """Whether it is a view of memory in the graph whose changes since it could not follow."""
        base, _, _, problem, count = self.view_of
        if problem is None or count == self.version[0]:
            return False
        own = self._node is not None and self._node.op is not None
        return own or base._node is not None

    def _change(self, function, *args):
        """Run an out-of-place function of self, then take over its value and place in the graph."""
        recorded = self._is_recorded(args)
        before = self
        if recorded:
            self._check_may_change()
            # What formulas read must not move.
            before = Tensor.wrap(run(graph.copied, raw(self)), self._node)
        out = function(before, *args)
        if out.array.shape != self.array.shape:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape "
                f"{list(out.shape)}"
            )
        if dtypes.CATEGORY[out.dtype.kind] > dtypes.CATEGORY[self.dtype.kind]:
            raise RuntimeError(
                f"result type {out.dtype} can't be cast to the desired output type {self.dtype}"
            )
        self._store(..., out.array)
        if recorded:
            self._take_node(out.node)
        return self

    def _is_recorded(self, args):
        """Whether a change in place by these arguments belongs in the graph."""
        owner = self if self.view_of is None else self.view_of[0]
        return is_grad_enabled() and any(
            isinstance(x, Tensor) and x.requires_grad for x in (owner, self, *args)
        )

    def _check_may_change(self):
        base, _, _, problem, _ = self.view_of or (self, None, (), None, 0)
        if problem is not None:
            raise RuntimeError(problem.format("is being modified inplace"))
        needed = self._node is not None or base._node is not None
        if needed and (base._node is None or base._node.op is None):
            raise RuntimeError(
                f"{'' if base is self else 'a view of '}a leaf Variable that requires grad is "
                "being used in an in-place operation. Wrap the change in no_grad(), or change a "
                "clone()."
            )
        if self.view_of:
            self._follow_base()

    def _store(self, where, value):
        run(_assign, raw(self), _arrays(where), value, self.version)

    def _take_node(self, node):
        if self.view_of is None:
            self._place(node)
            return
        base, _, chain, *_ = self.view_of
        pasted = Node(
            storage.paste, (base._node, node), (None, None, None, chain, base.array), (), base
        )
        base._place(pasted)
        self._follow_base()

    # --- Python, NumPy and other libraries ----------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The array itself (shared memory). A Tensor in the graph must be detached, or forced."""
        if self.requires_grad and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. "
                "Use tensor.detach().numpy() instead."
            )
        if self.is_cuda and not force:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to "
                "copy the tensor to host memory first."
            )
        return devices.move(self._value(), CPU)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @property
    def __cuda_array_interface__(self) -> dict:
        """The memory on the GPU, for CuPy, Numba and PyTorch; on the CPU there is no such name."""
        if not self.is_cuda:
            raise AttributeError(f"a tensor on {self.device} has no __cuda_array_interface__")
        if self.requires_grad:
            raise RuntimeError("Can't get __cuda_array_interface__: use tensor.detach() first")
        return self.array.__cuda_array_interface__

    def __dlpack__(self, **options: Any) -> Any:
        """The memory for another library's from_dlpack(); `options` are the protocol's."""
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array.__dlpack__(**options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return numpy_calls.of_ufunc(ufunc, method, inputs, keywords)

    def __array_function__(self, func: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return numpy_calls.of_function(func, args, kwargs)

    def __record__(self, operation: Op, args: tuple) -> Tensor:
        return apply(operation, args)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind())

    def __contains__(self, x: Any) -> bool:
        if not isinstance(x, OPERANDS):
            raise RuntimeError(
                f"Tensor.__contains__ only supports Tensor or scalar, but got {type(x).__name__}"
            )
        return bool((self == x).any())

    def __repr__(self) -> str:
        suffixes = []
        if self.view_of is not None and self._cannot_follow():
            suffixes.append("grad_fn=<Invalid>")
        elif self.grad_fn is not None:
            suffixes.append(f"grad_fn={self.grad_fn!r}")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        where = f"device='{self.device}'" if self.is_cuda else None
        return format_tensor(devices.move(self._value(), CPU), suffixes, where)

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be pickled or deep-copied; detach() it first")
        array = self.array.astype(self.dtype, order="C", copy=False)
        return type(self)._restore, (array, self.requires_grad)

    @classmethod
    def _restore(cls, array, requires_grad):
        t = cls.__new__(cls)
        Tensor.__init__(t, array, requires_grad)
        return t

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) not in memo:
            restore, (array, requires_grad) = self.__reduce__()
            memo[id(self)] = restore(array.copy(), requires_grad)
            if self.grad is not None:
                memo[id(self)].grad = self.grad.clone()
        return memo[id(self)]

    # --- indexing, conversion, filling --------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        source, key = self._at(key)
        return apply(index.getitem, (source, key))

    def __setitem__(self, key: Any, value: Any) -> None:
        value = as_operand(value)
        if not isinstance(value, (Tensor, *NUMBERS)):
            raise TypeError(f"can't assign a {type(value).__name__} to a Tensor")
        source, key = self._at(key)
        if not isinstance(value, Tensor):
            value = stored(index.assign, (self.array, value))[1]
        else:
            if source.is_cuda:
                value = value.to(CUDA)
            if value.shape[:1] == (1,):  # sizes of 1 in front, which NumPy drops as well
                shape = value.array.shape
                kept = next((i for i, n in enumerate(shape) if n != 1), len(shape))
                value = value.reshape(shape[kept:])
        if source._is_recorded((value,)):
            source._change(index.assign, value, key)
        else:
            source._store(key, raw(value))

    def _at(self, key):
        """The Tensor to index, self or a view of it, and an index that its array understands."""
        picks, arrays = index.canonical(key, self.array.shape)
        if not arrays:
            return self, picks
        if picks:
            self = apply(index.getitem, (self, picks))
        return self, arrays if type(self.array) is np.ndarray else index.on_gpu(arrays)

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
        copy: bool = False,
    ) -> Tensor:  # fmt: skip
        """In another dtype or on another device: to(dtype), to("cuda"), to("cuda", dtype),
        to(other); itself if nothing changes. The gradient comes back.

        RuntimeError, saying what is missing, for a device there is none of.
        """
        for x in args:
            if isinstance(x, Tensor):
                dtype, device = x.dtype, x.device
            elif type(x) is int or (isinstance(x, str) and x.split(":")[0] in _DEVICES):
                device = x
            elif not isinstance(x, bool):
                dtype = x
        place = self.device if device is None else devices.find(device)
        dtype = self.dtype if dtype is None else dtypes.as_dtype(dtype)
        moved = self if dtype == self.dtype else apply(storage.cast, (self, dtype))
        if place != self.device:
            moved = apply(storage.move, (moved, place))
        return self.clone() if copy and moved is self else moved

    def astype(self, dtype: Any) -> Tensor:
        """NumPy's name for to(dtype)."""
        return self.to(dtype)

    def type(self, dtype: Any = None) -> Any:
        """The name of the dtype, or the tensor in another one."""
        return f"minigrad.{self.dtype}" if dtype is None else self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """In the dtype and on the device of `other`."""
        if not isinstance(other, Tensor):
            raise TypeError(f"other: expected a Tensor, got {type(other).__name__}")
        return self.to(other)

    def cpu(self) -> Tensor:
        """On the CPU; itself if it is there."""
        return self.to(CPU)

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Tensor:
        """On the GPU; itself if it is there. Errors as in to()."""
        return self.to("cuda" if device is None else device)

    def copy_(self, src: Any, non_blocking: bool = False) -> Self:
        """Overwrite with `src`, broadcast, cast and moved; returns self."""
        if isinstance(src, Tensor) and type(src.array) is not type(self.array):
            src = src.to(self.device)
        if getattr(src, "ndim", 0) > self.array.ndim:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape "
                f"{list(src.shape)}"
            )
        return self._change(lambda old, new: apply(index.assign, (old, new, ...)), src)

    def fill_(self, value: Any) -> Self:
        """Overwrite every element with `value`, a number or a 0-d tensor; returns self."""
        if getattr(value, "ndim", 0):
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return self.copy_(value)

    def zero_(self) -> Self:
        """Overwrite every element with 0; returns self."""
        return self.copy_(0)

    def new_tensor(self, data: Any) -> Tensor:
        """A copy of `data` in this tensor's dtype and on its device."""
        return Tensor(np.array(as_operand(data), self.dtype)).to(self.device)


UNRECORDED = (
    "A view was created in no_grad mode and {} with grad mode enabled. Given that this use case is "
    "ambiguous and error-prone, it is forbidden. Make the view and the change both inside the "
    "no_grad block (if the change is not to be tracked), or both outside (if it is)."
)
_new = Tensor.__new__
_DEVICES = ("cpu", "cuda", "mps", "meta")
OPERANDS = (Tensor, *NUMBERS, np.ndarray, np.generic)
_FLOAT32, _FLOAT64 = dtypes.float32, dtypes.float64


# --- running an operation -----------------------------------------------------------------------


def apply(operation: Op, args: tuple) -> Tensor:
    """Run an operation on its inputs and options, and record it where a gradient is needed."""
    arity, tape = operation.arity, active_tape()
    inputs, options = args[:arity], args[arity:]
    if tape is not None:
        inputs = tuple(on_one_device(inputs) or inputs)
    held = None
    if operation.holds is not None:
        held = options[operation.holds]
        if held is not None:
            options = tuple([_arrays(x) if x is held else x for x in options])
    # 1. What the inputs bring: arrays, places in the graph, if one needs a gradient, and whether
    # it is simple: Tensors of one dtype, beside them numbers, which no promotion would change.
    arrays, parents, needed, dtype, simple = [], [], False, None, True
    for x in inputs:
        if isinstance(x, Tensor):
            if x.view_of is not None:
                x._follow_base()
            if tape is not None:
                tape.capture(x)
            array, node = x.array, x._node
            if node is not None:
                needed = True
            if dtype is None:
                dtype = array.dtype
            elif dtype is not array.dtype:
                simple = False
            arrays.append(array)
            parents.append(node)
        else:
            if type(x) not in NUMBERS or not operation.takes_numbers:
                x, simple = _raw_operand(operation, inputs, len(arrays)), False
            arrays.append(x)
            parents.append(None)
    # 2. All in the dtype of the result.
    if operation.promote is not None and not (simple and (dtype is _FLOAT32 or dtype is _FLOAT64)):
        arrays = [*run(operation.promote, operation, tuple(arrays))]
    # 3. Compute.
    try:
        if tape is None:
            out = operation.forward(*arrays, *options)
        else:
            tape.options(operation, options)
            out = run(operation.compute, *arrays, *options)
    except (ValueError, TypeError) as error:
        if tape is not None:
            raise
        together = on_one_device(inputs)
        if together is None:
            raise as_pytorch(operation, arrays, error) from None
        return apply(operation, (*together, *args[arity:]))
    # 4. A Tensor, with a node if it needs a gradient, and a base if it is a view.
    result = _new(Tensor)  # Tensor.wrap, without the call
    result.array = out if type(out) is np.ndarray else settled(out)
    result._grad = result._node = result.view_of = None
    result.version = [0]
    if needed and operation.differentiable and is_grad_enabled() and result.array.dtype.kind == "f":
        _record(operation, inputs, options, held, arrays, parents, result)
        if tape is not None:
            tape.recorded(result._node)
    if operation.view:
        _remember_base(operation, inputs[0], options, result)
    return result


def _record(operation, inputs, options, held, arrays, parents, result):
    """Give the result its node, which keeps what the formulas read, with stamps of Tensors."""
    reads_out, kept, dropped = operation.reads(tuple([p is not None for p in parents]))
    stamps = [(result.version, 0, result.array)] if reads_out else []
    for i in kept:
        x = inputs[i]
        if isinstance(x, Tensor):
            stamps.append((x.version, x.version[0], arrays[i]))
    if held is not None:
        stamps += [(x.version, x.version[0], x.array) for x in _tensors_in(held)]
    for i in dropped:
        arrays[i] = None
    values = (result.array if reads_out else None, *arrays, *options)
    result._node = Node(operation, parents, values, stamps, result.array)


def _arrays(x):
    """What an option holds, a Tensor or a tuple with some inside, with their arrays instead."""
    return tuple(map(_arrays, x)) if type(x) is tuple else raw(x)


def _tensors_in(x):
    """The Tensors in an option."""
    if type(x) is tuple:
        return [t for part in x for t in _tensors_in(part)]
    return [x] if isinstance(x, Tensor) else []


def _remember_base(operation, source, options, result):
    """If the result shares the memory of its source, it is a view of what owns that memory; of no
    elements, it is one as well."""
    array = result.array
    if array is source.array or not array.size or np.may_share_memory(array, source.array):
        base, _, chain, problem, _ = source.view_of or (source, None, (), None, 0)
        if problem is None:
            problem = operation.problem if is_grad_enabled() else UNRECORDED
        result.version = source.version
        result.view_of = (
            base, base._node, (*chain, (operation, options)), problem, source.version[0]
        )  # fmt: skip


def as_operand(x: Any) -> Any:
    """A NumPy number as Python's, an array or a list as a Tensor, anything else as it is."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (np.ndarray, list, tuple)):
        try:
            return Tensor(np.array(x))  # a copy: a formula may keep it, and the user change it
        except ValueError:
            raise TypeError(f"expected nested sequences of equal length, got {x}") from None
    return x


def _raw_operand(operation, inputs, position):
    """An input that is no Tensor as an array or a number; TypeError for what may not be one."""
    x = inputs[position]
    if x is None and operation.inputs[position] in operation.optional:
        return x
    if isinstance(x, (NoneType, np.generic, *NUMBERS)) and not operation.takes_numbers:
        raise operation.no_tensor(inputs)
    if not isinstance(x, OPERANDS) and not on_gpu(x):
        raise TypeError(
            f"{operation.name}(): expected Tensors or numbers as inputs, got {dtypes.name_of(x)}"
        )
    x = as_operand(x)
    return x.array if isinstance(x, Tensor) else x


def on_one_device(inputs: tuple) -> list | None:
    """The inputs with numbers from the CPU moved to the others' GPU; None if all are on one.

    Asked when an operation has failed: CuPy's arrays refuse NumPy's. RuntimeError if it is of no
    use, for a number alone may live elsewhere.
    """
    arrays = [getattr(x, "array", x) for x in inputs]
    on_cpu = [isinstance(a, np.ndarray) for a in arrays]
    if not any(on_cpu) or not any(map(on_gpu, arrays)):
        return None
    if any(host and a.ndim for a, host in zip(arrays, on_cpu, strict=True)):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{CUDA} and cpu!"
        )
    return [as_operand(x).to(CUDA) if host else x for x, host in zip(inputs, on_cpu, strict=True)]


# --- array functions that a recorded step repeats -------------------------------------------------


def _assign(array, where, value, version):
    try:
        index.write(array, where, value)
    except (ValueError, OverflowError) as error:
        writeable = getattr(array.flags, "writeable", True)  # CuPy's always is
        if isinstance(value, NUMBERS) and writeable:
            problem = f"cannot be converted to type {array.dtype} without overflow"
            raise RuntimeError(f"value {problem}: got {value}") from None
        if writeable:
            raise RuntimeError(f"shape mismatch: {error}") from None
        raise RuntimeError(
            "unsupported operation: this tensor's memory is read-only, or one element of it "
            "stands for several (expand); clone() the tensor before changing it"
        ) from None
    version[0] += 1


def _set_leaf(tensor, requires_grad):
    tensor.node = Node.leaf(tensor) if requires_grad else None


def _leave_graph(tensor):
    tensor._node = None


def _place(array):
    """Where an array's memory lies, and how it is laid out."""
    on_cpu = type(array) is np.ndarray
    return array.__array_interface__ if on_cpu else array.__cuda_array_interface__


def _memory(tensor):
    """The array of a Tensor; while a step is recorded a view of it, which is nobody else's."""
    array = raw(tensor)
    return array if active_tape() is None else run(type(array).view, array)
