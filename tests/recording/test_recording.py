"""A compiled step does, bit for bit, what the plain function does."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F


def perceptron(*between):
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 4))


def batches(n=6, rows=5, dtype="float32"):
    rng = np.random.default_rng(1)
    return [
        (
            mg.tensor(rng.standard_normal((rows, 6)).astype(dtype)),
            mg.tensor(rng.integers(0, 4, rows)),
        )
        for _ in range(n)
    ]


def both(make, calls):
    """Run `calls` through a plain and a compiled step; compare results, gradients, parameters.

    make() -> (step, tensors to compare).
    """
    outcomes = []
    for wrap in (lambda f: f, mg.compile):
        mg.manual_seed(3)
        step, tensors = make()
        step, seen = wrap(step), []
        for args in calls:
            result = step(*(a.clone() if isinstance(a, mg.Tensor) else a for a in args))
            results = result if isinstance(result, tuple) else (result,)
            seen += [r.detach().numpy().copy() for r in results if r is not None]
            for t in tensors:
                seen.append(t.detach().numpy().copy())
                seen.append(np.zeros(0) if t.grad is None else t.grad.numpy().copy())
        outcomes.append(seen)
    plain, compiled = outcomes
    assert len(plain) == len(compiled)
    for a, b in zip(plain, compiled, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def training(model, optimizer, loss=F.cross_entropy, extra=lambda model: None):
    def make():
        m = model()
        o = optimizer(m.parameters())

        def step(x, y):
            o.zero_grad()
            out = loss(m(x), y)
            out.backward()
            extra(m)
            o.step()
            return out

        return step, list(m.parameters())

    return make


OPTIMIZERS = {
    "sgd": lambda p: mg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda p: mg.optim.Adam(p, lr=0.01),
    "adamw": lambda p: mg.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: mg.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    both(training(lambda: perceptron(nn.ReLU()), OPTIMIZERS[name]), batches())


@pytest.mark.parametrize(
    "layers",
    [
        [nn.ReLU], [nn.Tanh], [nn.Sigmoid], [nn.GELU], [nn.SiLU], [lambda: nn.Dropout(0.5)],
        [lambda: nn.BatchNorm1d(8), nn.ReLU], [lambda: nn.LayerNorm(8)], [lambda: nn.Softmax(1)],
        [lambda: nn.Dropout(0.3), nn.ReLU, lambda: nn.BatchNorm1d(8)],
    ],
)  # fmt: skip
def test_layers(layers):
    make = training(lambda: perceptron(*(f() for f in layers)), OPTIMIZERS["adam"])
    both(make, batches())


def by_kind(name):
    weight = mg.tensor(np.random.default_rng(2).random(4, np.float32) + 0.5)
    soft = mg.tensor(np.random.default_rng(3).dirichlet(np.ones(4), 5).astype(np.float32))
    return {
        "weights": lambda x, y: F.cross_entropy(x, y, weight, label_smoothing=0.1),
        "ignored": lambda x, y: F.cross_entropy(x, y, ignore_index=2, reduction="sum"),
        "soft": lambda x, y: F.cross_entropy(x, soft),
        "each": lambda x, y: F.cross_entropy(x, y, reduction="none").mean(),
        "nll": lambda x, y: F.nll_loss(F.log_softmax(x, 1), y, weight, ignore_index=1),
        "mse": lambda x, y: F.mse_loss(x, F.one_hot(y, 4).float()),
        "l1": lambda x, y: F.l1_loss(x, F.one_hot(y, 4).float(), reduction="sum"),
        "smooth_l1": lambda x, y: F.smooth_l1_loss(x, F.one_hot(y, 4).float(), beta=0.3),
        "bce": lambda x, y: F.binary_cross_entropy(F.sigmoid(x), F.one_hot(y, 4).float()),
        "logits": lambda x, y: F.binary_cross_entropy_with_logits(
            x, F.one_hot(y, 4).float(), weight, pos_weight=weight
        ),
        "two": lambda x, y: F.cross_entropy(x, y) + 0.1 * F.mse_loss(x, F.one_hot(y, 4).float()),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["weights", "ignored", "soft", "each", "nll", "mse", "l1", "smooth_l1", "bce", "logits", "two"],
)
def test_losses(name):
    make = training(lambda: perceptron(nn.ReLU()), OPTIMIZERS["adam"], by_kind(name))
    both(make, batches())


@pytest.mark.parametrize(
    "clip",
    [
        lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.05),
        lambda m: nn.utils.clip_grad_value_(m.parameters(), 0.01),
    ],
)
def test_clipping(clip):
    both(training(lambda: perceptron(nn.ReLU()), OPTIMIZERS["sgd"], extra=clip), batches())


def test_scheduler_inside_and_learning_rate_outside():
    def make():
        m = perceptron(nn.ReLU())
        o = mg.optim.SGD(m.parameters(), lr=0.5)
        s = mg.optim.lr_scheduler.StepLR(o, 2, gamma=0.5)

        def step(x, y, group=o.param_groups[0]):
            o.zero_grad()
            out = F.cross_entropy(m(x), y)
            out.backward()
            o.step()
            s.step()
            return out

        return step, list(m.parameters())

    both(make, batches(8))


def test_gradients_accumulate_without_zero_grad():
    def make():
        m = perceptron(nn.ReLU())
        o = mg.optim.SGD(m.parameters(), lr=0.1)

        def step(x, y, last):
            out = F.cross_entropy(m(x), y)
            out.backward()
            if last:
                o.step()
                o.zero_grad()
            return out

        return step, list(m.parameters())

    both(make, [(x, y, i % 3 == 2) for i, (x, y) in enumerate(batches(9))])


@pytest.mark.parametrize("clear", ["none", "zero_", "if", "set_to_none=False", "new"])
def test_gradients_cleared_by_hand(clear):
    def make():
        w = mg.tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4), requires_grad=True)
        o = mg.optim.SGD([w], lr=0.1)

        def step(x, y):
            if clear == "none":
                w.grad = None
            elif clear == "zero_" and w.grad is not None:
                w.grad.zero_()
            elif clear == "set_to_none=False":
                o.zero_grad(set_to_none=False)
            out = F.cross_entropy(x @ w, y)
            out.backward()
            with mg.no_grad():
                w.sub_(0.1 * w.grad)
                if clear == "new":
                    w.grad = w.grad * 0.5
                    w.data -= 0.01 * w.grad
                    w.grad = None
            return out

        return step, [w]

    both(make, batches())


def test_a_gradient_replaced_outside_counts():
    def make():
        m = perceptron(nn.ReLU())

        def step(x, y):
            out = F.cross_entropy(m(x), y)
            out.backward()
            return (out, *[p.grad * 2 for p in m.parameters()])

        return step, list(m.parameters())

    def outside(make):
        step, tensors = make()

        def around(x, y, what):
            for t in tensors:
                if what == "none":
                    t.grad = None
                elif what == "ones":
                    t.grad = mg.ones_like(t)
            return step(x, y)

        return around, tensors

    seen = []
    for wrap in (lambda f: f, mg.compile):

        def made(wrap=wrap):
            step, tensors = make()
            return wrap(step), tensors

        around, _ = outside(made)
        plan = ["none", "", "", "ones", "", "none", "ones", "none", ""]
        seen.append([])
        for (x, y), what in zip(batches(len(plan)), plan, strict=True):
            seen[-1] += [r.detach().numpy().copy() for r in around(x, y, what)]
    for a, b in zip(*seen, strict=True):
        np.testing.assert_array_equal(a, b)


def test_views_indices_and_in_place_changes():
    def make():
        w = mg.tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4), requires_grad=True)

        def step(x, y):
            w.grad = None
            h = x @ w
            h[:, 0] = h[:, 1] * 2
            h.mul_(1.5)
            h.view(-1)[::3].add_(1)
            out = h[:, y].exp().sum() / h.shape[0]
            out.backward()
            x.add_(1)  # changes the argument, as the plain function does
            return out, h.detach().T, x.amax(1), x

        return step, [w]

    both(make, batches())


def test_embedding_and_integers():
    def make():
        mg.manual_seed(1)
        e = nn.Embedding(4, 3, padding_idx=0)

        def step(x, y):
            e.weight.grad = None
            out = (e(y) * x[:, :3]).sum() + (y + 1).float().mean()
            out.backward()
            return out, y * 2

        return step, [e.weight]

    both(make, batches())


def test_new_shapes_dtypes_and_options():
    x64 = [(x.double(), y) for x, y in batches(2)]

    def make():
        w = mg.tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4), requires_grad=True)

        def step(x, y, *, scale=1.0, flags=(True,)):
            w.grad = None
            out = F.cross_entropy((x.float() @ w) * scale, y)
            out.backward()
            return out if flags[0] else out.detach() + 1

        return step, [w]

    calls = batches(2) + batches(2, 7) + x64 + batches(2)
    both(make, calls)
    step = mg.compile(make()[0])
    plain = make()[0]
    for (x, y), scale, flag in zip(
        batches(), [1, 2, 2, 1.0, True, 2], [1, 1, 0, 0, 1, 0], strict=True
    ):
        got = step(x, y, scale=scale, flags=(bool(flag),))
        assert got.item() == plain(x, y, scale=scale, flags=(bool(flag),)).item()


def test_one_array_for_two_arguments():
    step = mg.compile(lambda a, b: a.add_(1) + b)
    a, b = mg.ones(3), mg.zeros(3)
    assert step(a, a).tolist() == [4, 4, 4]
    assert step(a, b).tolist() == [3, 3, 3]
    assert step(a, a).tolist() == [8, 8, 8]
    assert step(b, a).tolist() == [5, 5, 5]


def test_training_mode_frozen_parameters_and_new_memory():
    seen = []
    for wrap in (lambda f: f, mg.compile):
        mg.manual_seed(5)
        model = perceptron(nn.Dropout(0.5))
        mg.manual_seed(6)
        optimizer = mg.optim.Adam(model.parameters(), lr=0.01)

        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            out = F.cross_entropy(model(x), y)
            out.backward()
            optimizer.step()
            return out

        step, seen_now = wrap(step), []
        for i, (x, y) in enumerate(batches(10)):
            if i == 2:
                model.eval()
            if i == 4:
                model.train()
            if i == 5:
                model[0].weight.requires_grad_(False)
            if i == 7:
                model[0].weight.requires_grad_()
                model[2].bias.data = mg.ones(4)
            if i == 8:
                model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})
            seen_now.append(step(x, y).item())
            seen_now += [p.detach().numpy().copy() for p in model.parameters()]
        seen.append(seen_now)
    for a, b in zip(*seen, strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors_come_back_in_a_replay():
    w = mg.tensor(np.ones((6, 4), np.float32), requires_grad=True)

    @mg.compile
    def step(x, y):
        w.grad = None
        out = F.cross_entropy(x @ w, y)
        out.backward()
        return out

    (x, y), *_ = batches()
    step(x, y)
    bad = y.clone()
    bad[3] = 9
    with pytest.raises(IndexError, match="class 9 at position"):
        step(x, bad)
    step(x, y)
    probabilities = mg.compile(lambda p, y: F.binary_cross_entropy(p, y))
    p = mg.full((3,), 0.5)
    probabilities(p, p)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        probabilities(p + 1, p)


def test_results_are_outside_the_graph_and_fresh():
    w = mg.ones(3, requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        out = (w * x).sum()
        out.backward()
        return {"loss": out, "all": [out.detach() * 2, None, 3, "text"]}

    results = [step(mg.ones(3) * i) for i in range(3)]
    assert [r["loss"].item() for r in results] == [0, 3, 6]
    assert [r["all"][0].item() for r in results] == [0, 6, 12]
    assert [r["all"][1:] for r in results] == [[None, 3, "text"]] * 3
    assert not any(r["loss"].requires_grad for r in results)
    kept = w.grad
    step(mg.ones(3) * 7)
    assert kept.tolist() == [2, 2, 2]
    assert w.grad.tolist() == [7, 7, 7]


def test_no_grad_is_its_own_recording():
    w = mg.ones(3, requires_grad=True)
    double = mg.compile(lambda x: (w * x).detach())
    with mg.no_grad():
        assert double(mg.ones(3)).tolist() == [1, 1, 1]
    assert double(mg.ones(3) * 2).tolist() == [2, 2, 2]


def test_inside_another_compiled_function():
    inner = mg.compile(lambda x: x * 2)
    outer = mg.compile(lambda x: inner(x) + 1)
    assert [outer(mg.ones(2) * i).tolist() for i in range(3)] == [[1, 1], [3, 3], [5, 5]]


def test_several_threads():
    step = mg.compile(lambda x: (x * x).sum())
    wrong = []

    def work(seed):
        for i in range(300):
            x = mg.tensor(np.full(seed + 2, i, np.float32))
            if step(x).item() != (seed + 2) * i * i:
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(s % 3,)) for s in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


W = mg.tensor(np.ones(3, np.float32), requires_grad=True)
OUTER = (W * 2).exp()


class Double(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Toggle(nn.Module):
    def forward(self, x):
        self.train(not self.training)
        return x


REFUSED = {
    "item": (lambda x: x.sum().item(), "reads the value"),
    "bool": (lambda x: x if x.sum() > 0 else -x, "reads the value"),
    "float": (lambda x: float(x.sum()), "reads the value"),
    "numpy": (lambda x: mg.tensor(x.numpy() * 2), "reads the value"),
    "print": (lambda x: print(x), "reads the value"),
    "mask": (lambda x: x[x > 0], "depends on values"),
    "one_hot": (lambda x: F.one_hot(x.long()), "depends on values"),
    "random": (lambda x: x + mg.rand(3), "made within the step"),
    "array": (lambda x: x + mg.Tensor(x.array * 2), "made within the step"),
    "create_graph": (
        lambda x: mg.autograd.grad((W * x).sum(), W, create_graph=True)[0], "create_graph"),
    "Function": (lambda x: Double.apply(x), "Function"),
    "pending": (lambda x: (W * x).sum(), "backward pass is still to come"),
    "outer graph": (lambda x: (OUTER * x).sum().detach(), "outside the step"),
    "closure": (
        lambda x: mg.optim.SGD([W], lr=0.1).step(lambda: (W * x).sum()), "closure"),
    "toggle": (lambda x: Toggle()(x), "mode"),
    "data": (lambda x: setattr(W, "data", x), "other memory"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    function, words = REFUSED[name]
    with pytest.raises(RuntimeError, match=f"cannot record this step: .*{words}"):
        mg.compile(function)(mg.ones(3))
    assert (mg.ones(2) * 2).sum().item() == 4  # recording has ended


def test_arguments_are_checked():
    with pytest.raises(RuntimeError, match="argument requires a gradient"):
        mg.compile(lambda x: x)(W)
    with pytest.raises(TypeError, match="hashable"):
        mg.compile(lambda x: x)(np.ones(3))
    with pytest.raises(TypeError, match="callable"):
        mg.compile(3)


def test_another_layout_is_recorded_anew():
    flat = mg.compile(lambda x: (x * 2).reshape(-1).add_(1))
    x = mg.tensor(np.arange(6, dtype=np.float32))
    for a in (x.reshape(2, 3), x.reshape(3, 2).T, x.reshape(2, 3)[::-1], x.reshape(2, 3)):
        assert flat(a).tolist() == ((a * 2).reshape(-1) + 1).tolist()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x.gather(0, i), lambda x, i: x.index_select(0, i), lambda x, i: x[i],
        lambda x, i: x.take_along_dim(i, 0), lambda x, i: x.masked_fill(i > 1, 0.5),
        lambda x, i: x.masked_fill(i > 1, i.amax().float()), lambda x, i: mg.where(i > 1, x, 0.0),
        lambda x, i: x.pow(i), lambda x, i: x.clamp(i.amin().float(), i.amax().float()),
        lambda x, i: mg.embedding(i, x) if hasattr(mg, "embedding") else F.embedding(i, x[:, None]),
        lambda x, i: x.index_put((i,), x) if hasattr(x, "index_put") else x.clone().copy_(i),
    ],
)  # fmt: skip
def test_tensors_among_the_options(function):
    step = mg.compile(function)
    x = mg.tensor(np.linspace(1, 2, 4, dtype=np.float32))
    for index in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 0, 2]):
        i = mg.tensor(index)
        assert step(x, i).tolist() == function(x, i).tolist()
