"""How shapes and dimensions may be spelled, and PyTorch's errors for what NumPy complains of."""

import operator

import numpy as np

from ..dtypes import name_of


def sizes(shape) -> tuple:
    """Shapes and dims may be spelled f(2, 3) or f((2, 3)); either gives (2, 3)."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def many(x) -> tuple:
    """One int or several as a tuple."""
    return (x,) if isinstance(x, int) else tuple(x)


def at_dim(dim, rank) -> int:
    """`dim` counted from 0, IndexError unless -rank <= dim < rank; a number has a dimension 0."""
    rank = max(rank, 1)
    if not isinstance(dim, int | np.integer):
        dim = _integer(dim)
    if not -rank <= dim < rank:
        limits = f"expected to be in range of [{-rank}, {rank - 1}]"
        raise IndexError(f"Dimension out of range ({limits}, but got {dim})")
    return dim % rank


def _integer(dim):
    try:
        return operator.index(dim)
    except TypeError:
        raise TypeError(f"dim: expected an integer, got {name_of(dim)}") from None


def as_pytorch(operation, arrays, error) -> Exception:
    """NumPy's complaint about a call as the exception that PyTorch raises for it."""
    shapes = ", ".join(str(x.shape) for x in arrays if hasattr(x, "dtype"))
    if isinstance(error, np.exceptions.AxisError):
        n = max(error.ndim or 0, 1)
        return IndexError(
            f"{operation.name}(): Dimension out of range (expected to be in range of [{-n}, "
            f"{n - 1}], but got {error.axis})"
        )
    if isinstance(error, TypeError) and str(error).startswith("ufunc"):
        kinds = ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in arrays)
        return RuntimeError(f"{operation.name}(): not implemented for {kinds}")
    kind: type[Exception] = TypeError if isinstance(error, TypeError) else RuntimeError
    if str(error) == "slice step cannot be zero":
        kind = ValueError
    return kind(f"{operation.name}(): {error}; got shapes {shapes}")
