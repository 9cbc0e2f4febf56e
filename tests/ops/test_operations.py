"""Values and gradients of every operation and loss option: PyTorch's, in every dtype and layout."""

import warnings

import numpy as np
import pytest

import minigrad as mg
from helpers import REFERENCE
from helpers.cases import CASES
from helpers.layouts import LAYOUTS
from helpers.loss_cases import LOSS_CASES

STORED = {
    key: value
    for file in ("operations", "losses")
    for key, value in np.load(REFERENCE / f"{file}.npz").items()
}
ALL = CASES + LOSS_CASES
# float32 is held to 2e-6 of the result's scale, float64 to 1e-10.
TOLERANCE = {np.float64: 1e-10, np.float32: 2e-6}


def case_id(case):
    return case.name


def assert_close(got, want, dtype):
    """got within the dtype's tolerance of want, relative to want's largest finite element."""
    assert got.shape == want.shape
    finite = np.abs(want[np.isfinite(want)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(
        got.astype(np.float64), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
    )


def run_ours(case, dtype, layout):
    arrays = [LAYOUTS[layout](a.astype(dtype)) for a in case.inputs()]
    before = [a.copy() for a in arrays]
    inputs = [mg.from_numpy(a).requires_grad_() for a in arrays]
    out = case.run(mg, *inputs)
    out.backward(mg.tensor(case.upstream(out.shape).astype(dtype)))
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b, "an input was written to")
    return out, inputs


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("case", ALL, ids=case_id)
def test_stored_reference(case, dtype, layout):
    out, inputs = run_ours(case, dtype, layout)
    wide = case.name == "to_float64"
    assert out.dtype == (np.float64 if wide else dtype)
    assert_close(out.detach().numpy(), STORED[f"{case.name}/out"], dtype)
    for i, x in enumerate(inputs):
        key = f"{case.name}/grad{i}"
        if key not in STORED:
            assert x.grad is None
            continue
        assert x.grad.dtype == dtype
        assert_close(x.grad.numpy(), STORED[key], dtype)


@pytest.mark.parametrize("case", [c for c in ALL if c.smooth], ids=case_id)
def test_second_derivatives(case):
    inputs = [mg.tensor(a, requires_grad=True) for a in case.inputs()]
    assert mg.autograd.gradgradcheck(lambda *x: case.run(mg, *x), inputs)


@pytest.mark.torch
@pytest.mark.parametrize("case", ALL, ids=case_id)
def test_live(case):
    """The stored reference is what the installed PyTorch computes."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    inputs = [torch.tensor(a, requires_grad=True) for a in case.inputs()]
    out = case.run(torch, *inputs)
    out.backward(torch.tensor(case.upstream(tuple(out.shape))))
    assert_close(out.detach().numpy(), STORED[f"{case.name}/out"], np.float64)
    for i, x in enumerate(inputs):
        if x.grad is not None:
            assert_close(x.grad.numpy(), STORED[f"{case.name}/grad{i}"], np.float64)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("case", [c for c in CASES if c.shapes == ((3, 4),)], ids=case_id)
def test_unusual_shapes(case, shape):
    """On numbers and on nothing: PyTorch's value and gradient, or an error where it has one."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    if case.values:
        pytest.skip("the case brings its own values")
    array = np.random.default_rng(0).uniform(case.low, case.high, shape)
    array = np.abs(array) + 0.5 if case.low > 0 else array

    def run(m):
        x = m.tensor(array, requires_grad=True)
        out = case.run(m, x)
        out.backward(m.tensor(case.upstream(tuple(out.shape))))
        return out.detach().numpy(), None if x.grad is None else x.grad.numpy()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # too few degrees of freedom, .T of a vector
            want, want_grad = run(torch)
    except Exception as error:
        with pytest.raises(type(error)):
            run(mg)
        return
    got, got_grad = run(mg)
    assert_close(got, want, np.float64)
    assert (got_grad is None) == (want_grad is None)
    if got_grad is not None:
        assert_close(got_grad, want_grad, np.float64)


TALL = np.random.default_rng(0).standard_normal((300_000, 3)).astype(np.float32) + np.float32(1000)
LONG = {  # what sums a leading dimension, and what float64 says
    "sum": (lambda x: x.sum(0), lambda x: x.sum(0)),
    "mean": (lambda x: x.mean(0), lambda x: x.mean(0)),
    "mean of all": (lambda x: x.mean(), lambda x: x.mean()),
    "mean of a transpose": (lambda x: x.t().mean(1), lambda x: x.mean(0)),
    "var": (lambda x: x.var(0), lambda x: x.var(0, ddof=1)),
    "std": (lambda x: x.std(0), lambda x: x.std(0, ddof=1)),
    "norm": (lambda x: x.norm(2, 0), lambda x: np.sqrt((x * x).sum(0))),
    "norm 3": (lambda x: x.norm(3, 0), lambda x: np.cbrt((np.abs(x) ** 3).sum(0))),
    "norm 1": (lambda x: x.norm(1, 0), lambda x: np.abs(x).sum(0)),
    "cumsum": (lambda x: x.cumsum(0)[-1], lambda x: x.sum(0)),
    "logsumexp": (
        lambda x: x.logsumexp(0),
        lambda x: np.log(np.exp(x - 1000).sum(0)) + 1000,
    ),
    "softmax": (
        lambda x: (x * 0).softmax(0)[:2],
        lambda x: np.full((2, 3), 1 / len(x)),
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_sums_of_a_leading_dimension_keep_their_digits(name):
    ours, exact = LONG[name]
    want = exact(TALL.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(ours(mg.tensor(TALL)).numpy(), want, rtol=1.3e-7)


def test_gradients_of_what_was_broadcast_keep_their_digits():
    want = TALL.astype(np.float64).sum(0)
    bias, copies = (mg.zeros(3, requires_grad=True) for _ in range(2))
    (mg.zeros(TALL.shape) + bias + copies.repeat(len(TALL), 1)).backward(mg.tensor(TALL))
    linear = mg.nn.Linear(2, 3)
    linear(mg.zeros(len(TALL), 2)).backward(mg.tensor(TALL))
    for b in (bias, copies, linear.bias):
        np.testing.assert_allclose(b.grad.numpy(), want, rtol=1.3e-7)


@pytest.mark.parametrize(("value", "want"), [(np.nan, np.nan), (np.inf, np.inf)])
def test_sums_of_what_is_not_finite(value, want):
    x = np.ones((50, 40, 3))
    x[1, 2, 0] = value
    for dims in (0, 1, 2, (0, 2), None):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(mg.tensor(x).sum(dims).numpy(), x.sum(dims))
    assert np.isnan(mg.tensor([np.inf, -np.inf, 1.0]).sum().item())
