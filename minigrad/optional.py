"""Packages that only some features need, and the name by which pip knows this one."""

import importlib
from types import ModuleType

DISTRIBUTION = "minigrad-kernels"


def install(extra: str) -> str:
    """What to run for the packages of an extra: in any folder, whatever installed this one, for
    pip takes the distribution that is there."""
    return f'run pip install "{DISTRIBUTION}[{extra}]"'


def require(module: str, extra: str) -> ModuleType:
    """Import `module`; where its package is missing, say which extra of ours installs it.

    Raises ModuleNotFoundError with the pip command in it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the package is there, and lacks something of its own
        message = f"{error.name} is not installed: {install(extra)}"
        raise ModuleNotFoundError(message, name=error.name) from None
