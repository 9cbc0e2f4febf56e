"""`pytest benchmarks --benchmark-only [--threads N]`."""

import pytest

from minigrad.benchmarks import measure, rivals

# What a benchmark may take: all of them in a quarter of an hour. Shorter than pytest-benchmark's.
BOUNDS = pytest.mark.benchmark(max_time=0.2, min_rounds=5, min_time=1e-4, warmup=False)


def pytest_make_parametrize_id(val, argname):
    """`mse-1000000`, `cross_entropy-64x10`: what -k can read."""
    if argname == "cell":
        return str(val).replace(",", "").replace(" x ", "x").replace(" ", "-")
    return None


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=measure.cores(), help="for all rivals alike")


@pytest.fixture(scope="session", autouse=True)
def threads(request):
    """So many for all, from before the rivals' libraries are imported."""
    count = request.config.getoption("--threads")
    if not 1 <= count <= measure.cores():
        raise pytest.UsageError(f"--threads: expected 1 to {measure.cores()}, got {count}")
    with measure.held_to(count):
        yield count


def pytest_collection_modifyitems(items):
    for item in items:
        if "bench" in item.fixturenames:
            item.add_marker(BOUNDS)


@pytest.fixture
def bench(benchmark, threads):
    """bench(rival, cell, group): check the result, then time the rival; skip what is absent."""

    def time(name, cell, group):
        if reason := rivals.missing(name):
            pytest.skip(f"{name}: {reason}")
        rival = rivals.build(name, cell)
        benchmark.group = group
        benchmark.extra_info |= {"threads": threads, "machine": measure.machine(threads)}
        benchmark(rival.run)
        if isinstance(cell, rivals.Loss) and benchmark.stats:
            rate = cell.bytes / benchmark.stats.stats.median / 1e9
            benchmark.extra_info |= {"bytes": cell.bytes, "GB/s": round(rate, 3)}

    return time
