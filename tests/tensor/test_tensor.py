"""A Tensor among Python's and NumPy's own: conversions, indexing, memory, changes in place."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import minigrad as mg


def pytorch():
    return pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )


def matrix(m=mg):
    return m.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


# --- Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype"), [(1.5, mg.float32), (-3, mg.int8), (True, mg.bool), (0.1, mg.float64)]
)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element(value, dtype, shape):
    t = mg.full(shape, value, dtype=dtype)
    assert t.item() == value
    assert type(t.item()) is type(value)
    assert float(t) == float(value)
    assert int(t) == int(value)
    assert bool(t) is bool(value)
    assert t.tolist() == np.full(shape, value).tolist()
    if dtype in (mg.int8, mg.bool):
        assert [0, 1, 2, 3][t] == [0, 1, 2, 3][int(value)]
    else:
        with pytest.raises(TypeError, match="only integer tensors of a single element"):
            range(t)


@pytest.mark.parametrize(
    ("run", "error", "match"),
    [
        (lambda t: t.item(), RuntimeError, "Tensor with 6 elements cannot be converted to Scalar"),
        (lambda t: float(t), ValueError, "only one element tensors can be converted"),
        (lambda t: int(t[0]), ValueError, "only one element tensors can be converted"),
        (lambda t: bool(t), RuntimeError, "Boolean value of Tensor with more than one value"),
        (
            lambda t: bool(t[:0]),
            RuntimeError,
            "Boolean value of Tensor with no values is ambiguous",
        ),
        (lambda t: range(t.long()), TypeError, "only integer tensors of a single element"),
        (lambda t: len(t.sum()), TypeError, r"len\(\) of a 0-d tensor"),
        (lambda t: iter(t.sum()), TypeError, "iteration over a 0-d tensor"),
        (lambda t: f"{t:.2f}", TypeError, "unsupported format string passed to Tensor"),
        (lambda t: "a" in t, RuntimeError, "__contains__ only supports Tensor or scalar.*str"),
        (
            lambda t: None in t,
            RuntimeError,
            "__contains__ only supports Tensor or scalar.*NoneType",
        ),
        (lambda t: t < None, TypeError, "'<' not supported between"),
        (lambda t: t == mg.ones(4), RuntimeError, r"equal\(\).*\(2, 3\).*\(4,\)"),
        (lambda t: mg.Tensor([1.0]), TypeError, "expected a NumPy array, got list"),
        (lambda t: t.size(5), IndexError, "range"),
        (lambda t: t.colour, AttributeError, "colour"),
    ],
)
def test_python_errors(run, error, match):
    with pytest.raises(error, match=match):
        run(matrix())


def test_python_manners():
    t = matrix()
    assert len(t) == 2
    rows = list(t)
    assert [r.tolist() for r in rows] == t.tolist()
    assert np.shares_memory(rows[1].array, t.array)
    assert 5 in t
    assert mg.tensor(2.0) in t
    assert 7 not in t
    assert f"{t.sum():.1f} {t[0, 0]:>5} {mg.tensor(3):d}" == "21.0   1.0 3"
    assert f"{t}" == str(t) == repr(t)
    assert repr(mg.tensor([1, 2])) == "tensor([1, 2])"
    assert str(mg.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
    assert (t == None) is False  # noqa: E711, as in PyTorch
    assert (t != None) is True  # noqa: E711
    assert (t == "a") is False
    assert len({t, t, matrix()}) == 2  # hashed by identity
    assert {t: 1}[t] == 1
    assert (-t).tolist() == (t * -1).tolist()
    assert abs(-t).tolist() == (+t).tolist() == t.tolist()
    assert (~(t > 2)).tolist() == (t <= 2).tolist()
    assert (1 - t).tolist() == (-(t - 1)).tolist()
    assert (2 / t)[0, 1].item() == 1.0
    assert (2**t)[0, 2].item() == 8.0
    assert (7 // t)[0, 1].item() == 3.0
    assert (7 % t)[0, 1].item() == 1.0
    assert (np.ones((2, 2)) @ t.double()).tolist() == [[5, 7, 9], [5, 7, 9]]
    assert (5 & mg.tensor(3)).item() == (5 ^ mg.tensor(4)).item() == 1


def test_attributes():
    t = mg.zeros(2, 3, 4)
    assert repr(t.shape) == repr(t.size()) == "minigrad.Size([2, 3, 4])"
    assert t.shape == (2, 3, 4)
    assert isinstance(t.shape, tuple)
    assert (t.shape.numel(), t.numel(), t.nelement(), t.size(1), t.size(-1)) == (24, 24, 24, 3, 4)
    assert (t.ndim, t.dim(), t.ndimension(), t.element_size()) == (3, 3, 3, 4)
    assert (t.stride(), t.stride(1), t.transpose(0, 2).stride()) == ((12, 4, 1), 4, (1, 4, 12))
    assert t.expand(5, 2, 3, 4).stride() == (0, 12, 4, 1)
    assert (t.is_contiguous(), t.mT.is_contiguous()) == (True, False)
    assert (t.is_floating_point(), t.long().is_floating_point()) == (True, False)
    assert (t.device, t.device.type, repr(t.device)) == ("cpu", "cpu", "device(type='cpu')")
    assert t.T.shape == (4, 3, 2)
    with pytest.raises(AttributeError):
        t.shape = (6, 4)
    with pytest.raises(AttributeError):
        t.note = 1  # slots: a misspelt name is an error


def test_conversions():
    t = mg.tensor([1.7, -2.5, 0.0])
    for same in (t.to(mg.float32), t.to("cpu"), t.to(t), t.float(), t.cpu(), t.to(None), t.to(),
                 t.to(mg.device("cpu"), non_blocking=True), t.type(mg.float32)):  # fmt: skip
        assert same is t
    assert t.to(mg.float32, copy=True) is not t
    for cast in (t.to(mg.int64), t.long(), t.to("cpu", mg.int64), t.type(mg.int64),
        t.astype("int64"),
                 t.to(dtype=mg.int64, device="cpu"), t.type_as(mg.tensor(1)),
                 t.to(mg.tensor(1))):  # fmt: skip
        assert cast.dtype == mg.int64
        assert cast.tolist() == [1, -2, 0]
    assert t.type() == "minigrad.float32"
    assert t.double().new_tensor([1, 2]).dtype == mg.float64
    x = mg.ones(2, requires_grad=True)
    g = mg.tensor([1.1, 2.2], dtype=mg.float64)
    x.double().backward(g)
    assert x.grad.dtype == mg.float32
    for place in ("cuda", "cuda:1", mg.device("mps")):
        with pytest.raises(RuntimeError, match=f"'cpu', got.*{place}"):
            t.to(place)
    with pytest.raises(TypeError, match=r"expected one of float32.*'nonsense'"):
        t.to("nonsense")


def test_data():
    t = matrix().requires_grad_()
    assert not t.data.requires_grad
    assert np.shares_memory(t.data.array, t.array)
    t.data = mg.zeros(5)
    assert (t.shape, t.requires_grad, t.is_leaf) == ((5,), True, True)
    (t + 1).backward(mg.arange(5.0))
    assert t.grad.tolist() == [0, 1, 2, 3, 4]


def test_pickle_and_copy():
    x = matrix().requires_grad_()
    (x * x).backward(matrix())
    parameter = mg.nn.Parameter(mg.tensor([1.5, 2.5]), requires_grad=False)
    strided, wide = matrix().t(), mg.ones(3).expand(2, 3)
    for t in (x, parameter, strided, wide, mg.tensor(3), mg.zeros(0, 2), mg.tensor([True])):
        again = pickle.loads(pickle.dumps(t))
        shallow, deep = copy.copy(t), copy.deepcopy(t)
        for other in (again, shallow, deep):
            assert type(other) is type(t)
            assert (other.dtype, other.shape, other.requires_grad, other.tolist()) == (
                t.dtype, t.shape, t.requires_grad, t.tolist()
            )  # fmt: skip
            assert other.is_leaf
        assert not np.shares_memory(deep.array, t.array)
        assert deep.array.flags.writeable
        assert (deep.grad is None) == (t.grad is None)
    deep = copy.deepcopy(x)
    assert deep.grad.tolist() == x.grad.tolist()
    assert not np.shares_memory(deep.grad.array, x.grad.array)
    (deep * 2).backward(matrix())
    assert deep.grad.tolist() != x.grad.tolist()
    first, second = copy.deepcopy([x, [x]])
    assert first is second[0]  # shared stays shared
    for spoil in (pickle.dumps, copy.deepcopy):
        with pytest.raises(RuntimeError, match="only leaf tensors can be pickled or deep-copied"):
            spoil(x * 2)


def test_copy_shares():
    x = matrix()
    shallow = copy.copy(x)
    shallow[0, 0] = 9
    assert x[0, 0].item() == 9


# --- NumPy ----------------------------------------------------------------------------------------


def test_to_numpy():
    t = matrix()
    assert np.shares_memory(t.numpy(), t.array)
    assert np.shares_memory(np.asarray(t), t.array)
    assert not np.shares_memory(np.array(t), t.array)
    assert np.asarray(t, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(t, np.float64, copy=False)
    x = matrix().requires_grad_()
    for call in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array(x * 2)):
        with pytest.raises(
            RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"
        ):
            call()
    assert x.numpy(force=True).tolist() == t.tolist()
    with mg.no_grad():
        assert np.asarray(x * 2)[1, 2] == 12


UFUNCS = [
    np.exp, np.log, np.sqrt, np.sin, np.tanh, np.negative, np.absolute, np.floor, np.rint,
        np.square,
    np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.remainder,
    np.floor_divide, np.less, np.greater_equal, np.equal, np.not_equal, np.isnan, np.logical_and,
]  # fmt: skip


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_ufuncs(ufunc):
    """np.exp(t) is a Tensor in the graph; an array on either side is taken in."""
    array = np.array([[0.5, 1.5], [2.5, 3.0]])
    rest = [np.array([1.5, 2.0])] if ufunc.nin == 2 else []
    want = ufunc(array, *rest)
    out = ufunc(mg.tensor(array), *rest)
    assert type(out) is mg.Tensor
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-12)
    if rest:
        np.testing.assert_allclose(ufunc(array, mg.tensor(rest[0])).numpy(), want, rtol=1e-12)
    x = mg.tensor(array, requires_grad=True)
    function = mg.eq if ufunc is np.equal else getattr(mg, ufunc.__name__)
    assert ufunc(x, *rest).requires_grad == function(x, *rest).requires_grad


def test_unsupported_ufuncs():
    t = matrix()
    assert type(np.arctan(t)) is mg.Tensor  # by NumPy, outside the graph
    np.testing.assert_allclose(np.arctan(t).numpy(), np.arctan(t.array))
    np.testing.assert_allclose(np.hypot(t, np.ones(3)).numpy(), np.hypot(t.array, 1))
    x = matrix().requires_grad_()
    with pytest.raises(TypeError, match=r"np.arctan has no gradient here; detach\(\) the tensor"):
        np.arctan(x)
    with mg.no_grad(), pytest.raises(TypeError, match=r"np.hypot has no gradient"):
        np.hypot(1.0, x)
    for call in (
        lambda: np.add.reduce(t),
        lambda: np.add.outer(t, t),
        lambda: np.add(t, 1, out=np.zeros((2, 3))),
        lambda: np.add.at(t, 0, 1),
    ):
        with pytest.raises(TypeError, match="add"):
            call()
    array = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="add"):
        array += t


NUMPY_CALLS = {
    "sum": lambda t: np.sum(t, axis=1, keepdims=True),
    "sum_of_nothing": lambda t: np.sum(t, axis=()),
    "sum_where": lambda t: np.sum(t, where=[True, False, True], initial=2.0),
    "max": lambda t: np.max(t, axis=1),
    "min": lambda t: np.min(t, 0),
    "cumsum": lambda t: np.cumsum(t),
    "std": lambda t: np.std(t),
    "std_ddof": lambda t: np.std(t, axis=0, ddof=1),
    "var": lambda t: np.var(t, 1),
    "mean": lambda t: np.mean(t, axis=(0, 1)),
    "argmax": lambda t: np.argmax(t, axis=1),
    "any": lambda t: np.any(t > 3, axis=0),
    "prod": lambda t: np.prod(t, axis=0),
    "clip": lambda t: np.clip(t, 2, 4),
    "round": lambda t: np.round(t, 1),
    "transpose": lambda t: np.transpose(t, (1, 0)),
    "reshape": lambda t: np.reshape(t, (3, 2)),
    "ravel": lambda t: np.ravel(t),
    "repeat": lambda t: np.repeat(t, 2, axis=1),
    "tile": lambda t: np.tile(t, 2),
    "concatenate": lambda t: np.concatenate([t, t], axis=1),
    "concatenate_all": lambda t: np.concatenate([t, t], axis=None),
    "stack": lambda t: np.stack([t, t], -1),
    "where": lambda t: np.where(t > 3, t, 0),
    "sort": lambda t: np.sort(t, axis=0),
    "take": lambda t: np.take(t, [0, 2], axis=1),
    "diagonal": lambda t: np.diagonal(t),
    "trace": lambda t: np.trace(t),
    "copy": lambda t: np.copy(t),
    "dtype": lambda t: np.add(t, 1, dtype=np.float64),
    "order": lambda t: np.multiply(t, 2, order="F"),
    "sqrt_of_integers": lambda t: np.sqrt(t.astype(np.int64)),
    "reciprocal_of_integers": lambda t: np.reciprocal(t.astype(np.int64)),
    "mean_of_integers": lambda t: np.mean(t.astype(np.int64)),
    "nonzero": lambda t: np.stack(np.nonzero(t > 2)),
    "parts": lambda t: np.stack(np.modf(t / 2)),
}


@pytest.mark.parametrize("name", NUMPY_CALLS)
def test_numpy_calls(name):
    """np.sum(t, axis=1): keywords mean what they mean on arrays; the result is a Tensor."""
    t = matrix()
    want, got = NUMPY_CALLS[name](t.numpy()), NUMPY_CALLS[name](t)
    assert type(got) is mg.Tensor
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert not np.shares_memory(got.array, t.array) or got.version is t.version


@pytest.mark.parametrize(
    "name",
    [
        *("sum", "max", "cumsum", "std", "std_ddof", "mean", "clip", "transpose", "ravel"),
        *("concatenate", "stack", "where"),
    ],
)
def test_numpy_calls_with_a_gradient(name):
    x = matrix().double().requires_grad_()
    assert mg.autograd.gradcheck(NUMPY_CALLS[name], (x,))


NUMPY_REFUSED = {
    "at": lambda t: np.add.at(t, 0, 1),
    "reduce": lambda t: np.add.reduce(t),
    "out": lambda t: np.add(t, 1, out=t),
    "out_of_a_sum": lambda t: np.sum(t, axis=0, out=np.zeros(3, np.float32)),
    "copyto": lambda t: np.copyto(t, 0),
    "put": lambda t: np.put(t, [0], 1),
    "fill_diagonal": lambda t: np.fill_diagonal(t, 0),
    "unsigned": lambda t: np.sum(t.to(mg.uint8)),
    "gradient": lambda t: np.sort(t.clone().requires_grad_()),
    "ufunc_where": lambda t: np.add(t, 1, where=[True, False, True]),
    "gradient_dtype": lambda t: np.add(t.clone().requires_grad_(), 1, dtype=np.float64),
}


@pytest.mark.parametrize("name", NUMPY_REFUSED)
def test_numpy_calls_refused(name):
    t = matrix()
    with pytest.raises(TypeError, match=r"np\..*(Tensor|tensor|dtype)"):
        NUMPY_REFUSED[name](t)
    assert t.tolist() == matrix().tolist()


def test_arrays_in_operators():
    array = np.array([1.0, 2.0, 3.0])
    x = matrix().double().requires_grad_()
    for out in (array * x, x * array):
        assert type(out) is mg.Tensor
        assert out.dtype == mg.float64
        x.grad = None
        out.backward(mg.tensor(np.arange(6.0).reshape(2, 3)))
        assert x.grad.tolist() == [[0, 2, 6], [3, 8, 15]]
    assert (np.float64(2) * matrix()).dtype == mg.float32  # a NumPy number counts as a number
    assert type(np.float32(2) + matrix()) is mg.Tensor
    assert (array < x).tolist() == [[False] * 3, [True] * 3]
    assert (array @ x.t()).tolist() == [14, 32]
    assert type(array @ x.t()) is mg.Tensor


def agnostic_softmax(x, axis):
    """Written for any array library, with names that all of them have."""
    xp = x.__array_namespace__()
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True)) if xp is np else xp.exp(x)
    return xp.divide(e, xp.sum(e, axis=axis, keepdims=True))


def agnostic_statistics(x):
    xp = x.__array_namespace__()
    y = xp.permute_dims(xp.expand_dims(x, axis=0), (2, 1, 0))
    joined = xp.concat([y, xp.zeros_like(y)], axis=0)
    positive = xp.where(xp.greater(joined, 2), joined, xp.ones_like(joined))
    return xp.multiply(xp.mean(xp.square(positive), axis=(0, 1)), xp.asarray(2.0, dtype=x.dtype))


@pytest.mark.parametrize("function", [lambda x: agnostic_softmax(x, 1), agnostic_statistics])
def test_array_namespace(function):
    array = np.array([[0.5, 1.5, -1.0], [2.5, 3.0, 4.0]])
    x = mg.tensor(array, requires_grad=True)
    out = function(x)
    np.testing.assert_allclose(out.detach().numpy(), function(array), rtol=1e-12)
    assert x.__array_namespace__(api_version="2023.12") is mg
    assert mg.autograd.gradcheck(function, x)


# --- indexing -------------------------------------------------------------------------------------

# An index, given what makes an index array; the same on NumPy, PyTorch and here.
INDICES = {
    "int": lambda a: 1,
    "negative": lambda a: -2,
    "ints": lambda a: (1, 2, -1),
    "slice": lambda a: slice(1, 10),
    "slices": lambda a: (slice(None), slice(1, None, 2)),
    "empty_slice": lambda a: slice(2, 1),
    "slice_of_tensors": lambda a: slice(a(0), a(2)),
    "ellipsis": lambda a: (..., 1),
    "all": lambda a: ...,
    "nothing": lambda a: (),
    "none": lambda a: (None, 0, None, ..., None),
    "true": lambda a: True,
    "false": lambda a: False,
    "list": lambda a: [1, 0, 1],
    "empty_list": lambda a: [],
    "list_of_bools": lambda a: [True, False],
    "lists": lambda a: ([0, 1], [2, 0]),
    "range": lambda a: (range(2), 0),
    "array": lambda a: a([1, 0, 0]),
    "matrix": lambda a: a([[1, 0], [-1, -2]]),
    "0d": lambda a: a(1),
    "arrays": lambda a: (a([[0], [1]]), a([0, 2])),
    "apart": lambda a: (a([0, 1]), slice(None), a([3, 0])),
    "mixed": lambda a: (slice(None), a([2, 0]), 1),
    "int_and_array": lambda a: (0, slice(None), a([1, 3])),
    "mask": lambda a: a(np.arange(24).reshape(2, 3, 4) % 3 == 0),
    "row_mask": lambda a: a([False, True]),
    "mask_and_int": lambda a: (a([True, False]), 1),
    "mask_and_slice": lambda a: (slice(None), a([True, False, True]), slice(1, 3)),
    "0d_mask": lambda a: a(True),
    "no_index": lambda a: a(np.zeros(0, np.int64)),
    "none_and_array": lambda a: (None, a([1, 0]), ..., 0),
    "0d_and_list": lambda a: (a(1), slice(None), [0, 1]),
    "numpy_number_and_list": lambda a: (np.int8(1), slice(None), [0, 1]),
    "tuples": lambda a: ((1, 1), (2, 2)),
    "tuple_and_range": lambda a: (slice(None), (2, 0), range(2)),
    "slice_of_numpy_numbers": lambda a: (slice(np.int64(0), np.uint8(1)), 1),
    "true_and_list": lambda a: (True, [0, 1]),
    "number_true_and_list": lambda a: (0, True, [0, 1]),
    "list_ellipsis_list": lambda a: ([0, 1], ..., [0, 1]),
    "list_between_nothing": lambda a: ([0, 1], [1, 2], ..., [0, 3]),
}
CUBE = np.arange(24.0).reshape(2, 3, 4)
# NumPy moves the array's dimension to the front where a number stands apart from it.
IN_TWO_STEPS = {"int_and_array": ((0,), (slice(None), [1, 3])),
                "none_and_array": ((None, ..., 0), (slice(None), [1, 0])),
                "0d_and_list": ((1,), (slice(None), [0, 1])),
                "numpy_number_and_list": ((1,), (slice(None), [0, 1])),
                "number_true_and_list": ((0, None), ([0], [0, 1])),
                "list_between_nothing": ((), ([0, 1], [1, 2], [0, 3]))}  # fmt: skip


def in_numpy(array, name):
    """A view of the array, and an index for it that finds in NumPy what PyTorch finds."""
    first, then = IN_TWO_STEPS.get(name, ((), INDICES[name](np.array)))
    return array[first], then


@pytest.mark.parametrize("name", INDICES)
def test_index(name):
    index = INDICES[name]
    view, key = in_numpy(CUBE, name)
    want = view[key]
    t = mg.tensor(CUBE)
    got = t[index(mg.tensor)]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(t[index(np.array)].numpy(), want)
    one = name == "0d" or not isinstance(want, np.ndarray)  # a copy in NumPy, but a view here
    assert np.shares_memory(got.array, t.array) == (one or np.shares_memory(want, CUBE))


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("grad", [False, True])
def test_assign(name, grad):
    """A number, a broadcast row, a full value; the graph takes it in, the rest is kept."""
    index = INDICES[name]
    view, key = in_numpy(CUBE, name)
    selected = view[key]
    rng = np.random.default_rng(0)
    repeated = name in ("list", "array", "matrix", "tuples")
    values = (
        [7.5] if repeated else [7.5, rng.random(selected.shape), rng.random(selected.shape[-1:])]
    )
    for value in values:
        want = CUBE.copy()
        view, key = in_numpy(want, name)
        view[key] = value
        x = mg.tensor(CUBE, requires_grad=grad)
        v = mg.tensor(value, dtype=mg.float64, requires_grad=grad)
        t = x * 1
        t[index(mg.tensor)] = v
        np.testing.assert_array_equal(t.detach().numpy(), want)
        if not grad:
            continue
        g = rng.random(t.shape)
        t.backward(mg.tensor(g))
        kept = g.copy()
        view, key = in_numpy(kept, name)
        view[key] = 0
        np.testing.assert_array_equal(x.grad.numpy(), kept)
        view, key = in_numpy(g, name)
        taken = view[key]
        if not repeated:
            extra = tuple(range(taken.ndim - v.ndim))
            np.testing.assert_allclose(v.grad.numpy(), taken.sum(extra), rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("name", INDICES)
def test_index_live(name):
    torch = pytorch()
    want = torch.tensor(CUBE)[INDICES[name](torch.tensor)]
    np.testing.assert_array_equal(mg.tensor(CUBE)[INDICES[name](mg.tensor)].numpy(), want.numpy())


def test_a_number_of_any_kind_gives_a_view():
    """z[i] for i of an arange is the element, not a copy of it."""
    z = mg.zeros(3)
    for i in mg.arange(3):
        z[i].fill_(1.0)
    assert z.tolist() == [1, 1, 1]
    for i in (np.int64(0), np.array(0), mg.tensor(0, dtype=mg.int8), np.uint8(0)):
        z[i].mul_(2.0)
    assert z.tolist() == [16, 1, 1]


@pytest.mark.torch
@pytest.mark.parametrize("make", [lambda m: m.tensor([1, 0], dtype=m.uint8),
                                  lambda m: np.array([1, 0], np.uint8)])  # fmt: skip
def test_bytes_are_a_mask(make):
    found = []
    for m in (mg, pytorch()):
        t = m.tensor(CUBE)
        with pytest.warns(UserWarning, match="indexing with dtype .*uint8 is now deprecated"):
            found.append(t[make(m)].tolist())
        assert tuple(t[m.tensor(1, dtype=m.uint8)].shape) == (1, 2, 3, 4)
    assert found[0] == found[1]


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    ("key", "shape"),
    [(0, (1, 3)), (..., (1, 1, 3)), ((1, 2), (1,)), ([0, 1], (1, 1)), (slice(0, 1), (1, 1, 1))],
)
def test_ones_in_front_of_a_value_are_dropped(key, shape, grad):
    want, w = np.zeros((2, 3)), mg.ones(*shape, dtype=mg.float64, requires_grad=grad)
    want[key] = 2.0
    out = mg.zeros(2, 3, dtype=mg.float64)
    out[key] = w * 2
    assert out.tolist() == want.tolist()
    if grad:
        out.sum().backward()
        assert w.grad.shape == shape
        assert w.grad.sum().item() == want.sum()


@pytest.mark.parametrize("key", [[0, 0], ([0, 1, 0], [1, 1, 1]), (slice(None), [2, 2])])
def test_values_that_were_replaced_have_no_gradient(key):
    x = matrix().double().requires_grad_()
    w = mg.rand(matrix()[key].shape, dtype=mg.float64).requires_grad_()

    def assigned(x, w):
        out = x * 1
        out[key] = w
        return out

    assert mg.autograd.gradcheck(assigned, (x, w))


def test_a_step_cannot_be_repeated_with_another_position():
    x = matrix()
    for i in (mg.tensor(1), mg.tensor(True)):
        with pytest.raises(RuntimeError, match=r"cannot record.*value"):
            mg.compile(lambda i: x[i].sum())(i)
        with pytest.raises(RuntimeError, match=r"cannot record.*value"):
            mg.compile(lambda i: x[: i.long()].sum())(i)


INDEX_ERRORS = {
    "outside": (lambda m, t: t[5], "index 5 is out of bounds"),
    "below": (lambda m, t: t[0, -4], "index -4 is out of bounds"),
    "too_many": (lambda m, t: t[0, 0, 0], "too many indices"),
    "float": (lambda m, t: t[1.5], "only integers, slices"),
    "of_number": (lambda m, t: t[0, 0][0], "too many indices|0-dim"),
    "float_tensor": (lambda m, t: t[m.tensor([0.5])], "indices must be.*float32"),
    "array_outside": (lambda m, t: t[m.tensor([0, 2])], "index 2 is out of bounds"),
    "mask_size": (lambda m, t: t[m.tensor([True, False, True])], "boolean ind.*did not match"),
    "shapes": (lambda m, t: t[m.tensor([0, 1]), m.tensor([0, 1, 2])], "broadcast"),
    "assign_outside": (lambda m, t: t.__setitem__(5, 1.0), "index 5 is out of bounds"),
    "assign_float": (lambda m, t: t.__setitem__(1.5, 1.0), "only integers, slices"),
    "index_select": (lambda m, t: t.index_select(1, m.tensor([[0]])), "supposed to be a vector"),
}


@pytest.mark.parametrize("name", INDEX_ERRORS)
def test_index_errors(name):
    run, match = INDEX_ERRORS[name]
    with pytest.raises(IndexError, match=match):
        run(mg, matrix())


@pytest.mark.torch
@pytest.mark.parametrize("name", INDEX_ERRORS)
def test_index_errors_live(name):
    torch = pytorch()
    with pytest.raises(IndexError):
        INDEX_ERRORS[name][0](torch, matrix(torch))


# --- changes in place -----------------------------------------------------------------------------


def _set(key, value):
    def change(m, t, i):
        t[key(m, t)] = value(m)

    return change


def _operate(name, value, ints=False):
    """t += value and its kin; the name must be bound again to what Python gets back."""

    def change(m, t, i):
        target = i if ints else t
        assert getattr(target, name)(value(m)) is target

    return change


CHANGES = {
    "set_number": _set(lambda m, t: 0, lambda m: 5),
    "set_tensor": _set(lambda m, t: 0, lambda m: m.tensor([1, 2, 9])),
    "set_0d": _set(lambda m, t: (0, 1), lambda m: m.tensor(8)),
    "set_bool": _set(lambda m, t: 0, lambda m: True),
    "set_numpy_number": _set(lambda m, t: 0, lambda m: np.float64(2)),
    "set_leading_ones": _set(lambda m, t: ..., lambda m: m.tensor([[[1.0, 2.0, 3.0]]])),
    "set_mask": _set(lambda m, t: t > 2, lambda m: 0),
    "set_mask_values": _set(lambda m, t: t > 2, lambda m: m.tensor([9.0, 8.0, 7.0, 6.0])),
    "set_last_wins": _set(lambda m, t: m.tensor([0, 0]), lambda m: m.tensor([[1.0], [2.0]])),
    "set_column": _set(lambda m, t: (slice(None), slice(1, None)), lambda m: m.tensor([[1], [2]])),
    "set_lists": _set(lambda m, t: ([0, 1], [1, 2]), lambda m: 9),
    "set_none": _set(lambda m, t: None, lambda m: 9),
    "set_self": lambda m, t, i: t.__setitem__(slice(None), t * 2),
    "int_float": lambda m, t, i: i.__setitem__(0, 2.7),
    "int_tensor": lambda m, t, i: i.__setitem__(0, m.tensor(2.7)),
    "iadd": _operate("__iadd__", lambda m: m.tensor([1.0, 2.0, 3.0])),
    "isub": _operate("__isub__", lambda m: 1),
    "imul_float64": _operate("__imul__", lambda m: m.tensor([1.5, 2, 3], dtype=m.float64)),
    "itruediv": _operate("__itruediv__", lambda m: 2),
    "ifloordiv": _operate("__ifloordiv__", lambda m: 2),
    "imod": _operate("__imod__", lambda m: 2),
    "ipow": _operate("__ipow__", lambda m: 2),
    "int_iadd": _operate("__iadd__", lambda m: True, ints=True),
    "int_ifloordiv": _operate("__ifloordiv__", lambda m: 2, ints=True),
    "int_imod": _operate("__imod__", lambda m: 2, ints=True),
    "int_ipow": _operate("__ipow__", lambda m: 2, ints=True),
    "int_iand": _operate("__iand__", lambda m: 1, ints=True),
    "int_ior": _operate("__ior__", lambda m: 4, ints=True),
    "int_ixor": _operate("__ixor__", lambda m: 1, ints=True),
    "add_alpha": lambda m, t, i: t.add_(m.ones(3), alpha=2),
    "sub_": lambda m, t, i: t.sub_(1),
    "div_": lambda m, t, i: t.div_(2),
    "pow_": lambda m, t, i: t.pow_(2),
    "neg_": lambda m, t, i: t.neg_().abs_(),
    "clamp_": lambda m, t, i: t.clamp_(2, 4),
    "clamp_min": lambda m, t, i: t.clamp_(min=2.5),
    "zero_": lambda m, t, i: t.zero_(),
    "fill_": lambda m, t, i: i.fill_(3.7),
    "fill_tensor": lambda m, t, i: t.fill_(m.tensor(3)),
    "copy_": lambda m, t, i: t.copy_(m.tensor([1, 2, 3])),
    "masked_fill_": lambda m, t, i: t.masked_fill_(t > 2, 0),
    "sqrt_": lambda m, t, i: t.square_().sqrt_(),
    "floor_": lambda m, t, i: t.div_(2).floor_(),
    "round_": lambda m, t, i: t.div_(4).round_(),
    "relu_": lambda m, t, i: t.sub_(3).relu_(),
    "lt_": lambda m, t, i: t.lt_(3),
    "logical_not_": lambda m, t, i: t.logical_not_(),
    "bitwise_and_": lambda m, t, i: i.bitwise_and_(1),
    "rows": lambda m, t, i: [row.mul_(2) for row in t],
    "element": lambda m, t, i: t[0, 0].add_(5),
    "element_of_row": lambda m, t, i: t[0][1].add_(5),
    "of_copy": lambda m, t, i: t.sum().add_(1),
    "nothing": lambda m, t, i: t[t > 100].add_(1),
}
# Values of t and i afterwards, by PyTorch 2.13.0; test_changes_live compares.
ROWS, INTS = [[1, 2, 3], [4, 5, 6]], [1, 2, 3]
AFTER = {
    "set_number": [[5, 5, 5], [4, 5, 6]], "set_tensor": [[1, 2, 9], [4, 5, 6]],
    "set_0d": [[1, 8, 3], [4, 5, 6]], "set_bool": [[1, 1, 1], [4, 5, 6]],
    "set_numpy_number": [[2, 2, 2], [4, 5, 6]], "set_leading_ones": [[1, 2, 3], [1, 2, 3]],
    "set_mask": [[1, 2, 0], [0, 0, 0]], "set_mask_values": [[1, 2, 9], [8, 7, 6]],
    "set_last_wins": [[2, 2, 2], [4, 5, 6]], "set_column": [[1, 1, 1], [4, 2, 2]],
    "set_lists": [[1, 9, 3], [4, 5, 9]], "set_none": [[9, 9, 9], [9, 9, 9]],
    "set_self": [[2, 4, 6], [8, 10, 12]], "int_float": [2, 2, 3], "int_tensor": [2, 2, 3],
    "iadd": [[2, 4, 6], [5, 7, 9]], "isub": [[0, 1, 2], [3, 4, 5]],
    "imul_float64": [[1.5, 4, 9], [6, 10, 18]], "itruediv": [[0.5, 1, 1.5], [2, 2.5, 3]],
    "ifloordiv": [[0, 1, 1], [2, 2, 3]], "imod": [[1, 0, 1], [0, 1, 0]],
    "ipow": [[1, 4, 9], [16, 25, 36]], "int_iadd": [2, 3, 4], "int_ifloordiv": [0, 1, 1],
    "int_imod": [1, 0, 1], "int_ipow": [1, 4, 9], "int_iand": [1, 0, 1], "int_ior": [5, 6, 7],
    "int_ixor": [0, 3, 2], "add_alpha": [[3, 4, 5], [6, 7, 8]], "sub_": [[0, 1, 2], [3, 4, 5]],
    "div_": [[0.5, 1, 1.5], [2, 2.5, 3]], "pow_": [[1, 4, 9], [16, 25, 36]], "neg_": ROWS,
    "clamp_": [[2, 2, 3], [4, 4, 4]], "clamp_min": [[2.5, 2.5, 3], [4, 5, 6]],
    "zero_": [[0, 0, 0], [0, 0, 0]], "fill_": [3, 3, 3], "fill_tensor": [[3, 3, 3], [3, 3, 3]],
    "copy_": [[1, 2, 3], [1, 2, 3]], "masked_fill_": [[1, 2, 0], [0, 0, 0]], "sqrt_": ROWS,
    "floor_": [[0, 1, 1], [2, 2, 3]], "round_": [[0, 0, 1], [1, 1, 2]],
    "relu_": [[0, 0, 0], [1, 2, 3]], "lt_": [[1, 1, 0], [0, 0, 0]],
    "logical_not_": [[0, 0, 0], [0, 0, 0]], "bitwise_and_": [1, 0, 1],
    "rows": [[2, 4, 6], [8, 10, 12]], "element": [[6, 2, 3], [4, 5, 6]],
    "element_of_row": [[1, 7, 3], [4, 5, 6]], "of_copy": ROWS, "nothing": ROWS,
}  # fmt: skip


def changed(m, name):
    t, i = matrix(m), m.tensor(INTS)
    with warnings.catch_warnings():
        CHANGES[name](m, t, i)
    want = AFTER[name]
    on_ints = not isinstance(want[0], list)
    assert (t.tolist(), i.tolist()) == ((ROWS, want) if on_ints else (want, INTS))
    assert (t.dtype, i.dtype) == (m.float32, m.int64)


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name):
    changed(mg, name)


@pytest.mark.torch
@pytest.mark.parametrize("name", CHANGES)
def test_changes_live(name):
    changed(pytorch(), name)


CHANGE_ERRORS = {
    "shape": (lambda m, t, i: t.add_(m.ones(2)), RuntimeError, r"add.*\(2, 3\), \(2,\)"),
    "larger": (lambda m, t, i: t.add_(m.ones(2, 2, 3)), RuntimeError,
        r"output with shape \[2, 3\] d"),
    "matmul": (lambda m, t, i: i.mul_(m.tensor([1.5, 2, 3])), RuntimeError,
        "float32 can't be cast.*int"),
    "int_add": (lambda m, t, i: i.add_(1.5), RuntimeError, "float32 can't be cast"),
    "int_div": (lambda m, t, i: i.div_(2), RuntimeError, "float32 can't be cast"),
    "int_exp": (lambda m, t, i: i.exp_(), RuntimeError, "float32 can't be cast"),
    "copy_shape": (lambda m, t, i: t.copy_(m.ones(2, 2)), RuntimeError, r"\(2,2\).*\(2,3\)|assign"),
    "set_shape": (lambda m, t, i: _set(lambda m, t: 0, lambda m: m.ones(2))(m, t, i), RuntimeError,
                  r"shape mismatch.*\(2,\).*\(3,\)"),
    "set_mask": (lambda m, t, i: _set(lambda m, t: t > 2, lambda m: m.ones(2))(m, t, i), (
                 RuntimeError, IndexError), "shape mismatch.*2.*4"),
    "set_none": (lambda m, t, i: t.__setitem__(0, None), TypeError, "can't assign a NoneType"),
    "set_string": (lambda m, t, i: t.__setitem__(0, "a"), TypeError, "can't assign a str"),
    "expanded": (lambda m, t, i: t.expand(2, 2, 3).add_(1), RuntimeError, "expand.*clone"),
    "expanded_set": (lambda m, t, i: t[0].expand(2, 3).__setitem__(slice(None), m.ones(2, 3)),
                     RuntimeError, "expand.*clone"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGE_ERRORS)
def test_change_errors(name):
    run, error, match = CHANGE_ERRORS[name]
    t, i = matrix(), mg.tensor(INTS)
    with pytest.raises(error, match=match):
        run(mg, t, i)
    assert (t.tolist(), i.tolist()) == (ROWS, INTS)


@pytest.mark.torch
@pytest.mark.parametrize("name", [n for n in CHANGE_ERRORS if n != "expanded_set"])
def test_change_errors_live(name):
    torch = pytorch()
    run, error, _ = CHANGE_ERRORS[name]
    with pytest.raises(error):
        run(torch, matrix(torch), torch.tensor(INTS))


# --- memory ---------------------------------------------------------------------------------------

VIEWS = {
    "view": lambda m, t: t.view(-1), "view_shape": lambda m, t: t.view(3, 2),
    "reshape": lambda m, t: t.reshape(3, 2), "flatten": lambda m, t: t.flatten(),
    "t": lambda m, t: t.t(), "T": lambda m, t: t.T, "mT": lambda m, t: t.mT,
    "transpose": lambda m, t: t.transpose(0, 1), "permute": lambda m, t: t.permute(1, 0),
    "squeeze": lambda m, t: t.squeeze(), "unsqueeze": lambda m, t: t.unsqueeze(0),
    "contiguous": lambda m, t: t.contiguous(), "detach": lambda m, t: t.detach(),
    "data": lambda m, t: t.data, "narrow": lambda m, t: t.narrow(0, 0, 1),
    "chunk": lambda m, t: t.chunk(2)[0], "split": lambda m, t: t.split(1)[0],
    "unbind": lambda m, t: t.unbind(0)[0], "slice": lambda m, t: t[:1], "int": lambda m, t: t[0],
    "element": lambda m, t: t[0, 0], "none": lambda m, t: t[None], "all": lambda m, t: t[...],
    "to": lambda m, t: t.to(m.float32), "float": lambda m, t: t.float(), "cpu": lambda m,
        t: t.cpu(),
    "as_tensor": lambda m, t: m.as_tensor(t), "pos": lambda m, t: +t, "numpy": lambda m,
        t: t.numpy(),
    "iter": lambda m, t: next(iter(t)), "view_of_view": lambda m, t: t.t()[:, 0].unsqueeze(1),
}  # fmt: skip
COPIES = {
    "clone": lambda m, t: t.clone(), "flip": lambda m, t: t.flip(0), "roll": lambda m, t: t.roll(1),
    "reshape_strided": lambda m, t: t.t().reshape(6), "flatten_strided": lambda m,
        t: t.t().flatten(),
    "contiguous_strided": lambda m, t: t.t().contiguous(), "double": lambda m, t: t.double(),
    "repeat": lambda m, t: t.repeat(1, 1), "tril": lambda m, t: t.tril(), "cat": lambda m,
        t: m.cat([t]),
    "stack": lambda m, t: m.stack([t]), "list": lambda m, t: t[[0]], "mask": lambda m, t: t[t > 0],
    "index_select": lambda m, t: t.index_select(0, m.tensor([0])), "tensor": lambda m, t: (
        m.tensor(t.tolist())), "add": lambda m, t: t + 0, "where": lambda m, t: m.where(t > 0, t,
            t),
    "amax": lambda m, t: t.amax((0, 1)), "clamp": lambda m, t: t.clamp(0, 9),
    "sum_of_one": lambda m, t: t[:1].sum(0), "relu": lambda m, t: t.relu(),
}  # fmt: skip


def shows_in_source(m, run):
    t = matrix(m)
    run(m, t)[...] = -7
    return -7 in t.tolist()[0]


@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_memory(name):
    assert shows_in_source(mg, VIEWS.get(name) or COPIES[name]) == (name in VIEWS)


@pytest.mark.torch
@pytest.mark.parametrize("name", [*VIEWS, *COPIES])
def test_memory_live(name):
    assert shows_in_source(pytorch(), VIEWS.get(name) or COPIES[name]) == (name in VIEWS)


SHAPE_ERRORS = {
    "view": (lambda m, t: t.t().view(6), RuntimeError, "view size is not compatible.*reshape"),
    "reshape": (lambda m, t: t.reshape(4), RuntimeError, r"reshape.*\(4,\)"),
    "two_unknown": (lambda m, t: t.reshape(-1, -1), RuntimeError, "reshape.*one unknown"),
    "transpose": (lambda m, t: t.transpose(0, 2), IndexError, r"range of \[-2, 1\], but got 2"),
    "permute": (lambda m, t: t.permute(0), RuntimeError, "permute.*axes don't match"),
    "permute_twice": (lambda m, t: t.permute(0, 0), RuntimeError, "permute.*repeated axis"),
    "expand": (lambda m, t: t.expand(2, 4), RuntimeError, r"broadcast.*\(2, ?3\).*\(2, ?4\)"),
    "squeeze": (lambda m, t: t.squeeze(5), IndexError, r"range of \[-2, 1\], but got 5"),
    "unsqueeze": (lambda m, t: t.unsqueeze(4), IndexError, "Dimension out of range"),
    "add": (lambda m, t: t + m.ones(4), RuntimeError, r"add\(\).*\(2, 3\), \(4,\)"),
    "matmul": (lambda m, t: t @ t, RuntimeError, r"cannot be multiplied \(2x3 and 2x3\)"),
    "sum": (lambda m, t: t.sum(5), IndexError, r"range of \[-2, 1\], but got 5"),
    "sum_twice": (lambda m, t: t.sum((0, 0)), RuntimeError, "sum.*duplicate"),
    "cat": (lambda m, t: m.cat([t, m.ones(2, 4)]), RuntimeError, "cat.*dimension"),
    "cat_number": (lambda m, t: m.cat([m.tensor(1)]), RuntimeError, "zero-dimensional"),
    "stack": (lambda m, t: m.stack([t, m.ones(3)]), RuntimeError, r"equal size.*\(2, 3\), \(3,\)$"),
    "stack_nothing": (lambda m, t: m.stack([]), RuntimeError, "at least one tensor"),
    "split_0": (lambda m, t: t.split(0), RuntimeError, "split_size.*0"),
    "split_-1": (lambda m, t: t.split(-1), RuntimeError, "split_size.*-1"),
    "split_sizes": (lambda m, t: t.split([1, 2]), RuntimeError, "sum exactly to 2.*1, 2"),
    "chunk": (lambda m, t: t.chunk(0), RuntimeError, "greater than 0, got: 0"),
    "repeat": (lambda m, t: t.repeat(2), RuntimeError, "1 repeats for 2 dim|can not be smaller"),
    "t": (lambda m, t: m.zeros(1, 2, 3).t(), RuntimeError, "<= 2 dimensions.*3D"),
    "tril": (lambda m, t: t[0].tril(), RuntimeError, "tril.*at least 2 dim"),
    "narrow": (lambda m, t: t.narrow(1, 2, 2), RuntimeError, r"exceeds dimension size \(3\)"),
    "clamp": (lambda m, t: t.clamp(), (RuntimeError, ValueError), "at least one of"),
    "empty_max": (lambda m, t: t[:0].max(), RuntimeError, "numel.*0"),
    "empty_argmax": (lambda m, t: t[:0].argmax(), IndexError, "argmax.*numel.*0"),
    "dot": (lambda m, t: t[0].dot(t[0, :2]), RuntimeError, "3|inconsistent"),
    "gather": (lambda m, t: t.gather(1, m.tensor([0])), RuntimeError, "same number of dimensions"),
    "gather_outside": (lambda m, t: t.gather(1, m.tensor([[5]])), RuntimeError,
        "index 5 is out of"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPE_ERRORS)
def test_shape_errors(name):
    run, error, match = SHAPE_ERRORS[name]
    with pytest.raises(error, match=match):
        run(mg, matrix())


@pytest.mark.torch
@pytest.mark.parametrize("name", SHAPE_ERRORS)
def test_shape_errors_live(name):
    torch = pytorch()
    run, error, _ = SHAPE_ERRORS[name]
    with pytest.raises(error):
        run(torch, matrix(torch))
