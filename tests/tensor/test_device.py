"""Tensors on a GPU: moving, mixing, errors, and what waits for it. Without one, on a stand-in."""

import copy
import os
import pickle
import sys

import numpy as np
import pytest

import minigrad as mg
from helpers import standin
from minigrad import cli, devices, nn, optim
from minigrad.nn import functional as F
from minigrad.utils.data import DataLoader, TensorDataset

DEVICE = os.environ.get("MINIGRAD_TEST_DEVICE", "cpu")
COUNTED = pytest.mark.skipif(DEVICE == "cuda", reason="only the stand-in counts who waits")
PATCHED = pytest.mark.skipif(DEVICE != "cpu", reason="numpy() copies from the GPU in this run")


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """The stand-in, unless the whole run has one or a GPU."""
    if DEVICE == "cpu":
        for name, module in standin.modules().items():
            monkeypatch.setitem(sys.modules, name, module)


def on_cpu(*shape, seed=0, **options):
    values = np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)
    return mg.tensor(values, device="cpu", **options)


def equal(ours, theirs):
    assert ours.is_cuda
    np.testing.assert_array_equal(ours.detach().cpu().numpy(), theirs.detach().numpy())


# --- names, moving --------------------------------------------------------------------------------


def test_names():
    cuda = mg.device("cuda", 0)
    assert cuda == mg.device("cuda:0") == mg.device(0) == "cuda:0" != mg.device("cuda")
    assert (cuda.type, cuda.index, mg.device("cuda").index) == ("cuda", 0, None)
    assert (repr(cuda), str(cuda)) == ("device(type='cuda', index=0)", "cuda:0")
    assert repr(mg.device("cpu")) == "device(type='cpu')"
    assert mg.cuda.is_available()
    assert (mg.cuda.device_count(), mg.cuda.current_device()) == (1, 0)
    mg.cuda.synchronize()
    with pytest.raises(RuntimeError, match=r"CUDA_VISIBLE_DEVICES.*got 'cuda:1'"):
        on_cpu(2).to("cuda:1")
    with pytest.raises(TypeError, match=r"device: expected .* got float"):
        mg.zeros(2, device=1.5)


def test_moving():
    x = on_cpu(2, 3)
    for moved in (
        x.to("cuda"), x.to("cuda:0"), x.to(0), x.to(device=mg.device("cuda")), x.cuda(), x.cuda(0),
        x.to(mg.zeros(1, device="cuda")), mg.tensor(x, device="cuda"), x.to("cuda", mg.float32),
        mg.as_tensor(x, device="cuda"), mg.zeros(2, 3, device="cuda").copy_(x),
    ):  # fmt: skip
        assert (moved.device, moved.is_cuda) == ("cuda:0", True)
        equal(moved, x)
        assert moved.cuda() is moved
        assert moved.to("cuda", copy=True) is not moved
    assert x.cpu() is x
    assert not x.is_cuda
    both = x.to("cuda", mg.float64)
    assert (both.device, both.dtype) == ("cuda:0", mg.float64)
    assert both.type_as(x).device == "cpu"
    assert moved.new_tensor([1.0]).is_cuda


def test_the_gradient_comes_back():
    x = on_cpu(3, requires_grad=True)
    y = (x.cuda() * 2).cpu() * x
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)
    (g,) = mg.autograd.grad((x.cuda() ** 3).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.device == "cpu"


MAKERS = {
    "rand": lambda **o: mg.rand(3, 2, **o), "randn": lambda **o: mg.randn(3, 2, **o),
    "randint": lambda **o: mg.randint(5, (4,), **o), "randperm": lambda **o: mg.randperm(7, **o),
    "arange": lambda **o: mg.arange(5, **o), "linspace": lambda **o: mg.linspace(0, 1, 5, **o),
    "eye": lambda **o: mg.eye(3, **o), "full": lambda **o: mg.full((2,), 7.0, **o),
    "zeros": lambda **o: mg.zeros(2, **o), "tensor": lambda **o: mg.tensor([[1, 2]], **o),
    "as_tensor": lambda **o: mg.as_tensor([True], **o),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_numbers_on_every_device(name):
    made = []
    for place in ("cpu", "cuda"):
        mg.manual_seed(3)
        made.append(MAKERS[name](device=place))
    equal(made[1], made[0])
    assert made[1].dtype == made[0].dtype


def test_like_and_default_device():
    x = on_cpu(2, 3).cuda()
    for like in (mg.zeros_like, mg.ones_like, mg.empty_like, mg.rand_like, mg.randn_like):
        assert like(x).is_cuda
        assert like(x, device="cpu").device == "cpu"
    before = mg.get_default_device()
    try:
        mg.set_default_device("cuda")
        assert mg.get_default_device() == "cuda:0"
        assert all(make().is_cuda for make in MAKERS.values())
        assert mg.zeros(2, device="cpu").device == "cpu"
        assert next(nn.Linear(2, 2).parameters()).is_cuda
    finally:
        mg.set_default_device(before)


def test_pickle_and_copy():
    x = on_cpu(2, 3).cuda().requires_grad_()
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        equal(other, x.detach().cpu())
        assert other.requires_grad
        with mg.no_grad():
            other.zero_()
    assert x.detach().cpu().numpy().all()


# --- mixing ---------------------------------------------------------------------------------------

APART = r"Expected all tensors to be on the same device.* cuda:0 and cpu!"
MIXED = {
    "add": lambda a, b: a + b, "where": lambda a, b: mg.where(a > 0, b, b), "cat": lambda a, b:
    mg.cat([a, b]), "matmul": lambda a, b: a @ b, "linear": F.linear, "mse": F.mse_loss,
    "cross_entropy": F.cross_entropy, "bce": F.binary_cross_entropy, "maximum": mg.maximum,
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_devices_do_not_mix(name):
    x, y = on_cpu(3, 3), on_cpu(3, 3, seed=1)
    for a, b in ((x.cuda(), y), (x, y.cuda())):
        with pytest.raises(RuntimeError, match=APART):
            MIXED[name](a, b)
    equal(MIXED[name](x.cuda(), y.cuda()), MIXED[name](x, y))


def test_class_weights_do_not_mix():
    x, y, w = on_cpu(4, 3), mg.tensor([0, 1, 2, 1], device="cpu"), on_cpu(3)
    with pytest.raises(RuntimeError, match=APART):
        F.cross_entropy(x.cuda(), y.cuda(), w)


def test_a_number_goes_with_any_device():
    x = on_cpu(3).cuda().requires_grad_()
    number = mg.tensor(2.0, device="cpu", requires_grad=True)
    for product in (x * number, number * x):
        equal(product, x.detach().cpu() * 2)
        product.sum().backward()
    assert number.grad.device == "cpu"
    assert x.grad.is_cuda
    assert number.grad.item() == pytest.approx(2 * x.sum().item())
    equal(x.detach().int() + 2, x.detach().cpu().int() + 2)


def test_a_gradient_belongs_to_its_tensor():
    x = on_cpu(3).cuda().requires_grad_()
    with pytest.raises(RuntimeError, match=r"grad: expected it on cuda:0, got it on cpu"):
        x.grad = on_cpu(3)


def test_indices_follow_the_tensor():
    x = on_cpu(4, 3)
    g, rows = x.cuda(), mg.tensor([2, 0, 2], device="cpu")
    mask = mg.tensor([True, False, True, True], device="cpu")
    for key in (rows, rows.cuda(), [2, 0, 2], np.array([2, 0, 2]), mask, 1, (0, [1, 2])):
        host = key.cpu() if isinstance(key, mg.Tensor) else key
        equal(g[key], x[host])
    g[rows[:2]] = mg.zeros(3, device="cpu")
    x[rows[:2]] = 0
    equal(g, x)


def test_repeated_indices(monkeypatch):
    """The gradient of indexing goes through the kernels' add_at, whose order is fixed."""
    rows, calls = mg.tensor([2, 0, 2, 2], device="cpu"), []
    if DEVICE != "cuda":
        kernels = sys.modules["minigrad.kernels.cuda"]
        add_at = kernels.add_at
        monkeypatch.setattr(kernels, "add_at", lambda *a: calls.append(a) or add_at(*a), False)
    grads = []
    for place in ("cpu", "cuda"):
        x = on_cpu(3, 2).to(place).requires_grad_()
        x[rows.to(place)].backward(on_cpu(4, 2, seed=1).to(place))
        grads.append(x.grad)
    equal(grads[1], grads[0])
    assert DEVICE == "cuda" or len(calls) == 1


# --- in and out ---------------------------------------------------------------------------------


def test_printing():
    x = mg.tensor([1.5, 2.0], device="cuda", requires_grad=True)
    assert repr(x) == "tensor([1.5000, 2.0000], device='cuda:0', requires_grad=True)"
    assert repr(x.detach().int()).endswith("[1, 2], device='cuda:0', dtype=minigrad.int32)")
    assert repr(mg.zeros(0, 2, device="cuda")) == "tensor([], device='cuda:0', size=(0, 2))"


@PATCHED
def test_numpy_is_refused():
    x = on_cpu(2).cuda()
    for convert in (mg.Tensor.numpy, np.asarray):
        with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy\."):
            convert(x)
    np.testing.assert_array_equal(x.numpy(force=True), on_cpu(2).numpy())


def test_interfaces():
    x = on_cpu(2, 3)
    g = x.cuda()
    assert g.__cuda_array_interface__["shape"] == (2, 3)
    assert g.__dlpack_device__() == (2, 0)
    assert not hasattr(x, "__cuda_array_interface__")
    assert x.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match=r"use tensor\.detach"):
        x.clone().requires_grad_().__dlpack__()
    with pytest.raises(RuntimeError, match=r"use tensor\.detach"):
        _ = g.clone().requires_grad_().__cuda_array_interface__

    class Foreign:
        __cuda_array_interface__ = g.__cuda_array_interface__

    shared = (mg.as_tensor(g.array), mg.as_tensor(Foreign()), mg.Tensor(g.array))
    for other in (*shared, mg.from_dlpack(g)):
        equal(other, x)
        other.zero_()
        assert not g.cpu().numpy().any()
        g.copy_(x)
    copied = mg.tensor(Foreign())
    copied.zero_()
    equal(g, x)
    other = mg.from_dlpack(x.clone())
    assert other.device == "cpu"
    np.testing.assert_array_equal(other.numpy(), x.numpy())
    np.testing.assert_array_equal(np.from_dlpack(x), x.numpy())


def test_save_and_load(tmp_path):
    for name in ("a.npz", "a.safetensors"):
        mg.save({"x": on_cpu(3).cuda()}, tmp_path / name)
        loaded = mg.load(tmp_path / name)["x"]
        assert loaded.device == "cpu"
        equal(mg.load(tmp_path / name, map_location="cuda")["x"], loaded)


# --- what waits for the GPU -----------------------------------------------------------------------

CLASSES = (F.cross_entropy, F.nll_loss)
LOSSES = (
    *CLASSES, F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits, F.log_cosh_loss,
)  # fmt: skip
OPTIONS = {F.cross_entropy: ({"label_smoothing": 0.1}, {"ignore_index": 2})}


def training_step(loss, place, options):
    """A step of Adam on a small network; the loss and the parameters after it."""
    mg.manual_seed(0)
    head = nn.LogSoftmax(1) if loss is F.nll_loss and hasattr(nn, "LogSoftmax") else nn.Sigmoid()
    model = nn.Sequential(nn.Linear(4, 8, device="cpu"), nn.ReLU(), nn.Dropout(0.5),
                          nn.Linear(8, 3, device="cpu"), head).to(place)  # fmt: skip
    optimizer = optim.Adam(model.parameters())
    x = on_cpu(6, 4).to(place)
    y = mg.tensor([0, 1, 2, 2, 1, 0], device=place) if loss in CLASSES else on_cpu(6, 3).to(place)
    before = standin.syncs
    optimizer.zero_grad()
    value = loss(model(x), y, **options)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert standin.syncs == before
    return value, [*model.parameters()]


@COUNTED
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
def test_a_training_step_never_waits(loss, reduction):
    for options in ({}, *OPTIONS.get(loss, ())):
        results = [
            training_step(loss, p, {"reduction": reduction, **options}) for p in ("cpu", "cuda")
        ]
        for ours, theirs in zip(*([value, *p] for value, p in results), strict=True):
            assert theirs.is_cuda
            a, b = (t.detach().cpu().numpy() for t in (ours, theirs))
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    before = standin.syncs
    results[1][0].item()
    # The kernels' note of a class out of range is read besides.
    assert standin.syncs == before + (2 if DEVICE == "compiled" else 1)


@COUNTED
def test_batch_norm_and_weights_never_wait():
    x, y = on_cpu(6, 4).cuda().requires_grad_(), on_cpu(6, 4, seed=1).cuda()
    norm, w = nn.BatchNorm1d(4).cuda(), on_cpu(4).cuda()
    before = standin.syncs
    F.binary_cross_entropy_with_logits(norm(x), y, weight=w, pos_weight=w).backward()
    F.cross_entropy(x, y, weight=w).backward()
    F.cross_entropy(x, y.argmax(1), weight=w, reduction="none").sum().backward()
    F.binary_cross_entropy_with_logits(x, y, pos_weight=w[:1]).backward()
    assert standin.syncs == before


@pytest.mark.parametrize("loss", CLASSES, ids=lambda f: f.__name__)
def test_a_class_out_of_range_is_told_when_read(loss):
    x, y = on_cpu(2, 3).cuda(), mg.tensor([0, 7], device="cuda")
    for read in (mg.Tensor.item, mg.Tensor.cpu, repr, float):
        value = loss(x, y)
        with pytest.raises(IndexError, match="class 7"):
            read(value)
    assert loss(x, y * 0).item() > -2


def test_probabilities_outside_are_nan():
    value = F.binary_cross_entropy(mg.tensor([1.5], device="cuda"), mg.ones(1, device="cuda"))
    assert np.isnan(value.item())


# --- modules, optimizers, loaders, compile ----------------------------------------------------


def test_modules_move_in_place():
    model = nn.Sequential(nn.Linear(3, 2, device="cpu"), nn.BatchNorm1d(2, device="cpu"))
    parameters = [*model.parameters()]
    model(on_cpu(4, 3)).sum().backward()
    assert model.cuda() is model
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    tensors = [*model.parameters(), *model.buffers(), *(p.grad for p in parameters)]
    assert all(t.is_cuda for t in tensors)
    assert model(on_cpu(4, 3).cuda()).is_cuda
    state = model.state_dict()
    assert state["0.weight"].is_cuda
    other = nn.Sequential(nn.Linear(3, 2, device="cpu"), nn.BatchNorm1d(2, device="cpu"))
    other.load_state_dict(state)
    equal(state["0.weight"], other[0].weight)
    assert model.cpu()[0].weight.device == "cpu"
    assert nn.Linear(2, 2, device="cuda").weight.is_cuda


def test_optimizers_follow_their_parameters():
    weights, states = [], []
    for places in (("cpu",) * 3, ("cpu", "cuda", "cuda"), ("cuda", "cpu", "cuda")):
        model = nn.Linear(3, 2, device="cpu")
        model.weight.data.copy_(on_cpu(2, 3))
        model.bias.data.zero_()
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        for place in places:
            model.to(place)
            optimizer.zero_grad()
            model(on_cpu(4, 3).to(place)).square().sum().backward()
            optimizer.step()
            assert optimizer.state[model.weight]["exp_avg"].device.type == place
        weights.append(model.weight.detach().cpu().numpy())
        states.append(optimizer.state_dict())
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5)
    np.testing.assert_allclose(weights[2], weights[0], rtol=1e-5)
    optimizer.load_state_dict(states[0])  # from the CPU
    assert optimizer.state[model.weight]["exp_avg"].is_cuda


def test_loaders():
    x, y = on_cpu(6, 2), mg.arange(6, device="cpu")
    for data in (TensorDataset(x.cuda(), y.cuda()), [(a, b) for a, b in zip(x, y, strict=True)]):
        for a, b in DataLoader(data, batch_size=4, device="cuda"):
            assert a.is_cuda
            equal(b, y[b.cpu()])
    ((a, _),) = DataLoader(TensorDataset(x.cuda(), y.cuda()), batch_size=6)
    equal(a, x)
    (batch,) = DataLoader([{"x": x[0], "name": "n"}], device="cuda")
    assert batch["x"].is_cuda
    assert batch["name"] == ["n"]


def test_compiled_steps():
    model, x = nn.Linear(4, 3, device="cuda"), on_cpu(5, 4).cuda()
    y, optimizer = mg.tensor([0, 1, 2, 0, 1], device="cuda"), optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    start = model.weight.detach().clone()
    plain = [step(x, y).item() for _ in range(3)]
    with mg.no_grad():
        model.weight.copy_(start)
        model.bias.zero_()
    first = [F.cross_entropy(x @ start.T, y).item()]
    replayed = mg.compile(step)
    again = [replayed(x, y).item() for _ in range(3)]
    assert again[0] == pytest.approx(first[0])
    assert again[2] < again[1] < again[0]
    assert len(plain) == 3


def test_functions():
    class Both(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return 2 * g + 3 * h

    x = on_cpu(3).cuda().requires_grad_()
    Both.apply(x)[1].sum().backward()  # the other output's gradient is zeros, made there
    equal(x.grad, mg.full((3,), 3.0, device="cpu"))
    wide = on_cpu(3).double().cuda().requires_grad_()
    assert mg.autograd.gradcheck(lambda x: x.exp() * x, (wide,))
    assert mg.autograd.gradgradcheck(lambda x: x.exp() * x, (wide,))


# --- without a GPU --------------------------------------------------------------------------------


@PATCHED
def test_what_is_missing(monkeypatch, capsys):
    def refused(why):
        assert not mg.cuda.is_available()
        assert mg.cuda.device_count() == 0
        for use in (on_cpu(2).cuda, lambda: mg.zeros(2, device="cuda"), mg.cuda.synchronize):
            with pytest.raises(RuntimeError, match=why) as error:
                use()
            assert "\n" not in str(error.value)
        assert cli.main(["train", "digits", "--device", "cuda"]) == 2
        assert why in capsys.readouterr().err

    monkeypatch.setattr(sys.modules["cupy"].cuda, "is_available", lambda: False)
    refused("no GPU, or no driver for it")
    for name, why in (("numba_cuda", "numba-cuda is not"), ("cupy", "CuPy is not installed, run")):
        found = devices.find_spec
        monkeypatch.setattr(
            devices, "find_spec", lambda m, name=name, found=found: None if m == name else found(m)
        )
        refused(why)


def test_training_command(capsys):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    lines = []
    for place in ("cpu", "cuda"):
        assert cli.main(["train", "cancer", "--epochs", "1", "--device", place]) == 0
        lines.append(capsys.readouterr().out.rpartition(",")[0])
    assert lines[0] == lines[1]
