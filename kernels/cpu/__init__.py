"""The kernels on the CPU: what the host calls, on NumPy's arrays.

A loss's values and slopes come from its rule (kernels/losses), which `binding` puts into a loop
(pointwise.py, cross_entropy.py) for the arrays' float type; Numba compiles what comes out, once for
one thread and once for many (threads.py).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from ..locks import free_at_forks
from . import cross_entropy, elementwise, memory, pointwise, sums

PARALLEL = 32768  # elements from which waking threads (1-3 µs) is worth it

Results = tuple[float, np.ndarray | None, np.ndarray | None]  # total, values, slopes


# --- kernels ------------------------------------------------------------------------------------


@cache
def kernel(
    loop: Callable, rule: Callable | None, dtype: np.dtype, parallel: bool = False, *classes: int
) -> Callable:
    """`loop` compiled with `rule` and the float type `dtype`, for many threads or for one.

    classes: how many, for a loop that is compiled for one number of them.
    """
    with _making:
        binding, threads = _with_numba()
        if parallel:
            return threads.shared_kernel(loop, rule, dtype, *classes)
        return binding.kernel(loop, rule, dtype, False, *classes)


@cache
def kernel_alone(function: Callable) -> Callable:
    """A function that needs no rule and no float type, compiled; see binding.kernel_alone."""
    with _making:
        return _with_numba()[0].kernel_alone(function)


def _with_numba() -> tuple[ModuleType, ModuleType]:
    """With the first kernel, not before: `import minigrad` takes a third without Numba."""
    try:
        from . import binding, threads
    except (RuntimeError, ValueError) as error:  # it reads its environment variables
        raise ImportError(f"Numba does not start, see the NUMBA_ variables: {error}") from error
    return binding, threads


# Threads that ask for one kernel at once get the same one: each would compile its own for seconds.
_making = free_at_forks(threading.RLock())


# --- arrays as kernels take them ----------------------------------------------------------------


class _Alias:
    """Read-only memory as the kind of array that loops are compiled for, which write to none."""

    def __init__(self, array: np.ndarray):
        pointer = array.__array_interface__["data"][0]
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (pointer, False)}


def contiguous(array: Any) -> Any:
    """The array, or a copy, in row order, aligned and of the writable kind; what is none, as it is.

    Or loops would be compiled for every layout of every input, at a second each.
    """
    if type(array) is not np.ndarray or array.flags.carray:
        return array
    array = np.require(array, requirements=["C", "A"])
    return array if array.flags.writeable else np.asarray(_Alias(array))


def flat(array: Any) -> Any:
    """The same in one dimension."""
    if type(array) is not np.ndarray:
        return array
    return (array if array.flags.carray else contiguous(array)).ravel()


# --- losses -------------------------------------------------------------------------------------


def run_pointwise(
    loss: Any, x: np.ndarray, y: np.ndarray, parameter: Any = 0.0, upstream: Any = None,
    value: bool = False, count: float = 1.0,
) -> Results:  # fmt: skip
    """One pass of a pointwise loss over arrays x, y of one shape and float dtype.

    loss: a module of kernels/losses, or what else has a rule; parameter: a number, a tuple of
    numbers or an array of that shape, as the rule takes it; upstream: a number, such an array, or
    None for no gradient; value: whether to return the values one by one. Returns their sum / count
    (float), the values or None, and upstream / count * slope or None: a mean's, where count is how
    many values there are.
    """
    run = kernel(pointwise.pointwise, loss.rule, x.dtype, x.size >= PARALLEL)
    if type(parameter) is tuple:
        parameter = tuple(map(x.dtype.type, parameter))
    values = memory.empty_like(x) if value else None
    slopes = None if upstream is None else memory.empty_like(x)
    up = 0.0 if upstream is None else upstream / count
    total = run(flat(x), flat(y), flat(parameter), flat(up), flat(values), flat(slopes))
    return total / count, values, slopes


def run_classes(
    loss: Any, x: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore: int,
    upstream: Any = None, value: bool = False, count: float = 1.0,
) -> Results:  # fmt: skip
    """One pass of cross-entropy over x (n, C) and class indices target (n,) int64.

    The indices are checked before, by count_classes; the rest as in run_pointwise.
    """
    few = 0 < x.shape[1] <= cross_entropy.FEW
    loop = cross_entropy.few_classes if few else cross_entropy.class_rows
    return _run_rows(loop, loss, x, (target, weight, ignore), upstream, value, count)


def run_weights(
    loss: Any, x: np.ndarray, t: np.ndarray, keep: np.ndarray | None, upstream: Any = None,
    value: bool = False, count: float = 1.0,
) -> Results:  # fmt: skip
    """One pass of cross-entropy over x (n, C) and class weights t (n, C); see weight_rows."""
    return _run_rows(cross_entropy.weight_rows, loss, x, (t, keep), upstream, value, count)


def _run_rows(loop, loss, x, given, upstream, value, count):
    parallel, classes = x.size >= PARALLEL and len(x) > 1, x.shape[1:]
    classes = classes if loop is cross_entropy.few_classes else ()
    run = kernel(loop, loss.rule, x.dtype, parallel, *classes)
    values = np.empty(len(x), x.dtype) if value else None
    slopes = None if upstream is None else memory.empty_like(x)
    up = 0.0 if upstream is None else contiguous(upstream / count)
    total = run(contiguous(x), *map(contiguous, given), up, values, slopes)
    return total / count, values, slopes


def count_classes(
    target: np.ndarray, weight: np.ndarray | None, classes: int, ignore: int
) -> float:
    """The weight of the targets (n,) int64 that are not ignored, NaN if there are none.

    Raises IndexError(position) for a class outside [0, classes).
    """
    run = kernel(cross_entropy.count_classes, None, np.dtype("float64"))
    bad, count = run(contiguous(target), contiguous(weight), classes, ignore)
    if bad >= 0:
        raise IndexError(bad)
    return count or math.nan  # the mean of nothing: smoothing must not make it infinite


# --- sums ---------------------------------------------------------------------------------------


def run_sum(
    x: np.ndarray, axes: tuple[int, ...], keepdims: bool = False, dtype: Any = None,
    divisor: float = 1.0, center: Any = None,
) -> np.ndarray:  # fmt: skip
    """The sum of floats x, of any shape and strides, over `axes` (0 ... ndim - 1) / divisor.

    With center, a number or an array of float64 that has length 1 along `axes`: the sum of
    (x - center)². Computed in float64, and rounded once, to dtype (x's unless given).
    """
    n, m, shape, one_run = _sizes(x.shape, axes, keepdims)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if n == 1 and divisor == 1 and center is None:  # a batch of one: nothing to add
        return np.asarray(x).reshape(shape).astype(dtype, "C")
    if not one_run or not x.flags.c_contiguous:
        return _run_by_run(x, axes, dtype, divisor, center).reshape(shape)
    out = np.empty(shape, dtype)
    _sum_middle(x, n, m, center, divisor, out)
    return out


def _sum_middle(x, n, m, center, divisor, out):
    run = kernel(sums.axis_sums, None, x.dtype, x.size >= PARALLEL)
    x = x.ravel() if x.flags.carray else flat(np.asarray(x))  # NumPy may reduce to a number
    run(x, n, m, center if center is None else flat(center), divisor, out.ravel())


@lru_cache(4096)
def _sizes(shape, axes, keepdims):
    """Of an array and the axes to be summed: n and m if it is seen as (a, n, m), the sum's shape,
    and whether they are neighbours, so that it can be seen like this."""
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")  # as NumPy says it
    kept = tuple([1 if i in axes else k for i, k in enumerate(shape) if keepdims or i not in axes])
    wide = [i for i, k in enumerate(shape) if k != 1]
    summed = [place for place, i in enumerate(wide) if i in axes]
    last = wide[summed[-1]] if summed else -1
    n = math.prod([k for i, k in enumerate(shape) if i in axes])
    one_run = not summed or summed[-1] - summed[0] == len(summed) - 1
    return n, math.prod(shape[last + 1 :]), kept, one_run


def _run_by_run(x, axes, dtype, divisor, center):
    """The sum where axes are not neighbours, or x not in row order; keeps the axes, of length 1."""
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    # What is broadcast is looked at once.
    again = [n > 1 and stride == 0 for n, stride in zip(x.shape, x.strides, strict=True)]
    divisor /= math.prod([n for i, n in enumerate(x.shape) if again[i] and i in axes])
    once = tuple([slice(0, 1) if repeated else slice(None) for repeated in again])
    # The axes in the order of memory, in which a transposed array is in row order.
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    x = contiguous(x[once].transpose(order))
    if isinstance(center, np.ndarray):
        center = center[once].transpose(order)
    sizes, summed = list(x.shape), [i in axes for i in order]
    while True:  # the last run of axes first, which is read in the order of memory
        end = max((i + 1 for i, n in enumerate(sizes) if summed[i] and n != 1), default=0)
        begin = end
        while begin and (summed[begin - 1] or sizes[begin - 1] == 1):
            begin -= 1
        n, m = math.prod(sizes[begin:end]), math.prod(sizes[end:])
        sizes[begin:end] = [1] * (end - begin)
        last = not any(n != 1 and is_summed for n, is_summed in zip(sizes, summed, strict=True))
        if isinstance(center, np.ndarray):
            center = np.broadcast_to(center, sizes)
        out = np.empty(sizes, dtype if last else np.float64)
        _sum_middle(x, n, m, center, divisor if last else 1.0, out)
        if last:
            break
        x, center = out, None
    out = out.transpose(np.argsort(order)) if order else out
    return out if list(out.shape) == shape else np.broadcast_to(out, shape).copy()


# --- other work ---------------------------------------------------------------------------------


def run_zero_below(g: np.ndarray, out: np.ndarray) -> np.ndarray:
    """g where out > 0 or NaN, else 0: the slope of a ReLU. Arrays of one shape and float dtype."""
    run = kernel(elementwise.zero_below, None, g.dtype, g.size // 8 >= PARALLEL)
    slopes = memory.empty_like(g)
    run(flat(g), flat(out), slopes.ravel())
    return slopes


def run_erf(x: np.ndarray) -> np.ndarray:
    """The error function of an array of any shape."""
    out = memory.empty_like(x)
    kernel(elementwise.erf, None, x.dtype)(flat(x), flat(out))
    return out


def bind_update(
    rule: Callable, p: np.ndarray, states: Sequence[np.ndarray | None]
) -> Callable[[np.ndarray, tuple[float, ...]], None]:
    """A function step(g, numbers) that updates p and its states (contiguous, or None) in place."""
    # Cheap per element, and next to matrix products, whose threads still hold the cores: a step of
    # 128 x 784-1024-10 took 8 ms where PyTorch had set how long OpenMP's threads wait, now 4.
    run = kernel(elementwise.update, rule, p.dtype, p.size // 256 >= PARALLEL)
    rows = [p.dtype.type(0) if s is None else s.reshape(-1) for s in states]
    row = p.reshape(-1)

    def step(g, numbers):
        run(row, g.ravel(), *rows, numbers)

    def step_copy(g, numbers):
        copy = p.reshape(-1)
        run(copy, g.ravel(), *rows, numbers)
        p[...] = copy.reshape(p.shape)

    return step if p.flags.c_contiguous else step_copy


def add_at(out: np.ndarray, index: Any, values: Any) -> None:
    """out[index] += values, in order; repeated positions add up."""
    np.add.at(out, index, values)
