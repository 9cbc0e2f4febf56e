"""What the kernels are compiled to for an H200, run with the constants they have there; and whether
the interpreter that runs it would see what is wrong."""

import re
from fractions import Fraction

import codegen
import interpreter
import numpy as np
import ptx
import pytest
from test_cuda_kernels import POINTWISE, close, dtypes, rows

from minigrad.kernels import LOSSES

CROSS_ENTROPY = LOSSES["cross_entropy"]


@pytest.fixture(scope="module")
def device():
    with interpreter.running() as device:
        yield device


# --- kernels as they are ------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name, dtype, device):
    """Four blocks with whole tiles, and the rest."""
    random = np.random.default_rng(0)
    x, y = random.random((2, 4 * 256 * 64 // np.dtype(dtype).itemsize + 777)).astype(dtype)
    number = [0.7] * (name in ("smooth_l1", "bce_with_logits"))  # those with a parameter
    value, slope, _ = LOSSES[name].reference(x.astype("f8"), y.astype("f8"), *number)
    found = {}
    for _ in range(3):  # in several orders of blocks
        total, _, slopes = device.run_pointwise(LOSSES[name], x, y, 0.7, 1.0, False, x.size)
        found[total.tobytes() + slopes.tobytes()] = total, slopes
    ((total, slopes),) = found.values()
    close(slopes * x.size, slope, dtype, 10)
    close(total, value.mean(), dtype)


@dtypes
@pytest.mark.parametrize("classes", codegen.CLASSES)
def test_cross_entropy(classes, dtype, device):
    x, target = rows(700 if classes <= 32 else 3, classes, dtype)
    target[1] = -100
    count = device.count_classes(target, None, classes, -100)
    total, _, slopes = device.run_classes(CROSS_ENTROPY, x, target, None, -100, 1.0, False, count)
    kept = target >= 0
    onehot = kept[:, None] * (np.arange(classes) == target[:, None])
    value, slope, _ = CROSS_ENTROPY.reference(x.astype("f8"), onehot.astype("f8"))
    assert count == kept.sum()
    close(slopes, slope / kept.sum(), dtype)
    close(total, value.sum() / kept.sum(), dtype)


@pytest.mark.parametrize("classes", [1000, 1025])
def test_weights_of_every_class(classes, device):
    x, _ = rows(9, classes, "float32")
    t = np.random.default_rng(1).random(x.shape, np.float32) / classes
    value, slope, _ = CROSS_ENTROPY.reference(x.astype("f8"), t.astype("f8"))
    total, values, slopes = device.run_weights(CROSS_ENTROPY, x, t, None, 1.0, True, 9.0)
    close(values, value, "float32", 10)
    close(slopes, slope / 9, "float32")
    close(total, value.mean(), "float32", 10)


class Banks(ptx.Launch):
    """It counts what shared memory, in 32 banks of 4 bytes, has to do: an access of a warp takes as
    many turns as words are wanted of one bank; one of 8 or 16 bytes goes by halves or quarters."""

    requests = turns = 0

    def places(self, memory, at, address, kind, count=1):
        if memory == "shared":
            threads, size = self.everyone[at], kind.itemsize * count
            first = np.broadcast_to(address(self, at), threads.shape).astype(int) // 4
            words = (first[:, None] + np.arange(size // 4)).ravel()
            part = np.repeat(threads // (ptx.WARP * 4 // size), size // 4)
            part, words = np.unique([part, words], axis=1)
            (part, _), wanted = np.unique([part, words % 32], axis=1, return_counts=True)
            most = np.zeros(part.max() + 1, int)
            np.maximum.at(most, part, wanted)
            Banks.requests += (most > 0).sum()
            Banks.turns += most.sum()
        return super().places(memory, at, address, kind, count)


@pytest.mark.parametrize(
    ("classes", "most"), [(3, 1.1), (31, 1.2), (32, 1.1), (10, 1.3), (1000, 1.0), (50257, 1.0)]
)
def test_threads_seldom_want_the_same_bank(classes, most, device, monkeypatch):
    """With 10 classes rows begin 11 words apart, and staging them is in four words' steps."""
    monkeypatch.setattr(ptx, "Launch", Banks)
    monkeypatch.setattr(Banks, "requests", 0)
    monkeypatch.setattr(Banks, "turns", 0)
    x, target = rows(1000 if classes <= 32 else 2, classes, "float32")
    device.run_classes(CROSS_ENTROPY, x, target, None, -100, 1.0, False, 1.0)
    assert 1 <= Banks.turns / Banks.requests <= most


# --- faults: a kernel that is damaged, or given what it must not be ------------------------------


def damaged(pattern, to):
    """The text of a kernel with something changed."""

    def change(text):
        text, found = re.subn(pattern, to, text)
        assert found, f"no {pattern}"
        return text

    return change


def mean_squares(device):
    x = np.ones(40_000, np.float32)
    return device.run_pointwise(LOSSES["mse"], x, x, 0.0, 1.0, True, 1.0)


def few_classes(device):
    return device.run_classes(CROSS_ENTROPY, *rows(500, 10, "float32"), None, -100, 1.0, True)


def class_rows(device):
    return device.run_classes(CROSS_ENTROPY, *rows(3, 5000, "float32"), None, -100, 1.0, True)


FAULTS = {
    "no barrier, in sums": (mean_squares, r"bar\.sync\s+0;", "", "a race: another thread wrote"),
    "no barrier, in rows": (few_classes, r"bar\.sync\s+0;", "", "a race: another thread wrote"),
    "no barrier, in reductions": (class_rows, r"bar\.sync\s+0;", "", "a race: another thread"),
    "no fence": (mean_squares, r"membar\.gl;", "", "a race: another thread wrote"),
    "two threads write one word": (
        few_classes, r"%tid\.x", "7", "a race: two threads write here at once",
    ),
    "a place that is no multiple": (
        mean_squares, r"(ld\.global\.v4\.f32.*\[%rd\d+)\]", r"\1+4]", "no multiple of 16",
    ),
    "behind an array": (
        mean_squares, r"(ld\.global\.v4\.f32.*\[%rd\d+)\]", r"\1+160000]", "outside every array",
    ),
    "in front of an array": (
        mean_squares, r"(st\.global\.v4\.f32\s+\[%rd\d+)\]", r"\1+-160000]", "outside every array",
    ),
    "shared memory that nobody wrote": (
        few_classes, r"st\.shared\.f32.*;", "", "shared memory that nobody wrote",
    ),
    "outside shared memory": (
        few_classes, r"(st\.shared\.f32\s+\[%rd\d+)\]", r"\1+232448]", "outside shared",
    ),
    "a thread that leaves": (
        mean_squares, r"(bar\.sync\s+0;)",
        "mov.u32 %r1, %tid.x;\nsetp.eq.s32 %p1, %r1, 5;\n@%p1 ret;\n\\1", "that never come",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_seen(name):
    call, pattern, to, message = FAULTS[name]
    with interpreter.running() as device:
        call(device)
    with (
        interpreter.running(text=damaged(pattern, to)) as device,
        pytest.raises(ptx.Fault, match=message),
    ):
        call(device)


def test_shared_memory_must_be_asked_for(monkeypatch):
    with interpreter.running() as device:
        monkeypatch.setattr(device.launching, "allow_shared", lambda kernel, size: None)
        with pytest.raises(ptx.Fault, match="dynamic shared memory"):
            device.run_classes(CROSS_ENTROPY, *rows(1, 50257, "float32"), None, -100, 1.0)


# --- arithmetic ---------------------------------------------------------------------------------


def test_fused_multiply_and_add():
    """Against exact fractions; what the product's rounding leaves over is the point of it."""
    random = np.random.default_rng(0)
    for kind in (ptx.F4, ptx.F8):
        a, b = random.standard_normal((2, 300)).astype(kind)
        for c in (random.standard_normal(300).astype(kind), -(a * b)):
            exact = [float(Fraction(float(p)) * Fraction(float(q)) + Fraction(float(r)))
                     for p, q, r in zip(a, b, c, strict=True)]  # fmt: skip
            np.testing.assert_array_equal(ptx.fma(kind, None, a, b, c), np.array(exact, kind))
    down = ptx.fma(ptx.F4, "rm", *np.float32([[1, -1], [1e-9, 1e-9], [1, 1]]))
    np.testing.assert_array_equal(down, np.float32([1, np.nextafter(np.float32(1), 0)]))


@pytest.mark.parametrize(
    ("text", "kind", "given", "expected"),
    [
        ("max.f32 %f1, %f1, %f2", "f4", ([np.nan, 1], [2, np.nan]), [2, 1]),
        ("setp.ne.f32 %p1, %f1, %f2", "f4", ([np.nan, 1], [2, 2]), [False, True]),
        ("setp.neu.f32 %p1, %f1, %f2", "f4", ([np.nan, 1], [2, 1]), [True, False]),
        ("copysign.f32 %f1, %f1, %f2", "f4", ([-1, 1], [2, -3]), [-2, 3]),
        ("shr.s32 %r1, %r1, 40", "i4", ([-5, 5],), [-1, 0]),
        ("shl.b32 %r1, %r1, 32", "i4", ([-5, 5],), [0, 0]),
        ("mul.hi.s64 %rd1, %rd1, %rd2", "i8", ([2**62, -1], [8, 1]), [2, -1]),
        ("mul.wide.s32 %rd1, %r1, %r2", "i4", ([2**30, -1], [8, 1]), [2**33, -1]),
        ("cvt.rzi.s32.f32 %r1, %f1", "f4", ([-1.5, 1e20],), [-1, 2**31 - 1]),
        ("cvt.sat.f32.f32 %f1, %f1", "f4", ([np.nan, 7],), [0, 1]),
        ("bfi.b64 %rd1, %rd1, %rd2, 32, 32", "i8", ([1, 0], [5, 6]), [2**32 + 5, 6]),
        ("div.s32 %r1, %r1, %r2", "i4", ([-7, 7], [2, 2]), [-3, 3]),
        ("ex2.approx.ftz.f32 %f1, %f1", "f4", ([3, -140],), [8, 0]),
    ],
)
def test_instructions(text, kind, given, expected):
    registers = ".reg .pred %p<9>;\n.reg .f32 %f<9>;\n.reg .b32 %r<9>;\n.reg .b64 %rd<9>;\n"
    kernel = ptx.Kernel(f".visible .entry k()\n{{\n{registers}{text};\nret;\n}}\n")
    launch = ptx.Launch(kernel, 1, 32, [], [], 0, np.random.default_rng(0))
    prefix = {"f4": "%f", "i4": "%r", "i8": "%rd"}[kind]
    for k, values in enumerate(given):
        launch.put(f"{prefix}{k + 1}", slice(None), np.resize(np.array(values, kind), 32))
    launch.run()
    name = text.split()[1].rstrip(",")
    dtype = {"%p": bool, "%f": "f4", "%r": "i4", "%rd": "i8"}[name.rstrip("1")]
    np.testing.assert_array_equal(launch.get(name, slice(None), np.dtype(dtype))[:2], expected)
