"""Pictures of graphs: `draw(value)` as Graphviz DOT, and as an SVG that any browser opens.

The layout is the layered one (Sugiyama, Tagawa and Toda 1981): a column is a step from the leaves;
an arrow that crosses columns gets a bend in each; columns are sorted by where their neighbours are.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..tensor import Tensor
from .value import Step, Value, history

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}
LINE, LETTER, GAP, BETWEEN = 16, 7.3, 14, 46  # pixels: line, letter, between boxes, between columns
PASSES = 8  # over the columns, to and fro


Point = tuple[int, int]  # box, column
Grid = list[list[Point]]  # columns
Arrows = list[tuple[Point, Point]]  # left, right
Places = dict[Point, float]


class Box(NamedTuple):
    """A node of a graph: what it says, and the positions of those it was computed from."""

    lines: tuple[str, ...]
    parents: tuple[int, ...]


class Drawing:
    """A graph as text: `dot` for Graphviz, `svg` for browsers; a notebook shows the latter."""

    def __init__(self, boxes: Sequence[Box]):
        self.dot, self.svg = _dot(boxes), _svg(boxes)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write a file: `.svg`, or `.dot` or `.gv` for Graphviz.

        Raises ValueError for another suffix.
        """
        texts = {".svg": self.svg, ".dot": self.dot, ".gv": self.dot}
        suffix = Path(path).suffix.lower()
        if suffix not in texts:
            raise ValueError(f"path: expected a name in .svg, .dot or .gv, got {str(path)!r}")
        Path(path).write_text(texts[suffix], encoding="utf-8")


def draw(root: Value | Tensor) -> Drawing:
    """The graph that a Value, or a Tensor, was computed by.

    Of Values: each operation, number and leaf, with data and grad. Of Tensors: each recorded
    operation and each leaf that wants a gradient, with shape and dtype.
    """
    if isinstance(root, Value):
        return Drawing([_scalar_box(step) for step in history(root)])
    if isinstance(root, Tensor):
        return Drawing(_tensor_boxes(root))
    raise TypeError(f"root: expected a Value or a Tensor, got {type(root).__name__}")


def _scalar_box(step: Step) -> Box:
    lines = [SIGNS.get(step.operation, step.operation)] if step.operation else []
    lines.append(f"data {step.data:.6g}")
    if step.grad is not None:
        lines.append(f"grad {step.grad:.6g}")
    return Box(tuple(lines), step.operands)


def _tensor_boxes(root: Tensor) -> list[Box]:
    node = root.grad_fn
    if node is None:
        return [Box(("leaf", *_kind(root)), ())]
    seen, stack = {node}, [node]
    while stack:
        fresh = {parent for parent in stack.pop().parents if parent is not None} - seen
        seen |= fresh
        stack += fresh
    order = sorted(seen, key=lambda node: node.birth)
    positions = {node: position for position, node in enumerate(order)}
    boxes = []
    for node in order:
        name = "leaf" if node.op is None else node.name().removesuffix("Backward0")
        parents = (positions[parent] for parent in node.parents if parent is not None)
        boxes.append(Box((name, *_kind(node)), tuple(parents)))
    return boxes


def _kind(array: Any) -> tuple[str, str]:
    return str(tuple(array.shape)), str(array.dtype).removeprefix("minigrad.")


def _dot(boxes: Sequence[Box]) -> str:
    lines = ["digraph {", "  rankdir=LR; node [shape=record];"]
    for i, box in enumerate(boxes):
        lines.append(f'  n{i} [label="{" | ".join(box.lines)}"];')
        lines += [f"  n{parent} -> n{i};" for parent in box.parents]
    return "\n".join([*lines, "}\n"])


# --- the layout -----------------------------------------------------------------------------------


def _columns(boxes: Sequence[Box]) -> list[int]:
    """A column for each box: right of its parents, and leaves beside whoever reads them first."""
    columns: list[int] = []
    for box in boxes:
        columns.append(max((columns[parent] + 1 for parent in box.parents), default=0))
    readers: dict[int, int] = {}
    for i, box in enumerate(boxes):
        for parent in box.parents:
            readers[parent] = min(readers.get(parent, columns[i]), columns[i])
    return [c if boxes[i].parents else readers.get(i, 1) - 1 for i, c in enumerate(columns)]


def _layout(boxes: Sequence[Box]) -> tuple[Grid, Arrows, dict[Point, int]]:
    """Columns of points; who is joined to whom, left to right; each one's height.

    A point in another column than its box's is a bend of the arrows that leave it.
    """
    columns = _columns(boxes)
    points = {(i, c): LINE * len(boxes[i].lines) + 8 for i, c in enumerate(columns)}
    joined: dict[tuple[Point, Point], None] = {}
    for i, box in enumerate(boxes):
        for parent in box.parents:
            for c in range(columns[parent] + 1, columns[i]):
                points[parent, c] = 0
                joined[(parent, c - 1), (parent, c)] = None
            joined[(parent, columns[i] - 1), (i, columns[i])] = None
    grid: Grid = [[] for _ in range(1 + max(columns))]
    for point in points:
        grid[point[1]].append(point)
    return grid, list(joined), points


def _heights(grid: Grid, joined: Arrows, points: dict[Point, int]) -> Places:
    """The middle of each point, top down: near its neighbours', and none on another."""
    before: dict[Point, list[Point]] = {point: [] for point in points}
    after: dict[Point, list[Point]] = {point: [] for point in points}
    for left, right in joined:
        before[right].append(left)
        after[left].append(right)
    y: Places = {}
    for column in grid:
        _stack(column, y, dict.fromkeys(column, 0.0), points)
    for number in range(PASSES):
        neighbours = after if number % 2 == 0 else before
        for column in reversed(grid) if number % 2 == 0 else grid:
            wish = {p: fmean(y[q] for q in neighbours[p] or [p]) for p in column}
            column.sort(key=wish.__getitem__)
            _stack(column, y, wish, points)
    return y


def _stack(column: list[Point], y: Places, wish: Places, points: dict[Point, int]) -> None:
    """Put a column's points where they wish to be, in this order, but GAP apart at least."""
    low = None
    for point in column:
        half = points[point] / 2
        y[point] = wish[point] if low is None else max(wish[point], low + GAP + half)
        low = y[point] + half
    shift = fmean(wish[point] - y[point] for point in column)
    for point in column:
        y[point] += shift


def _svg(boxes: Sequence[Box]) -> str:
    grid, joined, points = _layout(boxes)
    y = _heights(grid, joined, points)
    x, widths, right = [], [], float(GAP)
    for column in grid:
        letters = [len(line) for i, c in column if points[i, c] for line in boxes[i].lines]
        x.append(right)
        widths.append(LETTER * max(letters, default=0) + 12)
        right += widths[-1] + BETWEEN
    top = min(y[p] - points[p] / 2 for p in points) - GAP
    bottom = max(y[p] + points[p] / 2 for p in points) + GAP
    size = f"{right - BETWEEN + GAP:.0f} {bottom - top:.0f}".split()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="monospace" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<g fill="none" stroke="#888">',
    ]
    for a, b in joined:
        start, end = x[a[1]] + widths[a[1]], x[b[1]]
        middle, ya, yb = (start + end) / 2, y[a] - top, y[b] - top
        across = "" if points[a] else f"M{x[a[1]]:.1f} {ya:.1f}H{start:.1f}"
        lines.append(
            f'<path d="{across}M{start:.1f} {ya:.1f}'
            f'C{middle:.1f} {ya:.1f} {middle:.1f} {yb:.1f} {end:.1f} {yb:.1f}"/>'
        )
        if points[b]:
            lines.append(f'<path fill="#888" d="M{end:.1f} {yb:.1f}l-6 -3v6z"/>')
    lines.append("</g>")
    for i, c in (point for point in points if points[point]):
        height, width = points[i, c], widths[c]
        box_top = y[i, c] - height / 2 - top
        fill = "#eef4ff" if boxes[i].parents else "#fff6e5"
        lines.append(
            f'<rect x="{x[c]:.1f}" y="{box_top:.1f}" width="{width:.1f}" height="{height}" '
            f'rx="4" fill="{fill}" stroke="#555"/>'
        )
        for k, line in enumerate(boxes[i].lines):
            lines.append(
                f'<text x="{x[c] + width / 2:.1f}" y="{box_top + LINE * (k + 1):.1f}" '
                f'text-anchor="middle">{html.escape(line)}</text>'
            )
    return "\n".join([*lines, "</svg>\n"])
