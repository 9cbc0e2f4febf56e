"""minigrad beside PyTorch eager in one process: python benchmarks/compare.py [--write].

Every rival's result is checked before it is timed; rounds of all rivals alternate, so that a noisy
machine hits all alike; figures are medians. Losses run forward and backward with a fresh gradient,
float32, reduction "mean", all cores; training steps on one core each, where small matrices are
fastest. `kernel` is the fused kernel alone, writing into a new buffer; `compiled` is the step
through minigrad.compile. --write puts the table and the machine into benchmarks/results/compare.md.
"""

import argparse
import datetime
import platform
import time
from pathlib import Path

import numba
import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import minigrad as mg
from minigrad.kernels import LOSSES, cpu

LOSS_SIZES = {
    "mse": [(64,), (1_000,), (1_000_000,), (16_000_000,)],
    "l1": [(1_000,), (1_000_000,)],
    "smooth_l1": [(1_000,), (1_000_000,)],
    "bce": [(1_000,), (1_000_000,)],
    "bce_with_logits": [(1_000,), (1_000_000,), (16_000_000,)],
    "cross_entropy": [(64, 10), (4096, 10), (65536, 10), (1024, 1000), (512, 50257)],
}
FUNCTIONS = {
    "mse": "mse_loss",
    "l1": "l1_loss",
    "smooth_l1": "smooth_l1_loss",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "cross_entropy": "cross_entropy",
}
ROUND = 2e-2  # seconds: short calls are repeated, as in a training loop, before the next rival
STEPS = [(1, 2, 16, 2), (32, 64, 32, 10), (64, 64, 128, 10)]  # batch, in, hidden, classes


def loss_data(name, shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    if name == "cross_entropy":
        return x, rng.integers(0, shape[1], shape[0])
    if name == "bce":
        x = 1 / (1 + np.exp(-x))
    return x, rng.random(shape, np.float32)


def loss_rivals(name, shape):
    """Rival -> (what is timed: forward and backward, what reads its gradient)."""
    x, y = loss_data(name, shape)

    def public(m):
        tx, ty = m.tensor(x, requires_grad=True), m.tensor(y)
        function = getattr(m.nn.functional, FUNCTIONS[name])

        def run():
            tx.grad = None
            function(tx, ty).backward()

        return run, lambda: tx.grad.numpy()

    def kernel():
        if name == "cross_entropy":
            return cpu.run_classes(LOSSES[name], x, y, None, -100, 1 / len(x))[2]
        return cpu.run_pointwise(LOSSES[name], x, y, 1.0, 1 / x.size)[2]

    return {"kernel": (kernel, kernel), "minigrad": public(mg), "PyTorch eager": public(torch)}


def step_rivals(batch, inputs, hidden, classes):
    """Rival -> (what is timed: one Adam step of a perceptron, what reads its weights)."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, inputs), np.float32), rng.integers(0, classes, batch)
    shapes = [(hidden, inputs), (hidden,), (classes, hidden), (classes,)]
    weights = [rng.standard_normal(s, np.float32) * 0.1 for s in shapes]

    def make(m, wrap=lambda step: step):
        nn = m.nn
        model = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        with m.no_grad():
            for p, w in zip(model.parameters(), weights, strict=True):
                p.copy_(m.tensor(w))
        loss, optimizer = nn.CrossEntropyLoss(), m.optim.Adam(model.parameters(), lr=1e-3)
        tx, ty = m.tensor(x), m.tensor(y)

        @wrap
        def step(x, y):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

        def run():
            step(tx, ty)

        def result():
            return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])

        return run, result

    return {
        "minigrad": make(mg),
        "compiled": make(mg, mg.compile),
        "PyTorch eager": make(torch),
    }


def timed(run, calls):
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def measure(rivals, seconds):
    """Median seconds of each rival, their rounds alternating; results are compared first."""
    results = []
    for run, result in rivals.values():
        run()
        results.append(result())
    for result in results[1:]:
        scale = np.abs(results[0]).max()
        np.testing.assert_allclose(result, results[0], rtol=1e-3, atol=1e-4 * scale)
    calls = {name: max(1, int(ROUND / timed(run, 3))) for name, (run, _) in rivals.items()}
    times = {name: [] for name in rivals}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["minigrad"]) < 7:
        for name, (run, _) in rivals.items():
            times[name].append(timed(run, calls[name]))
    return {name: float(np.median(t)) for name, t in times.items()}


def row(label, medians):
    ratio = medians["PyTorch eager"] / medians.get("compiled", medians["minigrad"])
    columns = "kernel", "minigrad", "compiled", "PyTorch eager"
    cells = [f"{medians[n] * 1e6:.1f}" if n in medians else "" for n in columns]
    return f"| {label} | {' | '.join(cells)} | {ratio:.1f} |"


def machine():
    """One line that says where the figures come from."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines()
             if line.startswith("model name")), name,
        )  # fmt: skip
    return (
        f"{datetime.date.today()}, {name}, {numba.config.NUMBA_NUM_THREADS} cores, Python "
        f"{platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}, PyTorch "
        f"{torch.__version__}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/compare.md")
    parser.add_argument("--seconds", type=float, default=2.0, help="per row (2)")
    options = parser.parse_args()
    lines = [
        "| µs | kernel | minigrad | compiled | PyTorch eager | PyTorch / best of minigrad |",
        "|---|---|---|---|---|---|",
    ]
    cells = [(name, shape) for name, shapes in LOSS_SIZES.items() for shape in shapes]
    for name, shape in tqdm(cells, desc="losses"):
        medians = measure(loss_rivals(name, shape), options.seconds)
        lines.append(row(f"{name} {' x '.join(f'{n:,}' for n in shape)}", medians))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for sizes in tqdm(STEPS, desc="training steps"):
            medians = measure(step_rivals(*sizes), options.seconds)
            label = "Adam step, batch {}, {}-{}-{}".format(*sizes)
            lines.append(row(label, medians))
    torch.set_num_threads(threads)
    table = "\n".join(lines)
    print(machine(), table, sep="\n\n")
    if options.write:
        path = Path(__file__).parent / "results" / "compare.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{machine()}\n\n{table}\n")
        print(f"\nwrote {path}")


if __name__ == "__main__":
    main()
