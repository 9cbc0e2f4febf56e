"""Written by tests/types/stubs.py from the table of operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, overload

import numpy as np

from .dtypes import DTypeLike
from .tensor import Tensor

Bool: TypeAlias = bool  # names of which some are names of operations, too
Int: TypeAlias = int
Float: TypeAlias = float
Dims: TypeAlias = Int | Sequence[Int] | None
Operand: TypeAlias = Tensor | Float | np.ndarray | np.generic

class Extremes(NamedTuple):
    values: Tensor
    indices: Tensor

def abs(input: Tensor) -> Tensor:
    """|input|; the slope at 0 is 0."""
def absolute(input: Tensor) -> Tensor:
    """|input|; the slope at 0 is 0."""
def add(input: Operand, other: Operand, alpha: Float = 1) -> Tensor:
    """input + alpha * other."""
def all(input: Tensor, dim: Dims = None, keepdim: Bool = False) -> Tensor:
    """Whether all elements are nonzero."""
def amax(input: Tensor, dim: Dims = (), keepdim: Bool = False) -> Tensor:
    """The largest value, NaN if any is; ties share the gradient."""
def amin(input: Tensor, dim: Dims = (), keepdim: Bool = False) -> Tensor:
    """The smallest value, NaN if any is; ties share the gradient."""
def any(input: Tensor, dim: Dims = None, keepdim: Bool = False) -> Tensor:
    """Whether any element is nonzero."""
def argmax(input: Tensor, dim: Dims = None, keepdim: Bool = False) -> Tensor:
    """The position of the largest value (the first of ties, a NaN before all), int64."""
def argmin(input: Tensor, dim: Dims = None, keepdim: Bool = False) -> Tensor:
    """The position of the smallest value (the first of ties, a NaN before all), int64."""
def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """input & other, bools or integers."""
def bitwise_invert(input: Tensor) -> Tensor:
    """~input, bools or integers."""
def bitwise_not(input: Tensor) -> Tensor:
    """~input, bools or integers."""
def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """input | other, bools or integers."""
def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """input ^ other, bools or integers."""
def bmm(input: Tensor, other: Tensor) -> Tensor:
    """matmul for 3-d by 3-d tensors."""
def broadcast_to(input: Tensor, size: Int | Sequence[Int]) -> Tensor:
    """Repeat along new or size-1 dimensions without copying."""
def cat(tensors: Sequence[Tensor], dim: Int = 0) -> Tensor:
    """Join tensors along an existing dimension."""
def ceil(input: Tensor) -> Tensor:
    """The smallest integer not below."""
def chunk(input: Tensor, chunks: Int, dim: Int = 0) -> tuple[Tensor, ...]:
    """Split into at most `chunks` views of equal size (the last may be smaller)."""
def clamp(input: Operand, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
def clip(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
def clone(input: Tensor) -> Tensor:
    """A copy that stays in the graph."""
def concat(tensors: Sequence[Tensor], dim: Dims = 0) -> Tensor:
    """Join tensors along an existing dimension."""
def concatenate(tensors: Sequence[Tensor], dim: Dims = 0) -> Tensor:
    """Join tensors along an existing dimension."""
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if its memory is in row order, else a copy that is."""
def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians."""
def cumsum(input: Tensor, dim: Int, dtype: DTypeLike = None) -> Tensor:
    """The running sum along `dim`; integers and bools are summed as int64."""
def div(input: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
def divide(input: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
def dot(input: Tensor, other: Tensor) -> Tensor:
    """matmul for 1-d by 1-d tensors."""
def eq(input: Operand, other: Operand) -> Tensor:
    """input == other."""
def erf(input: Tensor) -> Tensor:
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to input."""
def exp(input: Tensor) -> Tensor:
    """e to the input."""
def expand(input: Tensor, *size: Int | Sequence[Int]) -> Tensor:
    """As broadcast_to; -1 keeps a dimension's size."""
def expand_dims(input: Tensor, dim: Dims) -> Tensor:
    """Insert a dimension of size 1 before `dim`."""
def expm1(input: Tensor) -> Tensor:
    """exp(input) - 1, accurate near 0."""
def fix(input: Tensor) -> Tensor:
    """The integer part."""
def flatten(input: Tensor, start_dim: Int = 0, end_dim: Int = -1) -> Tensor:
    """Merge the dimensions from start_dim to end_dim into one; the tensor itself if it is one."""
def flip(input: Tensor, *dims: Int | Sequence[Int]) -> Tensor:
    """Reverse the order along the given dimensions (a copy)."""
def floor(input: Tensor) -> Tensor:
    """The largest integer not above."""
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """The quotient rounded towards minus infinity."""
def gather(input: Tensor, dim: Int, index: Tensor) -> Tensor:
    """out[i][j] = input[index[i][j]][j] for dim 0, and so on; `index` may be smaller."""
def ge(input: Operand, other: Operand) -> Tensor:
    """input >= other."""
def getitem(input: Tensor, index: Tensor) -> Tensor:
    """input[index]: ints, slices, None, Ellipsis, boolean masks, integer arrays."""
def greater(input: Tensor, other: Operand) -> Tensor:
    """input > other."""
def greater_equal(input: Tensor, other: Operand) -> Tensor:
    """input >= other."""
def gt(input: Operand, other: Operand) -> Tensor:
    """input > other."""
def index_select(input: Tensor, dim: Int, index: Tensor) -> Tensor:
    """The slices of `input` at the given positions along `dim`; `index` is 1-d int."""
def invert(input: Tensor) -> Tensor:
    """~input, bools or integers."""
def isfinite(input: Tensor) -> Tensor:
    """Is neither infinite nor NaN."""
def isinf(input: Tensor) -> Tensor:
    """Is plus or minus infinity."""
def isnan(input: Tensor) -> Tensor:
    """Is NaN."""
def le(input: Operand, other: Operand) -> Tensor:
    """input <= other."""
def less(input: Tensor, other: Operand) -> Tensor:
    """input < other."""
def less_equal(input: Tensor, other: Operand) -> Tensor:
    """input <= other."""
def log(input: Tensor) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below."""
def log1p(input: Tensor) -> Tensor:
    """log(1 + input), accurate near 0."""
def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2."""
def log_softmax(input: Tensor, dim: Dims, dtype: DTypeLike = None) -> Tensor:
    """log(softmax(input)) along `dim`, without overflow or cancellation."""
def logical_and(input: Operand, other: Operand) -> Tensor:
    """Both are nonzero."""
def logical_not(input: Tensor) -> Tensor:
    """Is zero."""
def logical_or(input: Operand, other: Operand) -> Tensor:
    """At least one is nonzero."""
def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Just one is nonzero."""
def logsumexp(input: Tensor, dim: Dims, keepdim: Bool = False) -> Tensor:
    """log(sum(exp(input))) without overflow."""
def lt(input: Operand, other: Operand) -> Tensor:
    """input < other."""
def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """`input` with `value` (a number or 0-d tensor) where `mask`."""
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; vectors count as a row or a column, leading dimensions broadcast."""
@overload
def max(input: Tensor) -> Tensor: ...
@overload
def max(input: Tensor, dim: Int, keepdim: Bool = ...) -> Extremes: ...
@overload
def max(input: Tensor, dim: Tensor) -> Tensor:
    """max(x): the largest value. max(x, dim): (values, indices). max(x, y): as maximum."""
def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of the two, NaN if either is; a tie sends half the gradient to each."""
def mean(input: Tensor, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
    """The arithmetic mean of floats; NaN of nothing."""
@overload
def min(input: Tensor) -> Tensor: ...
@overload
def min(input: Tensor, dim: Int, keepdim: Bool = ...) -> Extremes: ...
@overload
def min(input: Tensor, dim: Tensor) -> Tensor:
    """min(x): the smallest value. min(x, dim): (values, indices). min(x, y): as minimum."""
def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of the two, NaN if either is; a tie sends half the gradient to each."""
def mm(input: Tensor, other: Tensor) -> Tensor:
    """matmul for 2-d by 2-d tensors."""
def mod(input: Tensor, other: Operand) -> Tensor:
    """input - floor(input / other) * other: the sign follows `other`, as Python's %."""
def mul(input: Operand, other: Operand) -> Tensor:
    """input * other."""
def multiply(input: Tensor, other: Operand) -> Tensor:
    """input * other."""
def mv(input: Tensor, other: Tensor) -> Tensor:
    """matmul for 2-d by 1-d tensors."""
def narrow(input: Tensor, dim: Int, start: Int, length: Int) -> Tensor:
    """The part from `start` of the given length along `dim`, a view."""
def ne(input: Operand, other: Operand) -> Tensor:
    """input != other."""
def neg(input: Tensor) -> Tensor:
    """-input."""
def negative(input: Tensor) -> Tensor:
    """-input."""
def norm(input: Tensor, p: Float | str = 'fro', dim: Dims = None, keepdim: Bool = False) -> Tensor:
    """(sum |input|^p)^(1/p): p is a number, inf, -inf or "fro" (2, over all of `dim`)."""
def not_equal(input: Tensor, other: Operand) -> Tensor:
    """input != other."""
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of every pair of elements of two vectors."""
def permute(input: Tensor, *dims: Int | Sequence[Int]) -> Tensor:
    """Reorder the dimensions."""
def permute_dims(input: Tensor, *dims: Dims) -> Tensor:
    """Reorder the dimensions."""
def pow(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent."""
def power(input: Tensor, exponent: Operand) -> Tensor:
    """input ** exponent."""
def prod(input: Tensor, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
    """The product; integers and bools are multiplied as int64."""
def reciprocal(input: Tensor) -> Tensor:
    """1 / input."""
def relu(input: Tensor) -> Tensor:
    """max(input, 0); the slope at 0 is 0."""
def remainder(input: Operand, other: Operand) -> Tensor:
    """input - floor(input / other) * other: the sign follows `other`, as Python's %."""
def repeat(input: Tensor, *repeats: Int | Sequence[Int]) -> Tensor:
    """Copies of the tensor along each dimension (NumPy's tile)."""
def reshape(input: Tensor, *shape: Int | Sequence[Int]) -> Tensor:
    """The same elements in another shape; one size may be -1. A view where possible."""
def rint(input: Tensor, decimals: Int = 0) -> Tensor:
    """The nearest number with so many decimals; halves go to the even neighbour."""
def roll(input: Tensor, shifts: Int | Sequence[Int], dims: Dims = None) -> Tensor:
    """Shift the elements along `dims` (or all of them, flattened), around the end."""
def round(input: Tensor, decimals: Int = 0) -> Tensor:
    """The nearest number with so many decimals; halves go to the even neighbour."""
def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(input)."""
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)); exact limits at ±inf."""
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians."""
def softmax(input: Tensor, dim: Dims, dtype: DTypeLike = None) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`."""
def split(tensor: Tensor, split_size_or_sections: Int | Sequence[Int], dim: Int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts: of a given size, or of the sizes in a list."""
def sqrt(input: Tensor) -> Tensor:
    """The square root; NaN below 0."""
def square(input: Tensor) -> Tensor:
    """input²."""
def squeeze(input: Tensor, dim: Dims = None) -> Tensor:
    """Drop the dimensions of size 1: all, one or several."""
def stack(tensors: Sequence[Tensor], dim: Int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension."""
def std(input: Tensor, dim: Dims | Bool = None, unbiased: Bool | None = None, keepdim: Bool = False, *, correction: Int | None = None) -> Tensor:
    """The standard deviation, from the variance with divisor n - correction (1 unless given)."""
def sub(input: Operand, other: Operand, alpha: Float = 1) -> Tensor:
    """input - alpha * other."""
def subtract(input: Tensor, other: Operand, alpha: Float = 1) -> Tensor:
    """input - alpha * other."""
def sum(input: Tensor, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
    """The sum; integers and bools are summed as int64."""
def swapaxes(input: Tensor, axis0: Int, axis1: Int) -> Tensor:
    """NumPy's name for transpose."""
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers are returned as they are."""
def take_along_axis(input: Tensor, indices: Tensor, dim: Dims = None) -> Tensor:
    """Elements picked along `dim` by `indices`, broadcast against `input` elsewhere."""
def take_along_dim(input: Tensor, indices: Tensor, dim: Dims = None) -> Tensor:
    """Elements picked along `dim` by `indices`, broadcast against `input` elsewhere."""
def tan(input: Tensor) -> Tensor:
    """The tangent of an angle in radians."""
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
def tile(input: Tensor, *dims: Int | Sequence[Int]) -> Tensor:
    """As repeat, with 1 filled in for missing leading dimensions."""
def transpose(input: Tensor, dim0: Int, dim1: Int) -> Tensor:
    """Swap two dimensions."""
def tril(input: Tensor, diagonal: Int = 0) -> Tensor:
    """The lower triangle of a matrix (or batch of them), the rest 0."""
def triu(input: Tensor, diagonal: Int = 0) -> Tensor:
    """The upper triangle of a matrix (or batch of them), the rest 0."""
def true_divide(input: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
def trunc(input: Tensor) -> Tensor:
    """The integer part."""
def unbind(input: Tensor, dim: Int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, as a tuple of views."""
def unsqueeze(input: Tensor, dim: Int) -> Tensor:
    """Insert a dimension of size 1 before `dim`."""
def var(input: Tensor, dim: Dims | Bool = None, unbiased: Bool | None = None, keepdim: Bool = False, *, correction: Int | None = None) -> Tensor:
    """The variance, divided by n - correction (1 unless given)."""
def view(input: Tensor, *shape: Int | Sequence[Int]) -> Tensor:
    """As reshape, but never a copy: RuntimeError where the layout would need one."""
def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """input where condition, else other."""
