"""The CUDA kernels on a machine with a GPU, checked, then timed: python -m minigrad bench gpu.

What the columns mean: README.md. Without a GPU the report has what is known without one.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import numpy as np

import minigrad as mg
from minigrad.benchmarks import measure, rivals, suites
from minigrad.benchmarks.report import number
from minigrad.benchmarks.rivals import Loss
from minigrad.kernels import LOSSES, backend
from minigrad.optional import require

LOSS_ERROR, SLOPE_ERROR = 1e-6, 5e-7  # see errors()
REPEATS = 20  # that give the same bits
PIECE = 2**20  # elements that are compared at a time
IGNORE = -100  # no target's class
PARAMETERS = {"smooth_l1": (1.0,), "bce_with_logits": (1.0,)}  # beta, pos_weight: the defaults
PACKAGES = ("numpy", "numba", "numba-cuda", "cupy-cuda13x", "torch")
RIVALS = ("PyTorch eager", "torch.compile")
TOOLS = ("memcheck", "racecheck")
SANITIZE = ("-m", "minigrad", "bench", "gpu", "--sanitize")
NOT_YET = "not yet measured"

# What is to be reached, set before anything was measured: of the copy's rate, by elements and by
# classes; and PyTorch eager's time over ours, by the bytes that each has to move.
ELEMENTS = {2**24: 0.80, 2**26: 0.92, 2**28: 0.95}
CLASSES = {
    10: 0.85, 100: 0.88, 1000: 0.92, 4096: 0.94, 8192: 0.94, 16384: 0.94, 32768: 0.90, 50257: 0.85,
    65536: 0.86, 128256: 0.64, 262144: 0.62,
}  # fmt: skip
EAGER = {"mse": 2.2, "l1": 3.0, "smooth_l1": 2.2, "bce": 2.2, "bce_with_logits": 4.5}

CELLS = (
    *(Loss(name, (n,)) for name in EAGER for n in ELEMENTS),
    *(Loss("cross_entropy", (2**24 if c == 10 else 2**28 // c, c)) for c in CLASSES),
)
QUICK = (
    *(Loss(name, (2**20,)) for name in EAGER),
    *(Loss("cross_entropy", (2**20 // c, c)) for c in CLASSES),
)
ERROR, MUST = "worst error: loss, slope", "must: of copy, eager, compile"
COLUMNS = (
    "loss", "MB", "registers", "KB in flight", ERROR, "µs", "p10 .. p90", "GB/s", "of copy",
    *(f"{name} / minigrad" for name in RIVALS), MUST, "holds",
)  # fmt: skip


def marks(cell: Loss) -> tuple[float, ...]:
    """What a cell is to reach: of the copy's rate, PyTorch eager's time, torch.compile's."""
    if cell not in CELLS:
        return ()
    if cell.name in EAGER:
        return ELEMENTS[cell.size], EAGER[cell.name], 1.55
    classes = cell.shape[1]
    # Eager keeps a short row in registers, a longer one in shared memory, or reads it many times.
    eager = 2.7 if classes <= 1024 else 3.0 if classes <= 12288 and classes % 4 == 0 else 4.0
    return CLASSES[classes], eager, 1.4 if classes <= 65536 else 1.5


def moved(cell: Loss) -> int:
    """Bytes, the same for everyone: x and y read, slopes written; or x read, slopes written, and
    12 for each row's class and value."""
    return 12 * cell.size if cell.name in EAGER else 8 * cell.size + 12 * cell.shape[0]


# --- right before fast --------------------------------------------------------------------------


def ours(cell: Loss, x, y):
    """The mean and its slopes, by the kernels' public functions."""
    loss, kernels = LOSSES[cell.name], backend(x)
    if cell.name in EAGER:
        (parameter,) = PARAMETERS.get(cell.name, (0.0,))
        total, _, slopes = kernels.run_pointwise(loss, x, y, parameter, 1.0, False, x.size)
    else:
        count = kernels.count_classes(y, None, x.shape[1], IGNORE)
        total, _, slopes = kernels.run_classes(loss, x, y, None, IGNORE, 1.0, False, count)
    return total, slopes


def errors(cell: Loss, x, y, total, slopes) -> tuple[float, float]:
    """How far a mean and its slopes are from the formulas in float64, on NumPy's arrays.

    The loss by its size; the worst slope by its size and the usual one's, 1 or one class's of all.
    NaN where one is NaN and the other not. In pieces, on all cores: the whole would not fit.
    """
    n, usual = len(x), len(x) / x.size
    rows = max(1, int(PIECE * usual))

    def piece(first: int):
        part = slice(first, first + rows)
        a = x[part].astype(np.float64)
        b = y[part].astype(np.float64) if cell.name in EAGER else rivals.one_hot(y[part], a)
        with np.errstate(all="ignore"):
            value, exact, _ = LOSSES[cell.name].reference(a, b, *PARAMETERS.get(cell.name, ()))
            found = slopes[part].astype(np.float64) * n
            same = (found == exact) | (np.isnan(found) & np.isnan(exact))
            error = np.where(same, 0, np.abs(found - exact) / (np.abs(exact) + usual))
            return float(value.sum()), float(error.max())

    with ThreadPoolExecutor(measure.cores()) as pool:
        sums, worst = zip(*pool.map(piece, range(0, n, rows)), strict=True)
    exact, found = sum(sums) / n, float(total)
    same = found == exact or (np.isnan(found) and np.isnan(exact))
    return 0.0 if same else abs(found - exact) / abs(exact), float(np.max(worst))


def check(cell: Loss, x, y, total, slopes, what: str = "") -> tuple[float, float]:
    """The errors; AssertionError if one is too large."""
    loss, slope = errors(cell, x, y, total.get(), slopes.get())
    assert loss <= LOSS_ERROR, f"{cell}{what}: the loss is off by {loss:.1e}"
    assert slope <= SLOPE_ERROR, f"{cell}{what}: a slope is off by {slope:.1e}"
    return loss, slope


def check_specials(cell: Loss, cupy) -> None:
    """NaN and infinity come out where the formulas give them; AssertionError if not."""
    x, y = (a[: max(1, PIECE * len(a) // cell.size)] for a in rivals.data(cell))
    for special in (np.nan, np.inf)[: 1 if cell.name == "bce" else 2]:  # inf is no probability
        odd = x.copy()
        odd.flat[odd.size // 2] = special
        total, slopes = ours(cell, cupy.asarray(odd), cupy.asarray(y))
        check(cell, odd, y, total, slopes, f" with {special}")


def check_repeats(cell: Loss, cupy, inputs: tuple, first: tuple) -> None:
    """The same bits again and again, and on another stream; AssertionError if not."""

    def same():
        pairs = zip(first, ours(cell, *inputs), strict=True)
        return all(bool((a.view(np.uint32) == b.view(np.uint32)).all()) for a, b in pairs)

    for repeat in range(REPEATS):
        assert same(), f"{cell}: repeat {repeat + 1} gave other bits"
    with cupy.cuda.Stream(non_blocking=True):
        assert same(), f"{cell}: another stream gave other bits"


# --- clocks -------------------------------------------------------------------------------------


class Clock:
    """Seconds on the GPU, by its own events."""

    def __init__(self, quick: bool):
        self.cupy = require("cupy", "cuda")
        self.launches = 5 if quick else 50
        # Bytes of inputs that take turns: an H200's L2 cache, of 60 MB, shall hold none of them.
        self.working_set = 0 if quick else 2e9
        # Copies of 1 GiB that come before: some 30 ms on an H200, in which the host queues all that
        # is timed. Else a short call's time would be the host's.
        self.head = 1 if quick else 64
        self.x, self.y, self.out = (
            self.cupy.ones(2**20 if quick else 2**28, np.float32) for _ in range(3)
        )

    def __call__(self, run: Callable, sets: list[tuple]) -> np.ndarray:
        """One figure a launch of run(*arrays), each set of arrays in turn."""
        kept = [None] * len(sets)  # each result, too, has memory of its own

        def turn(i):
            kept[i % len(sets)] = run(*sets[i % len(sets)])

        for i in range(len(sets) + 1):  # compiles, and allocates all that is used again below
            turn(i)
        event = self.cupy.cuda.Event
        events = [(event(), event()) for _ in range(self.launches)]
        for _ in range(self.head):
            self.copy()
        for i, (start, end) in enumerate(events):
            start.record()
            turn(i)
            end.record()
        end.synchronize()
        return np.array([self.cupy.cuda.get_elapsed_time(*pair) for pair in events]) / 1e3

    def copy(self):
        self.cupy.copyto(self.out, self.x)

    def sets(self, *arrays) -> list[tuple]:
        """The arrays and copies of them: three sets, or as many as fill the working set."""
        count = max(3, int(-(-self.working_set // sum(a.nbytes for a in arrays))))
        return [arrays, *(tuple(a.copy() for a in arrays) for _ in range(count - 1))]


# What moves bytes and computes next to nothing: how many arrays, and how.
CEILINGS: dict[str, tuple[int, Callable[[Clock], object]]] = {
    "copy: 1 read, 1 write": (2, Clock.copy),
    "sum: 1 read": (1, lambda clock: clock.x.sum()),
    "add: 2 reads, 1 write": (3, lambda clock: clock.cupy.add(clock.x, clock.y, clock.out)),
}


def fused() -> Callable:
    """Forward and backward in one launch."""
    cell = Loss("mse", (64,))
    return partial(ours, cell, *map(require("cupy", "cuda").asarray, rivals.data(cell)))


def last_launch(call: Callable) -> Callable:
    """The last launch of a kernel in a call, for itself."""
    kernels = backend(call()[0])
    with mock.patch.object(kernels, "launch", wraps=kernels.launch) as spy:
        call()
    again = spy.call_args
    return lambda: kernels.launch(*again.args, **again.kwargs)


def through_tensors(cell: Loss) -> Callable:
    """Forward and backward as a user calls them."""
    x, y = (mg.tensor(a, device="cuda") for a in rivals.data(cell))
    x.requires_grad_()
    function = getattr(mg.nn.functional, rivals.FUNCTIONS[cell.name])

    def run():
        x.grad = None
        function(x, y).backward()

    return run


# Calls so small that the host's time is all; and the µs that are allowed.
HOST: dict[str, tuple[Callable[[], Callable], float | None]] = {
    "run_pointwise, mse of 64": (fused, 12.0),
    "its launch alone": (lambda: last_launch(fused()), None),
    "mse_loss of 64, through Tensors": (lambda: through_tensors(Loss("mse", (64,))), None),
    "cross_entropy of 64 x 10, through Tensors": (
        lambda: through_tensors(Loss("cross_entropy", (64, 10))),
        None,
    ),
}


# --- rivals -------------------------------------------------------------------------------------


def absent(quick: bool) -> dict[str, str]:
    """Which rivals cannot run here, and why."""
    reasons = {name: reason for name in RIVALS if (reason := rivals.missing(name))}
    if len(reasons) < len(RIVALS) and not rivals.torch().cuda.is_available():
        reasons |= dict.fromkeys(RIVALS, "torch.cuda.is_available() is False")
    if quick:
        reasons.setdefault("torch.compile", "it compiles for seconds in each cell")
    return reasons


def rival(name: str, cell: Loss, sets: list[tuple], clock: Clock, expected: float) -> np.ndarray:
    """A rival's seconds, forward and backward to a new gradient, on the same memory as ours."""
    compiled = name == "torch.compile"
    torch, wrap = rivals.torch_compiled() if compiled else (rivals.torch(), lambda f: f)
    function = wrap(getattr(torch.nn.functional, rivals.FUNCTIONS[cell.name]))

    def run(x, y):
        x.grad = None
        loss = function(x, y)
        loss.backward()
        return loss.detach()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its compiler, about itself
        tensors = [(torch.from_dlpack(x).requires_grad_(), torch.from_dlpack(y)) for x, y in sets]
        loss = run(*tensors[0]).item()
        assert abs(loss - expected) <= 1e-3 * expected, f"its loss is {loss}, not {expected}"
        return clock(run, tensors)


# --- compute-sanitizer --------------------------------------------------------------------------


def every_kernel():
    """Each kernel once, on small inputs, with every way to keep a row of logits on the chip."""
    # Memory of its own for each array: a pool's would hide an access beside one.
    require("cupy", "cuda").cuda.set_allocator(None)
    F, new = mg.nn.functional, partial(mg.tensor, device="cuda")
    rows = (2, 10, 50, 101, 203, 500, 1001, 2000, 4001, 8000, 16385, 50257, 128257)
    for cell in (
        *(Loss(name, (5001,)) for name in EAGER),
        *(Loss("cross_entropy", (3, classes)) for classes in rows),
    ):
        function = getattr(F, rivals.FUNCTIONS[cell.name])
        for dtype in ("float32", "float64"):
            x, y = rivals.data(cell)
            x = new(x.astype(dtype)).requires_grad_()
            y = new(y.astype(dtype) if cell.name in EAGER else y)
            for reduction in ("mean", "none"):
                function(x, y, reduction=reduction).sum().backward()
            if cell.name in EAGER:  # where accesses of 16 bytes cannot begin
                function(x[1:], y[1:]).backward()
    for classes in (10, 1001, 2000):
        x, y = map(new, rivals.data(Loss("cross_entropy", (3, classes))))
        x, weight = x.requires_grad_(), new(np.ones(classes, np.float32))
        F.cross_entropy(x, y, weight).backward()
        F.cross_entropy(x, y, weight, label_smoothing=0.1).backward()
    x = new(np.full(5001, 0.5, np.float32)).requires_grad_()
    for weight in (x.detach(), new(np.float32(2))):
        F.binary_cross_entropy_with_logits(x, x.detach(), pos_weight=weight).backward()
    (F.erf(F.relu(x)) * x[new(np.zeros(5001, int))]).sum().backward()
    for optimizer in (
        mg.optim.SGD([x], momentum=0.9),
        mg.optim.Adam([x]),
        mg.optim.RMSprop([x], momentum=0.9, centered=True),
    ):
        optimizer.step()
    mg.cuda.synchronize()


def sanitized(tool: str) -> tuple[bool, str]:
    """False if compute-sanitizer finds an error, and its last word."""
    if shutil.which("compute-sanitizer") is None:
        return True, "not run: compute-sanitizer, of the CUDA toolkit, is not on PATH"
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", sys.executable]
    found = subprocess.run([*command, *SANITIZE], capture_output=True, text=True)
    said = (found.stderr + found.stdout).strip().splitlines() or [f"exit code {found.returncode}"]
    return found.returncode == 0, said[-1].strip("= ")


# --- the report ---------------------------------------------------------------------------------


def report(say: Callable[[str], None], quick: bool = False, gpu: bool = True) -> list[str]:
    """Say the report line by line, as it comes about; without a GPU, what is known without one.

    Returns sentences on what is wrong.
    """
    clock, reasons, wrong = Clock(quick) if gpu else None, absent(quick) if gpu else {}, []
    say(machine() if gpu else "No figure of a GPU has been measured yet.")

    header(say, "ceiling", "GB/s", "p10 .. p90")
    copy = 0.0
    for name, (arrays, run) in CEILINGS.items():
        figures = [NOT_YET] * 2
        if clock:
            rates = arrays * clock.x.nbytes / clock(partial(run, clock), [()]) / 1e9
            copy, figures = copy or float(np.median(rates)), middle(rates)
        line(say, name, *figures)

    header(say, *COLUMNS)
    pinned = compiled()
    for cell in QUICK if quick else CELLS:
        row = dict.fromkeys(COLUMNS, NOT_YET)
        if clock:
            try:
                row |= measured(cell, clock, copy, reasons)
            except AssertionError as error:
                wrong.append(str(error))
                row = dict.fromkeys(COLUMNS, "") | {ERROR: "**wrong**"}
        row |= {"loss": str(cell), "MB": f"{moved(cell) / 1e6:,.0f}"}
        kernel = cell.name if cell.name in EAGER else f"{cell.name} {cell.shape[1]}"
        row["registers"], row["KB in flight"] = pinned.get(kernel, ("", ""))
        row[MUST] = ", ".join(f"{mark:.2f}" for mark in marks(cell))
        line(say, *row.values())

    header(say, "the host's µs for a call", "median", "p10 .. p90", "must")
    calls = {name: build() for name, (build, _) in HOST.items()} if gpu else {}
    times = measure.rounds(calls, 0 if quick else 2) if calls else {}
    for name, (_, mark) in HOST.items():
        line(say, name, *(middle(times[name] * 1e6) if gpu else [NOT_YET] * 2), mark or "")

    say("")
    for tool in TOOLS:
        fine, word = sanitized(tool) if gpu else (True, "not yet run")
        say(f"- `compute-sanitizer --tool {tool} python {' '.join(SANITIZE)}`: {word}")
        if not fine:
            wrong.append(f"{tool}: {word}")
    for name, reason in reasons.items():
        say(f"\nNot measured: {name} ({reason}).")
    if quick:
        say("\nA quick run: small sizes and few launches, to see that it works.")
    return wrong


def measured(cell: Loss, clock: Clock, copy: float, reasons: dict[str, str]) -> dict[str, str]:
    """What the GPU has to say of a cell, by columns; why a rival failed goes to the reasons."""
    x, y = rivals.data(cell)
    on_gpu = clock.cupy.asarray(x), clock.cupy.asarray(y)
    first = ours(cell, *on_gpu)
    found = check(cell, x, y, *first)
    check_specials(cell, clock.cupy)
    check_repeats(cell, clock.cupy, on_gpu, first)

    sets = clock.sets(*on_gpu)
    times = clock(partial(ours, cell), sets)
    median = float(np.median(times))
    rate = moved(cell) / median / 1e9
    reached = [rate / copy]
    for name in RIVALS:
        reached.append(np.nan)
        if name not in reasons:
            try:
                seconds = rival(name, cell, sets, clock, float(first[0]))
                reached[-1] = float(np.median(seconds)) / median
            except Exception as error:  # a compiler's, or memory is full: no fault of ours
                words = str(error).strip().partition("\n")[0]
                reasons[f"{name}, {cell}"] = f"{type(error).__name__}: {words}"
    del first, sets
    clock.cupy.get_default_memory_pool().free_all_blocks()

    holds = [
        "" if np.isnan(ratio) else "yes" if ratio >= mark else "no"
        for ratio, mark in zip(reached, marks(cell), strict=False)
    ]
    cells = [
        ", ".join(f"{error:.0e}" for error in found), *middle(times * 1e6), number(rate),
        *("" if np.isnan(ratio) else f"{ratio:.2f}" for ratio in reached), "", ", ".join(holds),
    ]  # fmt: skip
    return dict(zip(COLUMNS[COLUMNS.index(ERROR) :], cells, strict=True))


def middle(figures: np.ndarray) -> list[str]:
    """The median, and where four fifths of the figures are."""
    low, median, high = np.percentile(figures, [10, 50, 90])
    return [number(median), f"{number(low)} .. {number(high)}"]


def header(say: Callable[[str], None], *names: str) -> None:
    say("")
    line(say, *names)
    line(say, *["---"] * len(names))


def line(say: Callable[[str], None], *values) -> None:
    say(f"| {' | '.join(map(str, values))} |")


def machine() -> str:
    """One line that says when and where figures were made."""
    version = require("cupy", "cuda").cuda.runtime.runtimeGetVersion()
    driver = "unknown"
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0]
    gpu = f"{mg.cuda.get_device_name()}, driver {driver}"
    host = measure.machine(measure.cores(), PACKAGES)
    return f"{gpu}, CUDA {version // 1000}.{version % 1000 // 10}; {host}"


def compiled() -> dict[str, tuple[str, str]]:
    """Registers and KB in flight of the float32 kernels, where a checkout has the table of them."""
    table = suites.ROOT / "tests" / "cuda" / "sm_90.md"
    text = table.read_text() if table.is_file() else ""
    rows = re.findall(r"^\| (.*) float32 \| (\d+) \|.*\| (\d+) \|$", text, re.MULTILINE)
    return {name: (registers, in_flight) for name, registers, in_flight in rows}


if __name__ == "__main__":
    sys.argv[1:1] = ["bench", "gpu"]
    runpy.run_module("minigrad", run_name="__main__")
