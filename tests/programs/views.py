"""Views and in-place changes of them: chains of views of one memory, made and changed in the graph,
outside it and while it is off; PyTorch says what each statement gives, or that it is refused.
"""

import numpy as np

NEEDS_TORCH = True
SHORT = 150

# Views, by how many dimensions they need at least; `s` is a random int.
VIEWS = {
    "{x}[:]": (1, lambda x, s: x[:]),
    "{x}[{s}:]": (1, lambda x, s: x[s:]),
    "{x}[0]": (1, lambda x, s: x[0]),
    "{x}[..., -1]": (1, lambda x, s: x[..., -1]),
    "{x}[None, ::2]": (1, lambda x, s: x[None, ::2]),
    "{x}[:, 1:]": (2, lambda x, s: x[:, 1:]),
    "{x}.t()": (2, lambda x, s: x if x.ndim > 2 else x.t()),
    "{x}.mT": (2, lambda x, s: x.mT),
    "{x}.transpose(0, -1)": (1, lambda x, s: x.transpose(0, -1)),
    "{x}.permute(reversed)": (0, lambda x, s: x.permute(tuple(range(x.ndim))[::-1])),
    "{x}.view(-1)": (0, lambda x, s: x.view(-1)),
    "{x}.reshape(1, -1)": (0, lambda x, s: x.reshape(1, -1)),
    "{x}.flatten()": (1, lambda x, s: x.flatten()),
    "{x}.unsqueeze({s})": (1, lambda x, s: x.unsqueeze(s)),
    "{x}.squeeze()": (0, lambda x, s: x.squeeze()),
    "{x}.expand(2, ...)": (0, lambda x, s: x.expand(2, *x.shape)),
    "{x}.narrow(0, {s}, 1)": (1, lambda x, s: x.narrow(0, s, 1)),
    "{x}.unbind()[0]": (1, lambda x, s: x.unbind()[0]),
    "{x}.unbind(-1)[-1]": (1, lambda x, s: x.unbind(-1)[-1]),
    "next(iter({x}))": (1, lambda x, s: next(iter(x))),
    "{x}.split(1)[0]": (1, lambda x, s: x.split(1)[0]),
    "{x}.split([1, ...], -1)[0]": (1, lambda x, s: x.split([1, x.shape[-1] - 1], -1)[0]),
    "{x}.chunk(2)[-1]": (1, lambda x, s: x.chunk(2)[-1]),
    "{x}.detach()": (0, lambda x, s: x.detach()),
}
CHANGES = {
    "{x}.add_({y})": lambda x, y, n: x.add_(y),
    "{x}.copy_({y})": lambda x, y, n: x.copy_(y),
    "{x}[...] = {y}": lambda x, y, n: x.__setitem__(..., y),
    "{x}[0] = {y}": lambda x, y, n: x.__setitem__(0, y),
    "{x}[-1] = {n}": lambda x, y, n: x.__setitem__(-1, n),
    "{x}[..., :1] = {n}": lambda x, y, n: x.__setitem__((..., slice(1)), n),
    "{x} -= {y}": lambda x, y, n: x.__isub__(y),
    "{x} *= {n}": lambda x, y, n: x.__imul__(n),
    "{x}.neg_()": lambda x, y, n: x.neg_(),
    "{x}.zero_()": lambda x, y, n: x.zero_(),
    "{x}.fill_({n})": lambda x, y, n: x.fill_(n),
}
RESULTS = {
    "({x} * {n}).contiguous()": lambda x, y, n: (x * n).contiguous(),
    "({x} + {y}).contiguous()": lambda x, y, n: (x + y).contiguous(),
    "{x}.clone().contiguous()": lambda x, y, n: x.clone().contiguous(),
}


class Run:
    """A library, and what the program's names mean in it."""

    def __init__(self, library):
        self.m, self.names = library, {}

    def do(self, name, function, recorded):
        """The statement's result under a name, or the kind of error it raises."""
        mode = self.m.enable_grad() if recorded else self.m.no_grad()
        try:
            with mode:
                result = function(self.m, self.names)
        except (RuntimeError, IndexError, TypeError, ValueError, StopIteration) as error:
            return type(error).__name__, str(error)
        if name is not None:
            self.names[name] = result
        return "fine", ""


def attempt(draw) -> None:
    """One program, statement by statement in both libraries; then flags, values and gradients."""
    import torch

    import minigrad

    ours, theirs, text = Run(minigrad), Run(torch), []
    for number in range(draw.randint(4, 14)):
        name, statement, function = _statement(draw, ours.names, theirs.names, number)
        recorded = draw.random() < 0.8 or "detach" in statement
        text.append(f"{'' if recorded else 'with no_grad(): '}{statement}")
        found, expected = (run.do(name, function, recorded) for run in (ours, theirs))
        if "one element of it stands for several" in found[1]:
            return  # PyTorch may fill such memory, which is refused here
        if found[0] == "fine" and expected[1].startswith("a leaf Variable"):
            return  # it has not noticed yet that the base is in the graph; after a look it does
        if "being modified inplace" in found[1] and expected[0] == "IndexError":
            return  # wrong in two ways
        made = theirs.names.get(name)
        if not (made is None or made._is_view() or _reaches_leaf(made) == made.requires_grad):
            return  # PyTorch's flag is True, and no gradient arrives anywhere
        _check(found[0] == expected[0], text, f"{found} instead of {expected}")
    for name in ours.names:
        _compare(name, ours.names[name], theirs.names[name], text)
    weights = [draw.randint(-3, 3) for _ in ours.names]
    found, expected = (
        run.do(None, lambda m, names: _backward(names, weights), True) for run in (ours, theirs)
    )
    _check(found[0] == expected[0], text, f"{found} instead of {expected}")
    if found[0] != "fine":
        return  # what PyTorch had collected by then stays, in an order of its own
    for name in ours.names:
        found, expected = (_gradient(run.names[name]) for run in (ours, theirs))
        _check(found == expected, text, f"{name}.grad: {found} instead of {expected}")


def _gradient(t):
    try:
        return None if not t.is_leaf or t.grad is None else t.grad.tolist()
    except RuntimeError:  # a view of which it cannot be said what it is
        return None


def _statement(draw, names, theirs, number):
    """A name (or None), the statement's text, and a function of a library and its names."""
    new, n = f"t{number}", draw.randint(2, 5)
    kind = draw.choices(["leaf", "view", "change", "result", "flag"], [2, 5, 6, 2, 1])[0]
    if kind == "leaf" or len(names) < 2:
        shape, needs = draw.choice([(2, 3), (3,), (2, 2)]), draw.random() < 0.5
        data = np.array([float(draw.randint(-3, 3)) for _ in range(np.prod(shape))]).reshape(shape)
        return (
            new,
            f"{new} = tensor({data.tolist()}, requires_grad={needs})",
            lambda m, names: m.tensor(data.tolist(), dtype=m.float64, requires_grad=needs),
        )
    x = draw.choice(list(names))
    y = draw.choice([t for t in names if names[t].requires_grad == theirs[t].requires_grad])
    rank, node = names[x].ndim, names[x]._node
    if kind == "view" and names[x].view_of and node is not None and node.op is None:
        kind = "result"  # a view that is a leaf of its own: PyTorch drops gradients of views of it
    if kind == "view":
        form = draw.choice([form for form, (least, _) in VIEWS.items() if rank >= least])
        s = draw.randint(0, 1)
        view = VIEWS[form][1]
        return new, f"{new} = {form.format(x=x, s=s)}", lambda m, names: view(names[x], s)
    if kind == "flag":
        needed = theirs[x].requires_grad  # the flag would have no effect, now or for ever
        if needed and any(t.view_of and t.view_of[0] is names[x] for t in names.values()):
            return None, f"{x}.requires_grad", lambda m, names: names[x].requires_grad
        call = "detach_" if needed else draw.choice(["requires_grad_", "detach_"])
        return None, f"{x}.{call}()", lambda m, names: getattr(names[x], call)()
    forms = RESULTS if kind == "result" else CHANGES
    form = draw.choice([form for form in forms if rank or "[" not in form or "[...]" in form])
    function, operand = forms[form], f"{y}.clone()"
    return (
        new if kind == "result" else None,
        f"{f'{new} = ' if kind == 'result' else ''}{form.format(x=x, y=operand, n=n)}",
        lambda m, names: function(names[x], names[y].clone(), n),
    )


def _check(holds, text, problem):
    assert holds, "\n".join([*text, "", problem])


def _compare(name, ours, theirs, text):
    _check(ours.tolist() == theirs.tolist(), text, f"{name}: {ours} instead of {theirs}")
    try:
        leaf, needed = theirs.is_leaf, _reaches_leaf(theirs)
    except RuntimeError:  # it cannot be said
        if not ours.view_of[0].requires_grad:
            return  # a view of what gets no gradient here
        _check(ours.requires_grad, text, f"{name}.requires_grad is not True")
        try:
            ours.grad_fn  # noqa: B018
        except RuntimeError:
            return
        raise AssertionError("\n".join([*text, "", f"{name}.grad_fn does not raise"])) from None
    flags = ours.requires_grad, ours.is_leaf, ours.grad_fn is None
    expected = needed, leaf or not needed, leaf or not needed
    _check(flags == expected, text, f"{name}: flags {flags} instead of {expected}")
    try:
        ours.numpy()
        _check(not needed, text, f"{name}.numpy() does not raise")
    except RuntimeError:
        _check(needed, text, f"{name}.numpy() raises")
    assert repr(ours)


def _reaches_leaf(t):
    """Whether a gradient would arrive anywhere. PyTorch's flag is True of some views whose gradient
    it drops (README, differences)."""
    if not t.requires_grad:
        return False
    stack, seen = [(t * 1).grad_fn], set()
    while stack:
        node = stack.pop()
        if type(node).__name__ == "AccumulateGrad":
            return True
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def _backward(names, weights):
    total = sum((t * float(w)).sum() for t, w in zip(names.values(), weights, strict=True))
    total.backward()
