"""Optimizer updates as scalar math, one parameter element at a time.

A rule gives step(p, g, a, b, c, numbers) -> p, a, b, c: the parameter, its gradient, up to three
states, of which unused ones are 0, and the step's numbers: float64, a plain tuple, which takes a
call 0.4 µs less than a named one. Names are given to them in the rule, where that costs nothing.
What numbers alone decide is among them: in float32, 1 - 0.99999 would keep three digits.
"""

from math import sqrt
from typing import NamedTuple

from .namespace import Math, Point, Real


class SGDNumbers(NamedTuple):
    """What `sgd` wants to know of a step."""

    lr: float
    weight_decay: float
    momentum: float
    gain: float  # 1 - dampening; 1 on the first step
    nesterov: float  # 0 or 1


def sgd(real: Real, math: Math) -> Point:
    """a: the momentum buffer.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    2013, in PyTorch's form.
    """

    def step(p, g, buffer, b, c, numbers):
        n = SGDNumbers(*numbers)
        momentum = real(n.momentum)
        g += real(n.weight_decay) * p
        buffer = momentum * buffer + real(n.gain) * g
        d = g + momentum * buffer if n.nesterov != 0 else buffer
        return p - real(n.lr) * d, buffer, b, c

    return step


class AdamNumbers(NamedTuple):
    """What `adam` wants to know of step t."""

    step_size: float  # lr / (1 - beta1^t)
    beta1: float
    gain1: float  # 1 - beta1
    beta2: float
    gain2: float  # 1 - beta2
    correction: float  # 1 / sqrt(1 - beta2^t)
    eps: float
    l2: float  # weight decay of Adam, added to the gradient
    shrink: float  # weight decay of AdamW, 1 - lr * decay, by which the parameter is multiplied


def adam(real: Real, math: Math) -> Point:
    """a, b: the running means of g and g²; the first starts from its closer end, as PyTorch's.
    c: the largest b so far, if amsgrad.

    Sources: Kingma and Ba, "Adam", 2014; Loshchilov and Hutter, "Decoupled Weight Decay
    Regularization", 2017 (AdamW); Reddi et al., "On the Convergence of Adam and Beyond", 2018.
    """

    def step(p, g, mean, mean_of_squares, top, numbers):
        n = AdamNumbers(*numbers)
        g += real(n.l2) * p
        gap = g - mean
        mean = mean + real(n.gain1) * gap if n.gain1 < 0.5 else g - real(n.beta1) * gap
        mean_of_squares = real(n.beta2) * mean_of_squares + real(n.gain2) * g * g
        top = top if top > mean_of_squares else mean_of_squares  # top is 0 without amsgrad
        spread = sqrt(top) * real(n.correction) + real(n.eps)
        return p * real(n.shrink) - real(n.step_size) * mean / spread, mean, mean_of_squares, top

    return step


class RMSpropNumbers(NamedTuple):
    """What `rmsprop` wants to know of a step."""

    lr: float
    alpha: float
    gain: float  # 1 - alpha
    eps: float
    weight_decay: float
    momentum: float
    centered: float  # 0 or 1


def rmsprop(real: Real, math: Math) -> Point:
    """a: the running mean of g²; b: of g, if centered; c: the momentum buffer.

    Source: Hinton, "Neural Networks for Machine Learning", lecture 6, 2012.
    """
    zero = real(0)

    def step(p, g, mean_of_squares, mean, buffer, numbers):
        n = RMSpropNumbers(*numbers)
        g += real(n.weight_decay) * p
        mean_of_squares = real(n.alpha) * mean_of_squares + real(n.gain) * g * g
        gap = g - mean
        mean = mean + real(n.gain) * gap if n.gain < 0.5 else g - real(n.alpha) * gap
        spread = mean_of_squares - (mean * mean if n.centered != 0 else zero)
        buffer = real(n.momentum) * buffer + g / (sqrt(spread) + real(n.eps))
        return p - real(n.lr) * buffer, mean_of_squares, mean, buffer

    return step
