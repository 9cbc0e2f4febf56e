"""Neurons, layers and perceptrons of Values, as micrograd has them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from .value import Value, weighted_sums


class Module:
    """What has parameters."""

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        return []


class Neuron(Module):
    """b + w[0] x[0] + w[1] x[1] + ..., through a ReLU if `nonlin`.

    Weights are drawn from Python's `random`, uniform in [-1, 1]; the bias is 0.
    """

    def __init__(self, nin: int, nonlin: bool = True):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin

    def __call__(self, x: Sequence[Value | float]) -> Value:
        """x: as many Values or numbers as there are weights."""
        return _together([self], x)[0]

    def parameters(self) -> list[Value]:
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{'ReLU' if self.nonlin else 'Linear'}Neuron({len(self.w)})"


def _together(neurons: Sequence[Neuron], x: Sequence[Value | float]) -> list[Value]:
    """What each of the neurons makes of x."""
    inputs: list[Any] = [xi if hasattr(xi, "relu") else Value(xi) for xi in x]
    for n in neurons:
        if len(n.w) != len(x):
            raise ValueError(f"x: expected {len(n.w)} numbers, one per weight, got {len(x)}")
    sums = weighted_sums([n.w for n in neurons], [n.b for n in neurons], inputs)
    return [act.relu() if n.nonlin else act for n, act in zip(neurons, sums, strict=True)]


class Layer(Module):
    """`nout` neurons over the same `nin` inputs; gives a Value if `nout` is 1, else a list."""

    def __init__(self, nin: int, nout: int, **kwargs: bool):
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x: Sequence[Value | float]) -> Any:
        out = _together(self.neurons, x)
        return out[0] if len(out) == 1 else out

    def parameters(self) -> list[Value]:
        return [p for n in self.neurons for p in n.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):
    """Layers of `nouts` neurons each, the last one linear."""

    def __init__(self, nin: int, nouts: Sequence[int]):
        sizes = [nin, *nouts]
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != len(nouts) - 1) for i in range(len(nouts))
        ]

    def __call__(self, x: Sequence[Value | float]) -> Any:
        out: Any = x
        for layer in self.layers:
            out = layer(out)
        return out

    def parameters(self) -> list[Value]:
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"
