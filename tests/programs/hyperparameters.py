"""Extreme hyperparameters of optimizers, losses and layers, in float32, against exact arithmetic.

Optimizers run thirty steps beside PyTorch's formulas, losses and layers once, in extended precision
and with the numbers as they were given: what is rounded before it is used is far off.
"""

import math

import numpy as np

import minigrad as mg
from minigrad import scalar

SHORT = 160
F = mg.nn.functional
EXACT = np.longdouble
EPS = 2.0**-23


def attempt(draw):
    name = draw.choice(sorted(PROGRAMS))
    with np.errstate(all="ignore"):
        text, pairs = PROGRAMS[name](draw)
    for what, got, want, size in pairs:
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        far = ~(np.abs(got - want) <= np.broadcast_to(np.float64(size), want.shape))
        far &= ~((np.isnan(got) & np.isnan(want)) | (got == want))
        assert not far.any(), (
            f"{name}({text}): {what} is {got[far][0]}, expected {want[far][0]}; the greatest error "
            f"is {np.nanmax(np.abs(got - want)[far])}"
        )


def _near(draw, end):
    """A number close to `end`, or not, between 0 and 1."""
    gap = draw.choice([0.5, 0.1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-8, 1e-10]) * draw.uniform(0.5, 1)
    return 1 - gap if end == 1 else gap


# --- optimizers, in PyTorch's formulas ------------------------------------------------------------


def _steps(draw, optimizer, options, exact):
    rng = np.random.default_rng(draw.randrange(1 << 32))
    start = rng.standard_normal(7).astype(np.float32)
    scale = draw.choice([1.0, 1e-3, 30.0])
    gradients = (rng.standard_normal((30, 7)) + draw.choice([0.0, 1.0])).astype(np.float32)
    gradients *= np.float32(scale)
    p = mg.tensor(start, requires_grad=True)
    ours = optimizer([p], **options)
    state, path, size = {}, start.astype(EXACT), np.abs(start).astype(EXACT)
    for t, g in enumerate(gradients, 1):
        p.grad = mg.tensor(g)
        ours.step()
        moved = exact(path, g.astype(EXACT), state, t)
        size = size + np.abs(moved - path)
        path = moved
    shown = ", ".join(f"{k}={v!r}" for k, v in options.items())
    return f"{optimizer.__name__}, {shown}, gradients of {scale}", [
        ("the parameter", p.detach().numpy(), path, 30 * EPS * size)
    ]


def sgd(draw):
    momentum = draw.choice([0.0, _near(draw, 1), _near(draw, 0)])
    dampening = draw.choice([0.0, _near(draw, 1), _near(draw, 0)])
    nesterov = momentum > 0 and draw.random() < 0.3
    dampening = 0.0 if nesterov else dampening
    lr, decay = _near(draw, 0), draw.choice([0.0, _near(draw, 0)])

    def exact(p, g, state, t):
        g = g + decay * p
        if momentum:
            gain = 1 if t == 1 else 1 - EXACT(dampening)
            state["b"] = momentum * state.get("b", 0) + gain * g
            g = g + momentum * state["b"] if nesterov else state["b"]
        return p - EXACT(lr) * g

    return _steps(draw, mg.optim.SGD, {
        "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": decay,
        "nesterov": nesterov,
    }, exact)  # fmt: skip


def adam(draw):
    betas = tuple(draw.choice([0.0, _near(draw, 1), _near(draw, 0)]) for _ in range(2))
    decay, kind = draw.choice([0.0, _near(draw, 0)]), draw.choice(["Adam", "AdamW"])
    # With a decay in it a gradient may cancel, and what is left of it is noise.
    eps = 1e-2 if kind == "Adam" and decay else draw.choice([1e-8, 1e-6, 1e-3])
    lr = _near(draw, 0)

    def exact(p, g, state, t):
        b1, b2 = map(EXACT, betas)
        if kind == "AdamW":
            p = p * (1 - EXACT(lr) * decay)
        else:
            g = g + decay * p
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * g * g
        # The corrections in float64, as PyTorch has them: of 1e-10, 1 - beta has six digits.
        first, second = (1 - beta**t for beta in betas)
        return p - lr / EXACT(first) * state["m"] / (np.sqrt(state["v"] / EXACT(second)) + eps)

    optimizer = getattr(mg.optim, kind)
    return _steps(
        draw, optimizer, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay}, exact
    )


def rmsprop(draw):
    lr, alpha, eps = _near(draw, 0), draw.choice([0.0, _near(draw, 1), _near(draw, 0)]), 1e-3
    momentum = draw.choice([0.0, _near(draw, 1), _near(draw, 0)])
    decay = draw.choice([0.0, _near(draw, 0)])

    def exact(p, g, state, t):
        g = g + decay * p
        state["v"] = alpha * state.get("v", 0) + (1 - EXACT(alpha)) * g * g
        state["b"] = momentum * state.get("b", 0) + g / (np.sqrt(state["v"]) + eps)
        return p - EXACT(lr) * state["b"]

    return _steps(draw, mg.optim.RMSprop, {
        "lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": decay,
    }, exact)  # fmt: skip


# --- losses ---------------------------------------------------------------------------------------


def _loss(draw, text, call, exact, target=None):
    """exact(x, y): the values and the slopes in extended precision, and the size of their terms."""
    rng = np.random.default_rng(draw.randrange(1 << 32))
    x = (rng.standard_normal(40) * 3).astype(np.float32)
    y = rng.standard_normal(40).astype(np.float32) if target is None else target(rng)
    t = mg.tensor(x, requires_grad=True)
    values = call(t, mg.tensor(y), reduction="none")
    values.sum().backward()
    value, slope, of_value, of_slope = exact(x.astype(EXACT), y.astype(EXACT))
    return text, [
        ("a value", values.detach().numpy(), value, 8 * EPS * of_value),
        ("a slope", t.grad.numpy(), slope, 8 * EPS * of_slope),
    ]


def quantile(draw):
    q = draw.choice([_near(draw, 1), _near(draw, 0)])

    def exact(x, y):
        d, slope = y - x, np.where(y > x, -EXACT(q), 1 - EXACT(q))
        return -slope * d, slope, np.abs(slope * d), np.abs(slope)

    return _loss(draw, f"q={q!r}", lambda *a, **k: F.quantile_loss(*a, q=q, **k), exact)


def huber(draw):
    delta = draw.choice([1e-6, 0.1, 1.0, 1 / 3, 1e4, 2**-20 + 2**-50])

    def exact(x, y):
        d, size = x - y, np.abs(x - y)
        far = size >= delta
        value = np.where(far, delta * (size - EXACT(delta) / 2), d * d / 2)
        slope = np.where(far, delta * np.sign(d), d)
        return value, slope, np.where(far, delta * size, value), np.abs(slope)

    return _loss(
        draw, f"delta={delta!r}", lambda *a, **k: F.huber_loss(*a, delta=delta, **k), exact
    )


def smooth_l1(draw):
    beta = draw.choice([1e-6, 0.1, 1.0, 1 / 3, 1e4, 2**-20 + 2**-50])

    def exact(x, y):
        d, size = x - y, np.abs(x - y)
        far = size >= beta
        value = np.where(far, size - EXACT(beta) / 2, d * d / 2 / EXACT(beta))
        slope = np.where(far, np.sign(d), d / EXACT(beta))
        return value, slope, np.where(far, size, value), np.abs(slope)

    return _loss(
        draw, f"beta={beta!r}", lambda *a, **k: F.smooth_l1_loss(*a, beta=beta, **k), exact
    )


def focal(draw):
    alpha = draw.choice([_near(draw, 1), _near(draw, 0), -1.0])
    gamma = draw.choice([0.0, 1.0, 2.0, 1 + _near(draw, 0), 0.5])

    def exact(x, y):
        s = 2 * y - 1  # of targets 0 and 1
        p, wrong = 1 / (1 + np.exp(-s * x)), 1 / (1 + np.exp(s * x))
        weight = 1 if alpha < 0 else np.where(y == 1, EXACT(alpha), 1 - EXACT(alpha))
        value = weight * wrong**gamma * np.log1p(np.exp(-s * x))
        slope = -s * weight * wrong**gamma * (wrong + gamma * p * np.log1p(np.exp(-s * x)))
        room = 1 + np.abs(x) * (1 + gamma)
        return value, slope, room * value, room * np.abs(slope)

    options = {"alpha": alpha, "gamma": gamma}
    targets = lambda rng: rng.integers(2, size=40).astype(np.float32)  # noqa: E731
    call = lambda *a, **k: F.sigmoid_focal_loss(*a, **options, **k)  # noqa: E731
    return _loss(draw, str(options), call, exact, targets)


def label_smoothing(draw):
    s, classes = draw.choice([_near(draw, 1), _near(draw, 0)]), draw.choice([2, 3, 40])
    rng = np.random.default_rng(draw.randrange(1 << 32))
    x, y = rng.standard_normal((9, classes)).astype(np.float32), rng.integers(classes, size=9)
    t = mg.tensor(x, requires_grad=True)
    values = F.cross_entropy(t, mg.tensor(y), label_smoothing=s, reduction="none")
    values.sum().backward()
    wide = x.astype(EXACT)
    log_p = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    weights = np.where(y[:, None] == np.arange(classes), 1 - EXACT(s), 0) + EXACT(s) / classes
    slope = np.exp(log_p) - weights
    return f"{s!r}, {classes} classes", [
        ("a value", values.detach().numpy(), -(weights * log_p).sum(1), 8 * EPS * 10),
        ("a slope", t.grad.numpy(), slope, 8 * EPS * (np.exp(log_p) + weights)),
    ]


def derived(draw):
    """A loss of the user's, whose parameters meet each other before they meet a number."""
    combination = _combination(draw, 4)
    other = _combination(draw, 3)
    given = {"q": draw.choice([_near(draw, 1), _near(draw, 0)]), "r": draw.uniform(0.5, 2)}

    def function(x, y, q=0.5, *, r=1.0):
        a, b = combination(q, r), other(q, r)
        d = y - x
        return scalar.where((d > 0) & (b > 0), a * d, b * d * d)

    ours = mg.loss(function)
    a, b = (float(f(given["q"], given["r"])) for f in (combination, other))  # in float64

    def exact(x, y):
        d, up = y - x, (y - x > 0) & (b > 0)
        value, slope = np.where(up, a * d, b * d * d), np.where(up, -EXACT(a), -2 * EXACT(b) * d)
        return value, slope, np.abs(value), np.abs(slope)

    text = f"{combination.text} and {other.text} of {given}"
    if not all(map(math.isfinite, (a, b))) or max(abs(a), abs(b)) > 1e30:
        return text, []
    return _loss(draw, text, lambda *args, **k: ours(*args, **given, **k), exact)


def _combination(draw, depth):
    """A random function of q and r, with its text."""
    if depth == 0 or draw.random() < 0.2:
        kind = draw.choice(["q", "r", "1"])
        made = {"q": lambda q, r: q, "r": lambda q, r: r, "1": lambda q, r: 1.0}[kind]
        made.text = kind
        return made
    left, right = _combination(draw, depth - 1), _combination(draw, depth - 1)
    kind = draw.choice("+-*/e")
    made = {
        "+": lambda q, r: left(q, r) + right(q, r),
        "-": lambda q, r: 1 - left(q, r) * right(q, r),
        "*": lambda q, r: left(q, r) * right(q, r),
        "/": lambda q, r: left(q, r) / (1 + right(q, r) * right(q, r)),
        "e": lambda q, r: -left(q, r) * 0.5,
    }[kind]
    made.text = f"({left.text} {kind} {right.text})"
    return made


# --- layers ---------------------------------------------------------------------------------------


def layers(draw):
    rng = np.random.default_rng(draw.randrange(1 << 32))
    x = (rng.standard_normal((50, 3)) * 2 + draw.choice([0, 5])).astype(np.float32)
    wide, kind = x.astype(EXACT), draw.choice(["norm", "leaky", "elu", "softplus", "dropout"])
    if kind == "norm":
        momentum, eps = draw.choice([0.0, 1.0, _near(draw, 1), _near(draw, 0)]), 1e-5
        mean, var = (rng.standard_normal((2, 3)) ** 2 * 1e4).astype(np.float32)
        running = mg.tensor(mean), mg.tensor(var)
        F.batch_norm(mg.tensor(x), *running, training=True, momentum=momentum, eps=eps)
        m = EXACT(momentum)
        want_mean = (1 - m) * mean + m * wide.mean(0)
        want_var = (1 - m) * var + m * wide.var(0, ddof=1)
        return f"batch_norm, momentum={momentum!r}", [
            ("the mean", running[0].numpy(), want_mean, 2 * EPS * np.abs(want_mean)),
            ("the variance", running[1].numpy(), want_var, 2 * EPS * want_var),
        ]
    number = draw.choice([_near(draw, 1), _near(draw, 0)])
    if kind == "dropout":
        kept = F.dropout(mg.ones(4000), number).numpy()
        want = 1 / (1 - number)
        return f"dropout, p={number!r}", [("what is kept", kept[kept != 0], want, EPS * want)]
    if kind == "leaky":
        got, want = F.leaky_relu(mg.tensor(x), number), np.where(x > 0, wide, number * wide)
    elif kind == "elu":
        want = np.where(x > 0, wide, number * np.expm1(wide))
        got = F.elu(mg.tensor(x), number)
    else:
        z = wide * EXACT(number)
        want = np.where(z > 20, wide, np.log1p(np.exp(z)) / EXACT(number))
        got = F.softplus(mg.tensor(x), number)
    return f"{kind}, {number!r}", [("a value", got.numpy(), want, 8 * EPS * np.abs(want))]


PROGRAMS = {
    f.__name__: f
    for f in (
        *(sgd, adam, rmsprop, quantile, huber, smooth_l1, focal, label_smoothing, derived),
        layers,
    )
}
