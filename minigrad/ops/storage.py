"""Casts, moves, and what an in-place change of a view is made of."""

import numpy as np

from .. import devices
from ..devices import CPU, CUDA
from ..kernels import backend
from .op import Array, op


@op(lambda g: g)
def cast(input, dtype):
    """`input` in another dtype; the walk casts the gradient back."""
    return input.astype(dtype)


@op(lambda g, device: move(g, CUDA if device == CPU else CPU))
def move(input, device):
    """`input` on another device."""
    if device == CPU:
        backend(input).check()
    return devices.move(input, device)


def along(x, chain) -> Array:
    """x after each of the (operation, options) in the chain: a view of it, and its gradient's."""
    for operation, options in chain:
        x = operation(x, *options)
    return x


@op(lambda g, chain, like: erase(g, chain, like))
def erase(input, chain, like):
    """`input` with zeros where the view at the end of `chain` lies; `like` gives the layout."""
    out = np.empty_like(like)
    out[...] = input
    view = along(out, chain)
    if view.size and not np.may_share_memory(view, out):
        raise RuntimeError("an in-place change of this view cannot be differentiated; use clone()")
    view[...] = 0
    return out


@op(lambda g, chain, like: erase(g, chain, like), lambda g, chain: along(g, chain))
def paste(base, view, chain, like):
    """`base` after its view at the end of `chain` was changed to `view`, in place."""
    raise NotImplementedError("recorded when a view is changed in place, never run")
