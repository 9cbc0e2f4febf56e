"""`pytest benchmarks --benchmark-only [--threads N]`."""

import pytest

from minigrad.benchmarks import measure, rivals


def pytest_xdist_auto_num_workers():
    """What measures runs alone."""
    return 0


def pytest_make_parametrize_id(val, argname):
    """`mse-1000000`, `cross_entropy-64x10`: what -k can read."""
    if argname == "cell":
        return str(val).replace(",", "").replace(" x ", "x").replace(" ", "-")
    return None


def pytest_addoption(parser):
    parser.addoption(
        "--threads",
        type=int,
        choices=range(1, measure.cores() + 1),
        default=measure.cores(),
        help="for all rivals alike (all cores)",
    )


@pytest.fixture(scope="session", autouse=True)
def threads(request):
    """So many for all, from before the rivals' libraries are imported."""
    count = request.config.getoption("--threads")
    with measure.held_to(count):
        yield count


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
