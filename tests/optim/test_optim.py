"""Optimizers: PyTorch's training runs, states, groups, errors."""

import copy
import pickle
from itertools import product

import numpy as np
import pytest

import minigrad as mg
from helpers import REFERENCE, trajectories
from minigrad import nn, optim

NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
STORED = np.load(REFERENCE / "trajectories.npz")
RUNS = list(product(trajectories.OPTIMIZERS, trajectories.LOSSES))


def assert_stored(library, optimizer, loss):
    losses, weight = trajectories.run(library, optimizer, loss)
    np.testing.assert_allclose(losses, STORED[f"{optimizer}/{loss}/losses"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weight, STORED[f"{optimizer}/{loss}/weight"], rtol=1e-5, atol=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("optimizer", "loss"), RUNS)
def test_twenty_steps(optimizer, loss):
    assert_stored(mg, optimizer, loss)


@pytest.mark.torch
@pytest.mark.parametrize(("optimizer", "loss"), RUNS)
def test_twenty_steps_live(optimizer, loss):
    assert_stored(pytest.importorskip("torch", reason=NEEDS_TORCH), optimizer, loss)


# --- by hand --------------------------------------------------------------------------------------


def make(name, params, **options):
    """The optimizer of trajectories.OPTIMIZERS."""
    kind, defaults = trajectories.OPTIMIZERS[name]
    return getattr(optim, kind)(params, **defaults | options)


def parameter(shape=(3, 2), seed=0, dtype=np.float32):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return mg.tensor(values, requires_grad=True)


def step(optimizer, *params, seed=0, times=1):
    for i in range(times):
        for j, p in enumerate(params):
            g = np.random.default_rng((seed, i, j)).standard_normal(p.shape)
            p.grad = mg.tensor(g.astype(p.dtype))
        optimizer.step()


@pytest.fixture(params=trajectories.OPTIMIZERS)
def name(request):
    return request.param


def test_state_dict_continues_bit_for_bit(name, tmp_path):
    """In memory, and through a file of either kind."""
    p = parameter()
    first = make(name, [p])
    step(first, p, times=3)
    for file in (None, "state.npz", "state.safetensors"):
        state = first.state_dict()
        if file is not None:
            pytest.importorskip("safetensors")
            mg.save(state, tmp_path / file)
            state = mg.load(tmp_path / file)
        q = p.detach().clone().requires_grad_()
        second = make(name, [q], lr=99.0)
        second.load_state_dict(state)
        assert second.param_groups[0]["lr"] == trajectories.OPTIMIZERS[name][1]["lr"]
        r = p.detach().clone().requires_grad_()
        third = make(name, [r])
        third.load_state_dict(state)
        step(second, q, seed=1, times=3)
        step(third, r, seed=1, times=3)  # the state given was not written to
        np.testing.assert_array_equal(q.detach().numpy(), r.detach().numpy())
    step(first, p, seed=1, times=3)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_state_in_another_order_of_memory(name):
    """A state that is not contiguous is still the state, not a copy of it."""
    p, q = parameter(), parameter()
    first, second = make(name, [p]), make(name, [q])
    step(first, p)
    step(second, q)
    state = first.state_dict()
    for key, value in state["state"][0].items():
        if isinstance(value, mg.Tensor):
            state["state"][0][key] = mg.from_numpy(np.asfortranarray(value.numpy()))
    first.load_state_dict(state)
    step(first, p, seed=1, times=2)
    step(second, q, seed=1, times=2)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    ours, theirs = (optimizer.state_dict()["state"][0] for optimizer in (first, second))
    for key, value in theirs.items():
        if isinstance(value, mg.Tensor):
            np.testing.assert_array_equal(ours[key].numpy(), value.numpy())


def test_any_layout_and_size(name):
    """A parameter that is not contiguous, a number, nothing, a large one: each element alike."""
    shapes = ((3, 2), (), (0, 2), (300, 1000))
    for shape in shapes:
        plain = parameter(shape)
        step(make(name, [row := mg.ones(3)[None].detach().requires_grad_()]), row)
        wide = np.full([2 * n for n in shape], np.nan, np.float32)
        every_second = wide[(..., *(slice(None, None, 2) for _ in shape))]
        every_second[...] = plain.detach().numpy()
        strided = mg.from_numpy(every_second).requires_grad_()
        for p in (plain, strided):
            step(make(name, [p]), p, times=2)
        np.testing.assert_array_equal(plain.detach().numpy(), strided.detach().numpy())
        assert np.isnan(wide).sum() == wide.size - every_second.size


def test_float64(name):
    p, q = parameter(dtype=np.float64), parameter()
    for x in (p, q):
        step(make(name, [x]), x, times=5)
    assert p.dtype == np.float64
    difference = np.abs(p.detach().numpy() - q.detach().numpy()).max()
    assert 0 < difference < 1e-5


def test_step_bumps_the_version(name):
    """A graph that holds a parameter's old value says so."""
    p = parameter((2, 2))
    optimizer, loss = make(name, [p]), (p * p).sum()
    step(optimizer, p)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_parameters_without_a_gradient_stay(name):
    p, q = parameter(seed=0), parameter(seed=1)
    before = q.detach().numpy().copy()
    optimizer = make(name, [p, q])
    step(optimizer, p)
    np.testing.assert_array_equal(q.detach().numpy(), before)
    assert q not in optimizer.state
    assert (p.detach().numpy() != parameter(seed=0).detach().numpy()).all()


def test_parameter_replaced_through_data(name):
    p, q = parameter(), parameter()
    one, other = make(name, [p]), make(name, [q])
    step(one, p)
    step(other, q)
    p.data = p.detach().clone()
    step(one, p, seed=1)
    step(other, q, seed=1)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_groups(name):
    """Each group has its own options; one added later starts its own count of steps."""
    p, q, r = (parameter(seed=i) for i in range(3))
    optimizer = make(name, [{"params": [p]}, {"params": iter([q]), "lr": 0.5}], lr=0.02)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.5]
    step(optimizer, p, q, r)
    optimizer.add_param_group({"params": r, "lr": 0.25})
    step(optimizer, p, q, r)
    for i, (x, lr, first) in enumerate(((p, 0.02, 0), (q, 0.5, 0), (r, 0.25, 1))):
        alone = parameter(seed=i)
        single = make(name, [alone], lr=lr)
        for _ in range(first, 2):
            grad = np.random.default_rng((0, 0, i)).standard_normal((3, 2))
            alone.grad = mg.tensor(grad.astype(np.float32))
            single.step()
        np.testing.assert_array_equal(x.detach().numpy(), alone.detach().numpy())
    assert repr(optimizer).count("Parameter Group") == 3


def test_momentum_turned_on_later():
    """PyTorch's result: the buffer starts with the first step that asks for it."""
    p = mg.ones(2, requires_grad=True)
    optimizer, seen = optim.SGD([p], lr=0.1), []
    for momentum in (0, 0.9, 0.9, 0, 0.9):
        optimizer.param_groups[0]["momentum"] = momentum
        p.grad = mg.tensor([1.0, 2.0])
        optimizer.step()
        seen.append(p.tolist()[0])
    np.testing.assert_allclose(seen, [0.9, 0.8, 0.61, 0.51, 0.239], rtol=1e-6)


def test_learning_rate_is_read_at_every_step():
    p = mg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    for lr, want in ((0.5, -0.5), (0.25, -0.75), (mg.tensor(2.0), -2.75)):
        optimizer.param_groups[0]["lr"] = lr
        p.grad = mg.ones(1)
        optimizer.step()
        assert p.tolist() == [want]


def test_closure():
    p = mg.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.tolist() == [1.0]
    assert optimizer.step() is None


def test_zero_grad():
    p, q = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    optimizer = optim.SGD([p, q])
    p.grad = grad = mg.tensor([1.0, 2.0])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [(kind, {"lr": -1}, "learning rate") for kind in ("SGD", "Adam", "AdamW", "RMSprop")]
    + [(kind, {"weight_decay": -1}, "weight_decay") for kind in ("SGD", "AdamW", "RMSprop")]
    + [
        ("SGD", {"momentum": -1}, "momentum"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "zero dampening"),
        ("Adam", {"betas": (1.0, 0.9)}, "beta parameter at index 0"),
        ("Adam", {"betas": (0.9, -0.1)}, "beta parameter at index 1"),
        ("Adam", {"eps": -1}, "epsilon"),
        ("RMSprop", {"alpha": -1}, "alpha"),
        ("RMSprop", {"momentum": -1}, "momentum"),
        ("RMSprop", {"eps": -1}, "epsilon"),
    ],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, kind)([parameter()], **options)


def test_parameters_are_checked():
    p = parameter()
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([])
    with pytest.raises(ValueError, match="non-leaf"):
        optim.SGD([p * 2])
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        optim.SGD(p)
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of them is"):
        optim.SGD([1.0])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])
    with pytest.raises(KeyError, match="params"):
        optim.SGD([{"lr": 1.0}])
    one, two = optim.SGD([p]), optim.SGD([p, parameter()])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        two.load_state_dict(one.state_dict())


def test_named_parameters():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.named_parameters(), lr=1.0)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == list(map(id, model.parameters()))


# --- options, states, copies ----------------------------------------------------------------------


KINDS = ("SGD", "Adam", "AdamW", "RMSprop")


def ways(kind, option, value):
    """The optimizer with an option told in each of the ways there are, and its parameter."""
    maker = getattr(optim, kind)

    def loaded(p):
        other = maker([parameter()], lr=0.1, **{option: value})
        optimizer = maker([p], lr=0.1)
        optimizer.load_state_dict(other.state_dict())
        return optimizer

    def later(p):
        optimizer = maker([p], lr=0.1)
        optimizer.param_groups[0][option] = value
        return optimizer

    def added(p):
        optimizer = maker([parameter(seed=9)], lr=0.1)
        optimizer.add_param_group({"params": p, option: value})
        return optimizer

    yield lambda p: maker([p], lr=0.1, **{option: value})
    yield lambda p: maker([{"params": [p], option: value}], lr=0.1)
    yield from (loaded, later, added)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "option"),
    [(kind, "maximize") for kind in KINDS]
    + [("Adam", "amsgrad"), ("AdamW", "amsgrad"), ("RMSprop", "centered")]
    + [("Adam", "decoupled_weight_decay")],
)
def test_an_option_works_wherever_it_is_told(kind, option):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    start = parameter().detach().numpy()
    theirs = torch.tensor(start, requires_grad=True)
    stepper = getattr(torch.optim, kind)([theirs], lr=0.1, **{option: True})
    gradients = np.random.default_rng(3).standard_normal((6, 3, 2)).astype(np.float32)
    for g in gradients:
        theirs.grad = torch.tensor(g)
        stepper.step()
    for make_one in ways(kind, option, True):
        p = mg.tensor(start, requires_grad=True)
        optimizer = make_one(p)
        for g in gradients:
            p.grad = mg.tensor(g)
            optimizer.step()
        np.testing.assert_allclose(p.tolist(), theirs.detach(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ways_of_stepping(kind):
    """What chooses among PyTorch's kernels changes nothing; what changes a step is refused."""
    maker, p = getattr(optim, kind), parameter()
    optimizer = maker([p], foreach=False, differentiable=False)
    assert optimizer.param_groups[0]["foreach"] is False
    maker([{"params": [p], "foreach": True}])
    with pytest.raises(RuntimeError, match="differentiable: expected False, for a step is not"):
        maker([p], differentiable=True)
    with pytest.raises(RuntimeError, match="differentiable"):
        maker([{"params": [p], "differentiable": True}])
    optimizer.param_groups[0]["capturable"] = True
    p.grad = mg.ones(3, 2)
    with pytest.raises(RuntimeError, match="capturable: expected False, for a step reads"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        optimizer.add_param_group({"params": parameter(), "fused": True, "foreach": True})
    state = maker([p]).state_dict()
    state["param_groups"][0]["differentiable"] = True
    with pytest.raises(RuntimeError, match="differentiable"):
        maker([p]).load_state_dict(state)


@pytest.mark.parametrize("through", ["deepcopy", "pickle"])
def test_a_copy_goes_on_by_itself(name, through):
    """It steps the copied parameters, bit for bit, and leaves the others alone."""
    model = nn.Linear(2, 3)
    optimizer = make(name, model.parameters())
    step(optimizer, *model.parameters(), times=2)
    both = (optimizer, model)
    twin, other = copy.deepcopy(both) if through == "deepcopy" else pickle.loads(pickle.dumps(both))
    assert [id(p) for p in twin.param_groups[0]["params"]] == list(map(id, other.parameters()))
    before = model.weight.tolist()
    step(twin, *other.parameters(), seed=1, times=3)
    assert model.weight.tolist() == before
    step(optimizer, *model.parameters(), seed=1, times=3)
    assert other.weight.tolist() == model.weight.tolist()
    assert other.bias.tolist() == model.bias.tolist()


def test_a_replaced_state_counts(name):
    """A state that is dropped begins anew; an entry that is replaced is the one that is used."""
    p, q = parameter(), parameter()
    first, fresh = make(name, [p]), make(name, [q])
    step(first, p, times=3)
    q.data = p.detach().clone()
    first.state[p] = {}
    step(first, p, seed=1)
    step(fresh, q, seed=1)
    np.testing.assert_array_equal(p.tolist(), q.tolist())
    for state in (first.state[p], fresh.state[q]):
        for entry in set(state) - {"step"}:
            state[entry] = mg.full((3, 2), 0.5).T.contiguous().T
            assert not state[entry].is_contiguous()
    first.load_state_dict(copy.deepcopy(first.state_dict()))
    step(first, p, seed=2, times=2)
    step(fresh, q, seed=2, times=2)
    np.testing.assert_array_equal(p.tolist(), q.tolist())
    first.state.clear()
    fresh.state.clear()
    step(first, p)
    step(fresh, q)
    np.testing.assert_array_equal(p.tolist(), q.tolist())


def test_momentum_that_begins_late_is_not_dampened():
    """PyTorch's: the buffer begins as the gradient, whatever the step's number."""
    p = mg.zeros(1, requires_grad=True)
    optimizer, seen = optim.SGD([p], lr=1.0, dampening=0.5), []
    for momentum in (0, 0, 0.5, 0.5):
        optimizer.param_groups[0]["momentum"] = momentum
        p.grad = mg.ones(1)
        optimizer.step()
        seen.append(p.item())
    assert seen == [-1.0, -2.0, -3.0, -4.0]


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop"])
def test_a_state_dict_is_whole(kind):
    """Numbers of steps and means belong together, also in one that was taken before a step."""
    p = parameter()
    optimizer = getattr(optim, kind)([p])
    step(optimizer, p)
    state = optimizer.state_dict()["state"][0]
    step(optimizer, p, seed=1)
    now = optimizer.state_dict()["state"][0]
    assert state["step"].item() == now["step"].item() == 2
    for entry, value in now.items():
        assert value.tolist() == state[entry].tolist()


def test_double_after_a_step(name):
    """The states follow the model, and PyTorch's half-way error does not come."""
    model = nn.Linear(2, 3)
    optimizer = make(name, model.parameters())
    step(optimizer, *model.parameters(), times=2)
    model.double()
    step(optimizer, *model.parameters(), times=2)
    for state in optimizer.state.values():
        assert {v.dtype for k, v in state.items() if k != "step"} <= {mg.float64}


@pytest.mark.torch
def test_pytorchs_state_is_taken(name):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    start = parameter().detach().numpy()
    theirs = torch.tensor(start, requires_grad=True)
    kind, options = trajectories.OPTIMIZERS[name]
    other = getattr(torch.optim, kind)([theirs], **options)
    ours = mg.tensor(start, requires_grad=True)
    for seed in range(4):
        g = np.random.default_rng(seed).standard_normal((3, 2)).astype(np.float32)
        theirs.grad = torch.tensor(g)
        other.step()
        if seed == 1:
            ours.data = mg.tensor(theirs)
            optimizer = make(name, [ours], lr=9.0)
            optimizer.load_state_dict(other.state_dict())
            assert optimizer.state_dict()["param_groups"] == other.state_dict()["param_groups"]
        elif seed > 1:
            ours.grad = mg.tensor(g)
            optimizer.step()
    np.testing.assert_allclose(ours.tolist(), theirs.detach(), rtol=1e-5, atol=1e-6)
    kept = {k for k, v in other.state_dict()["state"].get(0, {}).items() if v is not None}
    assert set(optimizer.state_dict()["state"][0]) == kept


class Counting(optim.Optimizer):
    """A user's own, with a state of its own."""

    def __init__(self, params, lr=1.0):
        super().__init__(params, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["n"] = self.state[p].get("n", 0) + 1
                p.data.add_(p.grad, alpha=-group["lr"])


def test_an_optimizer_of_the_users_own():
    p = parameter()
    optimizer = Counting([p])
    step(optimizer, p, times=2)
    other = Counting([parameter()], lr=3.0)
    other.load_state_dict(optimizer.state_dict())
    twin = copy.deepcopy(other)
    for one in (other, twin, pickle.loads(pickle.dumps(other))):
        assert [*one.state.values()] == [{"n": 2}]
        assert one.param_groups[0]["lr"] == 1.0


def test_what_cannot_be_optimized_is_named():
    model = nn.Module()
    model.layers = [nn.Linear(2, 2)]
    with pytest.raises(ValueError, match=r"empty parameter list; .* nn\.ModuleList, not those in"):
        optim.SGD(model.parameters())
    with pytest.raises(TypeError, match=r"but got Linear; pass its \.parameters\(\)"):
        optim.SGD(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"one of them is .*Linear.*; pass its \.parameters\(\)"):
        optim.SGD([nn.Linear(2, 2)])
    with pytest.raises(TypeError, match="expected a list, got a set"):
        optim.SGD([{"params": {parameter()}}])
    p = mg.ones(1).expand(3).requires_grad_()
    optimizer, p.grad = optim.SGD([p]), mg.ones(3)
    with pytest.raises(RuntimeError, match=r"params: one cannot be changed: .* stands for several"):
        optimizer.step()
    optimizer = optim.SGD([parameter()])
    optimizer.param_groups[0]["lr"] = None
    optimizer.param_groups[0]["params"][0].grad = mg.ones(3, 2)
    with pytest.raises(TypeError, match=r"param_groups: no step can be made with .*'lr': None"):
        optimizer.step()


EXTREME = [
    ("Adam", {"betas": (0.9, 0.99999)}), ("Adam", {"betas": (0.9, 1 - 1e-8)}),
    ("Adam", {"betas": (1e-9, 0.999)}), ("AdamW", {"betas": (1 - 1e-7, 1 - 1e-7)}),
    ("RMSprop", {"alpha": 0.99999}), ("RMSprop", {"alpha": 1 - 1e-8, "centered": True}),
    ("SGD", {"momentum": 0.99999, "dampening": 0.9999999}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), EXTREME)
def test_numbers_close_to_one_are_not_rounded_before_they_are_used(kind, options):
    """In float32 as in float64, where 1 - beta has its digits."""
    ends = []
    for dtype in (np.float32, np.float64):
        p = parameter(dtype=np.float32).detach().to(dtype).requires_grad_()
        start = p.detach().numpy().copy()
        step(getattr(optim, kind)([p], lr=1e-2, **options), p, times=10)
        ends.append(p.detach().numpy().astype(np.float64) - start)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4, atol=2e-6)
