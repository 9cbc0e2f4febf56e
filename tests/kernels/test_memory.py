"""Large buffers are used again, but never while anything can still see them."""

import gc
import threading

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import minigrad as mg
from minigrad.kernels import cpu
from minigrad.kernels.cpu import memory
from minigrad.nn import functional as F

SIZE = memory.SMALLEST  # bytes: float32 arrays of a quarter as many elements
FLOAT = np.dtype(np.float32)


@pytest.fixture(autouse=True)
def _empty():
    memory.empty_cache()
    yield
    memory.empty_cache()


def address(array):
    return array.__array_interface__["data"][0]


def lend(shape=(SIZE // 4,)):
    return memory.empty_like(np.empty(shape, FLOAT))


HOLDERS = {
    "slice": lambda a: a[5:9],
    "step": lambda a: a[::-3],
    "row": lambda a: a.reshape(64, -1)[3],
    "transpose": lambda a: a.reshape(64, -1).T,
    "view": lambda a: a.view(np.int32),
    "view of a view": lambda a: a[2:][1:].reshape(-1)[:7],
    "memoryview": memoryview,
    "another library": lambda a: np.frombuffer(a, np.uint8),
    "tensor": lambda a: mg.from_numpy(a),
    "detached view": lambda a: mg.from_numpy(a).reshape(2, -1)[1].detach(),
    "broadcast": lambda a: np.broadcast_to(a, (2, a.size)),
    "real": lambda a: a.real,
    "flat iterator": lambda a: a.flat,
    "dlpack": lambda a: np.from_dlpack(a),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_buffer_comes_back_with_its_last_view(holder):
    array = lend()
    where = address(array)
    held = HOLDERS[holder](array)
    del array
    gc.collect()
    assert address(lend()) != where
    del held
    gc.collect()
    assert address(lend()) == where


def test_arrays_look_like_any_other():
    for shape in ((SIZE // 4,), (2, SIZE // 8), (1, 2, SIZE // 8), (SIZE,)):
        array = lend(shape)
        assert type(array) is np.ndarray
        assert array.shape == shape
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert address(array) % memory.LINE == 0
    assert lend((3, 0)).shape == (3, 0)
    assert lend((4,)).flags.owndata  # small ones are NumPy's own


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 3 * SIZE)
    arrays = [lend() for _ in range(8)]
    del arrays
    assert 0 < sum(n * len(kept) for n, kept in memory._free.items()) <= 3 * SIZE
    big = lend((SIZE,))
    del big
    assert sum(n * len(kept) for n, kept in memory._free.items()) <= 3 * SIZE
    memory.empty_cache()
    assert not memory._free


def idle():
    return sum(size * len(kept) for size, kept in memory._free.items())


def test_sizes_that_nobody_asks_for_again_go(monkeypatch):
    """A loss of a new size at each call: what is idle stays a multiple of what was lent."""
    monkeypatch.setattr(memory, "_most", [0, 0])
    for k in range(100):
        n = SIZE // 4 + 1000 * k
        x = mg.zeros(n, requires_grad=True)
        F.mse_loss(x, mg.zeros(n)).backward()
        assert idle() <= memory.IDLE * max(memory._most) <= memory.IDLE * 3 * 4 * n
        assert len(memory._free) <= 6


def test_a_time_of_large_buffers_is_forgotten(monkeypatch):
    monkeypatch.setattr(memory, "_most", [0, 0])
    monkeypatch.setattr(memory, "LATELY", 10)
    large = [lend((16, SIZE // 4)) for _ in range(3)]
    del large
    assert idle() == 3 * 16 * SIZE
    for _ in range(2 * memory.LATELY):
        lend()
    assert idle() <= memory.IDLE * SIZE


def test_sizes_in_turn_stay(monkeypatch):
    """As in a training step, which asks for the same sizes again and again."""
    monkeypatch.setattr(memory, "_most", [0, 0])
    shapes = [(SIZE // 4 + 1000 * k,) for k in range(4)]
    seen = []
    for _ in range(10):
        held = [lend(shape) for shape in shapes]
        seen.append([address(array) for array in held])
        del held
    assert seen[1:] == seen[:-1]


def test_a_parameter_that_changes_at_every_call_keeps_and_compiles_nothing():
    x, y = mg.rand(50), mg.rand(50)
    losses = {
        "huber": lambda v: F.huber_loss(x, y, delta=v),
        "smooth_l1": lambda v: F.smooth_l1_loss(x, y, beta=v),
        "quantile": lambda v: F.quantile_loss(x, y, v % 1),
        "focal": lambda v: F.sigmoid_focal_loss(x, y, v, 2 * v),
        "poisson": lambda v: F.poisson_nll_loss(x, y, log_input=False, eps=v),
        "pos_weight": lambda v: F.binary_cross_entropy_with_logits(x, y, pos_weight=mg.tensor(v)),
        "smoothing": lambda v: F.cross_entropy(
            x.view(5, 10), mg.zeros(5).long(), label_smoothing=v % 1
        ),
        "ignored": lambda v: F.cross_entropy(
            x.view(5, 10), mg.zeros(5).long(), ignore_index=-int(v * 50)
        ),
    }  # fmt: skip
    for name, loss in losses.items():
        counted = []
        for k in range(40):
            loss(0.5 + 0.37 * k)
            if k in (2, 39):
                kernels = cpu.kernel.cache_info().currsize
                builds = sum(
                    len(ref().overloads) for ref in list(Dispatcher._memo.valuerefs()) if ref()
                )
                counted.append((kernels, builds))
        assert counted[0] == counted[1], name


def test_a_gradient_outlives_the_next_call():
    n = SIZE // 4
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal(n).astype(np.float32), requires_grad=True)
    y = mg.tensor(rng.standard_normal(n).astype(np.float32))
    F.mse_loss(x, y).backward()
    kept = x.grad
    part, before = kept[10:20].numpy(), kept.numpy().copy()
    for scale in (2.0, 3.0):
        x.grad = None
        F.mse_loss(x * scale, y).backward()
        np.testing.assert_array_equal(kept.numpy(), before)
    del kept
    x.grad = None
    for _ in range(3):
        F.mse_loss(x * 5, y).backward()
        np.testing.assert_array_equal(part, before[10:20])


def test_used_memory_does_not_show():
    """The same bits into fresh memory and into a buffer full of NaN, every loss."""
    rng = np.random.default_rng(1)
    shape = (SIZE // 4 // 128, 128)
    x = rng.random(shape, np.float32)
    y = rng.random(shape, np.float32)
    classes = rng.integers(0, 128, shape[0])
    losses = {
        "mse": lambda t: F.mse_loss(t, mg.tensor(y)),
        "none": lambda t: F.smooth_l1_loss(t, mg.tensor(y), reduction="none").sum(),
        "bce": lambda t: F.binary_cross_entropy(t, mg.tensor(y)),
        "classes": lambda t: F.cross_entropy(t, mg.tensor(classes), ignore_index=7),
        "smooth": lambda t: F.cross_entropy(t, mg.tensor(classes), label_smoothing=0.1),
        "relu": lambda t: (t - 0.5).relu().sum(),
    }
    for name, loss in losses.items():
        bits = []
        for poison in (False, True):
            memory.empty_cache()
            if poison:
                arrays = [lend(shape) for _ in range(4)]
                for a in arrays:
                    a.fill(np.nan)
                del arrays, a
            t = mg.tensor(x, requires_grad=True)
            out = loss(t)
            out.backward()
            bits.append((out.item(), t.grad.numpy().tobytes()))
        assert bits[0] == bits[1], name


def test_many_threads():
    wrong = []

    def work(value):
        for _ in range(200):
            array = lend()
            array.fill(value)
            view = array[7::1001]
            del array
            if not (view == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert not memory._lent
