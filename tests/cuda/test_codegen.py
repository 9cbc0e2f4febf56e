"""The kernels as compiled for an H200: what shows in no simulator, without a GPU."""

from types import SimpleNamespace

import pytest

pytest.importorskip("numba_cuda", reason="compiles with numba-cuda: pip install numba-cuda[cu13]")
pytest.importorskip("cuda.bindings", reason="links with nvJitLink: pip install numba-cuda[cu13]")

import codegen


@pytest.fixture(scope="module")
def rows():
    found = [line.strip("| ").split(" | ") for line in codegen.table()[2:]]
    return [dict(zip(codegen.COLUMNS, row, strict=False)) for row in found]


def test_as_pinned(rows):
    """A change of the compiled code is a decision: python tests/cuda/codegen.py --write."""
    lines = [line.strip("| ").split(" | ") for line in codegen.TABLE.read_text().splitlines()[2:]]
    assert rows == [dict(zip(codegen.COLUMNS, line, strict=False)) for line in lines]


def test_nothing_but_registers(rows):
    """A row that spills, a local array in memory or a call costs more than all arithmetic."""
    for row in rows:
        found = [row[name] for name in ("stack", "spills", "local", "calls")]
        assert found == ["0"] * 4, row["kernel"]


def test_losses_fill_the_memory_bus(rows):
    """By Little's law 26 KB in flight on an SM fill an H200's; twice that leaves room."""
    for row in rows:
        if row.get("KB in flight") and "float32" in row["kernel"]:
            assert int(row["KB in flight"]) >= 60, row["kernel"]
            assert int(row["16-byte loads"]) >= 4, row["kernel"]
            assert int(row["16-byte stores"]) >= 4, row["kernel"]


def test_float64_in_sums_only(rows):
    """Of float32 kernels: a constant without a type would make a loop's arithmetic float64."""
    for row in rows:
        if "float32" in row["kernel"]:
            elements = 16 if "cross_entropy" not in row["kernel"] else 0
            assert int(row["float64"]) <= 35 + 2 * elements, row["kernel"]


def test_a_small_launch_warns_of_nothing(monkeypatch):
    """Numba does, of fewer than 128 blocks."""
    launching = codegen.without_a_gpu().launching
    from numba import cuda

    @cuda.jit
    def kernel(x):
        pass

    launched = []
    monkeypatch.setattr(type(kernel), "call", lambda *arguments: launched.append(arguments))
    stream = SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=0))
    monkeypatch.setattr(launching, "cupy", SimpleNamespace(cuda=stream, ndarray=()))
    launching.launch(kernel, 1, 128, 0)  # the suite makes warnings errors
    assert launched[0][1] == (0,)
    with pytest.warns(Warning, match="Grid size 2"):  # of a user's own kernels it still does
        kernel[2, 128]
