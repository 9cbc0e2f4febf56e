"""NumPy's functions called on Tensors, with any of their keywords, against NumPy on the arrays.

The results are equal in value and dtype (but where operators go by PyTorch's dtypes: two Tensors of
different ones), or it is a TypeError where NumPy has an answer; where NumPy has none, there is none
here. With a gradient the value is the same, and the slopes are those that gradcheck finds. No call
changes a Tensor.
"""

import warnings

import numpy as np

import minigrad as mg

SHORT = 400

DTYPES = ("float64", "float64", "float32", "float32", "int64", "int32", "uint8", "bool")


def attempt(draw):
    rng = np.random.default_rng(draw.randrange(1000))
    shape = tuple(draw.choice((1, 2, 3, 3, 4)) for _ in range(draw.randrange(4)))
    dtype = draw.choice(DTYPES)
    name, function, args, keywords = _call(draw, rng, shape, dtype)
    text = (
        f"{name}({', '.join(map(_text, args))}, **{ {k: _text(v) for k, v in keywords.items()} })"
    )
    before = _map(args, lambda x: x.copy())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        want = _outcome(function, _map(args, lambda x: x.copy()), keywords)
        grad = draw.random() < 0.5
        tensors = _map(args, lambda x: _tensor(draw, x, grad))
        if not any(isinstance(x, mg.Tensor) for x in _leaves(tensors)):
            return
        got = _outcome(function, tensors, keywords)
    for x, y in zip(_leaves(tensors), _leaves(before), strict=True):
        if isinstance(x, mg.Tensor):
            assert x.detach().numpy().tobytes() == y.tobytes(), f"{text}: changed a Tensor"
    if isinstance(want, Exception):
        assert isinstance(got, (TypeError, ValueError, RuntimeError, IndexError)), f"{text}: {got}"
        return
    if isinstance(got, Exception):
        operator = name[3:] in (*BINARY, "matmul")  # which goes by PyTorch's rules for dtypes
        assert isinstance(got, (TypeError, RuntimeError) if operator else TypeError), (
            f"{text}: {got!r}"
        )
        return
    _compare(got, want, text, [*_arrays(args)])
    slopes = getattr(got, "requires_grad", False) and draw.random() < 0.2
    slopes = slopes and dtype == got.dtype.name == "float64"
    if slopes and np.isfinite(want).all() and name != "np.remainder":  # which jumps
        inputs = [x for x in _leaves(tensors) if getattr(x, "requires_grad", False)]

        def again(*others):
            found = iter(others)
            return function(*_replaced(tensors, found), **keywords)

        try:
            mg.autograd.gradcheck(again, tuple(inputs))
        except RuntimeError as error:
            raise AssertionError(f"{text}: {error}") from None


def _outcome(function, args, keywords):
    try:
        return function(*args, **keywords)
    except Exception as error:
        return error


def _compare(got, want, text, arrays):
    if isinstance(want, (tuple, list)) and not isinstance(got, mg.Size):
        assert len(got) == len(want), text
        for x, y in zip(got, want, strict=True):
            _compare(x, y, text, arrays)
        return
    if isinstance(want, (np.ndarray, np.generic)):
        assert type(got) is mg.Tensor, f"{text}: got a {type(got).__name__}"
        x = got.detach().numpy()
        assert x.shape == np.shape(want), f"{text}: shape {x.shape}, NumPy {np.shape(want)}"
        if len({a.dtype for a in arrays}) == 1 and arrays[0].dtype.kind == "f":
            assert x.dtype == want.dtype, f"{text}: {x.dtype}, NumPy {want.dtype}"
        single = any(a.dtype == np.float32 for a in arrays) or x.dtype == np.float32
        rtol = 1e-5 if single else 1e-11
        np.testing.assert_allclose(x, want, rtol=rtol, atol=rtol, err_msg=text)
        return
    assert got == want, f"{text}: {got!r}, NumPy {want!r}"


# --- arguments ------------------------------------------------------------------------------------


def _leaves(x):
    for part in x:
        if isinstance(part, (tuple, list)):
            yield from _leaves(part)
        else:
            yield part


def _arrays(args):
    return (x for x in _leaves(args) if isinstance(x, np.ndarray))


def _map(x, f):
    if isinstance(x, (tuple, list)):
        return type(x)([_map(part, f) for part in x])
    return f(x) if isinstance(x, np.ndarray) else x


def _replaced(x, others):
    """x with others for what requires a gradient, in order."""
    if isinstance(x, (tuple, list)):
        return type(x)([_replaced(part, others) for part in x])
    return next(others) if getattr(x, "requires_grad", False) else x


def _tensor(draw, x, grad):
    """Most arrays as Tensors, some of which require a gradient; every first one is."""
    if draw.random() < 0.15:
        return x.copy()
    return mg.tensor(x, requires_grad=grad and x.dtype.kind == "f")


def _text(x):
    if isinstance(x, (tuple, list)):
        return f"[{', '.join(map(_text, x))}]"
    return f"{x.dtype}{x.shape}" if isinstance(x, np.ndarray) else repr(x)


def _array(rng, shape, dtype):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return np.asarray(rng.standard_normal(shape) * 2, dtype)
    return np.asarray(rng.integers(0, 5, shape), dtype)


def _some(draw, **options):
    """A few of the keywords, each with one of its values."""
    return {k: draw.choice(v) for k, v in options.items() if draw.random() < 0.35}


def _axis(draw, rank, several=True):
    options = [None, *range(-rank, rank), rank + 1] if rank else [None, 0, -1]
    if several and rank > 1:
        options += [(0, 1), (-1, 0), ()]
    return draw.choice(options)


REDUCTIONS = ("sum", "mean", "prod", "max", "min", "amax", "amin", "any", "all", "std", "var")
PLACES = ("argmax", "argmin", "cumsum", "cumprod", "sort", "argsort", "median", "ptp")
UNARY = (
    "exp", "sqrt", "absolute", "negative", "sign", "floor", "isnan", "square", "reciprocal", "tanh",
    "arctan", "logical_not", "invert", "rint", "signbit", "modf", "cbrt", "positive", "log1p",
)  # fmt: skip
BINARY = (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "less", "equal", "logical_and",
    "bitwise_and", "hypot", "floor_divide", "remainder", "power", "arctan2", "copysign", "divmod",
)  # fmt: skip
CHANGES = ("copyto", "put", "fill_diagonal", "putmask", "place")


def _call(draw, rng, shape, dtype):
    """(name, function, positional arguments, keywords)."""
    x, rank = _array(rng, shape, dtype), len(shape)
    kind = draw.randrange(7)
    if kind == 0:
        name = draw.choice(REDUCTIONS)
        options = _some(draw, axis=[_axis(draw, rank)], keepdims=[True, False], out=[None],
                        dtype=["float64", "float32", None], where=[True, rng.random(shape) < 0.7],
                        initial=[0, 1.5], ddof=[0, 1], correction=[0, 1])  # fmt: skip
        allowed = {"sum": "dtype initial", "prod": "dtype initial", "mean": "dtype",
                   "std": "dtype ddof correction", "var": "dtype ddof correction",
                   "any": "", "all": ""}.get(name, "initial")  # fmt: skip
        names = f"axis keepdims out where {allowed}".split()
        options = {k: v for k, v in options.items() if k in names or draw.random() < 0.05}
        args = (x, options.pop("axis")) if "axis" in options and draw.random() < 0.5 else (x,)
        return _named(name, args, options)
    if kind == 1:
        name = draw.choice(PLACES)
        options = _some(draw, axis=[_axis(draw, rank, False)], keepdims=[True], out=[None])
        if name.startswith(("cum", "sort", "argsort")) and draw.random() < 0.9:
            options.pop("keepdims", None)
        if name.endswith("sort"):
            options.pop("out", None)
        return _named(name, (x,), options)
    if kind in (2, 3):
        name, options = draw.choice(UNARY), {}
        args = (x,)
        if kind == 3:
            name = draw.choice(BINARY)
            other = _array(rng, draw.choice((shape, shape[-1:], ())), dtype)
            args = draw.choice(((x, other), (x, other), (other, x), (x, 2), (1.5, x)))
        if draw.random() < 0.3:
            options = _some(draw, dtype=["float64", "float32"], casting=["unsafe", "no"],
                            order=["F"], subok=[True])  # fmt: skip
        if draw.random() < 0.1:
            method = draw.choice(("reduce", "accumulate", "outer"))
            function = getattr(getattr(np, name), method)
            args = args if method == "outer" else (x,)
            return f"np.{name}.{method}", function, args, options
        return _named(name, args, options)
    if kind == 4:
        return _named(*_moved(draw, rng, x))
    if kind == 5:
        return _named(*_joined(draw, rng, x, dtype))
    return _named(*_odd(draw, rng, x))


def _named(name, args, options):
    return f"np.{name}", getattr(np, name), args, options


def _moved(draw, rng, x):
    rank = x.ndim
    order = list(range(rank))
    draw.shuffle(order)
    one = draw.choice([*range(-rank, rank), 0])
    two = draw.choice([*range(-rank, rank), 0])
    return draw.choice((
        ("transpose", (x,), _some(draw, axes=[None, tuple(order), order])),
        ("transpose", (x, tuple(order)), {}),
        ("reshape", (x, (-1,)), _some(draw, order=["C", "F"])),
        ("reshape", (x, x.shape[::-1]), {}),
        ("reshape", (x, draw.choice((5, (2, -1), (1, *x.shape)))), {}),
        ("ravel", (x,), _some(draw, order=["C", "F"])),
        ("squeeze", (x,), _some(draw, axis=[_axis(draw, rank)])),
        ("expand_dims", (x, draw.choice((0, -1, 1, (0, 1)))), {}),
        ("swapaxes", (x, one, two), {}),
        ("moveaxis", (x, one, two), {}),
        ("flip", (x,), _some(draw, axis=[_axis(draw, rank)])),
        ("roll", (x, draw.choice((1, -2, (1, 1)))), _some(draw, axis=[None, one, (0, 0)])),
        ("tile", (x, draw.choice((2, (2, 1), (1, 2, 3), ()))), {}),
        ("broadcast_to", (x, draw.choice(((2, *x.shape), x.shape, (7,)))), {}),
        ("copy", (x,), _some(draw, order=["K", "C"])),
        ("tril", (x,), _some(draw, k=[0, 1, -1])),
        ("triu", (x, 1), {}),
        ("repeat", (x, 2), _some(draw, axis=[None, one])),
        ("take", (x, [0, -1]), _some(draw, axis=[None, one], mode=["wrap", "clip"])),
        ("diagonal", (x,), _some(draw, offset=[0, 1])),
        ("trace", (x,), {}),
        ("shape", (x,), {}),
        ("ndim", (x,), {}),
        ("size", (x,), _some(draw, axis=[one])),
    ))  # fmt: skip


def _joined(draw, rng, x, dtype):
    y = _array(rng, x.shape, draw.choice((dtype, dtype, "float64", "int64")))
    one = draw.choice([*range(-x.ndim, x.ndim), 0])
    condition = rng.random(x.shape) < 0.5
    return draw.choice((
        ("concatenate", ([x, y],), _some(draw, axis=[one, None], out=[None])),
        ("concatenate", ((x, y, x), one), {}),
        ("stack", ([x, y],), _some(draw, axis=[0, -1, 1])),
        ("vstack", ([x, y],), {}),
        ("hstack", ((x, y),), {}),
        ("where", (condition, x, y), {}),
        ("where", (condition, x, 0.5), {}),
        ("where", (x,), {}),
        ("where", (x, x, y), {}),
        ("clip", (x, draw.choice((None, 0, -0.5, 1)), draw.choice((None, 1, 0.5))), {}),
        ("clip", (x,), _some(draw, a_min=[0], a_max=[1, None], min=[0], max=[1])),
        ("dot", (x, y), {}),
        ("matmul", (x, y), {}),
        ("array_equal", (x, y), {}),
        ("allclose", (x, x), _some(draw, rtol=[1e-3], equal_nan=[True])),
        ("isclose", (x, y), {}),
        ("take_along_axis", (x, np.zeros(x.shape, np.int64)), {"axis": draw.choice((one, None))}),
        ("outer", (x, y), {}),
        ("linspace", (0.0, x), {"num": 3}),
    ))  # fmt: skip


def _odd(draw, rng, x):
    name = draw.choice((*CHANGES, "others", "others"))
    if name == "others":
        return draw.choice((
            ("round", (x,), _some(draw, decimals=[0, 1], out=[None])),
            ("nonzero", (x,), {}),
            ("count_nonzero", (x,), _some(draw, axis=[0])),
            ("unique", (x,), _some(draw, return_counts=[True])),
            ("zeros_like", (x,), _some(draw, dtype=["float32"])),
            ("full_like", (x, 1), {}),
            ("nan_to_num", (x,), _some(draw, copy=[True, False])),
            ("diff", (x,), {}),
            ("array_split", (x, 2), {}),
            ("atleast_2d", (x,), {}),
            ("real", (x,), {}),
            ("quantile", (x, 0.5), _some(draw, axis=[0])),
            ("nansum", (x,), _some(draw, axis=[0], keepdims=[True])),
            ("histogram", (x,), {"bins": 3}),
        ))  # fmt: skip
    rest = {
        "copyto": (0,), "put": ([0], 1), "fill_diagonal": (0,), "putmask": (x > 0, 0),
        "place": (x > 0, [0]),
    }[name]  # fmt: skip
    return name, (x, *rest), {}
