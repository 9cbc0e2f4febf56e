"""`minigrad warmup`: compile the kernels once and keep them on disk, for this user and machine."""

import argparse
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import minigrad as mg
from minigrad.benchmarks import measure
from minigrad.kernels import cpu
from minigrad.optional import require

F = mg.nn.functional
POINTWISE = (
    F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.huber_loss, F.l1_loss,
    F.mse_loss, F.smooth_l1_loss,
)  # fmt: skip
CLASSES = (2, 3, 10, 100)  # each number up to 32 has builds of its own; all above share theirs
OPTIMIZERS = {"Adam": {}, "AdamW": {}, "RMSprop": {}, "SGD": {"momentum": 0.9}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments."""


def run(options: argparse.Namespace) -> None:
    """Make every call in `work`, in a process for each core; what is on disk is not compiled."""
    pieces = list(work())
    bar = require("tqdm", "train").tqdm(total=len(pieces), desc="kernels", unit=" builds")
    spawn = multiprocessing.get_context("spawn")
    with bar, ProcessPoolExecutor(measure.cores(), spawn) as pool:
        for _ in pool.map(call, *zip(*pieces, strict=True)):
            bar.update()


def work() -> Iterator[tuple]:
    """The arguments of `call`: a function's name, size, dtype and options."""
    for dtype in ("float32", "float64"):
        for size in (cpu.PARALLEL, 2):
            for needs in (("mean", True), ("none", True), ("mean", False)):
                for loss in POINTWISE:
                    yield loss.__name__, (size,), dtype, *needs
                for classes in CLASSES:
                    yield "cross_entropy", (-(-size // classes), classes), dtype, *needs
        for optimizer in OPTIMIZERS:
            yield optimizer, (2,), dtype, "mean", True


def call(name: str, shape: tuple[int, ...], dtype: str, reduction: str, needs_grad: bool) -> None:
    """Run a loss forward and backward, or an optimizer's step."""
    x = mg.full(shape, 0.5, dtype=getattr(mg, dtype), requires_grad=needs_grad)
    if name in OPTIMIZERS:
        x.grad = mg.zeros_like(x)
        getattr(mg.optim, name)([x], lr=0.1, **OPTIMIZERS[name]).step()
        return
    target = mg.zeros(shape[0], dtype=mg.int64) if len(shape) > 1 else x.detach()
    loss = getattr(F, name)(x, target, reduction=reduction)
    if needs_grad:
        loss.sum().backward()
