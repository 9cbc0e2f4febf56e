"""Saving and loading tensors: safetensors or .npz files, never pickle."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from importlib.util import find_spec
from os import PathLike, fspath
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import (
    read_array,
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
    write_array,
)

from .devices import CPU, DeviceLike, find, move
from .dtypes import name_of
from .optional import require
from .tensor import Tensor

__all__ = ["load", "save"]

_HEADERS = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}
_STRUCTURE = "minigrad"  # the metadata entry (safetensors) or member (.npz) that holds the JSON


def save(state: Any, path: str | PathLike[str] | None = None) -> None:
    """Write a state dict: safetensors if installed, .npz otherwise or if `path` ends in .npz.

    Takes tensors, numbers, strings and None, in dicts, lists and tuples of any depth. A tensor's
    name in the file is the path of keys to it, joined by dots.

    A file that was there is replaced in one step by one that is complete and on the disk: whatever
    happens, a crash, a full disk (OSError, naming `path`), Ctrl-C, one of the two is there whole.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_pack(state, "", arrays))
    path = _path(path, "save(state, path)")

    def write_npz(file):
        with zipfile.ZipFile(file, "w") as archive:  # np.savez cannot take a tensor named "file"
            # ZipInfo: without the date, so that equal states make equal files
            archive.writestr(zipfile.ZipInfo(_STRUCTURE), structure)
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    write_array(member, array, allow_pickle=False)

    def write_safetensors(file):
        format = require("safetensors.numpy", "train")
        file.write(format.save(arrays, {_STRUCTURE: structure}))

    npz = fspath(path).endswith(".npz") or find_spec("safetensors") is None
    _replace(path, write_npz if npz else write_safetensors)


def _replace(path: str | PathLike, write: Callable[[BinaryIO], None]) -> None:
    """Call `write` with a new file, which takes the place of `path` once it is on the disk."""
    place = os.path.realpath(path)  # a link stays a link
    if os.path.exists(place) and not os.path.isfile(place):  # /dev/null: nothing to be replaced
        with open(place, "wb") as file:
            return write(file)
    # A name of its own for each writer: processes that save to one path must not mix their bytes.
    temporary = f"{place}.{secrets.token_hex(4)}.tmp"
    try:
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if os.path.exists(place):
                shutil.copymode(place, temporary)
            os.replace(temporary, place)
        except BaseException:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise
        if os.name == "posix":  # elsewhere a folder cannot be opened
            folder = os.open(os.path.dirname(place), os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name, too, is to be on the disk
            finally:
                os.close(folder)
    except OSError as error:  # those of write() name no file, those of open() the temporary one
        raise OSError(error.errno, error.strerror, fspath(path)) from error


def load(path: str | PathLike[str], map_location: DeviceLike = None) -> Any:
    """Read what save() wrote, or the tensors of any safetensors or .npz file as a flat dict.

    map_location: the device the tensors are moved to, by default the CPU, wherever they were.
    Raises ValueError, naming the tensor if it is one, for a file that is neither, is damaged, or
    holds what is no tensor, a pickled object for one; nothing in a file is ever executed.
    """
    path = _path(path, "load(path)")
    place = find(CPU if map_location is None else map_location)
    with open(path, "rb") as file:
        head = file.read(9)
    try:
        if head[:2] != b"PK" and head[8:] != b"{":
            others = (f" but {why}" for start, why in _OTHERS.items() if head.startswith(start))
            raise ValueError("it begins like neither" + next(others, ""))
        tensors, structure = (_read_npz if head[:2] == b"PK" else _read_safetensors)(path)
        tensors = {name: t.to(device=place) for name, t in tensors.items()}
        return tensors if structure is None else _unpack(json.loads(structure), tensors)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever a reader raises, it means one thing to the caller
        expected = "a complete safetensors or .npz file of tensors"
        raise ValueError(f"{fspath(path)} is not {expected}: {error}") from error


_PICKLE = (
    "a pickle, which can run code when it is read; where it was written (in PyTorch, with "
    "torch.load), read it, and pass what it holds to load_state_dict(), or save that as safetensors"
)
_OTHERS = {  # how other files begin
    b"\x80": _PICKLE, b"\x93NUMPY": "one array, which minigrad.tensor(numpy.load(path)) reads",
}  # fmt: skip


def _path(path: Any, call: str) -> Any:
    """The path; TypeError if it is none, or was left out."""
    if not isinstance(path, str | bytes | PathLike):
        raise TypeError(f"path: expected that of a file, as in {call}, got {name_of(path)}")
    return path


def _read_npz(path):
    tensors, structure = {}, None
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(2**28, 100 * os.path.getsize(path)):  # no weights pack as well as that
            raise ValueError(f"it would unpack to {unpacked} bytes, over 100 times its size")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with _naming(name), archive.open(member) as file:
                if name.endswith("data.pkl"):  # PyTorch's
                    raise ValueError(f"it is {_PICKLE}")
                if member.filename == _STRUCTURE:
                    structure = file.read()
                else:
                    _check_length(file, member.file_size)
                    tensors[name] = Tensor(read_array(file, allow_pickle=False))
    return tensors, structure


def _check_length(file, length):
    """ValueError unless a .npy file has the length its header says: read_array takes its word."""
    read_header = _HEADERS.get(read_magic(file))
    if read_header is None:
        raise ValueError("expected version 1 or 2 of the .npy format")
    shape, _, dtype = read_header(file)
    expected = file.tell() + math.prod(shape) * dtype.itemsize
    if length != expected and not dtype.hasobject:
        raise ValueError(f"expected {expected} bytes for {dtype} of shape {shape}, got {length}")
    file.seek(0)


def _read_safetensors(path):
    tensors = {}
    with require("safetensors", "train").safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118, no mapping
            with _naming(name):
                tensors[name] = Tensor(file.get_tensor(name))
        return tensors, (file.metadata() or {}).get(_STRUCTURE)


@contextmanager
def _naming(name):
    """Whatever is wrong inside is wrong with the tensor of this name."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"tensor {name!r}: {error}") from error


def _pack(value, name, arrays):
    """`value` for JSON, its tensors moved to `arrays`: a container becomes {its kind: content}."""
    if isinstance(value, Tensor):
        while name in arrays or name in ("", "__metadata__"):  # a: {b} and a.b, or the format's
            name += "_"
        # safetensors misreads any other order
        arrays[name] = np.asarray(move(value._value(), CPU), order="C")
        return {"tensor": name}
    if isinstance(value, dict):
        prefix = name and f"{name}."
        if any(not isinstance(key, str | int) for key in value):
            raise TypeError(f"state: expected keys that are strings or integers in {name!r}")
        return {"dict": [[k, _pack(v, f"{prefix}{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]}
    if value is None or isinstance(value, str | int | float):
        return value
    found = name_of(value) + (f" at {name!r}" if name else "")
    hint = ""
    if hasattr(value, "state_dict"):
        hint = "; save(x.state_dict(), path) saves what it holds"
    elif hasattr(value, "__array__"):
        hint = "; minigrad.tensor() makes a tensor of it"
    raise TypeError(f"state: expected tensors, numbers, strings or None, got {found}{hint}")


def _unpack(value, tensors):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        if content not in tensors:
            raise ValueError(f"tensor {content!r} is missing")
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    kinds = {"list": list, "tuple": tuple}
    if kind not in kinds:
        raise ValueError(f"expected a dict, a list or a tuple, got {kind!r}")
    return kinds[kind](_unpack(item, tensors) for item in content)
