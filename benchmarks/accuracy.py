"""Worst errors beside PyTorch's: python benchmarks/accuracy.py [--write].

Every loss, float32, through Tensors, against the float64 oracle of tests/helpers/extremes.py, over
its families of inputs and the three reductions, each with random upstream gradients. Errors are in
float32 ulp of the exact number; those of a gradient that is a difference of two terms (BCE with
logits, cross-entropy of probabilities) in ulp of the larger one. `inf`: not finite, though the
exact number is. It needs the checkout. --write puts the table into benchmarks/results/ and README.
"""

import argparse
import datetime
import platform
import sys
from pathlib import Path

import numba
import numpy as np

import minigrad as mg
from minigrad.benchmarks import report
from minigrad.optional import require

torch = require("torch", "torch")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from helpers import extremes  # noqa: E402


def number(error):
    return f"{error:.2f}" if error < 100 else f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


def row(loss):
    """The worst errors of a loss, and where PyTorch's gradient has its worst."""
    families = list(extremes.LOSSES[loss].families)
    ours = np.array([extremes.errors(mg, loss, family) for family in families])
    theirs = np.array([extremes.errors(torch, loss, family) for family in families])
    cells = [number(e[:, i].max()) for i in (0, 1) for e in (ours, theirs)]
    return f"| {loss} | {' | '.join(cells)} | {families[theirs[:, 1].argmax()]} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the table, README's too")
    options = parser.parse_args()
    about = (
        f"{datetime.date.today()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"Numba {numba.__version__}, PyTorch {torch.__version__}"
    )
    lines = [
        "| worst error, ulp | loss: minigrad | PyTorch | gradient: minigrad | PyTorch "
        "| PyTorch's worst inputs |",
        "|---|---|---|---|---|---|",
        *map(row, extremes.LOSSES),
    ]
    text = "\n".join([about, "", *lines, ""])
    print(text)
    if options.write:
        (HERE / "results" / "accuracy.md").write_text(text)
        report.quote("accuracy", text, HERE.parent)


if __name__ == "__main__":
    main()
