"""Tensor: where operations meet the graph."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partialmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from . import devices, dtypes
from .autograd import graph
from .autograd.graph import Node, is_grad_enabled
from .devices import CPU, CUDA, on_gpu, settled
from .kernels import backend
from .ops import OPERATIONS, Op, elementwise, index, op
from .printing import format_tensor
from .tape import active_tape, raw, refuse, run

# Other names PyTorch, NumPy and the array API standard know an operation by.
ALIASES = {
    "absolute": "abs", "subtract": "sub", "multiply": "mul", "divide": "div",
    "true_divide": "div", "negative": "neg", "power": "pow", "clip": "clamp", "fix": "trunc",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "concat": "cat", "concatenate": "cat", "permute_dims": "permute",
    "expand_dims": "unsqueeze", "invert": "bitwise_not", "bitwise_invert": "bitwise_not",
    "rint": "round", "mod": "remainder", "take_along_axis": "take_along_dim",
}  # fmt: skip
KEYWORDS = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}


class Size(tuple):
    """A shape."""

    def __repr__(self):
        return f"minigrad.Size({list(self)})"

    def numel(self):
        return int(np.prod(self, dtype=np.int64))


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    `array` is the array underneath, NumPy's or on a GPU CuPy's, which library code may read and
    write; `node` its place in the graph (None: no gradient needed). Make one with
    `minigrad.tensor(data)`; `Tensor(array)` wraps without a copy.
    """

    __slots__ = ("__weakref__", "_grad", "array", "node", "version", "view_of")

    array: Any
    _grad: Tensor | None
    node: Node | None
    # A counter of in-place changes, shared with every Tensor on the same memory.
    version: list[int]
    # For a view: the Tensor that owns the memory, its node when the view was recorded, and the
    # operations that lead from one to the other.
    view_of: tuple | None

    if TYPE_CHECKING:  # operations become methods at the end of this file; mypy cannot see them

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, array, requires_grad=False):
        if not isinstance(array, np.ndarray) and not on_gpu(array):
            raise TypeError(
                f"Tensor(): expected a NumPy array, got {type(array).__name__}; "
                "minigrad.tensor(data) converts lists and numbers"
            )
        dtypes.as_dtype(array.dtype, "array")
        array = settled(array)  # of a subclass, which would compute in its own way
        self.array, self._grad, self.node, self.version, self.view_of = array, None, None, [0], None
        tape = active_tape()
        if tape is not None:
            tape.made(array)
        if requires_grad:
            self.requires_grad_(requires_grad)

    @staticmethod
    def wrap(array, node=None) -> Tensor:
        """A Tensor from an array we made: no checks. Numbers, as NumPy reduces to, become 0-d."""
        t = _new(Tensor)
        t.array = array if type(array) is np.ndarray else settled(array)
        t._grad, t.node, t.version, t.view_of = None, node, [0], None
        return t

    @staticmethod
    def lift(value, node):
        """A saved value as a Tensor in the graph, for backward passes that are recorded."""
        if isinstance(value, (np.ndarray, np.generic)) or on_gpu(value):
            return Tensor.wrap(value, node)
        return value

    # --- attributes ---------------------------------------------------------------------------

    @property
    def shape(self):
        return Size(self.array.shape)

    def size(self, dim=None):
        return self.shape if dim is None else self.array.shape[dim]

    @property
    def dtype(self):
        return self.array.dtype

    @property
    def ndim(self):
        return self.array.ndim

    dim = ndimension = lambda self: self.array.ndim

    def numel(self):
        return self.array.size

    nelement = numel

    def element_size(self):
        return self.array.itemsize

    def stride(self, dim=None):
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self):
        return self.array.flags.c_contiguous

    def is_floating_point(self):
        return self.array.dtype.kind == "f"

    @property
    def device(self):
        """Where the tensor lives: device("cpu") or device("cuda:0")."""
        return devices.of(self.array)

    @property
    def is_cuda(self):
        return on_gpu(self.array)

    @property
    def T(self):
        return OPERATIONS["permute"](self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self):
        if self.ndim < 2:
            raise RuntimeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D"
            )
        return OPERATIONS["transpose"](self, -1, -2)

    @property
    def data(self):
        """The same memory outside the graph; changes made through it go unnoticed by it."""
        return Tensor.wrap(raw(self))

    @data.setter
    def data(self, new):
        if not isinstance(new, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(new).__name__}")
        if self.requires_grad and new.dtype.kind != "f":
            raise RuntimeError(f"data: a tensor that requires a gradient is float, got {new.dtype}")
        if new.array is not self.array:
            refuse("it gives a tensor other memory (.data = ...); change it in place")
        self.array = new.array
        if self.node is not None and self.is_leaf:
            self.node = Node.leaf(self)

    # --- autograd -----------------------------------------------------------------------------

    @property
    def grad(self):
        """The gradient that backward() collects, a Tensor of this shape and dtype, or None."""
        tape = active_tape()
        if tape is not None:
            tape.read_gradient(self)
        return self._grad

    @grad.setter
    def grad(self, new):
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
            tape.write_gradient(self)
            run(_set_gradient, self, raw(new))
        self._grad = new

    @property
    def requires_grad(self):
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, mode):
        self.requires_grad_(mode)

    def requires_grad_(self, requires_grad=True):
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
        if not requires_grad:
            self.node = None
        elif self.node is None:
            self.node = Node.leaf(self)
        return self

    @property
    def is_leaf(self):
        return self.node is None or self.node.op is None

    @property
    def grad_fn(self):
        if self.view_of is not None:
            self._follow_base()
        return None if self.is_leaf else self.node

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Add d self / d leaf to `.grad` of every leaf (or of `inputs` alone).

        gradient: d objective / d self, same shape; optional where self has one element.
        retain_graph: keep the graph for another backward pass (default: create_graph).
        create_graph: record the backward pass, so that gradients can be differentiated again.
        """
        graph.backward((self,), (gradient,), retain_graph, create_graph, inputs=inputs)

    def retain_grad(self):
        """Keep `.grad` of this interior Tensor in the next backward pass."""
        if self.node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        self.node.owner = graph.weakref.ref(self)

    def detach(self):
        """The same memory outside the graph."""
        t = Tensor.wrap(raw(self))
        t.version = self.version
        return t

    def detach_(self):
        self.node = self.view_of = None
        return self

    def _value(self):
        """The array, for those who look at its numbers: a replay could not repeat that."""
        refuse(
            "it reads the value of a tensor (item, tolist, numpy, bool, float, int, print); return "
            "the tensor and read it afterwards"
        )
        if type(self.array) is not np.ndarray:
            backend(self.array).check()  # that it was computed from classes in range
        return self.array

    def _follow_base(self):
        """A view whose base was changed in place takes its place behind the base's new node."""
        base, recorded, chain = self.view_of
        if recorded is base.node or base.is_leaf:  # a leaf's place changes by requires_grad_ only
            return
        with graph.enable_grad():
            t = base
            for operation, options in chain:
                t = apply(operation, (t, *options))
        self.node, self.view_of = t.node, (base, base.node, chain)

    def _change(self, function, *args):
        """Run an out-of-place function of self, then take over its value and place in the graph."""
        recorded = is_grad_enabled() and (
            self.requires_grad or any(isinstance(x, Tensor) and x.requires_grad for x in args)
        )
        before = self
        if recorded:
            self._check_may_change()
            # What formulas read must not move.
            before = Tensor.wrap(run(graph.copied, raw(self)), self.node)
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

    def _check_may_change(self):
        base = self.view_of[0] if self.view_of else self
        if base.requires_grad and base.is_leaf:
            raise RuntimeError(
                f"{'a view of ' if self.view_of else ''}a leaf Variable that requires grad is "
                "being used in an in-place operation. Wrap the change in no_grad(), or change a "
                "clone()."
            )
        if self.view_of:
            self._follow_base()

    def _store(self, where, value):
        try:
            run(_assign, raw(self), where, value, self.version)
        except (ValueError, OverflowError) as error:
            writeable = getattr(self.array.flags, "writeable", True)  # CuPy's always is
            if isinstance(value, _NUMBERS) and writeable:
                problem = f"cannot be converted to type {self.dtype} without overflow"
                raise RuntimeError(f"value {problem}: got {value}") from None
            if writeable:
                raise RuntimeError(f"shape mismatch: {error}") from None
            raise RuntimeError(
                "unsupported operation: this tensor's memory is read-only, or one element of it "
                "stands for several (expand); clone() the tensor before changing it"
            ) from None

    def _take_node(self, node):
        if self.view_of is None:
            self.node = node
            return
        base, _, chain = self.view_of
        base.node = Node(_paste, (base.node, node), (None, None, None, chain, base.array), (), base)
        self._follow_base()

    # --- Python and NumPy manners -------------------------------------------------------------

    def item(self):
        """The one element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self.numel()} elements cannot be converted to Scalar"
            )
        return self._value().item()

    def tolist(self):
        return self._value().tolist()

    def numpy(self, *, force=False):
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

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @property
    def __cuda_array_interface__(self):
        """The memory on the GPU, for CuPy, Numba and PyTorch; on the CPU there is no such name."""
        if not self.is_cuda:
            raise AttributeError(f"a tensor on {self.device} has no __cuda_array_interface__")
        if self.requires_grad:
            raise RuntimeError("Can't get __cuda_array_interface__: use tensor.detach() first")
        return self.array.__cuda_array_interface__

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        """The memory for another library's from_dlpack(); `options` are the protocol's."""
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array.__dlpack__(**options)

    def __array_namespace__(self, *, api_version=None):
        return sys.modules[__package__]

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or out is not None:
            return NotImplemented
        name = "eq" if ufunc is np.equal else ALIASES.get(ufunc.__name__, ufunc.__name__)
        function = FUNCTIONS.get(name)
        if function is not None:
            return function(*(x if isinstance(x, Tensor) else _constant(x) for x in inputs))
        if any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            raise TypeError(f"np.{ufunc.__name__} has no gradient here; detach() the tensor first")
        arrays = [x._value() if isinstance(x, Tensor) else x for x in inputs]
        return Tensor.wrap(ufunc(*arrays, **kwargs))  # CuPy's arrays answer NumPy's functions

    def __record__(self, operation, args):
        return apply(operation, args)

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(OPERATIONS["unbind"](self))

    def __bool__(self):
        if self.array.size != 1:
            raise RuntimeError(
                "Boolean value of Tensor with "
                f"{'more than one value' if self.array.size else 'no values'} is ambiguous"
            )
        return bool(self._value().item())

    def __float__(self):
        if self.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return float(self._value().item())

    def __int__(self):
        if self.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return int(self._value().item())

    def __index__(self):
        if self.array.size != 1 or self.array.dtype.kind == "f":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __contains__(self, x):
        if not isinstance(x, _OPERANDS):
            raise RuntimeError(
                f"Tensor.__contains__ only supports Tensor or scalar, but got {type(x).__name__}"
            )
        return bool((self == x).any())

    def __repr__(self):
        suffixes = []
        if self.grad_fn is not None:
            suffixes.append(f"grad_fn={self.grad_fn!r}")
        elif self.requires_grad:
            suffixes.append("requires_grad=True")
        where = f"device='{self.device}'" if self.is_cuda else None
        return format_tensor(devices.move(self._value(), CPU), suffixes, where)

    def __format__(self, spec):
        if self.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    __hash__ = object.__hash__

    def __reduce__(self):
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be pickled or deep-copied; detach() it first")
        array = self.array.astype(self.dtype, order="C", copy=False)
        return type(self)._restore, (array, self.requires_grad)

    @classmethod
    def _restore(cls, array, requires_grad):
        t = cls.__new__(cls)
        Tensor.__init__(t, array, requires_grad)
        return t

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            restore, (array, requires_grad) = self.__reduce__()
            memo[id(self)] = restore(array.copy(), requires_grad)
            if self.grad is not None:
                memo[id(self)].grad = self.grad.clone()
        return memo[id(self)]

    # --- indexing, conversion, filling --------------------------------------------------------

    def __getitem__(self, key):
        key = _as_index(key)
        if type(key) is tuple and _mixed(key):
            first, key = _numbers_first(key)
            self = self[first]
        if type(self.array) is not np.ndarray:
            key = _on_gpu(key)
        return apply(index.getitem, (self, key))

    def __setitem__(self, key, value):
        key, value = _as_index(key), _constant(value)
        if not isinstance(value, (Tensor, *_NUMBERS)):
            raise TypeError(f"can't assign a {type(value).__name__} to a Tensor")
        if type(key) is tuple and _mixed(key):
            first, key = _numbers_first(key)
            self = self[first]
        if type(self.array) is not np.ndarray:
            key, value = _on_gpu(key), value.to(CUDA) if isinstance(value, Tensor) else value
        if is_grad_enabled() and (self.requires_grad or getattr(value, "requires_grad", False)):
            self._change(index.assign, value, key)
        else:
            self._store(key, raw(value))

    def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False):
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
        moved = self if dtype == self.dtype else apply(_cast, (self, dtype))
        if place != self.device:
            moved = apply(_move, (moved, place))
        return self.clone() if copy and moved is self else moved

    def astype(self, dtype):
        """NumPy's name for to(dtype)."""
        return self.to(dtype)

    def type(self, dtype=None):
        return f"minigrad.{self.dtype}" if dtype is None else self.to(dtype)

    def type_as(self, other):
        if not isinstance(other, Tensor):
            raise TypeError(f"other: expected a Tensor, got {type(other).__name__}")
        return self.to(other)

    def cpu(self):
        """On the CPU; itself if it is there."""
        return self.to(CPU)

    def cuda(self, device=None, non_blocking=False):
        """On the GPU; itself if it is there. Errors as in to()."""
        return self.to("cuda" if device is None else device)

    def copy_(self, src, non_blocking=False):
        """Overwrite with `src`, broadcast, cast and moved; returns self."""
        if isinstance(src, Tensor) and type(src.array) is not type(self.array):
            src = src.to(self.device)
        return self._change(lambda old, new: apply(index.assign, (old, new, ...)), src)

    def fill_(self, value):
        return self.copy_(value)

    def zero_(self):
        return self.copy_(0)

    def new_tensor(self, data):
        return Tensor(np.array(_constant(data), self.dtype)).to(self.device)


_new = Tensor.__new__
_DEVICES = ("cpu", "cuda", "mps", "meta")


# --- running an operation -----------------------------------------------------------------------


def _constant(x):
    """A NumPy number as Python's, an array or a list as a Tensor, anything else as it is."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (np.ndarray, list, tuple)):
        try:
            return Tensor(np.asarray(x))
        except ValueError:
            raise TypeError(f"expected nested sequences of equal length, got {x}") from None
    return x


def _as_index(key):
    """An index NumPy understands: Tensors and lists inside become arrays."""
    if isinstance(key, tuple):
        return tuple(map(_as_index, key))
    if isinstance(key, Tensor):
        if key.dtype.kind == "f":
            raise IndexError(
                f"tensors used as indices must be integer or bool tensors, got {key.dtype}"
            )
        if key.array.dtype.kind == "b":
            refuse("the shape of x[mask] depends on values; use where()")
        return raw(key)
    if isinstance(key, list):
        try:
            return np.asarray(key, dtype=None if key else np.int64)
        except ValueError:
            raise IndexError(f"index: expected nested lists of equal length, got {key}") from None
    return key


def _on_gpu(key):
    """An index whose arrays are on the GPU, where the tensor is that it goes with."""
    if isinstance(key, tuple):
        return tuple(map(_on_gpu, key))
    return devices.move(key, CUDA) if isinstance(key, np.ndarray) else key


def _mixed(key):
    return any(type(k) is int for k in key) and any(hasattr(k, "dtype") for k in key)


def _numbers_first(key):
    """x[0, :, [1, 3]] in two steps, x[0][:, [1, 3]], as PyTorch; NumPy puts the 2 before the :."""
    first, then = [], []
    for k in key:
        if isinstance(k, (bool, np.bool_)):
            raise IndexError(f"index: {k} cannot stand beside a number and a list; use a mask")
        if hasattr(k, "dtype"):
            first += [slice(None)] * (k.ndim if k.dtype.kind == "b" else 1)
            then.append(k)
        else:
            first.append(k)
            then += [] if type(k) is int else [k if k is ... else slice(None)]
    return tuple(first), tuple(then)


_NUMBERS = (float, int)
_OPERANDS = (Tensor, *_NUMBERS, np.ndarray, np.generic)
_FLOATS = (dtypes.float32, dtypes.float64)


def apply(operation: Op, args: tuple) -> Tensor:
    """Run an operation on its inputs and options, and record it where a gradient is needed."""
    arity = operation.arity
    inputs, arrays, parents, needed = args[:arity], [], [], False
    # simple: one float dtype, and numbers. No dtype yet is False: NumPy takes None for float64.
    dtype, simple, tape = False, True, active_tape()
    for x in inputs:
        if isinstance(x, Tensor):
            if x.view_of is not None:
                x._follow_base()
            if tape is not None:
                tape.capture(x)
            array, node = x.array, x.node
            if node is not None:
                needed = True
            if dtype is False:
                dtype = array.dtype
            elif dtype is not array.dtype:
                simple = False
            arrays.append(array)
            parents.append(node)
        else:
            if type(x) not in _NUMBERS and not (x is None and operation.optional):
                x, simple = _operand(operation, x), False
            arrays.append(x)
            parents.append(None)
    if operation.promote is not None and not (simple and dtype in _FLOATS):
        arrays = [*run(_promote, operation, tuple(arrays))]
    try:
        if tape is None:
            out = operation.forward(*arrays, *args[arity:])
        else:
            out = run(operation.compute, *arrays, *args[arity:])
    except (ValueError, TypeError) as error:
        together = _on_one_device(inputs)
        if together is not None:
            return apply(operation, (*together, *args[arity:]))
        raise _as_pytorch(operation, arrays, error) from None
    except AttributeError:
        raise _no_tensor(operation, inputs) from None
    result = _new(Tensor)  # Tensor.wrap, without the call
    result.array = out if type(out) is np.ndarray else settled(out)
    result._grad, result.node, result.version, result.view_of = None, None, [0], None
    if needed and operation.differentiable and is_grad_enabled() and result.array.dtype in _FLOATS:
        out_read, kept, dropped = operation.reads(tuple([p is not None for p in parents]))
        stamps = [(result.version, 0)] if out_read else []
        for i in kept:
            x = inputs[i]
            if isinstance(x, Tensor):
                stamps.append((x.version, x.version[0]))
        for i in dropped:
            arrays[i] = None
        values = (result.array if out_read else None, *arrays, *args[arity:])
        result.node = Node(operation, parents, values, stamps, result.array)
        if tape is not None:
            tape.recorded(result.node)
    if operation.view:
        source = inputs[0]
        if out is source.array or np.may_share_memory(out, source.array):
            base, _, chain = source.view_of or (source, None, ())
            result.version = source.version
            result.view_of = (base, base.node, (*chain, (operation, args[arity:])))
    return result


def _operand(operation, x):
    if not isinstance(x, _OPERANDS) and not on_gpu(x):
        raise TypeError(
            f"{operation.name}(): expected Tensors or numbers as inputs, got {type(x).__name__}"
        )
    x = _constant(x)
    return x.array if isinstance(x, Tensor) else x


def _promote(operation, arrays) -> tuple:
    """The inputs in the dtype of the result; numbers among floats stay, NumPy casts them itself."""
    kinds = {x.dtype for x in arrays if hasattr(x, "dtype")}
    mode = operation.promote
    if not kinds:
        raise _no_tensor(operation, arrays)
    if mode == "same":
        if len(kinds) > 1:
            raise RuntimeError(
                f"{operation.name}(): expected the same dtype for all inputs, but got: "
                + " != ".join(str(x.dtype) for x in arrays if x is not None)
            )
        return arrays
    first = arrays[:1] if mode == "where" else ()
    rest = arrays[len(first) :]
    target = dtypes.result_type(*(rest[:1] if mode == "first" else rest))
    if mode == "float" and target.kind != "f":
        target = dtypes.float32
    if (mode == "number" and target.kind == "b") or (
        mode == "no bools" and any(dtypes.result_type(x).kind == "b" for x in rest)
    ):
        raise RuntimeError(f"{operation.name}(): not implemented for bool; convert with .int()")
    if mode in ("first", "where", "limits"):  # arithmetic wraps around
        for x in rest:
            if isinstance(x, _NUMBERS):
                dtypes.check_range(x, x, target)
    keep = _NUMBERS if target.kind == "f" and any(hasattr(x, "dtype") for x in rest) else ()
    return *first, *[
        x
        if x is None or isinstance(x, keep)
        else x.astype(target, copy=False)
        if hasattr(x, "dtype")
        else np.asarray(x).astype(target)[()]  # NumPy's numbers go with arrays on any device
        for x in rest
    ]


def _on_one_device(inputs):
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
    return [_constant(x).to(CUDA) if host else x for x, host in zip(inputs, on_cpu, strict=True)]


def _no_tensor(operation, inputs):
    names = zip(operation.inputs, inputs, strict=True)
    name, x = next((pair for pair in names if not isinstance(pair[1], Tensor)), ("input", None))
    kind = type(x).__name__
    return TypeError(f"{operation.name}(): argument {name!r} must be Tensor, not {kind}")


def _as_pytorch(operation, arrays, error):
    """NumPy's complaint as the exception PyTorch raises for it."""
    shapes = ", ".join(str(x.shape) for x in arrays if hasattr(x, "dtype"))
    if isinstance(error, np.exceptions.AxisError):
        n = max(error.ndim or 0, 1)
        return IndexError(
            f"{operation.name}(): Dimension out of range (expected to be in range of [{-n}, "
            f"{n - 1}], but got {error.axis})"
        )
    if isinstance(error, TypeError) and str(error).startswith("ufunc"):
        kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in arrays)
        return RuntimeError(f"{operation.name}(): not implemented for {kinds}")
    kind = TypeError if isinstance(error, TypeError) else RuntimeError
    if str(error) == "slice step cannot be zero":
        kind = ValueError
    return kind(f"{operation.name}(): {error}; got shapes {shapes}")


# --- what in-place changes of views and casts are made of ---------------------------------------


def _assign(array, where, value, version):
    array[where] = value
    version[0] += 1


def _set_gradient(tensor, array):
    tensor._grad = None if array is None else Tensor.wrap(array)


@op(lambda g: g)
def _cast(input, dtype):
    return input.astype(dtype)


@op(lambda g, device: _move(g, CUDA if device == CPU else CPU))
def _move(input, device):
    if device == CPU:
        backend(input).check()
    return devices.move(input, device)


def _along(x, chain):
    for operation, options in chain:
        x = operation(x, *options)
    return x


@op(lambda g, chain, like: _erase(g, chain, like))
def _erase(input, chain, like):
    """`input` with zeros where the view at the end of `chain` lies; `like` gives the layout."""
    out = np.empty_like(like)
    out[...] = input
    part = _along(out, chain)
    if not np.may_share_memory(part, out):
        raise RuntimeError("an in-place change of this view cannot be differentiated; use clone()")
    part[...] = 0
    return out


@op(lambda g, chain, like: _erase(g, chain, like), lambda g, chain: _along(g, chain))
def _paste(base, part, chain, like):
    raise NotImplementedError("recorded when a view is changed in place, never run")


# --- methods and functions ----------------------------------------------------------------------


def _kinds(values):
    """The types of values, and of what a list holds, for a message."""
    lists = (list, tuple)
    return ", ".join(f"[{_kinds(x)}]" if isinstance(x, lists) else type(x).__name__ for x in values)


def _public(f: Op | Callable) -> Callable:
    """The function users call for an operation, also the method: PyTorch's or NumPy's keywords."""

    def function(*args, **kwargs):
        if kwargs:
            kwargs = {
                KEYWORDS.get(k, k): v for k, v in kwargs.items() if k != "out" or v is not None
            }
        if isinstance(f, Op):
            return apply(f, f.bind(*args, **kwargs))
        try:
            return f(*args, **kwargs)
        except AttributeError as error:
            found = _kinds([*args, *kwargs.values()])
            raise TypeError(f"{f.__name__}(): expected Tensors, got {found}") from error

    function.__name__ = function.__qualname__ = f.__name__
    function.__doc__ = f.__doc__
    function.__dict__["__wrapped__"] = getattr(f, "__wrapped__", f)  # for inspect.signature
    return function


FUNCTIONS = {name: _public(f) for name, f in OPERATIONS.items()}
FUNCTIONS |= {other: FUNCTIONS[name] for other, name in ALIASES.items()}


def _in_place(function):
    def change(self, *args, **kwargs):
        return self._change(lambda old, *inputs: function(old, *inputs, **kwargs), *args)

    change.__name__ = function.__name__ + "_"
    change.__doc__ = f"In place: {function.__doc__}"
    return change


def _operator(operation, reverse=False):
    """A binary operator: NotImplemented for what is no operand, so that Python asks the other."""

    def operator(self, other):
        if not isinstance(other, _OPERANDS) and not on_gpu(other):
            return NotImplemented
        return apply(operation, (other, self, *extra) if reverse else (self, other, *extra))

    extra = operation.bind.__defaults__ or ()
    return operator


for _name, _function in FUNCTIONS.items():
    if not hasattr(Tensor, _name) and _name not in ("where", "cat", "stack", "concat"):
        setattr(Tensor, _name, _function)
for _name in [name for name in FUNCTIONS if name in vars(elementwise) and name != "where"]:
    setattr(Tensor, _name + "_", _in_place(FUNCTIONS[_name]))
for _name in ("float", "double", "long", "int", "short", "bool"):
    setattr(Tensor, _name, partialmethod(Tensor.to, getattr(dtypes, _name)))
for _name, _operation in {
    "add": elementwise.add, "sub": elementwise.sub, "mul": elementwise.mul,
    "truediv": elementwise._div, "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder, "pow": elementwise.pow, "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
}.items():  # fmt: skip
    setattr(Tensor, f"__{_name}__", _operator(_operation))
    setattr(Tensor, f"__r{_name}__", _operator(_operation, reverse=True))
    setattr(Tensor, f"__i{_name}__", _in_place(getattr(Tensor, f"__{_name}__")))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_name}__", _operator(OPERATIONS[_name]))
for _name, _method in {
    "masked_fill_": _in_place(FUNCTIONS["masked_fill"]),
    "__neg__": FUNCTIONS["neg"], "__abs__": FUNCTIONS["abs"], "__round__": FUNCTIONS["round"],
    "__invert__": FUNCTIONS["bitwise_not"], "__pos__": lambda self: self,
    "__matmul__": FUNCTIONS["matmul"],
    "__rmatmul__": lambda self, other: FUNCTIONS["matmul"](_constant(other), self),
}.items():  # fmt: skip
    setattr(Tensor, _name, _method)
