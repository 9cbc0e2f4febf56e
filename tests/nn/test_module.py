"""Module, Parameter and the containers: names, state, printing and errors are PyTorch's."""

import copy
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch live")


class Block(nn.Module):
    """A parameter, a shared layer, two buffers and a reserved name: one of everything."""

    def __init__(self, n=2):
        super().__init__()
        self.first = nn.Linear(n, n)
        self.scale = nn.Parameter(mg.ones(n))
        self.register_buffer("steps", mg.zeros((), dtype=mg.int64))
        self.register_buffer("scratch", mg.zeros(n), persistent=False)
        self.register_parameter("shift", None)
        self.again = self.first
        self.body = nn.Sequential(nn.Linear(n, 1, bias=False), nn.ReLU())

    def forward(self, x):
        return self.body(self.again(self.first(x)) * self.scale)


PARAMETERS = ["scale", "first.weight", "first.bias", "body.0.weight"]
STATE = [
    *("scale", "steps", "first.weight", "first.bias", "again.weight", "again.bias"),
    "body.0.weight",
]


def test_names_and_sharing():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == PARAMETERS
    assert len(list(block.named_parameters(remove_duplicate=False))) == 6
    assert [name for name, _ in block.named_parameters(recurse=False)] == ["scale"]
    assert next(name for name, _ in block.named_parameters(prefix="p")) == "p.scale"
    assert [name for name, _ in block.named_buffers()] == ["steps", "scratch"]
    assert [name for name, _ in block.named_children()] == ["first", "body"]
    assert [name for name, _ in block.named_modules()] == ["", "first", "body", "body.0", "body.1"]
    assert list(block.state_dict()) == STATE
    assert list(block.state_dict(prefix="x.")) == ["x." + name for name in STATE]
    assert block.shift is None


def test_assignment_registers_replaces_and_removes():
    block = Block()
    new = nn.Parameter(mg.zeros(2))
    block.scale = new
    assert dict(block.named_parameters())["scale"] is block.scale is new
    block.shift = nn.Parameter(mg.zeros(2))
    assert "shift" in dict(block.named_parameters())
    block.shift = None
    assert block.shift is None
    assert "shift" not in dict(block.named_parameters())
    block.steps = mg.ones(3)
    assert dict(block.named_buffers())["steps"] is block.steps
    block.first = nn.Identity()  # what was a Linear stays reachable as `again` alone
    assert "again.weight" in dict(block.named_parameters())
    block.plain = 3
    block.plain = nn.Parameter(mg.zeros(1))
    assert "plain" in dict(block.named_parameters())
    for name in ("plain", "steps", "body"):
        delattr(block, name)
        assert not hasattr(block, name)
    assert list(block.state_dict()) == ["scale", "again.weight", "again.bias"]


class Unready(nn.Module):
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda m: setattr(m, "scale", 3), TypeError, "cannot assign 'int' as parameter 'scale'"),
        (
            lambda m: setattr(m, "scale", mg.ones(2)),
            TypeError,
            "as parameter 'scale' .Parameter or",
        ),
        (lambda m: setattr(m, "first", "x"), TypeError, "cannot assign 'str' as module 'first'"),
        (lambda m: setattr(m, "steps", 1.0), TypeError, "cannot assign 'float' as buffer 'steps'"),
        (
            lambda m: m.register_parameter("a.b", None),
            KeyError,
            "parameter name can.*t be empty or",
        ),
        (lambda m: m.register_buffer("", None), KeyError, "buffer name can.*t be empty or"),
        (lambda m: m.register_buffer("training", None), KeyError, "'training' already exists"),
        (lambda m: m.add_module("new", 3), TypeError, "cannot assign 'int' as module 'new'"),
        (lambda m: m.absent, AttributeError, "'Block' object has no attribute 'absent'"),
        (lambda m: delattr(m, "absent"), AttributeError, "absent"),
        (lambda m: m.train("yes"), ValueError, "training mode is expected to be boolean"),
        (lambda m: m.to(mg.int64), TypeError, "expected a floating point dtype, got int64"),
        (lambda m: m.load_state_dict([1]), TypeError, "Expected state_dict to be dict-like"),
        (lambda m: nn.Module()(1), NotImplementedError, r"\[Module\] is missing the required"),
        (lambda m: Unready(m), AttributeError, r"module before Module.__init__\(\) call"),
        (lambda m: Unready(m.scale), AttributeError, r"parameter before Module.__init__\(\) call"),
        (lambda m: m.body[2], IndexError, "out of range"),
        (lambda m: nn.Sequential(m, 3), TypeError, "cannot assign 'int' as module '1'"),
        (lambda m: nn.ModuleDict({"keys": m}), KeyError, "attribute 'keys' already exists"),
    ],
)
def test_faults_are_named(fault, error, message):
    with pytest.raises(error, match=message):
        fault(Block())


def test_state_dict_shares_memory_and_loading_copies():
    block, other = Block(), Block()
    state = block.state_dict()
    assert not any(value.requires_grad for value in state.values())
    assert block.state_dict(keep_vars=True)["scale"] is block.scale
    state["scale"].zero_()
    assert block.scale.tolist() == [0, 0]

    weight, rng = other.first.weight, np.random.default_rng(0)
    values = {name: mg.tensor(rng.integers(0, 9, v.shape)) for name, v in state.items()}
    assert other.load_state_dict(values) == ([], [])
    assert other.first.weight is weight
    assert weight.dtype == mg.float32
    assert weight.tolist() == values["again.weight"].tolist()
    assert other.steps.item() == values["steps"].item()
    assert other.scale.tolist() == values["scale"].tolist()
    other.scale.detach().add_(1)
    assert other.scale.tolist() != values["scale"].tolist()


MISMATCH = """Error(s) in loading state_dict for Linear:
	Missing key(s) in state_dict: "bias". 
	Unexpected key(s) in state_dict: "q". 
	size mismatch for weight: copying a param with shape {0}[1, 2]{1} from checkpoint, the shape \
in current model is {0}[3, 2]{1}."""  # noqa: W291, PyTorch's own spaces


def test_loading_what_does_not_fit_copies_nothing():
    layer = nn.Linear(2, 3)
    before = layer.weight.tolist()
    bad = {"weight": mg.zeros(1, 2), "q": mg.zeros(3)}
    with pytest.raises(RuntimeError) as caught:
        layer.load_state_dict(bad)
    assert str(caught.value) == MISMATCH.format("minigrad.Size(", ")")
    with pytest.raises(RuntimeError, match="expected a Tensor for bias, got list"):
        layer.load_state_dict({"weight": mg.zeros(3, 2), "bias": [1, 2, 3]})
    assert layer.weight.tolist() == before
    keys = layer.load_state_dict({"weight": mg.zeros(3, 2), "q": mg.zeros(1)}, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["bias"], ["q"])
    assert layer.weight.tolist() == [[0, 0]] * 3


@pytest.mark.torch
def test_mismatch_message_is_pytorchs(torch):
    bad = {"weight": torch.zeros(1, 2), "q": torch.zeros(3)}
    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 3).load_state_dict(bad)
    assert str(caught.value) == MISMATCH.format("torch.Size(", ")")


def test_modes_and_whole_tree_changes():
    block = Block()
    assert block.eval() is block
    assert not any(module.training for module in block.modules())
    assert all(module.training for module in block.train().modules())

    seen = []
    block.apply(seen.append)
    assert seen == [block.first, block.body[0], block.body[1], block.body, block]

    block(mg.ones(3, 2)).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    block.zero_grad(set_to_none=False)
    assert all(p.grad.tolist() == mg.zeros_like(p).tolist() for p in block.parameters())
    block.double()
    assert {p.dtype for p in block.parameters()} == {p.grad.dtype for p in block.parameters()}
    assert (block.scale.dtype, block.steps.dtype) == (mg.float64, mg.int64)
    assert block(mg.ones(3, 2, dtype=mg.float64)).dtype == mg.float64
    assert block.to(mg.float32).to("cpu").cpu().scale.dtype == mg.float32
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())
    block.requires_grad_(False)
    assert not block(mg.ones(3, 2)).requires_grad


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_apart(twin_of):
    block = Block()
    twin = twin_of(block)
    assert twin.again is twin.first
    assert twin.first.weight is dict(twin.named_parameters())["first.weight"]
    assert isinstance(twin.scale, nn.Parameter)
    twin.scale.detach().zero_()
    assert block.scale.tolist() == [1, 1]
    assert list(twin.state_dict()) == STATE


def test_sequential():
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    row = nn.Sequential(a, b, b)
    assert len(row) == 3
    assert list(row) == [a, b, b]
    row[-1] = c
    assert row[2] is c
    assert list(row[1:].state_dict()) == ["2.weight", "2.bias"]
    assert row.append(b)[3] is b
    row.insert(1, b)
    assert list(row.extend([a])) == [a, b, b, c, b, a]
    del row[1:3]
    assert list(row) == [a, c, b, a]
    assert list(row.state_dict())[2:4] == ["1.weight", "1.bias"]
    named = nn.Sequential(OrderedDict(inner=a, outer=c))
    assert named.outer is named[1] is c
    x = mg.ones(4, 2)
    np.testing.assert_array_equal(named(x).tolist(), c(a(x)).tolist())
    assert nn.Sequential()(x) is x


def test_lists_and_dicts_of_modules():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(layers[1:]) == 2
    assert next(iter(layers[1:].state_dict())) == "0.weight"
    assert len(list(layers.parameters())) == 6
    with pytest.raises(NotImplementedError):
        layers(mg.ones(2))

    table = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Tanh()})
    table["c"] = nn.Identity()
    assert ("b" in table, list(table), len(table)) == (True, ["a", "b", "c"], 3)
    assert table.pop("b") is not None
    table.update({"d": nn.ReLU()})
    assert [*table.keys()] == ["a", "c", "d"]
    assert list(table.state_dict()) == ["a.weight", "a.bias"]
    assert len({table, nn.ModuleDict(), nn.ModuleDict()}) == 3
    del table["a"]
    assert not list(table.parameters())
    table.clear()
    assert str(table) == "ModuleDict()"


def build(nn):
    """One model with every shape of representation, from either library's nn."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                [*(nn.Linear(2, 2) for _ in range(3)), nn.ReLU(), nn.Sequential(nn.Tanh())]
            )
            self.table = nn.ModuleDict({"drop": nn.Dropout(0.1), "none": nn.Identity()})
            self.empty = nn.ModuleList()

        def extra_repr(self):
            return "depth=5,\nwidth=2"

    return Net()


REPRESENTATION = """Net(
  depth=5,
  width=2
  (layers): ModuleList(
    (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    (3): ReLU()
    (4): Sequential(
      (0): Tanh()
    )
  )
  (table): ModuleDict(
    (drop): Dropout(p=0.1, inplace=False)
    (none): Identity()
  )
  (empty): ModuleList()
)"""


def test_representation():
    assert repr(build(nn)) == REPRESENTATION
    assert repr(nn.Parameter(mg.zeros(2))) == (
        "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    )


@pytest.mark.torch
def test_representation_is_pytorchs(torch):
    assert repr(build(torch.nn)) == REPRESENTATION


def with_gradients(library, dtype="float32"):
    """Parameters with random gradients, one without, from either library."""
    rng, parameters = np.random.default_rng(0), []
    for shape in ((3, 4), (2,), ()):
        parameter = library.zeros(shape, dtype=getattr(library, dtype), requires_grad=True)
        (parameter * library.tensor(rng.normal(size=shape).astype(dtype))).sum().backward()
        parameters.append(parameter)
    return [*parameters, library.zeros(5, requires_grad=True)]


CLIPS = [
    lambda utils, p: utils.clip_grad_norm_(p, 1.5),
    lambda utils, p: utils.clip_grad_norm_(p, 1.5, norm_type=math.inf),
    lambda utils, p: utils.clip_grad_norm_(p, 0.5, 1),
    lambda utils, p: utils.clip_grad_norm_(iter(p), 100.0, norm_type=3),
    lambda utils, p: utils.clip_grad_norm_(p[0], 0.1),
    lambda utils, p: utils.clip_grad_norm_([], 0.1),
    lambda utils, p: utils.clip_grad_value_(p, 0.25),
    lambda utils, p: utils.clip_grad_value_(p[1], 0.25),
]


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clip", CLIPS)
def test_clipping_is_pytorchs(clip, dtype, torch):
    ours, theirs = with_gradients(mg, dtype), with_gradients(torch, dtype)
    got, truth = clip(nn.utils, ours), clip(torch.nn.utils, theirs)
    pairs = [(a.grad, b.grad) for a, b in zip(ours[:-1], theirs[:-1], strict=True)]
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    for a, b in pairs if truth is None else [*pairs, (got, truth)]:
        assert str(b.dtype) == f"torch.{a.dtype}"
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance)


def test_clipping():
    parameters = with_gradients(mg)
    before = math.sqrt(sum((p.grad**2).sum().item() for p in parameters[:-1]))
    gradient = parameters[0].grad
    np.testing.assert_allclose(nn.utils.clip_grad_norm_(parameters, 1.0).item(), before, rtol=1e-6)
    assert parameters[0].grad is gradient
    np.testing.assert_allclose(nn.utils.clip_grad_norm_(parameters, 1.0).item(), 1, rtol=1e-5)
    nn.utils.clip_grad_value_(parameters, 0.125)
    assert max(abs(p.grad.numpy()).max() for p in parameters[:-1]) == 0.125
    parameters[1].grad.fill_(math.nan)
    with pytest.raises(RuntimeError, match=r"norm of order 2.0 .* is non-finite"):
        nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert math.isnan(nn.utils.clip_grad_norm_(parameters, 1.0).item())
    assert np.isnan(parameters[0].grad.numpy()).all()


class Forgetful(nn.Module):
    """An __init__ that does not call the base class's."""

    def __init__(self):
        pass

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m(mg.ones(1)), lambda m: list(m.parameters()), lambda m: m.state_dict(), repr,
        lambda m: m.train(), lambda m: m.zero_grad(), lambda m: m.double(), lambda m: m.training,
        lambda m: list(m.children()), lambda m: m.load_state_dict({}),
    ],
)  # fmt: skip
def test_a_module_without_its_base_says_so(use):
    with pytest.raises(AttributeError, match=r"Forgetful is not ready .*super\(\).__init__\(\)"):
        use(Forgetful())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential([nn.ReLU()]), r"'list' as module '0' .*; put \* in front"),
        (lambda: nn.Sequential(nn.ReLU), r"'type' as module '0' .*; ReLU\(\) makes one"),
        (lambda: nn.ModuleList(nn.ReLU()), "modules: expected Modules in a list, got ReLU"),
    ],
)
def test_what_is_no_module_says_what_to_do(make, message):
    with pytest.raises(TypeError, match=message):
        make()
