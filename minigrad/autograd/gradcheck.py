"""Are the gradients right? Compared with finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import grad


class GradcheckError(RuntimeError):
    """A gradient that disagrees with the finite difference, or an input that cannot be checked."""


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _outputs(func, inputs):
    return [o for o in _tuple(func(*inputs)) if o.array.dtype.kind == "f"]


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-6,
    rtol: float = 1e-4, raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Compare the gradients of func(*inputs) with the differences f(x + eps) - f(x) and f(x) -
    f(x - eps), both divided by eps.

    Every float64 input that requires a gradient is checked, element by element, against every
    element of every differentiable output. The two differences are eps |f''| apart where f is
    smooth; at a kink they are the slopes on either side, and between them lie the subgradients.
    Returns True, or raises GradcheckError (returns False if raise_exception is false) where a
    gradient lies outside the two by more than atol + rtol times the larger.
    """
    fault = next(_faults(func, _tuple(inputs), eps, atol, rtol), None)
    if fault and raise_exception:
        raise GradcheckError(fault)
    return fault is None


def _faults(func, inputs, eps, atol, rtol):
    """Yield a description of each gradient that disagrees."""
    checked = [i for i, x in enumerate(inputs) if getattr(x, "requires_grad", False)]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient")
    outputs = _outputs(func, inputs)
    for i in checked:
        if inputs[i].dtype != np.float64:
            yield f"inputs: finite differences need float64, input {i} is {inputs[i].dtype}"
        all_numeric = _numeric(func, inputs, i, outputs, eps)
        for k, (out, sides) in enumerate(zip(outputs, all_numeric, strict=True)):
            analytic = _analytic(out, inputs[i])
            numeric = np.clip(analytic, sides.min(0), sides.max(0))  # the nearest that is right
            slack = atol + rtol * np.abs(sides).max(0)
            if not np.allclose(analytic, numeric, 0, slack, equal_nan=True):
                where = f"output {k} with respect to input {i}"
                found = f"numerical:\n{numeric}\nanalytical:\n{analytic}"
                yield f"Jacobian mismatch for {where},\n{found}"


def _flat(x):
    """The values of a Tensor, on the CPU."""
    return x.detach().cpu().array.reshape(-1)


def _analytic(out, x):
    """d out / d x by the graph, an (elements of out, elements of x) matrix."""
    matrix = np.zeros((out.array.size, x.array.size))
    for i, seed in enumerate(np.eye(len(matrix)) if out.requires_grad else ()):
        seed = x.wrap(seed.reshape(out.array.shape)).to(out.device)
        (g,) = grad(out, x, seed, retain_graph=True, allow_unused=True)
        matrix[i] = 0 if g is None else _flat(g)
    return matrix


def _numeric(func, inputs, i, outputs, eps):
    """d output / d input i by differences below and above: per output, an array (2, out, in)."""

    def moved(j, step):
        array = inputs[i].array.copy()
        array.reshape(-1)[j] += step
        x = inputs[i].wrap(array).requires_grad_()
        return [_flat(o) for o in _outputs(func, (*inputs[:i], x, *inputs[i + 1 :]))]

    found = [np.zeros((2, o.array.size, inputs[i].array.size)) for o in outputs]
    for j in range(inputs[i].array.size):
        points = zip(moved(j, -eps), outputs, moved(j, eps), strict=True)
        for sides, (low, out, high) in zip(found, points, strict=True):
            middle = _flat(out)
            sides[:, :, j] = (middle - low) / eps, (high - middle) / eps
    return found


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, **options: Any
) -> bool:
    """gradcheck of the gradients themselves: are second derivatives right?

    grad_outputs: the outputs' gradients, random unless given; the other options are gradcheck's.
    """
    inputs, rng = _tuple(inputs), np.random.default_rng(0)
    outputs = [o for o in _outputs(func, inputs) if o.requires_grad]
    if grad_outputs is None:
        shapes = [o.array.shape for o in outputs]
        at = outputs[0].device
        grad_outputs = [
            outputs[0].wrap(rng.standard_normal(s)).to(at).requires_grad_() for s in shapes
        ]

    def gradients(*args):
        given, upstream = args[: len(inputs)], args[len(inputs) :]
        wanted = [x for x in given if getattr(x, "requires_grad", False)]
        results = [o for o in _outputs(func, given) if o.requires_grad]
        found = grad(results, wanted, list(upstream), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(gradients, (*inputs, *_tuple(grad_outputs)), **options)
