"""scalar.compile: replays against PyTorch in float64, against micrograd, and what it refuses."""

import gc
import math
import os
import random
import subprocess
import sys

import numba
import numpy as np
import pytest

from helpers.threads import THREADS, together
from minigrad import scalar
from minigrad.scalar import Value
from minigrad.scalar.nn import MLP
from minigrad.scalar.program import KEPT, Program

NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
rng = np.random.default_rng(0)

# Of x, a weight w and the functions of a library; at ties, x = 1 and w = 1.
CASES = {
    "arithmetic": lambda m, x, w: (
        (x + 2) * w - (3 - x) / (w + 4) + (-x) * w * 0.5 + w - (x - w * x)
    ),
    "powers": lambda m, x, w: (x * x + 1) ** w + (w * w + 0.5) ** -1.5 + (x + w) ** 2 + 2**w,
    "transcendental": lambda m, x, w: m.exp(x * w) + m.log(x * x + w * w) + m.sin(x) * m.cos(w),
    "roots": lambda m, x, w: m.sqrt(x * x + w * w + 1) + m.log1p(w * w * x * x),
    "squashed": lambda m, x, w: m.tanh(x * w) + m.sigmoid(x - w) + m.relu(x - w) + abs(x * w),
    "ties": lambda m, x, w: 3 * m.maximum(x, w) - m.minimum(x, w) + abs(x - w) + m.relu(w - x),
    "where": lambda m, x, w: m.where(x > w, m.sqrt(x - w), w * x) + m.where(w <= x, w, x * w),
    "constant": lambda m, x, w: w * w * w,
    "input alone": lambda m, x, w: x * x,
}


class Ours:
    exp, log, sin, cos, sqrt, log1p = (
        getattr(scalar, name) for name in ("exp", "log", "sin", "cos", "sqrt", "log1p")
    )
    tanh, sigmoid, relu, where = scalar.tanh, scalar.sigmoid, scalar.relu, scalar.where
    maximum, minimum = scalar.max, scalar.min


def samples(case, n):
    x = rng.standard_normal(n) * 2
    if case in ("ties", "where"):
        x[:: max(n // 3, 1)] = 1.0
    return x


@pytest.mark.torch
@pytest.mark.parametrize("n", [1, 15, 16, 17, 3000])
@pytest.mark.parametrize("case", CASES)
def test_against_torch(case, n):
    """A sample alone, and arrays of them around the number of lanes; threads in the largest."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    f, x = CASES[case], samples(case, n)
    w = Value(1.0 if case in ("ties", "where") else 0.75)
    w.grad = 10.0  # which is added to
    step = scalar.compile(lambda x: f(Ours, x, w))
    tx, tw = torch.tensor(x), torch.tensor(w.data, dtype=torch.float64, requires_grad=True)
    # torch's sqrt of what where() leaves out makes NaN of 0 * inf: its own copy stays inside
    want = f(torch, tx, tw) if case != "where" else _where(torch, tx, tw)
    want = want + 0 * tx + 0 * tw  # of every sample, even where it depends on none, or not on w
    grad = torch.autograd.grad(want.sum(), tw)[0].item()
    got = step(x) if n > 1 else np.array([step(float(x[0]))])
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(w.grad - 10.0, grad, rtol=1e-11, atol=1e-11)
    if n == 1:
        step(float(x[0]))
        np.testing.assert_allclose(w.grad - 10.0, 2 * grad, rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(step(x), got)


def _where(torch, x, w):
    near = torch.where(x > w, x - w, torch.ones_like(x))
    return torch.where(x > w, near.sqrt(), w * x) + torch.where(w <= x, w, x * w)


def test_micrograd_training_loop():
    """Hinge loss and L2: losses and weights stay those of micrograd, step by step."""
    nn = pytest.importorskip("micrograd.nn", reason="micrograd is not installed")
    X, Y = rng.standard_normal((20, 2)), rng.choice([-1.0, 1.0], 20)
    random.seed(3)
    theirs = nn.MLP(2, [8, 8, 1])
    random.seed(3)
    ours = MLP(2, [8, 8, 1])
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        a.data = b.data

    def total(model, x, y):
        regular = 1e-3 * sum(p * p for p in model.parameters())
        return ((1 + -y * model(x)).relu() + regular) / len(X)

    step = scalar.compile(lambda x, y: total(ours, x, y))
    for k in range(8):
        want = sum(total(theirs, list(map(float, x)), float(y)) for x, y in zip(X, Y, strict=True))
        theirs.zero_grad()
        want.backward()
        ours.zero_grad()
        if k % 2:
            got = step([X[:, 0], X[:, 1]], Y).sum()
        else:
            got = sum(step(list(x), y) for x, y in zip(X, Y, strict=True))
        assert got == pytest.approx(want.data, rel=1e-12)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert a.grad == pytest.approx(b.grad, rel=1e-10, abs=1e-14)
            a.data -= 0.5 * a.grad
            b.data -= 0.5 * b.grad


def test_values_of_one_kind_with_values_elsewhere():
    """A leaf in two compiled functions and in eager math has one data and one gradient."""
    w = Value(2.0)
    square, cube = scalar.compile(lambda x: w * w * x), scalar.compile(lambda x: x * w**3)
    assert (square(3.0), cube(1.0)) == (12.0, 8.0)
    (w * 5).backward()
    assert w.grad == 12.0 + 12.0 + 5.0
    w.data, w.grad = 3.0, 0.0
    assert square(1.0) == 9.0
    assert (w * 2).data == 6.0
    assert w.grad == 6.0


def test_results_from_outside_are_computed_anew():
    w = Value(2.0)
    outside = (w * w).exp()
    step = scalar.compile(lambda x: outside * x)
    step(1.0)
    w.data, w.grad = 0.5, 0.0
    assert step(3.0) == pytest.approx(3 * math.exp(0.25))
    assert w.grad == pytest.approx(3 * math.exp(0.25))


def test_a_branch_not_taken_has_no_gradient():
    """Though its slope is infinite."""
    w = Value(0.0)
    step = scalar.compile(lambda x: scalar.where(x > 0, w, scalar.sqrt(w) + 1 / w))
    assert step(1.0) == 0.0
    np.testing.assert_array_equal(step(np.ones(20)), np.zeros(20))
    assert w.grad == 21.0


def test_forty_thousand_operations():
    """Far more than could be compiled as straight code; sums are as deep as they are long."""
    w = [Value(v) for v in rng.standard_normal(100)]
    x = rng.standard_normal(20000)
    step = scalar.compile(lambda: sum((w[i % 100] * v for i, v in enumerate(x)), w[0] * 0))
    assert step() == pytest.approx(float(np.tile([p.data for p in w], 200) @ x), rel=1e-9)
    np.testing.assert_allclose([p.grad for p in w], x.reshape(200, 100).sum(0), rtol=1e-9)


def test_arguments():
    w = Value(1.5)
    step = scalar.compile(lambda x, y: (x[0] - x[1]) * w + y)
    assert step([3, 1.0], True) == 4.0
    assert step((np.float32(3), 1), np.int64(1)) == 4.0
    np.testing.assert_array_equal(step([np.arange(3), 1], 0.5), [-1.0, 0.5, 2.0])
    assert step([np.zeros(0), 1], 0.5).shape == (0,)
    first = scalar.compile(lambda x: (x[0] if isinstance(x, list) else -x) * w)
    assert (first([2.0]), first([2.0]), first(2.0), first(2.0)) == (3.0, 3.0, -3.0, -3.0)
    assert scalar.compile(lambda: 3)() == 3.0
    assert scalar.compile(lambda x: x)(2) == 2.0
    with pytest.raises(ValueError, match=r"arrays of one length, got \[2, 3\]"):
        step([np.zeros(2), np.zeros(3)], 0)
    for bad in ("1", np.zeros((2, 2)), np.zeros(2, complex), None, w):
        with pytest.raises(TypeError, match=r"expected a number, an array \(n,\) of numbers"):
            step([bad, 1], 0)
    with pytest.raises(TypeError, match="expected a callable"):
        scalar.compile(3)


W = Value(1.0)
REFUSED = [
    (lambda x: x if x > 0 else -x, "minigrad.scalar.where"),
    (lambda x: max(x, 0) * W, "minigrad.scalar.max"),
    (lambda x: math.exp(x), "minigrad.scalar.exp"),
    (lambda x: np.exp(x), "minigrad.scalar.exp"),
    (lambda x: np.float64(2) * x if np.float64(2) < x else x, "minigrad.scalar.where"),
    (lambda x: np.ones(2) * x, "got ndarray"),
    (lambda x: float(x), "minigrad.scalar.exp"),
    (lambda x: x * W.data, "reads `data` of a Value"),
    (lambda x: x if W else -x, "minigrad.scalar.where"),
    (lambda x: x if W > 0 else -x, "minigrad.scalar.where"),
    (lambda x: None, "return one Value or number"),
    (lambda x: (x, x), "return one Value or number"),
    (lambda x: x > 0, "return one Value or number"),
    (lambda x: x + "1", "unsupported operand"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_refused(function, message):
    with pytest.raises(TypeError, match=message):
        scalar.compile(function)(1.0)
    assert (W > 0) is True  # nothing is being traced any more
    assert W.data == 1.0


def test_threads_add_up_while_cells_move():
    """Gradients by a leaf that all share, while one thread makes leaves without end."""
    w, x = Value(2.0), np.ones(20_000)
    step = scalar.compile(lambda a: a * w)
    step(1.0)
    w.grad, calls = 0.0, 30

    def run(k):
        if k == 0:
            new = [Value(1.0) for _ in range(60_000)]
            for some in range(0, len(new), 5_000):
                scalar.compile(lambda a, some=some: a + sum(new[some : some + 5_000]))(1.0)
        else:
            for _ in range(calls):
                step(x)
                step(1.0)

    together(run)
    assert w.grad == (THREADS - 1) * calls * (len(x) + 1)


def test_threads_give_the_same_bits_and_do_not_mix():
    model = MLP(2, [8, 1])
    step = scalar.compile(lambda a, b: model([a, b]).tanh())
    x = rng.standard_normal((2, 4000))
    results = set()
    before = numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            model.zero_grad()
            values = step(*x)
            grads = np.array([p.grad for p in model.parameters()])
            results.add((values.tobytes(), grads.tobytes()))
    finally:
        numba.set_num_threads(before)
    assert len(results) == 1
    alone = [step(*map(float, column)) for column in x.T]
    np.testing.assert_allclose(alone, values, rtol=1e-12, atol=1e-14)

    def wrong(k):
        return [i for i in range(k, 4000, THREADS) if step(*map(float, x[:, i])) != alone[i]]

    assert together(wrong) == [[]] * THREADS


AGAIN = """
import numpy as np
from minigrad import scalar
from minigrad.kernels import cpu
from minigrad.kernels.cpu import binding
from minigrad.scalar.replay import instructions, replay_many, replay_one
w = scalar.Value(2.0)
step = scalar.compile(lambda x: scalar.exp(w * x))
print(step(0.0), step(np.zeros(3)).sum(), w.grad)
double = np.dtype("float64")
loops = replay_one, replay_many
builds = [binding.kernel(loop, instructions, double, False) for loop in loops]
print(sum(sum(b.stats.cache_misses.values()) for b in builds))
"""


def test_a_second_process_compiles_nothing():
    """Whatever the function: there is one loop, kept on disk. The source is read on stdin here."""
    for function in ("exp", "sin"):
        done = subprocess.run(
            [sys.executable, "-"], input=AGAIN.replace("scalar.exp", f"scalar.{function}"),
            capture_output=True, text=True, env=dict(os.environ), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.0", "0.0", "0.0", "0"]


def test_programs_for_ever_new_shapes_are_bounded():
    w, numbers = Value(2.0), list(range(300))
    step = scalar.compile(lambda x: sum((w * a + 0.5 for a in x), w * 0.0))
    for n in numbers:
        assert step(numbers[:n]) == sum(2.0 * a + 0.5 for a in numbers[:n])
    assert w.grad == sum(sum(numbers[:n]) for n in numbers)
    programs = [x for x in gc.get_objects() if type(x) is Program and w in x.leaves]
    assert 0 < len(programs) <= KEPT


def test_a_program_that_was_dropped_runs_to_its_end():
    step = scalar.compile(lambda *x: sum(x, Value(0.0)) * 3.5)
    for n in (2, *range(3, 80), 2):
        assert step(*[1.0] * n) == 3.5 * n
