"""The operations that random programs are made of, as PyTorch and minigrad both write them."""

from __future__ import annotations

import random
import re

# Of one tensor.
OF_ONE = [
    "x.relu()", "x.abs()", "x.sign()", "x.exp()", "x.log()", "x.log1p()", "x.expm1()", "x.log2()",
    "x.sqrt()", "x.rsqrt()", "x.square()", "x.reciprocal()", "x.sin()", "x.cos()", "x.tan()",
    "x.tanh()", "x.sigmoid()", "m.erf(x)", "x.floor()", "x.ceil()", "x.trunc()", "x.round()", "-x",
    "x**2", "x**3", "x**0", "x**1", "x**0.5", "x**-1", "2**x", "0**x", "x**2.0", "x+1", "2-x",
    "x*3", "x/2", "2/x", "x%2", "x.clamp(-1, 1)", "x.clamp(min=0)", "x.clamp(max=0.5)",
    "m.where(x > 0, x, -x)", "m.where(x > 0, x.sqrt(), x*0)", "F.leaky_relu(x)",
    "F.leaky_relu(x, 0.2)", "F.elu(x)", "F.elu(x, 1.5)", "F.gelu(x)",
    "F.gelu(x, approximate='tanh')", "F.silu(x)", "F.softplus(x)", "F.softplus(x, 2.0, 1.0)",
    "F.dropout(x, 0.5, False)", "x.sum()", "x.sum(0)", "x.sum(-1)", "x.sum(dim=(), keepdim=True)",
    "x.sum(0, keepdim=True)", "x.sum(dtype=m.float64)", "x.sum(dtype=m.float32)", "x.mean()",
    "x.mean(0)", "x.mean(-1, keepdim=True)", "x.mean(dtype=m.float64)",
    "x.mean(0, dtype=m.float64)", "x.prod()", "x.prod(0)", "x.prod(-1, keepdim=True)",
    "x.prod(dtype=m.float64)", "x.amax()", "x.amax(0)", "x.amin(-1)", "x.amax(dim=())", "x.max()",
    "x.min()", "x.max(0).values", "x.min(-1)[0]", "x.max(0, keepdim=True)[0]", "x.var()",
    "x.var(0)", "x.std()", "x.std(-1)", "x.var(unbiased=False)", "x.std(0, unbiased=False)",
    "x.std(correction=0)", "x.logsumexp(0)", "x.logsumexp(-1)", "x.logsumexp(-1, keepdim=True)",
    "x.softmax(0)", "x.softmax(-1)", "x.log_softmax(0)", "x.log_softmax(-1)",
    "x.softmax(-1, dtype=m.float64)", "x.log_softmax(-1, dtype=m.float64)", "x.cumsum(0)",
    "x.cumsum(-1)", "x.cumsum(0, dtype=m.float64)", "x.norm()", "x.norm(1)", "x.norm(2)",
    "x.norm(3)", "x.norm(0)", "x.norm(0.5)", "x.norm(float('inf'))", "x.norm(float('-inf'))",
    "x.norm(-1)", "x.norm(1, 0)", "x.norm(2, 0)", "x.norm(3, -1)", "x.norm(float('inf'), 0, True)",
    "x.norm(dim=0)", "x.norm(0, 0)", "x.norm(-2,-1)", "x.norm(1.5)", "x.reshape(-1)",
    "x.flatten()", "x.unsqueeze(0)", "x.unsqueeze(-1)", "x.squeeze()", "x.squeeze(0)",
    "x.transpose(0, -1)", "x.t()", "x.expand(2, *x.shape)", "x.broadcast_to((2, *x.shape))",
    "x.repeat(2, *(1,) * x.ndim)", "x.tile((2,))", "x.flip(0)", "x.flip(())", "x.roll(1)",
    "x.roll(1, 0)", "x.tril()", "x.triu()", "x.contiguous()", "x.clone()", "x.narrow(0, 0, 1)",
    "x.split(1)[0]", "x.chunk(2)[0]", "x.unbind()[0]", "m.stack(x.unbind())", "x[...]", "x[None]",
    "x[0]", "x[-1:]", "x[:0]", "x[..., 0]", "x[x > 0]", "x[[]]", "x[m.tensor(True)]",
    "x[m.tensor(False)]", "x[()]", "x[m.zeros(2, dtype=m.int64)]",
    "x.index_select(0, m.tensor([0]))", "x.gather(0, m.zeros(x.shape, dtype=m.int64))",
    "m.take_along_dim(x, x.argmax(-1, keepdim=True), -1)", "x.masked_fill(x > 0, 0.5)",
    "m.cat([x, x])", "m.cat([x, x], -1)", "m.stack([x, x])", "m.stack([x, x], -1)", "x.double()",
    "x.float()", "x.to(m.float64)", "x.type(m.float32)", "x.detach()", "x.double().float()",
    "x.float().double()", "F.layer_norm(x, x.shape[-1:])",

    "x.view(-1)", "x.view(x.shape)", "m.outer(x, x)", "x @ x", "m.dot(x, x)",
]  # fmt: skip

# Whose results are no floats: last lines.
NO_FLOATS = [
    "F.one_hot((x > 0).long(), 2)", "x.argmax()", "x.argmin(0)", "x.isnan()", "x > 0",
    "(x > 0).any()", "(x > 0).all(0)", "x.long()",
]  # fmt: skip

# Of two, whose dtypes may differ.
OF_TWO = [
    "x + y", "x - y", "x * y", "x / y", "x ** y", "x % y", "m.maximum(x, y)", "m.minimum(x, y)",
    "m.where(x > y, x, y)", "m.where(x > 0, y, 0.0)", "m.clamp(x, max=y)", "m.clamp(x, min=y)",
    "m.clamp(x, y, y + 1)", "m.add(x, y, alpha=2)", "m.sub(x, y, alpha=0.5)",
    "m.div(x, y, rounding_mode='floor')", "m.div(x, y, rounding_mode='trunc')", "m.max(x, y)",
    "m.min(x, y)", "m.cat([x, y])", "m.cat([x, y], -1)", "m.stack([x, y])", "m.matmul(x, y)",
    "x.mv(y)", "m.bmm(x,y)", "m.mm(x,y)", "m.dot(x,y)", "m.outer(x, y)", "F.linear(x, y)",
    "F.linear(x, y.reshape(1, -1), y.sum(0))", "x.type_as(y)", "F.embedding((y > 0).long(), x)",
    "F.embedding((y > 0).long(), x, padding_idx=0)", "m.gather(x, 0, (y > 2).long())", "x[y > 0]",
    "x.masked_fill(y > 0, 1.0)", "m.take_along_dim(x, (y > 2).long(), -1)",
]  # fmt: skip

CLASSES = "(y.reshape(x.shape[0], -1)[:, 0] > 0).long()"
# Losses; R is a reduction. PyTorch refuses two dtypes in some, which README tells of.
LOSSES = [
    "F.mse_loss(x, y, reduction=R)", "F.l1_loss(x, y, reduction=R)",
    "F.smooth_l1_loss(x, y, reduction=R)", "F.smooth_l1_loss(x, y, reduction=R, beta=0.5)",
    "F.smooth_l1_loss(x, y, reduction=R, beta=0.0)", "F.huber_loss(x, y.to(x.dtype), reduction=R)",
    "F.huber_loss(x, y.to(x.dtype), reduction=R, delta=0.5)",
    "F.binary_cross_entropy(x.sigmoid(), y.sigmoid().to(x.dtype), reduction=R)",
    "F.binary_cross_entropy_with_logits(x, y.to(x.dtype), reduction=R)",
    "F.binary_cross_entropy_with_logits(x, y.to(x.dtype), reduction=R, pos_weight=m.tensor(2.0))",
    "F.binary_cross_entropy(x.sigmoid(), y.sigmoid().to(x.dtype), x.exp().detach(), reduction=R)",
    "F.binary_cross_entropy_with_logits(x, y.to(x.dtype), x.exp().detach(), reduction=R)",
    "F.cross_entropy(x, y.softmax(-1), reduction=R)",
    "F.cross_entropy(x, y.softmax(-1), reduction=R, label_smoothing=0.25)",
    "F.cross_entropy(x, {classes}, reduction=R)",
    "F.cross_entropy(x, {classes}, reduction=R, ignore_index=0)",
    "F.cross_entropy(x, {classes}, reduction=R, label_smoothing=0.25)",
    "F.nll_loss(x, {classes}, reduction=R)",
    "F.nll_loss(x, {classes}, reduction=R, ignore_index=0)",
    "F.cross_entropy(x, {classes} * 0 - 100, reduction=R)",
    "F.nll_loss(x, {classes} * 0 - 100, reduction=R)",
    "F.cross_entropy(x, m.tensor(0), reduction=R)", "F.nll_loss(x, m.tensor(0), reduction=R)",
    "F.poisson_nll_loss(x, y.to(x.dtype), reduction=R)",
    "F.poisson_nll_loss(x, y.to(x.dtype), full=True, reduction=R)",
    "F.poisson_nll_loss(x, y.to(x.dtype), log_input=False, reduction=R)",
]  # fmt: skip


def lines(draw: random.Random, inputs: list[str], count: int) -> list[str]:
    """A program of `count` lines, each of what was there before it; the last may be a loss."""
    made, names = [], list(inputs)
    for k in range(count):
        lists = [OF_ONE, OF_TWO, OF_ONE, OF_TWO, LOSSES, LOSSES + NO_FLOATS]
        form = draw.choice(draw.choice(lists if k == count - 1 else lists[:2]))
        form = form.replace("R)", draw.choice(["'none')", "'mean')", "'sum')"]))
        form = form.replace("R,", draw.choice(["'none',", "'mean',", "'sum',"]))
        form = form.replace("{classes}", CLASSES)
        operands = {"x": draw.choice(names[-2:]), "y": draw.choice(names)}
        line = re.sub(r"\b[xy]\b", lambda hit, of=operands: of[hit[0]], form)
        made.append(f"v{k} = {line}")
        names.append(f"v{k}")
    return made
