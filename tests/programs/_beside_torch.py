"""A program of tensors run here and in PyTorch: values, gradients, and gradients of gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

import minigrad as mg
from minigrad.generated import define

Program = Callable  # program(m, F, *tensors) -> a tensor, with m either library
# An answer that is no fault of the program: what either library may refuse to do.
REFUSALS = (RuntimeError, IndexError, ValueError, TypeError, AssertionError)
TOLERANCE = {"float32": 2e-4, "float64": 1e-8}


class Refused(Exception):
    """The library does not take the program."""


def program(lines: list[str], arguments: str) -> tuple[str, Program]:
    """The text of a program that returns what its last line makes, and the function."""
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def program(m, F, {arguments}):\n{body}    return {lines[-1].split(' = ')[0]}\n"
    return source, define("program", source, {})


def array_of(x: object) -> np.ndarray | None:
    """A tensor of either library as an array; None as it is."""
    return None if x is None else np.array(x.detach().numpy(force=True))


def derivatives(library, run: Program, arrays: list[np.ndarray], rng, order: int) -> list:
    """(what it is, the array or None) of the value and every derivative up to `order`.

    The gradients come twice over, from one graph: by two passes of backward() and by grad() with
    create_graph, each in the direction of a random upstream gradient.
    """

    def tensor(a):
        return library.tensor(a, requires_grad=a.dtype.kind == "f")

    def upstream(t):
        shape = tuple(t.shape)
        return library.tensor(rng.choice([-1.5, -1.0, 0.5, 1.0, 2.0], shape)).to(t.dtype)

    inputs = [tensor(a) for a in arrays]
    try:
        out = run(library, library.nn.functional, *inputs)
    except REFUSALS as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    found = [("the value", array_of(out))]
    if not out.requires_grad or not np.isfinite(found[0][1]).all():
        return found
    wanted = [x for x in inputs if x.requires_grad]
    g = upstream(out) if out.numel() != 1 or rng.random() < 0.5 else None
    for times in ("once", "twice"):
        out.backward(g if g is None else g.clone(), retain_graph=True)
        found += [(f"grad {k}, {times}", array_of(x.grad)) for k, x in enumerate(wanted)]
    for n in range(1, order + 1):
        options = {"create_graph": True, "allow_unused": True}
        try:
            results = library.autograd.grad(out, wanted, g, **options)
        except RuntimeError:
            if library is mg:
                raise
            break  # PyTorch has no derivative of that order
        found += [(f"derivative {n} by {k}", array_of(d)) for k, d in enumerate(results)]
        directions = [upstream(x) for x in wanted]
        terms = zip(results, directions, strict=True)
        terms = [(d * v).sum().double() for d, v in terms if d is not None and d.requires_grad]
        if not terms:
            break
        out, g = sum(terms), None
    return found


def difference(got, want, name: str, dtype: str) -> str | None:
    """What is wrong about an array of ours, if anything is, beside PyTorch's."""
    if want is None:  # a sum that happens to be constant may have a derivative of 0 here
        return (
            None
            if got is None or np.allclose(got, 0, 0, TOLERANCE[dtype])
            else f"{got} where PyTorch has None"
        )
    if got is None:
        return f"None where PyTorch has {want}"
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype} {got.shape} where PyTorch has {want.dtype} {want.shape}"
    if got.dtype.kind != "f":
        return None if (got == want).all() else f"{got} where PyTorch has {want}"
    left = np.isfinite(want)
    finite = np.abs(want[np.isfinite(want)])
    tolerance = TOLERANCE[dtype]
    scale = max(1.0, finite.max()) if finite.size else 1.0
    with np.errstate(all="ignore"):
        near = np.isclose(got, want, tolerance, tolerance * scale)
    return None if near[left].all() else f"{got} where PyTorch has {want}"


def compare(source: str, run: Program, arrays: list[np.ndarray], seed: int, order: int) -> None:
    """AssertionError, with the program's text, unless minigrad does what PyTorch does."""
    import torch

    given = "".join(f"\n    {a.dtype} {a.shape}: {a.tolist()}" for a in arrays)
    text = f"\n{source}  of{given}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of losses that broadcast, of means of nothing
        try:
            theirs = derivatives(torch, run, arrays, np.random.default_rng(seed), order)
        except Refused as refusal:
            theirs = refusal
        try:
            ours = derivatives(mg, run, arrays, np.random.default_rng(seed), order)
        except Refused as refusal:
            ours = refusal
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}{text}") from error
    if "Expected floating point type for target" in str(theirs):
        return  # class indices for logits of shape (1,): 1 class
    if isinstance(ours, Refused) != isinstance(theirs, Refused):
        raise AssertionError(
            f"ours: {ours if isinstance(ours, Refused) else 'runs'}, "
            f"PyTorch: {theirs if isinstance(theirs, Refused) else 'runs'}{text}"
        )
    if isinstance(ours, Refused):
        return
    single = "float" in source.replace("float64", "") or any(a.dtype == "float32" for a in arrays)
    dtype = "float32" if single else "float64"
    for (name, got), (_, want) in zip(ours, theirs, strict=False):
        wrong = difference(got, want, name, dtype)
        assert wrong is None, f"{name}: {wrong}{text}"
