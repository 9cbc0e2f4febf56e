"""Softmax cross-entropy of a row of logits x against weights t, one per class:

value sum_c t_c (log_s - gap_c), gap_c = x_c - max x, s = sum_c e^gap_c;
slope by x_c: softmax(x)_c sum(t) - t_c.

A class index y with class weights w and label smoothing ε over C classes is
t_c = w_c ((1 - ε) [c = y] + ε/C); a row of probabilities q is t_c = w_c ((1 - ε) q_c + ε/C).
Source of the smoothing: Szegedy et al., "Rethinking the Inception Architecture", 2016.
"""

from ..namespace import Array, Math, Point, Real, namespace


def reference(x: Array, t: Array) -> tuple[Array, Array, Array]:
    """x (N, C) logits, t (N, C) weights -> value (N,), its derivatives by x and by t (N, C)."""
    xp = namespace(x)
    gap = x - xp.amax(x, axis=1, keepdims=True)
    log_p = gap - xp.log(xp.sum(xp.exp(gap), axis=1, keepdims=True))
    slope = xp.exp(log_p) * xp.sum(t, axis=1, keepdims=True) - t
    return -xp.sum(t * log_p, axis=1), slope, -log_p


def rule(real: Real, math: Math) -> Point:
    """Scalar math of one class: point(gap, e, log_s, total / s, t) -> value, slope by x_c.

    e is e^gap; the sums are the row loop's.
    """

    def point(gap, e, log_s, share, t):
        return t * (log_s - gap), e * share - t

    return point
