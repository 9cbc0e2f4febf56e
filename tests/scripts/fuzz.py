"""Coverage-guided fuzzing of the borders where foreign values come in.

    python tests/scripts/fuzz.py --seconds 60            # each target in turn, 60 s in all
    python tests/scripts/fuzz.py --seconds 300 load      # one target

Needs atheris: pip install -e ".[fuzz]". A finding ends the run with a status other than 0, its
traceback and the input in a file, which `fuzz.py --replay FILE target` runs again; what is wrong
becomes a test in test_fuzz_findings.py, with the smallest input that shows it.

What a bad value may raise is in ALLOWED: the types PyTorch raises for bad calls, and nothing that
hints at a check that is missing (AttributeError, KeyError, a Numba error, SystemError ...). A call
that succeeds is compared with NumPy where NumPy has an answer, and a call that fails must have
changed nothing.
"""

import argparse
import contextlib
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

try:
    import atheris
except ModuleNotFoundError:
    sys.exit('atheris is not installed: run pip install -e ".[fuzz]" (Linux, CPython 3.11 to 3.13)')

ROOT = Path(__file__).parents[2]
KERNELS = [path.relative_to(ROOT).with_suffix("") for path in ROOT.glob("kernels/**/*.py")]
AS_THEY_ARE = [".".join(["minigrad", *path.parts]) for path in KERNELS]  # Numba compiles them
with atheris.instrument_imports(["minigrad"], AS_THEY_ARE):
    import minigrad as mg
    from minigrad.dtypes import SUPPORTED
    from minigrad.nn import functional as F

# OverflowError: Python's own for an integer that no C type holds. NotImplementedError is a
# RuntimeError, UnicodeError a ValueError.
ALLOWED = (TypeError, ValueError, RuntimeError, IndexError, OverflowError)
SUBSTITUTES = (RecursionError,)  # RuntimeErrors that stand for a missing check

DTYPES = (
    "f4", "f8", "i8", "i4", "i2", "i1", "u1", "?", ">f4", ">i8", "f2", "g", "u8", "c8", "O", "U2",
    "S2", "M8[D]", "m8[s]", "V3", "f4,i4",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 5, -100, 127, 255, 2**31, -(2**31), 2**53, 2**63 - 1, 2**63, -(2**63) - 1,
    2**70, 0.0, -0.0, 0.5, 1.0, 1.5, -1.0, 1e-45, 1e38, 1e39, 1e308, math.inf, -math.inf, math.nan,
    True, False, np.float32(0.5), np.int64(2), np.int8(-1), np.bool_(True), np.float64(2),
    np.uint64(2**63), np.float16(1), np.longdouble(1),
)  # fmt: skip
ODD = (None, "", "a", "1", b"1", 1j, ..., slice(None), {}, {"a": 1}, {1}, object(), int, mg, len)
NAMES = tuple(d.name for d in SUPPORTED)


class Choices:
    """Bytes of the fuzzer as choices."""

    def __init__(self, data):
        self.data = atheris.FuzzedDataProvider(data)

    def below(self, n):
        return self.data.ConsumeIntInRange(0, n - 1)

    def one(self, options):
        return options[self.below(len(options))]

    def rarely(self):
        return self.below(8) == 7

    def shape(self, ranks=4):
        return tuple(self.one((2, 3, 1, 0, 4)) for _ in range(self.below(ranks + 1)))

    def rng(self):
        return np.random.default_rng(self.below(256))

    def array(self, dtype=None, shape=None):
        """An array of some dtype, layout and class."""
        dtype = np.dtype(dtype or self.one(DTYPES))
        shape = self.shape() if shape is None else shape
        count = math.prod(shape)
        if dtype.kind == "O":
            out = np.empty(shape, "O")
            out[...] = self.one((*NUMBERS, *ODD[:5]))
            return out
        raw = self.rng().integers(0, 2 if dtype.kind == "b" else 256, count * dtype.itemsize)
        array = np.frombuffer(raw.astype(np.uint8).tobytes(), dtype, count).reshape(shape)
        if self.below(2) and dtype.kind in "fiu":
            array = self.rng().integers(0, 4, shape).astype(dtype)
        layout = self.below(8)
        if layout == 1:
            array = np.asfortranarray(array)
        elif layout == 2 and shape:
            array = array[::-1]
        elif layout == 3:
            array = np.broadcast_to(array, (2, *shape))
        elif layout == 4 and array.ndim == 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array = np.matrix(array)
        elif layout == 5:
            array = np.ma.masked_array(array)
        return array

    def tensor(self, dtype=None, shape=None):
        array = np.array(self.array(dtype or self.one(NAMES), shape), subok=False)
        t = mg.tensor(array)
        return t.requires_grad_() if t.is_floating_point() and self.below(2) else t

    def value(self, depth=0):
        """Any Python value, mostly one that could be data."""
        kind = self.below(8)
        if kind < 3:
            return self.one(NUMBERS)
        if kind == 3:
            return self.array()
        if kind == 4:
            return self.tensor()
        if kind == 5 or depth > 3:
            return self.one(ODD)
        parts = [self.value(depth + 1) for _ in range(self.below(4))]
        return parts if kind == 6 else tuple(parts)

    def dtype(self):
        return self.one((None, *SUPPORTED, "long", float, int, bool, *DTYPES, *ODD))

    def options(self, **options):
        return {name: make() for name, make in options.items() if self.rarely()}


def unchanged(tensors):
    """A check that neither bytes nor versions of the tensors are what they were not before."""

    def state(t):
        return t.array.tobytes(), t.version[0], t.grad and t.grad.array.tobytes()

    before = [(t, state(t)) for t in tensors if isinstance(t, mg.Tensor)]
    return lambda: all(state(t) == was for t, was in before)


# --- targets ------------------------------------------------------------------------------------


def creation(c):
    """Every function that makes a tensor from what a caller gives."""
    size = tuple(c.one((*NUMBERS, *ODD, 2, 3, 4)) for _ in range(c.below(4)))
    calls = {
        "tensor": (c.value(),), "as_tensor": (c.value(),), "from_numpy": (c.value(),),
        "full": (size, c.value()), "zeros": size, "ones": size, "empty": size, "eye": size[:2],
        "rand": size, "randn": size, "arange": size[:3], "linspace": size[:3],
        "randint": (*size[:2], size[2:]), "randperm": size[:1], "zeros_like": (c.value(),),
        "full_like": (c.value(), c.value()), "randn_like": (c.value(),),
    }  # fmt: skip
    name = c.one(tuple(calls))
    options = c.options(
        dtype=c.dtype,
        device=lambda: c.one(("cpu", "cuda", *ODD)),
        requires_grad=lambda: c.one((True, False, 1, "yes")),
        generator=lambda: c.one((None, mg.Generator(), *ODD)),
    )
    try:
        out = getattr(mg, name)(*calls[name], **options)
    except MemoryError:
        return  # a size that is right, and more than there is
    assert type(out) is mg.Tensor
    assert out.dtype in SUPPORTED
    assert out.array.dtype.isnative
    assert type(out.array) is np.ndarray
    if name == "tensor" and type(calls[name][0]) is np.ndarray:
        want = calls[name][0]
        np.testing.assert_array_equal(out.numpy(force=True), want.astype(out.dtype))
        assert not np.shares_memory(out.array, want)


def _key(c, shape, depth=0):
    def part():
        kind = c.below(12)
        n = c.one(shape) if shape else 2
        if kind < 3:
            return c.below(2 * n + 2) - n - 1
        if kind == 3:
            numbers = (None, None, None, 0, 1, 2, -1, -2, 5, -7, 2**40, -(2**70))
            return slice(c.one(numbers), c.one(numbers), c.one((None, None, 1, 2, -1, -2, 0, 3)))
        if kind == 4:
            return None
        if kind == 5:
            return ...
        if kind == 6:
            return [c.below(2 * n + 1) - n for _ in range(c.below(4))]
        if kind == 7:
            return c.array(c.one(("i8", "i4", "u1", "i1", ">i8", "f4", "O")), c.shape(2))
        if kind == 8:
            return c.tensor(c.one(("int64", "uint8", "int16", "float32")), c.shape(2)).detach()
        if kind == 9:
            mask = c.rng().integers(0, 2, shape[: c.below(len(shape) + 1)]) == 1
            return c.one((mask, mg.tensor(mask), mask.tolist()))
        return c.one((np.int64(1), np.uint8(0), True, False, *NUMBERS, *ODD)) if kind == 10 else 0

    if c.below(3):
        return part()
    return tuple(part() for _ in range(c.below(5)))


def _raw(key):
    """The key NumPy takes in its place."""
    if isinstance(key, tuple):
        return tuple(map(_raw, key))
    if isinstance(key, list):
        return np.asarray(key) if key else np.empty(0, np.int64)
    return key.array if isinstance(key, mg.Tensor) else key


def indexing(c):
    """x[key] and x[key] = value with NumPy as the oracle, and the gradient of x[key]."""
    array = np.ascontiguousarray(c.array(c.one(NAMES), c.shape(3)), c.one(NAMES))
    x, key = mg.tensor(array), _key(c, array.shape)
    raw, parts = None, key if isinstance(key, tuple) else (key,)
    try:
        raw = _raw(key)
        want = array[raw]
        view = array.copy()
    except Exception:
        want = None
    # x[0, :, [1, 3]]: PyTorch takes the number first, NumPy moves the list's dimension to the front
    arrays = [p for p in parts if hasattr(p, "ndim") or isinstance(p, list)]
    numbers = [p for p in parts if type(p) is int or getattr(p, "ndim", 1) == 0]
    plain = not (arrays and numbers)
    # Bytes are a mask to PyTorch, a bool one of no dimensions, and lists of nothing are no floats:
    # programs/indices.py compares these.
    known = not any(
        str(getattr(p, "dtype", type(p).__name__)) in ("uint8", "bool")
        or (isinstance(p, list) and not np.size(p))
        for p in parts
    )
    plain = plain and known
    if c.below(2):
        out = x[key]
        if not known:
            return
        assert want is not None, f"NumPy refuses {key!r} of {array.shape}"
        if plain:
            assert out.shape == np.shape(want), (key, out.shape, np.shape(want))
            np.testing.assert_array_equal(out.numpy(), want)
        else:
            np.testing.assert_array_equal(np.sort(out.array, None), np.sort(want, None))
        if x.is_floating_point():
            x.requires_grad_()
            out = x[key]
            g = c.rng().standard_normal(out.shape).astype(x.dtype)
            out.backward(mg.tensor(g))
            if plain:
                expected = np.zeros_like(array)
                np.add.at(expected, raw, g)
                np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5)
    else:
        value = c.one((c.one(NUMBERS), c.value(), c.tensor(array.dtype, c.shape(2)).detach()))
        same = unchanged([x, value])
        try:
            x[key] = value
        except Exception:
            assert same(), f"a failed assignment at {key!r} wrote"
            raise
        if plain and want is not None and type(value) in (int, float, bool):
            view[raw] = np.asarray(value).astype(array.dtype)
            np.testing.assert_array_equal(x.numpy(), view)
        assert want is not None or not known, f"NumPy refuses {key!r} of {array.shape}"


LOSSES = (
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss",
)  # fmt: skip


def losses(c):
    """The losses, mostly with arguments that are almost right."""
    name = c.one(LOSSES)
    shape = c.shape()
    x = c.tensor(c.one(("float32", "float32", "float64", "int64")), shape)
    if name in LOSSES[6:] and c.below(4):
        classes = shape[1] if len(shape) > 1 else (*shape, 1)[0]
        indices = c.rng().integers(0, max(classes, 1), shape[:1] * (len(shape) > 1) + shape[2:])
        if c.rarely() and indices.size:
            indices.flat[c.below(indices.size)] = c.one((-1, classes, -100, 2**62, -(2**63)))
        y = mg.tensor(indices, dtype=c.one((None, mg.int32, mg.uint8, mg.int8, mg.bool)))
    else:
        y = c.tensor(c.one(("float32", "float64", "int64", "bool")), shape)
    if c.rarely():
        x = c.value()
    if c.rarely():
        y = c.value()
    options = c.options(
        reduction=lambda: c.one(("none", "sum", "mean", "avg", *ODD)),
        weight=lambda: c.one((c.tensor(None, shape[1:2]), c.tensor("float32"), c.value())),
        pos_weight=lambda: c.one((c.tensor("float32", shape[-1:]), c.tensor(), c.value())),
        beta=lambda: c.one((*NUMBERS, *ODD)),
        delta=lambda: c.one((*NUMBERS, *ODD)),
        ignore_index=lambda: c.one((*NUMBERS, *ODD)),
        label_smoothing=lambda: c.one((*NUMBERS, *ODD)),
        size_average=lambda: c.one((True, False, None)),
    )
    same = unchanged([x, y, *options.values()])
    try:
        out = getattr(F, name)(x, y, **options)
        assert type(out) is mg.Tensor
        assert out.dtype.kind == "f"
        assert same(), "a loss changed its inputs"
        if out.requires_grad:
            out.backward(mg.tensor(np.asarray(c.rng().standard_normal(out.shape), out.dtype)))
            for t in (x, y):
                if isinstance(t, mg.Tensor) and t.requires_grad:
                    assert (t.grad.shape, t.grad.dtype) == (t.shape, t.dtype)
    except Exception:
        assert same(), "a failed loss changed its inputs"
        raise


def _seeds():
    """Small valid files, as (members of an .npz, a safetensors header and its data)."""
    state = {"w": mg.ones(2, 3), "a": [{"b": mg.arange(3), "lr": 0.5, "n": None}], "s": "text"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.npz"
        mg.save(state, path)
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        whole = [path.read_bytes()]
        mg.save(state, path.with_suffix(".safetensors"))
        content = path.with_suffix(".safetensors").read_bytes()
    n = int.from_bytes(content[:8], "little")
    return [*whole, content], members, json.loads(content[8 : 8 + n]), content[8 + n :]


WHOLE, MEMBERS, HEADER, CONTENT = _seeds()
PLACE = os.path.join(tempfile.mkdtemp(prefix="minigrad-fuzz-"), "file")


def _mutated(c, content):
    content = bytearray(content)
    for _ in range(c.below(4)):
        at, kind = c.below(len(content) + 1), c.below(6)
        if kind == 0:
            del content[at:]
        elif kind == 1:
            del content[at : at + 1 + c.below(16)]
        elif kind == 2:
            content[at:at] = c.data.ConsumeBytes(1 + c.below(16))
        elif kind == 3:
            content[at : at + 8] = c.one((0, 1, 255, 2**31, 2**40, 2**63)).to_bytes(8, "little")
        elif kind == 4:
            digits = b"9" * (1 + c.below(20))
            content[at : at + len(digits)] = digits
        else:
            content[at : at + 1] = c.data.ConsumeBytes(1)
    return bytes(content)


def _json(c, value, depth=0):
    """A JSON value with some parts replaced."""
    if c.rarely():
        return c.one((0, -1, 2**40, 2**64, 0.5, None, "", "w", "F32", "BF16", [], {}, [0, 8], True))
    if isinstance(value, dict):
        return {
            (c.one(("w", "", "dtype")) if c.rarely() else k): _json(c, v) for k, v in value.items()
        }
    return [_json(c, v) for v in value] if isinstance(value, list) else value


def load(c):
    """mg.load of damaged files: a ValueError, and no memory for what is not there."""
    kind = c.below(4)
    if kind == 0:
        content = c.data.ConsumeBytes(2**20)
    elif kind == 1:
        content = _mutated(c, c.one(WHOLE))
    elif kind == 2:
        buffer = io.BytesIO()
        with zipfile.ZipFile(
            buffer, "w", c.one((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        ) as file:
            for name, member in MEMBERS.items():
                if not c.rarely():
                    text = json.dumps(_json(c, json.loads(member))) if name == "minigrad" else None
                    file.writestr(name, text if text and c.below(2) else _mutated(c, member))
        content = buffer.getvalue()
    else:
        header = json.dumps(_json(c, HEADER)).encode()
        header = _mutated(c, header) if c.rarely() else header
        content = len(header).to_bytes(8, "little") + header + _mutated(c, CONTENT)
    Path(PLACE).write_bytes(content)
    try:
        mg.load(PLACE)
    except ValueError as error:
        cause = error
        while cause is not None:
            assert not isinstance(cause, MemoryError), (
                "memory was asked for before sizes were compared"
            )
            cause = cause.__cause__
    except Exception as error:
        raise AssertionError(f"load must raise ValueError, not {type(error).__name__}") from error


TARGETS = {f.__name__: f for f in (creation, indexing, losses, load)}


# --- running ------------------------------------------------------------------------------------


def one_input(target, data):
    with contextlib.suppress(*ALLOWED), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target(Choices(data))
        except SUBSTITUTES as error:
            raise AssertionError(f"{type(error).__name__} is no answer") from error


def fuzz(name, seconds):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(
        resource.RLIMIT_AS, (used + 2**31,) * 2
    )  # what asks for more is told at once
    target = TARGETS[name]
    if target is losses:  # kernels compile before the clock runs
        for loss in LOSSES:
            for dtype in (mg.float32, mg.float64):
                x = mg.full((2, 3), 0.5, dtype=dtype).requires_grad_()
                y = x.detach() if loss in LOSSES[:6] else mg.arange(2)
                getattr(F, loss)(x, y).backward()
    arguments = [f"-max_total_time={seconds}", "-timeout=120", "-rss_limit_mb=0", "-max_len=512"]
    arguments += [
        "-report_slow_units=120",
        "-print_final_stats=1",
        "-verbosity=0",
        f"-artifact_prefix={name}-",
    ]
    atheris.Setup([sys.argv[0], *arguments], partial(one_input, target))
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all of them if none")
    parser.add_argument("--seconds", type=int, default=60, help="time in all (default: 60)")
    parser.add_argument("--replay", metavar="FILE", help="run one input that was found")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if set(names) - set(TARGETS):
        parser.error(f"targets: expected some of {', '.join(TARGETS)}, got {names}")
    if options.replay:
        one_input(TARGETS[names[0]], Path(options.replay).read_bytes())
    elif len(names) == 1:
        fuzz(names[0], options.seconds)
    else:  # the fuzzer ends its process
        each = str(max(options.seconds // len(names), 1))
        for name in names:
            print(f"{name}: {each} s", flush=True)
            subprocess.run([sys.executable, __file__, "--seconds", each, name], check=True)


if __name__ == "__main__":
    main()
