"""The picture of a training run: losses on the left, predictions on the right."""

from pathlib import Path

import numpy as np

from minigrad.datasets import Split
from minigrad.optional import require


def draw(path: Path, split: Split, history: list[dict], answers: np.ndarray, loss: str) -> None:
    """Write a PNG. `history` and `answers` are what training returns."""
    figure = require("matplotlib.figure", "train").Figure((12, 5.5), dpi=120, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    curves = left.subplots()
    epochs = [record["epoch"] for record in history]
    for part in ("train", "test"):
        curves.plot(epochs, [record[f"{part}_loss"] for record in history], ".-", label=part)
    curves.set(title=f"{split.name}: {loss}", xlabel="epoch", ylabel="loss")
    curves.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    curves.legend()
    predictions = {"digits": _images, "cancer": _histogram, "diabetes": _scatter}[split.name]
    predictions(right, split, answers)
    figure.savefig(path, format="png")


def _images(figure, split, answers):
    wrong = answers != split.y_test
    figure.suptitle(f"test images, predicted / true: {wrong.sum()} of {wrong.size} wrong, in red")
    errors_first = np.argsort(~wrong, kind="stable")
    for axes, i in zip(figure.subplots(4, 7).flat, errors_first, strict=False):
        axes.imshow(split.x_test[i].reshape(8, 8), cmap="gray_r")
        color = "red" if wrong[i] else "black"
        axes.set_title(f"{answers[i]} / {split.y_test[i]}", color=color, fontsize=10)
        axes.axis("off")


def _histogram(figure, split, answers):
    axes = figure.subplots()
    groups = [answers[split.y_test == label] for label in (0, 1)]
    axes.hist(groups, bins=np.linspace(0, 1, 21), stacked=True, label=split.class_names)
    axes.axvline(0.5, color="gray", linestyle="--")
    probability = f"predicted probability of {split.class_names[1]}"
    axes.set(title="test rows by true class", xlabel=probability, ylabel="rows")
    axes.legend()


def _scatter(figure, split, answers):
    axes, mean = figure.subplots(), split.target_mean
    true, predicted = (array * split.target_scale + mean for array in (split.y_test, answers))
    axes.scatter(true, predicted, alpha=0.6)
    axes.axline((mean, mean), slope=1, color="gray", linestyle="--", label="predicted = true")
    axes.axhline(mean, color="tab:orange", linestyle=":", label="mean of the training rows")
    axes.set(title="progression of the disease, test rows", xlabel="true", ylabel="predicted")
    axes.legend()
