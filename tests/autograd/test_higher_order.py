"""Gradients of gradients where they break: changes of dtype, numbers, kinks, nothing at all."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import grad
from minigrad.nn import functional as F

INF = math.inf


def leaf(values, dtype=mg.float32):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize(
    "activation", ["relu", "erf", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh"]
)
def test_activations_of_a_number_and_of_nothing(activation, shape):
    x = mg.ones(shape).requires_grad_()
    out = getattr(F, activation)(x)
    (out * 2).sum().backward(retain_graph=True)
    once = x.grad.numpy().copy()
    (out * 2).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.detach().numpy(), 2 * once, rtol=1e-6)
    assert x.grad.shape == shape


def test_relu_of_a_number_from_the_one_a_backward_pass_begins_with():
    x = leaf(2.0)
    x.relu().backward()
    assert x.grad.item() == 1


CASTS = {
    "double": lambda x, y: x.double() ** 3,
    "float and back": lambda x, y: x.double().float().double() ** 3,
    "a product": lambda x, y: x * x * y,
    "a power": lambda x, y: x ** (y / y + 2),
    "where": lambda x, y: mg.where(y > 0, x**3, y),
    "cat": lambda x, y: mg.cat([x**3, y]),
    "stack": lambda x, y: mg.stack([x**3, y]),
    "sum": lambda x, y: (x**3).sum(dtype=mg.float64),
    "mean": lambda x, y: (x**3).mean(dtype=mg.float64) * 2,
    "cumsum": lambda x, y: (x**3).cumsum(0, dtype=mg.float64)[-1],
    "softmax": lambda x, y: x.softmax(0, dtype=mg.float64) * x**3 * 0 + x**3,
    "broadcast": lambda x, y: (x**3 * y.reshape(2, 1) / y.sum()),
    "a loss": lambda x, y: F.mse_loss(x**2, y * 0, reduction="sum") ** 0.75 * 0 + x**3,
}  # fmt: skip


@pytest.mark.parametrize("form", CASTS)
def test_create_graph_through_a_change_of_dtype(form):
    x, y = leaf([1.5, -0.5]), leaf([1.5, 2.5], mg.float64)
    (g,) = grad(CASTS[form](x, y).double().sum(), x, create_graph=True)
    (h,) = grad(g.sum(), x)
    assert g.dtype == h.dtype == mg.float32
    expected = [3.0, 5.0] if form == "a product" else [9.0, -3.0]
    np.testing.assert_allclose(h.numpy(), expected, rtol=1e-5)


def test_a_first_gradient_of_another_dtype():
    x = leaf([1.5, -0.5])
    (g,) = grad(x**3, x, mg.ones(2, dtype=mg.float64), create_graph=True)
    assert g.dtype == mg.float32
    np.testing.assert_allclose(grad(g.sum(), x)[0].numpy(), [9.0, -3.0])


KINKED = {
    "relu": lambda x: x.relu(),
    "leaky_relu": F.leaky_relu,
    "abs": mg.abs,
    "norm 1": lambda x: x.norm(1),
    "norm inf": lambda x: x.norm(INF),
    "l1": lambda x: F.l1_loss(x, x.detach() * 0),
    "nll": lambda x: F.nll_loss(x.reshape(1, -1), mg.tensor([1])),
    "hinge": lambda x: F.hinge_loss(x, mg.ones(4)),
    "quantile": lambda x: F.quantile_loss(x, mg.ones(4)),
}


@pytest.mark.parametrize("name", KINKED)
def test_second_derivatives_of_what_is_made_of_straight_pieces_are_zeros(name):
    x = leaf([-2.0, 0.0, 1.0, 3.0])
    (g,) = grad(KINKED[name](x).sum(), x, create_graph=True)
    np.testing.assert_array_equal(grad((g * g).sum() + g.sum(), x)[0].numpy(), np.zeros(4))


def test_the_gradient_of_a_step_is_zero_even_of_infinity():
    x = leaf([0.5, 1.5])
    x.floor().backward(mg.tensor([INF, 1.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0])


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_all_rows_ignored(loss):
    x = leaf([[1.0, 2.0], [math.nan, -INF]])
    for reduction in ("mean", "sum"):
        out = loss(x, mg.tensor([-100, -100]), reduction=reduction)
        (g,) = grad(out, x, create_graph=True)
        np.testing.assert_array_equal(g.detach().numpy(), np.zeros((2, 2)))
        np.testing.assert_array_equal(grad(g.sum(), x)[0].numpy(), np.zeros((2, 2)))


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 2.5, 3, 4, INF, -INF, -1, -2.5, "fro"])
def test_norms_at_zero(p):
    x = leaf([[0.0, 0.0], [0.0, 3.0]], mg.float64)
    (g,) = grad(x.norm(p, dim=1).sum(), x, create_graph=True)
    (h,) = grad((g * mg.tensor([1.0, 2.0])).sum(), x)
    assert np.isfinite(g.detach().numpy()).all()
    assert np.isfinite(h.numpy()).all()
    np.testing.assert_array_equal(g.detach().numpy()[0], [0, 0])


def test_the_norm_that_counts():
    x = leaf([0.0, 2.0])
    x.norm(0).backward()
    assert x.grad is None  # as in PyTorch
    with pytest.raises(RuntimeError, match="nothing has no norm"):
        mg.zeros(0).norm(-1)


def test_binary_cross_entropy_of_a_logit_of_0():
    """|x| has a kink where the loss has none."""
    x, y = leaf([0.0], mg.float64), leaf([0.25], mg.float64)
    out = F.binary_cross_entropy_with_logits(x, y, pos_weight=mg.tensor(3.0))
    by_x, by_y = grad(out, [x, y], create_graph=True)
    (second,) = grad(by_x, x, create_graph=True)
    assert second.item() == pytest.approx((0.75 + 3 * 0.25) / 4, rel=1e-14)
    assert grad(by_y, x)[0].item() == pytest.approx(-2, rel=1e-14)  # -(1 + 3) / 2
    assert grad(second, x)[0].item() == pytest.approx(0, abs=1e-15)


def test_elu_and_softplus_where_their_pieces_meet():
    for function, at in ((F.elu, 0.0), (lambda t: F.softplus(t, 2.0, 1.0), 0.5)):
        x = leaf(at, mg.float64)
        (g,) = grad(function(x), x, create_graph=True)
        assert grad(g, x)[0].item() == 0


def test_powers_of_zero():
    x, y = leaf([0.0, 0.0, 2.0], mg.float64), leaf([0.0, 2.0, 0.0], mg.float64)
    by_x, by_y = grad((x**y).sum(), [x, y], create_graph=True)
    (h,) = grad(by_x.sum(), x, retain_graph=True)
    np.testing.assert_array_equal(h.numpy(), [0, 2, 0])
    assert np.isfinite(grad(by_y.sum(), y)[0].numpy()).all()


@pytest.mark.parametrize("shape", [(0,), (1, 0), (0, 3)], ids=str)
def test_cross_entropy_of_nothing(shape):
    x = mg.zeros(shape).requires_grad_()
    out = F.cross_entropy(x, mg.zeros(shape), reduction="sum")
    (g,) = grad(out, x, create_graph=True)
    assert grad(g.sum(), x)[0].shape == shape


def test_one_number_is_a_vector_of_one():
    x = leaf(2.0)
    assert x.index_select(0, mg.tensor([0])).shape == ()
    assert x.gather(0, mg.tensor([0, 0])).shape == (2,)
    assert x.prod(0).shape == ()
    grad(x.prod(0) * x.gather(0, mg.tensor(0)), x)
    weight, rows = leaf([1.0, 2.0]), leaf([[3.0, 4.0]])
    out = F.linear(rows, weight, mg.tensor(0.5))
    np.testing.assert_array_equal(out.detach().numpy(), [11.5])
    np.testing.assert_array_equal(grad(out.sum(), weight)[0].numpy(), [3, 4])
    assert F.linear(mg.zeros(0), mg.zeros(1, 0)).tolist() == [0]
    with pytest.raises(RuntimeError, match="at least one dimension"):
        F.linear(x, x)
