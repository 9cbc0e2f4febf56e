"""`minigrad scalar-demo`: train micrograd's classifier of two moons on scalars, and draw it."""

import argparse
import random
import time
from pathlib import Path

import numpy as np

from minigrad.cli.arguments import number, output_file
from minigrad.optional import require
from minigrad.scalar import Value
from minigrad.scalar.nn import MLP

STEPS, DECAY = 100, 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = Path("moons.png")
    add("--plot", type=output_file, metavar="FILE.png", default=default, help="(moons.png)")
    add("--seed", type=number(int, 0, 2**32 - 1), default=1337, help="of weights and moons (1337)")


def run(options: argparse.Namespace) -> None:
    """Train a 2-16-16-1 perceptron on 100 points, print its accuracy, and write the picture."""
    make_moons = require("sklearn.datasets", "train").make_moons
    tqdm = require("tqdm", "train").tqdm
    require("matplotlib", "train")
    random.seed(options.seed)
    points, sides = make_moons(100, noise=0.1, random_state=options.seed)
    sides = sides * 2 - 1
    model = MLP(2, [16, 16, 1])
    started = time.perf_counter()
    with tqdm(range(STEPS), desc="moons", unit="step", disable=None, leave=False) as bar:
        for step in bar:
            loss, accuracy = objective(model, points, sides)
            model.zero_grad()
            loss.backward()
            rate = 1.0 - 0.9 * step / STEPS
            for p in model.parameters():
                p.data -= rate * p.grad
            bar.set_postfix(loss=f"{loss.data:.4f}", accuracy=f"{accuracy:.0%}")
    loss, accuracy = objective(model, points, sides)
    seconds = time.perf_counter() - started
    print(f"moons: loss {loss.data:.4f}, accuracy {accuracy:.0%}, {STEPS} steps, {seconds:.1f} s")
    draw(options.plot, model, points, sides)
    print(f"wrote {options.plot}")


def objective(model: MLP, points: np.ndarray, sides: np.ndarray) -> tuple[Value, float]:
    """The max-margin loss with an L2 penalty, and the share of points on the right side."""
    scores = [model(point) for point in points.tolist()]
    losses = [(1 - side * score).relu() for side, score in zip(sides, scores, strict=True)]
    penalty = DECAY * sum(p * p for p in model.parameters())
    right = [(side > 0) == (score.data > 0) for side, score in zip(sides, scores, strict=True)]
    return sum(losses) / len(losses) + penalty, sum(right) / len(right)


def draw(path: Path, model: MLP, points: np.ndarray, sides: np.ndarray) -> None:
    """Write a PNG: the points, and the score of the plane around them."""
    (left, low), (right, high) = points.min(0) - 0.5, points.max(0) + 0.5
    across, up = np.linspace(left, right, 80), np.linspace(low, high, 60)
    score = [[model([x, y]).data for x in across.tolist()] for y in up.tolist()]
    figure = require("matplotlib.figure", "train").Figure((8, 6), dpi=120, layout="constrained")
    axes = figure.subplots()
    limit = np.abs(score).max()
    shades = axes.contourf(across, up, score, 24, cmap="coolwarm", vmin=-limit, vmax=limit)
    axes.contour(across, up, score, [0.0], colors="black")
    axes.scatter(*points.T, c=sides, cmap="coolwarm", edgecolors="black")
    axes.set(title="two moons: the score of a 2-16-16-1 perceptron, black where it is 0")
    figure.colorbar(shades)
    figure.savefig(path, format="png")
