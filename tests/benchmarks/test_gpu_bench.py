"""The GPU's benchmark as a dry run: on a stand-in for CuPy, by a clock that counts its events."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import standin
from minigrad import cli, devices
from minigrad.benchmarks import gpu, measure, rivals, suites
from minigrad.benchmarks.rivals import Loss

CELLS = (*(Loss(name, (4096,)) for name in gpu.EAGER), Loss("cross_entropy", (100, 10)))
NO_GPU = "no GPU, or no driver for it"


@pytest.fixture
def kernels(monkeypatch):
    """The stand-in's, a GPU for the command; a launch takes a millisecond."""
    modules, ticks = standin.modules(), itertools.count()

    class Event:
        def record(self):
            self.time = next(ticks)

        def synchronize(self):
            pass

    class Stream:
        def __init__(self, non_blocking):
            assert non_blocking

        def __enter__(self):
            launched.stream = self

        def __exit__(self, *error):
            launched.stream = None

    cupy, launched = modules["cupy"], modules["minigrad.kernels.cuda"]
    cupy.cuda.Event, cupy.cuda.Stream, launched.stream = Event, Stream, None
    cupy.cuda.get_elapsed_time = lambda start, end: end.time - start.time
    cupy.cuda.set_allocator = lambda allocator: None
    cupy.cuda.runtime.runtimeGetVersion = lambda: 13020
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    cupy.add, cupy.copyto = np.add, lambda out, x: out.__setitem__(..., x)
    launched.launch = lambda *arguments: None

    def run_pointwise(*arguments, run=launched.run_pointwise):
        launched.launch("a kernel")
        return run(*arguments)

    launched.run_pointwise = run_pointwise
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpu, "QUICK", CELLS)
    monkeypatch.setattr(measure, "SETTLE", 0)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.setattr(rivals, "missing", lambda name: f"no {name}")
    return launched


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """No GPU, and a checkout to write to."""
    monkeypatch.setattr(devices, "missing", lambda: NO_GPU)
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    return tmp_path / "benchmarks/results/gpu.md"


def rows(text):
    """The first cell of each row of the tables -> the others, up to the last that is not empty."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in lines}


# --- the command --------------------------------------------------------------------------------


def test_dry_run(kernels, capsys):
    assert cli.main(["bench", "gpu", "--quick"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("a stand-in, driver unknown, CUDA 13.2; ")
    found = rows(text)
    assert found["copy: 1 read, 1 write"][0] == "8.4"  # 2 arrays of 4 MiB in a millisecond
    assert found["add: 2 reads, 1 write"][0] == "12.6"
    for cell in CELLS:
        _, registers, _, errors, median, spread, rate, share = found[str(cell)]
        assert registers.isdigit()
        assert all(0 <= float(error) <= 1e-6 for error in errors.split(", "))
        assert (median, spread) == ("1,000", "1,000 .. 1,000")
        assert rate == f"{gpu.moved(cell) / 1e6:.1f}"
        assert share == f"{gpu.moved(cell) / (8 * 2**20):.2f}"
    for name in gpu.HOST:
        assert float(found[name][0]) > 0
    assert "bench gpu --sanitize`: not run: compute-sanitizer" in text
    assert "Not measured: PyTorch eager (no PyTorch eager)" in text
    assert "A quick run" in text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda total, slopes, calls: (total * (1 + 3e-6), slopes), "the loss is off by"),
        (lambda total, slopes, calls: (total, slopes * (1 + 2e-6)), "a slope is off by"),
        (lambda total, slopes, calls: (total, slopes[::-1]), "a slope is off by"),
        (lambda total, slopes, calls: (total, np.where(np.isnan(slopes), 0, slopes)), "with nan"),
        (lambda total, slopes, calls: (total * (1 + 1e-7 * (calls == 9)), slopes), "other bits"),
    ],
)
def test_a_wrong_kernel(fault, words, kernels, monkeypatch, capsys):
    """Its row has no figures, the others have theirs, and the command fails."""
    monkeypatch.setattr(gpu, "QUICK", CELLS[:2])
    monkeypatch.setattr(gpu, "HOST", {})
    right, calls = kernels.run_pointwise, itertools.count()

    def wrong(loss, x, *arguments):
        total, values, slopes = right(loss, x, *arguments)
        if loss is not gpu.LOSSES["mse"] or x.size < 4096:
            return total, values, slopes
        total, slopes = fault(total.get(), slopes.get(), next(calls))
        return standin.array(np.float32(total)), values, standin.array(np.float32(slopes))

    kernels.run_pointwise = wrong
    assert cli.main(["bench", "gpu", "--quick"]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("minigrad: mse 4,096")
    assert captured.err.count("\n") == 1
    found = rows(captured.out)
    assert found["mse 4,096"][-1] == "**wrong**"
    assert found["l1 4,096"][4] == "1,000"


def test_other_bits_on_another_stream(kernels):
    right = kernels.run_classes

    def wrong(*arguments):
        total, values, slopes = right(*arguments)
        return total if kernels.stream is None else total + np.float32(1e-6), values, slopes

    kernels.run_classes = wrong
    with pytest.raises(AssertionError, match="cross_entropy 100 x 10: another stream gave other"):
        gpu.measured(CELLS[-1], gpu.Clock(True), 1.0, dict.fromkeys(gpu.RIVALS, "not here"))


def test_every_kernel(kernels):
    """Which are asked for; that they work is for other tests."""
    asked, zeros = set(), standin.modules()["cupy"].zeros

    def loss_of(name):
        def run(loss, x, *arguments):
            *_, value, _ = arguments
            asked.add((name, str(x.dtype), x.shape[-1], value))
            values = zeros(x.shape[:1], x.dtype) if value else None
            return zeros((), x.dtype), values, x.copy()

        return run

    for name in ("run_pointwise", "run_classes", "run_weights"):
        setattr(kernels, name, loss_of(name))
    kernels.run_erf = lambda x: asked.add("erf") or x
    kernels.run_zero_below = lambda g, out: asked.add("zero_below") or g
    kernels.add_at = lambda out, index, values: asked.add("add_at")
    kernels.bind_update = lambda rule, p, states: lambda g, h: asked.add(rule.__name__)
    assert cli.main(["bench", "gpu", "--sanitize"]) == 0
    for dtype, value in itertools.product(("float32", "float64"), (False, True)):
        for classes in (2, 50, 101, 203, 500, 1001, 2000, 4001, 8000, 16385, 50257, 128257):
            assert ("run_classes", dtype, classes, value) in asked
        assert ("run_pointwise", dtype, 5001, value) in asked
    assert ("run_pointwise", "float32", 5000, False) in asked  # one element on
    assert ("run_weights", "float32", 2000, False) in asked
    assert {"erf", "zero_below", "add_at", "sgd", "adam", "rmsprop"} < asked


@pytest.mark.parametrize(("code", "word"), [(0, "ERROR SUMMARY: 0 errors"), (1, "1 hazard")])
def test_compute_sanitizer(code, word, monkeypatch, tmp_path):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\necho program\necho '========= {word}'\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu.sanitized("memcheck") == (code == 0, word)


# --- rivals -------------------------------------------------------------------------------------


@pytest.mark.torch
def test_rivals(kernels, monkeypatch):
    torch = pytest.importorskip("torch", reason="times PyTorch")
    monkeypatch.setattr(rivals, "missing", lambda name: None)
    assert gpu.absent(False) == dict.fromkeys(gpu.RIVALS, "torch.cuda.is_available() is False")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert gpu.absent(False) == {}
    monkeypatch.setattr(torch, "from_dlpack", lambda x: torch.from_numpy(x.get()))
    monkeypatch.setattr(rivals, "torch_compiled", lambda: (torch, lambda function: 1 / 0))
    monkeypatch.setattr(gpu, "marks", lambda cell: (0.5, 1.5, 1.0))
    for cell in CELLS:
        reasons = gpu.absent(False)
        found = gpu.measured(cell, gpu.Clock(True), gpu.moved(cell) / 1e6, reasons)
        # All take a millisecond, which for ours is the copy's rate.
        assert (found["of copy"], found["PyTorch eager / minigrad"]) == ("1.00", "1.00")
        assert found["holds"] == "yes, no, "
        assert reasons == {f"torch.compile, {cell}": "ZeroDivisionError: division by zero"}


def test_marks():
    assert [gpu.marks(Loss("l1", (n,))) for n in (2**24, 2**20)] == [(0.80, 3.0, 1.55), ()]
    found = {cell.shape[1]: gpu.marks(cell) for cell in gpu.CELLS if cell.name == "cross_entropy"}
    assert found[1000] == (0.92, 2.7, 1.4)
    assert found[4096] == (0.94, 3.0, 1.4)
    assert found[50257] == (0.85, 4.0, 1.4)
    assert found[262144] == (0.62, 4.0, 1.5)
    sizes = {4 * cell.size / 1e9 for cell in gpu.CELLS if cell.shape[1:] > (10,)}
    assert 1 <= min(sizes) <= max(sizes) < 1.1


# --- without a GPU ------------------------------------------------------------------------------


def test_without_a_gpu(nothing, capsys):
    for arguments in ("", " --quick", " --sanitize", " --sanitize --write"):
        assert cli.main(f"bench gpu{arguments}".split()) == 1
        assert capsys.readouterr() == ("", f"minigrad: {NO_GPU}\n")
    assert not nothing.exists()


def test_write_without_a_gpu(nothing, capsys):
    for _ in range(2):
        assert cli.main(["bench", "gpu", "--write"]) == 0
    printed, text = capsys.readouterr().out, nothing.read_text()
    assert f"{text}wrote {nothing}, without figures: {NO_GPU}\n" in printed
    found = rows(text)
    assert len(found) == 1 + 3 + 1 + len(gpu.CELLS) + 1 + len(gpu.HOST) + 1  # --- counts once
    assert set(found["mse 16,777,216"]) == {"201", "", gpu.NOT_YET, "0.80, 2.20, 1.55"}
    nothing.write_text(text.replace(gpu.NOT_YET, "1.0"))
    assert cli.main(["bench", "gpu", "--write"]) == 1
    assert capsys.readouterr().err == f"minigrad: --write would replace a GPU's figures: {NO_GPU}\n"
    assert "1.0" in nothing.read_text()


def test_what_is_stored():
    """Until a GPU has measured it, the table is what the command writes without one."""
    path = suites.ROOT / "benchmarks/results/gpu.md"
    if not path.is_file() or gpu.NOT_YET not in path.read_text():
        pytest.skip("no table without figures is stored")
    lines: list[str] = []
    assert gpu.report(lines.append, gpu=False) == []
    assert path.read_text() == "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("losses --sanitize", "--sanitize is for gpu, not for losses"),
        ("gpu --threads 1", "--threads is not for gpu"),
        ("gpu --write --quick", "leave out --quick"),
    ],
)
def test_one_sentence_and_exit_code_2(arguments, words, capsys):
    assert cli.main(["bench", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
