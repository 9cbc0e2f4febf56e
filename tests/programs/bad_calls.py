"""Layers, optimizers and schedulers given anything: PyTorch's value, or a sentence.

A program draws a constructor, puts odd values in place of some arguments, and calls what comes out
with an odd input. Either there is a value, PyTorch's where that has one, or an exception of a plain
kind whose text is none of those with which Python, NumPy or Numba trip over a value.
"""

import copy
import math
import warnings

import numpy as np

import minigrad as mg

SHORT = 400
NEEDS_TORCH = True

ODD = (
    None, "a", "", True, -1, 0, 2, 3, 5, 2.0, 2.5, -0.5, math.nan, math.inf, 1e300, 2**70, (), (2,),
    [3], [2, "a"], {}, {"a": 1}, 1j, b"a", object, len, np.int64(2), np.float32(1), np.ones(2),
    np.array("a"),
)  # fmt: skip
LAYERS = {
    "Linear": (3, 2, True), "Embedding": (5, 2, None), "LayerNorm": (3, 1e-5, True, True),
    "BatchNorm1d": (3, 1e-5, 0.1, True, True), "Dropout": (0.0,), "Flatten": (1, -1),
    "Softmax": (1,), "LogSoftmax": (1,), "LeakyReLU": (0.01,), "ELU": (1.0,), "GELU": ("none",),
    "Softplus": (1.0, 20.0), "ReLU": (), "Tanh": (), "Sigmoid": (), "SiLU": (), "Identity": (),
}  # fmt: skip
OPTIMIZERS = {
    "SGD": ("lr", "momentum", "dampening", "weight_decay"),
    "Adam": ("lr", "betas", "eps", "weight_decay"),
    "AdamW": ("lr", "betas", "eps", "weight_decay"),
    "RMSprop": ("lr", "alpha", "eps", "weight_decay", "momentum"),
}
SCHEDULERS = {
    "StepLR": ("step_size", "gamma"), "MultiStepLR": ("milestones", "gamma"),
    "ExponentialLR": ("gamma",), "CosineAnnealingLR": ("T_max", "eta_min"),
    "LambdaLR": ("lr_lambda",),
    "ReduceLROnPlateau": (
        "factor", "patience", "threshold", "cooldown", "min_lr", "eps", "mode", "threshold_mode",
    ),
}  # fmt: skip
STUMBLES = (
    "not iterable", "not supported between", "unsupported operand", "has no attribute", "ufunc",
    "cannot unpack", "object is not", "can't multiply sequence", "must be real number",
    "missing_keys", "Cannot determine Numba", "unhashable", "not subscriptable", "_registered",
)  # fmt: skip


def inputs(m):
    return {
        "rows": m.ones(2, 3), "row": m.ones(3), "images": m.ones(2, 3, 4), "number": m.tensor(1.0),
        "wide": m.ones(2, 5), "empty": m.ones(0, 3), "double": m.ones(2, 3, dtype=m.float64),
        "indices": m.tensor([[1, 0], [2, 2]]), "bools": m.ones(2, 3) > 0, "none": None,
        "list": [1.0, 2.0, 3.0], "string": "a", "float": 2.0,
    }  # fmt: skip


def attempt(draw):
    import torch

    kind = draw.choice(("layer", "layer", "optimizer", "scheduler"))
    if kind == "layer":
        name = draw.choice(list(LAYERS))
        arguments = list(LAYERS[name])
        for i in range(len(arguments)):
            if draw.random() < 0.3:
                arguments[i] = draw.choice(ODD)
        key = draw.choice(list(inputs(mg)))
        text = f"nn.{name}{tuple(arguments)}({key})"

        def run(m):
            layer = getattr(m.nn, name)(*copy.deepcopy(arguments))
            with m.no_grad():
                if hasattr(layer, "weight") and layer.weight is not None:
                    layer.weight.fill_(0.5)
                if getattr(layer, "bias", None) is not None:
                    layer.bias.fill_(0.25)
            return layer(inputs(m)[key])

    else:
        names = OPTIMIZERS if kind == "optimizer" else SCHEDULERS
        name = draw.choice(list(names))
        options = {
            n: draw.choice(ODD)
            for n in draw.sample(names[name], min(draw.randint(1, 2), len(names[name])))
        }
        text = f"optim.{name}({options})"

        def run(m):
            p = m.ones(2).requires_grad_()
            p.grad = m.ones(2)
            given = copy.deepcopy(options)
            sgd = m.optim.SGD([p], lr=0.1)
            if kind == "optimizer":
                sgd = getattr(m.optim, name)([p], **given)
                sgd.step()
                return p
            made = getattr(m.optim.lr_scheduler, name)(sgd, **given)
            for _ in range(3):
                made.step(*([1.0] if name == "ReduceLROnPlateau" else []))
            return m.tensor(sgd.param_groups[0]["lr"])

    ours, theirs = (outcome(run, m) for m in (mg, torch))
    if isinstance(ours, Exception):
        plain = type(ours).__module__ == "builtins" and not isinstance(
            ours, (AttributeError, LookupError, NameError)
        )
        plain = plain or type(ours) is IndexError
        words = str(ours)
        assert plain, f"{ours!r}, PyTorch {theirs!r}\n{text}"
        assert len(words) > 15, f"{ours!r}, PyTorch {theirs!r}\n{text}"
        stumbled = [stumble for stumble in STUMBLES if stumble in words]
        assert not stumbled, f"{ours!r}, PyTorch {theirs!r}\n{text}"
    elif hasattr(ours, "shape") and not isinstance(theirs, Exception):
        assert tuple(ours.shape) == tuple(theirs.shape), f"{ours}, PyTorch {theirs}\n{text}"
        close = np.allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5, equal_nan=True
        )
        assert close, f"{ours}, PyTorch {theirs}\n{text}"


def outcome(run, m):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return run(m)
        except Exception as error:
            return error
