"""Optimizer updates as scalar math, one parameter element at a time.

A rule gives step(p, g, a, b, c, h) -> p, a, b, c: the parameter, its gradient, up to three states
and the step's numbers `h` (float64, cast once outside the loop). Unused states are passed as 0.
"""

from math import sqrt


def sgd(real, math):
    """h: lr, weight_decay, momentum, 1 - dampening (1 on the first step), nesterov (0 or 1).

    a: the momentum buffer. Source: Sutskever et al., "On the importance of initialization and
    momentum in deep learning", 2013, in PyTorch's form.
    """

    def step(p, g, a, b, c, h):
        lr, decay, momentum, take = real(h[0]), real(h[1]), real(h[2]), real(h[3])
        g += decay * p
        a = momentum * a + take * g
        d = g + momentum * a if h[4] != 0 else a
        return p - lr * d, a, b, c

    return step


def adam(real, math):
    """h: lr / (1 - beta1^t), beta1, beta2, 1 / sqrt(1 - beta2^t), eps, L2 decay, 1 - lr * decay.

    a, b: the running means of g and g². Sources: Kingma and Ba, "Adam", 2014; Loshchilov and
    Hutter, "Decoupled Weight Decay Regularization", 2017 (AdamW: the last number instead of L2).
    """
    one = real(1)

    def step(p, g, a, b, c, h):
        size, beta1, beta2, correction = real(h[0]), real(h[1]), real(h[2]), real(h[3])
        g += real(h[5]) * p
        a += (one - beta1) * (g - a)
        b = beta2 * b + (one - beta2) * g * g
        return p * real(h[6]) - size * a / (sqrt(b) * correction + real(h[4])), a, b, c

    return step


def rmsprop(real, math):
    """h: lr, alpha, eps, weight_decay, momentum, centered (0 or 1).

    a: the running mean of g²; b: of g, if centered; c: the momentum buffer.
    Source: Hinton, "Neural Networks for Machine Learning", lecture 6, 2012.
    """
    one, zero = real(1), real(0)

    def step(p, g, a, b, c, h):
        lr, alpha = real(h[0]), real(h[1])
        g += real(h[3]) * p
        a = alpha * a + (one - alpha) * g * g
        b += (one - alpha) * (g - b)
        spread = a - (b * b if h[5] != 0 else zero)
        c = real(h[4]) * c + g / (sqrt(spread) + real(h[2]))
        return p - lr * c, a, b, c

    return step
