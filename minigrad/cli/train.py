"""`minigrad train DATA`: fit a small network to real data and test it on rows it has not seen."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from math import ceil, isfinite
from typing import NamedTuple

import numba
import numpy as np

import minigrad as mg
from minigrad import datasets, nn, optim
from minigrad.cli.arguments import UsageError, number, output_file, widths
from minigrad.cli.checkpoint import Run, signals
from minigrad.cli.plot import draw
from minigrad.devices import missing
from minigrad.nn import functional as F
from minigrad.optional import require
from minigrad.utils.data import DataLoader, TensorDataset


class Recipe(NamedTuple):
    """How a data set is trained unless the options say otherwise."""

    losses: tuple[str, ...]  # the first is the default
    hidden: tuple[int, ...]
    epochs: int
    weight_decay: float  # of AdamW; strong, for there are few rows and many weights


RECIPES = {
    "digits": Recipe(("cross_entropy",), (512,), 40, 0.3),
    "cancer": Recipe(("bce_with_logits", "bce"), (32,), 40, 2.0),
    "diabetes": Recipe(("mse", "l1", "smooth_l1"), (64,), 30, 2.0),
}
LOSSES: dict[str, Callable] = {
    "cross_entropy": F.cross_entropy, "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bce": F.binary_cross_entropy, "mse": F.mse_loss, "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
}  # fmt: skip
OPTIMIZERS: dict[str, tuple[Callable, float]] = {  # with a learning rate that suits it
    "adamw": (optim.AdamW, 1e-3), "adam": (optim.Adam, 1e-3), "rmsprop": (optim.RMSprop, 5e-4),
    "sgd": (partial(optim.SGD, momentum=0.9), 2e-2),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", choices=RECIPES, metavar="DATA", help=", ".join(RECIPES))
    add("--epochs", type=number(int, 1, 10**6), help="passes over the training rows")
    add("--batch-size", type=number(int, 1, 10**6), default=32, help="rows per step (32)")
    add("--lr", type=number(float, 0, 1000), help="learning rate")
    add("--hidden", type=widths, help="units in each hidden layer, such as 128 or 128,64")
    add("--optimizer", choices=OPTIMIZERS, default="adamw", help="adamw by default")
    add("--loss", choices=LOSSES, help="the first that fits the data by default")
    add("--seed", type=number(int, 0, 2**63), default=0, help="of weights and batches (0)")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="cpu (by default) or a GPU, cuda")
    add("--plot", type=output_file, metavar="FILE.png", help="draw losses and predictions")
    add("--log", type=output_file, metavar="FILE.jsonl", help="write a line per epoch")
    add("--save", type=output_file, metavar="FILE", help="write the weights")
    add(
        "--checkpoint", type=output_file, metavar="FILE",
        help="keep the whole state of the run here, after each epoch and when Ctrl-C or SIGTERM "
        "stops it; the file is whole at every instant, and a run that is there is not overwritten",
    )  # fmt: skip
    add(
        "--resume", action="store_true",
        help="go on from --checkpoint, with the same options (--epochs may grow), to the same "
        "numbers as without the stop; from the beginning if there is no such file yet",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Train as the options say; print the test figure and write the files asked for."""
    recipe = RECIPES[options.data]
    loss = options.loss or recipe.losses[0]
    if loss not in recipe.losses:
        fitting = " or ".join(recipe.losses)
        raise UsageError(f"--loss {loss} does not fit {options.data}: expected {fitting}")
    if options.plot:
        require("matplotlib", "train")
    path = options.checkpoint
    if options.resume and not path:
        raise UsageError("--resume needs --checkpoint FILE")
    if path and path.exists() and not options.resume:
        raise UsageError(f"{path} exists: add --resume to go on from it, or name another file")
    problem = missing() if options.device == "cuda" else None
    if problem:
        raise UsageError(f"--device cuda: {problem}")
    split = datasets.load(options.data)

    mg.manual_seed(options.seed)
    started = time.perf_counter()
    run = prepare(recipe, loss, split, options)
    if options.resume and path.exists():
        run.load(path)
        print(f"going on from {path}: {len(run.history)} epochs are done")
    with one_thread():
        answers = fit(run, loss, split, options)
    seconds = time.perf_counter() - started

    print(f"{report(split, run.history[-1], answers)}, {seconds:.1f} s")
    if options.save:
        mg.save(run.model.state_dict(), options.save)
    if options.plot:
        draw(options.plot, split, run.history, answers, loss)
    for written in filter(None, (options.plot, options.log, options.save, path)):
        print(f"wrote {written}")


def prepare(recipe: Recipe, loss: str, split: datasets.Split, options) -> Run:
    """A run before its first step."""
    hidden, (make_optimizer, rate) = options.hidden or recipe.hidden, OPTIMIZERS[options.optimizer]
    model = network(split, loss, hidden).to(options.device)
    decay = recipe.weight_decay if options.optimizer == "adamw" else 0.0
    rate = rate if options.lr is None else options.lr
    optimizer = make_optimizer(model.parameters(), lr=rate, weight_decay=decay)
    settings = {
        "DATA": split.name, "--loss": loss, "--hidden": ",".join(map(str, hidden)),
        "--optimizer": options.optimizer, "--lr": rate, "--batch-size": options.batch_size,
        "--seed": options.seed,
    }  # fmt: skip
    return Run(settings, model, optimizer)


def network(split: datasets.Split, loss: str, hidden: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between them, and at the end what the loss expects."""
    layers: list[nn.Module] = []
    sizes = (split.x_train.shape[1], *hidden, split.n_classes if loss == "cross_entropy" else 1)
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    layers[-1:] = [nn.Sigmoid()] if loss == "bce" else []
    return nn.Sequential(*layers)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and the kernels to one thread: arrays this small gain nothing from more, and on a
    busy machine threads wait for each other (40 epochs of digits: 2 s with one, 47 s with two)."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:  # threadpoolctl comes with scikit-learn
        with require("threadpoolctl", "train").threadpool_limits(1, "blas"):
            yield
    finally:
        numba.set_num_threads(threads)


def measure(
    model: nn.Module, loss: str, x: mg.Tensor, y: mg.Tensor
) -> tuple[mg.Tensor, np.ndarray, np.ndarray]:
    """The loss (); the answers, (N,) classes or (N, 1) probabilities or values; and the sums
    [rows, loss, right answers], which add up over batches."""
    output = model(x)
    if loss == "bce" and output.detach().isnan().any():
        value = output.sum()  # which binary_cross_entropy refuses: its loss is NaN, too
    else:
        value = LOSSES[loss](output, y)
    if loss == "cross_entropy":
        output = output.argmax(1)
    elif loss == "bce_with_logits":
        output = output.sigmoid()
    answers = output.detach().cpu().numpy()
    right = np.sum(answers.round() == y.cpu().numpy())
    return value, answers, np.array([len(y), value.item() * len(y), right])


def fit(run: Run, loss: str, split: datasets.Split, options: argparse.Namespace) -> np.ndarray:
    """Go on with a run to the last epoch; returns the answers to the test rows."""
    model, optimizer, history = run.model, run.optimizer, run.history
    arrays = (split.x_train, split.y_train, split.x_test, split.y_test)
    x_train, y_train, *test_rows = (mg.from_numpy(a).to(options.device) for a in arrays)
    train_rows, size, path = TensorDataset(x_train, y_train), options.batch_size, options.checkpoint
    per_epoch, epochs = ceil(len(x_train) / size), options.epochs or RECIPES[split.name].epochs
    names = ["loss"] if split.kind == "regression" else ["loss", "accuracy"]
    step, largest = len(history) * per_epoch + ceil(run.rows / size), 0.0
    if len(history) > epochs:
        raise UsageError(f"{path} holds {len(history)} epochs, more than --epochs {epochs}")

    def means(sums, part):
        return {f"{part}{name}": sums[i + 1] / sums[0] for i, name in enumerate(names)}

    def check(value):
        if not isfinite(value.item() + largest):
            kept = f"; {path} holds the last good state" if path and path.exists() else ""
            raise UsageError(
                f"training diverged at step {step} (epoch {len(history) + 1}): loss "
                f"{value.item():.4g}, largest gradient {largest:.4g}; try a smaller --lr{kept}"
            )

    bar = require("tqdm", "train").tqdm(
        total=epochs * per_epoch, initial=step, unit="step", disable=None
    )
    with (
        bar,
        signals() if path else nullcontext(()) as caught,
        options.log.open("w") if options.log else nullcontext() as log,
    ):
        for record in history if log else ():
            print(json.dumps(record), file=log)
        while len(history) < epochs:
            bar.set_description(f"epoch {len(history) + 1}/{epochs}", refresh=False)
            if run.order is None:
                run.order = mg.randperm(len(x_train))
            for x, y in DataLoader(train_rows, size, sampler=run.order.numpy()[run.rows :]):
                value, _, figures = measure(model, loss, x, y)
                optimizer.zero_grad()
                value.backward()
                step += 1
                slopes = [p.grad.array for p in model.parameters() if p.grad is not None]
                largest = np.max([float(abs(slope).max()) for slope in slopes]).item()
                check(value)
                optimizer.step()
                run.rows += len(y)
                run.sums = np.add(run.sums, figures).tolist()
                bar.set_postfix(means(run.sums, ""), refresh=False)
                bar.update()
                if caught:
                    run.save(path)
                    sentence = f"stopped in epoch {len(history) + 1}, which {path} holds so far"
                    advice = "add --resume to the command to go on"
                    raise UsageError(f"{sentence}: {advice}", 128 + caught[0])
            with mg.no_grad():
                value, _, test = measure(model, loss, *test_rows)
            check(value)
            history.append(
                {"epoch": len(history) + 1} | means(run.sums, "train_") | means(test, "test_")
            )
            run.order, run.rows, run.sums = None, 0, [0.0] * 3
            if log:
                print(json.dumps(history[-1]), file=log, flush=True)
            if path:
                run.save(path)
    with mg.no_grad():
        return measure(model, loss, *test_rows)[1]


def report(split: datasets.Split, final: dict[str, float], answers: np.ndarray) -> str:
    """The test figure in words."""
    if split.kind == "regression":  # in the data's own unit, whatever the loss was
        errors = [np.mean((guess - split.y_test) ** 2) for guess in (answers, 0)]
        error, mean = (error * split.target_scale**2 for error in errors)
        words = f"test MSE {error:.0f}, predicting the mean {mean:.0f}"
        return f"{split.name}: {words} ({error / mean:.2f} of it)"
    accuracy, rows = final["test_accuracy"], len(answers)
    words = f"test accuracy {accuracy:.4f} ({round(accuracy * rows)} of {rows})"
    return f"{split.name}: {words}, test loss {final['test_loss']:.4f}"
