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
from minigrad.utils.data import DataLoader, TensorDataset
from minigrad.utils.optional import require


class Recipe(NamedTuple):
    """How a data set is trained unless the options say otherwise."""

    losses: dict[str, Callable[[], nn.Module]]  # the first is the default
    hidden: tuple[int, ...]
    epochs: int
    weight_decay: float  # of AdamW; strong, for there are few rows and many weights


RECIPES = {
    "digits": Recipe({"cross_entropy": nn.CrossEntropyLoss}, (512,), 40, 0.3),
    "cancer": Recipe({"bce_with_logits": nn.BCEWithLogitsLoss, "bce": nn.BCELoss}, (32,), 40, 2.0),
    "diabetes": Recipe(
        {"mse": nn.MSELoss, "l1": nn.L1Loss, "smooth_l1": nn.SmoothL1Loss}, (64,), 30, 2.0
    ),
}
OPTIMIZERS: dict[str, tuple[Callable, float]] = {  # with a learning rate that suits it
    "adamw": (optim.AdamW, 1e-3),
    "adam": (optim.Adam, 1e-3),
    "rmsprop": (optim.RMSprop, 5e-4),
    "sgd": (partial(optim.SGD, momentum=0.9), 2e-2),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    losses = [loss for recipe in RECIPES.values() for loss in recipe.losses]
    add = parser.add_argument
    add("data", choices=RECIPES, metavar="DATA", help=", ".join(RECIPES))
    add("--epochs", type=number(int, 1, 10**6), help="passes over the training rows")
    add("--batch-size", type=number(int, 1, 10**6), default=32, help="rows per step (32)")
    add("--lr", type=number(float, 0, 1000), help="learning rate")
    add("--weight-decay", type=number(float, 0, 1000), help="0 unless the optimizer is adamw")
    add("--hidden", type=widths, help="units in each hidden layer, such as 128 or 128,64")
    add("--optimizer", choices=OPTIMIZERS, default="adamw", help="adamw by default")
    add("--loss", choices=losses, help="the first that fits the data by default")
    add("--seed", type=number(int, 0, 2**63), default=0, help="of weights and batches (0)")
    add("--device", default="cpu", help="cpu by default")
    add("--plot", type=output_file, metavar="FILE.png", help="draw losses and predictions")
    add("--log", type=output_file, metavar="FILE.jsonl", help="write a line per epoch")
    add("--save", type=output_file, metavar="FILE", help="write the weights")


class Trial:
    """A network of ReLU layers, its loss, and how to read what it puts out."""

    def __init__(self, split: datasets.Split, loss: str, hidden: tuple[int, ...], device: str):
        sizes = [split.x_train.shape[1], *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        layers.append(nn.Linear(sizes[-1], split.n_classes if loss == "cross_entropy" else 1))
        if loss == "bce":
            layers.append(nn.Sigmoid())
        self.model = nn.Sequential(*layers).to(device)
        self.criterion = RECIPES[split.name].losses[loss]()
        self.loss, self.figures = loss, ["loss", "accuracy"][: 1 + (split.kind != "regression")]

    def measure(self, x: mg.Tensor, y: mg.Tensor) -> tuple[mg.Tensor, np.ndarray, np.ndarray]:
        """The loss (); the answers, (N,) classes or (N, 1) probabilities or values; and the sums
        [rows, loss, right answers], which add up over batches."""
        output = self.model(x)
        if not np.abs(output.detach().cpu().numpy()).max() < 1e15:  # and so the loss is finite
            raise UsageError("the network's output exploded: try a smaller --lr")
        loss = self.criterion(output, y)
        if self.loss == "cross_entropy":
            output = output.argmax(1)
        elif self.loss == "bce_with_logits":
            output = output.sigmoid()
        answers = output.detach().cpu().numpy()
        right = np.sum(answers.round() == y.cpu().numpy())
        return loss, answers, np.array([len(y), loss.item() * len(y), right])

    def means(self, sums: np.ndarray, prefix: str = "") -> dict[str, float]:
        """The mean loss, and the accuracy if the answers are classes."""
        means = (sums[1:] / sums[0]).tolist()
        return {prefix + name: mean for name, mean in zip(self.figures, means, strict=False)}


def run(options: argparse.Namespace) -> None:
    """Train as the options say; print the test figure and write the files asked for."""
    recipe = RECIPES[options.data]
    loss = options.loss or next(iter(recipe.losses))
    if loss not in recipe.losses:
        fitting = " or ".join(recipe.losses)
        raise UsageError(f"--loss {loss} does not fit {options.data}: expected {fitting}")
    try:
        mg.zeros(1, device=options.device)
    except RuntimeError as error:
        raise UsageError(str(error)) from None
    if options.plot:
        require("matplotlib", "train")
    split = datasets.load(options.data)

    mg.manual_seed(options.seed)
    started = time.perf_counter()
    trial = Trial(split, loss, options.hidden or recipe.hidden, options.device)
    with one_thread():
        history, answers = fit(trial, split, options)
    seconds = time.perf_counter() - started

    print(f"{report(split, history[-1], answers)}, {seconds:.1f} s")
    if options.plot:
        draw(options.plot, split, history, answers, loss)
    if options.save:
        mg.save(trial.model.state_dict(), options.save)
    for path in filter(None, (options.plot, options.log, options.save)):
        print(f"wrote {path}")


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


def fit(
    trial: Trial, split: datasets.Split, options: argparse.Namespace
) -> tuple[list[dict], np.ndarray]:
    """Train; returns a record of figures per epoch, and the answers to the test rows."""
    recipe = RECIPES[options.data]
    make_optimizer, rate = OPTIMIZERS[options.optimizer]
    decay = recipe.weight_decay if options.optimizer == "adamw" else 0.0
    optimizer = make_optimizer(
        trial.model.parameters(),
        lr=rate if options.lr is None else options.lr,
        weight_decay=decay if options.weight_decay is None else options.weight_decay,
    )
    x_train, y_train, x_test, y_test = (
        mg.from_numpy(array).to(options.device)
        for array in (split.x_train, split.y_train, split.x_test, split.y_test)
    )
    batches = DataLoader(TensorDataset(x_train, y_train), options.batch_size, shuffle=True)
    epochs = options.epochs or recipe.epochs
    history = []
    bar = require("tqdm", "train").tqdm(total=epochs * len(batches), unit="step", disable=None)
    with bar, options.log.open("w") if options.log else nullcontext() as log:
        for epoch in range(1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
            sums = np.zeros(3)
            for x, y in batches:
                loss, _, step = trial.measure(x, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                sums += step
                bar.set_postfix(trial.means(sums), refresh=False)
                bar.update()
            with mg.no_grad():
                _, answers, test = trial.measure(x_test, y_test)
            record = {"epoch": epoch, **trial.means(sums, "train_"), **trial.means(test, "test_")}
            history.append(record)
            if log:
                print(json.dumps(record), file=log, flush=True)
    return history, answers


def report(split: datasets.Split, final: dict[str, float], answers: np.ndarray) -> str:
    """The test figure in words."""
    if split.kind == "regression":  # in the data's own unit, whatever the loss was
        error, mean = (
            np.mean((guess - split.y_test) ** 2) * split.target_scale**2 for guess in (answers, 0)
        )
        ratio = f"{error / mean:.2f} of it"
        return f"{split.name}: test MSE {error:.0f}, predicting the mean {mean:.0f} ({ratio})"
    right = round(final["test_accuracy"] * len(answers))
    figure = f"test accuracy {final['test_accuracy']:.4f} ({right} of {len(answers)})"
    return f"{split.name}: {figure}, test loss {final['test_loss']:.4f}"
