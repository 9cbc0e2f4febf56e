"""`minigrad train DATA`: fit a small network to real data and test it on rows it has not seen."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np

import minigrad as mg
from minigrad import datasets, nn, optim
from minigrad.cli.arguments import UsageError, number, output_file, widths
from minigrad.cli.plot import draw
from minigrad.nn import functional as F
from minigrad.utils.data import DataLoader, TensorDataset
from minigrad.utils.optional import require


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
    add("--device", choices=["cpu"], default="cpu", help="the only one in this version")
    add("--plot", type=output_file, metavar="FILE.png", help="draw losses and predictions")
    add("--log", type=output_file, metavar="FILE.jsonl", help="write a line per epoch")
    add("--save", type=output_file, metavar="FILE", help="write the weights")


def run(options: argparse.Namespace) -> None:
    """Train as the options say; print the test figure and write the files asked for."""
    recipe = RECIPES[options.data]
    loss = options.loss or recipe.losses[0]
    if loss not in recipe.losses:
        fitting = " or ".join(recipe.losses)
        raise UsageError(f"--loss {loss} does not fit {options.data}: expected {fitting}")
    if options.plot:
        require("matplotlib", "train")
    split = datasets.load(options.data)

    mg.manual_seed(options.seed)
    started = time.perf_counter()
    model = network(split, loss, options.hidden or recipe.hidden).to(options.device)
    with one_thread():
        history, answers = fit(model, loss, split, options)
    seconds = time.perf_counter() - started

    print(f"{report(split, history[-1], answers)}, {seconds:.1f} s")
    if options.plot:
        draw(options.plot, split, history, answers, loss)
    if options.save:
        mg.save(model.state_dict(), options.save)
    for path in filter(None, (options.plot, options.log, options.save)):
        print(f"wrote {path}")


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


def measure(model: nn.Module, loss: str, x: mg.Tensor, y: mg.Tensor):
    """The loss (); the answers, (N,) classes or (N, 1) probabilities or values; and the sums
    [rows, loss, right answers], which add up over batches."""
    output = model(x)
    if not output.detach().abs().max().item() < 1e15:  # and so the loss is finite
        raise UsageError("the network's output exploded: try a smaller --lr")
    value = LOSSES[loss](output, y)
    if loss == "cross_entropy":
        output = output.argmax(1)
    elif loss == "bce_with_logits":
        output = output.sigmoid()
    answers = output.detach().cpu().numpy()
    right = np.sum(answers.round() == y.cpu().numpy())
    return value, answers, np.array([len(y), value.item() * len(y), right])


def fit(model: nn.Module, loss: str, split: datasets.Split, options: argparse.Namespace):
    """Train; returns a record of figures per epoch, and the answers to the test rows."""
    recipe, (make_optimizer, rate) = RECIPES[split.name], OPTIMIZERS[options.optimizer]
    decay = recipe.weight_decay if options.optimizer == "adamw" else 0.0
    rate = rate if options.lr is None else options.lr
    optimizer = make_optimizer(model.parameters(), lr=rate, weight_decay=decay)
    arrays = (split.x_train, split.y_train, split.x_test, split.y_test)
    x_train, y_train, *test_rows = (mg.from_numpy(a).to(options.device) for a in arrays)
    batches = DataLoader(TensorDataset(x_train, y_train), options.batch_size, shuffle=True)
    epochs = options.epochs or recipe.epochs
    names = ["loss"] if split.kind == "regression" else ["loss", "accuracy"]

    def means(sums, part):
        return {f"{part}{name}": sums[i + 1] / sums[0] for i, name in enumerate(names)}

    history = []
    bar = require("tqdm", "train").tqdm(total=epochs * len(batches), unit="step", disable=None)
    with bar, options.log.open("w") if options.log else nullcontext() as log:
        for epoch in range(1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
            sums = np.zeros(3)
            for x, y in batches:
                value, _, step = measure(model, loss, x, y)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                sums += step
                bar.set_postfix(means(sums, ""), refresh=False)
                bar.update()
            with mg.no_grad():
                _, answers, test = measure(model, loss, *test_rows)
            history.append({"epoch": epoch} | means(sums, "train_") | means(test, "test_"))
            if log:
                print(json.dumps(history[-1]), file=log, flush=True)
    return history, answers


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
