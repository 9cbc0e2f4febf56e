"""A training run in a file, from which it goes on as if it had never stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import nn, optim
from minigrad.cli.arguments import UsageError


@dataclass
class Run:
    """All that the rest of a training run depends on.

    `settings`: the options that decide on its numbers, by the names a person types them.
    """

    settings: dict[str, Any]
    model: nn.Module
    optimizer: optim.Optimizer
    history: list[dict] = field(default_factory=list)  # a record per epoch that is over
    order: mg.Tensor | None = None  # of the rows in this epoch; None: not drawn yet
    rows: int = 0  # how many of them were trained on
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)  # of their figures

    def save(self, path: Path) -> None:
        """Replace the file in one step. UsageError, and the old file stays, if that fails."""
        state = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": mg.random.default_generator.get_state(),
            "progress": {name: getattr(self, name) for name in PROGRESS},
        }
        try:
            mg.save(state, path)
        except OSError as error:
            kept = "; what it held before is still there" if path.exists() else ""
            raise UsageError(f"cannot write {path}: {error.strerror}{kept}") from None

    def load(self, path: Path) -> None:
        """Take over what save() wrote. UsageError if it is damaged or of a run that differs."""
        try:
            state = mg.load(path)
        except ValueError as error:
            raise UsageError(str(error)) from None
        try:
            found, progress = state["settings"], state["progress"]
            for name, value in self.settings.items():
                if found[name] != value:
                    raise UsageError(
                        f"{path} was made with {name} {found[name]}, not {value}: "
                        "give the same options to resume, or another --checkpoint"
                    )
            vars(self).update({name: progress[name] for name in PROGRESS})
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            mg.random.default_generator.set_state(state["generator"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            sentence = f"{path} is no checkpoint of this run: {' '.join(problem.split())}"
            raise UsageError(sentence) from None


PROGRESS = ("history", "order", "rows", "sums")


@contextmanager
def signals() -> Iterator[list[int]]:
    """A list that Ctrl-C and SIGTERM add their number to, the first time, instead of acting."""
    caught: list[int] = []

    def note(number, frame):
        caught.append(number)
        signal.signal(number, before[number])

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    # A job in the background ignores Ctrl-C, and only the main thread may handle signals.
    ours = [n for n, old in before.items() if old is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        ours = []
    for n in ours:
        signal.signal(n, note)
    try:
        yield caught
    finally:
        for n in ours:
            signal.signal(n, before[n])
