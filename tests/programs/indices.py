"""Keys of every kind, read, differentiated, assigned to and written through, against PyTorch.

A key is drawn as parts that both libraries are given in their own types: ints, NumPy's integers,
0-d tensors and arrays, slices with any of these for a bound, None, Ellipsis, bools, lists, tuples,
ranges, index tensors and arrays of every rank and layout, masks of one dimension and more, as bools
and as bytes. What PyTorch refuses must be refused with the same type, or be one of the differences
that README lists.
"""

import warnings

import numpy as np

import minigrad as mg

SHORT = 400
NEEDS_TORCH = True
# What PyTorch says where we do otherwise: it reads a list of lists as a tuple, does not write a
# number at a mask of bytes, nor values of another dtype at arrays.
OTHERWISE = ("non-tuple sequence", "masked_fill_ only supports boolean masks", "Index put requires")


def attempt(draw):
    import torch

    shape = tuple(draw.choice((1, 2, 3, 3, 4, 0)) for _ in range(draw.randrange(4)))
    array = np.asarray(np.random.default_rng(draw.randrange(100)).random(shape) + 0.5)
    parts = _parts(draw, shape)
    one = len(parts) == 1 and draw.random() < 0.5
    shapes = draw.randrange(3), draw.random() < 0.3, draw.random() < 0.5, draw.randrange(1000)
    action = draw.choice((_read, _read, _assign, _assign, _assign_plain, _fill, _constant_assign))

    def run(m):
        # A list's text is the same in both; tensors are made for each.
        key = tuple(_made(m, part) for part in parts)
        key = key[0] if one else key
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = action(m, array, key, shapes)
            except Exception as error:
                found = error
        return found, [str(w.message) for w in caught]

    ours, said = run(mg)
    theirs, said_there = run(torch)
    text = f"{action.__name__[1:]} of {shape} at {parts if not one else parts[0]}: {shapes}"
    if any(known in said for known in OTHERWISE for said in (*said_there, str(theirs))):
        return
    if "out of bounds" in str(ours) and isinstance(theirs, list) and _nothing(torch, array, parts):
        return  # PyTorch looks at no position where nothing is picked
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        same = isinstance(ours, Exception) and isinstance(theirs, type(ours))
        assert same, f"{text}: got {ours!r}, PyTorch {theirs!r}"
        return
    assert bool(said) == bool(said_there), f"{text}: said {said}, PyTorch {said_there}"
    assert len(ours) == len(theirs), text
    for x, y in zip(ours, theirs, strict=True):
        assert x.shape == y.shape, f"{text}: shape {x.shape}, PyTorch {y.shape}"
        np.testing.assert_allclose(x, y, rtol=1e-12, err_msg=text)


def _nothing(m, array, parts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return not m.tensor(array)[tuple(_made(m, part) for part in parts)].numel()


# --- keys -----------------------------------------------------------------------------------------


def _parts(draw, shape):
    """Descriptions of parts: (kind, value), kind a key of MAKERS."""
    parts, dim, used = [], 0, False
    while True:
        choice = draw.random()
        n = shape[dim] if dim < len(shape) else 1
        if choice < 0.12:
            parts.append(("plain", None))
        elif choice < 0.2 and not used:
            used = True
            parts.append(("plain", ...))
        elif choice < 0.27:
            parts.append((draw.choice(("plain", "tensor")), draw.random() < 0.7))
        elif dim >= len(shape) and draw.random() < 0.95:
            break
        elif choice < 0.45:
            parts.append((draw.choice(NUMBERS), _position(draw, n)))
            dim += 1
        elif choice < 0.6:
            bounds = [
                None if draw.random() < 0.3 else (draw.choice(NUMBERS), draw.randint(-n - 1, n + 1))
                for _ in range(2)
            ]
            step = None if draw.random() < 0.5 else (draw.choice(NUMBERS), draw.randint(1, 3))
            parts.append(("slice", (*bounds, step)))
            dim += 1
        elif choice < 0.85:
            size = tuple(draw.choice((2, 2, 1, 3, 0)) for _ in range(draw.choice((1, 1, 1, 2, 3))))
            size = draw.choice(((2,), size))
            value = np.array([_position(draw, n) for _ in range(int(np.prod(size)))], np.int64)
            kinds = LISTS if len(size) == 1 else ARRAYS
            parts.append((draw.choice(kinds), value.reshape(size)))
            dim += 1
        else:
            rank = draw.choice((1, 1, 2)) if dim + 1 < len(shape) else 1
            size = shape[dim : dim + rank]
            size = size if draw.random() < 0.97 else (*size[:-1], 5)
            value = np.array([draw.random() < 0.5 for _ in range(int(np.prod(size)))], bool)
            value = value.reshape(size)
            kinds = ("tensor", "byte") if size else ("tensor",)
            if len(size) == 1:  # of others PyTorch counts one dimension beside an Ellipsis
                kinds += ("array", "list") if size[0] else ("array",)
            parts.append((draw.choice(kinds), value))
            dim += rank
        if draw.random() < 0.15:
            break
    return parts


def _position(draw, n):
    if not n or draw.random() < 0.01:
        return draw.choice((n, -n - 1))
    return draw.randrange(-n, n)


def _slice(m, bounds):
    return slice(*(None if b is None else _made(m, b) for b in bounds))


def _transposed(m, value):
    index = m.tensor(np.ascontiguousarray(value.T)).permute(*range(value.ndim)[::-1])
    # Of values for one position PyTorch keeps the last in the order of the index's memory.
    return index if m is mg else index.contiguous()


MAKERS = {
    "plain": lambda m, v: v,
    "numpy": lambda m, v: np.int64(v),
    "short": lambda m, v: np.int16(v),
    "tensor": lambda m, v: m.tensor(v),
    "int32": lambda m, v: m.tensor(v, dtype=m.int32),
    "array": lambda m, v: np.array(v),
    "slice": _slice,
    "list": lambda m, v: v.tolist(),
    "tuple": lambda m, v: tuple(v.tolist()),
    "numbers": lambda m, v: [np.int64(i) for i in v],
    "transposed": _transposed,
    "backwards": lambda m, v: np.ascontiguousarray(v[..., ::-1])[..., ::-1].copy(),
    "byte": lambda m, v: m.tensor(v.astype(np.uint8)),
}
NUMBERS = ("plain", "plain", "numpy", "short", "tensor", "int32", "array")
ARRAYS = ("tensor", "int32", "array", "transposed", "backwards")
LISTS = (*ARRAYS, "list", "list", "tuple", "numbers")


def _made(m, part):
    kind, value = part
    return MAKERS[kind](m, value)


# --- what is done with them -----------------------------------------------------------------------


def _numbers(*tensors):
    return [np.array(t.detach().numpy()) for t in tensors]


def _weights(m, t, seed=3):
    return m.tensor(np.random.default_rng(seed).random(tuple(t.shape)))


def _read(m, array, key, shapes):
    x = m.tensor(array, requires_grad=True)
    out = x[key]
    (out * out * _weights(m, out)).sum().backward()
    return _numbers(out, x.grad)


def _value(m, array, key, shapes):
    """A value that fits x[key]: a number, of its shape, or of one that broadcasts to it."""
    form, leading, one, seed = shapes
    rng = np.random.default_rng(seed)
    selected = tuple(m.tensor(array)[key].shape)
    if form == 0:
        shape = ()
    elif form == 1:
        shape = tuple(1 if one and rng.random() < 0.3 else n for n in selected)
    else:
        shape = selected[len(selected) // 2 :]
    return np.asarray(np.random.default_rng(5).random((1, 1)[: 2 * leading] + shape))


def _repeats(array, key):
    where = np.arange(array.size).reshape(array.shape)
    found = mg.tensor(where)[_of_ours(key)].numpy().ravel()
    return len(np.unique(found)) < len(found)


def _of_ours(key):
    """A key of PyTorch's with our tensors."""
    if type(key) is tuple:
        return tuple(map(_of_ours, key))
    return mg.tensor(key.numpy()) if type(key).__name__ == "Tensor" and not _ours(key) else key


def _ours(x):
    return isinstance(x, mg.Tensor)


def _assign(m, array, key, shapes):
    w = m.tensor(_value(m, array, key, shapes), requires_grad=True)
    x = m.tensor(array, requires_grad=True)

    def assigned(w):
        out = x * 1
        out[key] = w * 2
        return out

    out = assigned(w)
    (out * out * _weights(m, out)).sum().backward()
    if key is False or _repeats(array, key):  # PyTorch does nothing; or counts what was replaced
        assert m is not mg or not w.numel() or mg.autograd.gradcheck(assigned, (w,))
        return _numbers(out, x.grad)
    return _numbers(out, x.grad, w.grad)


def _assign_plain(m, array, key, shapes):
    out = m.tensor(array)
    out[key] = m.tensor(_value(m, array, key, shapes))
    return _numbers(out)


def _constant_assign(m, array, key, shapes):
    """A value that requires a gradient into a tensor that does not; or a number."""
    out = m.tensor(array)
    if shapes[2]:
        out[key] = 2.5
        return _numbers(out)
    w = m.tensor(_value(m, array, key, shapes), requires_grad=True)
    out[key] = w
    if not out.requires_grad:
        return _numbers(out)
    (out * _weights(m, out)).sum().backward()
    return _numbers(out) if key is False or _repeats(array, key) else _numbers(out, w.grad)


def _fill(m, array, key, shapes):
    """What is written into x[key] is seen in x where that is a view, and only there."""
    x = m.tensor(array)
    y = x[key]
    y.fill_(9.0)
    w = m.tensor(2.0, dtype=m.float64, requires_grad=True)
    base = m.tensor(array) * w
    view = base[key]
    view.mul_(3.0)
    (base * _weights(m, base)).sum().backward()
    return _numbers(x, y, base, w.grad)
