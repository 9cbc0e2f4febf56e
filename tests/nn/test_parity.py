"""Every loss with every option in every combination: PyTorch's numbers, or PyTorch's exception.

The oracle is PyTorch in float64 on the very numbers that minigrad got. An array of results in
float64 is within 1e-12 of it, one in float32 within 2e-6, relative to the largest finite magnitude
in that array; what is infinite or NaN is so in both. Two differences are measured by what they are
differences of: a gradient by a weight (of a value and the mean), and PyTorch's bce_with_logits in
float64 (of a logit and its log-sigmoid), which has errors of 2e-11 where ours has none.
"""

import itertools
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from helpers import parity
from minigrad.kernels import cpu
from minigrad.kernels.cpu import memory

TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-6}


def assert_close(got, want, what, floor=0.0):
    assert got.shape == want.shape, what
    finite = np.abs(want[np.isfinite(want)])
    scale = max(finite.max(initial=0), floor)
    np.testing.assert_allclose(
        got.astype(np.float64), want, 0, TOLERANCE[got.dtype] * scale, err_msg=what
    )


def held(array):
    """The bytes of an array and of all that it is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.tobytes()


def make(case):
    """The case's Tensors by name: on the arrays' own memory, unless its bytes are swapped."""
    return {
        name: (mg.from_numpy if a.dtype.isnative else mg.tensor)(a).requires_grad_(
            name in case["needs"]
        )
        for name, a in parity.arrays(case).items()
    }


def check(case, want):
    tensors = make(case)
    before = {name: held(t.array) for name, t in tensors.items()}
    if isinstance(want, str):
        with pytest.raises(Exception, match=r"weight|ignore_index") as error:
            parity.call(mg, case, tensors)
        assert error.type.__name__ == want
        return
    out = parity.call(mg, case, tensors)
    wide = case["target"] == "float64" and case["shape"]
    assert out.dtype == ("float64" if wide else case["dtype"])
    floor = 0.0
    if case["loss"] == "binary_cross_entropy_with_logits" and out.dtype == np.float64:
        floor = np.abs(tensors["input"].detach().numpy()).max(initial=0)
    assert_close(out.detach().numpy(), want["out"], "the value", floor)
    assert out.requires_grad == bool(case["needs"])
    if case["needs"]:
        g = mg.tensor(parity.upstream(case, out.shape), dtype=out.dtype)
        given = held(g.array)
        out.backward(g)
        assert held(g.array) == given, "the upstream gradient was written to"
    for name, t in tensors.items():
        assert held(t.array) == before[name], f"{name} was written to"
        if name not in case["needs"]:
            assert t.grad is None
            continue
        assert t.grad.dtype == t.dtype
        floor = 0.0
        if name == "weight" and t.numel():
            floor = (
                np.abs(want["out"] * parity.upstream(case, out.shape)).max(initial=0) / t.numel()
            )
        assert_close(t.grad.numpy(), want[name], f"the gradient of {name}", floor)


NEEDS_TORCH = "PyTorch is not installed: pip install -e '.[torch]'"
EXAMPLES = 300  # of each loss; about 15 s for all
STORED = list(parity.stored())


def of(loss):
    return [(case, want) for case, want in STORED if case["loss"] == loss]


def each(cases, check):
    """check(case, outcome) for all of them; a failure names its case."""
    for case, want in cases:
        try:
            check(case, want)
        except BaseException as error:
            error.add_note(f"in {case}")
            raise


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_stored(loss):
    each(of(loss), check)


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_stored_covers_the_grid(loss):
    """Every choice of every axis comes with every dtype and reduction, and mostly succeeds."""
    weights, options = parity.LOSSES[loss]
    want = {("shape", s) for s in parity.CLASS_SHAPES if loss in parity.CLASSWISE}
    want |= {("shape", s) for s in parity.SHAPES if loss in parity.POINTWISE}
    want |= {("target", t) for t in parity.TARGETS[loss]} | {("ties", True), ("ties", False)}
    want |= {(f"weights.{name}", k) for name, ks in weights.items() for k in (None, *ks)}
    want |= {(f"options.{name}", choice) for name, cs in options.items() for choice in cs}
    want |= {(f"layouts.{x}", k) for x in ("input", "target") for k in parity.ALL_LAYOUTS}
    want |= {("needs", 0), ("needs", 1)} | ({("needs", 2)} if loss in parity.POINTWISE else set())
    seen = {}
    for case, _ in of(loss):
        key = case["dtype"], case["options"]["reduction"]
        axes = {(a, case[a]) for a in ("shape", "target", "ties")} | {("needs", len(case["needs"]))}
        axes |= {(f"{a}.{x}", v) for a in ("weights", "options", "layouts")
                 for x, v in case[a].items()}  # fmt: skip
        for axis in axes:
            seen.setdefault(axis, set()).add(key)
    assert {axis: len(seen.get(axis, ())) for axis in want} == dict.fromkeys(want, 6)
    outcomes = [outcome for _, outcome in of(loss)]
    assert len(outcomes) == parity.STORED_PER_LOSS
    assert sum(isinstance(outcome, dict) for outcome in outcomes) > 0.8 * len(outcomes)


@pytest.mark.torch
@pytest.mark.parametrize("loss", parity.LOSSES)
def test_stored_is_live(loss):
    """The corpus is what the installed PyTorch computes."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)

    def agree(case, want):
        live = parity.by_torch(torch, case)
        if isinstance(want, str):
            assert live == want
            return
        assert live.keys() == want.keys()
        for key, array in live.items():
            assert_close(array, want[key], key)

    each(of(loss), agree)


@pytest.mark.torch
@pytest.mark.parametrize("loss", parity.LOSSES)
@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, database=None)
@given(data=st.data())
def test_live(loss, data):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    case = parity.draw(loss, lambda choices: data.draw(st.sampled_from(choices)))
    check(case, parity.by_torch(torch, case))


# --- what the grid's cases promise besides numbers ------------------------------------------------


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_no_grad_computes_no_slopes(loss, monkeypatch):
    """Under no_grad no kernel is given a place for slopes, whoever requires a gradient."""
    results = []
    for name in ("run_pointwise", "run_classes", "run_weights"):
        kernel = getattr(cpu, name)
        monkeypatch.setattr(
            cpu, name, lambda *a, kernel=kernel: results.append(kernel(*a)) or results[-1]
        )

    def silent(case, want):
        floats = [name for name, a in parity.arrays(case).items() if a.dtype.kind == "f"]
        with mg.no_grad():
            out = parity.call(mg, case, make(case | {"needs": floats}))
        assert out.grad_fn is None
        assert_close(out.numpy(), want["out"], "the value", np.abs(want["out"]).max(initial=1))

    cases = [(case, want) for case, want in of(loss) if isinstance(want, dict)]
    each(cases, silent)
    assert len(results) == (0 if loss == "nll_loss" else len(cases))
    assert all(slopes is None for _, _, slopes in results)


@pytest.mark.parametrize("reduction", [pytest.param("none", marks=pytest.mark.slow), "mean"])
@pytest.mark.parametrize("loss", parity.LOSSES)
def test_no_grad_allocates_no_gradient(loss, reduction):
    """A million elements under no_grad: beside the values, below a twentieth of their memory."""
    x = mg.rand(1000, 1000, requires_grad=True)
    y = mg.randint(0, 1000, (1000,)) if loss in parity.CLASSWISE else mg.rand(1000, 1000)
    tensors = {"input": x, "target": y}
    case = {"loss": loss, "options": {"reduction": reduction}}

    def peak():
        parity.call(mg, case, tensors)  # compiles
        memory.empty_cache()  # or buffers are used again, and no allocation shows
        tracemalloc.start()
        try:
            out = parity.call(mg, case, tensors)
            return tracemalloc.get_traced_memory()[1] - out.array.nbytes
        finally:
            tracemalloc.stop()

    with mg.no_grad():
        assert peak() < x.array.nbytes / 20
    assert loss == "nll_loss" or peak() >= x.array.nbytes  # the measure sees a gradient


PAIRS = list(itertools.combinations_with_replacement(parity.LOSSES, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_losses_of_the_same_input(one, other, dtype):
    """The gradient is the sum of both alone, bit for bit, in either order of the losses."""
    rng = np.random.default_rng([*one.encode(), *other.encode()])
    array = rng.uniform(0.1, 0.9, (6, 4)).astype(dtype)
    parts = []
    for loss in (one, other):
        y = rng.integers(4, size=6) if loss in parity.CLASSWISE else rng.random((6, 4), dtype)
        reduction = rng.choice(["none", "mean", "sum"])
        case = {"loss": loss, "options": {"reduction": reduction}}
        shape = y.shape if reduction == "none" else ()
        parts.append((case, mg.tensor(y), mg.tensor(rng.standard_normal(shape), dtype=array.dtype)))

    def gradient(parts):
        x = mg.tensor(array, requires_grad=True)
        losses = [parity.call(mg, case, {"input": x, "target": y}) for case, y, _ in parts]
        mg.autograd.backward(losses, [g for _, _, g in parts])
        return x.grad.numpy()

    both = gradient(parts[:1]) + gradient(parts[1:])
    np.testing.assert_array_equal(gradient(parts), both)
    np.testing.assert_array_equal(gradient(parts[::-1]), both)
