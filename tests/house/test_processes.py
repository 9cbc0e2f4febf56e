"""Processes that fork, start together, or find their kernel cache damaged or out of reach."""

import concurrent.futures
import inspect
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import LOSSES, cpu
from minigrad.kernels.cpu import binding, threads

HERE = Path(__file__).parent
TIMEOUT = 120  # seconds; a process that hangs is a failure
LAYERS = ("omp", "workqueue", "tbb")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def start(code, *arguments, **where):
    """A Python process that knows these tests; a value of None takes the variable away."""
    environment = os.environ | {"PYTHONPATH": str(HERE)} | where
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={name: value for name, value in environment.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,  # from the checkout Python would take minigrad there before PYTHONPATH's
        start_new_session=True,  # so that its children can be ended with it
    )


def finish(process):
    """(what it printed, its errors and warnings), after it ended well."""
    try:
        out, errors = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"hangs, having printed {process.communicate()}")
    assert process.returncode == 0, (process.returncode, out, errors)
    return out, errors


# --- pools --------------------------------------------------------------------------------------


def work(seed):
    """Losses above cpu.PARALLEL, forward and backward, as bytes; then a training step's numbers."""
    rng, F = np.random.default_rng(seed), mg.nn.functional
    exact = []
    for loss, shape, target in (
        (F.mse_loss, (cpu.PARALLEL,), rng.standard_normal(cpu.PARALLEL, np.float32)),
        (F.cross_entropy, (5000, 10), rng.integers(10, size=5000)),
    ):
        x = mg.from_numpy(rng.standard_normal(shape, np.float32)).requires_grad_()
        out = loss(x, mg.from_numpy(target))
        out.backward(mg.tensor(rng.standard_normal(), dtype=mg.float32))
        exact += [out.detach().numpy().tobytes(), x.grad.numpy().tobytes()]

    mg.manual_seed(seed)
    model = mg.nn.Sequential(mg.nn.Linear(600, 500), mg.nn.ReLU(), mg.nn.Linear(500, 10))
    optimizer = mg.optim.Adam(model.parameters())  # its first weight is updated in threads
    F.cross_entropy(model(mg.randn(600, 600)), mg.randint(0, 10, (600,))).backward()
    optimizer.step()
    return exact, [p.detach().numpy() for p in model.parameters()]


def compare(results, expected):
    """Kernels give the same bits in any process; BLAS may share its sums out differently."""
    assert len(results) == len(expected)
    for (exact, near), (exact_here, near_here) in zip(results, expected, strict=True):
        assert exact == exact_here
        for a, b in zip(near, near_here, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def pool(method):
    """The parent trains; two pools of children do the same; the parent goes on."""
    expected = [work(seed) for seed in range(4)]
    assert numba.threading_layer() in LAYERS  # there was a launch
    context = multiprocessing.get_context(method)
    with context.Pool(2) as workers:
        compare(workers.map_async(work, range(4)).get(TIMEOUT), expected)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as workers:
        compare(list(workers.map(work, range(4), timeout=TIMEOUT)), expected)
    compare([work(0)], expected[:1])


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pools_after_the_parent_trained(method):
    finish(start("import sys, test_processes as t; t.pool(sys.argv[1])", method))


def child_of_a_child():
    expected = work(0)
    if pid := os.fork():
        return exit_code(pid)
    if pid := os.fork():
        os._exit(exit_code(pid))
    compare([work(0)], [expected])
    os._exit(23)


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
@pytest.mark.parametrize("layer", LAYERS)
def test_a_child_of_a_child_on_each_layer(layer):
    """The exit code comes from the innermost process, through both."""
    libraries = Path(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")  # pip's libtbb
    where = {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
    where["NUMBA_THREADING_LAYER"] = layer
    out, _ = finish(start("import test_processes as t; t.try_layer()", **where))
    if out.startswith("none"):
        pytest.skip(f"Numba finds no library for {layer}")
    assert out.split() == [layer, "23"]


def try_layer():
    try:
        numba.get_num_threads()
    except ValueError:
        print("none")
    else:
        print(numba.threading_layer(), child_of_a_child())


def before_and_after():
    """A child born before any launch has threads of its own, and leaves the parent's alone."""
    x = np.linspace(0, 1, cpu.PARALLEL, dtype=np.float32)
    read, write = os.pipe()
    pid = os.fork()
    total, _, slopes = cpu.run_pointwise(LOSSES["mse"], x, x[::-1].copy(), 0.0, 0.5)
    assert numba.threading_layer() in LAYERS
    assert not threads._team.locked()
    if not pid:
        os.write(write, slopes.tobytes()[:4096])
        os._exit(23)
    assert exit_code(pid) == 23
    assert os.read(read, 4096) == slopes.tobytes()[:4096]
    if not (pid := os.fork()):
        again = cpu.run_pointwise(LOSSES["mse"], x, x[::-1].copy(), 0.0, 0.5)
        os._exit(23 * (threads._team.locked() and again[0] == total))
    assert exit_code(pid) == 23


@needs_fork
def test_a_child_starts_threads_only_if_its_parent_had_none():
    finish(start("import test_processes as t; t.before_and_after()"))


def fork_while_compiling():
    x = np.ones(8)
    cpu.run_zero_below(x, x)  # imports what Numba needs: Python has locks of its own for that
    busy = threading.Thread(target=cpu.run_pointwise, args=(LOSSES["mse"], x, x))
    busy.start()
    time.sleep(0.1)
    assert busy.is_alive()
    if not (pid := os.fork()):
        cpu.run_zero_below(np.float32(x), np.float32(x))  # has to be compiled too
        os._exit(23)
    assert exit_code(pid) == 23
    busy.join()


@needs_fork
def test_a_fork_while_another_thread_compiles(tmp_path):
    code = "import test_processes as t; t.fork_while_compiling()"
    finish(start(code, NUMBA_CACHE_DIR=str(tmp_path)))


def blas():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 600, 600))
    expected = a @ b  # starts OpenBLAS's threads
    if not (pid := os.fork()):
        np.testing.assert_allclose(a @ b, expected, rtol=1e-12, atol=1e-12)
        os._exit(23)
    assert exit_code(pid) == 23


@needs_fork
def test_matrix_products_in_a_forked_child():
    finish(start("import test_processes as t; t.blas()"))


# --- the kernel cache ---------------------------------------------------------------------------

MSE = """if True:
    import sys
    import numpy as np
    from minigrad.kernels import LOSSES, cpu
    from minigrad.kernels.cpu import binding
    x = np.arange(1000, dtype=np.float32)  # differences and sums are exact below
    y, each = x - x % 7, sys.argv[1] == "each"
    total, values, slopes = cpu.run_pointwise(LOSSES["mse"], x, y, 0.0, 0.5, each)
    d = x - y
    assert total == np.square(np.float64(d)).sum() and (slopes == d).all()
    assert not each or (values == d * d).all()
    stats = binding.kernel(cpu.pointwise.pointwise, LOSSES["mse"].rule, x.dtype, False).stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))"""


@pytest.mark.parametrize("pairs", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_start_together_on_an_empty_cache(pairs, tmp_path):
    """Half of them build for one signature, half for another, of the same function."""
    where = {"NUMBA_CACHE_DIR": str(tmp_path)}
    kinds = ["total", "each"] * pairs
    processes = [start(MSE, kind, **where) for kind in kinds]
    outputs = [finish(process)[0].split() for process in processes]
    assert ["0", "1"] in outputs  # hits, misses
    for kind in kinds[:2]:
        assert finish(start(MSE, kind, **where))[0].split() == ["1", "0"]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2  # nothing left over


def damages(files):
    """Ways to spoil cache files, each as {path: new bytes}."""
    rng, good = random.Random(0), {path: path.read_bytes() for path in files}
    for length in (0, 31, 32, 1000):
        yield {path: data[:length] for path, data in good.items()}
    yield {path: data[:-1] for path, data in good.items()}
    yield {path: data + b"\0" for path, data in good.items()}
    yield {path: rng.randbytes(len(data)) for path, data in good.items()}
    yield {path: bytes(len(data)) for path, data in good.items()}
    yield dict.fromkeys(good, b"\x80\x04K\x01.")  # the pickle of 1
    for _ in range(4):  # a page of zeros, as after a power cut: LLVM aborts or crashes on these
        spoiled = {}
        for path, data in good.items():
            first = rng.randrange(len(data) - 512)
            spoiled[path] = data[:first] + bytes(512) + data[first + 512 :]
        yield spoiled
    yield dict(zip(good, [*good.values()][::-1], strict=True))  # each other's


def corrupt(folder):
    """Spoil the files of two kernels in every way, and look for them anew each time."""
    g, out = np.float32([1, 2, 3]), np.float32([-1, 0, 2])

    def look():
        """(hits, misses)"""
        cpu.kernel.cache_clear()
        binding.kernel.cache_clear()
        found = np.zeros(2, int)
        for real in (np.float32, np.float64):
            result = cpu.run_zero_below(real(g), real(out))
            assert (result == [0, 0, 3]).all()
            assert result.dtype == real
            stats = binding.kernel(cpu.elementwise.zero_below, None, np.dtype(real), False).stats
            found += [sum(s.values()) for s in (stats.cache_hits, stats.cache_misses)]
        return found.tolist()

    assert look() == [0, 2]
    assert look() == [2, 0]
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert len(files) == 2
    tried = 0
    for spoiled in damages(files):
        for path, data in spoiled.items():
            path.write_bytes(data)
        assert look() == [0, 2], spoiled
        assert look() == [2, 0], spoiled  # mended
        tried += 1
    for path in files:
        path.unlink()
        path.mkdir()
    assert look() == [0, 2]
    shutil.rmtree(folder)
    assert look() == [0, 2]
    assert look() == [2, 0]
    print(tried)


def test_damaged_cache_files_are_compiled_anew(tmp_path):
    code = "import sys, test_processes as t; t.corrupt(sys.argv[1])"
    out, errors = finish(start(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)))
    assert out.split() == ["14"]
    assert errors.count("Warning") == 1  # of the folders that stood in the files' places


SWAPPED = """
import sys
from pathlib import Path
import numpy as np
from minigrad.kernels import LOSSES, cpu

x, y = np.float32([1, 5]), np.float32([0, 0])
for name in ("mse", "l1"):
    print(cpu.run_pointwise(LOSSES[name], x, y)[0])
mse, l1 = (next(Path(sys.argv[1]).rglob(f"*pointwise.{name}-*.nbc")) for name in ("mse", "l1"))
l1.write_bytes(mse.read_bytes())
"""


def test_a_kernel_under_the_name_of_another_is_compiled_anew(tmp_path):
    """MSE's file where L1's is looked for: the same loop on the same arrays."""
    for _ in range(2):
        out, _errors = finish(start(SWAPPED, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)))
        assert out.split() == ["26.0", "6.0"]


@pytest.fixture
def sealed(tmp_path):
    """minigrad where no cache folder can be made beside it, even by root."""
    package = tmp_path / "installed" / "minigrad"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(inspect.getfile(mg)).parent, package, ignore=ignore)
    (package / "kernels" / "cpu" / "__pycache__").touch()
    return tmp_path


NOWHERE = {"XDG_CACHE_HOME": None, "NUMBA_CACHE_DIR": None, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize(
    "where",
    [
        {"HOME": "/dev/null"},
        {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "NUMBA_CACHE_DIR": "/dev/null/it"},
    ],
    ids=str,
)
def test_no_folder_for_the_cache(sealed, where):
    """Every kernel is compiled, and one warning says what to do."""
    where = NOWHERE | {"PYTHONPATH": str(sealed / "installed")} | where
    out, errors = finish(start(MSE, "total", **where))
    assert out.split() == ["0", "1"]
    assert errors.count("Warning") == errors.count("set NUMBA_CACHE_DIR") == 1, errors


def test_no_home(tmp_path):
    """Without HOME and all else that an environment may hold, kernels are kept as always."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    for found in (["0", "1"], ["1", "0"]):
        child = subprocess.run(
            [sys.executable, "-c", MSE, "total"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert (child.returncode, child.stderr) == (0, "")
        assert child.stdout.split() == found
