"""Which dtype comes out of an operation on two dtypes: run unchanged on PyTorch and on minigrad.

reference/promotion.json stores PyTorch's answers, reference/make_promotion.py writes them. An
answer is one letter: a dtype's, or the exception's.
"""

import operator

LETTERS = {
    "float32": "f", "float64": "d", "int64": "l", "int32": "i", "int16": "h", "int8": "b",
    "uint8": "B", "bool": "?", "RuntimeError": "R", "NotImplementedError": "R", "TypeError": "T",
    "float16": "e",
}  # fmt: skip
DTYPES = list(LETTERS)[:8]


def _each(*names):
    return {name: (lambda m, x, name=name: getattr(m, name)(x)) for name in names}


def _along(*names):
    return {name: (lambda m, x, name=name: getattr(m, name)(x, 0)) for name in names}


def _pair(*names):
    return {name: (lambda m, x, y, name=name: getattr(operator, name)(x, y)) for name in names}


def _on_tensors(name):
    """A function that PyTorch defines for two tensors only: numbers become 0-d tensors."""

    def run(m, x, y):
        return getattr(m, name)(x, y if hasattr(y, "dtype") else m.tensor(y))

    return {name: run}


UNARY = {
    "pos": lambda m, x: +x,
    **_each(
        "neg", "abs", "sign", "square", "relu", "floor", "ceil", "round", "trunc", "isnan", "isinf",
        "isfinite", "logical_not", "bitwise_not", "clone", "zeros_like", "ones_like",
        "exp", "log", "log1p", "expm1", "log2", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tan",
        "tanh", "sigmoid", "sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin",
        "any", "all", "var", "std", "norm",
    ),
    **_along("cumsum", "softmax", "log_softmax", "logsumexp"),
    "sum_float64": lambda m, x: m.sum(x, dtype=m.float64),
    "sum_int32": lambda m, x: m.sum(x, dtype=m.int32),
    "mean_float64": lambda m, x: m.mean(x, dtype=m.float64),
    "prod_int16": lambda m, x: m.prod(x, dtype=m.int16),
    "cumsum_float64": lambda m, x: m.cumsum(x, 0, dtype=m.float64),
    "softmax_float64": lambda m, x: m.softmax(x, 0, dtype=m.float64),
    "clamp": lambda m, x: m.clamp(x, 0, 1),
    "clamp_float": lambda m, x: m.clamp(x, min=0.5),
}  # fmt: skip
BINARY = {
    **_pair("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor"),
    **_pair("eq", "ne", "lt", "le", "gt", "ge", "iadd", "isub", "imul", "itruediv", "ipow"),
    "radd": lambda m, x, y: y + x,
    "rsub": lambda m, x, y: y - x,
    "rtruediv": lambda m, x, y: y / x,
    "rpow": lambda m, x, y: y**x,
    "add_alpha": lambda m, x, y: m.add(x, y, alpha=2),
    "div_trunc": lambda m, x, y: m.div(x, y, rounding_mode="trunc"),
    "div_floor": lambda m, x, y: m.div(x, y, rounding_mode="floor"),
    "where": lambda m, x, y: m.where(m.tensor([True, False]), x, y),
    "where_reversed": lambda m, x, y: m.where(m.tensor([True, False]), y, x),
    "masked_fill": lambda m, x, y: m.masked_fill(x, m.tensor([True, False]), y),
    "copy_": lambda m, x, y: x.copy_(y) if hasattr(y, "dtype") else x.fill_(y),
    "result_type": lambda m, x, y: m.result_type(x, y),
    **_on_tensors("maximum"), **_on_tensors("minimum"), **_on_tensors("logical_and"),
    "cat": lambda m, x, y: m.cat([x, y]) if hasattr(y, "dtype") else x,
    "stack": lambda m, x, y: m.stack([x, y]) if getattr(y, "shape", 0) == x.shape else x,
}  # fmt: skip
NUMBERS = {"bool": True, "int": 1, "float": 1.0}


def operands(m):
    """Tensors of every dtype, 1-d then 0-d."""
    dtypes = [getattr(m, name) for name in DTYPES]
    return [m.ones(2, dtype=d) for d in dtypes] + [m.tensor(1, dtype=d) for d in dtypes]


def letter(run, *args):
    try:
        out = run(*args)
        dtype = str(getattr(out, "dtype", out)).removeprefix("torch.")
    except Exception as error:
        dtype = type(error).__name__
    return LETTERS[dtype]


def table(m) -> dict[str, list[str]]:
    """Per operation, a row for each left operand with a letter for each right one."""
    found = {}
    for name, run in UNARY.items():
        found[name] = ["".join(letter(run, m, x) for x in operands(m))]
    for name, run in BINARY.items():
        found[name] = [
            "".join(letter(run, m, operands(m)[i], y) for y in (*operands(m), *NUMBERS.values()))
            for i in range(2 * len(DTYPES))
        ]
    return found
