"""What a binding reads of the source: which state it is in, and what a function calls."""

import dis
import hashlib
from pathlib import Path
from types import FunctionType


def digest(*folders: Path) -> str:
    """Twelve letters that an edit of any Python file right in these folders changes."""
    files = (path for folder in folders for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def globals_of(function: FunctionType) -> set[str]:
    """The names that its code looks up outside of it."""
    return {code.argval for code in dis.get_instructions(function) if code.opname == "LOAD_GLOBAL"}
