"""A report (see suites.py) as a table, a chart and README's block."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.optional import require

from .measure import UNSTEADY
from .rivals import OURS, THEIRS

TITLES = {
    "losses": "Losses, forward + backward, float32",
    "train": "Training steps, Adam and cross-entropy, float32",
    "scalar": "Scalars, a graph built and differentiated, float64",
    "startup": "Start-up, each in a fresh process",
    "scaling": "Losses, forward + backward, float32, against size and threads",
}
COLORS = {
    "minigrad": "tab:blue", "minigrad.compile": "tab:cyan", "NumPy": "tab:gray",
    "PyTorch eager": "tab:orange", "torch.compile": "tab:red", "jax.jit": "tab:green",
    "micrograd": "tab:olive",
}  # fmt: skip


def ratio(row: dict, names=THEIRS) -> float | None:
    """The best time of `names` over ours; above 1 we are faster."""
    ours = [t for name, t in row["seconds"].items() if name in OURS]
    theirs = [t for name, t in row["seconds"].items() if name in names]
    return min(theirs) / min(ours) if ours and theirs else None


def geometric_mean(ratios) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def columns(report: dict) -> list[str]:
    """The rivals that have figures, in one order everywhere."""
    return [name for name in COLORS if any(name in row["seconds"] for row in report["rows"])]


def table(report: dict) -> str:
    """Markdown: the machine, a row per cell, and what has to be said about the run."""
    names = columns(report)
    unit, scale = ("ms", 1e3) if report["what"] == "startup" else ("µs", 1e6)
    memory = any("roofline" in row for row in report["rows"])
    header = [unit, *names, "best rival / minigrad"]
    header += ["GB/s", "of the roofline", "peak memory"] if memory else []

    def cells(row):
        seconds, best = row["seconds"], ratio(row)
        yield row["cell"]
        for name in names:
            yield number(seconds[name] * scale) if name in seconds else ""
        yield f"{best:.2f}" if best else ""
        if memory and "roofline" in row:
            yield f"{row['bytes'] / seconds['minigrad'] / 1e9:.1f}"
            yield f"{row['roofline'] / seconds['minigrad']:.2f}"
            yield f"{row['peak']:.2f}"
        elif memory:
            yield from ("", "", "")

    lines = [header, ["---"] * len(header), *(list(cells(row)) for row in report["rows"])]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([report["machine"], grid, *remarks(report)])


def number(x: float) -> str:
    return f"{x:,.1f}" if x < 100 else f"{x:,.0f}"


def remarks(report: dict) -> list[str]:
    """Means, the control, and what is not in the table."""
    said = []
    if report["what"] != "startup":
        means = []
        for words, names in {"the best rival": THEIRS, "PyTorch eager": THEIRS[:1]}.items():
            if ratios := [r for row in report["rows"] if (r := ratio(row, names))]:
                means.append(f"{geometric_mean(ratios):.2f} times as fast as {words}")
        if means:
            said.append(f"Geometric mean over the rows: minigrad is {' and '.join(means)}.")
    control = report["control"]
    steady = "the machine was steady" if control["spread"] <= UNSTEADY else (
        "**the machine was unsteady**: other work ran, run this again without it"
    )  # fmt: skip
    said.append(
        f"Control, the same NumPy work all along: {control['seconds'] * 1e6:.1f} µs, p90 / p10 "
        f"{control['spread']:.2f}; {steady}."
    )
    said += [f"Not measured: {name} ({reason})." for name, reason in report["absent"].items()]
    if report["quick"]:
        said.append("A quick run: a few cells and few rounds, to see that it works.")
    return said


# --- README -------------------------------------------------------------------------------------


def write(report: dict, root: Path) -> list[Path]:
    """Store table and chart in benchmarks/results, and put both where README has their marker."""
    folder, what = root / "benchmarks" / "results", report["what"]
    folder.mkdir(exist_ok=True)
    text, picture = table(report) + "\n", folder / f"{what}.png"
    (folder / f"{what}.md").write_text(text)
    chart(report, picture)
    image = f"\n![{TITLES[what]}]({picture.relative_to(root).as_posix()})\n"
    return [folder / f"{what}.md", picture, *quote(what, text + image, root)]


def quote(what: str, text: str, root: Path) -> list[Path]:
    """Put a text into README, where its marker is; gives README if that changed it."""
    readme = root / "README.md"
    before = readme.read_text()
    after = re.sub(
        rf"(<!-- benchmarks/results/{what}\.md -->\n).*?(?=<!-- end -->)",
        lambda found: found[1] + text,
        before,
        flags=re.DOTALL,
    )
    readme.write_text(after)
    return [readme] if after != before else []


# --- charts -------------------------------------------------------------------------------------


def chart(report: dict, path: Path) -> None:
    """A PNG: bars for cells, lines for growth. Less is better."""
    ticker = require("matplotlib.ticker", "bench")
    draw: Any = lines if report["what"] == "scaling" else bars
    panels: dict[str, list] = {}
    for row in report["rows"]:
        panels.setdefault(row["group"], []).append(row)
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure = require("matplotlib.figure", "bench").Figure(
        (max(11, 5.2 * across), 1.2 + 4 * down), dpi=110, layout="constrained"
    )
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for ax, (title, rows) in zip(axes, panels.items(), strict=False):
        draw(ax, rows, columns(report))
        ax.set_title(title)
        ax.set_axisbelow(True)
        ax.grid(axis="y", alpha=0.3)
        low, high = ax.get_ylim()
        ticks = ticker.LogLocator(subs=(1, 3) if high > 30 * low else (1, 1.5, 2, 3, 5, 7))
        ax.yaxis.set_major_locator(ticks)
        ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.9g}"))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    for ax in axes[len(panels) :]:
        ax.axis("off")
    # A rival may have no figure in the first panel: each is named once, from wherever it is.
    found = {h.get_label(): h for ax in axes for h in ax.get_legend_handles_labels()[0]}
    handles = [found[name] for name in columns(report)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    words = "less is better" + ("; 2x: the best rival takes twice as long" if draw is bars else "")
    title = f"{TITLES[report['what']]}: {words}{' (a quick run)' if report['quick'] else ''}"
    figure.suptitle(f"{title}\n{report['machine']}", fontsize=10)
    figure.savefig(path, format="png")


def bars(ax, rows, names):
    """A group per cell, a bar per rival, time on a log scale; best rival / minigrad above it."""
    unit, scale = ("ms", 1e3) if rows[0]["group"] == "start-up" else ("µs", 1e6)
    width = 0.85 / max(len(row["seconds"]) for row in rows)
    for name in names:
        places, heights = [], []
        for i, row in enumerate(rows):
            have = [n for n in names if n in row["seconds"]]
            if name in have:
                places.append(i + (have.index(name) - (len(have) - 1) / 2) * width)
                heights.append(row["seconds"][name] * scale)
        ax.bar(places, heights, width, color=COLORS[name], label=name)
    for i, row in enumerate(rows):
        if best := ratio(row):
            top, words = max(row["seconds"].values()) * scale, f"{best:.{1 if best >= 1 else 2}f}x"
            color = "black" if best >= 1 else "tab:red"
            ax.annotate(
                words, (i, top), (0, 3), textcoords="offset points", ha="center", color=color
            )
    labels = [row["cell"].removeprefix(rows[0]["group"]).strip() for row in rows]
    labels = [label.replace(", ", ",\n").replace(" x ", " x\n") for label in labels]
    ax.set_xticks(range(len(rows)), labels, fontsize=8)
    ax.set(yscale="log", ylabel=unit, xlim=(-0.5, len(rows) - 0.5))
    ax.margins(y=0.12)


def lines(ax, rows, names):
    """Time against size or threads, both on a log scale."""
    across = "threads" if "threads" in rows[0] else "size"
    for name in names:
        have = [row for row in rows if name in row["seconds"]]
        if have:
            times = [row["seconds"][name] * 1e6 for row in have]
            ax.plot([r[across] for r in have], times, "o-", ms=4, color=COLORS[name], label=name)
    ax.set(yscale="log", ylabel="µs", xlabel="elements" if across == "size" else across)
    ax.set_xscale("log", base=2 if across == "threads" else 10)
    if across == "threads":
        counts = [row["threads"] for row in rows]
        ax.set_xticks(counts, list(map(str, counts)))
        ax.minorticks_off()
