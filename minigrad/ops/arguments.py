"""How shapes and dimensions may be spelled, and PyTorch's errors for what NumPy complains of."""

import operator

import numpy as np

from ..dtypes import name_of


def sizes(shape) -> tuple:
    """Shapes and dims may be spelled f(2, 3) or f((2, 3)); either gives (2, 3)."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def many(x) -> tuple:
    """One int or several as a tuple."""
    return (x,) if isinstance(x, (int, np.integer)) else tuple(x)


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


# What a forward may raise of arguments that do not go together, or are not what they should be.
FAULTS = (ValueError, TypeError, OverflowError, KeyError, AttributeError)
INTEGERS, NUMBER = (int, np.integer), (int, float, np.integer, np.floating)
# What an argument of that name is, in any operation: looked at when one has failed.
WANTED = {
    **dict.fromkeys(("alpha", "negative_slope", "beta", "threshold", "correction"), "a number"),
    **dict.fromkeys(("keepdim", "unbiased"), "a bool"),
    **dict.fromkeys(("dim0", "dim1", "axis0", "axis1", "start_dim", "end_dim"), "an integer"),
    **dict.fromkeys(("start", "length", "chunks", "diagonal", "decimals"), "an integer"),
    **dict.fromkeys(("dim", "dims", "shape", "size", "new"), "an integer or several"),
    **dict.fromkeys(("repeats", "shifts", "split_size_or_sections"), "an integer or several"),
    "tensors": "Tensors in a tuple or list",
    "dtype": "a dtype",
}


def _is(wanted, x):
    if wanted == "Tensors in a tuple or list":
        return isinstance(x, (tuple, list)) and all(hasattr(part, "shape") for part in x)
    if wanted == "a dtype":
        return isinstance(x, (str, type, np.dtype))
    if wanted == "an integer or several" and isinstance(x, (tuple, list)):
        return all(_is(wanted, part) for part in x)
    kinds = {"a number": NUMBER, "a bool": (bool, np.bool_)}.get(wanted, INTEGERS)
    return isinstance(x, kinds) or (hasattr(x, "array") and not x.ndim)


def misfit(name: str, given: dict) -> TypeError | None:
    """Why a call with these arguments by name cannot be right, if one is none of what is WANTED;
    None goes where the others are right: for most it is the default."""
    for key, x in sorted(given.items(), key=lambda item: item[1] is None):
        wanted = WANTED.get(key)
        if wanted is not None and not _is(wanted, x):
            return TypeError(f"{name}(): {key}: expected {wanted}, got {kinds([x])}")
    return None


def kinds(values) -> str:
    """The types of values, and of what a list holds, for a message."""
    lists = (list, tuple)
    return ", ".join(f"[{kinds(x)}]" if isinstance(x, lists) else type(x).__name__ for x in values)


def as_pytorch(operation, arrays, options, error) -> Exception:
    """NumPy's complaint about a call as the exception that PyTorch raises for it."""
    if not isinstance(error, ValueError):
        if isinstance(error, TypeError) and str(error).startswith("dim: expected"):  # at_dim's own
            return TypeError(f"{operation.name}(): {error}")
        wrong = misfit(operation.name, dict(zip(operation.options, options, strict=True)))
        if wrong is not None or not isinstance(error, TypeError):
            return wrong or error
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
