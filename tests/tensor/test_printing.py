"""The text of tensors: a table taken from PyTorch 2.13.0, and PyTorch itself where installed."""

import re
from typing import NamedTuple

import numpy as np
import pytest

from minigrad.printing import format_tensor


class Case(NamedTuple):
    name: str
    array: np.ndarray
    text: str
    suffixes: tuple[str, ...] = ()


CASES = [
    Case("0-d float", np.float32(2.5), "tensor(2.5000)"),
    Case(
        "0-d whole float", np.float32(3), "tensor(3., requires_grad=True)", ("requires_grad=True",)
    ),
    Case(
        "0-d small",
        np.float32(1e-5),
        "tensor(1.0000e-05, grad_fn=<MeanBackward0>)",
        ("grad_fn=<MeanBackward0>",),
    ),
    Case("0-d int", np.int64(-7), "tensor(-7)"),
    Case("0-d bool", np.bool_(True), "tensor(True)"),
    Case("0-d nan", np.float32("nan"), "tensor(nan)"),
    Case("0-d float64", np.float64(0.1), "tensor(0.1000, dtype=minigrad.float64)"),
    Case("0-d large", np.float32(2**24), "tensor(16777216.)"),
    Case("empty", np.zeros(0, "f4"), "tensor([])"),
    Case(
        "empty rows",
        np.zeros((0, 3), "f4"),
        "tensor([], size=(0, 3), requires_grad=True)",
        ("requires_grad=True",),
    ),
    Case("empty int64", np.zeros(0, "i8"), "tensor([], dtype=minigrad.int64)"),
    Case(
        "empty bool matrix", np.zeros((2, 0), "?"), "tensor([], size=(2, 0), dtype=minigrad.bool)"
    ),
    Case("whole floats", np.array([1, -2, 30], "f4"), "tensor([ 1., -2., 30.])"),
    Case("all zeros", np.zeros((2, 2), "f4"), "tensor([[0., 0.],\n        [0., 0.]])"),
    Case("negative zero", np.array([0.0, -0.0], "f4"), "tensor([0., -0.])"),
    Case("fractions", np.array([0.5, -12.25, 100], "f4"), "tensor([  0.5000, -12.2500, 100.0000])"),
    Case("float32 digits", np.array([0.1, 1 / 3], "f4"), "tensor([0.1000, 0.3333])"),
    Case(
        "infinities and nan among whole floats",
        np.array([1, np.inf, -np.inf, np.nan], "f4"),
        "tensor([1., inf, -inf, nan])",
    ),
    Case("nan among fractions", np.array([0.5, np.nan], "f4"), "tensor([0.5000,    nan])"),
    Case("only nan", np.array([np.nan, np.nan], "f4"), "tensor([nan, nan])"),
    Case("ratio of exactly 1000", np.array([1, 1000], "f4"), "tensor([   1., 1000.])"),
    Case("ratio over 1000", np.array([1, 1001], "f4"), "tensor([1.0000e+00, 1.0010e+03])"),
    Case("1e8", np.array([1e8], "f4"), "tensor([100000000.])"),
    Case("over 1e8", np.array([2e8], "f4"), "tensor([2.0000e+08])"),
    Case("1e-4", np.array([1e-4]), "tensor([0.0001], dtype=minigrad.float64)"),
    Case(
        "under 1e-4",
        np.array([9e-5, 0, np.inf], "f4"),
        "tensor([9.0000e-05, 0.0000e+00,        inf])",
    ),
    Case(
        "extremes of float64",
        np.array([1e308, 5e-324]),
        "tensor([1.0000e+308, 4.9407e-324], dtype=minigrad.float64)",
    ),
    Case(
        "rounding",
        np.array([0.00015, 0.12345, 0.00025]),
        "tensor([0.0001, 0.1235, 0.0003], dtype=minigrad.float64)",
    ),
    Case("int32", np.array([1, -200], "i4"), "tensor([   1, -200], dtype=minigrad.int32)"),
    Case("int16", np.array([[1], [2]], "i2"), "tensor([[1],\n        [2]], dtype=minigrad.int16)"),
    Case("uint8", np.array([0, 255], "u1"), "tensor([  0, 255], dtype=minigrad.uint8)"),
    Case("int8", np.array([-128], "i1"), "tensor([-128], dtype=minigrad.int8)"),
    Case("bool", np.array([True, False]), "tensor([ True, False])"),
    Case(
        "lines of 80 columns",
        np.arange(40),
        (
            "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
            "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,\n"
            "        36, 37, 38, 39])"
        ),
    ),
    Case(
        "long vector of fractions",
        np.linspace(-1, 1, 12, dtype="f4"),
        (
            "tensor([-1.0000, -0.8182, -0.6364, -0.4545, -0.2727, -0.0909,  0.0909,  0.2727,\n"
            "         0.4545,  0.6364,  0.8182,  1.0000], grad_fn=<AddBackward0>)"
        ),
        ("grad_fn=<AddBackward0>",),
    ),
    Case(
        "suffix on its own line",
        np.linspace(-1, 1, 7, dtype="f4"),
        (
            "tensor([-1.0000, -0.6667, -0.3333,  0.0000,  0.3333,  0.6667,  1.0000],\n"
            "       grad_fn=<SoftmaxBackward0>)"
        ),
        ("grad_fn=<SoftmaxBackward0>",),
    ),
    Case(
        "matrix",
        np.arange(6.0, dtype="f4").reshape(2, 3),
        "tensor([[0., 1., 2.],\n        [3., 4., 5.]])",
    ),
    Case(
        "blank line between matrices",
        np.arange(8).reshape(2, 2, 2),
        "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])",
    ),
    Case(
        "two blank lines",
        np.arange(4.0, dtype="f4").reshape(2, 1, 2, 1),
        (
            "tensor([[[[0.],\n"
            "          [1.]]],\n"
            "\n"
            "\n"
            "        [[[2.],\n"
            "          [3.]]]], requires_grad=True)"
        ),
        ("requires_grad=True",),
    ),
    Case(
        "over 1000 are summarized",
        np.arange(1001),
        "tensor([   0,    1,    2,  ...,  998,  999, 1000])",
    ),
    Case(
        "summarized matrix",
        np.arange(2000.0, dtype="f4").reshape(40, 50),
        (
            "tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 4.7000e+01, 4.8000e+01,\n"
            "         4.9000e+01],\n"
            "        [5.0000e+01, 5.1000e+01, 5.2000e+01,  ..., 9.7000e+01, 9.8000e+01,\n"
            "         9.9000e+01],\n"
            "        [1.0000e+02, 1.0100e+02, 1.0200e+02,  ..., 1.4700e+02, 1.4800e+02,\n"
            "         1.4900e+02],\n"
            "        ...,\n"
            "        [1.8500e+03, 1.8510e+03, 1.8520e+03,  ..., 1.8970e+03, 1.8980e+03,\n"
            "         1.8990e+03],\n"
            "        [1.9000e+03, 1.9010e+03, 1.9020e+03,  ..., 1.9470e+03, 1.9480e+03,\n"
            "         1.9490e+03],\n"
            "        [1.9500e+03, 1.9510e+03, 1.9520e+03,  ..., 1.9970e+03, 1.9980e+03,\n"
            "         1.9990e+03]], grad_fn=<AddBackward0>)"
        ),
        ("grad_fn=<AddBackward0>",),
    ),
    Case(
        "summarized along the long axes only",
        np.ones((2, 7, 100), "f4") / 3,
        (
            "tensor([[[0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         ...,\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333]],\n"
            "\n"
            "        [[0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         ...,\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333],\n"
            "         [0.3333, 0.3333, 0.3333,  ..., 0.3333, 0.3333, 0.3333]]])"
        ),
    ),
    Case(
        "hidden elements do not choose the notation",
        np.where(np.arange(2000) == 1000, 1e9, 1.5),
        (
            "tensor([1.5000, 1.5000, 1.5000,  ..., 1.5000, 1.5000, 1.5000],\n"
            "       dtype=minigrad.float64)"
        ),
    ),
    Case(
        "non-contiguous",
        np.arange(6).reshape(2, 3).T[::-1],
        "tensor([[2, 5],\n        [1, 4],\n        [0, 3]])",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case):
    assert format_tensor(np.asarray(case.array), case.suffixes) == case.text


def test_summarized_from_1001_elements_on():
    assert "..." not in format_tensor(np.arange(1000))
    assert "..." in format_tensor(np.arange(1001))


def test_a_dtype_that_no_longer_fits_the_line_moves_to_the_next():
    # "minigrad" is longer than "torch", so the lines of PyTorch's own text are no guide here.
    assert format_tensor(np.linspace(-1, 1, 7), []).endswith(
        " 1.0000],\n       dtype=minigrad.float64)"
    )


def random_array(rng) -> np.ndarray:
    shape = tuple(int(n) for n in rng.integers(rng.random() > 0.1, 12, rng.integers(0, 5)))
    if rng.random() < 0.1:
        shape = (int(rng.integers(990, 1010)),)
    name = rng.choice(["float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"])
    if name == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if not name.startswith("float"):
        limits = np.iinfo(name) if rng.random() < 0.3 else np.iinfo("int8")
        low, high = max(limits.min, np.iinfo(name).min), limits.max
        return np.asarray(rng.integers(low, high, shape, dtype=name))
    array = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 10)
    if rng.random() < 0.3:
        array = np.round(array)
    if rng.random() < 0.3:
        array *= 10.0 ** rng.integers(-4, 4, shape)
    if rng.random() < 0.3:
        special = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan], shape)
        array = np.where(rng.random(shape) < 0.2, special, array)
    return np.asarray(array, name)


@pytest.mark.torch
def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own text")
    rng = np.random.default_rng(0)
    for _ in range(1000):
        array = random_array(rng)
        tensor, suffixes = torch.tensor(array), []
        if tensor.is_floating_point() and rng.random() < 0.5:
            tensor, suffixes = tensor.requires_grad_() * 1, ["grad_fn=<MulBackward0>"]
        ours = format_tensor(array, suffixes)
        theirs = repr(tensor).replace("torch.", "minigrad.")
        if "dtype=" in theirs:  # a longer name may move a suffix to the next line
            ours, theirs = (re.sub(r",\s+(\w+=)", r", \1", text) for text in (ours, theirs))
        assert ours == theirs
