"""Random programs: for each kind of mistake a file that draws programs and would find it.

`attempt(draw)` of a file draws one program from `draw`, a random.Random, runs it here and beside it
(in PyTorch, by plain execution, or exactly), and raises AssertionError, with the program's text, if
they differ. `SHORT` is how many of them the suite tries; `NEEDS_TORCH`, if it asks PyTorch.

`python tests/scripts/try_programs.py KIND --seconds 60` tries more.
"""

import importlib
import random
from pathlib import Path

KINDS = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def kind(name: str):
    """The file of that name, as a module."""
    return importlib.import_module(f"programs.{name}")


def attempt(name: str, number: int) -> None:
    """Program `number` of a kind, the same in every run."""
    try:
        kind(name).attempt(random.Random(f"{name} {number}"))
    except Exception as error:
        error.add_note(
            f"to run it again: python tests/scripts/try_programs.py {name} --only {number}"
        )
        raise
