"""The grid of loss options: one case is a choice from every axis at once, run as in cases.py.

`draw(loss, pick)` makes a case, a dict, with whatever picks one of a list: Hypothesis in the live
comparison, a seeded generator for the corpus in reference/parity.npz.
"""

import json
import math

import numpy as np

from helpers import REFERENCE
from helpers.layouts import LAYOUTS, MORE_LAYOUTS

CORPUS = REFERENCE / "parity.npz"
STORED_PER_LOSS = 500

ELEMENTWISE = {
    "same": lambda shape: shape,
    "last": lambda shape: shape[-1:],
    "number": lambda _: (),
}
SAME = {"same": ELEMENTWISE["same"]}
CLASSES = {"classes": lambda shape: shape[min(1, len(shape) - 1) :][:1]}
# By loss: the shapes its weights may have, and its other options.
POINTWISE = {
    "mse_loss": ({"weight": SAME}, {}),
    "l1_loss": ({"weight": SAME}, {}),
    "smooth_l1_loss": ({}, {"beta": (1.0, 0.5, 0.0, 2.0)}),
    "huber_loss": ({"weight": SAME}, {"delta": (1.0, 0.5, 2.0)}),
    "binary_cross_entropy": ({"weight": ELEMENTWISE}, {}),
    "binary_cross_entropy_with_logits": ({"weight": ELEMENTWISE, "pos_weight": ELEMENTWISE}, {}),
}
IGNORE = (-100, 0, 2, 255)
CLASSWISE = {
    "nll_loss": ({"weight": CLASSES}, {"ignore_index": IGNORE}),
    "cross_entropy": (
        {"weight": CLASSES},
        {"ignore_index": IGNORE, "label_smoothing": (0.0, 0.1, 1.0)},
    ),
}
LOSSES = POINTWISE | CLASSWISE
SHAPES = ((1,), (5,), (70,), (0,), (3, 4), (0, 4), (2, 3, 4), (3, 1, 2, 2), (2, 3, 2, 1, 2))
# 4 classes in columns, 40 in rows, 1 with nothing to choose.
CLASS_SHAPES = ((4,), (40,), (6, 4), (3, 40), (3, 1), (0, 4), (2, 4, 3), (2, 4, 0), (2, 40, 1, 2),
                (2, 4, 1, 3, 2))  # fmt: skip
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
TARGETS = {
    "mse_loss": ("same", "same", "float64", "int64"),
    "l1_loss": ("same", "same", "float64", "int64"),
    "smooth_l1_loss": ("same", "same", "float64", "int64"),
    "huber_loss": ("same", "same", "float64", "int64"),
    "binary_cross_entropy": ("same",),
    "binary_cross_entropy_with_logits": ("same", "same", "float64", "int64"),
    "nll_loss": INTEGERS,
    "cross_entropy": (*INTEGERS, "same", "same", "float64"),
}
ALL_LAYOUTS = LAYOUTS | MORE_LAYOUTS


def draw(loss, pick):
    """A case of one loss; pick(choices) gives one of a sequence."""
    weights, options = LOSSES[loss]
    case = {"loss": loss, "seed": pick(range(2**16)), "dtype": pick(("float32", "float64"))}
    case["shape"] = pick(CLASS_SHAPES if loss in CLASSWISE else SHAPES)
    case["target"] = pick(TARGETS[loss])
    case["ties"] = pick((False, True))
    case["weights"] = {name: pick((None, *kinds)) for name, kinds in weights.items()}
    case["options"] = {"reduction": pick(("none", "mean", "sum"))}
    if loss == "cross_entropy" and case["target"] not in INTEGERS:  # which no index goes with
        options = options | {"ignore_index": (-100,) * 8 + IGNORE}
    case["options"] |= {name: pick(choices) for name, choices in options.items()}
    if loss in CLASSWISE:
        case["ignored"] = pick((0.0, 0.3, 1.0))
    names = ["input", "target", *(name for name, kind in case["weights"].items() if kind)]
    case["layouts"] = {name: pick(tuple(ALL_LAYOUTS)) for name in names}
    case["needs"] = [name for name in names if pick(_needs(case, name))]
    return case


def _needs(case, name):
    """Whether a gradient is asked for: no, or rarely, where PyTorch refuses it."""
    floats = case["target"] in ("same", "float64")
    if name == "target" and not floats:
        return (False,)
    constant = case["loss"].startswith("binary") or (case["loss"] in CLASSWISE and not floats)
    return (False,) * 9 + (True,) if "weight" in name and constant else (False, True)


def drawn(loss, number):
    """Case `number` of a loss in the corpus."""
    rng = np.random.default_rng([number, *loss.encode()])
    return draw(loss, lambda choices: choices[rng.integers(len(choices))])


def stored():
    """The corpus: pairs of a case and its outcome, in the order of drawing."""
    with np.load(CORPUS) as file:
        outcomes, values = json.loads(str(file["outcomes"])), file["values"]
    at = 0
    for name, shapes in outcomes:
        loss, number = name.rsplit("-", 1)
        outcome = shapes
        if isinstance(shapes, dict):
            outcome = {}
            for key, shape in shapes.items():
                outcome[key] = values[at : at + math.prod(shape)].reshape(shape)
                at += math.prod(shape)
        yield drawn(loss, int(number)), outcome


# --- a case's arrays ------------------------------------------------------------------------------


def arrays(case):
    """Name -> array, in its layout: input, target and the weights the case has."""
    rng = np.random.default_rng(case["seed"])
    shape, dtype, loss = case["shape"], np.dtype(case["dtype"]), case["loss"]
    kind = dtype if case["target"] == "same" else np.dtype(case["target"])
    x = _input(rng, loss, shape, case["ties"]).astype(dtype)
    if kind.kind == "f" or loss in POINTWISE:
        y = _target(rng, case, x).astype(kind)
    else:
        y = _classes(rng, case).astype(kind)
    found = {"input": x, "target": y}
    for name, form in case["weights"].items():
        if form:
            size = LOSSES[loss][0][name][form](shape)
            found[name] = (rng.uniform(0.2, 3, size) * (rng.random(size) < 0.9)).astype(dtype)
    return {
        name: ALL_LAYOUTS[case["layouts"][name]](a) if a.ndim else np.array(a)
        for name, a in found.items()
    }


def _input(rng, loss, shape, ties):
    if loss == "binary_cross_entropy":
        x = rng.uniform(0.02, 0.98, shape)
        return np.where(rng.random(shape) < 0.3 * ties, np.round(x), x)
    x = rng.standard_normal(shape) * rng.choice([0.1, 1.0, 4.0])
    if loss == "nll_loss":
        return -np.abs(x)
    return np.round(x * 2) / 2 if ties else x


def _target(rng, case, x):
    """Numbers near the input, some of them exactly at a kink; or probabilities."""
    loss, shape = case["loss"], case["shape"]
    if loss not in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        y = rng.random(shape)
        if case["ties"]:
            y = np.round(x if loss == "binary_cross_entropy" else y)
        return y
    if case["ties"]:
        width = case["options"].get("beta", case["options"].get("delta", 1.0))
        return x + width * rng.integers(-2, 3, shape)
    return x + rng.standard_normal(shape) * rng.choice([0.1, 1.0, 10.0])


def _classes(rng, case):
    shape, ignore = case["shape"], case["options"]["ignore_index"]
    classes, rows = CLASSES["classes"](shape)[0], shape[:1] + shape[2:] if len(shape) > 1 else ()
    y = rng.integers(classes, size=rows)
    held = np.iinfo(case["target"])
    if held.min <= ignore <= held.max:
        y = np.where(rng.random(rows) < case["ignored"], ignore, y)
    return np.asarray(y)


def upstream(case, shape):
    return np.random.default_rng(case["seed"] + 1).standard_normal(shape)


# --- running it -----------------------------------------------------------------------------------


def call(m, case, tensors):
    """The loss of tensors by name, on PyTorch or minigrad."""
    return getattr(m.nn.functional, case["loss"])(**tensors, **case["options"])


def by_torch(torch, case):
    """PyTorch's outcome in float64: {"out": array, name: gradient} or the exception's name."""
    tensors = {}
    for name, a in arrays(case).items():
        indices = case["loss"] in CLASSWISE and a.dtype.kind in "iu"
        wide = np.array(a, np.int64 if indices else np.float64, order="C")
        tensors[name] = torch.tensor(wide, requires_grad=name in case["needs"])
    try:
        out = call(torch, case, tensors)
        if case["needs"]:
            out.backward(torch.tensor(upstream(case, tuple(out.shape))))
    except Exception as error:
        return type(error).__name__
    grads = {name: tensors[name].grad.numpy() for name in case["needs"]}
    return {"out": out.detach().numpy(), **grads}
