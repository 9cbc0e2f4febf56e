"""What the driver is given for a call, by a driver that does nothing."""

from types import SimpleNamespace

import driver
import numpy as np
import numpy_cupy
import pytest
from numba.cuda.core import caching

from helpers import standin
from minigrad.kernels import LOSSES, optimizers


@pytest.fixture
def launched():
    """What is launched, on the stand-in for CuPy."""
    return []


@pytest.fixture
def device(launched):
    cupy = standin.modules()["cupy"]
    with driver.without_a_gpu(cupy, lambda *given: launched.append(given)) as device:
        yield device


def plain(values):
    """Arguments as numbers; those that ctypes made, with their type."""
    return [(type(v).__name__, v.value) if hasattr(v, "value") else v for v in values]


def test_pointwise(device, launched):
    x, y = (device.cupy.zeros((300, 200), "f4") for _ in range(2))
    total, values, slopes = device.run_pointwise(LOSSES["mse"], x, y, 0.5, 3.0, False, 60000)
    ((_, grid, code, *given),) = launched
    assert (grid.grid, grid.block, grid.shmem_size) == ((59, 1, 1), (256, 1, 1), 0)
    assert code.name.startswith("pointwise.mse-rule.float32")
    assert values is None
    block_sums, ticket, _ = device.scratch()
    up = ("c_float", np.float32(3 / 60000))
    assert plain(given) == [
        x.data.ptr, y.data.ptr, ("c_float", 0.5), 0, up, ("c_double", 60000), ("c_long", 60000),
        0, slopes.data.ptr, block_sums.data.ptr, ticket.data.ptr, total.data.ptr,
    ]  # fmt: skip


def test_cross_entropy(device, launched):
    x, target = device.cupy.zeros((300, 200), "f4"), device.cupy.zeros(300, "i8")
    count = device.count_classes(target, None, 200, -100)
    total, _, slopes = device.run_classes(None, x, target, None, -100, 1.0, False, count)
    (_, counting, _, *given), (_, rows, _, *given_rows) = launched
    assert (counting.grid, counting.block) == ((2, 1, 1), (256, 1, 1))
    assert plain(given)[:5] == [
        target.data.ptr,
        0,
        ("c_long", -100),
        ("c_long", 300),
        ("c_long", 200),
    ]
    assert (rows.grid, rows.block) == ((38, 1, 1), (128, 1, 1))
    assert plain(given_rows)[:10] == [
        x.data.ptr, target.data.ptr, 0, ("c_long", -100), ("c_double", 1.0), ("c_long", 300),
        ("c_long", 200), count.data.ptr, 0, slopes.data.ptr,
    ]  # fmt: skip
    assert given_rows[-1] == total.data.ptr


def test_numbers_of_an_optimizer(device, launched):
    p, g, a, b = (device.cupy.zeros((5, 7), "f8") for _ in range(4))
    device.bind_update(optimizers.adam, p, [a, b, None])(g, np.arange(9))
    ((_, grid, _, *given),) = launched
    assert grid.grid == (1, 1, 1)
    numbers = [("c_double", float(k)) for k in range(9)]
    pointers = [array.data.ptr for array in (p, g, a, b)]
    assert plain(given) == [*pointers, 0, *numbers, ("c_long", 35)]


def test_kernels_are_kept_on_disk(device, monkeypatch, tmp_path):
    """And are found again: one that is compiled again is written again."""
    monkeypatch.setattr(caching.config, "CACHE_DIR", str(tmp_path))
    dtype, found = np.dtype("f4"), set()
    for _ in range(2):
        numpy_cupy.forget(device)
        device.pointwise_kernel(LOSSES["l1"].rule, dtype, None, "host", True, False, True)
        found |= {(path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.nbc")}
    ((name, _),) = found
    assert name.startswith("pointwise.pointwise.l1-rule.float32")


def test_another_stream_has_its_own_scratch(device, launched, monkeypatch):
    x = device.cupy.zeros(10, "f4")
    used = []
    for handle in (0, 4242):
        stream = SimpleNamespace(ptr=handle)
        monkeypatch.setattr(device.cupy.cuda, "get_current_stream", lambda stream=stream: stream)
        device.run_pointwise(LOSSES["l1"], x, x)
        stream, *_, part, ticket, _ = launched[-1]
        used.append((int(stream.handle), part, ticket))
    assert [handle for handle, *_ in used] == [0, 4242]
    assert used[0][1] != used[1][1]
    assert used[0][2] != used[1][2]
