"""What a command line may hold, and how it is refused: in one sentence."""

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T", int, float)


class UsageError(Exception):
    """One sentence for the person who typed the command, and the exit code."""

    def __init__(self, sentence: str, code: int = 2) -> None:
        super().__init__(sentence)
        self.code = code


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose complaint is one sentence without the usage text before it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def number(kind: type[T], low: float, high: float) -> Callable[[str], T]:
    """An argparse type: int or float, from `low` to `high`."""

    def parse(text: str) -> T:
        value: Any
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            noun = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {noun} from {low} to {high}, got {text!r}")
        return value

    return parse


def widths(text: str) -> tuple[int, ...]:
    """An argparse type: the widths of the hidden layers, such as `128` or `128,64`."""
    return tuple(map(number(int, 1, 2**16), text.split(",")))


def output_file(text: str) -> Path:
    """An argparse type: a file that can be written, now and not only after the training."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder, not a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r}")
    # A file is replaced by a new one in its folder; what is no file, such as /dev/null, is not.
    places = [path] * path.exists() + [path.parent] * (path.is_file() or not path.exists())
    if not all(os.access(place, os.W_OK) for place in places):
        raise argparse.ArgumentTypeError(f"{text!r} is not writable")
    return path
