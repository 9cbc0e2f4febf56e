"""Written by tests/types/stubs.py from the table of operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, TypeAlias, overload

import numpy as np

from .dtypes import DTypeLike
from .functions import Extremes
from .random import Generator
from .tensor import Tensor

Bool: TypeAlias = bool  # names of which some are names of operations, too
Int: TypeAlias = int
Float: TypeAlias = float
Dims: TypeAlias = Int | Sequence[Int] | None
Operand: TypeAlias = Tensor | Float | np.ndarray | np.generic

class Methods:
    def __abs__(self) -> Tensor: ...
    def __add__(self, other: Operand) -> Tensor: ...
    def __and__(self, other: Operand) -> Tensor: ...
    def __eq__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __floordiv__(self, other: Operand) -> Tensor: ...
    def __ge__(self, other: Operand) -> Tensor: ...
    def __gt__(self, other: Operand) -> Tensor: ...
    def __iadd__(self, other: Operand) -> Self: ...
    def __iand__(self, other: Operand) -> Self: ...
    def __ifloordiv__(self, other: Operand) -> Self: ...
    def __imod__(self, other: Operand) -> Self: ...
    def __imul__(self, other: Operand) -> Self: ...
    def __invert__(self) -> Tensor: ...
    def __ior__(self, other: Operand) -> Self: ...
    def __ipow__(self, other: Operand) -> Self: ...
    def __isub__(self, other: Operand) -> Self: ...
    def __itruediv__(self, other: Operand) -> Self: ...
    def __ixor__(self, other: Operand) -> Self: ...
    def __le__(self, other: Operand) -> Tensor: ...
    def __lt__(self, other: Operand) -> Tensor: ...
    def __matmul__(self, other: Tensor | np.ndarray) -> Tensor: ...
    def __mod__(self, other: Operand) -> Tensor: ...
    def __mul__(self, other: Operand) -> Tensor: ...
    def __ne__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: Operand) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, other: Operand) -> Tensor: ...
    def __radd__(self, other: Operand) -> Tensor: ...
    def __rand__(self, other: Operand) -> Tensor: ...
    def __rfloordiv__(self, other: Operand) -> Tensor: ...
    def __rmatmul__(self, other: Tensor | np.ndarray) -> Tensor: ...
    def __rmod__(self, other: Operand) -> Tensor: ...
    def __rmul__(self, other: Operand) -> Tensor: ...
    def __ror__(self, other: Operand) -> Tensor: ...
    def __round__(self, decimals: Int = 0) -> Tensor: ...
    def __rpow__(self, other: Operand) -> Tensor: ...
    def __rsub__(self, other: Operand) -> Tensor: ...
    def __rtruediv__(self, other: Operand) -> Tensor: ...
    def __rxor__(self, other: Operand) -> Tensor: ...
    def __sub__(self, other: Operand) -> Tensor: ...
    def __truediv__(self, other: Operand) -> Tensor: ...
    def __xor__(self, other: Operand) -> Tensor: ...
    def abs(self) -> Tensor:
        """|input|; the slope at 0 is 0."""
    def abs_(self) -> Self:
        """In place: |input|; the slope at 0 is 0."""
    def absolute(self) -> Tensor:
        """|input|; the slope at 0 is 0."""
    def add(self, other: Operand, alpha: Float = 1) -> Tensor:
        """input + alpha * other."""
    def add_(self, other: Operand, alpha: Float = 1) -> Self:
        """In place: input + alpha * other."""
    def all(self, dim: Dims = None, keepdim: Bool = False) -> Tensor:
        """Whether all elements are nonzero."""
    def amax(self, dim: Dims = (), keepdim: Bool = False) -> Tensor:
        """The largest value, NaN if any is; ties share the gradient."""
    def amin(self, dim: Dims = (), keepdim: Bool = False) -> Tensor:
        """The smallest value, NaN if any is; ties share the gradient."""
    def any(self, dim: Dims = None, keepdim: Bool = False) -> Tensor:
        """Whether any element is nonzero."""
    def argmax(self, dim: Dims = None, keepdim: Bool = False) -> Tensor:
        """The position of the largest value (the first of ties, a NaN before all), int64."""
    def argmin(self, dim: Dims = None, keepdim: Bool = False) -> Tensor:
        """The position of the smallest value (the first of ties, a NaN before all), int64."""
    def bitwise_and(self, other: Operand) -> Tensor:
        """input & other, bools or integers."""
    def bitwise_and_(self, other: Operand) -> Self:
        """In place: input & other, bools or integers."""
    def bitwise_invert(self) -> Tensor:
        """~input, bools or integers."""
    def bitwise_not(self) -> Tensor:
        """~input, bools or integers."""
    def bitwise_not_(self) -> Self:
        """In place: ~input, bools or integers."""
    def bitwise_or(self, other: Operand) -> Tensor:
        """input | other, bools or integers."""
    def bitwise_or_(self, other: Operand) -> Self:
        """In place: input | other, bools or integers."""
    def bitwise_xor(self, other: Operand) -> Tensor:
        """input ^ other, bools or integers."""
    def bitwise_xor_(self, other: Operand) -> Self:
        """In place: input ^ other, bools or integers."""
    def bmm(self, other: Tensor) -> Tensor:
        """matmul for 3-d by 3-d tensors."""
    def bool(self) -> Tensor: ...
    def broadcast_to(self, size: Int | Sequence[Int]) -> Tensor:
        """Repeat along new or size-1 dimensions without copying."""
    def ceil(self) -> Tensor:
        """The smallest integer not below."""
    def ceil_(self) -> Self:
        """In place: The smallest integer not below."""
    def chunk(self, chunks: Int, dim: Int = 0) -> tuple[Tensor, ...]:
        """Split into at most `chunks` views of equal size (the last may be smaller)."""
    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
    def clamp_(self, min: Operand | None = None, max: Operand | None = None) -> Self:
        """In place: input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """input, but no less than `min` and no more than `max` (numbers, Tensors or None)."""
    def clone(self) -> Tensor:
        """A copy that stays in the graph."""
    def contiguous(self) -> Tensor:
        """The tensor itself if its memory is in row order, else a copy that is."""
    def cos(self) -> Tensor:
        """The cosine of an angle in radians."""
    def cos_(self) -> Self:
        """In place: The cosine of an angle in radians."""
    def cumsum(self, dim: Int, dtype: DTypeLike = None) -> Tensor:
        """The running sum along `dim`; integers and bools are summed as int64."""
    def div(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def div_(self, other: Operand, *, rounding_mode: str | None = None) -> Self:
        """In place: input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def divide(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def dot(self, other: Tensor) -> Tensor:
        """matmul for 1-d by 1-d tensors."""
    def double(self) -> Tensor: ...
    def eq(self, other: Operand) -> Tensor:
        """input == other."""
    def eq_(self, other: Operand) -> Self:
        """In place: input == other."""
    def erf(self) -> Tensor:
        """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to input."""
    def erf_(self) -> Self:
        """In place: The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to input."""
    def exp(self) -> Tensor:
        """e to the input."""
    def exp_(self) -> Self:
        """In place: e to the input."""
    def expand(self, *size: Int | Sequence[Int]) -> Tensor:
        """As broadcast_to; -1 keeps a dimension's size."""
    def expand_dims(self, dim: Dims) -> Tensor:
        """Insert a dimension of size 1 before `dim`."""
    def expm1(self) -> Tensor:
        """exp(input) - 1, accurate near 0."""
    def expm1_(self) -> Self:
        """In place: exp(input) - 1, accurate near 0."""
    def fix(self) -> Tensor:
        """The integer part."""
    def flatten(self, start_dim: Int = 0, end_dim: Int = -1) -> Tensor:
        """Merge the dimensions from start_dim to end_dim into one; the tensor itself if it is one."""
    def flip(self, *dims: Int | Sequence[Int]) -> Tensor:
        """Reverse the order along the given dimensions (a copy)."""
    def float(self) -> Tensor: ...
    def floor(self) -> Tensor:
        """The largest integer not above."""
    def floor_(self) -> Self:
        """In place: The largest integer not above."""
    def floor_divide(self, other: Operand) -> Tensor:
        """The quotient rounded towards minus infinity."""
    def floor_divide_(self, other: Operand) -> Self:
        """In place: The quotient rounded towards minus infinity."""
    def gather(self, dim: Int, index: Tensor) -> Tensor:
        """out[i][j] = input[index[i][j]][j] for dim 0, and so on; `index` may be smaller."""
    def ge(self, other: Operand) -> Tensor:
        """input >= other."""
    def ge_(self, other: Operand) -> Self:
        """In place: input >= other."""
    def getitem(self, index: Tensor) -> Tensor:
        """input[index]: ints, slices, None, Ellipsis, boolean masks, integer arrays."""
    def greater(self, other: Operand) -> Tensor:
        """input > other."""
    def greater_equal(self, other: Operand) -> Tensor:
        """input >= other."""
    def gt(self, other: Operand) -> Tensor:
        """input > other."""
    def gt_(self, other: Operand) -> Self:
        """In place: input > other."""
    def index_select(self, dim: Int, index: Tensor) -> Tensor:
        """The slices of `input` at the given positions along `dim`; `index` is 1-d int."""
    def int(self) -> Tensor: ...
    def invert(self) -> Tensor:
        """~input, bools or integers."""
    def isfinite(self) -> Tensor:
        """Is neither infinite nor NaN."""
    def isfinite_(self) -> Self:
        """In place: Is neither infinite nor NaN."""
    def isinf(self) -> Tensor:
        """Is plus or minus infinity."""
    def isinf_(self) -> Self:
        """In place: Is plus or minus infinity."""
    def isnan(self) -> Tensor:
        """Is NaN."""
    def isnan_(self) -> Self:
        """In place: Is NaN."""
    def le(self, other: Operand) -> Tensor:
        """input <= other."""
    def le_(self, other: Operand) -> Self:
        """In place: input <= other."""
    def less(self, other: Operand) -> Tensor:
        """input < other."""
    def less_equal(self, other: Operand) -> Tensor:
        """input <= other."""
    def log(self) -> Tensor:
        """The natural logarithm; -inf at 0, NaN below."""
    def log1p(self) -> Tensor:
        """log(1 + input), accurate near 0."""
    def log1p_(self) -> Self:
        """In place: log(1 + input), accurate near 0."""
    def log2(self) -> Tensor:
        """The logarithm to base 2."""
    def log2_(self) -> Self:
        """In place: The logarithm to base 2."""
    def log_(self) -> Self:
        """In place: The natural logarithm; -inf at 0, NaN below."""
    def log_softmax(self, dim: Dims, dtype: DTypeLike = None) -> Tensor:
        """log(softmax(input)) along `dim`, without overflow or cancellation."""
    def logical_and(self, other: Operand) -> Tensor:
        """Both are nonzero."""
    def logical_and_(self, other: Operand) -> Self:
        """In place: Both are nonzero."""
    def logical_not(self) -> Tensor:
        """Is zero."""
    def logical_not_(self) -> Self:
        """In place: Is zero."""
    def logical_or(self, other: Operand) -> Tensor:
        """At least one is nonzero."""
    def logical_or_(self, other: Operand) -> Self:
        """In place: At least one is nonzero."""
    def logical_xor(self, other: Operand) -> Tensor:
        """Just one is nonzero."""
    def logical_xor_(self, other: Operand) -> Self:
        """In place: Just one is nonzero."""
    def logsumexp(self, dim: Dims, keepdim: Bool = False) -> Tensor:
        """log(sum(exp(input))) without overflow."""
    def long(self) -> Tensor: ...
    def lt(self, other: Operand) -> Tensor:
        """input < other."""
    def lt_(self, other: Operand) -> Self:
        """In place: input < other."""
    def masked_fill(self, mask: Tensor, value: Operand) -> Tensor:
        """`input` with `value` (a number or 0-d tensor) where `mask`."""
    def masked_fill_(self, mask: Tensor, value: Operand) -> Self:
        """In place: `input` with `value` (a number or 0-d tensor) where `mask`."""
    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product; vectors count as a row or a column, leading dimensions broadcast."""
    @overload
    def max(self) -> Tensor: ...
    @overload
    def max(self, dim: Int, keepdim: Bool = ...) -> Extremes: ...
    @overload
    def max(self, dim: Tensor) -> Tensor:
        """max(x): the largest value. max(x, dim): (values, indices). max(x, y): as maximum."""
    def maximum(self, other: Operand) -> Tensor:
        """The larger of the two, NaN if either is; a tie sends half the gradient to each."""
    def maximum_(self, other: Operand) -> Self:
        """In place: The larger of the two, NaN if either is; a tie sends half the gradient to each."""
    def mean(self, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
        """The arithmetic mean of floats; NaN of nothing."""
    @overload
    def min(self) -> Tensor: ...
    @overload
    def min(self, dim: Int, keepdim: Bool = ...) -> Extremes: ...
    @overload
    def min(self, dim: Tensor) -> Tensor:
        """min(x): the smallest value. min(x, dim): (values, indices). min(x, y): as minimum."""
    def minimum(self, other: Operand) -> Tensor:
        """The smaller of the two, NaN if either is; a tie sends half the gradient to each."""
    def minimum_(self, other: Operand) -> Self:
        """In place: The smaller of the two, NaN if either is; a tie sends half the gradient to each."""
    def mm(self, other: Tensor) -> Tensor:
        """matmul for 2-d by 2-d tensors."""
    def mod(self, other: Operand) -> Tensor:
        """input - floor(input / other) * other: the sign follows `other`, as Python's %."""
    def mul(self, other: Operand) -> Tensor:
        """input * other."""
    def mul_(self, other: Operand) -> Self:
        """In place: input * other."""
    def multiply(self, other: Operand) -> Tensor:
        """input * other."""
    def mv(self, other: Tensor) -> Tensor:
        """matmul for 2-d by 1-d tensors."""
    def narrow(self, dim: Int, start: Int, length: Int) -> Tensor:
        """The part from `start` of the given length along `dim`, a view."""
    def ne(self, other: Operand) -> Tensor:
        """input != other."""
    def ne_(self, other: Operand) -> Self:
        """In place: input != other."""
    def neg(self) -> Tensor:
        """-input."""
    def neg_(self) -> Self:
        """In place: -input."""
    def negative(self) -> Tensor:
        """-input."""
    def norm(self, p: Float | str = 'fro', dim: Dims = None, keepdim: Bool = False) -> Tensor:
        """(sum |input|^p)^(1/p): p is a number, inf, -inf or "fro" (2, over all of `dim`)."""
    def normal_(self, mean: Float = 0.0, std: Float = 1.0, *, generator: Generator | None = None) -> Self:
        """Overwrite with normally distributed numbers; returns self."""
    def not_equal(self, other: Operand) -> Tensor:
        """input != other."""
    def outer(self, vec2: Tensor) -> Tensor:
        """The products of every pair of elements of two vectors."""
    def permute(self, *dims: Int | Sequence[Int]) -> Tensor:
        """Reorder the dimensions."""
    def permute_dims(self, *dims: Dims) -> Tensor:
        """Reorder the dimensions."""
    def pow(self, exponent: Operand) -> Tensor:
        """input ** exponent."""
    def pow_(self, exponent: Operand) -> Self:
        """In place: input ** exponent."""
    def power(self, exponent: Operand) -> Tensor:
        """input ** exponent."""
    def prod(self, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
        """The product; integers and bools are multiplied as int64."""
    def reciprocal(self) -> Tensor:
        """1 / input."""
    def reciprocal_(self) -> Self:
        """In place: 1 / input."""
    def relu(self) -> Tensor:
        """max(input, 0); the slope at 0 is 0."""
    def relu_(self) -> Self:
        """In place: max(input, 0); the slope at 0 is 0."""
    def remainder(self, other: Operand) -> Tensor:
        """input - floor(input / other) * other: the sign follows `other`, as Python's %."""
    def remainder_(self, other: Operand) -> Self:
        """In place: input - floor(input / other) * other: the sign follows `other`, as Python's %."""
    def repeat(self, *repeats: Int | Sequence[Int]) -> Tensor:
        """Copies of the tensor along each dimension (NumPy's tile)."""
    def reshape(self, *shape: Int | Sequence[Int]) -> Tensor:
        """The same elements in another shape; one size may be -1. A view where possible."""
    def rint(self, decimals: Int = 0) -> Tensor:
        """The nearest number with so many decimals; halves go to the even neighbour."""
    def roll(self, shifts: Int | Sequence[Int], dims: Dims = None) -> Tensor:
        """Shift the elements along `dims` (or all of them, flattened), around the end."""
    def round(self, decimals: Int = 0) -> Tensor:
        """The nearest number with so many decimals; halves go to the even neighbour."""
    def round_(self, decimals: Int = 0) -> Self:
        """In place: The nearest number with so many decimals; halves go to the even neighbour."""
    def rsqrt(self) -> Tensor:
        """1 / sqrt(input)."""
    def rsqrt_(self) -> Self:
        """In place: 1 / sqrt(input)."""
    def short(self) -> Tensor: ...
    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-input)); exact limits at ±inf."""
    def sigmoid_(self) -> Self:
        """In place: 1 / (1 + exp(-input)); exact limits at ±inf."""
    def sign(self) -> Tensor:
        """-1, 0 or 1."""
    def sign_(self) -> Self:
        """In place: -1, 0 or 1."""
    def sin(self) -> Tensor:
        """The sine of an angle in radians."""
    def sin_(self) -> Self:
        """In place: The sine of an angle in radians."""
    def softmax(self, dim: Dims, dtype: DTypeLike = None) -> Tensor:
        """exp(input) / sum(exp(input)) along `dim`."""
    def split(self, split_size_or_sections: Int | Sequence[Int], dim: Int = 0) -> tuple[Tensor, ...]:
        """Views of consecutive parts: of a given size, or of the sizes in a list."""
    def sqrt(self) -> Tensor:
        """The square root; NaN below 0."""
    def sqrt_(self) -> Self:
        """In place: The square root; NaN below 0."""
    def square(self) -> Tensor:
        """input²."""
    def square_(self) -> Self:
        """In place: input²."""
    def squeeze(self, dim: Dims = None) -> Tensor:
        """Drop the dimensions of size 1: all, one or several."""
    def std(self, dim: Dims | Bool = None, unbiased: Bool | None = None, keepdim: Bool = False, *, correction: Int | None = None) -> Tensor:
        """The standard deviation, from the variance with divisor n - correction (1 unless given)."""
    def sub(self, other: Operand, alpha: Float = 1) -> Tensor:
        """input - alpha * other."""
    def sub_(self, other: Operand, alpha: Float = 1) -> Self:
        """In place: input - alpha * other."""
    def subtract(self, other: Operand, alpha: Float = 1) -> Tensor:
        """input - alpha * other."""
    def sum(self, dim: Dims = None, keepdim: Bool = False, dtype: DTypeLike = None) -> Tensor:
        """The sum; integers and bools are summed as int64."""
    def swapaxes(self, axis0: Int, axis1: Int) -> Tensor:
        """NumPy's name for transpose."""
    def t(self) -> Tensor:
        """The transpose of a matrix; vectors and numbers are returned as they are."""
    def take_along_axis(self, indices: Tensor, dim: Dims = None) -> Tensor:
        """Elements picked along `dim` by `indices`, broadcast against `input` elsewhere."""
    def take_along_dim(self, indices: Tensor, dim: Dims = None) -> Tensor:
        """Elements picked along `dim` by `indices`, broadcast against `input` elsewhere."""
    def tan(self) -> Tensor:
        """The tangent of an angle in radians."""
    def tan_(self) -> Self:
        """In place: The tangent of an angle in radians."""
    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
    def tanh_(self) -> Self:
        """In place: The hyperbolic tangent."""
    def tile(self, *dims: Int | Sequence[Int]) -> Tensor:
        """As repeat, with 1 filled in for missing leading dimensions."""
    def transpose(self, dim0: Int, dim1: Int) -> Tensor:
        """Swap two dimensions."""
    def tril(self, diagonal: Int = 0) -> Tensor:
        """The lower triangle of a matrix (or batch of them), the rest 0."""
    def triu(self, diagonal: Int = 0) -> Tensor:
        """The upper triangle of a matrix (or batch of them), the rest 0."""
    def true_divide(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """input / other; rounding_mode "floor" or "trunc" rounds the quotient and keeps integers."""
    def trunc(self) -> Tensor:
        """The integer part."""
    def trunc_(self) -> Self:
        """In place: The integer part."""
    def unbind(self, dim: Int = 0) -> tuple[Tensor, ...]:
        """The slices along `dim`, as a tuple of views."""
    def uniform_(self, a: Float = 0.0, b: Float = 1.0, *, generator: Generator | None = None) -> Self:
        """Overwrite with numbers drawn uniformly from [a, b); returns self."""
    def unsqueeze(self, dim: Int) -> Tensor:
        """Insert a dimension of size 1 before `dim`."""
    def var(self, dim: Dims | Bool = None, unbiased: Bool | None = None, keepdim: Bool = False, *, correction: Int | None = None) -> Tensor:
        """The variance, divided by n - correction (1 unless given)."""
    def view(self, *shape: Int | Sequence[Int]) -> Tensor:
        """As reshape, but never a copy: RuntimeError where the layout would need one."""
