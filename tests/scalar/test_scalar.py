"""Scalars: micrograd's tests, PyTorch's values and slopes, memory, threads, pictures, the demo."""

import builtins
import copy
import gc
import inspect
import math
import pickle
import random
import re
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import weakref
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numba
import numpy as np
import pytest

import minigrad as mg
from helpers.speed import alone, assert_lead
from minigrad import cli, scalar
from minigrad.scalar import Value, draw, nn, operations, pages, replay, rules
from minigrad.scalar.operations import OPERATIONS
from minigrad.scalar.value import history

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    0.5,
    -3.7,
    800.0,
    -800.0,
    1e-300,
    math.inf,
    -math.inf,
    math.nan,
]
DIFFERENTIABLE = [name for name, row in OPERATIONS.items() if row.slopes and name != "where"]
EXACT = {"add", "sub", "mul", "div", "neg", "abs", "relu", "sqrt", "max", "min"}
SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}


@pytest.fixture
def small_pages(monkeypatch):
    """Graphs that cross from page to page every few operations."""
    monkeypatch.setattr(pages, "SIZE", 7)
    pages.turn(pages.current)
    yield
    monkeypatch.undo()
    pages.turn(pages.current)


def through(number, name, *operands):
    """One operation as a user writes it; `number` brings in torch's names where they differ."""
    if name in SYMBOLS:
        return eval(f"a {SYMBOLS[name]} b", dict(zip("ab", operands, strict=True)))
    if name == "neg":
        return -operands[0]
    if name == "softplus" and number is not scalar:  # torch's is linear from 20 on
        return number.logaddexp(operands[0], number.zeros_like(operands[0]))
    names = {"max": "maximum", "min": "minimum"} if number is not scalar else {}
    return getattr(number, names.get(name, name))(*operands)


# --- as micrograd ---------------------------------------------------------------------------------


def sanity_check(a):
    z = 2 * a + 2 + a
    q = z.relu() + z * a
    h = (z * z).relu()
    return h + q + q * a


def more_operations(a, b):
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    return g


@pytest.mark.torch
@pytest.mark.parametrize(
    ("function", "inputs"), [(sanity_check, [-4.0]), (more_operations, [-4.0, 2.0])]
)
def test_micrograds_own_tests(function, inputs):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = [Value(x) for x in inputs]
    theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
    y, t = function(*ours), function(*theirs)
    y.backward()
    t.backward()
    assert y.data == t.item()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad == pytest.approx(b.grad.item(), rel=1e-14)


def test_micrograds_readme():
    a, b = Value(-4.0), Value(2.0)
    g = more_operations(a, b)
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"
    assert repr(Value(3)) == "Value(data=3.0, grad=0.0)"


MOONS = """
import random
import numpy as np
from sklearn.datasets import make_moons
from micrograd.engine import Value
from micrograd.nn import Neuron, Layer, MLP

np.random.seed(1337)
random.seed(1337)
X, y = make_moons(n_samples=100, noise=0.1)
y = y*2 - 1 # make y be -1 or 1
model = MLP(2, [16, 16, 1]) # 2-layer neural network
summary = f"{model} {len(model.parameters())}"

def loss(batch_size=None):
    if batch_size is None:
        Xb, yb = X, y
    else:
        ri = np.random.permutation(X.shape[0])[:batch_size]
        Xb, yb = X[ri], y[ri]
    inputs = [list(map(Value, xrow)) for xrow in Xb]
    scores = list(map(model, inputs))
    losses = [(1 + -yi*scorei).relu() for yi, scorei in zip(yb, scores)]
    data_loss = sum(losses) * (1.0 / len(losses))
    alpha = 1e-4
    reg_loss = alpha * sum((p*p for p in model.parameters()))
    total_loss = data_loss + reg_loss
    accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(yb, scores)]
    return total_loss, sum(accuracy) / len(accuracy)

found = []
for k in range(STEPS):
    total_loss, acc = loss(BATCH)
    model.zero_grad()
    total_loss.backward()
    learning_rate = 1.0 - 0.9*k/100
    for p in model.parameters():
        p.data -= learning_rate * p.grad
    found.append(total_loss.data)
"""
OURS = MOONS.replace("micrograd.engine", "minigrad.scalar").replace(
    "micrograd.nn", "minigrad.scalar.nn"
)


def test_micrograds_demo_runs_with_the_import_changed():
    """Ten steps on batches of ten: the very losses of micrograd."""
    pytest.importorskip("micrograd", reason="the demo of micrograd, beside it")
    pytest.importorskip("sklearn", reason="the moons are scikit-learn's")
    runs = []
    for source in (MOONS, OURS):
        scope = {"STEPS": 10, "BATCH": 10}
        exec(source, scope)
        runs.append((scope["found"], scope["summary"]))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-9)
    assert runs[0][0][-1] < runs[0][0][0]
    assert runs[0][1] == runs[1][1]


def test_the_layers_make_the_sums_that_operators_make():
    """Data, gradients and the graph itself: bit for bit."""
    model = nn.MLP(3, [5, 4])
    inputs = [0.3, Value(-1.2), np.float64(2.0)]

    def plain(x):
        for layer in model.layers:
            x = [x if isinstance(x, Value) else Value(x) for x in x]
            sums = [sum((w * x for w, x in zip(n.w, x, strict=True)), n.b) for n in layer.neurons]
            x = [s.relu() if n.nonlin else s for n, s in zip(layer.neurons, sums, strict=True)]
        return x

    found = []
    for forward in (model, plain):
        model.zero_grad()
        inputs[1].grad = 0.0
        outs = forward(inputs)
        total = outs[0] * 3.0 - outs[1] * outs[2] + outs[3]
        total.backward()
        steps = history(total)
        found.append(([p.grad for p in model.parameters()], [s.data for s in outs]))
        assert {step.operation for step in steps} == {None, "mul", "add", "relu", "sub"}
        found[-1] += (sorted(repr(step[:3]) for step in steps),)
    assert found[0] == found[1]


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 2.0, 3.0]])
def test_a_neuron_wants_a_number_per_weight(wrong):
    with pytest.raises(ValueError, match="x: expected 2 numbers, one per weight, got"):
        nn.MLP(2, [2, 1])(wrong)


# --- values and slopes ----------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_operations_agree_with_pytorch(name):
    """At random and special points, ties among them; upstream gradient -1.7; to 1e-14."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    rng = np.random.default_rng(0)
    points = [*SPECIAL, *rng.normal(0, 2, 8).tolist()]
    arity = OPERATIONS[name].operands
    for a in points:
        for b in points if arity == 2 else [None]:
            numbers = [a] if b is None else [a, b]
            ours = [Value(x) for x in numbers]
            theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
            y, t = through(scalar, name, *ours), through(torch, name, *theirs)
            (y * -1.7).backward()
            (t * -1.7).backward()
            found = [y.data, *(v.grad for v in ours)]
            expected = [t.item(), *(v.grad.item() for v in theirs)]
            np.testing.assert_allclose(found, expected, 1e-14, 0, err_msg=f"{name} of {numbers}")
            if name == "sqrt":  # PyTorch's is MKL's: on an Intel processor one in 120 is an ulp off
                with np.errstate(invalid="ignore"):
                    np.testing.assert_array_equal(y.data, np.sqrt(a))
            elif name in EXACT:
                np.testing.assert_array_equal(y.data, t.item())  # -0.0 is 0.0


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_numbers_on_either_side_and_functions_of_numbers(name):
    """A number is a Value without a gradient; a function of numbers alone gives a number."""
    arity = OPERATIONS[name].operands
    for a, b in [(0.7, 2.0), (0.0, -1.0), (-2.0, 0.5), (1e3, 400.0)]:
        numbers = (a, b)[:arity]
        values = [Value(x) for x in numbers]
        expected = through(scalar, name, *values)
        expected.backward()
        for place in range(arity):
            for kind in (float, np.float64, *((int,) if numbers[place - 1].is_integer() else ())):
                v = Value(numbers[place])
                operands = [kind(x) for x in numbers]
                operands[place] = v
                y = through(scalar, name, *operands)
                assert type(y) is Value
                y.backward()
                np.testing.assert_equal([y.data, v.grad], [expected.data, values[place].grad])
        if name not in (*SYMBOLS, "neg"):
            np.testing.assert_equal(getattr(scalar, name)(*numbers), expected.data)


def test_ieee_where_python_raises():
    zero = Value(0.0)
    assert (1 / zero).data == math.inf
    assert (zero / 0).data != (zero / 0).data
    assert (zero**-1).data == math.inf
    assert zero.log().data == -math.inf
    assert math.isnan((Value(-8.0) ** 0.5).data)
    assert Value(1e3).exp().data == math.inf
    assert (Value(-8.0) ** 3).data == -512.0
    assert scalar.log(0) == -math.inf
    assert scalar.exp(1e3) == math.inf


def test_both_base_and_exponent_vary():
    x, y = Value(2.5), Value(-1.3)
    (x**y).backward()
    assert x.grad == pytest.approx(-1.3 * 2.5**-2.3, rel=1e-14)
    assert y.grad == pytest.approx(2.5**-1.3 * math.log(2.5), rel=1e-14)
    (2**y).backward()
    assert y.grad == pytest.approx(2.5**-1.3 * math.log(2.5) + 2**-1.3 * math.log(2), rel=1e-14)


def test_where_and_clamp():
    x, y = Value(0.3), Value(-2.0)
    (scalar.where(x > y, 3 * x, y / 0) * 2.5).backward()
    assert (x.grad, y.grad) == (7.5, 0.0)
    for number, slope in [(-2.0, 0.0), (-1.0, 1.0), (0.5, 1.0), (1.0, 1.0), (4.0, 0.0)]:
        z = Value(number)
        clamped = scalar.clamp(z, -1.0, 1.0) * 3
        clamped.backward()
        assert (clamped.data, z.grad) == (3 * min(max(number, -1.0), 1.0), 3 * slope)


def test_comparisons_and_truth():
    two, three = Value(2.0), Value(3.0)
    assert two < three > 2.5
    assert two <= 2 <= two
    assert two >= 2.0
    assert three > 2.0
    assert two == 2
    assert two == Value(2)
    assert two != three
    assert not two > three
    assert {two: 1, Value(2.0): 2}.get(two) == 1  # keys by identity
    assert two
    assert not Value(0)
    assert max(two, three) is three
    assert (two == "2") is False
    with pytest.raises(TypeError):
        _ = two < "3"


# --- backward -------------------------------------------------------------------------------------


def test_a_second_backward_counts_nothing_twice():
    """Leaves add up, as in PyTorch; results get their gradient anew."""
    x, y = Value(3.0), Value(-2.0)
    inner = x * y
    root = inner * inner + inner
    for times in (1, 2, 3):
        root.backward()
        assert (root.grad, inner.grad) == (1.0, 2 * -6 + 1)
        assert (x.grad, y.grad) == (times * -2 * -11.0, times * 3 * -11.0)
    other = inner * 5  # another root: what it does not reach keeps its gradient
    square = root.grad
    other.backward()
    assert (inner.grad, root.grad) == (5.0, square)


def test_gradients_and_data_are_written_to():
    x = Value(2.0)
    y = x * x
    x.data = 10.0
    y.backward()
    assert x.grad == 4.0  # of what was computed
    x.grad = 0
    (x * x).backward()
    assert x.grad == 20.0
    y.data, y.grad = 7, 1.5
    assert (y.data, y.grad) == (7.0, 1.5)
    z = y * 2
    assert z.data == 14.0
    z.backward()
    assert (y.grad, x.grad) == (2.0, 20.0 + 2 * 4.0)
    leaf = Value(1.0)
    leaf.backward()
    assert leaf.grad == 1.0


@pytest.mark.parametrize("wrong", ["3", None, 1j, [1.0], np.ones(2)])
def test_what_is_no_number(wrong):
    for name in ("data", "grad"):
        with pytest.raises(TypeError, match=f"{name}: expected a number, got"):
            setattr(Value(1.0), name, wrong)
    with pytest.raises(TypeError, match="data: expected a number"):
        Value(wrong)
    if not isinstance(wrong, np.ndarray):
        for operator in "+-*/":
            with pytest.raises(TypeError):
                eval(f"v {operator} w", {"v": Value(1.0), "w": wrong})
            with pytest.raises(TypeError):
                eval(f"w {operator} v", {"v": Value(1.0), "w": wrong})


def test_numpy_arrays_hold_values():
    x = np.array([1.0, 2.0]) * Value(3.0)
    assert [type(v) for v in x] == [Value, Value]
    assert [v.data for v in x] == [3.0, 6.0]
    assert type(np.float64(2.0) * Value(3.0)) is Value
    assert type(np.int64(2) - Value(3.0)) is Value


def test_copies_are_leaves():
    x = Value(2.0)
    y = x * 3
    y.backward()
    for copied in (copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert (copied.data, copied.grad) == (6.0, 1.0)
        (copied * 2).backward()
        assert (copied.grad, x.grad) == (3.0, 3.0)
    model = nn.MLP(2, [3, 1])
    model([1.0, 2.0]).backward()
    before = [p.grad for p in model.parameters()]
    twin = copy.deepcopy(model)
    twin([1.0, 2.0]).backward()
    assert [p.grad for p in model.parameters()] == before
    assert [p.grad for p in twin.parameters()] == [2 * g for g in before]


# --- pages ----------------------------------------------------------------------------------------


def some_program(leaves, steps, rng, number):
    """Operations on what came before, new and old, and a root that sees the last of them."""
    pool = list(leaves)
    for _ in range(steps):
        a, b = rng.choice(pool[-9:]), rng.choice(pool)
        name = rng.choice(["add", "sub", "mul", "max", "tanh", "sin", "relu", "number"])
        if name == "number":
            pool.append(a * rng.uniform(-1, 1) + 0.5)
        else:
            operands = (a, b)[: OPERATIONS[name].operands]
            result = through(number, name, *operands)
            pool.append(through(number, "tanh", result))
    return pool, pool[-1] * 2 + pool[-2] * pool[len(pool) // 2]


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(8))
def test_graphs_across_pages_agree_with_pytorch(seed, small_pages):
    """60 operations on pages of seven slots: every gradient of the graph, and of a second root."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    numbers = [random.Random(seed).uniform(-2, 2) for _ in range(4)]
    pools = []
    for number in (scalar, torch):
        if number is scalar:
            leaves = [Value(x) for x in numbers]
        else:
            leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
        pool, root = some_program(leaves, 60, random.Random(seed), number)
        if number is torch:
            for node in pool:
                node.retain_grad()
        second = pool[20] * pool[10] - pool[30]
        pools.append((pool, root, second))
    (ours, y, y2), (theirs, t, t2) = pools
    y.backward()
    t.backward(retain_graph=True)
    assert y.data == pytest.approx(t.item(), rel=1e-12)
    reached = [b.grad is not None for b in theirs]
    for a, b, hit in zip(ours, theirs, reached, strict=True):
        assert a.grad == pytest.approx(b.grad.item() if hit else 0.0, rel=1e-9, abs=1e-12)
    y2.backward()
    t2.backward()
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        expected = 0.0 if b.grad is None else b.grad.item()
        assert a.grad == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_million_operations():
    x = Value(1.0)
    y = x
    for _ in range(500_000):
        y = y * 0.999999 + 1e-6
    y.backward()
    assert x.grad == pytest.approx(0.999999**500_000, rel=1e-9)
    del y  # as deep as it is, it goes without recursion


def memory_after(step, rounds):
    """Bytes that tracemalloc counts after each of the rounds."""
    found = []
    for _ in range(rounds):
        step()
        found.append(tracemalloc.get_traced_memory()[0])
    return found


@pytest.mark.parametrize("backward", [True, False])
def test_dropped_graphs_are_freed_without_the_collector(backward):
    """A new graph is always made before the old one goes; parameters outlive them all."""
    model, held = nn.MLP(2, [8, 1]), []

    def step():
        for _ in range(40):
            x = Value(0.5)
            for _ in range(20):
                x = model([x, 1.5]) * 0.5
            if backward:
                x.backward()
            held[:] = [x]

    step()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        found = memory_after(step, 6)
    finally:
        tracemalloc.stop()
        gc.enable()
    # A step fills three pages of half a megabyte; one is written to, one or two are still held.
    assert max(found[2:]) - min(found[2:]) < 1.2e6, found
    assert max(found) < 3e6, found


def test_what_a_page_kept_goes_with_it(small_pages):
    x = Value(1.0)
    gone = weakref.ref(x)
    y = x * 2
    gc.disable()
    try:
        del x, y
        for _ in range(3):
            _ = Value(1.0) * 2  # the page of x is full
        assert gone() is None
    finally:
        gc.enable()


def test_a_value_of_an_old_graph_lives_on(small_pages):
    """Two graphs in turns, and one of yesterday's numbers in today's."""
    x, y = Value(2.0), Value(3.0)
    kept = x * y
    a, b = kept, y * 1.0
    for _ in range(20):
        a, b = a * 1.1, b * 0.9
    (a + kept * b).backward()
    assert x.grad == pytest.approx(3 * 1.1**20 + 3 * 3 * 0.9**20, rel=1e-12)
    assert y.grad == pytest.approx(2 * 1.1**20 + 2 * 2 * 3 * 0.9**20, rel=1e-12)
    assert kept.grad == pytest.approx(1.1**20 + 3 * 0.9**20, rel=1e-12)


def test_compiled_functions_use_results_of_older_pages(small_pages):
    """Results with a history in common, and a number of it, whose page has long been full."""
    w = Value(1.25)
    x = w
    for _ in range(12):
        x = x * w - 1.5
    y, z = x * x, (x / 2).tanh()

    def function(a):
        return a * x + y - z * w

    expected = function(3.0)
    expected.backward()
    gradient, w.grad = w.grad, 0.0
    assert scalar.compile(function)(3.0) == pytest.approx(expected.data, rel=1e-12)
    assert w.grad == pytest.approx(gradient, rel=1e-12)


def test_threads_share_parameters_and_pages(small_pages):
    """Four threads on one model, switching often, on pages so small that all of them begin some."""
    random.seed(1)
    model = nn.MLP(2, [3, 1])
    shared = model.parameters()[0] * 3.0
    wrong = []

    def graph(k):
        w = model.parameters()[:6]
        y = shared
        for i in range(30):
            y = (y * w[i % 6] + (i + k) * 0.1).tanh() + w[(i + 1) % 6]
        return y, [step.data for step in history(y) if step.operation]

    truth = [(y.data, steps) for y, steps in map(graph, range(4))]

    def work(k):
        for _ in range(60):
            y, steps = graph(k)
            if (y.data, steps) != truth[k]:
                wrong.append(k)
            y.backward()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    found = [p.grad for p in model.parameters()]
    model.zero_grad()
    for k in range(4):
        graph(k)[0].backward()
    np.testing.assert_allclose(found, [60 * p.grad for p in model.parameters()], rtol=1e-9)


def test_the_sweep_is_kept_on_disk(tmp_path):
    """A second process compiles nothing."""
    code = (
        "from minigrad.scalar import Value, nn, pages\n"
        "nn.MLP(2, [2, 1])([1.0, 2.0]).backward()\n"
        "loops = map(pages.kernel, (pages.backward, pages.write_sums))\n"
        "print([sum(loop.stats.cache_hits.values()) for loop in loops])\n"
    )
    if numba.config.DISABLE_JIT:
        pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled")
    for expected in ("[0, 0]", "[1, 1]"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""},
        )
        assert run.stdout.strip() == expected, run


@pytest.mark.slow
@alone
def test_speed_beside_micrograd():
    """A sample through MLP(2, [16, 16, 1]) and back, in processor time: 5.6 times as fast was
    measured with load 2 on two cores."""
    pytest.importorskip("micrograd", reason="the rival")
    if numba.config.DISABLE_JIT:
        pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled")
    import micrograd.engine
    import micrograd.nn

    models = [(nn.MLP(2, [16, 16, 1]), Value)]
    models.append((micrograd.nn.MLP(2, [16, 16, 1]), micrograd.engine.Value))

    def runner(model, number):
        return lambda: model([number(0.5), number(-0.25)]).backward()

    assert_lead(*(runner(*pair) for pair in models), 3)


# --- what is generated, and what others see -------------------------------------------------------


def test_docstrings_show_what_is_generated(monkeypatch):
    shown = {"rule": rules.derive("loss", lambda x, y: scalar.exp(x) / y, 0).source}
    monkeypatch.setattr(
        operations, "define", lambda name, source, scope: shown.update({name: source})
    )
    operations.on_floats.__wrapped__("sigmoid")
    operations.on_library.__wrapped__("exp(a) if a < 0.0 else b")
    examples = [
        (rules.rule_source, shown["rule"]),
        (operations.on_floats, shown["sigmoid"]),
        (operations.on_library, shown["formula"]),
        (pages._slopes_source, pages._SOURCE),
        (replay._instruction_source, replay._SOURCE),
    ]
    for function, source in examples:
        parts = map(textwrap.dedent, inspect.getdoc(function).split("\n\n"))
        (example,) = (part for part in parts if part.startswith("def "))
        assert source.startswith(example), example


def test_public_names():
    scope = {}
    exec("from minigrad.scalar import *", scope)
    assert not scope.keys() & vars(builtins).keys() - {"__builtins__", "__doc__"}
    assert set(dir(scalar)) == scope.keys() - {"__builtins__"} | {"abs", "compile", "max", "min"}
    assert all(getattr(scalar, name) for name in dir(scalar))


# --- pictures -------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def boxes_of(svg):
    """(x, y, width, height) of each box."""
    return [
        tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
        for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if rect.get("rx")
    ]


def test_a_picture_of_values():
    a, b = Value(-4.0), Value(2.0)
    c = a * b + 3
    d = (c * c).tanh()
    d.backward()
    drawing = draw(d)
    # a, b, 3, *, +, *, tanh: the square has two arrows from one box
    assert drawing.dot.count("[label=") == 7
    assert drawing.dot.count("->") == 7
    assert '"* | data -8 | grad' in drawing.dot
    assert drawing.dot.startswith("digraph {")
    texts = [text.text for text in ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")]
    for line in ("data -4", f"grad {a.grad:.6g}", "tanh", f"data {d.data:.6g}", "data 3"):
        assert line in texts
    assert drawing._repr_svg_() == drawing.svg


def test_boxes_lie_apart_and_inside():
    out = nn.MLP(2, [6, 4, 1])([1.0, -2.0])
    out.backward()
    svg = draw(out).svg
    boxes = boxes_of(svg)
    assert (
        len(boxes) == 2 + 6 * 3 + 4 * 7 + 5 + 6 * 5 + 4 * 13 + 8
    )  # inputs, parameters, operations
    root = ElementTree.fromstring(svg)
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= float(root.get("width"))
        assert y + h <= float(root.get("height"))
        for x2, y2, w2, h2 in boxes[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_a_picture_crosses_pages(small_pages):
    x = Value(2.0)
    y = x
    for _ in range(10):
        y = y * x
    y.backward()
    drawing = draw(y)
    assert drawing.dot.count("[label=") == 11
    assert drawing.dot.count("->") == 20
    assert draw(Value(1.5)).dot.count("data 1.5") == 1


def test_a_picture_of_tensors():
    x, w = mg.ones(4, 3, requires_grad=True), mg.ones(3, 2, requires_grad=True)
    drawing = draw(((x @ w).relu() * x.sum()).mean())
    for words in ("Matmul | (4, 2) | float32", "leaf | (3, 2) | float32", "Mean | () | float32"):
        assert words in drawing.dot
    assert drawing.dot.count("[label=") == 7
    assert len(boxes_of(drawing.svg)) == 7
    assert draw(mg.ones(2)).dot.count("leaf | (2,)") == 1


def test_pictures_in_files(tmp_path):
    drawing = draw(Value(1.0) + 2)
    for name, text in (("a.svg", drawing.svg), ("a.dot", drawing.dot), ("A.GV", drawing.dot)):
        drawing.save(tmp_path / name)
        assert (tmp_path / name).read_text() == text
    with pytest.raises(ValueError, match=r"path: expected a name in \.svg, \.dot or \.gv"):
        drawing.save(tmp_path / "a.png")
    with pytest.raises(TypeError, match="root: expected a Value or a Tensor, got float"):
        draw(1.0)


# --- the demo -------------------------------------------------------------------------------------


def test_the_demo_separates_the_moons(tmp_path, monkeypatch, capsys):
    for package in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(package, reason="the demo needs the extra `train`")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["scalar-demo"]) == 0
    said = capsys.readouterr().out
    assert "accuracy 100%" in said
    assert float(re.search(r"loss ([\d.]+)", said)[1]) < 0.05
    assert Path("moons.png").read_bytes().startswith(b"\x89PNG")
