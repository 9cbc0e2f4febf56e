"""What is measured, and by whom. Built at a cell, a rival has `run`, which is timed, and `result`,
which runs and returns (loss, gradient or weights) for `check`.

Everyone gets the same float32 values in arrays or tensors of its own, and makes a fresh gradient in
each call. PyTorch and JAX are loaded when one of their rivals is built.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numba
import numpy as np

import minigrad as mg
from minigrad.kernels import LOSSES
from minigrad.optional import install, require

FUNCTIONS = {
    "mse": "mse_loss", "l1": "l1_loss", "smooth_l1": "smooth_l1_loss",
    "bce": "binary_cross_entropy", "bce_with_logits": "binary_cross_entropy_with_logits",
    "cross_entropy": "cross_entropy",
}  # fmt: skip
LR, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8  # Adam's defaults, everywhere
STEPS = 3  # that a result is after


class Rival(NamedTuple):
    """One library at one cell."""

    run: Callable[[], Any]
    result: Callable[[], tuple[float, np.ndarray | None]]


class Loss(NamedTuple):
    """A loss over x of `shape`, reduction "mean": forward, and backward by x unless left out."""

    name: str
    shape: tuple[int, ...]
    backward: bool = True

    def __str__(self) -> str:
        return f"{self.name} {' x '.join(f'{n:,}' for n in self.shape)}"

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def bytes(self) -> int:
        """What has to be moved at least: x and the target read, the gradient written."""
        target = 8 * self.shape[0] if self.name == "cross_entropy" else 4 * self.size
        return (2 if self.backward else 1) * 4 * self.size + target


class Step(NamedTuple):
    """A training step of Linear, ReLU, Linear with cross-entropy and Adam."""

    batch: int
    inputs: int
    hidden: int
    classes: int

    def __str__(self) -> str:
        return "{} x {}-{}-{}".format(*self)


class Perceptron(NamedTuple):
    """micrograd's MLP on one sample, scalar by scalar: built, and its gradients by the weights."""

    inputs: int
    outputs: tuple[int, ...]

    def __str__(self) -> str:
        return f"MLP({self.inputs}, {list(self.outputs)}), one sample"


SIZES = (64, 1_000, 32_000, 1_000_000, 16_000_000)
LOGITS = (
    (8, 3), (64, 10), (4096, 10), (65536, 10), (1024, 1000), (512, 50257), (8192, 128),
)  # fmt: skip
LOSS_CELLS = (
    *(Loss(name, (n,)) for name in FUNCTIONS if name != "cross_entropy" for n in SIZES),
    *(Loss("cross_entropy", shape) for shape in LOGITS),
)
STEP_CELLS = (
    Step(1, 2, 16, 2), Step(32, 64, 32, 10), Step(64, 64, 128, 10), Step(256, 784, 256, 10),
    Step(128, 784, 1024, 10),
)  # fmt: skip
SCALAR_CELLS = (Perceptron(2, (16, 16, 1)),)


@lru_cache(maxsize=1)
def data(cell) -> tuple[np.ndarray, ...]:
    """x and target, float32 or classes, and for a step the weights; for scalars a sample and
    the weights and biases of each layer, float64. Not to be written to."""
    rng = np.random.default_rng(0)
    if isinstance(cell, Perceptron):
        sizes = (cell.inputs, *cell.outputs)
        layers = [rng.uniform(-1, 1, (out, into + 1)) for into, out in pairwise(sizes)]
        return rng.standard_normal(cell.inputs), *layers
    if isinstance(cell, Step):
        x = rng.standard_normal((cell.batch, cell.inputs), np.float32)
        y = rng.integers(0, cell.classes, cell.batch)
        h, c = cell.hidden, cell.classes
        shapes = (h, cell.inputs), (h,), (c, h), (c,)
        return x, y, *(rng.standard_normal(s, np.float32) * np.float32(0.1) for s in shapes)
    x = rng.standard_normal(cell.shape, np.float32)
    if cell.name == "cross_entropy":
        return x, rng.integers(0, cell.shape[1], cell.shape[0])
    if cell.name == "bce":
        x = 1 / (1 + np.exp(-x))
    y = rng.random(cell.shape, np.float32)
    x[(x == 0) | (x == y)] = 0.75  # at a kink every library may choose its own slope
    return x, np.where(x == y, np.float32(0.25), y)


# --- losses -------------------------------------------------------------------------------------


def numpy_loss(cell, dtype=np.float32):
    """The formulas of minigrad.kernels as they are; they have no pass without slopes."""
    x, y = data(cell)
    x, reference = x.astype(dtype), LOSSES[cell.name].reference
    y = y if cell.name == "cross_entropy" else y.astype(dtype)
    per_value = dtype(1 / cell.shape[0])

    def run():
        t = one_hot(y, x) if cell.name == "cross_entropy" else y
        value, slope, _ = reference(x, t)
        return float(value.mean()), slope * per_value

    return Rival(run, run)


def one_hot(classes, like):
    """Rows with a single 1, shaped and typed as `like`."""
    t = np.zeros_like(like)
    t[np.arange(len(t)), classes] = 1
    return t


def through_tensors(library, cell, wrap=lambda function: function):
    """The public interface that minigrad and PyTorch share."""
    x, y = data(cell)
    tx, ty = library.tensor(x, requires_grad=cell.backward), library.tensor(y)
    function = wrap(getattr(library.nn.functional, FUNCTIONS[cell.name]))

    def run():
        tx.grad = None
        loss = function(tx, ty)
        if cell.backward:
            loss.backward()
        return loss

    def result():
        loss = run().item()
        return loss, tx.grad.numpy() if cell.backward else None

    return Rival(run, result)


def jax_loss(cell):
    """The loss as JAX's users write it (optax's formulas), jitted together with its gradient."""
    jax, jnp = jax_modules()
    x, y = (jnp.asarray(a) for a in data(cell))
    loss = jax_formulas()[cell.name]
    function = jax.jit(jax.value_and_grad(loss) if cell.backward else loss)

    def run():
        return jax.block_until_ready(function(x, y))

    def result():
        value, grad = run() if cell.backward else (run(), None)
        return float(value), None if grad is None else np.asarray(grad)

    return Rival(run, result)


@cache
def jax_formulas():
    jax, jnp = jax_modules()

    def smooth_l1(x, y):
        d = jnp.abs(x - y)
        return jnp.where(d < 1, 0.5 * d * d, d - 0.5).mean()

    def bce(x, y):
        log_x, log_not_x = jnp.maximum(jnp.log(x), -100), jnp.maximum(jnp.log1p(-x), -100)
        return -(y * log_x + (1 - y) * log_not_x).mean()

    def cross_entropy(x, y):
        mine = jnp.take_along_axis(x, y[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(x, axis=1) - mine).mean()

    return {
        "mse": lambda x, y: ((x - y) ** 2).mean(),
        "l1": lambda x, y: jnp.abs(x - y).mean(),
        "smooth_l1": smooth_l1,
        "bce": bce,
        "bce_with_logits": lambda x, y: (
            jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x)))
        ).mean(),
        "cross_entropy": cross_entropy,
    }


# --- training steps -----------------------------------------------------------------------------


def numpy_step(cell, dtype=np.float32):
    """Everything by hand."""
    x, y, *weights = (a if a.dtype.kind == "i" else a.astype(dtype) for a in data(cell))
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    count = 0

    def run():
        nonlocal count
        w1, b1, w2, b2 = weights
        h = np.maximum(x @ w1.T + b1, 0)
        logits = h @ w2.T + b2
        value, slope, _ = LOSSES["cross_entropy"].reference(logits, one_hot(y, logits))
        g = slope / dtype(cell.batch)
        g_h = (g @ w2) * (h > 0)
        count += 1
        size, correction = LR / (1 - BETAS[0] ** count), (1 - BETAS[1] ** count) ** -0.5
        gradients = g_h.T @ x, g_h.sum(0), g.T @ h, g.sum(0)
        for w, d, m, v in zip(weights, gradients, first, second, strict=True):
            m += (1 - BETAS[0]) * (d - m)
            v += (1 - BETAS[1]) * (d * d - v)
            w -= size * m / (np.sqrt(v) * correction + EPS)
        return float(value.mean())

    return Rival(run, lambda: (_last(run), flat(weights)))


def modules_step(library, cell, wrap_loss=lambda f: f, wrap_update=lambda f: f, wrap=lambda f: f):
    """The public interface that minigrad and PyTorch share."""
    x, y, *weights = data(cell)
    nn = library.nn
    model = nn.Sequential(
        nn.Linear(cell.inputs, cell.hidden), nn.ReLU(), nn.Linear(cell.hidden, cell.classes)
    )
    with library.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(library.tensor(w))
    criterion, optimizer = nn.CrossEntropyLoss(), library.optim.Adam(model.parameters(), lr=LR)
    tx, ty = library.tensor(x), library.tensor(y)
    loss_of = wrap_loss(lambda x, y: criterion(model(x), y))
    update = wrap_update(optimizer.step)

    @wrap
    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        update()
        return loss

    def run():
        return step(tx, ty)

    def result():
        return _last(run).item(), flat([p.detach().numpy() for p in model.parameters()])

    return Rival(run, result)


def jax_step(cell):
    """The whole step in one jitted function, its state donated; Adam written out."""
    jax, jnp = jax_modules()
    x, y, *weights = (jnp.asarray(a) for a in data(cell))
    cross_entropy = jax_formulas()["cross_entropy"]

    def loss_of(weights, x, y):
        w1, b1, w2, b2 = weights
        return cross_entropy(jnp.maximum(x @ w1.T + b1, 0) @ w2.T + b2, y)

    @partial(jax.jit, donate_argnums=0)
    def step(state, x, y):
        weights, first, second, count = state
        loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
        count += 1
        size, correction = LR / (1 - BETAS[0] ** count), (1 - BETAS[1] ** count) ** -0.5

        def update(w, m, v):
            return w - size * m / (jnp.sqrt(v) * correction + EPS)

        first = [m + (1 - BETAS[0]) * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [v + (1 - BETAS[1]) * (g * g - v) for v, g in zip(second, gradients, strict=True)]
        return (list(map(update, weights, first, second)), first, second, count), loss

    state = weights, *([jnp.zeros_like(w) for w in weights] for _ in range(2)), jnp.float32(0)

    def run():
        nonlocal state
        state, loss = jax.block_until_ready(step(state, x, y))
        return loss

    return Rival(run, lambda: (float(_last(run)), flat(map(np.asarray, state[0]))))


def _last(run):
    """What the last of STEPS steps returns."""
    for _ in range(STEPS):
        value = run()
    return value


def flat(arrays):
    """Copies, end to end."""
    return np.concatenate([a.ravel() for a in arrays])


# --- scalars ------------------------------------------------------------------------------------


def numpy_perceptron(cell, dtype=np.float64):
    """Matrix by matrix: what is right, and a yardstick."""
    x, *layers = data(cell)

    def run():
        kept, out = [], x
        for w in layers:
            kept.append(out)
            out = w[:, :-1] @ out + w[:, -1]
            if w is not layers[-1]:
                out = np.maximum(out, 0)
        g, gradients = np.ones(1), []
        for w, before in zip(reversed(layers), reversed(kept), strict=True):
            gradients.append(np.column_stack([np.outer(g, before), g]))
            g = (g @ w[:, :-1]) * (before > 0)
        return float(out[0]), flat(gradients[::-1])

    return Rival(run, run)


def scalars(engine, layers, cell):
    """The classes that minigrad.scalar and micrograd share."""
    model, inputs = filled(layers.MLP, cell), data(cell)[0].tolist()

    def run():
        out = model([engine.Value(value) for value in inputs])
        out.backward()
        return out

    def result():
        model.zero_grad()
        return run().data, np.array([p.grad for p in model.parameters()])

    return Rival(run, result)


def filled(make, cell):
    """A perceptron with the cell's weights."""
    model = make(cell.inputs, list(cell.outputs))
    for p, w in zip(model.parameters(), flat(data(cell)[1:]).tolist(), strict=True):
        p.data = w
    return model


def compiled_scalars(cell):
    model, inputs = filled(mg.scalar.nn.MLP, cell), data(cell)[0].tolist()
    step = mg.scalar.compile(lambda *x: model(x))

    def result():
        model.zero_grad()
        return step(*inputs), np.array([p.grad for p in model.parameters()])

    return Rival(lambda: step(*inputs), result)


def micrograd_perceptron(cell):
    return scalars(require("micrograd.engine", "bench"), require("micrograd.nn", "bench"), cell)


# --- libraries ----------------------------------------------------------------------------------


def torch():
    """PyTorch with as many threads as the kernels have."""
    module = require("torch", "bench")
    module.set_num_threads(numba.get_num_threads())
    return module


def torch_compiled():
    """PyTorch that has compiled nothing yet: one cell's shapes must not make the next's dynamic."""
    module = torch()
    module._logging.set_logs(all=logging.ERROR)  # it warns that it skips a profiler's hook
    module._dynamo.reset()
    return module, partial(module.compile, dynamic=False)


def jax_modules():
    """JAX on the CPU, and its NumPy."""
    jax = require("jax", "bench")
    jax.config.update("jax_platforms", "cpu")
    return jax, require("jax.numpy", "bench")


def compiled_loss(cell):
    library, wrap = torch_compiled()
    return through_tensors(library, cell, wrap)


def compiled_step(cell):
    library, wrap = torch_compiled()
    return modules_step(library, cell, wrap, wrap)


LOSS_RIVALS: dict[str, Callable[[Loss], Rival]] = {
    "minigrad": lambda cell: through_tensors(mg, cell),
    "NumPy": numpy_loss,
    "PyTorch eager": lambda cell: through_tensors(torch(), cell),
    "torch.compile": compiled_loss,
    "jax.jit": jax_loss,
}
STEP_RIVALS: dict[str, Callable[[Step], Rival]] = {
    "minigrad": lambda cell: modules_step(mg, cell),
    "minigrad.compile": lambda cell: modules_step(mg, cell, wrap=mg.compile),
    "NumPy": numpy_step,
    "PyTorch eager": lambda cell: modules_step(torch(), cell),
    "torch.compile": compiled_step,
    "jax.jit": jax_step,
}
SCALAR_RIVALS: dict[str, Callable[[Perceptron], Rival]] = {
    "minigrad": lambda cell: scalars(mg.scalar, mg.scalar.nn, cell),
    "minigrad.compile": compiled_scalars,
    "micrograd": micrograd_perceptron,
}
RIVALS: dict[type, dict[str, Callable]] = {
    Loss: LOSS_RIVALS, Step: STEP_RIVALS, Perceptron: SCALAR_RIVALS,
}  # fmt: skip
OURS = ("minigrad", "minigrad.compile")
THEIRS = (
    "PyTorch eager",
    "torch.compile",
    "jax.jit",
    "micrograd",
)  # NumPy is a yardstick, not a rival
PACKAGE = {
    "PyTorch eager": "torch", "torch.compile": "torch", "jax.jit": "jax", "micrograd": "micrograd",
}  # fmt: skip


def missing(name: str) -> str | None:
    """Why a rival cannot run here, and what to do; None if it can. Imports nothing."""
    package = PACKAGE.get(name)
    if package and importlib.util.find_spec(package) is None:
        return f"{package} is not installed: {install('bench')}"
    compiler = os.environ.get("CXX", "g++")
    if name == "torch.compile" and shutil.which(compiler) is None:
        return f"it needs a C++ compiler, and {compiler} is not installed"
    return None


def build(name: str, cell) -> Rival:
    """The rival of that name at a cell, warm, its result checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the rivals' compilers, about themselves
        rival = RIVALS[type(cell)][name](cell)
        check(f"{name}, {cell}", rival.result(), cell)
    return rival


@lru_cache(maxsize=1)
def truth(cell):
    """What is right: the NumPy formulas in float64."""
    formulas: dict[type, Callable] = {
        Loss: numpy_loss, Step: numpy_step, Perceptron: numpy_perceptron,
    }  # fmt: skip
    return formulas[type(cell)](cell, np.float64).result()


def check(who: str, result, cell) -> None:
    """AssertionError unless loss and gradient (or weights) agree with float64 as float32 can.

    The loss to 1e-3 of itself: means of 16 million float32 terms differ by that much. A gradient to
    1e-4 of each element and 1e-5 of the largest. Weights after STEPS steps of Adam to 1 % of what
    they moved, on average: an element moves by its gradient's sign, which rounding decides where
    the gradient is next to nothing.
    """
    (loss, array), (true_loss, truth_array) = result, truth(cell)
    assert np.isfinite(loss), f"{who}: the loss is {loss}"
    assert abs(loss - true_loss) <= 1e-3 * abs(true_loss), f"{who}: loss {loss}, not {true_loss}"
    if isinstance(cell, Step):
        moved = np.abs(truth_array - flat(data(cell)[2:])).mean()
        error = np.abs(array - truth_array).mean() / moved
        assert error <= 1e-2, f"{who}: the weights are {error:.1e} of their way off"
    elif isinstance(cell, Perceptron):
        error = np.abs(array - truth_array).max() / np.abs(truth_array).max()
        assert error <= 1e-12, f"{who}: a gradient is off by {error:.1e} of the largest"
    elif cell.backward:
        largest = np.abs(truth_array).max()
        bad = ~(np.abs(array - truth_array) <= 1e-4 * np.abs(truth_array) + 1e-5 * largest)
        assert not bad.any(), f"{who}: {bad.sum()} of {bad.size} gradient elements are wrong"
