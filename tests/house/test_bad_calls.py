"""Bad calls: the exception, a message that names the argument and what came, and nothing changed.

A row is a function of the module (minigrad or PyTorch) and of `scene(module)`, whose tensors, model
and optimizer it may use; so one row asks both libraries. The live test expects PyTorch to raise the
same type or one derived from it (its NotImplementedError is a RuntimeError). Where PyTorch raises
something else, or nothing, the row says why we do not follow.
"""

import copy
import math
import operator
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg

NAN, INF, HUGE, LOWEST = math.nan, math.inf, 2**70, -(2**63)
NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"

# Why a row differs from PyTorch.
NO_DTYPE = "PyTorch has complex numbers and more dtypes"
ATTRIBUTE = "PyTorch trips over an attribute that the value lacks: an AttributeError"
SILENT = "PyTorch takes it, with results that make no sense"
PYTHON = "what PyTorch raises comes from its binding of C integers"
LEGACY = "PyTorch still reads such a list as a tuple of indices, with a warning"
OURS = "minigrad's own"


def scene(m):
    """Tensors of several kinds, a model, and an optimizer that has made a step."""
    rng = np.random.default_rng(7)

    def uniform(*shape):
        return m.tensor(rng.uniform(0.1, 0.9, shape).astype(np.float32))

    s = SimpleNamespace(
        x=uniform(4, 3).requires_grad_(), t=uniform(4, 3), w=uniform(3), one=uniform(1),
        cube=uniform(2, 3, 4), d=m.tensor(rng.uniform(0.1, 0.9, (4, 3))), c=m.tensor([0, 2, 1, 0]),
        i=m.tensor([[0, 1, 2]] * 4), b=m.tensor([[True, False, True]] * 4), u=m.ones(3).to(m.uint8),
    )  # fmt: skip
    s.x.grad = uniform(4, 3)
    s.F, s.data, s.schedules = m.nn.functional, m.utils.data, m.optim.lr_scheduler
    s.model = m.nn.Linear(3, 2)
    s.adam = m.optim.Adam(s.model.parameters(), lr=0.1)
    s.model(s.t).sum().backward()
    s.adam.step()
    s.batches = m.nn.BatchNorm1d(5)
    return s


def photograph(x):
    """All that a failed call must leave as it was."""
    if isinstance(x, mg.Tensor):
        bits = x.array.tobytes(), str(x.dtype), tuple(x.shape)
        return bits, x.version[0], x.requires_grad, photograph(x.grad)
    if isinstance(x, mg.nn.Module):
        return photograph(dict(x.named_parameters())), photograph(dict(x.named_buffers())), repr(x)
    if isinstance(x, mg.optim.Optimizer):
        return photograph(x.state_dict())
    if isinstance(x, dict):
        return {name: photograph(value) for name, value in x.items()}
    return [photograph(v) for v in x] if isinstance(x, list | tuple) else repr(x)


def function(forward, backward):
    """A call of a user's Function with these two, and the backward pass through it."""

    def run(m, s):
        parts = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        mine = type("Mine", (m.autograd.Function,), parts)
        mine.apply(s.t.clone().requires_grad_()).sum().backward()

    return run


def twice(m, s):
    y = (s.t.clone().requires_grad_() ** 2).sum()
    y.backward()
    y.backward()


def modified(m, s):
    y = s.t.clone().requires_grad_() * 2
    z = (y * y).sum()
    y.add_(1)
    z.backward()


def unrecorded(m, s):
    with m.no_grad():
        y = s.x.sum()
    y.backward()


def replaced(m, s):
    x = s.t.clone().requires_grad_()
    y = (x * 2).sum()
    x.data = m.ones(2)
    y.backward()


def replaced_in_optimizer(m, s):
    x = s.t.clone().requires_grad_()
    x.grad = s.t.clone()
    optimizer = m.optim.SGD([x], lr=0.1)
    x.data = m.ones(100, 100)
    optimizer.step()


def smaller_gradient(m, s):
    x = s.t.clone().requires_grad_()
    x.grad = s.t.clone()
    optimizer = m.optim.SGD([x], lr=0.1)
    optimizer.step()
    x.grad.data = m.ones(2)
    optimizer.step()


def other_state(m, s):
    x = s.t.clone().requires_grad_()
    x.grad = s.t.clone()
    optimizer = m.optim.Adam([x])
    optimizer.step()
    x.data, x.grad = m.ones(100, 100), None
    x.grad = m.ones(100, 100)
    optimizer.step()


def integer_parameter(m, s):
    optimizer = m.optim.SGD([s.c.clone()], lr=0.1)
    parameter = optimizer.param_groups[0]["params"][0]
    parameter.grad = m.ones(4, dtype=m.int64)
    optimizer.step()


def state_of_another_shape(m, s):
    state = copy.deepcopy(s.adam.state_dict())
    state["state"][0]["exp_avg"] = m.zeros(7)
    s.adam.load_state_dict(state)
    s.adam.step()


def nonfinite(m, s):
    x = m.ones(2).requires_grad_()
    x.grad = m.tensor([NAN, 1.0])
    m.nn.utils.clip_grad_norm_([x], 1.0, error_if_nonfinite=True)


def no_init(m, s):
    def init(self):
        self.layer = m.nn.Linear(1, 1)

    type("Net", (m.nn.Module,), {"__init__": init})()


WHAT = r"expected one of float32, .*, got"
TENSOR = "expected a Tensor, got"

# name: (call, exception, what its message says[, why PyTorch differs])
CALLS = {
    # creation: what is no data
    "ragged": (lambda m, s: m.tensor([[1, 2], [3]]), ValueError, "data: expected.*equal length"),
    "ragged_tensors": (lambda m, s: m.tensor([[1.0], [s.w]]), ValueError, "data:.*equal length"),
    "string": (lambda m, s: m.tensor("abc"), TypeError, f"data: {WHAT} .*U3"),
    "bytes": (lambda m, s: m.tensor(b"abc"), TypeError, f"data: {WHAT} .*S3"),
    "none": (lambda m, s: m.tensor(None), RuntimeError, "data: .*infer dtype of NoneType"),
    "none_inside": (lambda m, s: m.tensor([1.0, None]), RuntimeError, "data: .*of NoneType"),
    "object": (lambda m, s: m.tensor([object(), 1]), RuntimeError, "data: .*infer dtype of object"),
    "dict": (lambda m, s: m.tensor({"a": 1}), RuntimeError, "data: .*infer dtype of dict"),
    "generator": (lambda m, s: m.tensor(x for x in [1]), RuntimeError, "data: .*of generator"),
    "complex": (lambda m, s: m.tensor(1 + 2j), TypeError, f"data: {WHAT} .*complex128", NO_DTYPE),
    "float16": (lambda m, s: m.tensor(np.ones(2, np.float16)), TypeError, f"data: {WHAT} .*float16",
        NO_DTYPE),
    "uint64": (lambda m, s: m.tensor(np.ones(2, np.uint64)), TypeError, f"data: {WHAT} .*uint64",
        NO_DTYPE),
    "longdouble": (lambda m, s: m.tensor(np.ones(2, np.longdouble)), TypeError,
        f"data: {WHAT} .*float128"),
    "objects": (lambda m, s: m.tensor(np.array([1, None])), TypeError, f"data: {WHAT} .*'O'"),
    "structured": (lambda m, s: m.tensor(np.zeros(2, "f4,i4")), TypeError, f"data: {WHAT} .*f1"),
    "datetime": (lambda m, s: m.tensor(np.array(["2020"], "M8[D]")), TypeError,
        f"data: {WHAT} .*M8"),
    "large_integer": (lambda m, s: m.tensor([1, HUGE]), ValueError, "data: .*not fit int64"),
    "small_integer": (lambda m, s: m.tensor(-(2**63) - 1), ValueError, "data: .*not fit int64"),
    "int8": (lambda m, s: m.tensor(300, dtype=m.int8), RuntimeError, "int8 without over.*got 300"),
    "nan_int": (lambda m, s: m.tensor(NAN, dtype=m.int64), RuntimeError, "int64 with.*got nan"),
    "dtype_string": (lambda m, s: m.tensor(1, dtype="real"), TypeError, f"dtype: {WHAT} 'real'"),
    "dtype_number": (lambda m, s: m.zeros(1, dtype=5), TypeError, f"dtype: {WHAT} 5"),
    "device": (lambda m, s: m.tensor(1, device="tpu9"),
        RuntimeError, "device: .*'cpu', got 'tpu9'"),
    "device_zeros": (lambda m, s: m.zeros(1, device="gpu"), RuntimeError, "device: .*got 'gpu'"),
    "generator_device": (lambda m, s: m.Generator(device="tpu9"), RuntimeError, "device: .*'tpu9'"),
    "int_gradient": (lambda m, s: m.tensor([1], requires_grad=True), RuntimeError,
        "floating point dtype.*int64"),
    "requires_grad": (lambda m, s: m.tensor(1.0, requires_grad="no"), TypeError,
        "requires_grad: expected a bool, got str|must be bool, not str"),
    "option": (lambda m, s: m.tensor(1, colour="red"), TypeError, "colour"),
    "from_list": (lambda m, s: m.from_numpy([1, 2]), TypeError, r"expected np.ndarray.*list"),
    "big_endian": (lambda m, s: m.from_numpy(np.ones(2, ">f4")),
        ValueError, "ndarray: .*byte order"),
    # creation: sizes and ranges
    "negative_size": (lambda m, s: m.zeros(-1), RuntimeError, r"size: .*non-negative.*\(-1,\)"),
    "float_size": (lambda m, s: m.zeros(2.5), TypeError, r"size: expected integers, got \(2.5,\)"),
    "string_size": (lambda m, s: m.ones("2"), TypeError, r"size: expected integers, got \('2',\)"),
    "none_size": (lambda m, s: m.full(None, 1), TypeError, r"size: expected integers.*None"),
    "overflowing_size": (lambda m, s: m.zeros(2**40, 2**40), RuntimeError, "size: .*than an array"),
    "huge_size": (lambda m, s: m.empty(HUGE), RuntimeError, "size: .*than an array", PYTHON),
    "fill_list": (lambda m, s: m.full((2,), [1, 2]), TypeError, "fill_value: .*number, got list"),
    "fill_none": (lambda m, s: m.full((2,), None), TypeError, "fill_value: .*number, got NoneType"),
    "fill_range": (lambda m, s: m.full((2,), 300, dtype=m.uint8), RuntimeError, "uint8.*got 300"),
    "like_list": (lambda m, s: m.zeros_like([1, 2]), TypeError, f"input: {TENSOR} list"),
    "like_dtype": (lambda m, s: m.ones_like(1, dtype=m.int64), TypeError, f"input: {TENSOR} int"),
    "rand_like": (lambda m, s: m.rand_like(None), TypeError, f"input: {TENSOR} NoneType"),
    "arange_step": (lambda m, s: m.arange(0, 5, 0),
        RuntimeError, "step 0 does not lead from 0 to 5"),
    "arange_nan": (lambda m, s: m.arange(0, NAN), RuntimeError, "from 0 to nan"),
    "arange_string": (lambda m, s: m.arange("a"), TypeError, "end: expected a number, got str"),
    "linspace_none": (lambda m, s: m.linspace(None, 1, 3),
        TypeError, "start: .*number, got NoneType"),
    "linspace_steps": (lambda m, s: m.linspace(0, 1, -1), RuntimeError, r"non-negative.*-1"),
    "eye": (lambda m, s: m.eye("3"), TypeError, r"size: expected integers, got \('3', '3'\)"),
    "randint_range": (lambda m, s: m.randint(5, 5, (2,)), RuntimeError, "low=5 and high=5"),
    "randint_string": (lambda m, s: m.randint("a", (2,)),
        TypeError, "integers, got low=0, high='a'"),
    "randint_huge": (lambda m, s: m.randint(0, 2**64, (2,)), RuntimeError, "int64 without", PYTHON),
    "randperm": (lambda m, s: m.randperm(-1), RuntimeError, r"non-negative sizes, got \(-1,\)"),
    "randn_integers": (lambda m, s: m.randn(2, dtype=m.int64), RuntimeError, "dtype: .*got int64"),
    "rand_generator": (lambda m, s: m.rand(2, generator=5), TypeError, "generator: .*got int"),
    "seed": (lambda m, s: m.manual_seed("abc"), ValueError, "abc"),
    # shapes
    "reshape": (lambda m, s: s.t.reshape(5), RuntimeError, r"reshape\(\): .*size 12 into.*\(5,\)"),
    "reshape_-2": (lambda m, s: s.t.reshape(-2, 6),
        RuntimeError, r"shape: .*one -1, got \(-2, 6\)"),
    "reshape_none": (lambda m, s: s.t.reshape(None), TypeError, "NoneType"),
    "reshape_string": (lambda m, s: s.t.reshape("a"), TypeError, "str"),
    "dim": (lambda m, s: s.t.sum(-3), IndexError, r"range of \[-2, 1\], but got -3"),
    "dim_huge": (lambda m, s: s.t.softmax(2**40), IndexError, r"\[-2, 1\], but got 1099511627776"),
    "dims_twice": (lambda m, s: s.t.sum((0, -2)), RuntimeError, "sum.*duplicate"),
    "sum_string": (lambda m, s: s.t.sum("a"), TypeError, "sum.*dim.*(got str|str)"),
    "sum_keepdim": (lambda m, s: s.t.sum(0, "a"), TypeError, "sum.*keepdim: .*bool, got str|str"),
    "softmax_dim": (lambda m, s: s.t.softmax("a"), TypeError, "softmax.*dim.*str"),
    "view_string": (lambda m, s: s.t.view("a"), TypeError, r"view\(\): shape: .*\[str\]|str"),
    "view_none": (lambda m, s: s.t.view(None), TypeError, r"shape: .*\[NoneType\]|None"),
    "view_float": (lambda m, s: s.t.view(1.5), TypeError, "view.*shape: .*float|float"),
    "reshape_list": (lambda m, s: s.t.reshape([None]), TypeError, "shape: .*NoneType|None"),
    "permute_string": (lambda m, s: s.t.permute("ab"), TypeError, "permute.*dims: .*got .str|str"),
    "transpose_none": (lambda m, s: s.t.transpose(None, 0), TypeError, "dim0: .*NoneType|None"),
    "chunk_none": (lambda m, s: s.t.chunk(None), TypeError, "chunks: .*integer, got NoneType|None"),
    "cat_string": (lambda m, s: m.cat("a"), TypeError, "cat.*tensors: .*str|str"),
    "tril_string": (lambda m, s: s.t.tril("a"), TypeError, "tril.*diagonal: .*got str|str"),
    "round_float": (lambda m, s: s.t.round(decimals=1.5), TypeError, "decimals: .*float|float"),
    "iadd_none": (lambda m, s: operator.iadd(s.t, None), TypeError, "NoneType"),
    "imul_string": (lambda m, s: operator.imul(s.t, "a"), TypeError, "str"),
    "add_none_": (lambda m, s: s.t.add_(None), TypeError, "add.*NoneType"),
    "dropout_p": (lambda m, s: s.F.dropout(s.t, None), TypeError, "p: .*NoneType|None"),
    "uniform_none": (lambda m, s: s.t.uniform_(None), TypeError, "a: .*NoneType|None"),
    "result_type": (lambda m, s: m.result_type(s.t, "a"), TypeError, "result_type.*str"),
    "dlpack_none": (lambda m, s: m.from_dlpack(None), TypeError, "ext_tensor: .*None", ATTRIBUTE),
    "where_number": (lambda m, s: m.where(1.5, s.t, s.t), TypeError, "where.*condition.*float"),
    "mean_integers": (lambda m, s: s.c.mean(), RuntimeError, "mean.*floating.*int64"),
    "norm_order": (lambda m, s: s.t.norm("abc"), RuntimeError, "p: expected a number.*'abc'"),
    "cat_numbers": (lambda m, s: m.cat([1, 2]), TypeError, r"cat\(\): .*got \[int, int\]"),
    "cat_none": (lambda m, s: m.cat([s.t, None]), TypeError, "cat.*expected Tensors.*NoneType"),
    "cat_dim": (lambda m, s: m.cat([s.t, s.t], 2), IndexError, "range"),
    "stack_none": (lambda m, s: m.stack([s.t, None]), TypeError, "stack.*expected Tensors.*NoneT"),
    "expand": (lambda m, s: s.t.expand(3), RuntimeError, r"broadcast_to.*\(4, 3\)"),
    "repeat": (lambda m, s: s.t.repeat(-1, 2), RuntimeError, "repeat.*negative"),
    "narrow_start": (lambda m, s: s.t.narrow(0, -9, 1), IndexError, "start: .*-4 to 4.*got -9"),
    "narrow_length": (lambda m, s: s.t.narrow(0, 0, -1), RuntimeError, r"length \(-1\)"),
    "roll": (lambda m, s: s.t.roll((1, 2), 0), RuntimeError, r"align. shifts: \(1, 2\), dims: 0"),
    # arithmetic
    "add_string": (lambda m, s: s.t + "a", TypeError, "Tensor' and 'str'"),
    "add_complex": (lambda m, s: s.t + 1j, TypeError, "'Tensor' and 'complex'", NO_DTYPE),
    "add_none": (lambda m, s: m.add(s.t, None), TypeError, r"add\(\): expected.*got NoneType"),
    "maximum_none": (lambda m, s: m.maximum(s.t, None), TypeError, r"maximum\(\): .*got NoneType"),
    "add_list": (lambda m, s: m.add(s.t, [1, 2, 3]), TypeError, r"add\(\): expected.*got list"),
    "add_objects": (lambda m, s: s.t + np.array([1, None, 2]), TypeError, f"array: {WHAT} .*'O'"),
    "add_shape": (lambda m, s: s.t + s.cube, RuntimeError, r"add.*\(4, 3\), \(2, 3, 4\)"),
    "add_huge": (lambda m, s: s.c + HUGE, OverflowError, "int too (large|big)"),
    "alpha": (lambda m, s: m.add(s.c, s.c, alpha=0.5), RuntimeError, "alpha: .*integer.*got 0.5"),
    "alpha_string": (lambda m, s: m.add(s.t, s.t, alpha="a"),
        TypeError, "alpha: .*number, got str"),
    "exp_list": (lambda m, s: m.exp([1.0]), TypeError, r"exp\(\): expected Tensors.*got list"),
    "exp_none": (lambda m, s: m.exp(None), TypeError, r"exp\(\).*NoneType"),
    "power": (lambda m, s: s.c**-1, RuntimeError, "Integers to negative integer powers"),
    "division": (lambda m, s: s.c // 0, RuntimeError, "ZeroDivisionError"),
    "rounding": (lambda m, s: m.div(s.t, s.t, rounding_mode="up"), RuntimeError,
        "rounding_mode: .*'floor', got 'up'"),
    "bool_minus": (lambda m, s: s.b - s.b, RuntimeError, "sub.*bool; convert"),
    "float_and": (lambda m, s: s.t & s.t, RuntimeError, "bitwise_and.*not implemented for float32"),
    "where_floats": (lambda m, s: m.where(s.t, s.t, s.t), RuntimeError, "boolean.*float32"),
    "where_none": (lambda m, s: m.where(s.b, s.t, None), TypeError, "where.*NoneType"),
    "where_range": (lambda m, s: m.where(s.u == 1, 300, s.u), RuntimeError, "uint8.*got 300"),
    "clamp_range": (lambda m, s: s.u.clamp(max=300), RuntimeError, "uint8 without.*got 300"),
    "fill_mask": (lambda m, s: s.u.masked_fill(s.u == 1, 300), RuntimeError, "uint8.*got 300"),
    "matmul_shape": (lambda m, s: s.t @ s.t, RuntimeError, r"multiplied \(4x3 and 4x3\)"),
    "matmul_dtype": (lambda m, s: s.t @ s.d.t(), RuntimeError, "same dtype.*float32 != float64"),
    "matmul_number": (lambda m, s: s.t @ 3, TypeError, "matmul.*expected Tensors, got Tensor, int"),
    "matmul_list": (lambda m, s: m.matmul(s.t, [1]), TypeError, r"matmul.*got Tensor, \[int\]"),
    "truth": (lambda m, s: bool(s.t), RuntimeError, "more than one value is ambiguous"),
    "float": (lambda m, s: float(s.t), ValueError, "only one element tensors"),
    "item": (lambda m, s: s.t.item(), RuntimeError, "12 elements cannot be converted"),
    "type_as": (lambda m, s: s.t.type_as([1]), TypeError, f"other: {TENSOR} list"),
    # indices
    "index": (lambda m, s: s.t[-5], IndexError, "index -5 is out of bounds.*size 4"),
    "index_string": (lambda m, s: s.t["a"], IndexError, "only integers, slices", PYTHON),
    "index_float": (lambda m, s: s.t[0.5], IndexError, "only integers, slices"),
    "index_object": (lambda m, s: s.t[object()], IndexError, "only integers, slices"),
    "index_floats": (lambda m, s: s.t[s.w], IndexError, "must be integer or bool.*got float32"),
    "index_ragged": (lambda m, s: s.t[[[0, 1], [2]]], IndexError, "index: .*equal length", LEGACY),
    "index_huge": (lambda m, s: s.t[HUGE], IndexError, "only integers|bounds", PYTHON),
    "index_count": (lambda m, s: s.t[0, 0, 0], IndexError, "too many indices.*2"),
    "index_step": (lambda m, s: s.t[::0], ValueError, "slice step cannot be zero"),
    "index_slice": (lambda m, s: s.t["a":"b"], TypeError, "slice indices must be integers"),
    "index_mask": (lambda m, s: s.t[m.tensor([True, False])], IndexError, "boolean.*4.*2"),
    "gather_floats": (lambda m, s: s.t.gather(1, s.t),
        RuntimeError, "index: .*integers, got float32"),
    "gather_bounds": (lambda m, s: s.t.gather(1, s.i - 1), RuntimeError, "index -1 is out.*size 3"),
    "gather_size": (lambda m, s: s.t.gather(1, s.i[:1].expand(9, 3)), RuntimeError,
        r"index: .*\(9, 3\) for \(4, 3\)"),
    "select_floats": (lambda m, s: s.t.index_select(0, s.w), RuntimeError, "index: .*got float32"),
    "select_list": (lambda m, s: s.t.index_select(0, [0]),
        TypeError, r"index_select.*Tensor, int, \[int\]"),
    "along_floats": (lambda m, s: m.take_along_dim(s.t, s.t, 1),
        RuntimeError, "indices: .*float32"),
    # assignments and other changes in place
    "set_string": (lambda m, s: s.t.__setitem__(0, "a"), TypeError, "assign a str"),
    "set_none": (lambda m, s: s.t.__setitem__(0, None), TypeError, "assign a NoneType"),
    "set_ragged": (lambda m, s: s.t.__setitem__(0, [[1], [2, 3]]), TypeError, "equal length, got"),
    "set_shape": (lambda m, s: s.t.__setitem__(0, s.cube), RuntimeError, r"\(2,3,4\) into.*\(3,\)"),
    "set_leaf": (lambda m, s: s.x.__setitem__(0, 1.0), RuntimeError, "leaf.*no_grad.*clone"),
    "set_nan": (lambda m, s: s.c.__setitem__(0, NAN), RuntimeError, "int64 without.*got nan"),
    "set_inf": (lambda m, s: s.c.__setitem__(0, INF), RuntimeError, "int64 without.*got inf"),
    "set_huge": (lambda m, s: s.c.__setitem__(0, HUGE), RuntimeError, "int64 without.*got", PYTHON),
    "set_range": (lambda m, s: s.u.__setitem__(0, 300), RuntimeError, "uint8 without.*got 300"),
    "set_last": (lambda m, s: s.t.__setitem__(m.tensor([0, 1, 9]), 1.0),
        IndexError, "index 9 is out"),
    "fill_none_": (lambda m, s: s.t.fill_(None), TypeError, "NoneType"),
    "fill_nan_": (lambda m, s: s.c.fill_(NAN), RuntimeError, "int64 without.*got nan"),
    "fill_range_": (lambda m, s: s.u.fill_(300), RuntimeError, "uint8 without.*got 300"),
    "copy_none_": (lambda m, s: s.t.copy_(None), TypeError, "NoneType"),
    "copy_shape_": (lambda m, s: s.t.copy_(s.cube), RuntimeError,
        r"shape \[4, 3\] doesn't.*\[2, 3, 4\]"),
    "fill_shape_": (lambda m, s: s.t.fill_(m.ones(1)), RuntimeError, "0-dimension.*1 dimensions"),
    "leaf_": (lambda m, s: s.x.add_(1), RuntimeError, "leaf Variable.*no_grad.*clone"),
    "leaf_view_": (lambda m, s: s.x[0].mul_(2), RuntimeError, "a view of a leaf Variable"),
    "cast_": (lambda m, s: s.c.mul_(0.5), RuntimeError, "float32 can't be cast.*int64"),
    "larger_": (lambda m, s: s.t.add_(m.ones(2, 4, 3)), RuntimeError, r"\[4, 3\] doesn't match"),
    "expanded_": (lambda m, s: s.w.expand(4, 3).add_(1), RuntimeError, "expand.*clone"),
    "uniform_": (lambda m, s: s.t.uniform_(2, 1), RuntimeError, "expected a <= b, got a=2 and b=1"),
    "normal_": (lambda m, s: s.t.normal_(0, -1), RuntimeError, "std: .*>= 0, got -1"),
    "uniform_integers": (lambda m, s: s.c.uniform_(), RuntimeError, "dtype: .*got int64"),
    # gradients
    "backward_many": (lambda m, s: (s.x * 2).backward(),
        RuntimeError, r"scalar outputs: .*\(4, 3\)"),
    "backward_detached": (lambda m, s: s.x.detach().sum().backward(),
        RuntimeError, "not require grad"),
    "backward_no_grad": (unrecorded, RuntimeError, "does not require grad.*no_grad"),
    "backward_twice": (twice, RuntimeError, "second time.*retain_graph=True"),
    "backward_modified": (modified,
        RuntimeError, "modified by an inplace.*MulBackward0.*version 1"),
    "backward_replaced": (replaced, RuntimeError, r"gradient of shape \(4, 3\).*\(2,\).*data"),
    "backward_shape": (lambda m, s: (s.x * 2).backward(m.ones(3, 4)), RuntimeError,
        r"Mismatch in shape.*\(3, 4\).*\(4, 3\)"),
    "backward_number": (lambda m, s: (s.x * 2).backward(1.0), TypeError, "gradient: .*got float"),
    "backward_array": (lambda m, s: (s.x * 2).backward(np.ones((4, 3), "f4")), TypeError,
        "gradient: .*got ndarray"),
    "backward_count": (lambda m, s: m.autograd.backward([s.x.sum()] * 2, [None]), RuntimeError,
        "2 tensors and 1 gradients"),
    "backward_inputs": (lambda m, s: s.x.sum().backward(inputs=[s.t]), RuntimeError,
        "inputs: .*does not require grad"),
    "backward_no_inputs": (lambda m, s: s.x.sum().backward(inputs=[]), RuntimeError,
        "inputs: .*at least one"),
    "backward_none": (lambda m, s: m.autograd.backward(None), TypeError, "tensors: .*NoneType"),
    "grad_none": (lambda m, s: m.autograd.grad(s.x.sum(), None), TypeError, "inputs: .*NoneType"),
    "grad_plain": (lambda m, s: m.autograd.grad(s.x.sum(), s.t), RuntimeError, "not require grad"),
    "grad_unused": (lambda m, s: m.autograd.grad(s.x.sum(), s.t.clone().requires_grad_()),
        RuntimeError, "not have been used.*allow_unused=True"),
    "set_grad_shape": (lambda m, s: setattr(s.x, "grad", m.ones(3)), RuntimeError,
        r"grad: expected shape \(4, 3\).*got \(3,\)"),
    "set_grad_dtype": (lambda m, s: setattr(s.x, "grad", s.d),
        RuntimeError, "grad: .*got.*float64"),
    "set_grad_array": (lambda m, s: setattr(s.x, "grad", np.ones((4, 3))), TypeError,
        "grad: expected a Tensor or None, got ndarray"),
    "set_grad_self": (lambda m, s: setattr(s.t, "grad", s.t), RuntimeError, "grad: .*own gradient"),
    "set_data": (lambda m, s: setattr(s.x, "data", np.ones((4, 3))), TypeError,
        f"data: {TENSOR} ndarray"),
    "set_data_integers": (lambda m, s: setattr(s.x, "data", s.i), RuntimeError, "data: .*int64"),
    "requires_integers": (lambda m, s: s.c.requires_grad_(), RuntimeError, "floating.*int64"),
    "requires_string": (lambda m, s: s.t.requires_grad_("yes"),
        TypeError, "requires_grad: .*got str"),
    "requires_interior": (lambda m, s: (s.x * 2).requires_grad_(False),
        RuntimeError, "leaf variables"),
    "numpy": (lambda m, s: s.x.numpy(), RuntimeError, r"Use tensor.detach\(\)"),
    "deepcopy": (lambda m, s: copy.deepcopy(s.x * 2), RuntimeError, "(?i)only.*leaf|leaves"),
    # a user's own operation
    "function_count": (function(lambda ctx, x: x * 2, lambda ctx, g: (g, g)), RuntimeError,
        "incorrect number of gradients.*expected 1, got 2"),
    "function_shape": (function(lambda ctx, x: x * 2, lambda ctx, g: g[0]), RuntimeError,
        r"invalid gradient at index 0 - got \[3\] but expected \[4, 3\]"),
    "function_number": (function(lambda ctx, x: x * 2, lambda ctx, g: 5.0), RuntimeError,
        "MineBackward.*index 0 - got float, no Tensor"),
    "function_save": (function(lambda ctx, x: ctx.save_for_backward("a"), lambda ctx, g: g),
        TypeError,
        "save_for_backward: expected Tensors, got str"),
    "function_forward": (function(lambda ctx, x: 5.0, lambda ctx, g: g), TypeError,
        "Mine.forward: expected a Tensor.*got float", ATTRIBUTE),
    # losses; what all of them check is below
    "beta": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta=-1.0), RuntimeError, "beta: got -1.0"),
    "beta_nan": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta=NAN),
        RuntimeError, "beta: got nan"),
    "beta_string": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta="1"), TypeError,
        "beta: expected a number, got str"),
    "beta_none": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta=None),
        TypeError, "beta: .*NoneType"),
    "beta_huge": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta=10**400), OverflowError, "float"),
    "delta": (lambda m, s: s.F.huber_loss(s.x, s.t, delta=0), RuntimeError, "delta: got 0"),
    "delta_nan": (lambda m, s: s.F.huber_loss(s.x, s.t, delta=NAN), RuntimeError, "delta: got nan"),
    "delta_list": (lambda m, s: s.F.huber_loss(s.x, s.t, delta=[1]),
        TypeError, "delta: .*got list"),
    "bce_above": (lambda m, s: s.F.binary_cross_entropy(s.x + 1, s.t), RuntimeError,
        r"input should be between 0 and 1, got 1.\d+ at position \(0, 0\)"),
    "bce_below": (lambda m, s: s.F.binary_cross_entropy(-s.x, s.t), RuntimeError,
        "input should be between 0 and 1, got -0"),
    "bce_nan": (lambda m, s: s.F.binary_cross_entropy(s.x * NAN, s.t),
        RuntimeError, "input.*got nan"),
    "bce_target": (lambda m, s: s.F.binary_cross_entropy(s.x, s.t + 1), RuntimeError,
        "target should be between 0 and 1, got 1"),
    "bce_target_nan": (lambda m, s: s.F.binary_cross_entropy(s.x, s.t * NAN), RuntimeError,
        "target should be.*got nan"),
    "bce_weight": (lambda m, s: s.F.binary_cross_entropy(s.x, s.t, weight=m.ones(4)), RuntimeError,
        r"broadcast.*\(4,\)"),
    "bce_weight_list": (lambda m, s: s.F.binary_cross_entropy(s.x, s.t, weight=[1.0]), TypeError,
        "weight: expected a Tensor or None, got list", ATTRIBUTE),
    "pos_weight": (
        lambda m, s: s.F.binary_cross_entropy_with_logits(s.x, s.t, pos_weight=m.ones(4)),
        RuntimeError, r"broadcast.*\(4,\)"),
    "pos_weight_number": (
        lambda m, s: s.F.binary_cross_entropy_with_logits(s.x, s.t, pos_weight=2.0), TypeError,
        "pos_weight: expected a Tensor or None, got float"),
    "pos_weight_grad": (
        lambda m, s: s.F.binary_cross_entropy_with_logits(
            s.x, s.t, pos_weight=s.w.clone().requires_grad_()),
        RuntimeError, r"pos_weight: .*not differentiable.*detach\(\)"),
    "class_above": (lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, 1, 3, 0])), IndexError,
        r"target: class 3 at position \(2,\).*3 classes; expected 0 to 2"),
    "class_below": (lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, -1, 2, 0])), IndexError,
        r"target: class -1 at position \(1,\)"),
    "class_far": (lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, 1, -(2**63), 0])), IndexError,
        "target: class -9223372036854775808"),
    "class_uint8": (lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, 156, 0, 0], dtype=m.uint8)),
        IndexError, r"target: class 156.*ignore_index \(-100\)"),  # -100 as a byte
    "class_image": (lambda m, s: s.F.cross_entropy(s.cube, m.tensor([[0, 1, 2, 0], [0, 1, 5, 2]])),
        IndexError, r"class 5 at position \(1, 2\)"),
    "class_smoothed": (
        lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, 1, 3, 0]), label_smoothing=0.1),
        IndexError,
        "target: class 3"),
    "class_weighted": (lambda m, s: s.F.cross_entropy(s.x, m.tensor([0, 1, 3, 0]), s.w), IndexError,
        "target: class 3"),
    "class_nll": (lambda m, s: s.F.nll_loss(s.x, m.tensor([0, 1, 3, 0])), IndexError, "class 3"),
    "class_none": (lambda m, s: s.F.cross_entropy(m.zeros(4, 0), s.c), IndexError, "0 classes"),
    "class_bool": (lambda m, s: s.F.cross_entropy(s.x, s.c == 0),
        RuntimeError, "target: .*got bool"),
    "class_floats": (lambda m, s: s.F.cross_entropy(s.x, s.t[:, 0]), RuntimeError,
        r"target: .*\(4, 3\), got \(4,\); class indices must be integers"),
    "class_rows": (lambda m, s: s.F.cross_entropy(s.x, s.c[:3]), ValueError,
        r"target: expected shape \(4,\).*got \(3,\)"),
    "class_rank": (lambda m, s: s.F.cross_entropy(s.x, s.i),
        RuntimeError, r"target: .*got \(4, 3\)"),
    "class_probabilities": (lambda m, s: s.F.cross_entropy(s.x, s.cube), ValueError,
        r"target: probabilities must have.*\(4, 3\), got \(2, 3, 4\)"),
    "ce_number": (lambda m, s: s.F.cross_entropy(m.tensor(1.0), m.tensor(0)), RuntimeError,
        r"input: expected \(C,\).*number"),
    "ce_weight_size": (lambda m, s: s.F.cross_entropy(s.x, s.c, m.ones(4)), RuntimeError,
        r"weight.*all or no classes: expected shape \(3,\), got \(4,\)"),
    "ce_weight_dtype": (lambda m, s: s.F.cross_entropy(s.x, s.c, s.d[0]), RuntimeError,
        "weight: expected float32.*got float64"),
    "ce_weight_list": (lambda m, s: s.F.cross_entropy(s.x, s.c, [1.0, 1.0, 1.0]), TypeError,
        f"weight: {TENSOR} list"),
    "ce_weight_grad": (lambda m, s: s.F.cross_entropy(s.x, s.c, s.w.clone().requires_grad_()),
        RuntimeError, r"weight: .*not differentiable.*detach\(\)"),
    "smoothing": (lambda m, s: s.F.cross_entropy(s.x, s.c, label_smoothing=1.5), RuntimeError,
        "label_smoothing must be between.*1.5"),
    "smoothing_nan": (lambda m, s: s.F.cross_entropy(s.x, s.c, label_smoothing=NAN), RuntimeError,
        "label_smoothing must be between.*nan", SILENT),
    "smoothing_below": (lambda m, s: s.F.cross_entropy(s.x, s.c, label_smoothing=-0.1),
        RuntimeError,
        "label_smoothing must be between.*-0.1", SILENT),
    "smoothing_string": (lambda m, s: s.F.cross_entropy(s.x, s.c, label_smoothing="a"), TypeError,
        "label_smoothing: expected a number, got str"),
    "ignore_float": (lambda m, s: s.F.cross_entropy(s.x, s.c, ignore_index=0.5), TypeError,
        "ignore_index: expected an integer, got float"),
    "ignore_none": (lambda m, s: s.F.nll_loss(s.x, s.c, ignore_index=None), TypeError,
        "ignore_index: expected an integer, got NoneType"),
    "ignore_tensor": (lambda m, s: s.F.cross_entropy(s.x, s.c, ignore_index=m.tensor([0, 1])),
        TypeError, "ignore_index: expected an integer, got Tensor"),
    "ignore_huge": (lambda m, s: s.F.cross_entropy(s.x, s.c, ignore_index=HUGE), ValueError,
        "ignore_index: .*64 bits, got"),
    "ignore_floats": (lambda m, s: s.F.cross_entropy(s.x, s.t, ignore_index=1), RuntimeError,
        "ignore_index is not supported for floating point target"),
    # layers and modules
    "linear_size": (lambda m, s: m.nn.Linear(-1, 2), RuntimeError, r"non-negative.*\(2, -1\)"),
    "linear_float": (lambda m, s: m.nn.Linear(2.5, 2), TypeError, "size: expected integers.*2.5"),
    "linear_shape": (lambda m, s: s.model(m.ones(4, 5)), RuntimeError, r"input.*\(4, 5\).*3"),
    "linear_dtype": (lambda m, s: s.model(s.d), RuntimeError, "same dtype.*float64 != float32"),
    "linear_list": (lambda m, s: s.model([1.0, 2.0]), TypeError, r"linear\(\): .*got list"),
    "linear_none": (lambda m, s: s.F.linear(s.t, None),
        TypeError, "'weight' must be Tensor, not None"),
    "dropout": (lambda m, s: m.nn.Dropout(1.5), ValueError, "probability.*between 0 and 1.*1.5"),
    "dropout_none": (lambda m, s: s.F.dropout(None), TypeError, f"input: {TENSOR} NoneType"),
    "embedding": (lambda m, s: m.nn.Embedding(3, 2)(m.tensor([0, 3])),
        IndexError, "0 to 3.*3 rows"),
    "embedding_list": (lambda m, s: m.nn.Embedding(3, 2)([0]), TypeError, f"input: {TENSOR} list"),
    "embedding_floats": (lambda m, s: m.nn.Embedding(3, 2)(s.t), RuntimeError, "integer.*float32"),
    "layer_norm": (lambda m, s: m.nn.LayerNorm(4)(s.t), RuntimeError, r"normalized_shape=\[4\]"),
    "layer_norm_weight": (lambda m, s: s.F.layer_norm(s.t, (3,), s.one), RuntimeError,
        r"weight: .*\(3,\), got \(1,\)"),
    "batch_norm": (lambda m, s: s.batches(s.t), RuntimeError, r"expected 3 elements.*\(5,\)"),
    "batch_norm_one": (lambda m, s: s.batches(m.ones(4, 1)),
        RuntimeError, r"expected 1 el.*\(5,\)"),
    "batch_norm_row": (lambda m, s: m.nn.BatchNorm1d(3)(s.t[:1]),
        ValueError, r"more than 1 .*\[1, 3\]"),
    "one_hot": (lambda m, s: s.F.one_hot(s.c, 2), RuntimeError, r"\[0, 2\), got 0 to 2"),
    "one_hot_empty": (lambda m, s: s.F.one_hot(s.c[:0]), RuntimeError, "num_classes: an empty"),
    "one_hot_string": (lambda m, s: s.F.one_hot(s.c, "a"), TypeError, "num_classes: .*got str"),
    "gelu": (lambda m, s: s.F.gelu(s.t, approximate="a"),
        RuntimeError, "approximate: .*'tanh', got 'a'"),
    "forward": (lambda m, s: m.nn.Module()(s.t), NotImplementedError, "missing the required"),
    "init": (no_init, AttributeError, r"cannot assign module before Module.__init__\(\)"),
    "parameter": (lambda m, s: m.nn.Parameter([1.0]), TypeError, f"data: {TENSOR} list", ATTRIBUTE),
    "register_name": (lambda m, s: s.model.register_parameter(5, None), TypeError, "string.*int"),
    "register_dot": (lambda m, s: s.model.register_buffer("a.b", s.t), KeyError, r"a\.b"),
    "register_kind": (lambda m, s: s.model.register_parameter("p", s.t),
        TypeError, "'Tensor' as par"),
    "assign_tensor": (lambda m, s: setattr(s.model, "weight", s.t),
        TypeError, "parameter 'weight'"),
    "train": (lambda m, s: s.model.train("yes"), ValueError, "boolean, got 'yes'"),
    "to_integers": (lambda m, s: s.model.to(m.int64), TypeError, "dtype: .*floating point.*int64"),
    "load_list": (lambda m, s: s.model.load_state_dict([1]), TypeError, "dict-like, got.*list"),
    "load_missing": (lambda m, s: s.model.load_state_dict({}), RuntimeError, "(?s)Missing.*weight"),
    "load_shape": (
        lambda m, s: s.model.load_state_dict({"weight": m.zeros(2, 3), "bias": m.ones(5)}),
        RuntimeError, r"(?s)size mismatch for bias.*\[5\].*\[2\]"),
    # optimizers, schedules, clipping
    "lr": (lambda m, s: m.optim.SGD([s.x], lr=-1), ValueError, "learning rate.*-1.*lr >= 0"),
    "lr_nan": (lambda m, s: m.optim.Adam([s.x], lr=NAN), ValueError, "learning rate.*nan"),
    "lr_string": (lambda m, s: m.optim.Adam([s.x], lr="a"), TypeError, "learning rate: .*got str"),
    "lr_none": (lambda m, s: m.optim.SGD([s.x], lr=None), TypeError, "learning rate: .*NoneType"),
    "betas": (lambda m, s: m.optim.Adam([s.x], betas=(0.9, 1.0)), ValueError, "index 1 value: 1.0"),
    "betas_nan": (lambda m, s: m.optim.AdamW([s.x], betas=(NAN, 0.9)), ValueError, "index 0.*nan"),
    "betas_number": (lambda m, s: m.optim.Adam([s.x], betas=0.9), TypeError, "betas: .*got 0.9"),
    "betas_three": (lambda m, s: m.optim.Adam([s.x], betas=(0.9,) * 3),
        TypeError, "betas: expected two numbers",
        SILENT),
    "eps": (lambda m, s: m.optim.Adam([s.x], eps=NAN), ValueError, "epsilon value: nan.*eps >= 0"),
    "momentum": (lambda m, s: m.optim.SGD([s.x], lr=1, momentum=-1),
        ValueError, "momentum value: -1"),
    "decay": (lambda m, s: m.optim.RMSprop([s.x], weight_decay=NAN),
        ValueError, "weight_decay.*nan"),
    "nesterov": (lambda m, s: m.optim.SGD([s.x], lr=1, nesterov=True),
        ValueError, "requires a mom"),
    "optimize_tensor": (lambda m, s: m.optim.SGD(s.x, lr=1), TypeError, "iterable.*Tensor"),
    "optimize_nothing": (lambda m, s: m.optim.SGD([], lr=1), ValueError, "empty parameter list"),
    "optimize_strings": (lambda m, s: m.optim.SGD(["a"], lr=1), TypeError, "only optimize.*str"),
    "optimize_interior": (lambda m, s: m.optim.SGD([s.x * 2], lr=1), ValueError, "non-leaf"),
    "optimize_mixed": (lambda m, s: m.optim.SGD([{"params": [s.x]}, s.t], lr=1), TypeError,
        "param_group: expected a dict, got Tensor"),
    "optimize_integers": (integer_parameter, RuntimeError, "params: .*floating point.*int64"),
    "optimize_replaced": (replaced_in_optimizer, RuntimeError, r"\(100, 100\), but its.*\(4, 3\)"),
    "optimize_gradient": (smaller_gradient, RuntimeError, r"\(4, 3\), but its gradient \(2,\)"),
    "optimize_state": (other_state, RuntimeError, r"exp_avg: .*\(100, 100\).*got \(4, 3\)"),
    "optimize_loaded": (state_of_another_shape, ValueError, r"\(2, 3\).*state.0.exp_avg.*\(7,\)",
        "PyTorch notices at the next step: a RuntimeError"),
    "schedule": (lambda m, s: s.schedules.StepLR([1], 5),
        TypeError, "optimizer: list is not an Opt"),
    "plateau": (lambda m, s: s.schedules.ReduceLROnPlateau(None),
        TypeError, "NoneType is not an Opt"),
    "plateau_factor": (lambda m, s: s.schedules.ReduceLROnPlateau(s.adam, factor=1.0), ValueError,
        "Factor should be < 1.0, got 1.0"),
    "plateau_mode": (lambda m, s: s.schedules.ReduceLROnPlateau(s.adam, mode="down"), ValueError,
        "mode down is unknown! Choose 'min' or 'max'"),
    "lambdas": (lambda m, s: s.schedules.LambdaLR(s.adam, [abs, abs]),
        ValueError, "Expected 1.*got 2"),
    "clip_nan": (nonfinite, RuntimeError, "norm of order 2.0.*non-finite"),
    "clip_string": (lambda m, s: m.nn.utils.clip_grad_norm_([s.x], "a"), ValueError, "float: 'a'"),
    "fan": (lambda m, s: m.nn.init.xavier_uniform_(s.w), ValueError, r"fewer than 2.*\(3,\)"),
    # data
    "dataset": (lambda m, s: s.data.TensorDataset(s.t, s.w), AssertionError, r"Size.*\[4, 3\]"),
    "dataset_list": (lambda m, s: s.data.TensorDataset([1, 2]), TypeError, "tensors: .*got list",
        ATTRIBUTE),
    "batch_size": (lambda m, s: s.data.DataLoader(s.t, 0), ValueError, "positive.*batch_size=0"),
    "batch_bool": (lambda m, s: s.data.DataLoader(s.t, True), ValueError, "batch_size=True"),
    "workers": (lambda m, s: s.data.DataLoader(s.t, num_workers=-1),
        ValueError, "num_workers: .*-1"),
    "sampler": (lambda m, s: s.data.DataLoader(s.t, sampler=[0], shuffle=True),
        ValueError, "sampler"),
    "samples": (lambda m, s: list(s.data.DataLoader([None])), TypeError, "batch must.*NoneType"),
    "sample_sizes": (lambda m, s: list(s.data.DataLoader([s.t, s.w], 2)),
        RuntimeError, "equal size"),
    "loader_generator": (
        lambda m, s: list(s.data.DataLoader(s.t, shuffle=True, generator=5)), TypeError,
        "generator: .*got int"),
    "split": (lambda m, s: s.data.random_split(range(5), [1, 2]), ValueError, "dataset: 5, got 3"),
    "split_negative": (lambda m, s: s.data.random_split(range(5), [-1, 6]), ValueError,
        r"lengths: expected sizes >= 0, got \[-1, 6\]", SILENT),
    # compile
    "compile": (lambda m, s: m.compile("f"), TypeError, "function: .*callable, got str", OURS),
    "compile_value": (lambda m, s: m.compile(lambda x: x.sum().item())(s.t), RuntimeError,
        "reads the value of a tensor.*return the tensor", OURS),
    "compile_mask": (lambda m, s: m.compile(lambda x: x[x > 0])(s.t),
        RuntimeError, r"use where\(\)",
        OURS),
    "compile_gradient": (lambda m, s: m.compile(lambda x: x * 2)(s.x),
        RuntimeError, r"detach\(\) it",
        OURS),
    "compile_array": (lambda m, s: m.compile(lambda x: x)(np.ones(3)),
        TypeError, "hashable.*ndarray",
        OURS),
    "compile_pending": (lambda m, s: m.compile(lambda: (s.x * 2).sum())(), RuntimeError,
        "backward pass is still to come", OURS),
}  # fmt: skip

POINTWISE = (
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)  # fmt: skip


def every_loss():
    """What each loss checks: rows as above."""
    for name in (*POINTWISE, "cross_entropy", "nll_loss"):
        pointwise = name in POINTWISE
        by_attribute = (ATTRIBUTE,) if pointwise else ()

        def call(change, name=name, pointwise=pointwise, **options):
            def run(m, s):
                x, y = change(m, s, s.t if pointwise else s.c)
                return getattr(s.F, name)(x, y, **options)

            return run

        rows = {
            "none": (call(lambda m, s, y: (None, y)), TypeError, f"input: {TENSOR} NoneType",
                *by_attribute),
            "list": (call(lambda m, s, y: ([1.0], y)), TypeError, f"input: {TENSOR} list",
                *by_attribute),
            "target_array": (call(lambda m, s, y: (s.x, y.numpy())), TypeError,
                f"target: {TENSOR} ndarray"),
            "target_string": (call(lambda m, s, y: (s.x, "a")), TypeError, f"target: {TENSOR} str",
                *by_attribute),
            "integers": (call(lambda m, s, y: (s.i, s.i if y is s.t else y)), RuntimeError,
                "input: expected floating point.*int64"),
            "bools": (call(lambda m, s, y: (s.b, s.b if y is s.t else y)), RuntimeError,
                "input: expected floating point.*bool"),
            "shape": (call(lambda m, s, y: (s.x, s.cube)),
                RuntimeError if name in POINTWISE[:4] else ValueError, r"target.*2, 3, 4"),
            "reduction": (call(lambda m, s, y: (s.x, y), reduction="avg"), ValueError,
                "reduction: expected 'none', 'mean' or 'sum', got 'avg'"),
            "reduction_none": (call(lambda m, s, y: (s.x, y), reduction=None), ValueError,
                "reduction: .*got None"),
            "reduction_list": (call(lambda m, s, y: (s.x, y), reduction=["mean"]), ValueError,
                r"reduction: .*got \['mean'\]"),
            "option": (call(lambda m, s, y: (s.x, y), colour=1), TypeError, "colour"),
        }  # fmt: skip
        yield from ((f"{name}_{kind}", row) for kind, row in rows.items())


CALLS |= dict(every_loss())


@pytest.mark.parametrize("name", CALLS)
def test_bad_call(name):
    run, error, match = CALLS[name][:3]
    s = scene(mg)
    before = photograph(vars(s))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes that broadcast, lists as indices
        with pytest.raises(error, match=match) as caught:
            run(mg, s)
    assert caught.type is error
    assert photograph(vars(s)) == before


SAME = [name for name, row in CALLS.items() if len(row) == 3]
DIFFERENT = [name for name, row in CALLS.items() if len(row) == 4 and row[3] is not OURS]


def in_pytorch(name):
    """What PyTorch raises for a row, or None."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            CALLS[name][0](torch, scene(torch))
        except Exception as error:
            return error


@pytest.mark.torch
@pytest.mark.parametrize("name", SAME)
def test_the_exception_is_that_of_pytorch(name):
    assert isinstance(in_pytorch(name), CALLS[name][1])


@pytest.mark.torch
@pytest.mark.parametrize("name", DIFFERENT)
def test_a_named_difference_is_one(name):
    assert not isinstance(in_pytorch(name), CALLS[name][1])


# --- what looks bad and has a value: the one PyTorch gives ----------------------------------------

VALUES = {
    "all_ignored": (lambda m, s: s.F.cross_entropy(s.x, s.c * 0 - 100), NAN),
    "all_ignored_sum": (lambda m, s: s.F.cross_entropy(s.x, s.c * 0 - 100, reduction="sum"), 0.0),
    "all_ignored_none": (
        lambda m, s: s.F.cross_entropy(s.x, s.c * 0 - 100, reduction="none"), [0] * 4),
    "all_ignored_nll": (lambda m, s: s.F.nll_loss(s.x, s.c * 0 - 100), NAN),
    "ignored_far": (
        lambda m, s: s.F.nll_loss(s.t * 0, m.tensor([0, 1, LOWEST, 0]), ignore_index=LOWEST), 0),
    "no_weight": (lambda m, s: s.F.cross_entropy(s.x, s.c * 0, m.tensor([0.0, 1, 1])), NAN),
    "nan_weight": (lambda m, s: s.F.cross_entropy(s.x, s.c, m.tensor([NAN, 1, 1])), NAN),
    "nan_weight_unused": (
        lambda m, s: s.F.nll_loss(s.x * 0 - 1, s.c * 0 + 1, m.tensor([NAN, 1, 1])), 1),
    "inf_weight": (lambda m, s: s.F.binary_cross_entropy(s.t, s.t, m.tensor([INF, 1, 1])), INF),
    "nan_pos_weight": (
        lambda m, s: s.F.binary_cross_entropy_with_logits(s.t, s.t, None, pos_weight=s.one * NAN),
        NAN),
    "inf_beta": (lambda m, s: s.F.smooth_l1_loss(s.x, s.t, beta=INF), 0.0),
    "tiny_beta": (lambda m, s: s.F.smooth_l1_loss(s.t * 0 + 1, s.t * 0, beta=1e-320), 1.0),
    "inf_delta": (lambda m, s: s.F.huber_loss(s.t * 0 + 1, s.t * 0, delta=INF), 0.5),
    "bool_beta": (lambda m, s: s.F.smooth_l1_loss(s.t * 0 + 1, s.t * 0, beta=True), 0.5),
    "numpy_beta": (lambda m, s: s.F.smooth_l1_loss(s.t * 0 + 1, s.t * 0, beta=np.float32(1)), 0.5),
    "negative_byte": (lambda m, s: m.tensor(-1, dtype=m.uint8), 255),
    "wrapping": (lambda m, s: s.u + 300, [45] * 3),
    "masked_array": (
        lambda m, s: m.from_numpy(np.ma.masked_array([1.0, 2.0], [True, False])).sum(), 3),
    "matrix": (lambda m, s: m.from_numpy(np.matrix([[1.0, 2.0]]))[0], [1, 2]),
    "number": (lambda m, s: m.tensor(np.array(2.5)), 2.5),
    "empty_mean": (lambda m, s: m.zeros(0).mean(), NAN),
    "empty_product": (lambda m, s: m.zeros(0).prod(), 1),
    "empty_layer": (lambda m, s: s.model(m.zeros(0, 3)), []),
    "no_gradients": (lambda m, s: m.nn.utils.clip_grad_norm_([s.t], 1.0), 0.0),
}  # fmt: skip
for _name in POINTWISE:
    for _reduction, _value in (("mean", NAN), ("sum", 0.0), ("none", [])):
        VALUES[f"empty_{_name}_{_reduction}"] = (
            lambda m, s, name=_name, reduction=_reduction: getattr(s.F, name)(
                m.zeros(0, 3), m.zeros(0, 3), reduction=reduction
            ),
            _value,
        )
for _name in ("cross_entropy", "nll_loss"):
    for _reduction, _value in (("mean", NAN), ("sum", 0.0), ("none", [])):
        VALUES[f"empty_{_name}_{_reduction}"] = (
            lambda m, s, name=_name, reduction=_reduction: getattr(s.F, name)(
                m.zeros(0, 3), m.zeros(0, dtype=m.int64), reduction=reduction
            ),
            _value,
        )


def check_value(m, name):
    run, want = VALUES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if m is mg else "ignore")
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # np.matrix
        out = run(m, scene(m))
    np.testing.assert_allclose(np.ravel(out.detach().numpy()), np.ravel(want), rtol=1e-6)


@pytest.mark.parametrize("name", VALUES)
def test_value(name):
    check_value(mg, name)


@pytest.mark.torch
@pytest.mark.parametrize("name", VALUES)
def test_value_live(name):
    check_value(pytest.importorskip("torch", reason=NEEDS_TORCH), name)


def test_there_are_enough_rows():
    assert len(CALLS) >= 60
