"""The text of a tensor: PyTorch's choice of notation, widths, line breaks and ellipses."""

from collections.abc import Iterable

import numpy as np

THRESHOLD, EDGE, LINE = 1000, 3, 80  # PyTorch's defaults: summarize above, items kept, columns


def format_tensor(
    array: np.ndarray, suffixes: Iterable[str] = (), device: str | None = None
) -> str:
    """The repr of a tensor that holds `array` (any shape; float, integer or bool), as PyTorch
    writes it. `size=` and `dtype=` are added where PyTorch adds them; `suffixes`, such as
    `requires_grad=True`, follow in the order given; `device`, such as `device='cuda:0'`, is before
    them all."""
    implied = {"float32", "int64", "bool"} if array.size else {"float32"}
    notes = [device] if device else []
    notes += [f"size={array.shape}"] if array.size == 0 and array.ndim != 1 else []
    if array.dtype.name not in implied:
        notes.append(f"dtype=minigrad.{array.dtype.name}")

    indent = len("tensor(")
    text = "tensor(" + (_body(array, indent) if array.size else "[]")
    column = len(text) - text.rfind("\n") + 1  # PyTorch counts two columns more than are there
    for note in [*notes, *suffixes]:
        fits = column + len(note) + 2 <= LINE
        text += (", " if fits else ",\n" + " " * indent) + note
        column = (column + 2 if fits else indent) + len(note)
    return text + ")"


def _body(array, indent):
    shown = array
    for axis, length in enumerate(array.shape):
        if array.size > THRESHOLD and length > 2 * EDGE:
            shown = np.take(shown, [*range(EDGE), *range(-EDGE, 0)], axis)
    show, width = _notation(shown)

    def nest(values, lengths, indent):
        if not lengths:
            return show(values)
        parts = [nest(value, lengths[1:], indent + 1) for value in values]
        vector = len(lengths) == 1
        if len(parts) < lengths[0]:
            parts[EDGE:EDGE] = [" ..." if vector else "..."]
        per_line = max(1, (LINE - indent) // (width + 2)) if vector else 1
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        newlines = "\n" * max(1, len(lengths) - 1)
        return "[" + ("," + newlines + " " * (indent + 1)).join(lines) + "]"

    return nest(shown.tolist(), array.shape, indent)


def _notation(array):
    """How to write one element, and the width all are padded to. Zeros, infinities and NaN have
    no say in either: PyTorch looks at the other values only."""
    counted, notation = array.ravel(), "{}"
    if array.dtype.kind == "f":
        counted = array[np.isfinite(array) & (array != 0)]
        magnitudes = [abs(value) for value in counted.tolist()] or [1.0]
        smallest, largest = min(magnitudes), max(magnitudes)
        if largest / smallest > 1e3 or largest > 1e8 or smallest < 1e-4:
            notation = "{:.4e}"
        elif all(value.is_integer() for value in magnitudes):
            notation = "{:#.0f}"  # "3." but "inf"
        else:
            notation = "{:.4f}"
    width = max((len(notation.format(value)) for value in counted.tolist()), default=1)
    return lambda value: notation.format(value).rjust(width), width
