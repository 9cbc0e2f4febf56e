"""Changes of what a backward pass will read: indices, masks, targets, weights, saved tensors.

A program sums up terms, changes tensors in place between them and between backward passes, in every
way that is counted (.data is not); PyTorch says which backward passes raise, and what others give.
"""

from types import SimpleNamespace

import numpy as np

import minigrad as mg
from minigrad.generated import define

NEEDS_TORCH = True
SHORT = 200
ERRORS = (RuntimeError, IndexError, ValueError, TypeError)

# Terms, by what they read besides the leaves E (5, 3) and x (4, 3). `h` is x * 1.0, which keeps
# nothing; idx, cls (4,), at (4, 3), cols (2,): ints; mask (4, 3): bools; t, p, pw (4, 3): floats.
TERMS = [
    "v.E[v.idx]", "v.E[v.idx, 1]", "v.E[v.idx, v.idx % 3]", "v.E[:, v.cols]", "v.E[v.i0]",
    "v.E[v.idx.tolist()]", "v.E[v.idx[1:]]", "v.E[v.idx.detach()]", "v.E[None, v.idx]",
    "F.embedding(v.idx, v.E)", "F.embedding(v.idx, v.E, padding_idx=1)",
    "v.E.index_select(0, v.idx)", "v.h.index_select(1, v.cols)", "v.h.gather(0, v.at)",
    "v.h.gather(1, v.at % 3)", "m.take_along_dim(v.h, v.at * 1, 0)",
    "m.where(v.mask, v.h, v.t)", "m.where(v.mask, v.h, v.E[:4])", "v.h.masked_fill(v.mask, 2.0)",
    "v.x * v.t", "v.x / v.t", "v.x ** v.p", "v.x @ v.square", "v.x * v.s",
    "m.maximum(v.x, v.t)", "v.x * v.x", "v.x.exp()", "v.h.relu()", "v.x.clamp(-0.5, 0.5)",
    "v.x.sum() * v.t", "m.matmul(v.t.t(), v.x)", "F.linear(v.x, v.square, v.v)",
    "F.mse_loss(v.x, v.t, reduction='none')", "F.mse_loss(v.x, v.t)", "F.l1_loss(v.h * 1, v.t * 1)",
    "F.smooth_l1_loss(v.x, v.t)", "F.huber_loss(v.x, v.t, reduction='sum')",
    "F.binary_cross_entropy(v.x.sigmoid(), v.p)",
    "F.binary_cross_entropy(v.x.sigmoid(), v.p, weight=v.pw)",
    "F.binary_cross_entropy_with_logits(v.x, v.p)",
    "F.binary_cross_entropy_with_logits(v.x, v.p, weight=v.pw)",
    "F.binary_cross_entropy_with_logits(v.x, v.p, pos_weight=v.w)",
    "F.binary_cross_entropy_with_logits(v.x, v.p, weight=v.pw, pos_weight=v.w, reduction='sum')",
    "F.cross_entropy(v.h, v.cls)", "F.cross_entropy(v.h, v.cls, weight=v.w)",
    "F.cross_entropy(v.h, v.cls, reduction='none', label_smoothing=0.1)",
    "F.cross_entropy(v.h, v.cls, weight=v.w, reduction='sum', ignore_index=2)",
    "F.nll_loss(F.log_softmax(v.h, 1), v.cls)", "F.nll_loss(F.log_softmax(v.h, 1), v.cls, v.w)",
    "v.h.softmax(1) * v.w", "m.addcmul(v.h, v.t, v.p) if hasattr(m, 'addcmul') else v.h",
]  # fmt: skip
PUT = ["v.h = v.h.clone(); v.h[{i}] = v.E[0]", "v.h = v.h.clone(); v.h[{i}] = 0.5"]
INTS = ["idx", "cls", "cols", "i0", "at"]
FLOATS = ["t", "p", "w", "v", "pw", "square", "s"]
CHANGES = [
    "v.{n}.fill_({k})", "v.{n}.zero_()", "v.{n}.copy_(v.{n}.clone())", "v.{n}[...] = {k}",
    "v.{n}.detach().fill_({k})", "v.{n}.view(-1)[:1].fill_({k})", "v.{n}.reshape(-1)[0] = {k}",
    "v.{n} += 0", "v.{n}.mul_(1)", "v.{n}.t().fill_({k})" , "v.{n}.unsqueeze(0).zero_()",
    "v.{n} = v.{n} * 1", "v.{n} = v.{n}.clone().fill_({k})",
]  # fmt: skip
LEAF_CHANGES = [
    "v.{n}.add_(1.0)", "v.{n}[0] = 0.5", "v.{n}.detach().mul_(2.0)",
    "m.nn.init.constant_(v.{n}, 0.5)", "v.step(m, [v.{n}])",
    "m.nn.utils.clip_grad_norm_([v.{n}], 0.1)",
    "v.{n}.grad is None or m.nn.utils.clip_grad_value_([v.{n}], 0.1)",
    "v.{n}.grad = None",
]  # fmt: skip
BACKWARDS = [
    "v.total.backward(retain_graph=True)", "v.total.backward(retain_graph=True)",
    "v.total.backward()",
    "v.total = m.autograd.grad(v.total, v.x, create_graph=True)[0].square().sum() + v.total",
    "m.autograd.grad(v.total, v.E, retain_graph=True)[0]",
]  # fmt: skip


def _step(m, parameters):
    m.optim.SGD(parameters, lr=0.1).step()


def attempt(draw):
    import torch

    rng = np.random.default_rng(draw.randrange(2**32))
    arrays = _arrays(rng)
    ours, theirs = _names(mg, arrays), _names(torch, arrays)
    text = []
    for _ in range(draw.randint(4, 12)):
        text.append(_statement(draw))
        found, expected = (
            _run(library, v, text[-1]) for library, v in ((mg, ours), (torch, theirs))
        )
        _check(found[0] == expected[0], text, f"{found} instead of {expected}")
        if found[0] != "fine" or text[-1] == "v.total.backward()":
            break  # what can run once more differs: README's table
    for name in ("x", "E"):
        got, want = getattr(ours, name).grad, getattr(theirs, name).grad
        _check((got is None) == (want is None), text, f"{name}.grad: {got} instead of {want}")
        if got is not None:
            near = np.allclose(got.numpy(), want.detach().numpy(), 1e-9, 1e-9, equal_nan=True)
            _check(near, text, f"{name}.grad: {got} instead of {want}")


def _arrays(rng):
    floats = {
        "E": (5, 3), "x": (4, 3), "t": (4, 3), "w": (3,), "v": (3,), "square": (3, 3), "s": (),
    }  # fmt: skip
    drawn = {name: rng.normal(0, 1, shape) for name, shape in floats.items()}
    drawn["w"] = np.abs(drawn["w"])
    drawn |= {"p": rng.random((4, 3)), "pw": rng.random((4, 3)), "mask": rng.random((4, 3)) < 0.5}
    shapes = {"idx": (4,), "cls": (4,), "cols": (2,), "i0": (), "at": (4, 3)}
    return drawn | {name: np.asarray(rng.integers(0, 3, n)) for name, n in shapes.items()}


def _names(library, arrays):
    v = SimpleNamespace(**{name: library.tensor(a.copy()) for name, a in arrays.items()})
    v.x.requires_grad_()
    v.E.requires_grad_()
    v.h, v.total, v.step = v.x * 1.0, (v.x * 0.0).sum() + (v.E * 0.0).sum(), _step
    return v


def _statement(draw):
    kind = draw.choices(["term", "change", "leaf", "put", "back"], [6, 5, 2, 1, 3])[0]
    if kind == "term":
        return f"v.total = v.total + {draw.randint(1, 3)} * ({draw.choice(TERMS)}).sum()"
    if kind == "change":
        name = draw.choice([*INTS, *INTS, *FLOATS, "mask"])
        k = {"mask": draw.choice([True, False])}.get(name, draw.choice([0, 1, 2]))
        return draw.choice(CHANGES).format(n=name, k=k)
    if kind == "leaf":
        return "with m.no_grad(): " + draw.choice(LEAF_CHANGES).format(n=draw.choice(["x", "E"]))
    if kind == "put":
        return draw.choice(PUT).format(
            i=draw.choice(["v.mask", "v.i0", "v.idx[:1]", "v.i0, v.cols[:1]"])
        )
    return draw.choice(BACKWARDS)


def _run(library, v, statement):
    function = define("statement", f"def statement(m, F, v):\n    {statement}\n", {})
    try:
        function(library, library.nn.functional, v)
    except ERRORS as error:
        return type(error).__name__, str(error)
    return "fine", ""


def _check(holds, text, problem):
    assert holds, "\n".join([*text, "", problem])
