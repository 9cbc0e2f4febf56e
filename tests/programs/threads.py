"""Threads: small programs in several threads at once, first calls included, against one alone.

A world holds what threads share: compiled functions of Tensors and of Values, leaves, a model to
look at; each thread has models, optimizers and generators of its own. Each does what it did alone,
to the bit. What all add to (gradients of shared leaves) is a sum of whole numbers, which comes out
the same in any order.
"""

from __future__ import annotations

import minigrad as mg
from helpers.threads import together, turns
from minigrad import nn, scalar

F = nn.functional
SHORT = 20
INTERVAL = 1e-6  # seconds between turns
ROUNDS = 2


def attempt(draw):
    threads, tasks = draw.choice([2, 3, 6]), draw.sample(sorted(TASKS), draw.randrange(1, 4))
    seeds = [draw.randrange(1000) for _ in range(threads)]
    seeds[-1] = seeds[0]  # the same task with the same numbers twice
    alone = run(tasks, seeds, lambda work: list(map(work, range(threads))))
    with turns(INTERVAL):
        at_once = run(tasks, seeds, lambda work: together(work, threads))
    for (name, a), (_, b) in zip(alone, at_once, strict=True):
        assert a == b, (
            f"{name}: {a} alone, {b} together\n"
            f"{threads} threads, tasks {', '.join(tasks)}, seeds {seeds}"
        )


def run(tasks, seeds, in_threads):
    """(what, value) for all that the threads found, and for what they shared afterwards."""
    world = World()

    def work(k):
        return [TASKS[task](world, seeds[k] + i) for i in range(ROUNDS) for task in tasks]

    found = [(f"thread {k}", bits(result)) for k, result in enumerate(in_threads(work))]
    return found + [(name, bits(value)) for name, value in world.shared().items()]


def bits(x):
    if isinstance(x, mg.Tensor):
        return str(x.dtype), tuple(x.shape), x.detach().numpy().tobytes().hex()
    if isinstance(x, list | tuple):
        return [bits(part) for part in x]
    return float(x).hex() if isinstance(x, float) else x


class World:
    """What the threads of one run share."""

    def __init__(self):
        self.leaf = mg.zeros(500, requires_grad=True)
        self.graph = (self.leaf * 3).sum()
        self.weights = weights = [scalar.Value(float(i)) for i in range(6)]
        self.scalar_step = scalar.compile(lambda x: sum((w * x for w in weights), 2 * weights[0]))
        self.model = model(0).requires_grad_(False)
        self.predict = mg.compile(lambda x: self.model(x))
        self.function = mg.compile(lambda x, y: (F.softmax(x, 1) * y).sum(0) + x.amax(0))
        self.quartic = mg.loss(lambda x, y, scale=1.0: scale * (x - y) ** 4)

    def shared(self):
        gradients = [w.grad for w in self.weights]
        for w in self.weights:
            w.data = 1.0
        later = self.scalar_step(1.0)  # sees what was written
        return {"leaf": self.leaf.grad, "weights": gradients, "later": later}


def model(seed):
    generator = mg.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3))
    with mg.no_grad():
        for parameter in net.parameters():
            parameter.copy_(mg.randn(*parameter.shape, generator=generator))
    return net


def data(seed, rows=6):
    generator = mg.Generator().manual_seed(seed)
    x = mg.randn(rows, 4, generator=generator)
    return x, mg.randint(0, 3, (rows,), generator=generator)


def training(world, seed, wrap=lambda step: step):
    net, (x, y) = model(seed), data(seed)
    optimizer = [mg.optim.SGD, mg.optim.Adam, mg.optim.RMSprop][seed % 3](net.parameters(), lr=0.1)
    scheduler = mg.optim.lr_scheduler.StepLR(optimizer, 2)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.detach()

    step = wrap(step)
    return [step(x, y) for _ in range(3)] + [p.detach() for p in net.parameters()]


def losses(world, seed):
    rows = 9000 if seed % 10 == 0 else 20  # 36,000 elements: in threads of Numba's
    x, y = data(seed, rows)
    found = []
    for loss in (
        lambda x: F.mse_loss(x, x.detach().flip(0)), lambda x: F.cross_entropy(x, y),
        lambda x: F.huber_loss(x, mg.zeros_like(x), delta=0.1 + seed), lambda x: F.gelu(x).sum(),
        lambda x: F.quantile_loss(x, x.detach() * 0.5, 0.3, reduction="none").sum(),
        lambda x: world.quartic(x, mg.zeros_like(x), 0.5),
    ):  # fmt: skip
        leaf = x.clone().requires_grad_()
        out = loss(leaf)
        out.backward()
        found += [out.detach(), leaf.grad]
    return found


def whole_gradients(world, seed):
    for factor in (1.0, float(seed % 5)):
        (world.leaf * factor).sum().backward()
    world.graph.backward(retain_graph=True)
    return []


def values(world, seed):
    a, b = scalar.Value(float(seed)), scalar.Value(0.5)
    out = (a * b).tanh() + a.relu() ** 2 - b / (a + 1.0)
    out.backward()
    (world.weights[1] * 2.0 + world.weights[0]).backward()
    return [out.data, a.grad, b.grad]


def scalar_compiled(world, seed):
    own = scalar.Value(0.25)
    step = scalar.compile(lambda x, y: scalar.exp(own * x) / (1.0 + y * y))
    found = [world.scalar_step(1.0), step(float(seed % 7), 2.0), own.grad]
    own.data = float(seed)
    return [*found, step(0.01, 0.5), own.grad]


def inference(world, seed):
    x, _ = data(seed, 3 + seed % 4)
    y = mg.ones(4) * seed
    found = [world.function(x, y), world.function(x * 2, y)]
    with mg.no_grad():
        return [*found, world.predict(x), world.predict(x * 2)]


def modes_and_draws(world, seed):
    generator = mg.Generator().manual_seed(seed)
    with mg.no_grad():
        inside = (mg.ones(2, requires_grad=True) * 2).requires_grad
    mask = F.dropout(mg.ones(50), 0.3, generator=generator)
    with mg.autograd.detect_anomaly():
        w = mg.ones(3, requires_grad=True)
        (w * seed).sum().backward()
    return [inside, mg.is_grad_enabled(), mask, mg.rand(3, generator=generator), w.grad]


TASKS = {
    "training": training,
    "compiled training": lambda world, seed: training(world, seed, mg.compile),
    "losses": losses,
    "whole gradients": whole_gradients,
    "values": values,
    "scalar.compile": scalar_compiled,
    "inference": inference,
    "modes and draws": modes_and_draws,
}
