"""Every differentiable operation, once: how to call it and on what.

A case runs unchanged on PyTorch and on minigrad: `run(m, *inputs)` with `m` the library. The stored
outputs under reference/ and the live comparison, all dtypes, all memory layouts and the second
derivatives iterate over this one table.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Case:
    name: str
    run: Callable
    shapes: tuple = ((3, 4),)
    low: float = -2.0
    high: float = 2.0
    smooth: bool = True  # second derivatives are checked by finite differences
    values: list = field(default_factory=list)  # given instead of random

    def inputs(self) -> list[np.ndarray]:
        """float64 inputs, the same in every process."""
        if self.values:
            return [np.array(v, dtype=np.float64) for v in self.values]
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [rng.uniform(self.low, self.high, shape) for shape in self.shapes]

    def upstream(self, shape) -> np.ndarray:
        """A random gradient for the output."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()) + 1)
        return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def c(name, run, *shapes, **options):
    return Case(name, run, shapes or ((3, 4),), **options)


TIES = [[[0.0, -1.0, 1.0, 0.0], [2.0, 2.0, -0.0, 2.0], [-1.0, 0.5, 0.5, -1.0]]]
PAIR_TIES = [*TIES, [[0.0, 1.0, 1.0, -0.0], [2.0, 3.0, 0.0, 1.0], [-1.0, 0.5, -0.5, -1.0]]]
WITH_ZEROS = [[[0.0, 1.5, 2.0], [0.0, 0.0, 3.0], [1.0, -2.0, 0.5]]]

ELEMENTWISE = [
    c("add", lambda m, x, y: x + y, (3, 4), (4,)),
    c("add_alpha", lambda m, x, y: m.add(x, y, alpha=0.5), (3, 4), (3, 1)),
    c("add_number", lambda m, x: 2 + x + 1.5),
    c("sub", lambda m, x, y: x - y, (2, 1, 4), (3, 1)),
    c("sub_alpha", lambda m, x, y: m.sub(x, y, alpha=3), (3,), (3,)),
    c("rsub", lambda m, x: 2.5 - x),
    c("mul", lambda m, x, y: x * y, (3, 4), (1, 4)),
    c("mul_self", lambda m, x: x * x * 3),
    c("div", lambda m, x, y: x / y, (3, 4), (4,), low=0.5),
    c("rdiv", lambda m, x: 2 / x, low=0.5),
    c("remainder", lambda m, x, y: x % y, (3, 4), (3, 4), low=0.5, high=3.0),
    c("remainder_number", lambda m, x: x % 0.75),
    c("pow_2", lambda m, x: x**2),
    c("pow_3", lambda m, x: x**3.0),
    c("pow_0", lambda m, x: x**0 + x),
    c("pow_half", lambda m, x: m.pow(x, 0.5), low=0.5),
    c("pow_negative", lambda m, x: x**-2, low=0.5),
    c("pow_tensor", lambda m, x, y: x**y, (3, 4), (4,), low=0.5),
    c("rpow", lambda m, x: 2**x),
    c("pow_at_0", lambda m, x: x**2.0 + x**1, values=WITH_ZEROS, smooth=False),
    c("pow_tensor_at_0", lambda m, x, y: x**y, smooth=False,
      values=[[0.0, 0.0, 1.0, 2.0], [2.0, 0.0, 0.0, -1.0]]),
    c("neg", lambda m, x: -x),
    c("pos", lambda m, x: +x * 2),
    c("abs", lambda m, x: x.abs()),
    c("abs_ties", lambda m, x: abs(x), values=TIES, smooth=False),
    c("sign", lambda m, x: x.sign() * x),
    c("exp", lambda m, x: x.exp()),
    c("log", lambda m, x: m.log(x), low=0.1),
    c("log1p", lambda m, x: x.log1p(), low=-0.5),
    c("expm1", lambda m, x: m.expm1(x)),
    c("log2", lambda m, x: m.log2(x), low=0.1),
    c("sqrt", lambda m, x: x.sqrt(), low=0.1),
    c("rsqrt", lambda m, x: x.rsqrt(), low=0.1),
    c("square", lambda m, x: m.square(x)),
    c("reciprocal", lambda m, x: x.reciprocal(), low=0.3),
    c("sin", lambda m, x: x.sin()),
    c("cos", lambda m, x: m.cos(x)),
    c("tan", lambda m, x: m.tan(x), low=-1.2, high=1.2),
    c("tanh", lambda m, x: x.tanh()),
    c("sigmoid", lambda m, x: x.sigmoid(), low=-8, high=8),
    c("erf", lambda m, x: m.erf(x)),
    c("relu", lambda m, x: x.relu()),
    c("relu_ties", lambda m, x: m.relu(x), values=TIES, smooth=False),
    c("leaky_relu", lambda m, x: m.nn.functional.leaky_relu(x, 0.2)),
    c("leaky_relu_ties", lambda m, x: m.nn.functional.leaky_relu(x), values=TIES, smooth=False),
    c("elu", lambda m, x: m.nn.functional.elu(x, 1.5)),
    c("elu_ties", lambda m, x: m.nn.functional.elu(x), values=TIES, smooth=False),
    c("gelu", lambda m, x: m.nn.functional.gelu(x)),
    c("gelu_tanh", lambda m, x: m.nn.functional.gelu(x, approximate="tanh")),
    c("silu", lambda m, x: m.nn.functional.silu(x)),
    c("softplus", lambda m, x: m.nn.functional.softplus(x, 2.0, 3.0)),
    c("clamp", lambda m, x: x.clamp(-1, 0.75)),
    c("clamp_min", lambda m, x: m.clamp(x, min=0.0)),
    c("clamp_max", lambda m, x: x.clamp(max=1)),
    c("clamp_ties", lambda m, x: x.clamp(-1, 0.5), values=TIES, smooth=False),
    c("clamp_tensor_max", lambda m, x, hi: m.clamp(x, max=hi), (3, 4), (4,)),
    c("clamp_tensor_min", lambda m, x, lo: m.clamp(x, min=lo), (3, 4), (4,)),
    c("clamp_tensors", lambda m, x, lo, hi: m.clamp(x, lo, hi), (3, 4), (4,), (3, 1)),
    c("maximum", lambda m, x, y: m.maximum(x, y), (3, 4), (4,)),
    c("maximum_ties", lambda m, x, y: m.maximum(x, y), values=PAIR_TIES, smooth=False),
    c("minimum", lambda m, x, y: m.minimum(x, y), (3, 4), (3, 1)),
    c("minimum_ties", lambda m, x, y: m.minimum(x, y), values=PAIR_TIES, smooth=False),
    c("where", lambda m, x, y: m.where(x > 0.5, x, y * 2), (3, 4), (4,)),
    c("where_number", lambda m, x: m.where(x > 0, x * x, 0.0)),
    c("floor", lambda m, x: x.floor() * x),
    c("ceil", lambda m, x: x.ceil() * x),
    c("round", lambda m, x: x.round() * x),
    c("trunc", lambda m, x: x.trunc() * x),
    c("detach", lambda m, x: x.detach() * x, smooth=False),
    c("clone", lambda m, x: x.clone() * x),
    c("to_float64", lambda m, x: x.to(m.float64) * x),
]  # fmt: skip

REDUCTIONS = [
    c("sum", lambda m, x: x.sum()),
    c("sum_dim", lambda m, x: x.sum(1)),
    c("sum_dims", lambda m, x: x.sum(dim=(0, -1), keepdim=True), (2, 3, 4)),
    c("mean", lambda m, x: x.mean()),
    c("mean_dim", lambda m, x: m.mean(x, 0, keepdim=True)),
    c("mean_dims", lambda m, x: x.mean((0, 2)), (2, 3, 4)),
    c("prod", lambda m, x: x.prod()),
    c("prod_dim", lambda m, x: x.prod(1, True)),
    c("prod_zeros", lambda m, x: x.prod(1), values=WITH_ZEROS),
    c("prod_all_zeros", lambda m, x: x.prod(), values=[[0.0, 2.0, 3.0]]),
    c("amax", lambda m, x: x.amax(1)),
    c("amax_ties", lambda m, x: x.amax((0, 1)), values=TIES, smooth=False),
    c("amin", lambda m, x: m.amin(x, dim=0, keepdim=True)),
    c("amin_ties", lambda m, x: x.amin(1), values=TIES, smooth=False),
    c("max", lambda m, x: x.max()),
    c("max_ties", lambda m, x: x.max(), values=TIES, smooth=False),
    c("max_dim", lambda m, x: x.max(1).values),
    c("max_dim_ties", lambda m, x: x.max(dim=1, keepdim=True)[0], values=TIES, smooth=False),
    c("min", lambda m, x: m.min(x)),
    c("min_dim", lambda m, x: x.min(0)[0]),
    c("max_pair", lambda m, x, y: m.max(x, y), (3, 4), (3, 4)),
    c("var", lambda m, x: x.var()),
    c("var_dim", lambda m, x: x.var(1, unbiased=False)),
    c("var_correction", lambda m, x: m.var(x, dim=0, correction=2, keepdim=True), (4, 3)),
    c("std", lambda m, x: x.std()),
    c("std_dim", lambda m, x: x.std(dim=(0, 2), keepdim=True), (2, 3, 4)),
    c("std_of_equals", lambda m, x: x.std(1), values=[[[1.0, 1.0], [1.0, 3.0]]], smooth=False),
    c("logsumexp", lambda m, x: x.logsumexp(1)),
    c("logsumexp_dims", lambda m, x: m.logsumexp(x, (0, 1), keepdim=True)),
    c("softmax", lambda m, x: x.softmax(1)),
    c("softmax_0", lambda m, x: m.softmax(x, dim=0)),
    c("log_softmax", lambda m, x: x.log_softmax(-1)),
    c("cumsum", lambda m, x: x.cumsum(1)),
    c("cumsum_0", lambda m, x: m.cumsum(x, dim=0)),
    c("norm", lambda m, x: x.norm()),
    c("norm_dim", lambda m, x: x.norm(dim=1)),
    c("norm_1", lambda m, x: x.norm(1, dim=0, keepdim=True)),
    c("norm_3", lambda m, x: x.norm(p=3, dim=1)),
    c("norm_inf", lambda m, x: x.norm(float("inf"), dim=1)),
    c("norm_of_0", lambda m, x: x.norm(dim=1), values=[[[0.0, 0.0], [3.0, 4.0]]], smooth=False),
]

LINEAR_ALGEBRA = [
    c("matmul", lambda m, x, y: x @ y, (3, 4), (4, 5)),
    c("matmul_batch", lambda m, x, y: m.matmul(x, y), (2, 3, 4), (4, 5)),
    c("matmul_broadcast", lambda m, x, y: x @ y, (2, 1, 3, 4), (5, 4, 2)),
    c("matmul_vectors", lambda m, x, y: x @ y, (4,), (4,)),
    c("matmul_vector_matrix", lambda m, x, y: x @ y, (4,), (4, 3)),
    c("matmul_matrix_vector", lambda m, x, y: x @ y, (3, 4), (4,)),
    c("matmul_batch_vector", lambda m, x, y: x @ y, (2, 3, 4), (4,)),
    c("matmul_vector_batch", lambda m, x, y: x @ y, (3,), (2, 3, 4)),
    c("mm", lambda m, x, y: m.mm(x, y), (3, 4), (4, 5)),
    c("bmm", lambda m, x, y: x.bmm(y), (2, 3, 4), (2, 4, 5)),
    c("mv", lambda m, x, y: m.mv(x, y), (3, 4), (4,)),
    c("dot", lambda m, x, y: x.dot(y), (4,), (4,)),
    c("outer", lambda m, x, y: m.outer(x, y), (3,), (4,)),
    c("linear", lambda m, x, w, b: m.nn.functional.linear(x, w, b), (3, 4), (5, 4), (5,)),
    c("linear_3d", lambda m, x, w: m.nn.functional.linear(x, w), (2, 3, 4), (5, 4)),
    c("linear_1d", lambda m, x, w, b: m.nn.functional.linear(x, w, b), (4,), (5, 4), (5,)),
]

SHAPES = [
    c("reshape", lambda m, x: x.reshape(2, -1)),
    c("reshape_tuple", lambda m, x: m.reshape(x, (4, 3))),
    c("view", lambda m, x: x.contiguous().view(12) * 2),
    c("flatten", lambda m, x: x.flatten(1), (2, 3, 4)),
    c("squeeze", lambda m, x: x.squeeze(), (1, 3, 1)),
    c("squeeze_dim", lambda m, x: m.squeeze(x, 0), (1, 3, 1)),
    c("unsqueeze", lambda m, x: x.unsqueeze(-1)),
    c("transpose", lambda m, x: x.transpose(0, 1) * 2),
    c("permute", lambda m, x: x.permute(2, 0, 1), (2, 3, 4)),
    c("t", lambda m, x: x.t()),
    c("T", lambda m, x: x.T * 3),
    c("mT", lambda m, x: x.mT, (2, 3, 4)),
    c("expand", lambda m, x: x.expand(2, -1, 4), (3, 1)),
    c("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3, 4)), (3, 1)),
    c("repeat", lambda m, x: x.repeat(2, 1, 3)),
    c("tile", lambda m, x: m.tile(x, (2,))),
    c("cat", lambda m, x, y: m.cat([x, y], dim=1), (3, 4), (3, 2)),
    c("cat_three", lambda m, x, y: m.cat((x, y, x)), (3, 4), (2, 4)),
    c("stack", lambda m, x, y: m.stack([x, y], dim=-1), (3, 4), (3, 4)),
    c("split", lambda m, x: x.split(3, dim=1)[0] * x.split(3, dim=1)[1].sum()),
    c("split_sizes", lambda m, x: m.split(x, [1, 2])[1]),
    c("chunk", lambda m, x: x.chunk(3, dim=1)[0]),
    c("unbind", lambda m, x: x.unbind(1)[2]),
    c("iterate", lambda m, x: sum((row * i for i, row in enumerate(x)), 0 * x.sum())),
    c("flip", lambda m, x: x.flip(0, 1)),
    c("roll", lambda m, x: x.roll(2, 1)),
    c("roll_all", lambda m, x: m.roll(x, 5)),
    c("roll_dims", lambda m, x: x.roll((1, -1), (0, 1))),
    c("tril", lambda m, x: x.tril()),
    c("triu", lambda m, x: m.triu(x, 1)),
    c("narrow", lambda m, x: x.narrow(1, 1, 2)),
    c("contiguous", lambda m, x: x.t().contiguous() * 2),
]

MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])
INDEXING = [
    c("index_int", lambda m, x: x[1]),
    c("index_negative", lambda m, x: x[-1, 2]),
    c("index_slice", lambda m, x: x[:, 1:3]),
    c("index_step", lambda m, x: x[::2, ::3]),
    c("index_none", lambda m, x: x[None, :, None, 0]),
    c("index_ellipsis", lambda m, x: x[..., 0], (2, 3, 4)),
    c("index_mask", lambda m, x: x[m.tensor(MASK)]),
    c("index_own_mask", lambda m, x: x[x > 0]),
    c("index_row_mask", lambda m, x: x[m.tensor([True, False, True])]),
    c("index_list", lambda m, x: x[[0, 2, 0]]),
    c("index_tensor", lambda m, x: x[m.tensor([[0, 2], [0, 0]])]),
    c("index_two_tensors", lambda m, x: x[m.tensor([0, 2, 0]), m.tensor([1, 1, 1])]),
    c("index_mixed", lambda m, x: x[:, m.tensor([2, 0, 2])]),
    c("index_far_apart", lambda m, x: x[m.tensor([0, 1]), :, m.tensor([2, 3])], (2, 3, 4)),
    c("index_select", lambda m, x: x.index_select(1, m.tensor([0, 3, 0]))),
    c("gather", lambda m, x: x.gather(1, m.tensor([[0, 0], [3, 1], [2, 2]]))),
    c("take_along_dim", lambda m, x: m.take_along_dim(x, x.argmax(1, keepdim=True), dim=1)),
    c("masked_fill", lambda m, x: x.masked_fill(m.tensor(MASK), -3.0)),
    c("embedding", lambda m, w: m.nn.functional.embedding(
        m.tensor([[0, 2], [2, 1]]), w), (4, 3)),
    c("embedding_padding", lambda m, w: m.nn.functional.embedding(
        m.tensor([0, 2, 1, 2]), w, padding_idx=2), (4, 3), smooth=False),
]  # fmt: skip


def _assigned(m, x, index, value):
    y = x * 1
    y[index] = value
    return y


def _changed(m, x, change):
    y = x * 1
    change(y)
    return y * y


IN_PLACE = [
    c("assign_number", lambda m, x: _assigned(m, x, 1, 0.5) * x),
    c("assign_slice", lambda m, x, v: _assigned(m, x, (slice(None), slice(1, 3)), v),
      (3, 4), (3, 1)),
    c("assign_mask", lambda m, x: _assigned(m, x, x > 0, 2.0)),
    c("assign_rows", lambda m, x, v: _assigned(m, x, m.tensor([2, 0]), v), (3, 4), (2, 4)),
    c("iadd", lambda m, x, y: _changed(m, x, lambda t: t.add_(y)), (3, 4), (4,)),
    c("imul", lambda m, x, y: _changed(m, x, lambda t: t.mul_(y)), (3, 4), (3, 4)),
    c("exp_", lambda m, x: _changed(m, x, lambda t: t.exp_())),
    c("view_iadd", lambda m, x, y: _changed(m, x, lambda t: t[0].add_(y)), (3, 4), (4,)),
    c("view_imul", lambda m, x: _changed(m, x, lambda t: t.t()[1].mul_(3))),
    c("view_of_view", lambda m, x: _changed(
        m, x.contiguous(), lambda t: t[1:].view(-1)[::2].mul_(1.5))),
    c("view_seen_later", lambda m, x: _seen_later(m, x)),
    c("zero_", lambda m, x: _changed(m, x, lambda t: t[:, 0].zero_())),
    c("copy_", lambda m, x, y: _changed(m, x, lambda t: t[1:, :2].copy_(y)), (3, 4), (2,)),
]  # fmt: skip


def _seen_later(m, x):
    """A view taken before its base is changed shows the change, gradient included."""
    y = x * 1
    row = y[1]
    y.mul_(x)
    return row * row


LAYERS = [
    c("layer_norm", lambda m, x, w, b: m.nn.functional.layer_norm(x, (4,), w, b),
      (3, 4), (4,), (4,)),
    c("layer_norm_2", lambda m, x: m.nn.functional.layer_norm(x, (3, 4)), (2, 3, 4)),
    c("batch_norm", lambda m, x, w, b: m.nn.functional.batch_norm(
        x, None, None, w, b, training=True), (5, 3), (3,), (3,)),
    c("batch_norm_3d", lambda m, x: m.nn.functional.batch_norm(
        x, None, None, training=True), (2, 3, 4)),
    c("batch_norm_eval", lambda m, x: m.nn.functional.batch_norm(
        x, m.tensor([0.5, 0.0, -0.5], dtype=x.dtype), m.tensor([1.0, 2.0, 0.5], dtype=x.dtype)),
      (5, 3)),
    c("mlp", lambda m, x, w, v: (m.tanh(x @ w) @ v).log_softmax(1), (3, 4), (4, 5), (5, 2)),
]  # fmt: skip

CASES = [*ELEMENTWISE, *REDUCTIONS, *LINEAR_ALGEBRA, *SHAPES, *INDEXING, *IN_PLACE, *LAYERS]
