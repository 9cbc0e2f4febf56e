"""Several Python threads at once: kernels, generators and modes behave as with one."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Event

import numba
import numpy as np
import pytest

import minigrad as mg
from helpers import TESTS
from helpers.threads import THREADS, together, turns
from minigrad import scalar
from minigrad.kernels import LOSSES, cpu
from minigrad.kernels.cpu import threads
from minigrad.scalar import Value

F = mg.nn.functional
SMALL, LARGE = (7, 1000), (cpu.PARALLEL, 40_001)
NO_LAYER = 77  # exit status of a child whose threading layer is missing


# --- losses -------------------------------------------------------------------------------------


def kinds(n, rng):
    """(loss, x, target) for every loop and rule, about n elements each."""

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    p, q = rng.random((2, n), np.float32)
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        yield loss, normal(n), normal(n)
    yield F.binary_cross_entropy, p, q
    yield F.binary_cross_entropy_with_logits, normal(n), q
    for classes in (10, cpu.cross_entropy.FEW + 1):
        rows = -(-n // classes)
        yield F.cross_entropy, normal(rows, classes), rng.integers(classes, size=rows)
    yield F.cross_entropy, normal(rows, classes), rng.random((rows, classes), np.float32)


def bits(loss, x, target, upstream):
    """A loss and its gradient, as bytes."""
    x = mg.from_numpy(x).requires_grad_()
    out = loss(x, mg.from_numpy(target))
    out.backward(mg.tensor(upstream, dtype=mg.float32))
    return out.detach().numpy().tobytes(), x.grad.numpy().tobytes()


def hammer(rounds):
    """What the child does: every call must give the bits of the serial build."""
    try:
        threads.start_threads()  # loads the library, unless the environment says how threads wait
        numba.get_num_threads()
    except ValueError as error:
        print(error)
        sys.exit(NO_LAYER)
    rng = np.random.default_rng(0)
    small, large = (
        [[(*given, rng.standard_normal()) for given in kinds(n, rng)] for n in sizes]
        for sizes in (SMALL, LARGE)
    )
    with threads._team:  # taken: all that follows is serial
        expected = {id(given): bits(*given) for group in small + large for given in group}
    for given in large[0]:
        assert bits(*given) == expected[id(given)]  # in threads, alone
    print(numba.threading_layer())

    def calls(k):
        order = np.random.default_rng(k)
        wrong = 0
        for i in range(rounds):
            group = (large if i % 10 == 0 else small)[order.integers(2)]
            for kind in order.permutation(len(group)):
                wrong += bits(*group[kind]) != expected[id(group[kind])]
        return wrong

    assert together(calls) == [0] * THREADS


@pytest.mark.parametrize("layer", ["omp", "workqueue", "tbb"])
@pytest.mark.parametrize("rounds", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_losses_give_serial_bits(rounds, layer):
    where = {"NUMBA_THREADING_LAYER": layer, "PYTHONPATH": str(Path(__file__).parent)}
    libraries = Path(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")  # pip's libtbb
    where["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    child = subprocess.run(
        [sys.executable, "-c", f"import test_threads; test_threads.hammer({rounds})"],
        env=os.environ | where,
        cwd=TESTS,  # where it finds the helpers
        capture_output=True,
        text=True,
        timeout=600,
    )
    if child.returncode == NO_LAYER:
        pytest.skip(f"Numba finds no library for {layer}: {child.stdout.splitlines()[0]}")
    assert child.returncode == 0, child.stderr
    assert child.stdout.split() == [layer]


# --- modes --------------------------------------------------------------------------------------


def test_no_grad_is_per_thread():
    inside, checked = Event(), Event()

    def without():
        with mg.no_grad():
            inside.set()
            assert checked.wait(60)
            return mg.is_grad_enabled(), (mg.ones(2, requires_grad=True) * 2).requires_grad

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(without)
        assert inside.wait(60)
        here = mg.is_grad_enabled(), (mg.ones(2, requires_grad=True) * 2).requires_grad
        checked.set()
        assert here == (True, True)
        assert other.result(60) == (False, False)


def test_a_thread_starts_with_gradients():
    with mg.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(mg.is_grad_enabled).result(60)
        assert not mg.is_grad_enabled()


# --- generators ---------------------------------------------------------------------------------

DRAWS = {
    "rand": lambda g: mg.rand(1000, generator=g),
    "rand float64": lambda g: mg.rand(1000, generator=g, dtype=mg.float64),
    "randn": lambda g: mg.randn(1000, generator=g),
    "randint": lambda g: mg.randint(0, 1000, (1000,), generator=g),
    "randperm": lambda g: mg.randperm(1000, generator=g),
}


@pytest.fixture
def often():
    """Threads take turns every 10 µs, so that they meet inside short calls too."""
    with turns(1e-5):
        yield


@pytest.mark.parametrize("name", DRAWS)
def test_threads_share_one_stream(name, often):
    """Together they draw the blocks that one thread draws, each once and whole."""
    shared, alone, draw = mg.Generator(), mg.Generator(), DRAWS[name]
    shared.manual_seed(5)
    alone.manual_seed(5)
    drawn = together(lambda k: [draw(shared).numpy().tobytes() for _ in range(200)])
    expected = [draw(alone).numpy().tobytes() for _ in range(200 * THREADS)]
    assert sorted(chain(*drawn)) == sorted(expected)
    assert shared.get_state() == alone.get_state()


def test_a_state_lies_between_two_draws(often):
    shared, alone = mg.Generator().manual_seed(5), mg.Generator().manual_seed(5)

    def draw_or_look(k):
        if k % 2:
            return [str(shared.get_state()) for _ in range(500)]
        for _ in range(50):
            mg.rand(20_000, generator=shared)
        return []

    seen = set(chain(*together(draw_or_look)))
    between = {str(alone.get_state())}
    for _ in range(50 * THREADS // 2):
        mg.rand(20_000, generator=alone)
        between.add(str(alone.get_state()))
    assert seen <= between


# --- what is made at the first call, and what threads share ---------------------------------------


@pytest.fixture
def always():
    """Threads take turns whenever they can."""
    with turns(1e-6):
        yield


def test_leaves_move_into_their_cells_with_all_that_they_have(always):
    """Compiled functions give a leaf a cell while other threads go backward and write data."""
    for _ in range(60):
        leaves = [Value(0.5) for _ in range(12)]
        step = scalar.compile(lambda x, leaves=leaves: sum((w * x for w in leaves), 0.0 * x))

        def work(k, leaves=leaves, step=step):
            for w in leaves:
                (w * 2.0).backward()
                if k == 0:
                    w.data = 1.5
            step(1.0)

        together(work)
        assert [w.grad for w in leaves] == [3.0 * THREADS] * 12
        assert step(1.0) == 18.0


def test_gradients_of_a_shared_leaf_add_up(always):
    for n in [1] * 100 + [300_000] * 5:  # the first of all; and NumPy lets others run meanwhile
        w = mg.zeros(n, requires_grad=True)
        together(lambda k, w=w: [(w * 2).sum().backward() for _ in range(3)])
        assert (w.grad == 6.0 * THREADS).all()


def test_one_graph_walked_by_all(always):
    x = mg.ones(1000, requires_grad=True)
    loss = F.mse_loss(x, mg.zeros(1000), reduction="sum")
    together(lambda k: [loss.backward(retain_graph=True) for _ in range(50)])
    assert x.grad.tolist() == [2.0 * 50 * THREADS] * 1000


@pytest.mark.parametrize("parallel", [False, True])
def test_threads_that_ask_at_once_get_one_kernel(always, parallel):
    for classes in range(40, 60):  # never compiled
        loop, rule = cpu.cross_entropy.few_classes, LOSSES["cross_entropy"].rule
        wanted = loop, rule, np.dtype("float32"), parallel, classes
        assert len({id(kernel) for kernel in together(lambda k, w=wanted: cpu.kernel(*w))}) == 1
