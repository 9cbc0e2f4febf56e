"""Schedulers: the rates are PyTorch's whatever happens between two epochs.

A program makes an optimizer with a few groups and one or two schedulers on it, and then steps,
changes rates by hand, adds groups, copies, pickles, and loads states: its own, from a file, and
PyTorch's. After each event the rates, get_last_lr() and what a state dict says are compared.
"""

import copy
import math
import os
import pickle
import tempfile
import warnings

import minigrad as mg

SHORT = 150
NEEDS_TORCH = True


class Warm:
    """A callable object, whose attributes are its state."""

    def __init__(self, rate):
        self.rate, self.calls = rate, 0

    def __call__(self, epoch):
        self.calls += 1
        return self.rate**epoch + 0.01 * self.calls


def inverse(epoch):
    return 1 / (epoch + 1)


def draw_scheduler(draw, groups):
    epochs = [draw.randint(1, 12) for _ in range(draw.randint(0, 4))]
    gamma = draw.choice((0.1, 0.5, 0.9, 1.1))
    functions = [draw.choice((inverse, math.cos, Warm(0.9), Warm(0.5))) for _ in range(groups)]
    functions = [f if f is not math.cos else inverse for f in functions]
    low = draw.choice((0, 0.01, 0.2))
    return draw.choice([
        ("StepLR", {"step_size": draw.randint(1, 4), "gamma": gamma}),
        ("MultiStepLR", {"milestones": epochs, "gamma": gamma}),
        ("ExponentialLR", {"gamma": gamma}),
        ("CosineAnnealingLR", {"T_max": draw.randint(1, 6), "eta_min": draw.choice((0.0, 0.05))}),
        ("LambdaLR", {"lr_lambda": draw.choice((functions, tuple(functions), functions[0]))}),
        ("ReduceLROnPlateau", {
            "mode": draw.choice(("min", "max")), "factor": draw.choice((0.1, 0.5)),
            "patience": draw.randint(0, 2), "threshold": draw.choice((1e-4, 0.1)),
            "threshold_mode": draw.choice(("rel", "abs")), "cooldown": draw.randint(0, 2),
            "min_lr": draw.choice((low, [low] * groups)), "eps": draw.choice((1e-8, 0.01)),
        }),
    ])  # fmt: skip


class World:
    def __init__(self, m, rates, schedulers):
        self.m, self.schedulers, self.given = m, [], None
        groups = [{"params": [self.parameter()], "lr": self.rate(lr)} for lr in rates]
        self.optimizer = m.optim.SGD(groups, lr=1.0)
        for name, options in copy.deepcopy(schedulers):
            self.schedulers.append(getattr(m.optim.lr_scheduler, name)(self.optimizer, **options))
        self.made = schedulers

    def parameter(self):
        return self.m.ones(1, dtype=self.m.float64).requires_grad_()

    def rate(self, rate):
        tensor = isinstance(rate, tuple)
        return self.m.tensor(*rate, dtype=self.m.float64) if tensor else rate

    def step(self, which, metric):
        scheduler = self.schedulers[which % len(self.schedulers)]
        self.optimizer.step()
        plateau = type(scheduler).__name__ == "ReduceLROnPlateau"
        scheduler.step(*([self.rate(metric)] if plateau else []))

    def by_hand(self, group, rate):
        groups = self.optimizer.param_groups
        groups[group % len(groups)]["lr"] = self.rate(rate)

    def add(self, rate):
        self.optimizer.add_param_group({"params": [self.parameter()], "lr": self.rate(rate)})

    def copy(self):
        self.schedulers, self.optimizer = copy.deepcopy((self.schedulers, self.optimizer))

    def pickle(self):
        if self.m is mg:  # PyTorch's optimizers have a local function by then
            both = pickle.loads(pickle.dumps((self.schedulers, self.optimizer)))
            self.schedulers, self.optimizer = both
            assert all(s.optimizer is self.optimizer for s in self.schedulers)

    def load(self, how):
        """New schedulers on a new optimizer take over what the state dicts of these say."""
        states = [copy.deepcopy(s.state_dict()) for s in self.schedulers]
        rates = copy.deepcopy(self.optimizer.state_dict())
        if how == "file" and self.m is mg:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "state.npz")
                mg.save(states, path)
                states = mg.load(path)
        if how == "theirs" and self.m is mg:
            states, rates = self.given
        groups = [{"params": group["params"]} for group in self.optimizer.param_groups]
        self.optimizer = self.m.optim.SGD(groups, lr=1.0)
        made = []
        for name, options in copy.deepcopy(self.made):
            count = len(groups)  # of functions and the like, by now
            options = {
                k: list(v)[:1] * count if k in ("lr_lambda", "min_lr") and type(v) in (list, tuple)
                else v for k, v in options.items()
            }  # fmt: skip
            made.append(getattr(self.m.optim.lr_scheduler, name)(self.optimizer, **options))
        self.schedulers = made
        for scheduler, state in zip(self.schedulers, states, strict=True):
            scheduler.load_state_dict(state)
        self.optimizer.load_state_dict(rates)

    def states(self):
        rates = copy.deepcopy(self.optimizer.state_dict())
        return [copy.deepcopy(s.state_dict()) for s in self.schedulers], rates

    def photograph(self):
        groups = self.optimizer.param_groups
        names = ("last_epoch", "base_lrs", "best", "num_bad_epochs", "cooldown_counter", "min_lrs")
        return {
            "rates": [float(group["lr"]) for group in groups],
            "tensors": [hasattr(group["lr"], "fill_") for group in groups],
            "initial": [float(group.get("initial_lr", -1)) for group in groups],
            "last": [list(map(float, s.get_last_lr())) for s in self.schedulers],
            "states": [
                {name: plain(s.state_dict()[name]) for name in names if name in s.state_dict()}
                for s in self.schedulers
            ],
            "functions": [
                [getattr(f, "calls", None) for f in getattr(s, "lr_lambdas", [])]
                for s in self.schedulers
            ],
        }


def plain(value):
    return list(map(float, value)) if isinstance(value, list) else float(value)


def draw_rate(draw):
    rate = draw.choice((0.5, 0.1, 0.02, 1))
    return (rate,) if draw.random() < 0.2 else rate  # a tuple stands for a tensor


def draw_event(draw):
    name = draw.choice(["step"] * 6 + ["by_hand", "by_hand", "add", "copy", "pickle", "load"])
    arguments = {
        "step": (draw.randrange(2), draw.choice((1.0, 0.9, 0.5, 0.7, 2.0, math.nan, (0.6,)))),
        "by_hand": (draw.randrange(4), draw_rate(draw)),
        "add": (draw_rate(draw),),
        "load": (draw.choice(("itself", "file", "theirs")),),
    }
    return name, *arguments.get(name, ())


def attempt(draw):
    import torch

    rates = [draw_rate(draw) for _ in range(draw.randint(1, 3))]
    schedulers = [draw_scheduler(draw, len(rates)) for _ in range(draw.choice((1, 1, 2)))]
    done = [f"rates {rates}", f"schedulers {schedulers}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of steps in another order
        worlds = ours, theirs = [World(m, rates, schedulers) for m in (mg, torch)]
        for _ in range(draw.randint(3, 25)):
            name, *arguments = draw_event(draw)
            done.append(f"{name}{tuple(arguments)}")
            text = "\n".join(done)
            ours.given = theirs.states()
            errors = []
            for world in worlds:
                try:
                    getattr(world, name)(*arguments)
                    errors.append(None)
                except Exception as error:
                    errors.append(error)
            kinds = list(map(type, errors))
            assert kinds[0] is kinds[1], f"{errors}\n{text}"
            if errors[0] is not None:
                assert "group" in str(errors[0]), f"{errors}\n{text}"
                return
            got, expected = ours.photograph(), theirs.photograph()
            for key, value in expected.items():
                assert close(got[key], value), f"{key}: {got[key]}, expected {value}\n{text}"


def close(a, b):
    if isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in b)
    if isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    if isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-17) or a == b or (a != a and b != b)
    return a == b
