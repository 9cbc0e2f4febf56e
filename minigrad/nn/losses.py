"""The losses as modules. Formulas, shapes, options and errors: see the function of each."""

from inspect import signature
from operator import attrgetter

from . import functional as F
from .layers import Functional


class _Loss(Functional):
    """Takes the options that follow `input` and `target` in the function; weights become buffers.

    The deprecated size_average and reduce are translated once, here.
    """

    def __init_subclass__(cls, function=None):
        if function is not None:  # else a user's subclass of one of ours
            options = {p.name: p.default for p in list(signature(function).parameters.values())[2:]}
            super().__init_subclass__(function, **options)
            cls.values = attrgetter(*options)  # a tuple of them, in the function's order

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        deprecated = [vars(self).get(name) for name in ("size_average", "reduce")]
        self.reduction = F._check_reduction(self.reduction, *deprecated)
        self.size_average = self.reduce = None
        for name in ("weight", "pos_weight"):
            if name in self._options:
                self.register_buffer(name, vars(self).pop(name))

    def forward(self, input, target):
        return self.function(input, target, *self.values(self))

    def extra_repr(self):
        return ""


class L1Loss(_Loss, function=F.l1_loss):
    """|x - y|. Robust to outliers; the slope jumps at 0."""


class MSELoss(_Loss, function=F.mse_loss):
    """(x - y)². Smooth; far-off predictions dominate."""


class SmoothL1Loss(_Loss, function=F.smooth_l1_loss):
    """Quadratic where |x - y| < beta, linear beyond."""


class HuberLoss(_Loss, function=F.huber_loss):
    """delta times Smooth L1 with beta = delta."""


class PoissonNLLLoss(_Loss, function=F.poisson_nll_loss):
    """The negative log-likelihood of counts, from rates or their logarithms."""


class BCELoss(_Loss, function=F.binary_cross_entropy):
    """Binary cross-entropy of probabilities, as a sigmoid gives them."""


class BCEWithLogitsLoss(_Loss, function=F.binary_cross_entropy_with_logits):
    """Binary cross-entropy of logits: the sigmoid is included."""


class CrossEntropyLoss(_Loss, function=F.cross_entropy):
    """Softmax cross-entropy of logits against class indices or probabilities."""


class NLLLoss(_Loss, function=F.nll_loss):
    """The negative log-likelihood of log-probabilities, as LogSoftmax gives them."""
