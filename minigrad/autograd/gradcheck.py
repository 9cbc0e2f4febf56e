"""Are the gradients right? Compared with central differences, in float64."""

from __future__ import annotations

import numpy as np

from .graph import grad


class GradcheckError(RuntimeError):
    """A gradient that disagrees with the finite difference, or an input that cannot be checked."""


def _tuple(x):
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True) -> bool:
    """Compare the gradients of func(*inputs) with (f(x + eps) - f(x - eps)) / (2 eps).

    Every float64 input that requires a gradient is checked, element by element, against every
    element of every differentiable output. Returns True, or raises GradcheckError (returns False
    if raise_exception is false) where |analytic - numeric| > atol + rtol |numeric|.
    """
    try:
        _check(func, _tuple(inputs), eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _outputs(func, inputs):
    return [o for o in _tuple(func(*inputs)) if o.array.dtype.kind == "f"]


def _check(func, inputs, eps, atol, rtol):
    checked = [i for i, x in enumerate(inputs) if getattr(x, "requires_grad", False)]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient")
    for i in checked:
        if inputs[i].array.dtype != np.float64:
            raise GradcheckError(
                f"inputs: finite differences need float64, input {i} is {inputs[i].array.dtype}"
            )
    outputs = _outputs(func, inputs)
    wrap = inputs[checked[0]].wrap
    for i in checked:
        numeric = _numeric(func, inputs, i, eps)
        for k, out in enumerate(outputs):
            analytic = np.zeros_like(numeric[k])
            for row in range(out.array.size if out.requires_grad else 0):
                seed = np.zeros(out.array.size)
                seed[row] = 1
                (g,) = grad(
                    out, inputs[i], wrap(seed.reshape(out.array.shape)),
                    retain_graph=True, allow_unused=True,
                )  # fmt: skip
                if g is not None:
                    analytic[row] = g.array.reshape(-1)
            if not np.allclose(analytic, numeric[k], rtol, atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input {i},\n"
                    f"numerical:\n{numeric[k]}\nanalytical:\n{analytic}"
                )


def _numeric(func, inputs, i, eps):
    """d output / d input i by central differences, one (outputs, inputs) matrix per output."""
    columns = []
    for j in range(inputs[i].array.size):
        sides = []
        for step in (eps, -eps):
            moved = inputs[i].array.copy()
            moved.reshape(-1)[j] += step
            x = inputs[i].wrap(moved).requires_grad_()
            results = _outputs(func, (*inputs[:i], x, *inputs[i + 1 :]))
            sides.append([o.array.reshape(-1) for o in results])
        columns.append([(a - b) / (2 * eps) for a, b in zip(*sides, strict=True)])
    if not columns:
        return [np.zeros((o.array.size, 0)) for o in _outputs(func, inputs)]
    return [np.stack(c, 1) for c in zip(*columns, strict=True)]


def gradgradcheck(
    func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True
) -> bool:
    """gradcheck of the gradients themselves: are second derivatives right?

    grad_outputs: the outputs' gradients, random unless given.
    """
    inputs, rng = _tuple(inputs), np.random.default_rng(0)
    outputs = [o for o in _outputs(func, inputs) if o.requires_grad]
    if grad_outputs is None:
        wrap = next(x.wrap for x in inputs if hasattr(x, "wrap"))
        grad_outputs = [wrap(rng.standard_normal(o.array.shape)).requires_grad_() for o in outputs]
    grad_outputs = _tuple(grad_outputs)

    def gradients(*args):
        given, upstream = args[: len(inputs)], args[len(inputs) :]
        wanted = [x for x in given if getattr(x, "requires_grad", False)]
        results = [o for o in _outputs(func, given) if o.requires_grad]
        found = grad(results, wanted, list(upstream), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    return gradcheck(
        gradients, (*inputs, *grad_outputs),
        eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
    )  # fmt: skip
