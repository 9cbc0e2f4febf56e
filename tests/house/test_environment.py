"""Numba's environment variables: kernels run as they say, or one sentence tells why not."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from helpers import TESTS
from minigrad import scalar
from minigrad.kernels import cpu

F = mg.nn.functional
LARGE = cpu.PARALLEL + 32  # a multiple of 40


def numbers(n):
    """Losses, gradients and a training step of about n elements, as lists of numbers."""
    rng, found = np.random.default_rng(0), {}

    def tensor(*shape):
        return mg.tensor(rng.standard_normal(shape, np.float32))

    y = tensor(n)
    classes = mg.tensor(rng.integers(0, 4, n // 4))
    for name, loss in {
        "mse": lambda x: F.mse_loss(x, y),
        "l1": lambda x: F.l1_loss(x, y, reduction="sum"),
        "smooth_l1": lambda x: F.smooth_l1_loss(x, y, beta=0.7),
        "bce": lambda x: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
        "logits": lambda x: F.binary_cross_entropy_with_logits(
            x, y.sigmoid(), pos_weight=mg.tensor(2.0)
        ),
        "huber": lambda x: F.huber_loss(x, y, reduction="none").sum(),
        "focal": lambda x: F.sigmoid_focal_loss(x, (y > 0).float()),
        "classes": lambda x: F.cross_entropy(x.view(-1, 4), classes, label_smoothing=0.1),
        "weights": lambda x: F.cross_entropy(x.view(-1, 4), F.softmax(y.view(-1, 4), 1)),
        "many": lambda x: F.cross_entropy(x.view(-1, 40), classes[: n // 40]),
        "erf": lambda x: F.gelu(x).relu().sum(),
    }.items():  # fmt: skip
        x = tensor(n).requires_grad_()
        out = loss(x)
        out.backward()
        found[name] = [out.item(), *x.grad.tolist()]
    for optimizer in (mg.optim.SGD, mg.optim.Adam, mg.optim.RMSprop):
        p = tensor(5).requires_grad_()
        step = optimizer([p], lr=0.1)
        for _ in range(3):
            p.grad = p.detach() * 0.5
            step.step()
        found[optimizer.__name__] = p.tolist()
    w = scalar.Value(0.5)
    step = scalar.compile(lambda a: scalar.tanh(w * a) + scalar.sqrt(a * a) / w)
    found["scalar"] = [step(2.0), w.grad, *step(np.array([0.0, 1.0, -3.0])).tolist(), w.grad]
    (w.exp() * w.relu()).backward()
    return {**found, "page": [w.grad]}


def child(n=80, **variables):
    """(numbers(n) in a process with these environment variables, what it said)."""
    code = f"import json, test_environment as t; print(json.dumps(t.numbers({n})))"
    where = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "house")])}
    process = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | where | variables, cwd=TESTS,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return json.loads(process.stdout) if process.returncode == 0 else None, process.stderr


def test_plain_python_gives_what_kernels_give():
    """NUMBA_DISABLE_JIT=1, for those who step through a kernel. No fused multiply-add there."""
    found, said = child(NUMBA_DISABLE_JIT="1")
    assert not said
    expected = numbers(80)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=2e-7, err_msg=name)


def test_the_losses_pass_their_tests_in_plain_python():
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not torch and not slow", "-p",
         "no:cacheprovider", "nn/test_losses.py"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, cwd=TESTS, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert " passed" in process.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"NUMBA_NUM_THREADS": "1"},
        {"NUMBA_NUM_THREADS": str(4 * (os.cpu_count() or 1))},
        {"NUMBA_THREADING_LAYER": "workqueue"},
        {"NUMBA_THREADING_LAYER": "omp"},
        {"OMP_WAIT_POLICY": "passive"},
    ],
    ids=str,
)
def test_any_number_of_threads_gives_the_same_bits(variables):
    found, said = child(LARGE, **variables)
    assert not said
    assert found == numbers(LARGE)


@pytest.mark.parametrize("variables", [{}, {"OMP_WAIT_POLICY": "passive"}], ids=str)
@pytest.mark.parametrize("layer", ["tbb", "none"])
def test_without_its_threading_layer_kernels_run_in_one_thread(layer, variables):
    found, said = child(LARGE, NUMBA_THREADING_LAYER=layer, **variables)
    if layer == "tbb" and not said:
        pytest.skip("TBB is installed")
    assert said.count("kernels run in one thread, for Numba's do not start") == 1
    assert found == numbers(LARGE)


@pytest.mark.parametrize("value", ["0", "-3"])
def test_no_number_of_threads(value):
    found, said = child(NUMBA_NUM_THREADS=value)
    assert found is None
    assert "ImportError: Numba does not start, see the NUMBA_ variables: " in said.splitlines()[-1]
