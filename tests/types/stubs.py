"""The stubs that editors and type checkers read: python tests/types/stubs.py --write

functions.pyi and methods.pyi list what minigrad/functions.py makes of the operations, __init__.pyi
what `import minigrad` offers. test_stubs.py fails where they are not what this script writes.
"""

from __future__ import annotations

import inspect
import sys
from functools import partialmethod
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import functions
from minigrad.methods import Methods
from minigrad.ops import OPERATIONS, Op

FOLDER = Path(mg.__file__).parent
NOTE = '"""Written by tests/types/stubs.py from the table of operations."""\n\n'

# What a parameter of that name takes, whatever the operation; `function.parameter` is of one alone.
TYPES = {
    "alpha": "Float", "approximate": "str", "axis0": "Int", "axis1": "Int", "chunks": "Int",
    "condition": "Tensor", "correction": "Int | None", "decimals": "Int", "diagonal": "Int",
    "dim": "Dims", "dim0": "Int", "dim1": "Int", "dims": "Dims", "dtype": "DTypeLike",
    "end_dim": "Int", "exponent": "Operand", "generator": "Generator | None", "index": "Tensor",
    "indices": "Tensor", "input": "Tensor", "keepdim": "Bool", "length": "Int", "mask": "Tensor",
    "max": "Operand | None", "min": "Operand | None", "other": "Operand", "p": "Float | str",
    "repeats": "Int | Sequence[Int]", "rounding_mode": "str | None", "shape": "Int | Sequence[Int]",
    "shifts": "Int | Sequence[Int]", "size": "Int | Sequence[Int]",
    "split_size_or_sections": "Int | Sequence[Int]", "start": "Int", "start_dim": "Int",
    "tensor": "Tensor", "tensors": "Sequence[Tensor]", "unbiased": "Bool | None",
    "value": "Operand", "vec2": "Tensor",
    "a": "Float", "b": "Float", "mean": "Float", "std": "Float",  # of uniform_ and normal_
    "var.dim": "Dims | Bool", "std.dim": "Dims | Bool", "where.input": "Operand",
    "index_select.dim": "Int", "unsqueeze.dim": "Int", "cat.dim": "Int", "stack.dim": "Int",
    "cumsum.dim": "Int", "gather.dim": "Int", "narrow.dim": "Int", "split.dim": "Int",
    "chunk.dim": "Int", "unbind.dim": "Int", "matmul.other": "Tensor", "mm.other": "Tensor",
    "bmm.other": "Tensor", "mv.other": "Tensor", "dot.other": "Tensor",
    "permute.dims": "Int | Sequence[Int]", "tile.dims": "Int | Sequence[Int]",
    "flip.dims": "Int | Sequence[Int]",
}  # fmt: skip
RETURNS = dict.fromkeys(("chunk", "split", "unbind"), "tuple[Tensor, ...]")
OVERLOADS = dict.fromkeys(
    ("max", "min"),
    (
        "({0}) -> Tensor",
        "({0}, dim: Int, keepdim: Bool = ...) -> Extremes",
        "({0}, dim: Tensor) -> Tensor",
    ),
)
HEAD = """from __future__ import annotations

from collections.abc import Sequence
from typing import {typing}, TypeAlias, overload

import numpy as np

from .dtypes import DTypeLike
{imports}

Bool: TypeAlias = bool  # names of which some are names of operations, too
Int: TypeAlias = int
Float: TypeAlias = float
Dims: TypeAlias = Int | Sequence[Int] | None
Operand: TypeAlias = Tensor | Float | np.ndarray | np.generic

"""


def parameter_text(function: str, p: inspect.Parameter) -> str:
    kind = TYPES.get(f"{function}.{p.name}") or TYPES[p.name]
    operation = OPERATIONS.get(function)
    if p.name == "input" and isinstance(operation, Op) and operation.takes_numbers:
        kind = "Operand" if operation.arity > 1 else kind
    stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    default = "" if p.default is p.empty else f" = {p.default!r}"
    return f"{stars}{p.name}: {kind}{default}"


def signature_text(name: str, function: Any, method: bool = False, returns: str = "") -> str:
    """(input: Tensor, ...) -> Tensor, or (self, ...) of a method."""
    base = name.rstrip("_")
    parameters = list(inspect.signature(function).parameters.values())
    parts = []
    for i, p in enumerate(parameters):
        if p.kind is p.KEYWORD_ONLY and all(q.kind is not p.VAR_POSITIONAL for q in parameters[:i]):
            parts += ["*"] * ("*" not in parts)
        parts.append("self" if method and i == 0 else parameter_text(base, p))
    return f"({', '.join(parts)}) -> {returns or RETURNS.get(base, 'Tensor')}"


def definition(name: str, signature: str, function: Any = None, note: str = "") -> str:
    """A line of a stub; with the docstring, which an editor shows."""
    doc = inspect.getdoc(function) if function is not None else None
    if not doc:
        return f"def {name}{signature}: ...{note}\n"
    return f"def {name}{signature}:{note}\n    {_quoted(doc)}\n"


def _quoted(doc: str) -> str:
    return '"""' + doc.replace("\n", "\n    ") + '"""'


def overloads(name: str, first: str, function: Any) -> str:
    *texts, last = [text.format(first) for text in OVERLOADS[name]]
    lines = "".join(f"@overload\ndef {name}{text}: ...\n" for text in texts)
    return lines + "@overload\n" + definition(name, last, function)


def functions_stub() -> str:
    text = NOTE + HEAD.format(typing="NamedTuple", imports="from .tensor import Tensor")
    text += "class Extremes(NamedTuple):\n    values: Tensor\n    indices: Tensor\n\n"
    for name, function in sorted(functions.FUNCTIONS.items()):
        if name in OVERLOADS:
            text += overloads(name, "input: Tensor", function)
        else:
            text += definition(name, signature_text(name, function), function)
    return text


def methods_stub() -> str:
    imports = "from .functions import Extremes\nfrom .random import Generator\n"
    text = NOTE + HEAD.format(typing="Self", imports=imports + "from .tensor import Tensor")
    text += "class Methods:\n"
    operators, named = "", ""
    for name, method in sorted(vars(Methods).items()):
        if name.startswith("__"):
            if callable(method) and method.__module__ == functions.__name__:
                operators += "    " + operator_text(name)
        elif isinstance(method, partialmethod):
            named += f"    def {name}(self) -> Tensor: ...\n"
        elif name in OVERLOADS:
            named += indented(overloads(name, "self", method))
        elif callable(method):
            returns = "Self" if name.endswith("_") else ""
            signature = signature_text(name, method, True, returns)
            named += indented(definition(name, signature, method))
    return text + operators + named


def indented(text: str) -> str:
    return "".join(f"    {line}" for line in text.splitlines(keepends=True))


def operator_text(name: str) -> str:
    kind = name.strip("_")
    if kind in ("neg", "abs", "invert", "pos"):
        return definition(name, "(self) -> Tensor")
    if kind in ("matmul", "rmatmul"):
        return definition(name, "(self, other: Tensor | np.ndarray) -> Tensor")
    if kind == "round":
        return definition(name, "(self, decimals: Int = 0) -> Tensor")
    if kind in ("eq", "ne"):
        ignore = "  # type: ignore[override]"
        return definition(name, "(self, other: Operand) -> Tensor", note=ignore)
    returns = "Self" if kind[0] == "i" and kind[1:] in functions.OPERATORS else "Tensor"
    return definition(name, f"(self, other: Operand) -> {returns}")


def package_stub() -> str:
    """What `import minigrad` offers: each name from where it is defined."""
    origins: dict[str, list[str]] = {}
    for name in dir(mg):
        if not name.startswith("__"):
            origins.setdefault(origin(name), []).append(f"{name} as {name}")
    # minigrad.tensor is a function of .creation, which must hide the module .tensor: it comes last.
    order = sorted(origins, key=lambda module: (module == ".creation", module))
    lines = [f"from {module} import {', '.join(origins[module])}\n" for module in order]
    public = ", ".join(f'"{name}"' for name in mg.__all__)
    return NOTE + "".join(lines) + f"\n__all__ = [{public}]\n__version__: str\n"


def origin(name: str) -> str:
    value = getattr(mg, name)
    if inspect.ismodule(value):
        return "."
    for module in ("autograd", "creation", "dtypes", "functions", "random", "serialization"):
        if name in getattr(mg, module).__all__:
            return f".{module}"
    return value.__module__.removeprefix("minigrad")


STUBS = {
    "functions.pyi": functions_stub, "methods.pyi": methods_stub, "__init__.pyi": package_stub,
}  # fmt: skip

if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    for name, write in STUBS.items():
        (FOLDER / name).write_text(write())
