"""Optimizers: PyTorch's training runs, states, groups, errors."""

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
