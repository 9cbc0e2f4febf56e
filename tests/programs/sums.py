"""Sums over any axes of any layout, and what is made of them, against sums in extended precision.

A float32 result may be off by one rounding and by what a float64 accumulator loses; a float64 one
by a few roundings of the largest running sum, however many terms there are. Threads change no bit.
"""

import contextlib

import numpy as np

import minigrad as mg
from minigrad.kernels import cpu

SHORT = 120
F = mg.nn.functional
EXACT = np.longdouble


def attempt(draw):
    with np.errstate(all="ignore"):
        x, layout = _array(draw)
        name = draw.choice(sorted(PROGRAMS))
        dim = _dims(draw, x.ndim)
        keepdim = draw.random() < 0.5
        options, run, bound = PROGRAMS[name](draw, x, dim, keepdim)
        text = f"{name} of {layout}, dim {dim}, keepdim {keepdim}, {options}"
        got = run()
        want, allowed = bound()
        assert got.dtype == x.dtype, f"{text}: {got.dtype}, expected {x.dtype}"
        assert got.shape == want.shape, f"{text}: shape {got.shape}, expected {want.shape}"
        want = want.astype(np.float64) if want.dtype == EXACT else want
        rounded = want.astype(x.dtype)
        special = ~np.isfinite(rounded)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        far = np.where(special, ~same, ~(np.abs(got - want) <= allowed))
        assert not far.any(), (
            f"{text}: {int(far.sum())} of {far.size} wrong, the first is {got[far][0]!r}, expected "
            f"{want[far][0]!r} to {np.broadcast_to(allowed, far.shape)[far][0]}"
        )
        with _one_thread():
            again = run()
        assert again.tobytes() == got.tobytes(), f"{text}: other bits in one thread"


@contextlib.contextmanager
def _one_thread():
    before, cpu.PARALLEL = cpu.PARALLEL, 1 << 62
    try:
        yield
    finally:
        cpu.PARALLEL = before


def _array(draw):
    """An array, and how it was made."""
    rng = np.random.default_rng(draw.randrange(1 << 32))
    dtype = draw.choice(["float32", "float32", "float64"])
    kind = draw.choice(["small", "small", "tall", "wide"])
    if kind == "small":
        sizes = [0, 1, 1, 2, 3, 5, 8, 17, 33]
        shape = [draw.choice(sizes[draw.random() < 0.9 :]) for _ in range(draw.randrange(5))]
    elif kind == "tall":
        shape = [draw.choice([1000, 5000, 30_000]), draw.choice([1, 2, 3])]
    else:
        shape = [draw.choice([2, 3, 10]), draw.choice([300, 3000]), draw.choice([1, 2])]
    values = rng.standard_normal(shape) * draw.choice([1.0, 1e-3, 30.0])
    values = values + draw.choice([0.0, 0.0, 0.3, 1000.0])
    if draw.random() < 0.1 and values.size:
        places = rng.integers(values.size, size=draw.choice([1, 2, 5]))
        values.reshape(-1)[places] = draw.choice([np.nan, np.inf, -np.inf])
    x, steps = np.asarray(values, dtype), []
    for _ in range(draw.randrange(4) if x.ndim else 0):
        step, axis = (
            draw.choice(["permute", "skip", "reverse", "cut", "expand"]),
            draw.randrange(x.ndim),
        )
        place = (slice(None),) * axis
        if step == "permute":
            x = x.transpose(draw.sample(range(x.ndim), x.ndim))
        elif step == "skip":
            x = x[(*place, slice(None, None, 2))]
        elif step == "reverse":
            x = x[(*place, slice(None, None, -1))]
        elif step == "cut":
            x = x[(*place, slice(1, None))]
        elif x.size:
            one = x[(*place, slice(0, 1))]
            x = np.broadcast_to(
                one,
                [
                    *one.shape[:axis],
                    draw.choice([1, 4, 700 if x.size < 100 else 2]),
                    *one.shape[axis + 1 :],
                ],
            )
        steps.append(f"{step} {axis}")
    return x, f"{dtype} {x.shape} of {tuple(shape)}, {', '.join(steps) or 'plain'}"


def _dims(draw, rank):
    if draw.random() < 0.2 or not rank:
        return None
    dims = draw.sample(range(rank), draw.randrange(1, rank + 1))
    dims = [d - rank if draw.random() < 0.3 else d for d in dims]
    return dims[0] if len(dims) == 1 else tuple(dims)


def _tensor(x):
    """A Tensor of that very memory, whatever its strides."""
    t = mg.zeros(())
    t.array = x
    return t


def _axes(dim, rank):
    return tuple(range(rank)) if dim is None else (dim,) if isinstance(dim, int) else dim


def _count(x, dim):
    return int(np.prod([x.shape[a] for a in _axes(dim, x.ndim)]))


def _sum(terms, dim, keepdim=False):
    return terms.sum(axis=_axes(dim, terms.ndim), keepdims=keepdim)


def _allowed(dtype, want, size):
    """For a sum, `size` being that of the absolute values."""
    eps = np.finfo(dtype).eps
    lost = 4 * eps if dtype == np.float64 else 1e-13
    return (np.abs(want) * (0.501 * eps) + size * lost + np.finfo(dtype).smallest_subnormal).astype(
        np.float64
    )


def total(draw, x, dim, keepdim):
    def bound():
        want = _sum(x.astype(EXACT), dim, keepdim)
        return want, _allowed(x.dtype, want, _sum(np.abs(x.astype(EXACT)), dim, keepdim))

    return "", lambda: _tensor(x).sum(dim, keepdim).numpy(), bound


def mean(draw, x, dim, keepdim):
    def bound():
        n = EXACT(_count(x, dim))
        want = _sum(x.astype(EXACT), dim, keepdim) / n
        size = _sum(np.abs(x.astype(EXACT)), dim, keepdim) / n
        return want, _allowed(x.dtype, want, size)

    return "", lambda: _tensor(x).mean(dim, keepdim).numpy(), bound


def _variance(x, dim, keepdim, correction):
    center = _sum(x.astype(EXACT), dim, True) / EXACT(_count(x, dim))
    left = EXACT(max(_count(x, dim) - correction, 0))
    want = _sum((x.astype(EXACT) - center) ** 2, dim, keepdim) / left
    # What the center's rounding, of one part in 2^52, makes of each square.
    size = (
        want
        + np.sqrt(want) * np.abs(center.reshape(want.shape))
        + center.reshape(want.shape) ** 2 * 1e-15
    )
    return want, size


def variance(draw, x, dim, keepdim):
    correction = draw.choice([0, 1])

    def bound():
        want, size = _variance(x, dim, keepdim, correction)
        return want, _allowed(x.dtype, want, size)

    return (
        correction,
        lambda: _tensor(x).var(dim, correction=correction, keepdim=keepdim).numpy(),
        bound,
    )


def deviation(draw, x, dim, keepdim):
    def bound():
        want, size = _variance(x, dim, keepdim, 1)
        root = np.sqrt(want)
        more = np.where(root > 0, size / np.where(root > 0, root, 1), np.sqrt(size * 1e-15))
        return root, _allowed(x.dtype, root, root + more)

    return "", lambda: _tensor(x).std(dim, correction=1, keepdim=keepdim).numpy(), bound


def norm(draw, x, dim, keepdim):
    p = draw.choice([1, 2, "fro"])

    def bound():
        terms = np.abs(x.astype(EXACT)) if p == 1 else x.astype(EXACT) ** 2
        want = _sum(terms, dim, keepdim)
        want = want if p == 1 else np.sqrt(want)
        return want, _allowed(x.dtype, want, want)

    return p, lambda: _tensor(x).norm(p, dim, keepdim).numpy(), bound


def _exponentials(x, dim):
    high = x.astype(EXACT).max(axis=_axes(dim, x.ndim), keepdims=True) if x.size else 0
    gap = x.astype(EXACT) - np.where(np.isfinite(high), high, 0)
    return np.exp(gap), gap, high


def logsumexp(draw, x, dim, keepdim):
    dim = _axes(dim, x.ndim)
    if not _count(x, dim) or not x.ndim:
        return total(draw, x, dim, keepdim)

    def bound():
        e, _, high = _exponentials(x, dim)
        want = np.log(_sum(e, dim, True)) + np.where(np.isfinite(high), high, 0)
        want = want if keepdim else want.squeeze(dim)
        return want, np.finfo(x.dtype).eps * (np.abs(want) + 40).astype(np.float64)

    return "", lambda: _tensor(x).logsumexp(dim, keepdim).numpy(), bound


def softmax(draw, x, dim, keepdim):
    dim = dim if isinstance(dim, int) else 0
    log = draw.random() < 0.5
    if not x.size or not x.ndim or not np.isfinite(x).all():
        return total(draw, x, dim if x.ndim else None, keepdim)

    def bound():
        e, gap, _ = _exponentials(x, dim)
        whole = _sum(e, dim, True)
        eps = np.finfo(x.dtype).eps
        if log:
            return gap - np.log(whole), (eps * (2 + 2 * np.abs(gap) + np.log(whole))).astype(
                np.float64
            )
        want = e / whole
        return want, (want * (4 + np.abs(gap)) * eps).astype(np.float64) + np.finfo(x.dtype).tiny

    t = _tensor(x)
    return log, lambda: (t.log_softmax(dim) if log else t.softmax(dim)).numpy(), bound


def running(draw, x, dim, keepdim):
    dim = dim if isinstance(dim, int) else 0

    def bound():
        want = x.astype(EXACT).cumsum(axis=dim if x.ndim else None).reshape(x.shape)
        size = np.abs(x.astype(EXACT)).cumsum(axis=dim if x.ndim else None).reshape(x.shape)
        eps = np.finfo(x.dtype).eps
        lost = eps * 1000 if x.dtype == np.float64 else 1e-11
        return want, (np.abs(want) * (0.501 * eps) + size * lost).astype(np.float64)

    return "", lambda: _tensor(x).cumsum(dim).numpy(), bound


def broadcast(draw, x, dim, keepdim):
    """The gradient of what was broadcast along dim to x's shape, by x as the upstream gradient."""
    axes = _axes(dim, x.ndim)
    axes = tuple(a % x.ndim for a in axes)
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    shape = shape[draw.randrange(len(shape) + 1) if draw.random() < 0.3 else 0 :]
    scale = draw.choice([1.0, -2.0])

    def run():
        b = mg.zeros(shape, dtype=x.dtype, requires_grad=True)
        (b * scale + mg.zeros(x.shape, dtype=x.dtype)).backward(_tensor(x))
        return b.grad.numpy()

    def bound():
        lead = x.ndim - len(shape)
        over = (*range(lead), *(i + lead for i, n in enumerate(shape) if n != x.shape[i + lead]))
        want = (x.astype(EXACT).sum(axis=over, keepdims=True)).reshape(shape) * scale
        size = (np.abs(x.astype(EXACT)).sum(axis=over, keepdims=True)).reshape(shape) * abs(scale)
        return want, _allowed(x.dtype, want, size)

    return f"of {shape} times {scale}", run, bound


PROGRAMS = {
    f.__name__: f
    for f in (total, mean, variance, deviation, norm, logsumexp, softmax, running, broadcast)
}
