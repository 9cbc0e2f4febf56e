"""Compiled kernels on disk, in the folder Numba chooses: NUMBA_CACHE_DIR, or beside the source."""

from __future__ import annotations

import pickle
import warnings
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps


class SealedCache(FunctionCache):
    """Numba's cache, but each build has a file of its own that begins with a digest of the rest.

    Numba keeps an index of a function's builds: processes that start together overwrite each
    other's, and it may then name one build for the other's arguments. And Numba believes what it
    reads: pickle raises, and LLVM ends the process, on a damaged file. Here a file that is not
    whole counts as none, and one that cannot be written is left out.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        path, key = self._place(sig, target_context.codegen())
        try:
            content = path.read_bytes()
        except OSError:
            return None
        seal, data = content[:32], content[32:]
        if seal != sha256(key + data).digest():
            return None
        return self._impl.rebuild(target_context, pickle.loads(data))

    def save_overload(self, sig: Any, cres: Any) -> None:
        path, key = self._place(sig, cres.codegen)
        data = dumps(self._impl.reduce(cres))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._cache_file._open_for_write(str(path)) as file:  # then renames it
                file.write(sha256(key + data).digest() + data)
        except OSError:
            warn()

    def _place(self, sig, codegen):
        """The file of a build, and all that the build depends on, as bytes."""
        source, base = self._impl.locator.get_source_stamp(), self._impl.filename_base
        # The base is the function's name, which tells loops apart that were bound to other rules.
        key = repr((numba.__version__, source, base, self._index_key(sig, codegen))).encode()
        name = f"{base}.{sha256(key).hexdigest()[:16]}.nbc"
        return Path(self.cache_path, name), key


def keep_on_disk(dispatcher: Any) -> Any:
    """The dispatcher, which keeps its builds on disk from now on, if there is a folder for them.

    The function's qualified name must tell what it depends on outside its own file.
    """
    try:
        dispatcher._cache = SealedCache(dispatcher.py_func)
    except RuntimeError:  # Numba found no folder that can be written
        warn()
    return dispatcher


@cache  # once: while Numba compiles it makes Python forget which warnings it has shown
def warn() -> None:
    warnings.warn(
        "compiled kernels cannot be kept on disk, so every process compiles its own: set "
        "NUMBA_CACHE_DIR to a folder with room that this user can write",
        stacklevel=2,
    )
