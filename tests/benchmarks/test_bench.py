"""The benchmarks themselves: checks that catch wrong results, clocks, tables, the command."""

import json
import os
import re

import numba
import numpy as np
import pytest

from minigrad import cli, optional
from minigrad.benchmarks import measure, report, rivals, suites
from minigrad.benchmarks.rivals import Loss, Perceptron, Step

SMALL = [Loss("cross_entropy", (8, 3)), *(Loss(n, (64,)) for n in rivals.FUNCTIONS if n[0] != "c")]


# --- rivals and their check ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.torch if name == "PyTorch eager" else ())
        for name in rivals.STEP_RIVALS
        if name != "torch.compile"
    ],
)
@pytest.mark.parametrize("cell", [*SMALL, SMALL[0]._replace(backward=False), Step(4, 3, 5, 2)])
def test_rivals_agree_with_float64(cell, name):
    """torch.compile, half a minute in its first cell, is checked whenever it is measured."""
    if reason := rivals.missing(name):
        pytest.skip(f"{name}: {reason}")
    table = rivals.STEP_RIVALS if isinstance(cell, Step) else rivals.LOSS_RIVALS
    if name in table:
        rivals.build(name, cell)


@pytest.mark.parametrize("name", rivals.SCALAR_RIVALS)
def test_scalars_agree_with_matrices(name):
    if reason := rivals.missing(name):
        pytest.skip(f"{name}: {reason}")
    cell = Perceptron(3, (4, 2, 1))
    rivals.build(name, cell)
    loss, gradients = rivals.truth(cell)
    with pytest.raises(AssertionError, match="who: a gradient is off"):
        rivals.check("who", (loss, gradients * (1 + 1e-9)), cell)


@pytest.mark.parametrize("cell", [*SMALL, Step(4, 3, 5, 2)])
def test_the_check_notices(cell):
    loss, array = rivals.truth(cell)
    rivals.check("right", (loss, array), cell)
    wrong = array.copy()
    wrong[(0,) * wrong.ndim] += np.abs(array).max() * (1e-3 if isinstance(cell, Loss) else 1)
    untrained = (
        np.zeros_like(array) if isinstance(cell, Loss) else rivals.flat(rivals.data(cell)[2:])
    )
    for bad in [(loss * 1.01, array), (np.nan, array), (loss, wrong), (loss, untrained),
                (loss, array * np.nan)]:  # fmt: skip
        with pytest.raises(AssertionError, match="who"):
            rivals.check("who", bad, cell)


@pytest.mark.torch
def test_the_truth_is_pytorch_in_float64():
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    for cell in SMALL:
        x, y = (torch.tensor(a) for a in rivals.data(cell))
        x = x.double().requires_grad_()
        y = y if cell.name == "cross_entropy" else y.double()
        value = getattr(torch.nn.functional, rivals.FUNCTIONS[cell.name])(x, y)
        value.backward()
        loss, grad = rivals.truth(cell)
        np.testing.assert_allclose(loss, value.item(), rtol=1e-12)
        np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_cells_are_those_of_the_tables():
    assert len(rivals.LOSS_CELLS) == 5 * 5 + 7
    assert {type(cell) for cell in suites.QUICK} == {Loss, Step, Perceptron}
    assert {*rivals.LOSS_CELLS, *rivals.STEP_CELLS, *rivals.SCALAR_CELLS} > suites.QUICK
    cell = Loss("mse", (1000,))
    assert (str(cell), cell.bytes, cell._replace(backward=False).bytes) == ("mse 1,000", 12e3, 8e3)
    assert Loss("cross_entropy", (8, 3)).bytes == 2 * 4 * 24 + 8 * 8


@pytest.mark.parametrize("cell", SMALL)
def test_no_data_at_a_kink(cell):
    x, y = rivals.data(cell)
    assert cell.name == "cross_entropy" or not ((x == y) | (x == 0)).any()
    assert cell.name != "bce" or (x.min() > 0 and x.max() < 1)


def test_a_missing_rival_says_what_to_do(monkeypatch):
    assert rivals.missing("minigrad") is rivals.missing("NumPy") is None
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: None)
    for name in ("PyTorch eager", "torch.compile", "jax.jit"):
        assert 'pip install "minigrad-kernels[bench]"' in rivals.missing(name)
    monkeypatch.setattr(rivals.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler is not installed" in rivals.missing("torch.compile")
    assert rivals.missing("PyTorch eager") is None


# --- clocks -------------------------------------------------------------------------------------


def test_rounds_take_turns():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    times = measure.rounds(runs, 0, length=1e-4)
    assert [len(times[name]) for name in "ab"] == [measure.ROUNDS] * 2
    turns = re.findall(r"a+|b+", "".join(order))
    assert len(turns) == 2 * (measure.ROUNDS + 1)  # one to warm up
    assert min(map(len, turns[2:])) > 10  # short calls are repeated within a turn


def test_rounds_tell_slow_from_fast():
    x = np.ones(1_000_000)
    times = measure.rounds({"some": x[:10_000].sum, "all": x.sum}, 0, length=1e-3)
    assert times["all"].min() > 10 * times["some"].min()


def test_a_long_call_is_not_repeated():
    calls = []
    runs = {"long": lambda: calls.append(measure.time.sleep(3e-3))}
    measure.rounds(runs, 0, length=1e-3)
    assert len(calls) == 3 + measure.ROUNDS


def test_spread_and_peak():
    assert measure.spread(np.arange(1, 101.0)) == pytest.approx(90.1 / 10.9)
    held = {}

    def run(buffers):
        held["x"] = None
        held["x"] = [np.empty(1_000_000, np.float32) for _ in range(buffers)]

    for buffers in (1, 3):
        peak = measure.peak_bytes(lambda buffers=buffers: run(buffers))
        assert peak / 4e6 == pytest.approx(buffers, rel=1e-2)


def test_the_roofline_moves_every_element():
    x, y = np.random.default_rng(0).random((2, 100_000), np.float32)
    out = np.zeros_like(x)
    measure.copy(x, out)
    np.testing.assert_array_equal(out, x)
    measure.triad(x, y, out)
    np.testing.assert_allclose(out, x + 3 * y, rtol=1e-6)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are bound on Linux only")
@pytest.mark.torch
def test_held_to_one_thread():
    allowed, threads = os.sched_getaffinity(0), numba.get_num_threads()
    with measure.held_to(1):
        assert len(os.sched_getaffinity(0)) == numba.get_num_threads() == 1
        if rivals.missing("PyTorch eager") is None:
            assert rivals.torch().get_num_threads() == 1
    assert (os.sched_getaffinity(0), numba.get_num_threads()) == (allowed, threads)


def test_a_new_process_runs_by_its_own_clock():
    assert 0.05 < suites.clocked("import time", "time.sleep(0.05)") < 5
    assert suites.clocked("import minigrad" + suites.DATA, suites.FIRST_CALL.format("minigrad")) > 0
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        suites.clocked("", "1 / 0")


# --- reports ------------------------------------------------------------------------------------


def made_up(what="losses", **changes):
    row = {
        "cell": "mse 1,000", "group": "mse", "size": 1000, "bytes": 12_000,
        "seconds": {"minigrad": 2e-6, "NumPy": 1e-6, "PyTorch eager": 16e-6, "jax.jit": 4e-6},
    }  # fmt: skip
    large = row | {
        "cell": "mse 1,000,000", "size": 1_000_000, "bytes": 12_000_000, "roofline": 1e-3,
        "peak": 1.0, "seconds": {"minigrad": 2e-3, "NumPy": 9e-3, "PyTorch eager": 1e-3},
    }  # fmt: skip
    return {
        "what": what, "machine": "the machine", "threads": 2, "quick": False, "rows": [row, large],
        "control": {"seconds": 1e-4, "spread": 1.1}, "absent": {"torch.compile": "no compiler"},
    } | changes  # fmt: skip


def test_table():
    text = report.table(made_up())
    header, _, small, large = [line for line in text.splitlines() if line.startswith("|")]
    assert "NumPy | PyTorch eager | jax.jit | best rival / minigrad | GB/s" in header
    assert small == "| mse 1,000 | 2.0 | 1.0 | 16.0 | 4.0 | 2.00 |  |  |  |"
    assert large == "| mse 1,000,000 | 2,000 | 9,000 | 1,000 |  | 0.50 | 6.0 | 0.50 | 1.00 |"
    # NumPy is no rival: means of 2 and 0.5, and of 8 and 0.5
    assert "1.00 times as fast as the best rival and 2.00 times as fast as PyTorch eager" in text
    assert "the machine was steady" in text
    assert "Not measured: torch.compile (no compiler)" in text


def test_table_of_an_unsteady_and_lonely_run():
    alone = [{"cell": "import", "group": "start-up", "seconds": {"minigrad": 0.5}}]
    text = report.table(made_up("startup", rows=alone, control={"seconds": 1e-4, "spread": 1.6}))
    assert "| import | 500 |  |" in text
    assert "**the machine was unsteady**" in text


def test_our_best_counts_in_a_training_step():
    seconds = {"minigrad": 2.0, "minigrad.compile": 1.0, "torch.compile": 3.0, "jax.jit": 4.0}
    assert report.ratio({"seconds": seconds}) == 3


@pytest.mark.parametrize("what", suites.SUITES)
def test_charts(what, tmp_path):
    rows = made_up()["rows"]
    threads = [row | {"group": "mse 1,000", "threads": n} for n, row in enumerate(rows, 1)]
    path = tmp_path / "chart.png"
    report.chart(made_up(what, rows=rows + threads * (what == "scaling")), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_readme_gets_table_and_chart(tmp_path):
    before = (
        "# Title\n<!-- benchmarks/results/losses.md -->\nold\n<!-- end -->\nbetween\n"
        "<!-- benchmarks/results/train.md -->\nkept\n<!-- end -->\n"
    )
    (tmp_path / "benchmarks").mkdir()
    readme = tmp_path / "README.md"
    readme.write_text(before)
    for _ in range(2):  # the second time changes nothing
        report.write(made_up(), tmp_path)
        stored = (tmp_path / "benchmarks/results/losses.md").read_text()
        assert stored == report.table(made_up()) + "\n"
        picture = f"\n![{report.TITLES['losses']}](benchmarks/results/losses.png)\n"
        assert readme.read_text() == before.replace("old\n", stored + picture)
        assert (tmp_path / "benchmarks/results/losses.png").is_file()


# --- the command --------------------------------------------------------------------------------


def test_command(tmp_path, monkeypatch, capsys):
    cells = {Loss("mse", (1_000,)), Loss("cross_entropy", (4096, 10))}
    monkeypatch.setattr(suites, "QUICK", cells)
    monkeypatch.setattr(
        rivals, "missing", lambda name: f"no {name}" if name in rivals.THEIRS else None
    )
    figures, picture = tmp_path / "figures.json", tmp_path / "figures.png"
    arguments = f"bench losses --quick --threads 1 --json {figures} --plot {picture}"
    assert cli.main(arguments.split()) == 0
    found = json.loads(figures.read_text())
    assert {row["cell"] for row in found["rows"]} == set(map(str, cells))
    assert (found["threads"], found["quick"]) == (1, True)
    small, large = found["rows"]
    assert small["seconds"].keys() == {"minigrad", "NumPy"}
    assert "roofline" not in small
    assert 0 < large["roofline"] < 1
    assert 1 <= large["peak"] < 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert report.table(found) in printed
    assert "Not measured: jax.jit (no jax.jit)" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("bench everything", "invalid choice: 'everything'"),
        ("bench --threads 0", "--threads: expected a whole number from 1"),
        ("bench --threads 100000", "--threads: expected a whole number from 1"),
        ("bench --write --quick", "--write stores the figures of a whole run"),
        ("bench --plot nowhere/chart.png", "--plot: there is no folder 'nowhere'"),
    ],
)
def test_one_sentence_and_exit_code_2(arguments, words, capsys):
    assert cli.main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_write_needs_the_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    assert cli.main(["bench", "--write"]) == 2
    assert "--write needs the source checkout" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["tqdm", "matplotlib", "threadpoolctl"])
def test_a_missing_extra(missing, tmp_path, monkeypatch, capsys):
    load = optional.importlib.import_module

    def import_module(module):
        if module.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return load(module)

    monkeypatch.setattr(optional.importlib, "import_module", import_module)
    assert cli.main(["bench", "--quick", "--plot", str(tmp_path / "chart.png")]) == 2
    expected = f'minigrad: {missing} is not installed: run pip install "minigrad-kernels[bench]"\n'
    assert capsys.readouterr().err == expected
