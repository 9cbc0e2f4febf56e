"""Packages that only some features need."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import `module`; where its package is missing, say which extra of ours installs it.

    Raises ModuleNotFoundError with the pip command in it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the package is there, and lacks something of its own
        message = f'{error.name} is not installed: run pip install "minigrad[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from None
