"""Starting values: distributions, exact fills, reproducibility, faults."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import init

# Each case: the fill, and for shape (400, 300) the bound and the standard deviation of its values.
DRAWS = {
    "uniform": (lambda t, g: init.uniform_(t, -2, 2, generator=g), 2, 2 / math.sqrt(3)),
    "normal": (lambda t, g: init.normal_(t, 0, 3, generator=g), None, 3),
    "trunc_normal": (lambda t, g: init.trunc_normal_(t, generator=g), 2, 0.8796),
    "xavier_uniform": (
        lambda t, g: init.xavier_uniform_(t, gain=2, generator=g),
        2 * math.sqrt(6 / 700),
        2 * math.sqrt(2 / 700),
    ),
    "xavier_normal": (lambda t, g: init.xavier_normal_(t, generator=g), None, math.sqrt(2 / 700)),
    "kaiming_uniform": (
        lambda t, g: init.kaiming_uniform_(t, a=math.sqrt(5), generator=g),
        1 / math.sqrt(300),
        1 / math.sqrt(900),
    ),
    "kaiming_normal": (
        lambda t, g: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu", generator=g),
        None,
        math.sqrt(2 / 400),
    ),
}


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize("case", DRAWS)
def test_distributions(case, dtype):
    fill, bound, deviation = DRAWS[case]

    def draw(seed):
        tensor = nn.Parameter(mg.empty(400, 300, dtype=dtype))
        assert fill(tensor, mg.Generator().manual_seed(seed)) is tensor
        assert tensor.is_leaf
        return tensor.detach().numpy()

    values = draw(1)
    assert values.dtype == dtype
    assert abs(values.mean()) < 0.02 * deviation
    assert abs(values.std() / deviation - 1) < 0.01
    if bound is not None:
        assert 0.99 * bound < np.abs(values).max() <= np.float32(bound)
    assert (draw(1) == values).all()
    assert (draw(2) != values).any()


def test_the_default_generator_is_followed():
    def draws():
        mg.manual_seed(7)
        tensors = mg.empty(5, 5), mg.empty(5, 5), mg.empty(5, 5)
        fills = init.trunc_normal_, init.orthogonal_, init.uniform_
        return [fill(t).tolist() for fill, t in zip(fills, tensors, strict=True)]

    assert draws() == draws()


def test_truncated_normal_far_from_its_mean():
    values = init.trunc_normal_(mg.empty(2000), mean=1.0, std=2.0, a=9.0, b=12.0).numpy()
    assert 9 <= values.min() < 9.05
    assert values.max() <= 12
    assert abs(values.mean() - 9.4455) < 0.03  # mean + std * phi(4) / Q(4), cut off at 5.5 std
    assert np.isfinite(init.trunc_normal_(mg.empty(100), a=-math.inf, b=math.inf).numpy()).all()


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (lambda t: init.constant_(t, 0.5), [[0.5] * 3] * 2),
        (init.ones_, [[1] * 3] * 2),
        (init.zeros_, [[0] * 3] * 2),
        (init.eye_, [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_exact_fills(fill, expected):
    parameter = nn.Parameter(mg.randn(2, 3))
    assert fill(parameter) is parameter
    assert parameter.tolist() == expected
    assert (parameter.is_leaf, parameter.requires_grad) == (True, True)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (3, 2, 4), (0, 2)])
def test_orthogonal(shape):
    values = init.orthogonal_(mg.empty(*shape, dtype=mg.float64), gain=2).numpy()
    flat = values.reshape(shape[0], math.prod(shape[1:]))
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 4 * np.eye(min(flat.shape)), atol=1e-12)


def test_orthogonal_is_uniform():
    """Without the sign correction the first diagonal entry would never be positive."""
    generator = mg.Generator().manual_seed(0)
    firsts = [
        init.orthogonal_(mg.empty(2, 2), generator=generator)[0, 0].item() for _ in range(200)
    ]
    assert 70 < sum(first > 0 for first in firsts) < 130


GAINS = [
    *("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"),
    ("leaky_relu", 0.3),
    ("leaky_relu", 2),
]


@pytest.mark.torch
@pytest.mark.parametrize("arguments", GAINS)
def test_gains_are_pytorchs(arguments):
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    arguments = (arguments,) if isinstance(arguments, str) else arguments
    assert init.calculate_gain(*arguments) == torch.nn.init.calculate_gain(*arguments)


@pytest.mark.torch
@pytest.mark.parametrize("case", DRAWS)
def test_distributions_are_pytorchs(case):
    """The same quantiles from both libraries, each from its own generator."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    name, at = f"{case}_", np.linspace(0.01, 0.99, 21)
    options = {"a": 1} if case.startswith("kaiming") else {"gain": 3} if "xavier" in case else {}
    ours = getattr(init, name)(mg.empty(50, 20, 100), **options).numpy()
    generator = torch.Generator().manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(50, 20, 100), **options, generator=generator)
    quantiles = np.quantile(theirs.numpy(), at)
    tolerance = 0.03 * np.abs(quantiles).max()
    np.testing.assert_allclose(np.quantile(ours, at), quantiles, atol=tolerance)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda: init.xavier_normal_(mg.ones(3)), r"fewer than 2 dimensions, got shape \(3,\)"),
        (lambda: init.kaiming_normal_(mg.ones(3, 3), mode="fan"), "mode: expected 'fan_in' or"),
        (lambda: init.calculate_gain("swish"), "nonlinearity: expected one of leaky_relu, sigm"),
        (lambda: init.calculate_gain("leaky_relu", True), "negative slope, got True"),
        (lambda: init.eye_(mg.ones(3)), "Only tensors with 2 dimensions are supported, got 1"),
        (lambda: init.orthogonal_(mg.ones(3)), "2 or more dimensions are supported, got 1"),
    ],
)
def test_faults_are_named(fault, message):
    with pytest.raises(ValueError, match=message):
        fault()
