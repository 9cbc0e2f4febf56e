"""Layers beside PyTorch's: printing, starting values, outputs, gradients, running statistics."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

# Each case: how to make the layer from either library's nn, what it prints, the input's shape.
CASES = [
    (lambda nn: nn.Linear(3, 4), "Linear(in_features=3, out_features=4, bias=True)", (2, 5, 3)),
    (
        lambda nn: nn.Linear(3, 4, bias=False),
        "Linear(in_features=3, out_features=4, bias=False)",
        (3,),
    ),
    (
        lambda nn: nn.Linear(3, 4, False),
        "Linear(in_features=3, out_features=4, bias=False)",
        (0, 3),
    ),
    (lambda nn: nn.Embedding(7, 3), "Embedding(7, 3)", (2, 4)),
    (lambda nn: nn.Embedding(7, 3, padding_idx=-2), "Embedding(7, 3, padding_idx=5)", (9,)),
    (
        lambda nn: nn.LayerNorm(4),
        "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)",
        (3, 4),
    ),
    (
        lambda nn: nn.LayerNorm([3, 4], 1e-3, bias=False),
        "LayerNorm((3, 4), eps=0.001, elementwise_affine=True, bias=False)",
        (2, 3, 4),
    ),
    (
        lambda nn: nn.LayerNorm(4, elementwise_affine=False),
        "LayerNorm((4,), eps=1e-05, elementwise_affine=False, bias=False)",
        (3, 2, 4),
    ),
    (
        lambda nn: nn.BatchNorm1d(3),
        "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
        (6, 3),
    ),
    (
        lambda nn: nn.BatchNorm1d(3, 1e-2, None, affine=False),
        "BatchNorm1d(3, eps=0.01, momentum=None, affine=False, bias=False, "
        "track_running_stats=True)",
        (4, 3, 5),
    ),
    (
        lambda nn: nn.BatchNorm1d(3, bias=False, track_running_stats=False),
        "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=False, "
        "track_running_stats=False)",
        (4, 3, 2),
    ),
    (lambda nn: nn.Dropout(0.0), "Dropout(p=0.0, inplace=False)", (2, 3)),
    (lambda nn: nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)", (2, 3, 4)),
    (lambda nn: nn.Flatten(0, 1), "Flatten(start_dim=0, end_dim=1)", (2, 3, 4)),
    (lambda nn: nn.Identity(54, unused=True), "Identity()", (2, 3)),
    (lambda nn: nn.ReLU(), "ReLU()", (3, 4)),
    (lambda nn: nn.LeakyReLU(), "LeakyReLU(negative_slope=0.01)", (3, 4)),
    (lambda nn: nn.LeakyReLU(0.3), "LeakyReLU(negative_slope=0.3)", (3, 4)),
    (lambda nn: nn.ELU(), "ELU(alpha=1.0)", (3, 4)),
    (lambda nn: nn.ELU(0.5), "ELU(alpha=0.5)", (3, 4)),
    (lambda nn: nn.GELU(), "GELU(approximate='none')", (3, 4)),
    (lambda nn: nn.GELU("tanh"), "GELU(approximate='tanh')", (3, 4)),
    (lambda nn: nn.SiLU(), "SiLU()", (3, 4)),
    (lambda nn: nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)", (3, 4)),
    (lambda nn: nn.Softplus(2, threshold=1), "Softplus(beta=2, threshold=1)", (3, 4)),
    (lambda nn: nn.Tanh(), "Tanh()", (3, 4)),
    (lambda nn: nn.Sigmoid(), "Sigmoid()", ()),
    (lambda nn: nn.Softmax(dim=1), "Softmax(dim=1)", (3, 4)),
    (lambda nn: nn.LogSoftmax(0), "LogSoftmax(dim=0)", (3, 4)),
]
cases = pytest.mark.parametrize(
    ("make", "text", "shape"),
    CASES,
    ids=[f"{i}-{text[:12]}" for i, (_, text, _) in enumerate(CASES)],
)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch live")


def twins(make, torch, rng):
    """The layer in both libraries, float64, with the same random parameters."""
    ours, theirs = make(nn).double(), make(torch.nn).double()
    state = ours.state_dict()
    for name, value in theirs.state_dict().items():
        if value.is_floating_point():  # positive, as a running variance is
            value.copy_(torch.from_numpy(rng.uniform(0.5, 2, value.shape)))
        state.pop(name).copy_(mg.tensor(value.numpy()))
    assert not state
    return ours, theirs


def run(layer, x, library):
    """Output, gradients and state after one step on `x`, all as arrays."""
    x = library.tensor(x, requires_grad=x.dtype.kind == "f")
    out = layer(x)
    results = {"out": out.detach().numpy().copy()}
    if out.requires_grad:
        upstream = np.random.default_rng(1).standard_normal(tuple(out.shape))
        out.backward(library.tensor(upstream))
        results |= {name: p.grad.numpy() for name, p in layer.named_parameters()}
        if x.requires_grad:
            results["x"] = x.grad.numpy()
    return results | {name: b.numpy().copy() for name, b in layer.named_buffers()}


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@cases
def test_beside_pytorch(make, text, shape, training, torch):
    rng = np.random.default_rng(0)
    ours, theirs = twins(make, torch, rng)
    assert repr(ours) == repr(theirs) == text
    for _ in range(2):  # the running statistics move twice
        ours.train(training).zero_grad()
        theirs.train(training).zero_grad()
        x = rng.integers(0, 7, shape) if text.startswith("Embedding") else rng.normal(0, 3, shape)
        got, truth = run(ours, x, mg), run(theirs, x, torch)
        assert got.keys() == truth.keys()
        for name, value in truth.items():
            assert got[name].dtype == value.dtype
            np.testing.assert_allclose(got[name], value, rtol=1e-10, atol=1e-12, err_msg=name)


@cases
def test_without_pytorch(make, text, shape):
    layer = make(nn)
    assert repr(layer) == text
    x = mg.zeros(*shape, dtype=mg.int64) if text.startswith("Embedding") else mg.randn(*shape)
    assert layer(x).dtype == mg.float32


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda nn: nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (lambda nn: nn.LeakyReLU(0.1, True), "LeakyReLU(negative_slope=0.1, inplace=True)"),
        (lambda nn: nn.SiLU(True), "SiLU(inplace=True)"),
        (lambda nn: nn.Dropout(0.2, True), "Dropout(p=0.2, inplace=True)"),
    ],
)
def test_inplace_is_taken_and_the_input_left_alone(make, text):
    layer, x = make(nn), mg.tensor([-1.0, 2.0])
    assert repr(layer) == text
    layer(x)
    assert x.tolist() == [-1, 2]


def test_known_values():
    """The definitions, by hand."""
    x = mg.tensor([[-1.0, 2.0]])
    for layer, expected in (
        (nn.LeakyReLU(0.1), [[-0.1, 2]]),
        (nn.ELU(2.0), [[2 * (math.exp(-1) - 1), 2]]),
        (nn.SiLU(), [[-1 / (1 + math.e), 2 / (1 + math.exp(-2))]]),
        (nn.GELU(), [[-0.5 * math.erfc(1 / math.sqrt(2)), 1 + math.erf(math.sqrt(2))]]),
        (nn.Softplus(2), [[math.log1p(math.exp(-2)) / 2, math.log1p(math.exp(4)) / 2]]),
        (nn.Softmax(1), [[1 / (1 + math.exp(3)), 1 / (1 + math.exp(-3))]]),
        (nn.LayerNorm(2), [[-1, 1]]),
    ):
        np.testing.assert_allclose(layer(x).tolist(), expected, rtol=1e-5, err_msg=str(layer))


def test_batch_norm_keeps_statistics():
    layer, x = nn.BatchNorm1d(1, momentum=0.5), mg.tensor([[1.0], [3.0]])
    np.testing.assert_allclose(layer(x).tolist(), [[-1], [1]], rtol=1e-4)
    assert layer.running_mean.tolist() == [1.0]  # halfway from 0 to the mean, 2
    assert layer.running_var.tolist() == [1.5]  # halfway from 1 to the unbiased variance, 2
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    expected = (x.numpy() - 1) / math.sqrt(1.5 + 1e-5)
    np.testing.assert_allclose(layer(x).tolist(), expected, rtol=1e-6)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert (layer.running_mean.item(), layer.running_var.item()) == (0, 1)
    assert layer.num_batches_tracked.dtype == mg.int64
    assert layer.num_batches_tracked.item() == 0

    average = nn.BatchNorm1d(1, momentum=None)
    for shift in (0.0, 1.0, 5.0):
        average(x + shift)
    np.testing.assert_allclose(average.running_mean.tolist(), [2 + 6 / 3])


def test_dropout():
    mg.manual_seed(0)
    layer, x = nn.Dropout(0.25), mg.ones(200, 200, requires_grad=True)
    out = layer(x)
    kept = out.detach().numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.01
    np.testing.assert_allclose(out.detach().numpy()[kept], 1 / 0.75, rtol=1e-6)
    upstream = mg.randn(200, 200)
    out.backward(upstream)
    np.testing.assert_allclose(x.grad.numpy(), upstream.numpy() * out.detach().numpy(), rtol=1e-6)
    assert layer(x).tolist() != out.tolist()
    assert layer.eval()(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(x).tolist() == mg.zeros(200, 200).tolist()


def test_starting_values_follow_pytorchs_distributions():
    mg.manual_seed(0)
    linear = nn.Linear(400, 300)
    for value in (linear.weight, linear.bias):  # uniform within 1 / sqrt(400)
        values = value.detach().numpy()
        assert 0.045 < np.abs(values).max() <= 0.05
        assert abs(values.std() - 0.05 / math.sqrt(3)) < 2e-3
    table = nn.Embedding(500, 100, padding_idx=3).weight.detach().numpy()
    assert not table[3].any()
    assert abs(table.mean()) < 0.02
    assert abs(table.std() - 1) < 0.02
    weight = linear.weight.tolist()
    linear.reset_parameters()
    assert linear.weight.tolist() != weight
    mg.manual_seed(0)
    assert nn.Linear(400, 300).weight.tolist() == weight
    norm = nn.LayerNorm(3)
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([1] * 3, [0] * 3)
    assert nn.Linear(3, 2, dtype=mg.float64).bias.dtype == mg.float64
    assert nn.Linear(0, 2)(mg.ones(4, 0)).shape == (4, 2)


class Clipped(nn.LeakyReLU):
    """A user's subclass of an activation, with an option of its own."""

    def __init__(self, top):
        super().__init__(0.5)
        self.top = top

    def forward(self, x):
        return super().forward(x).clamp(max=self.top)


def test_activations_can_be_subclassed_and_changed():
    layer = Clipped(1.0)
    assert repr(layer) == "Clipped(negative_slope=0.5)"
    assert layer(mg.tensor([-1.0, 3.0])).tolist() == [-0.5, 1]
    layer.negative_slope = 0.25
    assert layer(mg.tensor([-1.0])).tolist() == [-0.25]
    assert nn.ReLU() != nn.ReLU()
    assert len({nn.ReLU(), nn.ReLU()}) == 2


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda: nn.Dropout(1.5), ValueError, "between 0 and 1, but got 1.5"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, r"num_embeddings \(3\), got 3"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(3)), ValueError, r"expected 2D or 3D input \(got 1D"),
        (lambda: nn.BatchNorm1d(3)(mg.ones(1, 3)), ValueError, "more than 1 value per channel"),
        (lambda: nn.Embedding(3, 2)(mg.tensor([3])), IndexError, "out of range"),
        (lambda: nn.Linear(3, 2)(mg.ones(4)), RuntimeError, "last dimension must be 3"),
        (lambda: nn.LayerNorm(3)(mg.ones(4)), RuntimeError, "expected input with shape"),
        (lambda: nn.Softmax(), TypeError, "dim"),
    ],
)
def test_faults_are_named(fault, error, message):
    with pytest.raises(error, match=message):
        fault()


# --- arguments and inputs that do not fit ---------------------------------------------------------


@pytest.mark.parametrize("wrong", [2.0, 2.5, None, "a", [2], True])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("in_features", lambda n: nn.Linear(n, 3)),
        ("out_features", lambda n: nn.Linear(3, n)),
        ("num_embeddings", lambda n: nn.Embedding(n, 3)),
        ("embedding_dim", lambda n: nn.Embedding(3, n)),
        ("normalized_shape", lambda n: nn.LayerNorm([3, n])),
        ("num_features", lambda n: nn.BatchNorm1d(n)),
    ],
)
def test_sizes_are_integers(name, make, wrong):
    with pytest.raises(TypeError, match=f"{name} is a size: expected integers, got "):
        make(wrong)
    for size in (2, np.int64(2), np.uint8(2), mg.tensor(2)):
        make(size)
    with pytest.raises(RuntimeError, match="non-negative sizes"):
        make(-1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: nn.LayerNorm(2.0), TypeError, "normalized_shape is a size"),
        (lambda x: nn.Embedding(3, 2, 1.0), TypeError, "padding_idx: expected an integer or None"),
        (lambda x: nn.Dropout("a"), TypeError, "p: expected a number, got str"),
        (lambda x: nn.functional.dropout(x, None), TypeError, "p: expected a number, got NoneType"),
        (lambda x: nn.BatchNorm1d(3, "a")(x), TypeError, "eps: expected a number, got str"),
        (lambda x: nn.BatchNorm1d(3, 1e-5, "a")(x), TypeError, "momentum: .*number, got str"),
        (lambda x: nn.LayerNorm(3, None)(x), TypeError, "eps: expected a number, got NoneType"),
        (lambda x: nn.LeakyReLU("a")(x), TypeError, "negative_slope: expected a number, got str"),
        (lambda x: nn.ELU((1,))(x), TypeError, "alpha: expected a number, got tuple"),
        (lambda x: nn.Softplus(None)(x), TypeError, "beta: expected a number, got NoneType"),
        (lambda x: nn.Softplus(1, "a")(x), TypeError, "threshold: expected a number, got str"),
        (lambda x: nn.Softmax(1.0)(x), TypeError, "dim: expected an integer, got float"),
        (lambda x: nn.LogSoftmax("a")(x), TypeError, "dim: expected an integer, got str"),
        (lambda x: nn.Softmax(None)(x), TypeError, "dim: expected an integer, got NoneType"),
        (lambda x: nn.Flatten(1.0)(x), TypeError, "dim: expected an integer, got float"),
        (lambda x: nn.Flatten()([1.0]), TypeError, "input: expected a Tensor, got list"),
        (lambda x: nn.BatchNorm1d(3)(None), TypeError, "input: expected a Tensor, got NoneType"),
        (lambda x: nn.GELU()(None), TypeError, "input: expected a Tensor, got NoneType"),
        (lambda x: nn.SiLU()("a"), TypeError, "input: expected a Tensor, got str"),
    ],
)
def test_arguments_of_another_kind(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.ones(2, 3))


@pytest.mark.parametrize(
    "layer", [lambda: nn.Linear(3, 2), lambda: nn.LayerNorm(3), lambda: nn.BatchNorm1d(3)]
)
@pytest.mark.parametrize("dtype", [mg.float64, mg.int64])
def test_an_input_of_another_dtype(layer, dtype):
    """PyTorch's RuntimeError; and what to do."""
    words = r"dtype.*convert .*with \.to\(dtype\), or .* layer with \.float\(\) or \.double\(\)"
    with pytest.raises(RuntimeError, match=words):
        layer()(mg.ones(2, 3, dtype=dtype))
    assert layer().double()(mg.ones(2, 3, dtype=mg.float64)).dtype == mg.float64


def test_momentum_one_replaces_a_running_statistic():
    x, running = mg.randn(64, 3), (mg.zeros(3) + 1e8, mg.zeros(3) + 1e8)
    nn.functional.batch_norm(x, *running, training=True, momentum=1.0)
    np.testing.assert_allclose(running[0].numpy(), x.mean(0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(running[1].numpy(), x.var(0).numpy(), rtol=1e-6)
