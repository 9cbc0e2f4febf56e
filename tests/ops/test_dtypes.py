"""Type promotion: PyTorch's, for every pair of dtypes, and what numbers turn into on the way."""

import json
import warnings

import numpy as np
import pytest

import minigrad as mg
from helpers import REFERENCE, promotion
from minigrad import dtypes

STORED = json.loads((REFERENCE / "promotion.json").read_text())
OPERATIONS = [*promotion.UNARY, *promotion.BINARY]
BOOLS = (7, 15)  # the rows of bool operands, 1-d and 0-d
# Where we differ on purpose: the letters of ours, or of ours in the rows of bools.
DEVIATIONS = {
    "pos": ["fdlihbB?fdlihbB?"],  # +bool is no error
    "square": ["fdlihbBRfdlihbBR"],  # of a bool: an error, as its other arithmetic, not int64
    "any": ["????????????????"],  # of uint8: bool, as of any other dtype
    "all": ["????????????????"],
    "softmax": ["fdfffffffdffffff"],  # of integers: float32, as exp of integers
    "log_softmax": ["fdfffffffdffffff"],
    "pow": "fdlihbBRfdlihbBRRlf",  # bool ** True: an error, as bool ** bool
    "ipow": "RRRRRRRRRRRRRRRRRRR",
    "add_alpha": "fdlihbBlfdlihbBlllf",  # bool + 2 * bool: int64, as bool + 2
}


def expected(name):
    ours = DEVIATIONS.get(name, [])
    if isinstance(ours, str):
        return [ours if i in BOOLS else row for i, row in enumerate(STORED[name])]
    return ours or STORED[name]


@pytest.fixture(scope="module")
def ours():
    return promotion.table(mg)


@pytest.mark.parametrize("name", OPERATIONS)
def test_stored(name, ours):
    want = expected(name)
    wrong = {
        (row, column): f"{ours[name][row][column]}, expected {letter}"
        for row, letters in enumerate(want)
        for column, letter in enumerate(letters)
        if ours[name][row][column] != letter
    }
    assert not wrong


def test_deviations_are_needed(ours):
    assert all(ours[name] != STORED[name] for name in DEVIATIONS)


@pytest.mark.torch
def test_live():
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live = promotion.table(torch)
    assert {"about": STORED["about"], **live} == STORED


# name: (run, elements, dtype), PyTorch's results.
NUMBERS = {
    "wraps": (lambda m: m.tensor([200], dtype=m.uint8) + 300, [244], "uint8"),
    "wraps_negative": (lambda m: m.tensor([200], dtype=m.uint8) - (-1), [201], "uint8"),
    "wraps_product": (lambda m: m.tensor([100], dtype=m.int8) * 1000, [-96], "int8"),
    "wraps_compared": (lambda m: m.tensor([200], dtype=m.uint8) == -56, [True], "bool"),
    "wraps_sum": (lambda m: m.tensor([100], dtype=m.int8) + 100, [-56], "int8"),
    "wraps_cast": (lambda m: m.tensor([-1], dtype=m.int8).to(m.uint8), [255], "uint8"),
    "negated": (lambda m: -m.tensor([3], dtype=m.uint8), [253], "uint8"),
    "lowest": (lambda m: m.tensor([-128], dtype=m.int8).abs(), [-128], "int8"),
    "beyond_float32": (lambda m: m.tensor([1.0]) * 1e300, [np.inf], "float32"),
    "compared_beyond": (lambda m: m.tensor([1.0]) < 1e300, [True], "bool"),
    "floor": (lambda m: m.tensor([7, -7]) // 2, [3, -4], "int64"),
    "modulo": (lambda m: m.tensor([7, -7]) % -3, [-2, -1], "int64"),
    "modulo_float": (lambda m: m.tensor([7.0, -7.0]) % -3, [-2.0, -1.0], "float32"),
    "by_zero": (lambda m: m.tensor([1, -1, 0]) / 0, [np.inf, -np.inf, np.nan], "float32"),
    "floor_by_zero": (lambda m: m.tensor([1.0, -1.0]) // 0, [np.inf, -np.inf], "float32"),
    "modulo_zero": (lambda m: m.tensor([1.0]) % 0, [np.nan], "float32"),
    "div_trunc": (lambda m: m.div(m.tensor([7, -7, 6]), 2, rounding_mode="trunc"), [3, -3, 3],
        "int64"),
    "div_trunc_exact": (lambda m: m.div(m.tensor([2**60 + 1, -(2**60) - 1]), m.tensor([1, -1]),
                        rounding_mode="trunc"), [2**60 + 1, 2**60 + 1], "int64"),
    "div_floor": (lambda m: m.div(m.tensor([7, -7]), 2, rounding_mode="floor"), [3, -4], "int64"),
    "truncated": (lambda m: m.tensor([1.7, -1.7]).long(), [1, -1], "int64"),
    "truth": (lambda m: m.tensor([0.5, 0.0, np.nan]).bool(), [True, False, True], "bool"),
    "fill": (lambda m: m.tensor([1, 2]).fill_(1.5), [1, 1], "int64"),
    "masked_fill": (lambda m: m.tensor([1, 2]).masked_fill(m.tensor([True, False]), 7.5), [7, 2],
                    "int64"),
    "bools_add": (lambda m: m.tensor([True]) + m.tensor([True]), [True], "bool"),
    "bool_sum": (lambda m: m.tensor([True, True]).sum(), 2, "int64"),
    "uint8_sum": (lambda m: m.tensor([200, 200], dtype=m.uint8).sum(), 400, "int64"),
    "int8_prod": (lambda m: m.tensor([100, 100], dtype=m.int8).prod(), 10000, "int64"),
    "int8_cumsum": (lambda m: m.tensor([100, 100], dtype=m.int8).cumsum(0), [100, 200], "int64"),
    "int32_exact": (lambda m: m.tensor([2**31 - 1], dtype=m.int32) + 1, [-(2**31)], "int32"),
    "int64_rounded": (lambda m: m.tensor([2**24 + 1]) + 0.0, [2.0**24], "float32"),
    "int64_with_float": (lambda m: m.tensor([2**24 + 1]) * m.tensor(1.0), [2.0**24], "float32"),
    "reversed": (lambda m: 1.5 - m.tensor([1, 2]), [0.5, -0.5], "float32"),
    "number_of_0d": (lambda m: m.tensor(3, dtype=m.int8) * 2.5, 7.5, "float32"),
    "0d_into_1d": (lambda m: m.tensor([1.0]) + m.tensor(2.0, dtype=m.float64), [3.0], "float32"),
    "where_numbers": (lambda m: m.where(m.tensor([True, False]), 1, 2.5), [1.0, 2.5], "float32"),
    "mean_of_ints": (lambda m: m.tensor([1, 2]).mean(dtype=m.float64), 1.5, "float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    run, elements, dtype = NUMBERS[name]
    out = run(mg)
    np.testing.assert_array_equal(out.numpy(), np.array(elements, dtype))
    assert out.dtype == dtype


@pytest.mark.torch
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_live(name):
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install -e '.[torch]'"
    )
    run, elements, dtype = NUMBERS[name]
    out = run(torch)
    np.testing.assert_array_equal(out.numpy(), np.array(elements, dtype))
    assert out.dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("run", "error", "match"),
    [
        (lambda t: t // 0, RuntimeError, "ZeroDivisionError"),
        (lambda t: t % mg.tensor([1, 0, 1]), RuntimeError, "ZeroDivisionError"),
        (lambda t: mg.div(t, 0, rounding_mode="trunc"), RuntimeError, "ZeroDivisionError"),
        (lambda t: mg.div(t, 2, rounding_mode="up"), RuntimeError, "rounding_mode: expected.*'up'"),
        (lambda t: t**-1, RuntimeError, "negative integer powers"),
        (lambda t: t + 2**70, OverflowError, "too large"),
        (lambda t: t.add(t, alpha=0.5), RuntimeError, "alpha: expected an integer.*0.5"),
        (lambda t: t & 1.5, RuntimeError, "bitwise_and"),
        (lambda t: ~(t * 1.5), RuntimeError, "bitwise_not|invert"),
        (lambda t: (t > 0) - True, RuntimeError, "sub.*not implemented for bool"),
        (lambda t: -(t > 0), RuntimeError, "neg.*not implemented for bool"),
        (lambda t: t.mean(), RuntimeError, "mean.*floating point.*int64"),
        (lambda t: t.var(), RuntimeError, "floating point.*int64"),
        (lambda t: t.masked_fill(t > 0, mg.ones(3)), RuntimeError, "0-dimensional value.*1 dim"),
        (lambda t: t.masked_fill(t, 1), RuntimeError, "boolean.*int64"),
        (lambda t: mg.where(t, t, t), RuntimeError, "boolean.*int64"),
        (lambda t: t @ mg.ones(3), RuntimeError, "same dtype.*int64 != float32"),
        (lambda t: t + None, TypeError, r"unsupported operand type.*NoneType"),
        (lambda t: t * "a", TypeError, "can't multiply|only integer tensors"),
        (lambda t: t + "a", TypeError, "unsupported operand"),
        (lambda t: t < None, TypeError, "not supported between"),
        (lambda t: mg.add(t, [1, 2, 3]), TypeError, r"add\(\): expected Tensors or numbers.*list"),
        (lambda t: mg.exp(1.0), TypeError, r"exp\(\): argument 'input' must be Tensor, not float"),
        (lambda t: mg.exp("a"), TypeError, r"exp\(\): expected Tensors or numbers.*str"),
        (lambda t: t.add_(0.5), RuntimeError, "result type float32 can't be cast.*int64"),
        (lambda t: (t > 0).add_(1), RuntimeError, "result type int64 can't be cast.*bool"),
    ],
)
def test_errors(run, error, match):
    with pytest.raises(error, match=match):
        run(mg.tensor([1, 2, 3]))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (mg.float32, "float32"), ("float", "float32"), ("double", "float64"), (float, "float64"),
        (int, "int64"), (bool, "bool"), ("long", "int64"), (np.int16, "int16"), ("<f8", "float64"),
        (">f4", "float32"), (np.dtype("uint8"), "uint8"), ("short", "int16"), ("int", "int32"),
    ],
)  # fmt: skip
def test_as_dtype(name, dtype):
    found = dtypes.as_dtype(name)
    assert found is np.dtype(dtype)
    assert found.isnative


@pytest.mark.parametrize(
    "name",
    ["float16", "complex64", "uint64", np.object_, "U3", "M8[s]", "f4,f4", "nonsense", 3, "O"],
)
def test_as_dtype_errors(name):
    with pytest.raises(TypeError, match=r"expected one of float32, float64.*got"):
        dtypes.as_dtype(name)


def test_names():
    pairs = {"float": "float32", "double": "float64", "long": "int64", "int": "int32",
             "short": "int16"}  # fmt: skip
    for name, dtype in pairs.items():
        assert getattr(mg, name) is getattr(mg, dtype) is np.dtype(dtype)
        assert getattr(mg.ones(1), name)().dtype == dtype
    assert mg.ones(1).bool().dtype is mg.bool
