"""Every loss with every option, for the stored reference; run(m, input, ...) as in cases.py."""

from itertools import product

import numpy as np

from helpers.cases import Case

REDUCTIONS = ("none", "mean", "sum")


def _losses():
    for reduction in REDUCTIONS:
        r = {"reduction": reduction}
        pointwise = {
            "mse": ("mse_loss", {}),
            "l1": ("l1_loss", {}),
            "smooth_l1": ("smooth_l1_loss", {}),
            "smooth_l1_beta_0.3": ("smooth_l1_loss", {"beta": 0.3}),
            "smooth_l1_beta_0": ("smooth_l1_loss", {"beta": 0.0}),
            "huber_0.7": ("huber_loss", {"delta": 0.7}),
        }
        for name, (function, options) in pointwise.items():
            options = options | r
            yield Case(f"{name}-{reduction}", _call(function, options), ((3, 5), (3, 5)))
            yield Case(
                f"{name}-ties-{reduction}",
                _call(function, options),
                smooth=False,
                values=[[0.0, 1.0, 1.5, -0.3, 2.0, 0.7], [0.0, 0.0, 1.5, 0.0, 3.0, 0.0]],
            )
        yield Case(
            f"bce-{reduction}", _call("binary_cross_entropy", r), ((3, 5), (3, 5)), 0.05, 0.95
        )
        yield Case(
            f"bce-edges-{reduction}",
            _call("binary_cross_entropy", r),
            smooth=False,
            values=[[0.0, 1.0, 0.0, 1.0, 1e-9, 0.5], [0.0, 1.0, 1.0, 0.0, 1.0, 0.25]],
        )
        yield Case(
            f"bce-weight-{reduction}",
            lambda m, x, y, r=r: m.nn.functional.binary_cross_entropy(
                x, y, weight=m.tensor([0.5, 2.0, 1.0, 0.0, 3.0], dtype=x.dtype), **r
            ),
            ((3, 5), (3, 5)),
            0.05,
            0.95,
        )
        for weighted, positive in product((False, True), (None, "number", "classes")):
            yield Case(
                f"bce_with_logits-{weighted}-{positive}-{reduction}",
                _with_logits(weighted, positive, r),
                ((3, 5), (3, 5)),
                -3.0,
                3.0,
            )
        yield Case(
            f"bce_with_logits-large-{reduction}",
            _call("binary_cross_entropy_with_logits", r),
            smooth=False,
            values=[[1e4, -1e4, 100.0, -100.0, 0.0, 40.0], [1.0, 0.0, 0.0, 1.0, 0.5, 0.3]],
        )
        yield from _cross_entropies(reduction)


def _call(function, options):
    return lambda m, x, y: getattr(m.nn.functional, function)(x, y, **options)


def _with_logits(weighted, positive, options):
    def run(m, x, y):
        weight = m.tensor([[0.5], [2.0], [1.0]], dtype=x.dtype) if weighted else None
        pos = {
            None: None,
            "number": m.tensor(2.5, dtype=x.dtype),
            "classes": m.tensor([0.5, 2.0, 1.0, 0.0, 3.0], dtype=x.dtype),
        }[positive]
        function = m.nn.functional.binary_cross_entropy_with_logits
        return function(x, y, weight=weight, pos_weight=pos, **options)

    return run


SHAPES = {"rows": (6, 4), "one": (4,), "image": (2, 4, 3), "volume": (2, 4, 1, 3, 2)}


def _cross_entropies(reduction):
    for (name, shape), weighted, smoothing in product(SHAPES.items(), (False, True), (0.0, 0.2)):
        for ignored in (False, True):
            yield Case(
                f"cross_entropy-{name}-{weighted}-{smoothing}-{ignored}-{reduction}",
                _classes(shape, weighted, smoothing, ignored, reduction),
                (shape,),
            )
        yield Case(
            f"cross_entropy-{name}-probabilities-{weighted}-{smoothing}-{reduction}",
            _probabilities(weighted, smoothing, reduction),
            (shape, shape),
            0.1,
            1.0,
        )
    for weighted, ignored in product((False, True), (False, True)):
        yield Case(
            f"nll-{weighted}-{ignored}-{reduction}",
            _classes((6, 4), weighted, None, ignored, reduction),
            ((6, 4),),
        )


def _class_weight(m, x, weighted):
    return m.tensor([0.5, 2.0, 1.0, 3.0], dtype=x.dtype) if weighted else None


def _classes(shape, weighted, smoothing, ignored, reduction):
    """Class indices; with `ignored`, class 2 is left out. smoothing None: nll_loss."""
    rows = shape[:1] + shape[2:] if len(shape) > 1 else ()
    target = np.array(np.arange(np.prod(rows, dtype=int)) * 3 % 4).reshape(rows)
    if not rows:
        target = np.array(1)

    def run(m, x):
        options = {"weight": _class_weight(m, x, weighted), "reduction": reduction}
        options |= {"ignore_index": 2} if ignored else {}
        y = m.tensor(target)
        if smoothing is None:
            return m.nn.functional.nll_loss(x.log_softmax(1), y, **options)
        return m.nn.functional.cross_entropy(x, y, label_smoothing=smoothing, **options)

    return run


def _probabilities(weighted, smoothing, reduction):
    def run(m, x, q):
        return m.nn.functional.cross_entropy(
            x, q, _class_weight(m, x, weighted), label_smoothing=smoothing, reduction=reduction
        )

    return run


LOSS_CASES = list(_losses())
