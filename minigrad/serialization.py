"""Saving and loading tensors: safetensors or .npz files, never pickle."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.lib.format import read_array, write_array

from .tensor import Tensor
from .utils.optional import require

_STRUCTURE = "minigrad"  # the metadata entry (safetensors) or member (.npz) that holds the JSON


def save(state: Any, path: str | PathLike) -> None:
    """Write a state dict: safetensors if installed, .npz otherwise or if `path` ends in .npz.

    Takes tensors, numbers, strings and None, in dicts, lists and tuples of any depth. A tensor's
    name in the file is the path of keys to it, joined by dots.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_pack(state, "", arrays))
    if fspath(path).endswith(".npz") or find_spec("safetensors") is None:
        with zipfile.ZipFile(path, "w") as file:  # np.savez cannot take a tensor named "file"
            file.writestr(_STRUCTURE, structure)
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    write_array(member, array, allow_pickle=False)
    else:
        require("safetensors.numpy", "train").save_file(arrays, path, {_STRUCTURE: structure})


def load(path: str | PathLike) -> Any:
    """Read what save() wrote, or the tensors of any safetensors or .npz file as a flat dict.

    Raises ValueError for a file that is neither, or is damaged.
    """
    with open(path, "rb") as file:
        head = file.read(9)
    try:
        if head[:2] != b"PK" and head[8:] != b"{":
            raise ValueError("it begins like neither")
        arrays, structure = (_read_npz if head[:2] == b"PK" else _read_safetensors)(path)
        if structure is None:
            return {name: Tensor(array) for name, array in arrays.items()}
        return _unpack(json.loads(structure), arrays)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # whatever a reader raises, it means one thing to the caller
        expected = "a complete safetensors or .npz file of tensors"
        raise ValueError(f"{fspath(path)} is not {expected}: {error}") from error


def _read_npz(path):
    arrays, structure = {}, None
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            with file.open(name) as member:
                if name == _STRUCTURE:
                    structure = member.read()
                else:
                    arrays[name.removesuffix(".npy")] = read_array(member, allow_pickle=False)
    return arrays, structure


def _read_safetensors(path):
    with require("safetensors", "train").safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        return arrays, (file.metadata() or {}).get(_STRUCTURE)


def _pack(value, name, arrays):
    """`value` for JSON, its tensors moved to `arrays`: a container becomes {its kind: content}."""
    if isinstance(value, Tensor):
        while name in arrays or name in ("", "__metadata__"):  # a: {b} and a.b, or the format's
            name += "_"
        arrays[name] = np.asarray(value.array, order="C")  # safetensors misreads any other order
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
    found = f"{type(value).__name__} at {name!r}"
    raise TypeError(f"state: expected tensors, numbers, strings or None, got {found}")


def _unpack(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return Tensor(arrays[content])
    if kind == "dict":
        return {key: _unpack(item, arrays) for key, item in content}
    items = [_unpack(item, arrays) for item in content]
    return items if kind == "list" else tuple(items)
