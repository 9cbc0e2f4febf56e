"""Every CUDA kernel through the functions that the library calls, without a GPU.

With NUMBA_ENABLE_CUDASIM=1 in Numba's simulator; otherwise what it is compiled to, by ptx.py.
Outputs are full of NaN before (or 77), threads and blocks run in any order, and an access outside
an array raises.
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import numpy_cupy
import pytest

from minigrad.kernels import LOSSES, optimizers

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
if SIMULATED:
    import simulator
else:
    import interpreter

device = numpy_cupy.kernels()
launching = device.launching

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}  # of results of size 1
POINTWISE = [name for name in LOSSES if name != "cross_entropy"]
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(scope="module", autouse=True)
def compiled():
    with nullcontext() if SIMULATED else interpreter.running():
        yield


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small blocks and few of them, so that a few hundred elements reach every loop."""
    for module in (device.elementwise, device.pointwise):
        monkeypatch.setattr(module, "THREADS", 32)
    for name, small in {"WAVE": 3, "BLOCKS": 3, "SMALLEST": 64, "FEW": 6, "THREADS": 64}.items():
        monkeypatch.setattr(device, name, small)
    numpy_cupy.forget(device)
    launching.scratch().bad_class.fill(-1)
    yield
    assert launching.scratch().ticket[0] == 0, "the ticket is not back at 0"


def layout(team, vectors, staged=0, beyond=False):
    """One way to keep rows, whatever the number of classes."""
    threads = max(64, team)
    names = {"TEAM": team, "VECTORS": vectors, "STAGED": staged, "BEYOND": beyond}
    return lambda classes, itemsize, shared: {"threads": threads, **names}


def generator(*seed):
    return np.random.default_rng([abs(hash(str(s))) % 2**32 for s in seed])


def close(actual, expected, dtype, scale=1.0):
    np.testing.assert_allclose(actual, expected, TOLERANCE[dtype], TOLERANCE[dtype] * scale)


def inputs(name, n, dtype):
    random = np.random.default_rng(n)
    x = random.standard_normal(n) * 3
    y = random.standard_normal(n) * 3
    if name == "bce":
        x, y = random.random(n), random.random(n)
        x[: n // 8] = np.arange(n // 8) % 2  # the logarithms are cut off here
    elif name == "bce_with_logits":
        y = random.random(n)
        x *= 10
    elif n > 8:
        y[: n // 8] = x[: n // 8]  # ties
    return x.astype(dtype), y.astype(dtype)


# --- pointwise losses ---------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("n", [0, 1, 3, 511, 512, 2053])
def test_pointwise(name, n, dtype):
    loss, (x, y) = LOSSES[name], inputs(name, n, dtype)
    extra = {"smooth_l1": (0.7,), "bce_with_logits": (1.8,)}.get(name, ())
    with np.errstate(divide="ignore"):
        value, slope, _ = loss.reference(x.astype("f8"), y.astype("f8"), *extra)
    up, count = 0.37, n or np.nan
    (parameter,) = extra or (0.0,)
    total, values, slopes = device.run_pointwise(loss, x, y, parameter, up, True, count)
    assert (total.shape, total.dtype) == ((), dtype)
    close(values, value, dtype, 100)
    close(slopes, slope * up / count, dtype, 1 / (n or 1))
    close(total, value.sum() / count, dtype)
    alone, none, slopes_alone = device.run_pointwise(loss, x, y, parameter, up, False, count)
    assert none is None
    np.testing.assert_array_equal(alone, total)
    np.testing.assert_array_equal(slopes_alone, slopes)
    forward = device.run_pointwise(loss, x, y, parameter, count=count)
    np.testing.assert_array_equal(forward[0], total)
    assert forward[1:] == (None, None)


@dtypes
def test_a_parameter_for_each_element(dtype):
    x, y = inputs("bce_with_logits", 700, dtype)
    weights = np.random.default_rng(1).random(700).astype(dtype) * 3
    loss = LOSSES["bce_with_logits"]
    expected = loss.reference(x.astype("f8"), y.astype("f8"), weights.astype("f8"))
    total, values, slopes = device.run_pointwise(loss, x, y, weights, 1.0, True)
    close(values, expected[0], dtype, 10)
    close(slopes, expected[1], dtype, 10)
    close(total, expected[0].sum(), dtype)
    one = np.broadcast_to(np.array(1.7, dtype), x.shape)  # a number on the device, for all
    shared = device.run_pointwise(loss, x, y, one, 1.0, True)
    for a, b in zip(shared, device.run_pointwise(loss, x, y, 1.7, 1.0, True), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_a_parameter_for_each_of_no_elements(shape):
    """There is nothing to read, not even where the array would begin."""
    x, none = np.ones(shape, np.float32), np.empty(0, np.float32)
    for weights in (x, np.lib.stride_tricks.as_strided(none, shape, (0,) * len(shape))):
        total, *_ = device.run_pointwise(LOSSES["bce_with_logits"], x, x, weights, 1.0, True)
        assert total == 0


def derived(name):
    from minigrad.nn import functional
    from minigrad.scalar import rules

    function = getattr(functional, name).__wrapped__
    return rules.derive(
        name, lambda x, y, *p: function(x, y, *p), {"sigmoid_focal_loss": 2}.get(name, 1)
    )


@dtypes
@pytest.mark.parametrize(
    ("name", "numbers"), [("quantile_loss", (0.3,)), ("sigmoid_focal_loss", (0.3, 1.5))]
)
def test_losses_from_a_scalar_function(name, numbers, dtype):
    if (name, dtype, SIMULATED) == ("sigmoid_focal_loss", "float64", False):
        pytest.skip("its power is a function's call, which the interpreter does not know")
    loss, (x, y) = derived(name), inputs("bce_with_logits", 600, dtype)
    x /= 10
    combined = loss.combine(*numbers) if loss.combine else numbers
    parameter = combined if len(combined) > 1 else combined[0]
    expected = loss.reference(x.astype("f8"), y.astype("f8"), *numbers)
    total, values, slopes = device.run_pointwise(loss, x, y, parameter, 0.7, True, 600)
    close(values, expected[0], dtype)
    close(slopes * 600, expected[1] * 0.7, dtype)
    close(total, expected[0].mean(), dtype)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_views_that_begin_anywhere(shift):
    """The accesses of 16 bytes are for arrays that begin at a multiple of 16."""
    x, y = inputs("mse", 1200, "float32")
    x, y = x[shift:1100], y[100:][: 1100 - shift]
    total, _, slopes = device.run_pointwise(LOSSES["mse"], x, y, upstream=1.0)
    np.testing.assert_array_equal(slopes, 2 * (x - y))
    close(total, ((x.astype("f8") - y) ** 2).sum(), "float32")
    aligned = device.run_pointwise(LOSSES["mse"], x.copy(), y.copy(), upstream=1.0)
    np.testing.assert_array_equal(total, aligned[0])  # the same bits wherever it begins
    strided = device.run_pointwise(LOSSES["mse"], x[::2], y[::2], upstream=1.0)[2]
    np.testing.assert_array_equal(strided, slopes[::2])


@pytest.mark.parametrize("name", POINTWISE)
def test_nan_and_infinity(name):
    special = np.float32([np.nan, np.inf, -np.inf, 0.0, 1.0, 0.5, 3e38, 1e-40])
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    if name.startswith("bce"):
        y = np.float32([np.nan, 1, 0.5, 0, 1, 0.25, 0.75, 1e-40]).repeat(8)
    parameter = {"smooth_l1": (1.0,), "bce_with_logits": (1.0,)}.get(name, ())
    with np.errstate(all="ignore"):
        value, slope, _ = LOSSES[name].reference(x, y, *parameter)
    if name == "bce":
        value[~((x >= 0) & (x <= 1) & (y >= 0) & (y <= 1))] = np.nan
    (number,) = parameter or (0.0,)
    _, values, slopes = device.run_pointwise(LOSSES[name], x, y, number, 1.0, True)
    inside = np.isfinite(x) & np.isfinite(y)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(value))
    np.testing.assert_allclose(values[inside], value[inside], 1e-5)
    if name not in ("bce", "bce_with_logits"):
        np.testing.assert_array_equal(np.isnan(slopes), np.isnan(slope))


def test_a_mean_whose_sum_is_beyond_float32():
    x, y = np.full(600, 3e38, np.float32), np.zeros(600, np.float32)
    total, _, slopes = device.run_pointwise(LOSSES["l1"], x, y, upstream=1.0, count=600)
    assert total == np.float32(3e38)
    close(slopes, 1 / 600, "float32")


# --- cross-entropy ------------------------------------------------------------------------------


def rows(n, classes, dtype, seed=0):
    random = np.random.default_rng([n, classes, seed])
    x = (random.standard_normal((n, classes)) * 4).astype(dtype)
    return x, random.integers(0, classes, n)


def expected_rows(x, target, weight, ignore, up, count):
    """Values, slopes and the reduced loss in float64."""
    own = np.ones(x.shape[1]) if weight is None else weight.astype("f8")
    t = np.zeros(x.shape)
    kept = target != ignore
    t[kept, target[kept]] = own[target[kept]]
    value, slope, _ = LOSSES["cross_entropy"].reference(x.astype("f8"), t)
    slope *= up / count
    slope[~kept] = 0  # also where count is NaN
    return value, slope, value.sum() / count


LAYOUTS = {
    "part of a warp": layout(8, 4), "warp": layout(32, 1), "block": layout(64, 1),
    "staged": layout(64, 1, 2), "beyond": layout(64, 1, 1, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "remainder"), [*(("float32", r) for r in range(4)), ("float64", 0), ("float64", 1)]
)
def test_rows_kept_on_the_chip(kind, dtype, remainder, monkeypatch):
    monkeypatch.setattr(device, "class_layout", LAYOUTS[kind])
    width = 16 // np.dtype(dtype).itemsize
    places = {"part of a warp": 31, "warp": 31, "block": 63, "staged": 180, "beyond": 200}[kind]
    n = {"part of a warp": 19, "beyond": 3}.get(kind, 5)
    classes = (places - 1) * width + (remainder or width)
    x, target = rows(n, classes, dtype)
    target[1] = -100
    count = device.count_classes(target, None, classes, -100)
    assert count == (target != -100).sum()
    total, values, slopes = device.run_classes(
        LOSSES["cross_entropy"], x, target, None, -100, 0.6, True, count
    )
    value, slope, mean = expected_rows(x, target, None, -100, 0.6, float(count))
    close(values, value, dtype)
    close(slopes, slope, dtype, 0.1)
    close(total, mean, dtype)


@dtypes
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("n", [0, 1, 32, 107])
def test_few_classes(n, classes, dtype):
    x, target = rows(n, classes, dtype)
    weight = np.random.default_rng(2).random(classes).astype(dtype) + 0.1
    count = device.count_classes(target, weight, classes, 1)
    weights = np.where(target == 1, 0, weight.astype("f8")[target])
    close(count, weights.sum() or np.nan, "float64")
    total, values, slopes = device.run_classes(
        LOSSES["cross_entropy"], x, target, weight, 1, 0.6, True, count
    )
    value, slope, mean = expected_rows(x, target, weight, 1, 0.6, float(count))
    close(values, value, dtype)
    close(slopes, slope, dtype, 0.1)
    close(total, mean, dtype)


@pytest.mark.parametrize("kind", [None, *LAYOUTS])
def test_sure_rows_keep_their_digits(kind, monkeypatch):
    """log(1 + tiny) and 1 - p, where the target wins by far."""
    classes = use(kind, monkeypatch)
    x = np.zeros((4, classes), np.float32)
    target = np.arange(4)
    x[target, target] = [20.0, 30.0, 50.0, 80.0]
    _, values, slopes = device.run_classes(
        LOSSES["cross_entropy"], x, target, None, -100, 1.0, True
    )
    others = (classes - 1) * np.exp(-x[target, target].astype("f8"))
    np.testing.assert_allclose(values, np.log1p(others), 2e-6)
    np.testing.assert_allclose(slopes[target, target], -others / (1 + others), 2e-6)
    np.testing.assert_allclose(slopes[:, 4], others / (1 + others) / (classes - 1), 2e-6)


def use(kind, monkeypatch):
    """Have rows kept in this way (None: a thread to a row); gives a number of classes for it."""
    if kind is None:
        return 5
    monkeypatch.setattr(device, "class_layout", LAYOUTS[kind])
    return 400 if kind == "beyond" else 100


@pytest.mark.parametrize("kind", [None, *LAYOUTS])
def test_infinite_logits(kind, monkeypatch):
    classes = use(kind, monkeypatch)
    x, target = rows(6, classes, "float32")
    x[0, 0] = x[0, -1] = -np.inf  # masked classes: finite
    x[1] = -np.inf
    x[2, 1] = np.inf
    x[3, 2] = np.nan
    x[4, :-1] = -np.inf  # all but the last, which is the target: loss 0
    target[0], target[4] = 1, classes - 1
    with np.errstate(all="ignore"):
        value, slope, _ = expected_rows(x, target, None, -100, 1.0, 1.0)
    slope[0, [0, -1]], value[0] = 0, -np.log(np.exp(x[0, 1:-1] - x[0, 1]).sum()) * -1
    _, values, slopes = device.run_classes(
        LOSSES["cross_entropy"], x, target, None, -100, 1.0, True
    )
    np.testing.assert_array_equal(np.isnan(values), [False, True, True, True, False, False])
    close(values[[0, 4, 5]], [value[0], 0.0, value[5]], "float32")
    assert not slopes[0, [0, -1]].any()
    assert not slopes[4].any()


def test_a_class_out_of_range_is_told_later():
    x, target = rows(40, 5, "float32")
    target[[31, 17]] = 5, -3
    target[3] = -100
    count = device.count_classes(target, None, 5, -100)
    _, values, slopes = device.run_classes(
        LOSSES["cross_entropy"], x, target, None, -100, 1.0, True, count
    )
    assert not values[[3, 17, 31]].any()
    assert not slopes[[3, 17, 31]].any()
    device.count_classes(target[:10], None, 2, -100)  # later ones do not hide the first
    with pytest.raises(IndexError, match=r"class -3 at position 17 .* 5 classes; expected 0 to 4"):
        device.check()
    device.check()


@dtypes
@pytest.mark.parametrize("classes", [1, 2, 31, 33, 70])
@pytest.mark.parametrize("team", [32, 64])
def test_weights_of_every_class(classes, team, dtype, monkeypatch):
    monkeypatch.setattr(device, "WARP_ROW", 1024 if team == 32 else 0)
    random = np.random.default_rng(classes)
    x = (random.standard_normal((5, classes)) * 4).astype(dtype)
    t = random.random((5, classes)).astype(dtype)
    x[2, -1] = x[2, 0] = 9.0  # two largest
    x[3, 0] += 60  # sure
    t[3] = 0
    t[3, 0] = 1
    keep = np.array([True, True, True, True, False])
    value, slope, _ = LOSSES["cross_entropy"].reference(x.astype("f8"), t.astype("f8"))
    value[4] = slope[4] = 0
    total, values, slopes = device.run_weights(LOSSES["cross_entropy"], x, t, keep, 0.6, True, 5.0)
    close(values, value, dtype, 10)
    np.testing.assert_allclose(values[3], value[3], 1e-5, 1e-20)
    close(slopes, slope * 0.6 / 5, dtype, 10)
    close(total, value.sum() / 5, dtype, 10)


def test_infinite_logits_and_weights_of_every_class():
    x = np.float32([[1, 2, 3], [1, np.inf, 2], [1, -np.inf, 2], [-np.inf] * 3, [1, np.nan, 2]])
    t = np.full((5, 3), 1 / 3, np.float32)
    with np.errstate(all="ignore"):
        value, slope, _ = LOSSES["cross_entropy"].reference(x, t)
    _, values, slopes = device.run_weights(LOSSES["cross_entropy"], x, t, None, 1.0, True)
    np.testing.assert_allclose(values, value, 1e-6)
    np.testing.assert_allclose(slopes, slope, 1e-6)


# --- the rest -----------------------------------------------------------------------------------


def test_the_same_bits_in_every_order_of_blocks():
    x, y = inputs("mse", 2000, "float32")
    logits, target = rows(200, 5, "float32")
    found = set()
    for seed in range(5):
        random.seed(seed)
        results = device.run_pointwise(LOSSES["mse"], x, y, 0.0, 1.0, True, 2000)
        results += device.run_classes(LOSSES["cross_entropy"], logits, target, None, -100, 1.0)
        found.add(b"".join(a.tobytes() for a in results if a is not None))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("stream", "shared"), [(0, True), (4096, True), (launching.PER_THREAD, False)]
)
def test_scratch_belongs_to_a_stream(stream, shared, monkeypatch):
    """Of the name PER_THREAD every thread has its own; two grids with one ticket would mix."""
    current = SimpleNamespace(ptr=stream)
    monkeypatch.setattr(numpy_cupy.cupy.cuda, "get_current_stream", lambda: current)
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(launching.scratch).result()
    assert (theirs is launching.scratch()) == shared


@dtypes
@pytest.mark.parametrize(
    ("rule", "numbers", "states"),
    [
        (optimizers.sgd, (0.1, 0.01, 0.0, 1.0, 0.0), 0),
        (optimizers.sgd, (0.1, 0.01, 0.9, 0.5, 1.0), 1),
        (optimizers.adam, (0.1, 0.9, 0.1, 0.99, 0.01, 1.3, 1e-8, 0.01, 0.99), 2),
        (optimizers.rmsprop, (0.1, 0.9, 0.1, 1e-8, 0.01, 0.9, 1.0), 3),
    ],
)
def test_optimizer_steps(rule, numbers, states, dtype):
    from minigrad.kernels import cpu

    random = np.random.default_rng(0)
    p, g, *s = (random.random((3, 41)).astype(dtype) for _ in range(2 + states))
    s[:1] = [a + 2 for a in s[:1]]  # a mean of squares above the square of a mean
    s += [None] * (3 - states)
    p2, s2 = p.copy(), [None if a is None else a.copy() for a in s]
    device.bind_update(rule, p, s)(g, numbers)
    cpu.bind_update(rule, p2, s2)(g, numbers)
    for ours, theirs in zip([p, *s], [p2, *s2], strict=True):
        if ours is not None:
            close(ours, theirs, dtype)


def test_a_parameter_in_another_order_of_memory():
    p = np.asfortranarray(np.ones((3, 5), np.float32))
    g = np.arange(15, dtype=np.float32).reshape(3, 5)
    device.bind_update(optimizers.sgd, p, [None] * 3)(g, np.array([0.5, 0, 0, 1, 0]))
    np.testing.assert_array_equal(p, 1 - 0.5 * g)


def test_relu_and_erf():
    g = np.float32([[1, 2], [np.nan, 4]])
    out = np.float32([[0, 1], [2, np.nan]])
    np.testing.assert_array_equal(device.run_zero_below(g, out), [[0, 2], [np.nan, 4]])
    turned = np.asfortranarray(g)  # as the gradient of x.T is
    np.testing.assert_array_equal(device.run_zero_below(turned, out), [[0, 2], [np.nan, 4]])
    x = np.linspace(-3, 3, 100).reshape(4, 25)
    from math import erf

    np.testing.assert_allclose(device.run_erf(x), np.vectorize(erf)(x), 1e-15)


def test_a_single_number_stays_one():
    x, y = np.array(2.0, np.float32), np.array(0.5, np.float32)
    total, values, slopes = device.run_pointwise(LOSSES["mse"], x, y, 0.0, 1.0, True)
    assert total.shape == values.shape == slopes.shape == ()
    assert (total, values, slopes) == (2.25, 2.25, 3.0)
    assert device.run_erf(x).shape == device.run_zero_below(x, y).shape == ()
    device.bind_update(optimizers.sgd, x, [None] * 3)(y, np.array([0.5, 0, 0, 1, 0]))
    assert x == 1.75


@dtypes
def test_additions_at_repeated_positions(dtype):
    index = np.array([3, 1, 3, 3, 0])
    values = np.random.default_rng(0).random((5, 4)).astype(dtype)
    out = np.zeros((6, 4), dtype)
    expected = out.copy()
    np.add.at(expected, index, values)  # in the same order
    device.add_at(out, index, values)
    np.testing.assert_array_equal(out, expected)
    device.add_at(out, (slice(None), np.array([1, 1])), np.ones((), dtype))
    np.testing.assert_allclose(out[:, 1], expected[:, 1] + 2)


def test_layouts_cover_rows_of_any_size():
    for itemsize in (4, 8):
        for classes in [*range(7, 2000, 37), 4096, 8193, 20000, 50257, 65536, 128256, 10**7]:
            chosen = device.class_layout(classes, itemsize, 227 * 1024)
            kept = chosen["TEAM"] * (chosen["VECTORS"] + chosen["STAGED"]) * 16 // itemsize
            assert kept >= classes + classes % (16 // itemsize) or chosen["BEYOND"]
            assert chosen["STAGED"] * chosen["threads"] * 16 <= 227 * 1024 - 4096
    assert not device.class_layout(65536, 4, 227 * 1024)["BEYOND"]
    assert device.class_layout(65536, 4, 99 * 1024)["BEYOND"]  # on a smaller GPU


@pytest.mark.skipif(not SIMULATED, reason="of the simulator")
def test_the_simulator_forbids_what_a_gpu_does():
    bad = simulator._within
    array = np.zeros(3)
    inside = bad(simulator.kernel.FakeCUDAArray(array))
    with pytest.raises(IndexError, match="in front of"):
        inside[-1]
    with pytest.raises(IndexError):
        inside[3] = 1.0
