"""Layers and losses as functions, under PyTorch's names."""

from ..loss import *
from .activations import *
from .dropouts import dropout
from .embeddings import embedding, one_hot
from .linears import linear
from .normalizations import batch_norm, layer_norm

__all__ = [
    "HUBER", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "cross_entropy", "dropout", "elu", "embedding", "erf", "gelu", "hinge_loss", "huber_loss",
    "l1_loss", "layer_norm", "leaky_relu", "linear", "log_cosh_loss", "log_softmax", "loss",
    "mse_loss", "nll_loss", "one_hot", "poisson_nll_loss", "quantile_loss", "relu", "sigmoid",
    "sigmoid_focal_loss", "silu", "smooth_l1_loss", "softmax", "softplus", "tanh",
]  # fmt: skip
