"""Random tensors, and the one generator they come from unless given another."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import dtypes
from .creation import Sizes, _finish, _shape, check_numbers, like
from .devices import DeviceLike, find
from .dtypes import DTypeLike
from .methods import Methods
from .tape import refuse, repeated
from .tensor import Tensor

__all__ = [
    "Generator", "initial_seed", "manual_seed", "rand", "rand_like", "randint", "randn",
    "randn_like", "randperm", "seed",
]  # fmt: skip


class Generator:
    """A stream of random numbers (PCG64). `numpy` is NumPy's generator underneath, locked per call.

    The same seed gives the same numbers on every machine and device: they are drawn on the CPU and
    moved, whatever `device` says. They are not PyTorch's numbers.
    """

    def __init__(self, device: str | int = "cpu") -> None:
        find(device)
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to `seed`, any integer; returns self."""
        self._start(int(seed) % 2**64)
        return self

    @repeated
    def _start(self, seed):
        self._seed, self._numpy = seed, np.random.Generator(np.random.PCG64(seed))

    @property
    def numpy(self) -> np.random.Generator:
        """NumPy's generator underneath; a compiled step may draw from it within operations alone,
        as dropout does."""
        refuse(
            "it uses random numbers made within the step by other means than dropout; draw them "
            "before the step, or pass them as an argument"
        )
        return self._numpy

    def seed(self) -> int:
        """Start a stream nobody can predict; returns its seed."""
        refuse("it takes a seed that is another one each time; use manual_seed()")
        seed = secrets.randbits(63)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        refuse("it reads the seed of a generator; read it before the step")
        return self._seed

    def get_state(self) -> Mapping[str, Any]:
        """All that the stream depends on, for set_state."""
        source = self.numpy.bit_generator
        with source.lock:  # draws take it, NumPy's property does not
            return source.state

    @repeated
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where get_state() was called."""
        source = self.numpy.bit_generator
        with source.lock:
            source.state = state


default_generator = Generator().manual_seed(0)
manual_seed = default_generator.manual_seed
seed, initial_seed = default_generator.seed, default_generator.initial_seed


def stream(generator: Generator | None = None) -> np.random.Generator:
    """NumPy's generator under `generator`, or under the default one."""
    if not isinstance(generator, Generator | None):
        raise TypeError(f"generator: expected a Generator or None, got {type(generator).__name__}")
    return (generator or default_generator).numpy


def _float(dtype):
    dtype = dtypes.as_dtype(dtype or np.float32)
    if dtype.kind != "f":
        raise RuntimeError(f"dtype: expected a floating point dtype, got {dtype}")
    return dtype


def rand(
    *size: Sizes, generator: Generator | None = None, dtype: DTypeLike = None,
    device: DeviceLike = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform on [0, 1)."""
    array = stream(generator).random(_shape(size), _float(dtype))
    return _finish(array, device, requires_grad)


def randn(
    *size: Sizes, generator: Generator | None = None, dtype: DTypeLike = None,
    device: DeviceLike = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal."""
    array = stream(generator).standard_normal(_shape(size), _float(dtype))
    return _finish(array, device, requires_grad)


def randint(
    low: int, high: Any = None, size: Sizes | None = None, *, generator: Generator | None = None,
    dtype: DTypeLike = None, device: DeviceLike = None,
) -> Tensor:  # fmt: skip
    """Integers from `low` (0 unless given) to `high` - 1: randint(high, size), as PyTorch's."""
    if size is None:
        low, high, size = 0, low, high
    try:
        low, high = operator.index(low), operator.index(high)
    except TypeError:
        raise TypeError(f"randint: expected integers, got low={low!r}, high={high!r}") from None
    if high <= low:
        raise RuntimeError(f"randint: expected low < high, got low={low} and high={high}")
    dtype = dtypes.as_dtype(dtype or np.int64)
    dtypes.check_range(low, high - 1, dtype)
    return _finish(stream(generator).integers(low, high, _shape(size)).astype(dtype), device)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = None,
    device: DeviceLike = None,
) -> Tensor:
    """0 ... n - 1 in random order."""
    (n,), dtype = _shape((n,)), dtypes.as_dtype(dtype or np.int64)
    dtypes.check_range(0, n - 1, dtype)
    return _finish(stream(generator).permutation(n).astype(dtype), device)


def rand_like(
    input: Tensor, *, dtype: DTypeLike = None, device: DeviceLike = None,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform on [0, 1), in the shape and dtype of `input`, on its device; options as in rand."""
    options = like(input, dtype, device)
    return rand(input.shape, generator=generator, requires_grad=requires_grad, **options)


def randn_like(
    input: Tensor, *, dtype: DTypeLike = None, device: DeviceLike = None,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal, in the shape and dtype of `input`, on its device; options as in randn."""
    options = like(input, dtype, device)
    return randn(input.shape, generator=generator, requires_grad=requires_grad, **options)


def _uniform_(self, a=0.0, b=1.0, *, generator=None):
    """Overwrite with numbers drawn uniformly from [a, b); returns self."""
    check_numbers(a=a, b=b)
    if not a <= b:
        raise RuntimeError(f"uniform_: expected a <= b, got a={a} and b={b}")
    return self.copy_(rand_like(self, generator=generator) * (b - a) + a)


def _normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Overwrite with normally distributed numbers; returns self."""
    check_numbers(mean=mean, std=std)
    if not std >= 0:
        raise RuntimeError(f"std: expected a number >= 0, got {std}")
    return self.copy_(randn_like(self, generator=generator) * std + mean)


Methods.uniform_, Methods.normal_ = _uniform_, _normal_  # type: ignore[method-assign]
