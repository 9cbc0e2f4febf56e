"""The losses as a user meets them: the course's programs, options, checks, gradients, messages."""

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.kernels import cpu
from minigrad.nn import functional as F

NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
# --- the five programs, with PyTorch's output and gradient; {0} stands for the library ------------

IMPORTS = "import {0} as torch\nimport {0}.nn as nn\n"
PROGRAM = """
loss = nn.{loss}()
y_true = torch.tensor({true})
y_pred = torch.tensor({pred})
out = loss(y_pred, y_true)
my_loss = out.detach().numpy()
print(my_loss)
out.backward()
print(out, y_pred.grad, loss)
"""
ROWS = "[[0.2, 0.6, 0.2], [0.1, 0.8, 0.1]], requires_grad=True, dtype=torch.float32"
ROWS_GRAD = "[[ 0.1432, -0.2864,  0.1432],\n        [ 0.1246,  0.2509, -0.3754]]"
FAR = "[1.0, 1.0, 1.9], requires_grad=True"
PROGRAMS = [  # loss, y_true, y_pred, what it prints, gradient
    ("CrossEntropyLoss", "[1, 2], dtype=torch.int64", ROWS, "1.1200755", ROWS_GRAD),
    ("CrossEntropyLoss", "[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]", ROWS, "1.1200755", ROWS_GRAD),
    ("BCELoss", "[0, 1], dtype=torch.float32", "[0.6901, 0.5459], requires_grad=True",
     "0.8884126", "[ 1.6134, -0.9159]"),
    ("L1Loss", "[2.0, 2.0, 2.0], dtype=torch.float32", FAR, "0.7", "[-0.3333, -0.3333, -0.3333]"),
    ("MSELoss", "[2.0, 2.0, 2.0], dtype=torch.float32", FAR, "0.67", "[-0.6667, -0.6667, -0.0667]"),
    ("SmoothL1Loss", "[0, 3]", "[0.6, 0.4], requires_grad=True", "1.14", "[ 0.3000, -0.5000]"),
]  # fmt: skip


def run_program(library, loss, true, pred):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(IMPORTS.format(library) + PROGRAM.format(loss=loss, true=true, pred=pred), {})
    return re.sub(r"grad_fn=<\w+>", "grad_fn", printed.getvalue())


def expected_print(loss, number, grad):
    rounded = f"{float(number):.4f}"
    return f"{number}\ntensor({rounded}, grad_fn) tensor({grad}) {loss}()\n"


@pytest.mark.parametrize(("loss", "true", "pred", "number", "grad"), PROGRAMS)
def test_program(loss, true, pred, number, grad):
    assert run_program("minigrad", loss, true, pred) == expected_print(loss, number, grad)


@pytest.mark.torch
@pytest.mark.parametrize(("loss", "true", "pred", "number", "grad"), PROGRAMS)
def test_program_live(loss, true, pred, number, grad):
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    assert run_program("torch", loss, true, pred) == expected_print(loss, number, grad)


# --- modules ------------------------------------------------------------------------------------

POINTWISE = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss")
ALL = (*POINTWISE, "CrossEntropyLoss", "NLLLoss")


def batch(name, m=mg, dtype="float32", seed=0):
    """Input and target for a loss by its module's name."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.1, 0.9, (2, 5, 4))
    x = m.tensor(x, dtype=getattr(m, dtype), requires_grad=True)
    if name in ("CrossEntropyLoss", "NLLLoss"):
        return x, m.tensor(rng.integers(4, size=5))
    return x, m.tensor(y, dtype=getattr(m, dtype))


@pytest.mark.parametrize("name", ALL)
def test_module(name):
    """Reductions agree with one another; repr and state are PyTorch's."""
    loss, (x, y) = getattr(nn, name), batch(name)
    values = loss(reduction="none")(x, y)
    assert values.shape == y.shape
    assert repr(loss()) == f"{name}()"
    assert loss().reduction == "mean"
    assert loss().state_dict() == {}
    assert loss()(x, y).item() == pytest.approx(values.mean().item(), rel=1e-6)
    assert loss(reduction="sum")(x, y).item() == pytest.approx(values.sum().item(), rel=1e-6)
    with pytest.raises(ValueError, match="reduction"):
        loss(reduction="average")(x, y)


def test_weights_are_buffers():
    weight = mg.tensor([0.5, 2.0])
    for loss in (nn.CrossEntropyLoss(weight), nn.NLLLoss(weight), nn.BCELoss(weight)):
        assert list(loss.state_dict()) == ["weight"]
        assert list(loss.parameters()) == []
        assert loss.double().weight.dtype == mg.float64
    assert list(nn.BCEWithLogitsLoss(weight, pos_weight=weight).state_dict()) == [
        "weight", "pos_weight",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "reduction"),
    [
        ({"size_average": True}, "mean"),
        ({"size_average": False}, "sum"),
        ({"reduce": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
@pytest.mark.parametrize("name", [name for name in ALL if name != "HuberLoss"])
def test_deprecated_options(name, options, reduction):
    x, y = batch(name)
    message = f"will be deprecated, please use reduction='{reduction}' instead"
    with pytest.warns(UserWarning, match=message):
        old = getattr(nn, name)(**options)
    assert old.reduction == reduction
    new = getattr(nn, name)(reduction=reduction)(x, y)
    np.testing.assert_allclose(old(x, y).detach().numpy(), new.detach().numpy(), rtol=1e-6)


# --- gradients ----------------------------------------------------------------------------------


def grad_of(loss, x, upstream, times=1):
    x.grad = None
    for i in range(times):
        loss.backward(upstream, retain_graph=i + 1 < times)
    return x.grad.numpy().copy()


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", ALL)
def test_gradients_add_up(name, reduction):
    """Backward twice is twice the gradient, bit for bit; so is one input of two losses."""
    x, y = batch(name)
    loss = getattr(nn, name)(reduction=reduction)
    shape = y.shape if reduction == "none" else ()
    upstream = mg.tensor(np.random.default_rng(1).standard_normal(shape), dtype=mg.float32)
    once = grad_of(loss(x, y), x, upstream)
    np.testing.assert_array_equal(grad_of(loss(x, y), x, upstream, times=2), 2 * once)
    np.testing.assert_array_equal(grad_of(loss(x, y) + loss(x, y), x, upstream), 2 * once)
    other = nn.MSELoss(reduction="sum")(x, mg.zeros(x.shape))
    factor = upstream.sum()
    both = grad_of((loss(x, y) * upstream).sum() + other * factor, x, None)
    alone = grad_of(nn.MSELoss(reduction="sum")(x, mg.zeros(x.shape)), x, factor)
    np.testing.assert_allclose(both, once + alone, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_is_computed_where_none_is_asked_for(name, monkeypatch):
    x, y = batch(name)
    seen = []
    for run in ("run_pointwise", "run_classes"):
        original = getattr(cpu, run)
        monkeypatch.setattr(
            cpu, run, lambda *a, original=original: seen.append(original(*a)) or seen[-1]
        )
    with mg.no_grad():
        loss = getattr(nn, name)()(x, y)
    assert loss.grad_fn is None
    assert all(gradient is None for _, _, gradient in seen)
    assert getattr(nn, name)()(x.detach(), y).grad_fn is None
    assert len(seen) == (0 if name == "NLLLoss" else 2)


@pytest.mark.parametrize("function", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_weights_have_no_gradient(function):
    x, y = batch("BCELoss")
    weight = mg.ones(4, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"weight: .*not differentiable"):
        function(x, y, weight=weight)
    x, y = batch("CrossEntropyLoss")
    for loss in (F.cross_entropy, F.nll_loss):
        with pytest.raises(RuntimeError, match=r"weight: .*not differentiable"):
            loss(x, y, weight=weight)


# --- what comes in is checked -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_integer_targets_of_any_width(loss, dtype):
    x, y = batch("CrossEntropyLoss")
    assert loss(x, y.to(getattr(mg, dtype))).item() == loss(x, y).item()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_class_out_of_range(loss):
    x = mg.zeros(2, 3, 4, requires_grad=True)
    for bad in (3, -1, -100 - 1):
        y = np.zeros((2, 4), np.int64)
        y[1, 2] = bad
        message = rf"class {bad} at position \(1, 2\) is out of bounds for 3 classes"
        with pytest.raises(IndexError, match=message):
            loss(x, mg.tensor(y))
    y[1, 2] = -100
    assert loss(x, mg.tensor(y), reduction="sum").item() == pytest.approx(
        7 * np.log(3) if loss is F.cross_entropy else 0
    )
    with pytest.raises(IndexError, match=r"class 7 at position \(\) is out of bounds for 3"):
        loss(mg.zeros(3), mg.tensor(7))


def outside(value):
    return mg.tensor([[0.5, 0.25], [0.0, value]])


@pytest.mark.parametrize("value", [1.5, -0.25, np.nan, np.inf, 1 + 2**-23])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_bce_outside_0_to_1(value, reduction):
    inside = outside(1.0)
    message = r"all elements of {} should be between 0 and 1, got (\S+) at position \(1, 1\)"
    for name, arguments in (
        ("input", (outside(value), inside)),
        ("target", (inside, outside(value))),
    ):
        with pytest.raises(RuntimeError, match=message.format(name)) as error:
            F.binary_cross_entropy(*arguments, reduction=reduction)
        got = float(re.search(message.format(name), str(error.value))[1])
        np.testing.assert_allclose(got, value, rtol=1e-7)
    weight = mg.tensor([np.nan, 1.0])  # a NaN of the weight's is no reason to complain
    assert np.isnan(F.binary_cross_entropy(inside, inside, weight).item())


def x(*shape):
    return np.full(shape, 0.25)


def i(*shape):
    return np.zeros(shape, np.int64)


ERRORS = [  # function, its arrays, options; PyTorch's exception
    ("mse_loss", (x(2, 3), x(2)), {}, RuntimeError),
    ("l1_loss", (x(2, 3), x(2)), {}, RuntimeError),
    ("smooth_l1_loss", (x(2, 3), x(2)), {}, RuntimeError),
    ("huber_loss", (x(2, 3), x(2)), {}, RuntimeError),
    ("mse_loss", (i(2), i(2)), {}, RuntimeError),
    ("binary_cross_entropy", (x(2, 3), x(3)), {}, ValueError),
    ("binary_cross_entropy", (x(2), x(2)), {"weight": x(3)}, RuntimeError),
    ("binary_cross_entropy", (x(2), x(2)), {"weight": x(3, 2)}, RuntimeError),
    ("binary_cross_entropy_with_logits", (x(2, 3), x(3)), {}, ValueError),
    ("binary_cross_entropy_with_logits", (x(2), x(2)), {"weight": x(3)}, RuntimeError),
    ("binary_cross_entropy_with_logits", (x(2), x(2)), {"weight": x(3, 2)}, RuntimeError),
    ("binary_cross_entropy_with_logits", (x(2), x(2)), {"pos_weight": x(3)}, RuntimeError),
    ("binary_cross_entropy_with_logits", (x(2), x(2)), {"pos_weight": x(3, 2)}, RuntimeError),
    ("smooth_l1_loss", (x(2), x(2)), {"beta": -1.0}, RuntimeError),
    ("smooth_l1_loss", (x(2), x(2)), {"beta": np.nan}, RuntimeError),
    ("huber_loss", (x(2), x(2)), {"delta": 0.0}, RuntimeError),
    ("huber_loss", (x(2), x(2)), {"delta": -1.0}, RuntimeError),
    ("mse_loss", (x(2), x(2)), {"reduction": "avg"}, ValueError),
    ("cross_entropy", (x(2, 3), i(2)), {"reduction": "avg"}, ValueError),
    ("cross_entropy", (x(2, 3), i(2)), {"label_smoothing": 1.5}, RuntimeError),
    ("cross_entropy", (x(2, 3), x(2, 3)), {"ignore_index": 1}, RuntimeError),
    ("cross_entropy", (x(2, 3), i(2)), {"weight": x(2)}, RuntimeError),
    ("cross_entropy", (x(2, 3), x(2, 3)), {"weight": x(2)}, RuntimeError),
    ("cross_entropy", (x(2, 3), i(3)), {}, ValueError),
    ("cross_entropy", (x(2, 3), i()), {}, ValueError),
    ("cross_entropy", (x(2, 3), i(2, 1)), {}, RuntimeError),
    ("cross_entropy", (x(2, 3), x(2, 4)), {}, RuntimeError),
    ("cross_entropy", (x(3), x(1)), {}, RuntimeError),
    ("cross_entropy", (x(3), i(2)), {}, ValueError),
    ("cross_entropy", (x(), i()), {}, RuntimeError),
    ("cross_entropy", (x(2, 3, 4), i(1, 4)), {}, ValueError),
    ("cross_entropy", (x(2, 3, 4), i(2, 5)), {}, RuntimeError),
    ("cross_entropy", (x(2, 3), i(2) > 0), {}, RuntimeError),
    ("cross_entropy", (i(2, 3), i(2)), {}, RuntimeError),
    ("cross_entropy", (x(2, 3), i(2) + 3), {}, IndexError),
    ("nll_loss", (x(2, 3), i(2) + 3), {}, IndexError),
    ("nll_loss", (x(2, 3), x(2, 3)), {}, RuntimeError),
    ("nll_loss", (x(2, 3), i(3)), {}, ValueError),
]


def call(m, function, arrays, options):
    options = {k: m.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using a target size", category=UserWarning)
        return getattr(m.nn.functional, function)(*map(m.tensor, arrays), **options)


@pytest.mark.parametrize(("function", "arrays", "options", "error"), ERRORS)
def test_error(function, arrays, options, error):
    named = "|".join([*options, "target", "input", "weight", "broadcast"])
    with pytest.raises(error, match=named) as raised:
        call(mg, function, arrays, options)
    assert raised.type is error


@pytest.mark.torch
@pytest.mark.parametrize(("function", "arrays", "options", "error"), ERRORS)
def test_error_live(function, arrays, options, error):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    with pytest.raises(error):
        call(torch, function, arrays, options)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_unequal_shapes_broadcast_with_a_warning(name):
    left, right = mg.randn(2, 3, requires_grad=True), mg.randn(3, requires_grad=True)
    message = r"Using a target size \(.*\[3\]\)\) that is different to the input size"
    with pytest.warns(UserWarning, match=message) as caught:
        loss = getattr(F, name)(left, right, reduction="none")
    assert caught[0].filename == __file__
    upstream = mg.randn(2, 3)
    loss.backward(upstream)
    wide = right.detach().broadcast_to((2, 3)).clone().requires_grad_()
    again = getattr(F, name)(left.detach(), wide, reduction="none")
    again.backward(upstream)
    np.testing.assert_array_equal(loss.detach().numpy(), again.detach().numpy())
    np.testing.assert_allclose(right.grad.numpy(), wide.grad.numpy().sum(0), rtol=1e-6)
    np.testing.assert_allclose(left.grad.numpy(), -wide.grad.numpy(), rtol=1e-6)


def test_only_tensors():
    with pytest.raises(TypeError, match="target: expected a Tensor, got list"):
        F.mse_loss(mg.zeros(2), [0.0, 0.0])
    with pytest.raises(TypeError, match="input: expected a Tensor, got ndarray"):
        F.cross_entropy(np.zeros((2, 3)), mg.tensor([0, 1]))


# --- special sizes, dtypes ----------------------------------------------------------------------

BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
f4, f8 = (np.array([[0.25, 0.5], [0.75, 0.125]], t) for t in (np.float32, np.float64))
OUTCOMES = [  # function, arrays, options; dtype and value
    *(
        (name, (np.zeros(0, np.float32),) * 2, {"reduction": reduction}, "float32", value)
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", *BINARY)
        for reduction, value in (("mean", np.nan), ("sum", 0.0), ("none", []))
    ),
    *(
        (name, (f4[:0], i(0)), {"reduction": reduction}, "float32", value)
        for name in ("cross_entropy", "nll_loss")
        for reduction, value in (("mean", np.nan), ("sum", 0.0), ("none", []))
    ),
    ("cross_entropy", (f4[:0], f4[:0]), {}, "float32", np.nan),
    ("cross_entropy", (f4[:, :0], i(2) - 100), {}, "float32", np.nan),
    ("cross_entropy", (f4, i(2) - 100), {}, "float32", np.nan),
    ("cross_entropy", (f4, i(2) - 100), {"reduction": "sum"}, "float32", 0.0),
    ("cross_entropy", (f4, i(2) - 100), {"reduction": "none"}, "float32", [0.0, 0.0]),
    ("cross_entropy", (f4, i(2) - 100), {"label_smoothing": 0.1}, "float32", np.nan),
    ("cross_entropy", (f4, i(2)), {"weight": np.array([0, 1], np.float32)}, "float32", np.nan),
    ("nll_loss", (f4, i(2) - 100), {}, "float32", np.nan),
    ("cross_entropy", (f4[0], i()), {"reduction": "none"}, "float32", 0.8259394),
    ("cross_entropy", (f4[0], i(1)), {"reduction": "none"}, "float32", 0.8259394),
    ("cross_entropy", (f4, f8), {}, "float64", 0.47384632006287575),
    ("cross_entropy", (f4, i(2) + 2**40), {"ignore_index": 2**40}, "float32", np.nan),
    ("mse_loss", (f4, f8 + 1), {}, "float64", 1.0),
    ("mse_loss", (f8, f4 + 1), {}, "float64", 1.0),
    ("mse_loss", (f4, i(2, 2)), {}, "float32", 0.22265625),
    ("mse_loss", (i(2, 2), f4), {}, "float32", 0.22265625),
    ("l1_loss", (f4, i(2, 2)), {}, "float32", 0.40625),
    ("smooth_l1_loss", (f4, i(2, 2) + 3), {}, "float32", 2.09375),
    ("smooth_l1_loss", (f8, f4 + 1), {"beta": 0.0}, "float64", 1.0),
    ("huber_loss", (f4, f4 + 3), {"delta": 2}, "float32", 4.0),
    ("binary_cross_entropy", (f4, f4), {"weight": f8}, "float32", 0.23900124),
    ("binary_cross_entropy_with_logits", (f4, f4), {"weight": f8}, "float32", 0.26910582),
    ("binary_cross_entropy_with_logits", (f4, f4), {"pos_weight": f8 * 3}, "float32", 0.7999136),
    ("binary_cross_entropy_with_logits", (f4, f4), {"pos_weight": i(2) + 3}, "float32", 1.0760911),
    ("binary_cross_entropy_with_logits", (f4, f8), {}, "float64", 0.7009653672575951),
]


def check_outcome(m, function, arrays, options, dtype, value):
    out = call(m, function, arrays, options)
    assert str(out.dtype).rpartition(".")[2] == dtype
    np.testing.assert_allclose(out.numpy(), value, rtol=1e-6)


@pytest.mark.parametrize(("function", "arrays", "options", "dtype", "value"), OUTCOMES)
def test_outcome(function, arrays, options, dtype, value):
    check_outcome(mg, function, arrays, options, dtype, value)


@pytest.mark.torch
@pytest.mark.parametrize(("function", "arrays", "options", "dtype", "value"), OUTCOMES)
def test_outcome_live(function, arrays, options, dtype, value):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    check_outcome(torch, function, arrays, options, dtype, value)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ignored_rows_have_no_gradient(reduction, smoothing):
    """Neither rows of NaN that are ignored nor a batch of nothing but ignored rows."""
    values = np.random.default_rng(0).standard_normal((4, 3))
    values[1] = np.nan, np.inf, -np.inf
    x = mg.tensor(values, requires_grad=True)
    options = {"label_smoothing": smoothing, "reduction": reduction}
    loss = F.cross_entropy(x, mg.tensor([0, -100, 2, 1]), **options)
    loss.backward(mg.randn(loss.shape, dtype=mg.float64))
    grad = x.grad.numpy()
    assert (grad[1] == 0).all()
    assert (grad[[0, 2, 3]] != 0).all()
    x.grad = None
    loss = F.cross_entropy(x, mg.tensor([-100] * 4), **options)
    loss.backward(mg.randn(loss.shape, dtype=mg.float64))
    assert (x.grad.numpy() == 0).all()


@pytest.mark.torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", [*POINTWISE, "CrossEntropyLoss"])
def test_gradient_of_the_target_live(name, reduction):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    grads = []
    for m in (mg, torch):
        x, y = batch(name, m, "float64")
        y = batch("MSELoss", m, "float64", seed=5)[0] if name == "CrossEntropyLoss" else y
        y = y.detach().requires_grad_()
        loss = getattr(m.nn, name)(reduction=reduction)(x, y)
        loss.backward(m.tensor(np.random.default_rng(2).standard_normal(tuple(loss.shape))))
        grads.append((x.grad.numpy(), y.grad.numpy()))
    np.testing.assert_allclose(*grads, rtol=1e-10, atol=1e-12)


# --- no classes ---------------------------------------------------------------------------------

NO_CLASSES = [(3, 0), (0,), (0, 0), (0, 0, 3), (2, 0, 3)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", NO_CLASSES, ids=str)
def test_rows_of_no_classes_are_worth_nothing(shape, smoothing):
    """As in PyTorch: 0 each; the mean of them, which divides by elements over classes, is NaN."""
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    for target in (mg.zeros(*shape), mg.full(rows, -100)):
        for reduction, expected in (("none", np.zeros(rows)), ("sum", 0.0), ("mean", np.nan)):
            x = mg.zeros(*shape, requires_grad=True)
            options = {"reduction": reduction, "label_smoothing": smoothing}
            out = F.cross_entropy(x, target, **options)
            np.testing.assert_array_equal(out.detach().numpy(), expected)
            out.sum().backward()
            assert x.grad.shape == shape


BOUNDS = """
import minigrad as mg
for _ in range(300):
    x = mg.zeros(3, 0, requires_grad=True)
    mg.nn.functional.cross_entropy(x, mg.zeros(3, 0), reduction="sum").backward()
x = mg.full((3, 40), float("nan")).requires_grad_()  # whose largest logit is at no place
mg.nn.functional.cross_entropy(x, mg.ones(3, 40)).backward()
"""


def test_no_row_is_written_in_front_of_its_slopes(tmp_path):
    """There is no largest logit of no classes: its slope went to the place -1, into the heap."""
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", BOUNDS], check=True, env=os.environ | checked)


@pytest.mark.parametrize("dtype", [mg.int64, mg.int32])
def test_classes_that_were_changed_are_not_used_again(dtype):
    x, y = mg.randn(4, 3).requires_grad_(), mg.zeros(4, dtype=dtype)
    loss = F.cross_entropy(x, y)
    loss.backward(retain_graph=True)
    y.fill_(30_000_000)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.longdouble, np.float32, mg.tensor])
def test_options_of_any_type_of_number(kind):
    """float128 went into a kernel, where Numba has no such type; float64 made float32 rows wide."""
    x, y, weight = mg.randn(4, 3), mg.tensor([0, 2, 1, 1]), mg.rand(3)
    for target in (y, F.one_hot(y, 3).float()):
        expected = F.cross_entropy(x, target, weight, label_smoothing=0.25)
        found = F.cross_entropy(x, target, weight, label_smoothing=kind(0.25))
        assert found.dtype == mg.float32
        assert found.item() == expected.item()
    ignored = F.cross_entropy(x, y, ignore_index=np.int8(2))
    assert ignored.item() == F.cross_entropy(x, y, ignore_index=2).item()
