"""Kernels with inputs of any shape, empty ones too, in any memory: they write nowhere else.

Each input lies between canaries, and so does each array that a kernel's host makes: after forward
and backward, twice, canaries and inputs are what they were. Now and then classes and indices become
such as are out of range, before the call or unseen (through NumPy's memory) before a backward pass:
that raises, or gives a value; the process goes on.
"""

import contextlib
import itertools
import warnings
from types import SimpleNamespace

import numpy as np

import minigrad as mg
from minigrad.kernels import cpu

SHORT = 200
F = mg.nn.functional
MARGIN = 256  # bytes before and behind an array
CANARY = 0xA5
ERRORS = (RuntimeError, IndexError, ValueError, TypeError)


def attempt(draw):
    fences = Fences()
    name = draw.choice(sorted(PROGRAMS))
    unseen = draw.random() < 0.2
    with fences.around_results(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a mask of bytes, of the mean of nothing
        steps = Program(draw, fences)
        text = f"{name} {'changed unseen ' if unseen else ''}of "
        with _errors(text, steps):
            out = PROGRAMS[name](steps)
            fences.check(f"{text}{steps.text}: forward")
            if unseen and steps.indices:
                changed = draw.choice(steps.indices)
                limits = np.iinfo(changed.dtype)
                changed[...] = np.clip(draw.choice(OUTSIDE), limits.min, limits.max)
                fences.photograph()
            for _ in range(2):
                if isinstance(out, mg.Tensor) and out.requires_grad:
                    out.backward(mg.ones(*out.shape, dtype=out.dtype), retain_graph=True)
    fences.check(f"{text}{steps.text}: backward")


@contextlib.contextmanager
def _errors(text, steps):
    """What a bad index may raise, but not in a kernel, where NUMBA_BOUNDSCHECK=1 would see it."""
    try:
        yield
    except ERRORS as error:
        if str(error) == "index is out of bounds":
            raise AssertionError(f"{text}{steps.text}: within a kernel") from error


OUTSIDE = (-1, -2, -100, 7, 1000, 30_000_000, -50_000_000, 2**31, 2**40, -(2**62))
SIZES = (0, 1, 2, 3, 5, 8, 31, 32, 33, 64, 65, 129, 700)


class Fences:
    """Memory between canaries, and what lay in it."""

    def __init__(self):
        self.buffers, self.inputs = [], []

    def empty(self, shape, dtype=float):
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        n = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        buffer = np.full(n + 2 * MARGIN, CANARY, np.uint8)
        self.buffers.append((buffer, n))
        return buffer[MARGIN : MARGIN + n].view(dtype).reshape(shape)

    def input(self, values):
        array = self.empty(values.shape, values.dtype)
        array[...] = values
        self.inputs.append((array, array.copy()))
        return array

    def photograph(self):
        self.inputs = [(array, array.copy()) for array, _ in self.inputs]

    def check(self, text):
        for buffer, n in self.buffers:
            before, behind = buffer[:MARGIN], buffer[MARGIN + n :]
            assert (before == CANARY).all(), f"{text}: written in front of an array of {n} bytes"
            assert (behind == CANARY).all(), f"{text}: written behind an array of {n} bytes"
        for array, copy in self.inputs:
            assert array.tobytes() == copy.tobytes(), f"{text}: an input was changed"

    @contextlib.contextmanager
    def around_results(self):
        """What the host makes for kernels to write to comes from here."""
        numpy, memory = cpu.np, cpu.memory
        names = {name: getattr(numpy, name) for name in dir(numpy) if not name.startswith("__")}
        cpu.np = SimpleNamespace(**{**names, "empty": self.empty})
        cpu.memory = SimpleNamespace(empty_like=lambda a: self.empty(a.shape, a.dtype))
        try:
            yield
        finally:
            cpu.np, cpu.memory = numpy, memory


class Program:
    """The inputs of a program, drawn when it asks for them."""

    def __init__(self, draw, fences):
        self.draw, self.fences = draw, fences
        self.rng = np.random.default_rng(draw.randrange(2**32))
        self.dtype = draw.choice(["float32", "float64"])
        self.text, self.indices = "", []

    def size(self, most=700):
        return self.draw.choice([n for n in SIZES if n <= most])

    def shape(self, rank=None, most=129):
        rank = self.draw.randint(0, 3) if rank is None else rank
        return tuple(self.size(most if rank < 2 else 33) for _ in range(rank))

    def layout(self, a):
        """The same values with other strides."""
        kind = self.draw.choice(["rows", "rows", "columns", "reversed", "strided"])
        if kind == "columns":
            return self.fences.input(np.ascontiguousarray(a.T)).T
        if kind == "reversed" and a.ndim:
            return self.fences.input(np.ascontiguousarray(a[::-1]))[::-1]
        if kind == "strided" and a.ndim:
            return self.fences.input(np.repeat(a, 2, axis=0))[::2]
        return self.fences.input(a)

    def floats(self, shape, positive=False):
        values = self.rng.random(shape) if positive else self.rng.normal(0, 3, shape)
        if values.size and self.draw.random() < 0.2:
            values.reshape(-1)[self.draw.randrange(values.size)] = self.draw.choice(
                [np.nan, np.inf, -np.inf, 0.0]
            )
        self.text += f"{self.dtype} {tuple(shape)}, "
        t = mg.Tensor(self.layout(np.asarray(values, self.dtype)))
        return t.requires_grad_() if self.draw.random() < 0.8 else t

    def constant(self, shape):
        return self.floats(shape).detach()

    def ints(self, shape, below, ignored=None):
        """Positions below a size, some of them counted from the end or out of range."""
        dtype = self.draw.choice(["int64", "int64", "int32", "int16", "uint8"])
        values = np.asarray(self.rng.integers(0, max(below, 1), shape))
        if values.size and self.draw.random() < 0.25:
            bad = [*OUTSIDE, below, -below, -below - 1, below - 1]
            bad = bad if ignored is None else [*bad, ignored]
            limits = np.iinfo(dtype)
            bad = [n for n in bad if limits.min <= n <= limits.max]
            values.reshape(-1)[self.draw.randrange(values.size)] = self.draw.choice(bad)
        self.text += f"{dtype} {tuple(shape)} below {below}, "
        array = self.layout(values.astype(dtype))
        self.indices.append(array)
        return mg.Tensor(array)

    def reduction(self):
        return self.draw.choice(["none", "mean", "sum"])


def classes(p, loss):
    rank = p.draw.choice([1, 2, 2, 3])
    n, c, d = p.size(129), p.draw.choice((0, 1, 3, 32, 33, 700)), p.size(8)
    shape, rows = {1: ((c,), ()), 2: ((n, c), (n,)), 3: ((n, c, d), (n, d))}[rank]
    options = {"reduction": p.reduction()}
    if p.draw.random() < 0.4:
        options["weight"] = p.constant((c,))
    if p.draw.random() < 0.3:
        options["ignore_index"] = p.draw.choice([0, 1, -1, 255, 2**40])
    if loss is F.cross_entropy and p.draw.random() < 0.3:
        options["label_smoothing"] = p.draw.choice([0.1, 1.0])
    if loss is F.cross_entropy and p.draw.random() < 0.3:
        return loss(p.floats(shape), p.floats(shape, positive=True), **options)
    return loss(p.floats(shape), p.ints(rows, c, options.get("ignore_index")), **options)


def pointwise(loss):
    def run(p):
        shape = p.shape(most=700)
        options = {"reduction": p.reduction()}
        if loss is F.binary_cross_entropy_with_logits and p.draw.random() < 0.5:
            options["pos_weight"] = p.constant(shape[-1:])
        return loss(p.floats(shape, True), p.floats(shape, True), **options)

    return run


def sums(p):
    x = p.floats(p.shape(most=700))
    dim = [k for k in range(x.ndim) if p.draw.random() < 0.5]
    p.text += f"dim {dim}"
    return getattr(x, p.draw.choice(["sum", "mean", "var", "std", "logsumexp"]))(dim)


def indexed(p):
    x = p.floats(p.shape(p.draw.randint(1, 3)))
    n = x.shape[0]
    where = p.ints(p.shape(p.draw.randint(0, 2), 8), n)
    how = p.draw.randrange(4)
    p.text += f"way {how}"
    if how == 0:
        return x[where]
    if how == 1:
        return x.index_select(0, where)
    if how == 2:
        return F.embedding(where, x)
    out = x * 1.0
    out[where] = p.draw.choice([0.5, x[where].detach()])
    return out


def gathered(p):
    x = p.floats(p.shape(2))
    rows = p.draw.randint(0, max(x.shape[0], 1))
    where = p.ints((rows, x.shape[1]), x.shape[0])
    return p.draw.choice([mg.gather, lambda x, d, i: mg.take_along_dim(x, i, d)])(x, 0, where)


def activation(p):
    names = ["relu", "gelu", "softmax", "log_softmax", "sigmoid", "tanh", "silu", "softplus"]
    function = getattr(F, p.draw.choice(names))
    x = p.floats(p.shape())
    return function(x, 0) if "softmax" in function.__name__ else function(x)


def stepped(p):
    shape = p.shape()
    weight = mg.Tensor(p.fences.empty(shape, p.dtype))
    weight.array[...] = 1.0
    weight.requires_grad_()
    kind = p.draw.choice([mg.optim.SGD, mg.optim.Adam, mg.optim.RMSprop])
    optimizer = kind([weight], lr=0.1)
    weight.grad = mg.Tensor(p.layout(np.asarray(p.rng.normal(size=shape), p.dtype)))
    optimizer.step()
    p.text += f"{kind.__name__} {shape}"


PROGRAMS = {
    "cross_entropy": lambda p: classes(p, F.cross_entropy),
    "nll_loss": lambda p: classes(p, F.nll_loss),
    "sums": sums,
    "index": indexed,
    "gather": gathered,
    "activation": activation,
    "optimizer": stepped,
    "bias": lambda p: F.linear(p.floats((7, 5)), p.floats((3, 5)), p.floats((3,))),
    "one_hot": lambda p: F.one_hot(p.ints((4,), 5), p.draw.choice([5, 6])),
} | {
    name: pointwise(getattr(F, name))
    for name in itertools.chain(
        ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"),
        ("binary_cross_entropy", "binary_cross_entropy_with_logits"),
    )
}
