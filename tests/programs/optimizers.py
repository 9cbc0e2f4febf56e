"""Optimizers: groups, options and states change between steps as they do in PyTorch.

A program makes parameters of odd shapes and layouts and an optimizer over groups of them, and then
does what scripts do between steps: switch options, add groups, save, load, copy and pickle, replace
states, entries of them, gradients and memory. After each event parameters, options and states are
compared, and so are state dicts that were taken earlier and are still held.
"""

import copy
import io
import os
import pickle
import tempfile
import warnings

import numpy as np

import minigrad as mg

SHORT = 120
NEEDS_TORCH = True

SHAPES = ((), (3,), (2, 3), (0,), (2, 0), (1, 4), (40,))
LAYOUTS = ("rows", "columns", "every second")
OPTIONS = {  # what each may be told, in the constructor, a group, or later
    "lr": (0.1, 0.01, 0.5, 0.0, 1),
    "weight_decay": (0, 0.1, 0.5),
    "maximize": (False, True),
    "momentum": (0, 0.9, 0.5),
    "dampening": (0, 0.3),
    "nesterov": (False, True),
    "betas": ((0.9, 0.999), (0.5, 0.9), (0.0, 0.99)),
    "eps": (1e-8, 1e-3),
    "amsgrad": (False, True),
    "decoupled_weight_decay": (False, True),
    "alpha": (0.99, 0.6),
    "centered": (False, True),
    "foreach": (None, False),
    "differentiable": (False,),
    "note": ("anything",),  # an option that no optimizer knows is kept
}
TAKES = {
    "SGD": "lr weight_decay maximize momentum dampening nesterov foreach differentiable",
    "Adam": "lr weight_decay maximize betas eps amsgrad decoupled_weight_decay foreach",
    "AdamW": "lr weight_decay maximize betas eps amsgrad foreach differentiable",
    "RMSprop": "lr weight_decay maximize momentum alpha eps centered foreach",
}
STATES = {
    "SGD": {},
    "Adam": {"max_exp_avg_sq": "amsgrad"},
    "AdamW": {"max_exp_avg_sq": "amsgrad"},
    "RMSprop": {"momentum_buffer": "momentum", "grad_avg": "centered"},
}


class World:
    """The same program in one of the libraries."""

    def __init__(self, m, kind, options):
        self.m, self.kind, self.options = m, kind, options
        self.params, self.optimizer, self.kept, self.given = [], None, [], None

    def array(self, seed, shape, dtype, layout="rows"):
        values = np.random.default_rng(seed).uniform(0.1, 1, shape).astype(dtype)
        if layout == "columns" and values.ndim:
            values = np.asfortranarray(values)
        if layout == "every second" and values.ndim:
            values = np.repeat(values, 2, axis=0)[::2]
        return values

    def parameter(self, seed, shape, dtype, layout):
        p = self.m.from_numpy(self.array(seed, shape, dtype, layout)).requires_grad_()
        self.params.append(p)
        return p

    def make(self, groups):
        groups = [
            {"params": [self.parameter(*p) for p in params], **options}
            for params, options in groups
        ]
        self.optimizer = getattr(self.m.optim, self.kind)(groups, **self.options)

    def add(self, params, options):
        params = [self.parameter(*p) for p in params]
        self.optimizer.add_param_group({"params": params, **options})

    def grads(self, seed, missing):
        for i, p in enumerate(self.params):
            gradient = self.array((seed, i), tuple(p.shape), self.dtype(p)) - 0.5
            p.grad = None if i in missing else self.m.from_numpy(np.asarray(gradient))

    def dtype(self, p):
        return p.detach().numpy().dtype

    def begin(self):
        """A state that an option asks for later on fails in PyTorch; here it begins as zeros."""
        for group in self.optimizer.param_groups if self.m is not mg else ():
            for p in group["params"]:
                state = self.optimizer.state.get(p)
                for name, option in STATES[self.kind].items():
                    if state and p.grad is not None and group[option] and name not in state:
                        state[name] = self.m.zeros_like(p.detach())

    def step(self):
        self.begin()
        self.optimizer.step()

    def closure(self):
        def closure():
            self.optimizer.zero_grad(set_to_none=False)
            loss = sum(((p - 1) ** 2).sum() for p in self.params)
            loss.backward()
            self.begin()
            return loss

        with self.m.no_grad():
            self.optimizer.step(closure)

    def option(self, group, name, value):
        groups = self.optimizer.param_groups
        groups[group % len(groups)][name] = value

    def tensor_lr(self, group, value):
        self.option(group, "lr", self.m.tensor(value, dtype=self.m.float64))

    def clear(self):
        self.optimizer.state.clear()

    def replace_state(self, index):
        self.optimizer.state[self.params[index % len(self.params)]] = {}

    def entries(self, index):
        state = self.optimizer.state.get(self.params[index % len(self.params)], {})
        return state, sorted(name for name in state if name != "step")

    def replace_entry(self, index, seed, layout):
        state, names = self.entries(index)
        for name in names:  # one mean as large as to leave the centered one a root
            values = self.array(seed, tuple(state[name].shape), self.dtype(state[name]), layout)
            state[name] = self.m.from_numpy(np.asarray(values * (0.1 if name == "grad_avg" else 1)))

    def change_entry(self, index):
        state, names = self.entries(index)
        for name in names:
            state[name].mul_(0.5 if name == "grad_avg" else 2)

    def entry_data(self, index):
        state, names = self.entries(index)
        for name in names:
            state[name].data = state[name].data * (0.5 if name == "grad_avg" else 1.5)

    def change_step(self, index, value):
        state, _ = self.entries(index)
        if "step" in state:
            state["step"].fill_(value)

    def data(self, index, seed):
        p = self.params[index % len(self.params)]
        p.data = self.m.from_numpy(self.array(seed, tuple(p.shape), self.dtype(p)))

    def change(self, index):
        with self.m.no_grad():
            self.params[index % len(self.params)].mul_(0.5)

    def cast(self, dtype):
        """model.double(): parameters and gradients; PyTorch leaves the states behind."""
        for p in self.params:
            grad, p.grad = p.grad, None
            p.data = p.data.to(getattr(self.m, dtype))
            p.grad = grad if grad is None else grad.to(p.dtype)
            if self.m is not mg:
                for name, value in self.optimizer.state.get(p, {}).items():
                    if name != "step":
                        value.data = value.data.to(p.dtype)

    def copy(self):
        old = self.params
        self.params, self.optimizer = copy.deepcopy((self.params, self.optimizer))
        assert not any(p is q for p in self.params for q in old)

    def pickle(self):
        file = io.BytesIO()
        pickle.dump((self.optimizer, self.params), file)
        self.optimizer, self.params = pickle.loads(file.getvalue())

    def hold(self):
        """Keep a state dict: its tensors change with later steps, which may add some to theirs."""
        state = self.optimizer.state_dict()
        self.kept.append({**state, "state": {i: dict(s) for i, s in state["state"].items()}})

    def load(self, how, kind):
        """A new optimizer on the same parameters takes over what this one's state dict says."""
        state = self.optimizer.state_dict()
        if how == "deepcopy" or self.m is not mg:  # PyTorch goes on to use the tensors given
            state = copy.deepcopy(state)
        if how == "file" and self.m is mg:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "state.npz")
                mg.save(state, path)
                state = mg.load(path)
        if how == "theirs" and self.m is mg:
            state = self.given
        groups = [{"params": group["params"]} for group in self.optimizer.param_groups]
        self.optimizer = getattr(self.m.optim, kind)(groups, lr=0.7)
        self.optimizer.load_state_dict(state)

    def photograph(self):
        return {
            "params": [p.detach().numpy() for p in self.params],
            "now": plain(self.optimizer.state_dict()),
            "held": [plain(state) for state in self.kept],
        }


def plain(state):
    """A state dict with arrays for tensors, and without the states that say nothing."""
    number = {
        i: {name: value_of(value) for name, value in entry.items() if value is not None}
        for i, entry in state["state"].items()
    }
    groups = [{k: value_of(v) for k, v in group.items()} for group in state["param_groups"]]
    return {"state": {i: entry for i, entry in number.items() if entry}, "groups": groups}


def value_of(value):
    return value.detach().numpy() if hasattr(value, "detach") else value


def draw_options(draw, kind, most=4):
    names = [*TAKES[kind].split(), "note"]
    options = {
        name: draw.choice(OPTIONS[name]) for name in draw.sample(names, draw.randint(0, most))
    }
    return options


def draw_group(draw, dtype):
    params = [
        (draw.randrange(1000), draw.choice(SHAPES), dtype, draw.choice(LAYOUTS))
        for _ in range(draw.randint(1, 2))
    ]
    return params


def draw_event(draw, kind, dtype):
    index, seed = draw.randrange(6), draw.randrange(1000)
    name = draw.choice([
        "option", "option", "option", "tensor_lr", "add", "clear", "replace_state",
        "replace_entry", "change_entry", "entry_data", "change_step", "data", "change", "cast",
        "copy", "pickle", "hold", "load", "load", "closure",
    ])  # fmt: skip
    if name == "option":
        option = draw.choice(TAKES[kind].split())
        return name, index, option, draw.choice(OPTIONS[option])
    arguments = {
        "tensor_lr": (index, draw.choice((0.1, 0.5))),
        "add": (draw_group(draw, dtype), draw_options(draw, kind)),
        "replace_entry": (index, seed, draw.choice(LAYOUTS)),
        "change_step": (index, draw.choice((0, 3, 100))),
        "data": (index, seed),
        "cast": (draw.choice(("float64", "float32")),),
        "load": (
            draw.choice(("itself", "deepcopy", "file", "theirs")),
            draw.choice(("Adam", "AdamW")) if kind in ("Adam", "AdamW") else kind,
        ),
        "replace_state": (index,), "change_entry": (index,), "entry_data": (index,),
        "change": (index,),
    }  # fmt: skip
    return name, *arguments.get(name, ())


def attempt(draw):
    import torch

    kind = draw.choice(list(TAKES))
    options = draw_options(draw, kind)
    options.pop("note", None)
    if options.get("nesterov"):  # asks for both in the constructor
        options |= {"momentum": 0.9, "dampening": 0}
    dtype = draw.choice(("float64", "float64", "float32"))
    worlds = World(mg, kind, options), World(torch, kind, options)
    program = [("make", [
        (draw_group(draw, dtype), draw_options(draw, kind)) for _ in range(draw.randint(1, 3))
    ])]  # fmt: skip
    exact = dtype == "float64"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of tensors as numbers
        for _ in range(draw.randint(2, 10)):
            program += [draw_event(draw, kind, dtype) for _ in range(draw.randint(0, 2))]
            missing = [i for i in range(8) if draw.random() < 0.2]
            program += [("grads", draw.randrange(1000), missing), ("step",)]
        done = [f"{kind}({options})"]
        for name, *arguments in program:
            done.append(f"{name}{tuple(arguments)}")
            if name == "cast":
                exact = False
            text = "\n".join(done)
            ours, theirs = worlds
            ours.given = copy.deepcopy(theirs.optimizer and theirs.optimizer.state_dict())
            for world in (theirs, ours):
                try:
                    getattr(world, name)(*copy.deepcopy(arguments))
                except Exception as error:
                    raise AssertionError(f"{world.m.__name__}: {error!r}\n{text}") from error
            got, expected = ours.photograph(), theirs.photograph()
            tolerance = {"rtol": 1e-9, "atol": 1e-12} if exact else {"rtol": 1e-2, "atol": 2e-3}
            problem = difference(got, expected, tolerance)
            assert problem is None, f"{problem}\n{text}"


def difference(got, expected, tolerance, path=""):
    """What differs first, or None."""
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray) or got.shape != expected.shape:
            return f"{path}: {got!r}, expected {expected!r}"
        # After a cast, states follow with the next step that their parameter takes part in.
        follows = path.rpartition(".")[2] == "lr" or (
            ".state." in path and tolerance["atol"] > 1e-9
        )
        if got.dtype != expected.dtype and not follows:
            return f"{path}: {got.dtype}, expected {expected.dtype}"
        if not np.allclose(got, expected, equal_nan=True, **tolerance):
            return f"{path}: {got!r}, expected {expected!r}"
        return None
    if isinstance(expected, dict):
        if set(got) != set(expected):
            return f"{path}: {sorted(map(str, got))}, expected {sorted(map(str, expected))}"
        pairs = [(f"{path}.{key}", got[key], expected[key]) for key in expected]
    elif isinstance(expected, list):
        if len(got) != len(expected):
            return f"{path}: {len(got)} values, expected {len(expected)}"
        pairs = [(f"{path}.{i}", a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True))]
    else:
        # PyTorch's SGD says False where the others say None
        same = got == expected or (not got and not expected)
        return None if same else f"{path}: {got!r}, expected {expected!r}"
    found = (difference(a, b, tolerance, name) for name, a, b in pairs)
    return next((problem for problem in found if problem is not None), None)
