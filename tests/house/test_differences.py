"""README's table of differences from PyTorch: each row is shown here, and each is still one."""

import io
import re
import warnings

import numpy as np
import pytest

import minigrad as mg
from helpers import ROOT

README = ROOT / "README.md"
ROWS = {}


def difference(row, *, ours, theirs):
    """Decorate f(m) with its row in README and what it gives on minigrad and on PyTorch."""

    def add(f):
        ROWS[row] = f, ours, theirs
        return f

    return add


def attempt(f, *args):
    """What f gives, as plain Python, or the name of its exception."""
    try:
        out = f(*args)
    except Exception as error:
        return type(error).__name__
    if not hasattr(out, "detach"):
        return out
    return np.round(out.detach().numpy().astype(np.float64), 4).tolist()


def gradient(loss, *args, **options):
    x, *rest = args
    x.requires_grad_()
    loss(x, *rest, **options).sum().backward()
    return x.grad


def name(dtype):
    return str(dtype).rpartition(".")[2]


@difference("class targets", ours=[1.0986] * 4, theirs=["RuntimeError"] * 4)
def integers(m):
    loss, small = m.nn.functional.cross_entropy, (m.int8, m.int16, m.int32)
    found = [attempt(loss, m.zeros(1, 3), m.ones(1).to(dtype)) for dtype in small]
    return [*found, attempt(loss, m.zeros(1, 3, 1), m.ones(1, 1).to(m.uint8))]


@difference("a class out of range", ours=[True] * 3, theirs=[True, False, False])
def out_of_range(m):
    with pytest.raises(IndexError) as error:
        m.nn.functional.cross_entropy(m.zeros(2, 3), m.tensor([0, 7]))
    return [text in str(error.value) for text in ("7", "position (1,)", "3 classes")]


@difference(
    "rows that `ignore_index` leaves out",
    ours=[[0.0, 0.0], [-0.5, 0.5]],
    theirs=[[np.nan, np.nan], [-0.5, 0.5]],
)
def ignored(m):
    x, y = m.tensor([[np.nan, 1.0], [1.0, 1.0]]), m.tensor([-100, 0])
    return attempt(gradient, m.nn.functional.cross_entropy, x, y)


@difference("a logit of -inf whose target is 1", ours=[np.inf], theirs=[np.nan])
def certain(m):
    loss = m.nn.functional.binary_cross_entropy_with_logits
    return attempt(lambda: loss(m.tensor([-np.inf]), m.tensor([1.0]), reduction="none"))


@difference(
    "a target of another dtype",
    ours=[[-2.0], [-0.3775], [-0.5], [-0.5]],
    theirs=["RuntimeError"] * 4,
)
def mixed(m):
    F, one = m.nn.functional, m.ones(1)
    return [
        attempt(gradient, loss, m.tensor([0.5]), one.to(dtype))
        for loss, dtype in (
            (F.binary_cross_entropy, m.float64),
            (F.binary_cross_entropy_with_logits, m.int64),
            (F.huber_loss, m.int64),
            (F.huber_loss, m.float64),
        )
    ]


@difference("`nll_loss` of transposed images", ours=[[[[-0.5, -0.5]], [[0.0, 0.0]]]],
            theirs="RuntimeError")  # fmt: skip
def images(m):
    x = m.zeros(1, 1, 2, 2).permute(0, 3, 1, 2)
    return attempt(gradient, m.nn.functional.nll_loss, x, m.zeros(1, 1, 2).to(m.int64))


@difference(
    "`weight` of `MSELoss`, `L1Loss` and `HuberLoss`",
    ours=[3.25, 1.75, 2.5],
    theirs=["TypeError"] * 3,
)
def modules(m):
    weight, x = m.tensor([1.0, 3.0]), m.tensor([1.0, 2.0])
    losses = (m.nn.MSELoss, m.nn.L1Loss, m.nn.HuberLoss)
    return [attempt(lambda loss=loss: loss(weight=weight)(x, x * 0)) for loss in losses]


@difference("`label_smoothing` of NaN", ours="RuntimeError", theirs=0.6931)
def smoothing(m):
    loss = m.nn.functional.cross_entropy
    return attempt(lambda: loss(m.zeros(1, 2), m.tensor([1]), label_smoothing=np.nan))


@difference("`gradcheck`", ours=["GradcheckError", True], theirs=[True, "GradcheckError"])
def checker(m):
    class Slope(m.autograd.Function):
        """x, with a slope that is wrong by 0.1 %."""

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * 1.00099

    x = m.tensor([0.0], dtype=m.float64, requires_grad=True)
    check = m.autograd.gradcheck
    return [attempt(check, Slope.apply, (x,)), attempt(check, lambda t: t.relu(), (x,))]


@difference("random numbers", ours=[0.8506], theirs=[0.4963])
def random(m):
    m.manual_seed(0)
    return attempt(m.rand, 1)


@difference("slices with a negative step", ours=[3, 2, 1], theirs="ValueError")
def backwards(m):
    return attempt(lambda: m.tensor([1, 2, 3])[::-1])


@difference("a list of lists as an index", theirs=[2.0, 4.0],
            ours=[[[1.0, 2.0], [3.0, 4.0]], [[3.0, 4.0], [3.0, 4.0]]])  # fmt: skip
def listed(m):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attempt(lambda: m.tensor([[1.0, 2.0], [3.0, 4.0]])[[[0, 1], [1, 1]]])


@difference(
    "indices of int8 and int16",
    ours=[[2.0], [2.0], "IndexError", "IndexError"],
    theirs=["IndexError", "IndexError", [2.0], [1.0, 2.0]],
)
def short(m):
    x = m.tensor([1.0, 2.0])
    keys = (m.tensor([1], dtype=m.int8), m.tensor([1], dtype=m.int16), [1.5], (..., ...))
    return [attempt(lambda key=key: x[key]) for key in keys]


@difference("values of another dtype", ours=[1.0, 0.0], theirs="RuntimeError")
def assigned(m):
    x = m.zeros(2)
    return attempt(lambda: x.__setitem__([0], m.tensor([1])) or x)


@difference("values for one position", ours=[[2.0, 0.0], [0.0, 1.0]],
            theirs=[[2.0, 0.0], [1.0, 1.0]])  # fmt: skip
def replaced(m):
    x, w = m.zeros(2), m.tensor([1.0, 2.0], requires_grad=True)
    x[[0, 0]] = w
    x.sum().backward()
    return [attempt(lambda: x), attempt(lambda: w.grad)]


@difference("NumPy's functions", ours="Tensor", theirs="ndarray")
def functions_of_numpy(m):
    return type(np.concatenate([m.ones(1), m.ones(1)])).__name__


@difference("`dtype`", ours=True, theirs=False)
def dtypes(m):
    return attempt(lambda: m.float32 == np.float32)


@difference(
    "arithmetic of bools",
    ours=["bool", "RuntimeError", "RuntimeError", "int64"],
    theirs=["RuntimeError", "int64", "bool", "bool"],
)
def bools(m):
    b = m.tensor([True])

    def dtype(f):
        try:
            return name(f().dtype)
        except (RuntimeError, NotImplementedError):
            return "RuntimeError"

    calls = (lambda: +b, lambda: m.square(b), lambda: b**True, lambda: m.add(b, b, alpha=2))
    return [dtype(f) for f in calls]


@difference("`any` and `all` of uint8", ours=["bool"] * 2, theirs=["uint8"] * 2)
def truth(m):
    t = m.tensor([2], dtype=m.uint8)
    return [name(t.any().dtype), name(t.all().dtype)]


@difference("`softmax` and `log_softmax` of integers", ours=[[0.5, 0.5], [-0.6931] * 2],
            theirs=["NotImplementedError"] * 2)  # fmt: skip
def softmax(m):
    return [attempt(f, m.tensor([1, 1]), 0) for f in (m.softmax, m.log_softmax)]


@difference("`save` and `load`", ours="TypeError", theirs=None)
def pickled(m):
    return attempt(m.save, {"function": len}, io.BytesIO())


@difference("`load_state_dict`", ours=["RuntimeError", 2], theirs=[None, 1])
def state(m):
    module = m.nn.Module()
    module.register_buffer("n", m.tensor(2))
    found = attempt(module.load_state_dict, {"n": m.tensor(1.5)})
    return [found if found == "RuntimeError" else None, module.n.item()]


@difference("options of optimizers", ours=[0.9, "RuntimeError"], theirs=["KeyError", "RMSprop"])
def options(m):
    p = m.ones(()).requires_grad_()
    optimizer = m.optim.RMSprop([p], lr=0.0)
    p.grad = m.ones(())
    optimizer.step()

    def later():
        optimizer.param_groups[0].update(lr=0.05, alpha=0.0, momentum=0.5)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.1 / 3
        optimizer.step()
        return p

    return [attempt(later), attempt(lambda: type(m.optim.RMSprop([p], capturable=True)).__name__)]


@difference("`Softmax` without `dim`", ours="TypeError", theirs=[0.5, 0.5])
def no_dim(m):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attempt(lambda: m.nn.Softmax(None)(m.ones(2)))


@difference("`detect_anomaly`", ours="RuntimeError", theirs="UserWarning")
def anomaly(m):
    def forward():
        with m.autograd.detect_anomaly():
            return m.tensor([-1.0], requires_grad=True).log()

    return attempt(forward)


@difference("`poisson_nll_loss`", ours="TypeError", theirs=2.0)
def deprecated(m):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = m.nn.functional.poisson_nll_loss
        return attempt(lambda: loss(m.zeros(2), m.ones(2), size_average=False))


@difference("views made under `no_grad`", ours=False, theirs=True)
def unrecorded(m):
    w = m.ones(3, requires_grad=True)
    with m.no_grad():
        view = w[:2]
    return attempt(lambda: view.requires_grad)


@difference("in-place changes by overlapping memory", ours=[0, 0, 1], theirs="RuntimeError")
def overlapping(m):
    x = m.tensor([0, 1, 2])
    return attempt(lambda: (x.__setitem__(slice(1, None), x[:-1]), x)[1])


@difference(
    "logits changed in place after `cross_entropy`", ours="RuntimeError", theirs=[[-0.5, 0.5]]
)
def spoiled_logits(m):
    def slopes():
        w = m.zeros(1, 2, requires_grad=True)
        x = w * 1
        loss = m.nn.functional.cross_entropy(x, m.tensor([0]))
        x.fill_(5.0)
        loss.backward(inputs=[w])
        return w.grad

    return attempt(slopes)


@difference("devices", ours="RuntimeError", theirs="meta")
def devices(m):
    return attempt(lambda: m.ones(1, device="meta").device.type)


@pytest.mark.parametrize("row", ROWS)
def test_ours(row):
    f, ours, _ = ROWS[row]
    np.testing.assert_equal(f(mg), ours)


@pytest.mark.torch
@pytest.mark.parametrize("row", ROWS)
def test_theirs(row):
    """A row that PyTorch no longer differs in fails."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    f, _, theirs = ROWS[row]
    np.testing.assert_equal(f(torch), theirs)


def test_the_table_has_just_these_rows():
    if not README.is_file():
        pytest.skip("needs the source checkout")
    section = README.read_text().partition("## Where it differs from PyTorch\n")[2]
    table = section.partition("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert rows[0] == "what"
    assert sorted(rows[1:]) == sorted(ROWS)
