"""What a Tensor knows without the graph: its array's shape, dtype, device and numbers."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import devices
from .devices import device, on_gpu
from .kernels import backend
from .methods import Methods
from .tape import refuse

if TYPE_CHECKING:
    from .tensor import Tensor


class Size(tuple[int, ...]):
    """A shape."""

    def __repr__(self) -> str:
        return f"minigrad.Size({list(self)})"

    def numel(self) -> int:
        """How many elements an array of this shape has."""
        return int(np.prod(self, dtype=np.int64))


class ArrayHolder(Methods):
    """The base class of Tensor: `array` is NumPy's or, on a GPU, CuPy's."""

    __slots__ = ("array",)

    array: Any

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or its size at `dim`."""
        return self.shape if dim is None else self.array.shape[dim]

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        """How many dimensions there are."""
        return self.array.ndim

    ndimension = dim

    def numel(self) -> int:
        """How many elements there are."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Elements of memory from one position to the next, of every dimension or of `dim`."""
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Whether the memory is in row order."""
        return self.array.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self.array.dtype.kind == "f"

    @property
    def device(self) -> device:
        """Where the tensor lives: device("cpu") or device("cuda:0")."""
        return devices.of(self.array)

    @property
    def is_cuda(self) -> bool:
        return on_gpu(self.array)

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return self.permute(tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        if self.ndim < 2:
            raise RuntimeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D"
            )
        return self.transpose(-1, -2)

    # --- numbers ------------------------------------------------------------------------------

    def _value(self):
        """The array, for those who look at its numbers: a replay could not repeat that."""
        refuse(
            "it reads the value of a tensor (item, tolist, numpy, bool, float, int, print); return "
            "the tensor and read it afterwards"
        )
        if type(self.array) is not np.ndarray:
            backend(self.array).check()  # that it was computed from classes in range
        return self.array

    def _one_value(self, error: type[Exception], problem: str) -> Any:
        """The one element as a Python number."""
        if self.array.size != 1:
            raise error(problem)
        return self._value().item()

    def item(self) -> Any:
        """The one element as a Python number."""
        count = self.array.size
        problem = f"a Tensor with {count} elements cannot be converted to Scalar"
        return self._one_value(RuntimeError, problem)

    def tolist(self) -> Any:
        """The elements as nested lists of Python's numbers; of a number, that."""
        return self._value().tolist()

    def __bool__(self) -> bool:
        several = "more than one value" if self.array.size else "no values"
        problem = f"Boolean value of Tensor with {several} is ambiguous"
        return bool(self._one_value(RuntimeError, problem))

    def __float__(self) -> float:
        problem = "only one element tensors can be converted to Python scalars"
        return float(self._one_value(ValueError, problem))

    def __int__(self) -> int:
        problem = "only one element tensors can be converted to Python scalars"
        return int(self._one_value(ValueError, problem))

    def __index__(self) -> int:
        problem = "only integer tensors of a single element can be converted to an index"
        if self.array.dtype.kind == "f":
            raise TypeError(problem)
        return int(self._one_value(TypeError, problem))

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return sys.modules[__package__]

    def __dlpack_device__(self) -> tuple:
        return self.array.__dlpack_device__()
