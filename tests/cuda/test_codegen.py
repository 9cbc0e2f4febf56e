"""The kernels as compiled for an H200: what shows in no simulator, without a GPU."""

import codegen
import pytest


@pytest.fixture(scope="module")
def rows():
    found = [line.strip("| ").split(" | ") for line in codegen.table()[2:]]
    return [dict(zip(codegen.COLUMNS, row, strict=False)) for row in found]


def test_as_pinned(rows):
    """A change of the compiled code is a decision: python tests/cuda/codegen.py --write."""
    lines = [line.strip("| ").split(" | ") for line in codegen.TABLE.read_text().splitlines()[2:]]
    assert rows == [dict(zip(codegen.COLUMNS, line, strict=False)) for line in lines]


def test_nothing_but_registers(rows):
    """A row that spills, a local array in memory or a call costs more than all arithmetic.

    But for a power, beside whose instructions 28 accesses for 16 elements are few: it is too long
    for LLVM to unroll the loop.
    """
    for row in rows:
        if "focal" in row["kernel"]:
            continue
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
