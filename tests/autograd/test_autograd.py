"""The engine: what is recorded, walked, kept, freed, refused. Values: test_operations.py."""

import gc
import sys
import threading
import warnings
import weakref
from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import Function, GradcheckError, grad, gradcheck, gradgradcheck

F = mg.nn.functional
SECOND = "Trying to backward through the graph a second time"
CHANGED = "modified by an inplace operation"
LEAF = "leaf Variable that requires grad is being used in an in-place"
NO_GRAD = "does not require grad and does not have a grad_fn"


def pytorch():
    return pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )


def leaf(*shape, seed=0, low=0.5, high=2.0):
    """A float64 leaf with random values."""
    array = np.random.default_rng(seed).uniform(low, high, shape)
    return mg.tensor(array, requires_grad=True)


def upstream(like, seed=7):
    """A random gradient for `like`, never ones."""
    return mg.tensor(np.random.default_rng(seed).uniform(0.5, 1.5, like.shape) * -1.5)


def same(a, b):
    a, b = (x.detach().numpy() if isinstance(x, mg.Tensor) else x for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=1e-12)


# --- backward: leaves, interior nodes, the graph's life -----------------------------------------


def test_leaves_accumulate():
    x = leaf(3)
    g, h = upstream(x, 1), upstream(x, 2)
    (x * x).backward(g)
    first = x.grad
    (x * 3).backward(h)
    same(x.grad, 2 * x.detach() * g + 3 * h)
    assert x.grad is first  # PyTorch adds in place, so that optimizers may hold on to it
    x.grad = None
    (x * 3).backward(g)
    same(x.grad, 3 * g)


def test_diamond():
    """A value used many times gets the sum, through one visit."""
    x = leaf(4)
    y = x.exp()
    z = y * y + y.sin() * x + y.sum() * y
    g = upstream(z)
    z.backward(g)
    e = np.exp(x.detach().numpy())
    by_y = (
        g.detach().numpy() * (2 * e + np.cos(e) * x.detach().numpy())
        + (g.detach().numpy() * e).sum()
        + g.detach().numpy() * e.sum()
    )
    same(x.grad, by_y * e + g.detach().numpy() * np.sin(e))


def test_diamond_of_numbers():
    """0-d gradients are NumPy numbers, which do not change in place: they must still add up."""
    x = leaf()
    y = x * 1
    (y * y * 3 + y.exp() + y).backward()
    same(x.grad, 6 * x.detach().numpy() + np.exp(x.detach().numpy()) + 1)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda x: x.exp(), "<ExpBackward0>"),
        (lambda x: x + 1, "<AddBackward0>"),
        (lambda x: x @ x.t(), "<MatmulBackward0>"),
        (lambda x: x.log_softmax(1), "<LogSoftmaxBackward0>"),
        (lambda x: x.sum(), "<SumBackward0>"),
        (lambda x: F.mse_loss(x, x.detach()), "<MseBackward0>"),
        (lambda x: x.to(mg.float32), "<CastBackward0>"),
    ],
)
def test_grad_fn(build, names):
    x = leaf(2, 2)
    assert x.is_leaf
    assert x.grad_fn is None
    y = build(x)
    assert y.requires_grad
    assert not y.is_leaf
    assert repr(y.grad_fn) == names
    assert names in repr(y)
    parent = y.grad_fn.next_functions[0][0]
    assert parent.name() in ("AccumulateGrad", "ReshapeBackward0", "TransposeBackward0")
    for constant in (mg.ones(2), y.detach(), (x > 1), x.detach() * 2, x.argmax()):
        assert constant.is_leaf
        assert constant.grad_fn is None
        assert not constant.requires_grad


def test_interior_gradients_are_dropped():
    x = leaf(3)
    y = x * 2
    z = y.exp()
    z.retain_grad()
    z.retain_grad()
    w = z * x
    g = upstream(w)
    w.backward(g, retain_graph=True)
    assert y.grad is None
    same(z.grad, g * x.detach())
    w.backward(g)
    same(z.grad, 2 * (g * x.detach()))
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad"):
        mg.ones(2).retain_grad()
    x.retain_grad()  # of a leaf: nothing to do
    with pytest.raises(RuntimeError, match=SECOND):
        w.backward(g)


def test_second_backward():
    x = leaf(3)
    y = x.exp()
    g = upstream(y)
    y.backward(g, retain_graph=True)
    y.backward(g)
    same(x.grad, 2 * (g * y.detach()))
    with pytest.raises(RuntimeError, match=SECOND) as error:
        y.backward(g)
    assert "retain_graph=True" in str(error.value)
    with pytest.raises(RuntimeError, match=SECOND):
        (y * 2).sum().backward()  # a new graph that ends in a freed one


def test_nothing_saved_nothing_freed():
    """As in PyTorch, an operation that saves nothing can run backward again."""
    x = leaf(3)
    y = (x + x.sum() * 2).reshape(1, 3).t()[1:]
    g = upstream(y)
    y.backward(g)
    first = x.grad.clone()
    y.backward(g)
    same(x.grad, 2 * first)


def test_graph_is_freed_by_backward():
    x = leaf(3)
    y = x.exp()
    saved = weakref.ref(y.grad_fn)
    z = y.log()
    value = weakref.ref(y)
    del y
    assert value() is None  # nothing but the arrays is kept
    assert saved() is not None
    z.sum().backward()
    del z
    assert saved() is None


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda y: y.backward(),
            RuntimeError,
            "grad can be implicitly created only for scalar out",
        ),
        (lambda y: y.backward(mg.ones(2)), RuntimeError, r"Mismatch in shape.*\(2,\).*\(3,\)"),
        (lambda y: y.sum().backward(mg.ones(1)), RuntimeError, r"Mismatch in shape.*\(1,\).*\(\)"),
        (
            lambda y: y.backward(np.ones(3)),
            TypeError,
            "gradient: expected a Tensor or None, got nd",
        ),
        (lambda y: y.backward(1.0), TypeError, "gradient: expected a Tensor or None, got float"),
        (lambda y: y.detach().sum().backward(), RuntimeError, NO_GRAD),
        (lambda y: mg.ones(()).backward(), RuntimeError, NO_GRAD),
        (lambda y: y.sum().backward(inputs=[mg.ones(1)]), RuntimeError, "does not require grad"),
        (lambda y: grad(y.sum(), mg.ones(1)), RuntimeError, "differentiated Tensors does not req"),
        (lambda y: grad(y.sum(), leaf(1)), RuntimeError, "appears to not have been used.*allow_un"),
        (lambda y: grad([y, y], y, [mg.ones(3)]), RuntimeError, "got 2 tensors and 1 grad"),
    ],
)
def test_backward_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(leaf(3) * 2)


def test_one_element_needs_no_gradient():
    x = leaf(1, 1)
    (x * 3).backward()
    assert x.grad.tolist() == [[3.0]]


def test_gradient_of_another_dtype():
    x = mg.ones(3, requires_grad=True)
    (x * 2).backward(mg.tensor([1.5, 2.5, 3.5], dtype=mg.float64))
    assert x.grad.dtype == mg.float32
    assert x.grad.tolist() == [3.0, 5.0, 7.0]


def test_several_outputs_and_inputs():
    x, y = leaf(3, seed=1), leaf(3, seed=2)
    a, b = x * y, (x * 2).sum()
    g = upstream(a)
    mg.autograd.backward([a, b], [g, None], inputs=[x])
    same(x.grad, g * y.detach() + 2)
    assert y.grad is None
    a, hidden = x * y, x * 5
    (hidden * y + a).backward(g, inputs=[hidden, a])
    same(hidden.grad, g * y.detach())
    same(a.grad, g)
    assert y.grad is None
    mg.autograd.backward((a * 1, a * 1), (g, g))  # one node reached from two outputs
    same(y.grad, 2 * (g * x.detach()))


# --- autograd.grad -------------------------------------------------------------------------------


def test_grad():
    x, y, unused = leaf(3, seed=1), leaf(3, seed=2), leaf(2)
    hidden = x.exp()
    z = hidden * y
    g = upstream(z)
    by_x, by_hidden, again, none = grad(z, [x, hidden, x, unused], g, allow_unused=True)
    same(by_x, g * y.detach() * hidden.detach())
    same(by_hidden, g * y.detach())
    same(again, by_x)
    assert none is None
    assert not np.shares_memory(again.array, by_x.array)
    assert (x.grad, y.grad, by_x.requires_grad) == (None, None, False)
    (of_itself,) = grad(z, z, g)
    same(of_itself, g)
    assert not np.shares_memory(of_itself.array, g.array)


def test_grad_of_a_tuple_is_a_sum():
    x = leaf(3)
    (found,) = grad((x.sum(), (x * x).sum()), x)
    same(found, 1 + 2 * x.detach())


def test_grad_stops_at_its_inputs():
    """What lies below the inputs is neither computed nor freed."""
    x = leaf(3)
    hidden = x.exp()
    grad(hidden.sin().sum(), hidden)
    hidden.sum().backward()
    same(x.grad, hidden.detach())


# --- higher orders --------------------------------------------------------------------------------


def third_order(m, array):
    x = m.tensor(array, requires_grad=True)
    y = (x.tanh() * x.exp() / (1 + x * x)).sum() + (x.softmax(0) ** 3).sum() * x.prod()
    found = []
    for _ in range(3):
        (g,) = m.autograd.grad(y, x, create_graph=True)
        found.append(g.detach().numpy())
        y = (g * g.sin()).sum()
    return found


@pytest.mark.torch
def test_third_order_live():
    torch = pytorch()
    array = np.linspace(0.3, 1.2, 4)
    for got, want in zip(third_order(mg, array), third_order(torch, array), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_third_order():
    """Each derivative against differences of the one before."""
    x = leaf(3)

    def second(t):
        (g,) = grad((t.exp() * t.sin()).sum() * t.prod(), t, create_graph=True)
        (h,) = grad((g * g).sum(), t, create_graph=True)
        return h

    assert gradcheck(second, x)
    assert gradgradcheck(lambda t: t.exp() * t.sin() * t.prod(), x)


def test_create_graph_accumulates_in_the_graph():
    x = leaf(3)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    same(x.grad.detach(), 3 * x.detach() ** 2)
    first, x.grad = x.grad, None
    g = upstream(x)
    first.backward(g)
    same(x.grad, 6 * x.detach() * g)


def test_gradient_of_a_gradient_penalty():
    """The usual double backward: a network's gradient by its input, squared, trains its weights."""
    x, w = leaf(2, 3, seed=1), leaf(3, 2, seed=2)

    def penalty(w):
        (g,) = grad((x @ w).tanh().sum(), x, create_graph=True)
        return ((g * g).sum(1) + 0.1).sqrt().sum()

    assert gradcheck(penalty, w)


# --- recording on and off -------------------------------------------------------------------------


def recorded():
    return (leaf(1) * 2).requires_grad


MODES = {
    "no_grad": (mg.no_grad, False),
    "enable_grad": (mg.enable_grad, True),
    "set_false": (partial(mg.set_grad_enabled, False), False),
    "set_true": (partial(mg.set_grad_enabled, True), True),
}


@pytest.fixture(params=[True, False], ids=["on", "off"])
def outside(request):
    """The mode around the test, checked to be unharmed by it."""
    before = mg.is_grad_enabled()
    with mg.set_grad_enabled(request.param):
        yield request.param
        assert mg.is_grad_enabled() is request.param
    assert mg.is_grad_enabled() is before


@pytest.mark.parametrize("name", MODES)
def test_modes(name, outside):
    make, inside = MODES[name]
    with make():
        assert recorded() is mg.is_grad_enabled() is inside
        with mg.enable_grad():
            assert recorded()
            with mg.no_grad():
                assert not recorded()
            assert recorded()
        assert recorded() is inside
    assert recorded() is outside
    with pytest.raises(KeyError, match="inside"), make():
        raise KeyError("inside")
    assert mg.is_grad_enabled() is outside
    context = make()
    for _ in range(2):  # PyTorch's can be entered again
        with context:
            assert mg.is_grad_enabled() is inside


@pytest.mark.parametrize("name", MODES)
def test_decorators(name, outside):
    make, inside = MODES[name]

    @make()
    def function(a, *, b):
        """Doc."""
        if a == "fail":
            raise ValueError("inside")
        if a:
            return function(a - 1, b=b)  # recursion enters again
        return mg.is_grad_enabled(), b

    assert mg.is_grad_enabled() is outside
    assert function(3, b=5) == (inside, 5)
    assert (function.__name__, function.__doc__) == ("function", "Doc.")
    with pytest.raises(ValueError, match="inside"):
        function("fail", b=0)


@pytest.mark.parametrize("mode", [mg.no_grad, mg.enable_grad])
def test_decorator_without_parentheses(mode, outside):
    @mode
    def function(a, b=1):
        return mg.is_grad_enabled(), a, b

    assert function(2, b=3) == (mode.mode, 2, 3)

    class Model:
        @mode
        def method(self):
            return self, mg.is_grad_enabled()

    model = Model()
    assert model.method() == (model, mode.mode)


@pytest.mark.parametrize("name", MODES)
def test_decorated_generators(name, outside):
    """The mode holds while the generator's body runs, not between its items."""
    make, inside = MODES[name]

    @make()
    def generator(n):
        try:
            for i in range(n):
                got = yield mg.is_grad_enabled()
                assert got == (None if i == 0 else i)
                assert mg.is_grad_enabled() is inside
        except KeyError:
            yield "caught", mg.is_grad_enabled()
        finally:
            closed.append(mg.is_grad_enabled())
        return "done"

    closed = []
    items = generator(4)
    assert next(items) is inside
    assert mg.is_grad_enabled() is outside
    assert next(items) is inside
    assert items.send(1) is inside
    assert mg.is_grad_enabled() is outside
    assert items.throw(KeyError) == ("caught", inside)
    with pytest.raises(StopIteration, match="done"):
        next(items)
    items = generator(1)
    next(items)
    items.close()
    assert closed == [inside, inside]


def test_set_grad_enabled_as_a_call():
    before = mg.is_grad_enabled()
    try:
        mg.set_grad_enabled(False)
        assert not recorded()
        mg.set_grad_enabled(mode=True)
        assert recorded()
    finally:
        mg.set_grad_enabled(before)


def test_modes_are_per_thread():
    seen, inside, leave = [], threading.Event(), threading.Event()

    def work():
        seen.append(mg.is_grad_enabled())
        with mg.no_grad():
            inside.set()
            leave.wait(10)
            seen.append(mg.is_grad_enabled())

    thread = threading.Thread(target=work)
    with mg.no_grad():
        thread.start()
        assert inside.wait(10)
        with mg.enable_grad():
            assert recorded()
            leave.set()
            thread.join()
            assert recorded()
    assert seen == [True, False]


def test_backward_under_no_grad():
    x = leaf(3)
    y = x.exp()
    with mg.no_grad():
        y.backward(upstream(y))
    same(x.grad, upstream(y) * y.detach())
    assert not x.grad.requires_grad


# --- detach, clone, requires_grad ----------------------------------------------------------------


def test_detach_and_clone():
    x = leaf(3)
    y = x * 2
    shared, copy = y.detach(), y.clone()
    assert np.shares_memory(shared.array, y.array)
    assert not np.shares_memory(copy.array, y.array)
    assert (shared.requires_grad, copy.requires_grad) == (False, True)
    g = upstream(copy)
    copy.backward(g)
    same(x.grad, 2 * g)
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match=NO_GRAD):
        y.sum().backward()


def test_requires_grad():
    x = mg.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert x.requires_grad_(False).node is None
    for dtype in (mg.int64, mg.bool, mg.uint8):
        with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require"):
            mg.ones(2, dtype=dtype).requires_grad_()
        assert not mg.ones(2, dtype=dtype).requires_grad_(False).requires_grad
    y = x.requires_grad_() * 2
    assert y.requires_grad_() is y
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf variables"):
        y.requires_grad_(False)
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf variables"):
        y.requires_grad = False


def test_grad_can_be_set():
    x = leaf(3)
    x.grad = mg.ones(3, dtype=mg.float64)
    given = x.grad
    (x * 2).backward(upstream(x))
    assert x.grad is given
    same(x.grad, 1 + 2 * upstream(x))


# --- in-place changes and the version counter -----------------------------------------------------


def step(x, y):
    with mg.no_grad():
        x -= 0.1


# What is saved, and the change after it was: each makes the gradient wrong if it went unnoticed.
SPOILERS = {
    "output": lambda x, y: (out := y.exp(), out.add_(1))[0],
    "output_operator": lambda x, y: _iadd(y.exp()),
    "output_by_index": lambda x, y: _assign(y.sigmoid()),
    "output_of_norm": lambda x, y: (out := y.norm(dim=0), out.mul_(2))[0],
    "input": lambda x, y: (y.sin(), y.add_(1))[0],
    "input_through_view": lambda x, y: (y * y, y[0].mul_(2))[0],
    "input_through_detach": lambda x, y: (y * y, y.detach().mul_(2))[0],
    "input_is_view": lambda x, y: (y[:1] * x[:1], y.mul_(2))[0],
    "input_with_no_grad": lambda x, y: (y.log(), _quietly(y.zero_))[0],
    "constant": lambda x, y: (c := mg.ones(3, dtype=mg.float64), y * c, c.add_(1))[1],
    "matmul": lambda x, y: (y.reshape(1, 3) @ x, y.copy_(x))[0],
    "itself": lambda x, y: y.mul_(y),
    "optimizer_step": lambda x, y: (x * y, step(x, y))[0],
    "loss_target": lambda x, y: (t := mg.zeros(3, dtype=mg.float64), F.mse_loss(y, t),
        t.add_(1))[1],
    "max": lambda x, y: (y.amax(), y.neg_())[0],
    "relu": lambda x, y: (out := y.relu(), out.mul_(2))[0],
    "where": lambda x, y: (c := y > 1, mg.where(c, y, 0.0), c.copy_(~c))[1],
}  # fmt: skip


def _iadd(t):
    t += 1
    return t * 1


def _assign(t):
    t[0] = 0.5
    return t


def _quietly(change):
    with mg.no_grad():
        change()


@pytest.mark.parametrize("name", SPOILERS)
def test_spoiled_values_are_noticed(name):
    x = leaf(3)
    out = SPOILERS[name](x, x * 2)
    with pytest.raises(RuntimeError, match=CHANGED) as error:
        out.sum().backward()
    assert "Backward0 needs is at version 1; expected version 0" in str(error.value)


AT, EACH, WIDE = [2, 0], [[0], [1], [2]], [0.5, 0.25, 2.0]
# What a formula reads beside its inputs: how it is read (of y, (3, 3)), and what it is.
READ = {
    "index": (lambda y, c: y[c], AT),
    "index_beside_slice": (lambda y, c: y[:, c], AT),
    "index_beside_number": (lambda y, c: y[1, c], AT),
    "mask": (lambda y, c: y[c], [True, False, True]),
    "masked_fill": (lambda y, c: y.masked_fill(c, 0.0), [True, False, True]),
    "index_select": (lambda y, c: y.index_select(1, c), AT),
    "gather": (lambda y, c: y.gather(1, c), EACH),
    "take_along_dim": (lambda y, c: y.take_along_dim(c, 1), EACH),
    "embedding": (lambda y, c: F.embedding(c, y), AT),
    "padding": (lambda y, c: F.embedding(c, y, 1), AT),
    "assign_at": (lambda y, c: _assigned_at(y, c), AT),
    "classes": (lambda y, c: F.cross_entropy(y, c), [0, 1, 2]),
    "class_weights": (lambda y, c: F.cross_entropy(y, mg.tensor([0, 1, 2]), c), WIDE),
    "classes_of_nll": (lambda y, c: F.nll_loss(y, c), [0, 1, 2]),
    "class_weights_of_nll": (lambda y, c: F.nll_loss(y, mg.tensor([0, 1, 2]), c), WIDE),
    "weight": (lambda y, c: F.binary_cross_entropy(y.sigmoid(), y.detach() * 0, c), WIDE),
    "weight_of_logits": (lambda y, c: _with_logits(y, c), WIDE),
    "pos_weight": (lambda y, c: _with_logits(y, pos_weight=c), WIDE),
    "one_pos_weight": (lambda y, c: _with_logits(y, pos_weight=c), [2.0]),
    "weight_of_mse": (lambda y, c: F.mse_loss(y, y.detach() * 0, weight=c), [WIDE] * 3),
}


def _assigned_at(y, c):
    out = mg.zeros(3, 3, dtype=mg.float64)
    out[c] = y[:2]
    return out


def _with_logits(y, weight=None, **options):
    return F.binary_cross_entropy_with_logits(y, y.detach() * 0 + 1, weight, **options)


@pytest.mark.parametrize("passes", ["first", "second", "recorded"])
@pytest.mark.parametrize("name", READ)
def test_what_is_read_beside_inputs_is_stamped(name, passes):
    read, numbers = READ[name]
    x = mg.randn(3, 3, dtype=mg.float64, generator=mg.Generator().manual_seed(1)).requires_grad_()
    c = mg.tensor(numbers, dtype=mg.float64 if isinstance(np.ravel(numbers)[0], float) else None)
    out = read(x * 1.0, c)
    if passes == "second":
        out.sum().backward(retain_graph=True)
    if passes == "recorded":
        (out,) = mg.autograd.grad((out * out).sum(), x, create_graph=True)
    c.detach().zero_()
    with pytest.raises(RuntimeError, match=CHANGED):
        out.sum().backward()


@pytest.mark.parametrize("change", ["norm", "value"])
def test_clipping_is_a_change_of_gradients(change):
    x, w = leaf(3), leaf(3)
    (x * 2).sum().backward()
    out = (x.grad * w).sum()
    getattr(mg.nn.utils, f"clip_grad_{change}_")([x], 0.5)
    with pytest.raises(RuntimeError, match=CHANGED):
        out.backward()


def test_arrays_of_the_user_are_copied():
    x, index, numbers = leaf(3), np.array([0, 2]), np.array([1.0, 2.0, 3.0])
    out = x[index].sum() + (x * numbers).sum() + np.multiply(numbers, x).sum()
    index[:], numbers[:] = 1, 0
    out.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4, 7])


def test_a_parameter_shares_the_counter_of_its_data():
    x, w = mg.ones(3), leaf(3)
    out = (mg.nn.Parameter(x, requires_grad=False) * w).sum()
    x.zero_()
    with pytest.raises(RuntimeError, match=CHANGED):
        out.backward()


# Changes that no formula minds: the gradient by x, where out = f(x, y = 2x).
HARMLESS = {
    "add": (lambda x, y: (y + 1, y.add_(5))[0], lambda x: 2 + 0 * x),
    "mul_by_number": (lambda x, y: (y * 3, y.zero_())[0], lambda x: 6 + 0 * x),
    "output_unused": (lambda x, y: (out := y.sin(), out.add_(1))[0], lambda x: 2 * np.cos(2 * x)),
    "other_memory": (lambda x, y: (y.sin(), y.clone().add_(1))[0], lambda x: 2 * np.cos(2 * x)),
    "before": (lambda x, y: (y.mul_(2), y.sin())[1], lambda x: 4 * np.cos(4 * x)),
    "leaf_before": (lambda x, y: (step(x, y), x.sin())[1], lambda x: np.cos(x)),
    "in_the_graph": (lambda x, y: y.mul_(x), lambda x: 4 * x),
    "chain": (lambda x, y: y.exp_().log_().sin_(), lambda x: 2 * np.cos(2 * x)),
    "masked_fill_": (lambda x, y: y.masked_fill_(y > 2, 9.0), lambda x: 2.0 * (2 * x <= 2)),
    "fill_": (lambda x, y: y.fill_(3) * x, lambda x: 3 + 0 * x),
    "leaf_into_constant": (lambda x, y: mg.zeros(3, dtype=mg.float64).add_(x), lambda x: 1 + 0 * x),
    "index_of_constant": (lambda x, y: _put(mg.ones(3, dtype=mg.float64), x), lambda x: 3 + 0 * x),
    "row_of_constant": (lambda x, y: _row(mg.ones(2, 3, dtype=mg.float64), x), lambda x: 2 * x),
}  # fmt: skip


def _put(c, x):
    c[...] = x
    return c * 3


def _row(c, x):
    c[0].copy_(x)
    return c[0] * x


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_changes(name):
    f, slope = HARMLESS[name]
    x = leaf(3)
    out = f(x, x * 2)
    g = upstream(out)
    out.backward(g)
    same(x.grad, g.detach().numpy() * slope(x.detach().numpy()))


@pytest.mark.parametrize(
    ("change", "who"),
    [
        (lambda x: x.add_(1), "a leaf"),
        (lambda x: x.__imul__(2), "a leaf"),
        (lambda x: x.__setitem__(0, 1.0), "a leaf"),
        (lambda x: x.zero_(), "a leaf"),
        (lambda x: x.normal_(), "a leaf"),
        (lambda x: x[0].mul_(2), "a view of a leaf"),
        (lambda x: x.t()[0].zero_(), "a view of a leaf"),
        (lambda x: x.reshape(-1).__setitem__(0, 1.0), "a view of a leaf"),
        (lambda x: x.clamp_(0, 1), "a leaf"),
    ],
)
def test_leaves_refuse_changes(change, who):
    x = leaf(2, 3)
    before = x.detach().numpy().copy()
    with pytest.raises(RuntimeError, match=f"^{who} Variable|{who} {LEAF}"):
        change(x)
    same(x, before)
    with mg.no_grad():
        change(x)
    assert x.is_leaf
    assert x.requires_grad
    assert not np.array_equal(x.detach().numpy(), before)


def test_base_changed_through_view():
    """A change of a view changes the base and every other view, gradient included."""
    x = leaf(2, 3)
    y = x * 1
    row, column = y[0], y.t()[1]
    row.mul_(x[1].detach())
    out = (column * 3).sum() + (y * 5).sum() + (row * 7).sum()
    out.backward()
    factor = np.full((2, 3), 5.0)
    factor[:, 1] += 3
    factor[0] += 7
    factor[0] *= x.detach().numpy()[1]
    same(x.grad, factor)


def test_view_of_constant_takes_the_graph_in():
    base, x = mg.zeros(2, 3, dtype=mg.float64), leaf(3)
    base[1].add_(x)
    assert base.requires_grad
    g = upstream(base)
    base.backward(g)
    same(x.grad, g.detach().numpy()[1])


def test_a_view_from_before_follows_its_base():
    x, w = mg.zeros(3), mg.ones(3, requires_grad=True)
    view, other = x[:], x.reshape(1, 3)[0]
    x.add_(w)
    assert view.requires_grad
    assert view.grad_fn is not None
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        view.numpy()
    assert mg.autograd.grad(view.sum(), w, retain_graph=True)[0].tolist() == [1, 1, 1]
    view.backward(mg.ones(3), retain_graph=True)
    view[0] = 5.0
    (x + other).sum().backward()
    assert w.grad.tolist() == [1, 3, 3]


@pytest.mark.parametrize(
    "view_of", [lambda x: x[:2], lambda x: x[:2][1:], lambda x: x.reshape(3, 1).mT]
)
def test_a_view_made_without_grad_refuses_changes_in_the_graph(view_of):
    x = mg.ones(3, requires_grad=True) * 2
    with mg.no_grad():
        view = view_of(x)
        view.mul_(2)
    for change in (lambda: view.add_(1), lambda: view.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match="created in no_grad mode and is being modified"):
            change()
    with pytest.raises(RuntimeError, match="its base or another view of its base"):
        view * 2
    assert "<Invalid>" in repr(view)


@pytest.mark.parametrize(
    "parts", [lambda x: x.unbind(), lambda x: x.split(1), lambda x: x.chunk(2), list]
)
def test_one_of_several_views_refuses_changes_in_the_graph(parts):
    x = mg.ones(3, requires_grad=True) * 2
    part = parts(x)[0]
    with pytest.raises(RuntimeError, match="one of several"):
        part.mul_(2)
    (part * 3).sum().backward()
    constant = parts(mg.ones(3))[0]
    assert constant.mul_(2).sum().item() >= 2


def test_retained_gradients_outlive_changes():
    x = mg.ones(3, requires_grad=True)
    y = x * 1
    y.retain_grad()
    y.mul_(2)
    y[:2].mul_(3)
    (y * 5).sum().backward()
    assert y.grad.tolist() == [5, 5, 5]
    assert x.grad.tolist() == [30, 30, 10]


def test_no_gradient_arrives_where_none_is_asked_for_any_more():
    x = mg.ones(3, requires_grad=True)
    y = x * 2
    x.detach_()
    y.sum().backward()
    assert x.grad is None
    with pytest.raises(RuntimeError, match="detach views in-place"):
        y[:1].detach_()


def test_views_made_without_grad_see_values_only():
    x = leaf(3)
    y = x * 2
    with mg.no_grad():
        view = y[:2]
    assert not view.requires_grad
    assert np.shares_memory(view.array, y.array)


def test_data_is_outside_the_graph():
    x = leaf(3)
    y = x.sin()
    x.data.mul_(1)  # goes unnoticed, as in PyTorch
    x.data -= 0.0
    y.backward(upstream(y))
    same(x.grad, upstream(y).detach().numpy() * np.cos(x.detach().numpy()))


# --- aliasing -------------------------------------------------------------------------------------

PASSED_ON = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: (a + b) - (a * 0),
    "stack": lambda a, b: mg.stack([a, b]).sum(0),
    "cat": lambda a, b: mg.cat([a, b])[:3] + mg.cat([a, b])[3:],
    "clone": lambda a, b: a.clone() + b.clone(),
    "reshape": lambda a, b: (a.reshape(3, 1) + b.reshape(3, 1)).reshape(3),
    "expand": lambda a, b: a.expand(2, 3).sum(0) / 2 + b,
    "add_": lambda a, b: (a * 1).add_(b),
    "to": lambda a, b: a.to(mg.float64) + b.contiguous(),
}


@pytest.mark.parametrize("name", PASSED_ON)
@pytest.mark.parametrize("given", [True, False])
def test_gradients_own_their_memory(name, given):
    """No two leaves share .grad's memory, nor does it belong to the caller."""
    a, b = leaf(3, seed=1), leaf(3, seed=2)
    out = PASSED_ON[name](a, b)
    g = upstream(out)
    before = g.detach().numpy().copy()
    if given:
        out.backward(g)
    else:
        (out * g).sum().backward()
    for t in (a, b):
        same(t.grad, before)
        assert getattr(t.grad.array.flags, "writeable", True)  # CuPy has no such flag
        assert not np.shares_memory(t.grad.array, g.array)
    assert not np.shares_memory(a.grad.array, b.grad.array)
    a.grad.zero_()
    same(b.grad, before)
    same(g, before)


def test_gradient_never_is_a_saved_value():
    x, w = leaf(3, seed=1), leaf(3, seed=2)
    (x * w).sum().backward(retain_graph=True)
    out = x * w
    out.backward(mg.ones(3, dtype=mg.float64), retain_graph=True)
    for t in (x, w):
        assert not any(np.shares_memory(t.grad.array, u.array) for u in (x, w, out))
    y = x.exp()
    y.backward(mg.ones(3, dtype=mg.float64), retain_graph=True)
    x.grad.zero_()
    y.backward(mg.ones(3, dtype=mg.float64))
    same(x.grad, np.exp(x.detach().numpy()))


LOSSES = {
    "mse_loss": ((3, 4), (0, 1)), "l1_loss": ((3, 4), (0, 1)), "smooth_l1_loss": ((3, 4), (0, 1)),
    "huber_loss": ((3, 4), (0, 1)), "binary_cross_entropy": ((3, 4), (0.1, 0.9)),
    "binary_cross_entropy_with_logits": ((3, 4), (0, 1)), "cross_entropy": ((3, 4), (0, 1)),
}  # fmt: skip


def loss_of(name, x, reduction):
    _, (low, high) = LOSSES[name]
    rng = np.random.default_rng(3)
    target = mg.tensor(rng.uniform(low, high, (3, 4)))
    if name == "cross_entropy":
        target = mg.tensor([1, 3, 0])
    return getattr(F, name)(x, target, reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_run_backward_again(name, reduction):
    """The slopes a fused forward pass leaves serve once; later passes must not see them changed."""
    x = leaf(3, 4, low=0.1, high=0.9)
    y = x * 1
    y.retain_grad()
    loss = loss_of(name, y, reduction)
    g, h = upstream(loss, 1), upstream(loss, 2)
    loss.backward(g, retain_graph=True)
    first = x.grad
    once = first.detach().numpy().copy()
    assert not np.shares_memory(x.grad.array, y.grad.array)
    same(y.grad, once)
    x.grad = None
    loss.backward(h, retain_graph=True)
    other = x.grad.detach().numpy().copy()
    same(first, once)  # untouched by the later pass
    loss.backward(g)
    same(x.grad, other + once)
    assert gradcheck(lambda t: loss_of(name, t, reduction), x)
    expected = grad(loss_of(name, x, reduction), x, h, create_graph=True)[0]
    same(expected.detach(), other)
    with pytest.raises(RuntimeError, match=SECOND):
        loss.backward(g)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_share_an_input(name):
    x = leaf(3, 4, low=0.1, high=0.9)
    a, b = loss_of(name, x, "mean"), loss_of(name, x, "sum")
    (2 * a + b * 3).backward()
    (by_a,) = grad(loss_of(name, x, "mean"), x)
    same(x.grad, (2 + 36 / (1 if name != "cross_entropy" else 4)) * by_a.detach().numpy())


# --- autograd.Function ----------------------------------------------------------------------------


class Exp(Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx, x, scale=1.0):
        out = x.exp() * scale
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, g):
        (out,) = ctx.saved_tensors
        return g * out, None


class Mix(Function):
    """Two outputs from two inputs, a number, and a constant that needs no gradient."""

    @staticmethod
    def forward(ctx, x, y, power):
        ctx.save_for_backward(x, None, y)
        ctx.power = power
        return x**power * y, x + y.sin()

    @staticmethod
    def backward(ctx, g, h):
        x, nothing, y = ctx.saved_tensors
        assert nothing is None
        by_x = g * ctx.power * x ** (ctx.power - 1) * y + h if ctx.needs_input_grad[0] else None
        by_y = g * x**ctx.power + h * y.cos() if ctx.needs_input_grad[1] else None
        return by_x, by_y, None


def test_function():
    x, y = leaf(3, seed=1), leaf(3, seed=2)
    out, other = Mix.apply(x, y, 3)
    assert repr(out.grad_fn) == "<MixBackward>"
    g, h = upstream(out, 1), upstream(out, 2)
    mg.autograd.backward([out, other], [g, h])
    same(
        x.grad,
        g.detach().numpy() * 3 * x.detach().numpy() ** 2 * y.detach().numpy() + h.detach().numpy(),
    )
    same(
        y.grad,
        g.detach().numpy() * x.detach().numpy() ** 3
        + h.detach().numpy() * np.cos(y.detach().numpy()),
    )
    x.grad = None
    out, other = Mix.apply(x, y.detach(), 2)
    (other * 2 + other).backward(g)  # one output unused: its gradient is zeros
    same(x.grad, 3 * g)
    with mg.no_grad():
        assert not Mix.apply(x, y, 2)[0].requires_grad
    with pytest.raises(RuntimeError, match=SECOND):
        other.backward(g)


@pytest.mark.parametrize("function", [lambda x: Exp.apply(x, 2.0), lambda x: Mix.apply(x, x, 2)])
def test_function_of_any_order(function):
    x = leaf(3)
    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


def test_function_saved_output_third_order():
    x = leaf(2)
    y = Exp.apply(x)
    for _ in range(3):
        same(y.detach(), np.exp(x.detach().numpy()))
        (y,) = grad(y.sum(), x, create_graph=True)


class Where(Function):
    """Marks one output, and returns an integer one."""

    @staticmethod
    def forward(ctx, x):
        sign, place = x.sign(), x.argmax()
        ctx.mark_non_differentiable(sign)
        ctx.save_for_backward(sign)
        return x.abs(), sign, place

    @staticmethod
    def backward(ctx, g, *others):
        return g * ctx.saved_tensors[0]


def test_function_outputs_without_gradient():
    x = leaf(3, low=-1, high=1)
    out, sign, place = Where.apply(x)
    assert (out.requires_grad, sign.requires_grad, place.requires_grad) == (True, False, False)
    assert place.dtype == mg.int64
    out.backward(upstream(out))
    same(x.grad, upstream(out).detach().numpy() * np.sign(x.detach().numpy()))


def returning(result, forward=lambda ctx, x, y: x * y):
    class Odd(Function):
        pass

    Odd.forward, Odd.backward = staticmethod(forward), staticmethod(lambda ctx, g: result(g))
    return Odd


@pytest.mark.parametrize(
    ("result", "match"),
    [
        (lambda g: g, r"OddBackward returned an incorrect number of gradients \(expected 2, got 1"),
        (lambda g: (g, g, g), r"incorrect number of gradients \(expected 2, got 3\)"),
        (
            lambda g: (g.sum(0), g),
            r"invalid gradient at index 0 - got \[3\] but expected.*\[2, 3\]",
        ),
        (lambda g: (g, g[:1, :2]), r"invalid gradient at index 1 - got \[1, 2\]"),
    ],
)
def test_function_errors(result, match):
    x, y = leaf(2, 3), leaf(2, 3)
    with pytest.raises(RuntimeError, match=match):
        returning(result).apply(x, y).sum().backward()


def test_function_none_and_extra_nones():
    x, y = leaf(3, seed=1), leaf(3, seed=2)
    returning(lambda g: (None, g * 2)).apply(x, y).backward(upstream(x))
    assert x.grad is None
    same(y.grad, 2 * upstream(x))
    y.grad = None
    returning(lambda g: (g, g, None, None)).apply(x, y).backward(upstream(x))  # trailing Nones pass
    same(y.grad, upstream(x))


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_function_must_define(method):
    class Half(Function):
        pass

    other = {"forward": "backward", "backward": "forward"}[method]
    setattr(Half, other, staticmethod(lambda ctx, x: x * 2))
    with pytest.raises(NotImplementedError, match=f"static method {method}"):
        Half.apply(leaf(2)).sum().backward()


def test_function_returning_its_input():
    """The output of an identity is a new tensor: the leaf must stay one."""
    identity = returning(lambda g: g * 2, lambda ctx, x: x)
    x = leaf(3)
    out = identity.apply(x)
    assert x.is_leaf
    assert out is not x
    out.backward(upstream(x))
    same(x.grad, 2 * upstream(x))


def test_function_gradient_is_not_the_users():
    """A Function that keeps what it returned finds it unchanged, and so does a pass-through."""
    kept = []
    passing = returning(lambda g: (kept.append(g * 3), kept[-1])[1], lambda ctx, x: x * 3)
    x = leaf(3)
    passing.apply(x).backward(upstream(x))
    before = kept[0].detach().numpy().copy()
    passing.apply(x).backward(upstream(x))
    same(kept[0], before)
    same(x.grad, 2 * before)


def test_function_spoiled():
    x = leaf(3)
    out = Exp.apply(x * 1)
    out.add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        out.sum().backward()


# --- gradcheck ------------------------------------------------------------------------------------


class Sloped(Function):
    """x², with a first or a second derivative that is wrong by `error`."""

    @staticmethod
    def forward(ctx, x, error, order):
        ctx.save_for_backward(x)
        ctx.error, ctx.order = error, order
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        wrong = (x if ctx.order == 1 else x - x.detach()) * ctx.error
        return g * 2 * (x + wrong), None, None


@pytest.mark.parametrize("error", [0.0, 1e-3, -1e-3])
def test_gradcheck_sees_a_thousandth(error):
    x = leaf(2, 3)
    for order, check in ((1, gradcheck), (2, gradgradcheck)):
        f = lambda t, order=order: Sloped.apply(t, error, order)  # noqa: E731
        if not error:
            assert check(f, [x]) is True
            continue
        with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to"):
            check(f, (x,))
        assert check(f, x, raise_exception=False) is False
        assert check(f, x, rtol=0.01, atol=0.01) is True
    assert gradcheck(lambda t: Sloped.apply(t, error, 2), x)


@pytest.mark.parametrize(
    ("f", "valid"),
    [
        (lambda t: (t - 1).relu(), (0, 1)),
        (lambda t: (t - 1).abs(), (-1, 1)),
        (lambda t: mg.maximum(t, mg.tensor([1.0, 3.0])), (0, 1)),
        (lambda t: mg.minimum(t, mg.tensor([1.0, -3.0])), (0, 1)),
        (lambda t: t.clamp(0.0, 1.0), (0, 1)),
        (lambda t: mg.nn.functional.leaky_relu(t - 1, 0.25), (0.25, 1)),
        (lambda t: mg.nn.functional.smooth_l1_loss(t, t.detach() * 0, reduction="none"), (1, 1)),
    ],
)
def test_gradcheck_at_ties(f, valid):
    """At a kink, here at 1, a gradient is right between the slopes of both sides, only there."""

    class AtTie(Function):
        """f, whose slope at 1 is replaced."""

        @staticmethod
        def forward(ctx, t, slope):
            ctx.save_for_backward(t)
            ctx.slope = slope
            return f(t)

        @staticmethod
        def backward(ctx, g):
            (t,) = ctx.saved_tensors
            with mg.enable_grad():
                copy = t.detach().requires_grad_()
                (right,) = grad(f(copy), copy, g)
            return mg.where(t == 1, g * ctx.slope, right), None

    x = mg.tensor([1.0, 2.0], dtype=mg.float64, requires_grad=True)
    low, high = valid
    assert gradcheck(f, x)
    for slope in (low, high, 0.3 * low + 0.7 * high):
        assert gradcheck(lambda t, slope=slope: AtTie.apply(t, slope), x)
    for slope in (low - 1e-3, high + 1e-3, high * 1.001):
        if not low <= slope <= high:
            with pytest.raises(GradcheckError, match="Jacobian mismatch"):
                gradcheck(lambda t, slope=slope: AtTie.apply(t, slope), x)


@pytest.mark.parametrize(
    ("f", "arguments", "error", "match"),
    [
        (lambda x: x * 2, lambda: mg.ones(2, dtype=mg.float64), ValueError, "at least one input"),
        (lambda x: x * 2, lambda: mg.ones(2, requires_grad=True), GradcheckError,
            "float64.*float32"),
        (lambda x: x.detach() * 2, lambda: leaf(2), GradcheckError, "Jacobian mismatch"),
        (lambda x, y: (x, y * y.detach()), lambda: (leaf(2), leaf(2)), GradcheckError,
         "output 1 with respect to input 1"),
    ],
)  # fmt: skip
def test_gradcheck_errors(f, arguments, error, match):
    with pytest.raises(error, match=match):
        gradcheck(f, arguments())


def test_gradcheck_shapes():
    assert gradcheck(lambda x: x.sum(0), mg.zeros(0, 3, dtype=mg.float64, requires_grad=True))
    assert gradcheck(lambda x: (x.exp(), x.argmax(), x[0]), leaf(4))
    assert gradcheck(lambda x, n: x**n, (leaf(), 3))
    inputs = leaf(2, 3)
    before = inputs.detach().numpy().copy()
    assert gradcheck(lambda x: x.t() @ x, mg.tensor(before.T.copy(), requires_grad=True).t())
    same(inputs, before)


# --- depth and memory -----------------------------------------------------------------------------


def test_long_chain():
    """100,000 operations: built, walked and freed without recursion."""
    x = leaf(low=1, high=1)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    assert sys.getrecursionlimit() < 100_000
    y.backward()
    np.testing.assert_allclose(x.grad.item(), np.exp(1), rtol=1e-3)
    again = x
    for _ in range(100_000):
        again = again + 1.0
    node = weakref.ref(again.grad_fn)
    del y, again  # never walked: freed all the same
    assert node() is None


def test_long_chain_of_higher_order_and_functions():
    x = leaf()
    y = x
    for _ in range(3_000):
        y = Exp.apply(y) * 0 + y
    (g,) = grad(y, x, create_graph=True)
    del y
    (h,) = grad(g * x, x)
    same(h, 1.0)


def test_long_chain_of_in_place_changes():
    x = leaf(2)
    y = x * 1
    row = y[:1]
    for _ in range(20_000):
        y.mul_(1.0)
    for _ in range(2_000):
        row.add_(0.0)
    y.backward(upstream(x))
    same(x.grad, upstream(x))


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


def _in_place_views(x):
    y = x * 1
    y[0].mul_(2)
    y.t()[1].add_(y[1, 0])
    y[:, 0] = y[:, 1] * 3
    return y


KINDS = {
    "elementwise": lambda x: x.exp() * x.sin() / (x + 1),
    "reduction": lambda x: x.var(0) + x.max(0).values + x.prod(0),
    "matmul": lambda x: (x @ x.t()).softmax(1),
    "views": lambda x: x.t().reshape(-1)[1:].unsqueeze(0).expand(2, 5),
    "cat": lambda x: mg.cat([*x.split(1), x.flip(0)]),
    "index": lambda x: x[mg.tensor([0, 1, 0])].masked_fill(mg.tensor(True), 0.5),
    "in_place": lambda x: (x * 1).exp_().mul_(x).clamp_(0, 2),
    "in_place_views": _in_place_views,
    "function": lambda x: Exp.apply(x) + Mix.apply(x, x, 2)[1],
    "function_unused": lambda x: (Exp.apply(x), Where.apply(x))[0],
    "layer": lambda x: F.gelu(F.layer_norm(x, (3,))),
    **{
        name: lambda x, name=name: loss_of(name, mg.cat([x, x])[:3, [0, 1, 2, 0]] * 0.4, "mean")
        for name in LOSSES
    },
}


@pytest.mark.parametrize("walk", ["dropped", "backward", "retained", "create_graph", "grad"])
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_die_at_once(kind, walk, no_collector):
    """No reference cycle: with the collector off, the last reference takes everything with it."""
    KINDS[kind](leaf(2, 3)).sum().backward()  # compiles kernels: Numba leaves cycles around callers
    x = leaf(2, 3)
    out = KINDS[kind](x)
    dead = [weakref.ref(out), weakref.ref(out.grad_fn), weakref.ref(out.array)]
    if walk == "grad":
        found = grad(out.sum(), x, create_graph=True)
        dead += [weakref.ref(found[0]), weakref.ref(found[0].array)]
        del found
    elif walk != "dropped":
        out.sum().backward(retain_graph=walk != "backward", create_graph=walk == "create_graph")
        dead += [weakref.ref(x.grad), weakref.ref(x.grad.array)]
        x.grad = None
    parents = [p for p, _ in out.grad_fn.next_functions if p is not None and p is not x.node]
    dead += map(weakref.ref, parents)
    del out, parents
    assert [r() for r in dead] == [None] * len(dead)


def test_memory_is_flat_over_training(no_collector):
    model = mg.nn.Sequential(
        mg.nn.Linear(4, 8), mg.nn.LayerNorm(8), mg.nn.GELU(), mg.nn.Dropout(0.1), mg.nn.Linear(8, 3)
    )
    optimizer = mg.optim.Adam(model.parameters(), lr=1e-3)
    x, y = mg.rand(6, 4), mg.tensor([0, 1, 2, 2, 1, 0])

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            out = model(x)
            loss = F.cross_entropy(out, y) + F.mse_loss(out, out.detach() * 0)
            loss.backward()
            mg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    train(2000)  # the interpreter's own caches fill
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    train(1000)
    assert len(gc.get_objects()) - objects < 20
    assert sys.getallocatedblocks() - blocks < 300


def test_the_gradient_of_what_was_computed_is_asked_for():
    """As in PyTorch: a warning where it will stay None, not of leaves, nor after retain_grad()."""
    x = mg.ones(2, requires_grad=True)
    y, z = x * 2, x * 3
    z.retain_grad()
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed.*retain_grad"):
        assert y.grad is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.grad is z.grad is y.detach().grad is None
