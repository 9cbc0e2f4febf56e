"""Same input, same bits: over runs, numbers of threads, and builds fresh or from the disk cache."""

from pathlib import Path

import numba
import numpy as np
import pytest
from test_kernels import CE, IGNORED, LOSSES, POINTWISE, arguments, digest, logits, run_python

from minigrad.kernels import cpu
from minigrad.kernels.cpu import threads

CLASSES = {"few classes": 10, "many classes": 1000, "class weights": 100}
NAMES = (*POINTWISE, *CLASSES)
SIZES = {
    "tiny": 7,
    "one block": cpu.sums.BLOCK,
    "below threads": cpu.PARALLEL - 1,
    "threads": cpu.PARALLEL,
    "million": 1_000_000,
}
DTYPES = ("float32", "float64")
THREADS = (1, 2, 4, 8)
SHORT = {  # every loop; each loss takes 4 s to compile
    "float32": ("mse", "bce_with_logits", *CLASSES),
    "float64": ("mse",),
}


def prepared(name, size, dtype):
    """A function () -> sum, values, gradients of a loss at that many elements or just above."""
    rng, dtype = np.random.default_rng(size), np.dtype(dtype)
    if name in POINTWISE:
        given = arguments(name, size, dtype, "both", rng)
        return lambda: cpu.run_pointwise(LOSSES[name], *given)
    classes = CLASSES[name]
    n = max(1, size // classes + (size >= cpu.PARALLEL))
    y = rng.integers(classes, size=n)
    y[1::5] = IGNORED
    x, upstream = logits(n, classes, y, dtype, rng), rng.standard_normal(n).astype(dtype)
    if name == "class weights":
        x, t = rng.standard_normal((2, n, classes)).astype(dtype)
        return lambda: cpu.run_weights(CE, x, t, y != IGNORED, upstream, True)
    weight = rng.uniform(0.5, 2, classes).astype(dtype)
    return lambda: cpu.run_classes(CE, x, y, weight, IGNORED, upstream, True)


def same(got, want):
    """Bit by bit, NaN and the sign of zero too."""
    return all(
        np.array_equal(
            np.asarray(a).reshape(-1).view(np.uint8), np.asarray(b).reshape(-1).view(np.uint8)
        )
        for a, b in zip(got, want, strict=True)
    )


@pytest.mark.parametrize("runs", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(n, d, marks=() if n in SHORT[d] else pytest.mark.slow)
        for d in DTYPES
        for n in NAMES
    ],
)
def test_same_bits_run_after_run(name, dtype, runs):
    """And in the serial build, which runs instead while other threads are at work."""
    for size in SIZES.values():
        call = prepared(name, size, dtype)
        first = call()
        assert np.isfinite(first[0])
        times = runs if size < 1_000_000 else runs // 10  # comparing takes longer than they do
        assert all(same(call(), first) for _ in range(times))
        with threads._team:
            assert same(call(), first)


def calls(every):
    return [
        prepared(name, size, dtype)
        for dtype in DTYPES
        for name in (NAMES if every else SHORT[dtype])
        for size in SIZES.values()
    ]


def print_digests(every):
    """What the child prints: a line for each number of threads, a word for each loss and size."""
    prepared_calls = calls(every)
    for count in THREADS:
        numba.set_num_threads(count)
        for call in prepared_calls:
            found = {digest(*call()) for _ in range(2)}
            print(*found, sep="-")


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_same_bits_with_any_number_of_threads(every):
    """In this process, and in one with 8 threads that reads the same builds from the disk cache."""
    code = f"import test_determinism as t; t.print_digests({every})"
    where = {"NUMBA_NUM_THREADS": "8", "PYTHONPATH": str(Path(__file__).parent)}
    words = run_python(code, **where)
    here = [digest(*call()) for call in calls(every)]
    assert words == here * len(THREADS)


def test_same_bits_from_a_fresh_build_and_the_disk_cache(tmp_path):
    code = """if True:
        import test_determinism as t
        print(t.digest(*t.prepared("bce_with_logits", t.SIZES["threads"], "float32")()))
        print(t.digest(*t.prepared("many classes", t.SIZES["tiny"], "float32")()))"""
    where = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    fresh = run_python(code, **where)
    builds = set(tmp_path.rglob("*.nbc"))
    assert len(builds) == 2
    assert run_python(code, **where) == fresh
    assert set(tmp_path.rglob("*.nbc")) == builds
