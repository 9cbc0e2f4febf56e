"""What the driver is given for a call, by a driver that does nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="compiles with numba-cuda: pip install numba-cuda[cu13]")
pytest.importorskip("cuda.bindings", reason="numba-cuda's driver: pip install numba-cuda[cu13]")

import codegen
import standin
from numba import cuda
from numba.cuda import codegen as numba_codegen
from numba.cuda.core import caching

from minigrad.kernels import LOSSES, optimizers


@pytest.fixture
def device(monkeypatch, tmp_path):
    """minigrad.kernels.cuda on the stand-in for CuPy; its `launched` lists what is launched."""
    cupy = standin.modules()["cupy"]
    cupy.cuda.get_current_stream = lambda: SimpleNamespace(ptr=0)
    device = codegen.without_a_gpu()
    launched = []
    monkeypatch.setattr(device.launching, "states", {})
    monkeypatch.setattr(device.launching, "shared_memory", lambda: codegen.SHARED)
    for module in (device, device.launching):
        monkeypatch.setattr(module, "cupy", cupy)
    monkeypatch.setattr(device.compiling, "cuda", cuda)
    monkeypatch.setattr(device.launching.core, "launch", lambda *given: launched.append(given))
    here = SimpleNamespace(device=SimpleNamespace(compute_capability=(9, 0), id=0))
    monkeypatch.setattr(numba_codegen, "devices", SimpleNamespace(get_context=lambda: here))
    monkeypatch.setattr(
        numba_codegen.CUDACodeLibrary,
        "get_cufunc",
        lambda self: SimpleNamespace(kernel=self.name, module=SimpleNamespace(initialized=True)),
    )
    monkeypatch.setattr(caching.config, "CACHE_DIR", str(tmp_path))
    caches = [
        device.pointwise_kernel, device.count_kernel, device.class_kernel, device.loop_kernel,
        device.compiling.build, device.launching._constant,
    ]  # fmt: skip
    for cached in caches:
        cached.cache_clear()
    yield SimpleNamespace(**vars(device), launched=launched)
    for cached in caches:
        cached.cache_clear()


def plain(values):
    """Arguments as numbers; those that ctypes made, with their type."""
    return [(type(v).__name__, v.value) if hasattr(v, "value") else v for v in values]


def test_pointwise(device):
    x, y = (device.cupy.zeros((300, 200), "f4") for _ in range(2))
    total, values, slopes = device.run_pointwise(LOSSES["mse"], x, y, 0.5, 3.0, False, 60000)
    ((_, grid, name, *given),) = device.launched
    assert (grid.grid, grid.block, grid.shmem_size) == ((59, 1, 1), (256, 1, 1), 0)
    assert name.startswith("pointwise.mse-rule.float32")
    assert values is None
    part, ticket, _ = device.state()
    up = ("c_float", np.float32(3 / 60000))
    assert plain(given) == [
        x.data.ptr, y.data.ptr, ("c_float", 0.5), 0, up, ("c_double", 60000), ("c_long", 60000),
        0, slopes.data.ptr, part.data.ptr, ticket.data.ptr, total.data.ptr,
    ]  # fmt: skip


def test_cross_entropy(device):
    x, target = device.cupy.zeros((300, 200), "f4"), device.cupy.zeros(300, "i8")
    count = device.count_classes(target, None, 200, -100)
    total, _, slopes = device.run_classes(None, x, target, None, -100, 1.0, False, count)
    (_, counting, _, *given), (_, rows, _, *given_rows) = device.launched
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


def test_numbers_of_an_optimizer(device):
    p, g, a, b = (device.cupy.zeros((5, 7), "f8") for _ in range(4))
    device.bind_update(optimizers.adam, p, [a, b, None])(g, np.arange(7))
    ((_, grid, _, *given),) = device.launched
    assert grid.grid == (1, 1, 1)
    numbers = [("c_double", float(k)) for k in range(7)]
    pointers = [array.data.ptr for array in (p, g, a, b)]
    assert plain(given) == [*pointers, 0, *numbers, ("c_long", 35)]


def test_kernels_are_kept_on_disk(device, tmp_path):
    """And are found again: one that is compiled again is written again."""
    dtype, found = np.dtype("f4"), set()
    for _ in range(2):
        device.pointwise_kernel.cache_clear()
        device.compiling.build.cache_clear()
        device.pointwise_kernel(LOSSES["l1"].rule, dtype, None, "host", True, False, True)
        found |= {(path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.nbc")}
    ((name, _),) = found
    assert name.startswith("elementwise.pointwise.l1-rule.float32")


def test_another_stream_has_its_own_scratch(device, monkeypatch):
    x = device.cupy.zeros(10, "f4")
    used = []
    for handle in (0, 4242):
        stream = SimpleNamespace(ptr=handle)
        monkeypatch.setattr(device.cupy.cuda, "get_current_stream", lambda stream=stream: stream)
        device.run_pointwise(LOSSES["l1"], x, x)
        stream, *_, part, ticket, _ = device.launched[-1]
        used.append((int(stream.handle), part, ticket))
    assert [handle for handle, *_ in used] == [0, 4242]
    assert used[0][1] != used[1][1]
    assert used[0][2] != used[1][2]
