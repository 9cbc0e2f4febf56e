"""The picture of a training run: losses on the left, predictions on the right."""

from pathlib import Path
from typing import Any

import numpy as np

from minigrad.datasets import Split
from minigrad.utils.optional import require


def draw(path: Path, split: Split, history: list[dict], answers: np.ndarray, loss: str) -> None:
    """Write a PNG. `history` and `answers` are what training returns."""
    figure = require("matplotlib.figure", "train").Figure((12, 5.5), dpi=120, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))

    curves = left.subplots()
    for part in ("train", "test"):
        values = [record[f"{part}_loss"] for record in history]
        curves.plot(range(1, len(values) + 1), values, label=part, marker=".")
    curves.set(title=f"{split.name}: {loss}", xlabel="epoch", ylabel="loss")
    curves.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    curves.grid(alpha=0.3)
    curves.legend()

    {"digits": _images, "cancer": _histogram, "diabetes": _scatter}[split.name](
        right, split, answers
    )
    figure.savefig(path, format="png")


def _images(figure: Any, split: Split, answers: np.ndarray) -> None:
    wrong = answers != split.y_test
    errors_first = np.argsort(~wrong, kind="stable")
    figure.suptitle(
        f"test images, predicted / true: the {wrong.sum()} wrong of {wrong.size} first, in red"
    )
    for axes, i in zip(figure.subplots(4, 7).flat, errors_first, strict=False):
        axes.imshow(split.x_test[i].reshape(8, 8), cmap="gray_r")
        color = "red" if wrong[i] else "black"
        axes.set_title(f"{answers[i]} / {split.y_test[i]}", color=color, fontsize=10)
        axes.axis("off")


def _histogram(figure: Any, split: Split, answers: np.ndarray) -> None:
    axes = figure.subplots()
    groups = [answers[split.y_test == label] for label in (0, 1)]
    labels = [
        f"{name} ({len(group)})" for name, group in zip(split.class_names, groups, strict=True)
    ]
    axes.hist(groups, bins=np.linspace(0, 1, 21), stacked=True, label=labels)
    axes.axvline(0.5, color="gray", linestyle="--")
    axes.set(
        title="test rows by true class",
        xlabel=f"predicted probability of {split.class_names[1]}",
        ylabel="rows",
    )
    axes.legend()


def _scatter(figure: Any, split: Split, answers: np.ndarray) -> None:
    axes = figure.subplots()
    predicted, true = (
        array * split.target_scale + split.target_mean for array in (answers, split.y_test)
    )
    axes.scatter(true, predicted, alpha=0.6)
    axes.axline(
        (true.mean(), true.mean()), slope=1, color="gray", linestyle="--", label="predicted = true"
    )
    axes.axhline(
        split.target_mean, color="tab:orange", linestyle=":", label="mean of the training rows"
    )
    axes.set(title="progression of the disease, test rows", xlabel="true", ylabel="predicted")
    axes.legend()
