"""detect_anomaly names the operation that made the first NaN, as PyTorch does, and sooner."""

import re
import threading
import warnings

import numpy as np
import pytest

import minigrad as mg

INF = float("inf")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch live")


def leaf(library, *values):
    return library.tensor(list(values), dtype=library.float64, requires_grad=True)


# What is computed, and the gradients it is given: NaN arises in the backward pass.
BACKWARD = {
    "sqrt": (lambda t, x, y: t.sqrt(x) * y, (0.0, 4.0), (0.0, 2.0), (1.3, -0.7)),
    "sqrt, later": (lambda t, x, y: (t.sqrt(x.exp() - 1) * y).cos(), (0.0,), (0.0,), (0.4,)),
    "mul, first input": (lambda t, x, y: x * y, (0.0, 1.0), (INF, 2.0), (0.0, 0.6)),
    "div, second input": (lambda t, x, y: x.detach() / y, (3.0,), (0.0,), (0.0,)),
    "pow": (lambda t, x, y: x**0.5 * y, (0.0,), (0.0,), (1.7,)),
    "log": (lambda t, x, y: t.log(x) + y, (0.0,), (1.0,), (0.0,)),
    "exp": (lambda t, x, y: t.exp(x) + y, (800.0,), (1.0,), (0.0,)),
    "sum of nan": (lambda t, x, y: (x + y).sum(), (1.0, 2.0), (1.0, 2.0), np.nan),
    "broadcast": (lambda t, x, y: x * y, (1.0, 2.0), (3.0,), (0.2, np.nan)),
}


def compute(library, case):
    function, x, y, g = BACKWARD[case]
    out = function(library, leaf(library, *x), leaf(library, *y))  # where the forward call is
    return out, library.tensor(g, dtype=library.float64)


def error_of(function, kind=RuntimeError):
    with pytest.raises(kind) as caught:
        function()
    return caught.value


def walk(library, case, **options):
    out, g = compute(library, case)
    out.backward(g, **options)


@pytest.mark.torch
@pytest.mark.parametrize("case", BACKWARD)
def test_the_node_and_its_output_are_pytorchs(case, torch):
    """The forward pass is outside, where ours would find some of them first."""
    errors = []
    for library in (mg, torch):
        out, g = compute(library, case)
        with warnings.catch_warnings(), library.autograd.set_detect_anomaly(True):
            warnings.simplefilter("ignore")  # PyTorch's, that it was not on in the forward pass
            errors.append(str(error_of(lambda out=out, g=g: out.backward(g))))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("case", BACKWARD)
def test_no_error_when_it_is_off(case):
    out, g = compute(mg, case)
    out.backward(g)


@pytest.mark.parametrize("create_graph", [False, True])
def test_the_note_shows_the_forward_call(create_graph):
    with mg.autograd.detect_anomaly():
        error = error_of(lambda: walk(mg, "sqrt", create_graph=create_graph))
    assert str(error) == "Function 'SqrtBackward0' returned nan values in its 0th output."
    (note,) = error.__notes__
    start = "Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n"
    assert note.startswith(start)
    assert re.search(r"test_anomaly.py\", line \d+, in compute\n .*# where the forward call", note)
    assert note.rstrip().splitlines()[-1].strip().startswith('"sqrt": (lambda')  # and no line of
    assert "tensor.py" not in note  # the library's own


@pytest.mark.torch
def test_pytorch_shows_the_same_line(torch):
    frames = re.compile(r'File "(.*test_anomaly.py)", line (\d+), in (compute|<lambda>)')
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly():
            error_of(lambda: walk(torch, "sqrt"))
    theirs = [f for w in shown for f in frames.findall(str(w.message)) if f[2] == "compute"]
    with mg.autograd.detect_anomaly():
        error = error_of(lambda: walk(mg, "sqrt"))
    assert theirs == [f for f in frames.findall(error.__notes__[0]) if f[2] == "compute"]
    assert theirs


def test_a_forward_call_outside_is_said_to_be_outside():
    out, g = compute(mg, "sqrt")
    with mg.autograd.detect_anomaly():
        (note,) = error_of(lambda: out.backward(g)).__notes__
    assert note.startswith("Error detected in SqrtBackward0. No forward pass information available")


class Faulty(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x, fault):
        ctx.fault = fault
        return x * 1, x * 2

    @staticmethod
    def backward(ctx, g, h):
        if ctx.fault is None:
            raise KeyError("of the user")
        return (g + h) * ctx.fault, None


def test_functions_of_users_are_named():
    x = leaf(mg, 1.0, 2.0)
    with mg.autograd.detect_anomaly():
        for fault, error in ((np.nan, RuntimeError), (None, KeyError)):
            with pytest.raises(error) as caught:
                Faulty.apply(x, fault)[1].backward(mg.tensor([0.3, -0.2], dtype=mg.float64))
            (note,) = caught.value.__notes__
            assert note.startswith("Error detected in FaultyBackward. Traceback of forward call")
            if fault is not None:
                message = "Function 'FaultyBackward' returned nan values in its 0th output."
                assert str(caught.value) == message
        Faulty.apply(x, 0.5)[0].backward(mg.tensor([0.3, -0.2], dtype=mg.float64))
    assert x.grad.tolist() == [0.15, -0.1]


def test_values_changed_in_place_are_traced_to_their_use():
    x = leaf(mg, 1.0, 2.0)
    with mg.autograd.detect_anomaly():
        y = x.exp()
        z = y.sin()  # the use
        with mg.no_grad():
            y.add_(1)
        error = error_of(lambda: z.backward(mg.tensor([0.3, -0.2], dtype=mg.float64)))
    assert "modified by an inplace operation" in str(error)
    assert "# the use" in error.__notes__[0]


@pytest.mark.parametrize(
    ("name", "function", "values"),
    [
        ("log", lambda x: x.log(), (-1.0, 1.0)),
        ("sqrt", lambda x: x.sqrt(), (4.0, -1e-30)),
        ("div", lambda x: x / x, (1.0, 0.0)),
        ("sub", lambda x: x - x, (1.0, INF)),
        ("mul", lambda x: x * 0.0, (-INF, 1.0)),
        ("matmul", lambda x: x @ mg.tensor([0.0, 1.0], dtype=mg.float64), (INF, 1.0)),
        ("sum", lambda x: x.sum(), (INF, -INF)),
        ("mse", lambda x: mg.nn.functional.mse_loss(x, x.detach()), (INF, 1.0)),
        ("cross_entropy", lambda x: mg.nn.functional.cross_entropy(x, mg.tensor(0)), (INF, 1.0)),
    ],
)
def test_a_forward_operation_is_named(name, function, values):
    x = leaf(mg, *values)
    function(x)  # off: no error
    with mg.autograd.detect_anomaly():
        for given in (x, x.detach()):
            message = f"Function '_?{name}' returned nan values from inputs without nan"
            with pytest.raises(RuntimeError, match=message):
                function(given)
    function(x)


def test_those_who_hand_nan_on_are_not_blamed():
    with mg.autograd.detect_anomaly():
        x = leaf(mg, np.nan, 1.0)
        assert np.isnan((x.exp() * 2).sum().item())
        y = leaf(mg, 1.0, 2.0)
        assert np.isnan((y * float("nan")).sum().item())
        assert y.masked_fill(mg.tensor([True, False]), float("nan"))[1].item() == 2


@pytest.mark.parametrize("gradient", [(INF, -INF), (-INF, INF)])
def test_nan_from_adding_gradients(gradient):
    """Each gradient is free of NaN, their sum is not; PyTorch does not see this one."""
    g = mg.tensor(list(gradient), dtype=mg.float64)
    with mg.autograd.detect_anomaly():
        x = leaf(mg, 1.0)
        with pytest.raises(RuntimeError, match="returned nan values") as caught:
            (x + mg.zeros(2, dtype=mg.float64)).backward(g)
        assert caught.value.__notes__[0].startswith("Error detected in AddBackward0")
        x = leaf(mg, 1.0)
        with pytest.raises(RuntimeError, match="returned nan values"):
            mg.autograd.backward([x * 2, x * 3], [g[:1], g[1:]])
        (x * 2).backward(g[:1])
        with pytest.raises(RuntimeError, match="returned nan values"):
            (x * 3).backward(g[1:])


def train():
    mg.manual_seed(0)
    model = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.ReLU(), mg.nn.Dropout(), mg.nn.Linear(8, 3))
    optimizer = mg.optim.Adam(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        out = model(mg.randn(5, 4))
        mg.nn.functional.cross_entropy(out, mg.randint(3, (5,))).backward()
        out.detach().exp_()
        optimizer.step()
    return [p.tolist() for p in model.parameters()]


def test_a_sound_training_has_the_same_bits():
    plain = train()
    with mg.autograd.detect_anomaly():
        assert train() == plain


def test_modes_nest_and_end():
    bad = mg.tensor([-1.0])

    def nested():
        with mg.autograd.detect_anomaly():
            with mg.autograd.set_detect_anomaly(False):
                bad.log()
            error_of(bad.log)
            raise KeyError

    error_of(nested, KeyError)
    bad.log()
    mg.autograd.set_detect_anomaly(True)
    with pytest.raises(RuntimeError):
        bad.log()
    mg.autograd.set_detect_anomaly(False)
    bad.log()


def test_other_threads_are_left_alone():
    found = []
    with mg.autograd.detect_anomaly():
        thread = threading.Thread(target=lambda: found.append(mg.tensor([-1.0]).log().item()))
        thread.start()
        thread.join()
    assert np.isnan(found[0])


def test_a_compiled_function_runs_as_it_was_written():
    log = mg.compile(lambda x: x.log())
    bad = mg.tensor([-1.0])
    assert np.isnan(log(bad).item())
    with mg.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="'log' returned nan"):
        log(bad)
    assert np.isnan(log(bad).item())

    @mg.compile
    def step(x):
        with mg.autograd.detect_anomaly():
            return x.log()

    with pytest.raises(RuntimeError, match="cannot record this step: detect_anomaly"):
        step(bad)


def test_forgotten_graphs_leave_nothing_behind():
    """Where operations were called is kept as long as their nodes."""
    from minigrad.autograd import anomaly

    with mg.autograd.detect_anomaly():
        x = leaf(mg, 1.0)
        y = x.exp().sin()
        kept = len(anomaly._calls)
        del y
    assert len(anomaly._calls) == kept - 2
