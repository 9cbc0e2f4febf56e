"""Layers and losses as functions. The losses are where Tensors meet the kernels."""

from __future__ import annotations

import math
import warnings
from functools import cache, wraps
from inspect import signature

import numpy as np

from .. import dtypes, scalar
from ..devices import module, move, of, one
from ..kernels import LOSSES, backend
from ..ops import elementwise, linalg, op, reduce
from ..random import stream
from ..scalar import rules
from ..tape import raw, refuse, run
from ..tensor import FUNCTIONS, Tensor, _on_one_device, _public, apply, is_grad_enabled

relu, sigmoid, tanh, softmax, log_softmax = (
    FUNCTIONS[name] for name in ("relu", "sigmoid", "tanh", "softmax", "log_softmax")
)
linear = _public(linalg.linear)
leaky_relu, elu = _public(elementwise.leaky_relu), _public(elementwise.elu)
silu, softplus = elementwise.silu, _public(elementwise.softplus)


# --- layers -------------------------------------------------------------------------------------


@op(
    lambda g, input: g * (2 / math.sqrt(math.pi)) * elementwise.exp(-(input * input)),
    promote="float",
)
def erf(input):
    """The error function, 2/sqrt(pi) times the integral of exp(-t²) from 0 to input."""
    return backend(input).run_erf(input)


def gelu(input, approximate="none"):
    """input * Φ(input), Φ the standard normal's distribution; "tanh" approximates it.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    if approximate == "none":
        return input * (0.5 * (1 + erf(input * math.sqrt(0.5))))
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)
        return input * (0.5 * (1 + tanh(inner)))
    raise RuntimeError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")


def dropout(input, p=0.5, training=True, *, generator=None):
    """Zero each element with probability p and scale the others by 1 / (1 - p), when training."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    _check_tensors(input=input)
    if not training or p == 0:
        return input
    return input * Tensor.wrap(run(_dropout_mask, raw(input), p, generator))


def _dropout_mask(like, p, generator):
    kept = stream(generator).random(like.shape, np.float32) >= p
    return move(kept.astype(like.dtype) * (1 / (1 - p) if p < 1 else 0.0), of(like))


def embedding(input, weight, padding_idx=None):
    """Rows of weight (V, D) at indices `input` (...) -> (..., D); padding_idx gets no gradient."""
    _check_tensors(input=input, weight=weight)
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"embedding: expected integer indices, got {input.dtype}")
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, got shape {tuple(weight.shape)}")
    run(_check_indices, raw(input), len(weight))
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise AssertionError(
            f"Padding_idx must be within num_embeddings: got {padding_idx} for {len(weight)} rows"
        )
    rows = weight[input]
    if padding_idx is None:
        return rows
    padding = (input == padding_idx % len(weight)).unsqueeze(-1)
    return FUNCTIONS["where"](padding, rows.detach(), rows)


def _check_indices(indices, rows):
    if indices.size and not 0 <= indices.min() <= indices.max() < rows:
        raise IndexError(
            f"embedding: index out of range: indices run from {indices.min()} to {indices.max()}, "
            f"the table has {rows} rows"
        )


def _normalize(input, mean, var, weight, bias, eps):
    out = (input - mean) * (var + eps).rsqrt()
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Zero mean and unit variance over the last dimensions, then * weight + bias.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.
    """
    _check_tensors(input=input)
    n = len(normalized_shape)
    if input.shape[-n:] != tuple(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape "
            f"[*, {', '.join(map(str, normalized_shape))}], but got input of size "
            f"{list(input.shape)}"
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and tuple(x.shape) != tuple(normalized_shape):
            shapes = f"{tuple(normalized_shape)}, got {tuple(x.shape)}"
            raise RuntimeError(f"{name}: expected the shape of normalized_shape, {shapes}")
    dims = tuple(range(-n, 0))
    mean, var = input.mean(dims, True), input.var(dims, correction=0, keepdim=True)
    return _normalize(input, mean, var, weight, bias, eps)


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Zero mean and unit variance per channel of input (N, C, ...), then * weight + bias.

    Training uses the batch's statistics and moves the running ones by `momentum` in place;
    otherwise the running ones are used. Source: Ioffe and Szegedy, "Batch Normalization", 2015.
    """
    _check_tensors(input=input)
    given = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    for name, x in given.items():
        if x is not None and x.array.shape != input.array.shape[1:2]:
            channels = f"{input.shape[1]} elements, one per channel of input"
            raise RuntimeError(f"{name}: expected {channels}, got shape {tuple(x.shape)}")
    dims, shape = (0, *range(2, input.ndim)), (1, -1) + (1,) * (input.ndim - 2)
    if training or running_mean is None:
        n = input.numel() // max(input.shape[1], 1)
        if n == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{list(input.shape)}"
            )
        mean, var = input.mean(dims, True), input.var(dims, correction=0, keepdim=True)
        if running_mean is not None:
            run(_move, running_mean, mean.array, momentum)
            run(_move, running_var, var.array, momentum, n / (n - 1))
    else:
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    weight = None if weight is None else weight.reshape(shape)
    return _normalize(input, mean, var, weight, None if bias is None else bias.reshape(shape), eps)


def _move(running, batch, momentum, scale=1.0):
    """Move a running statistic towards the batch's."""
    running.array[...] += momentum * (batch.reshape(-1) * scale - running.array)
    running.version[0] += 1


def one_hot(tensor, num_classes=-1):
    """Class indices (...) as int64 rows (..., num_classes) with a single 1."""
    _check_tensors(tensor=tensor)
    if not isinstance(num_classes, (int, np.integer)):
        raise TypeError(f"num_classes: expected an integer, got {type(num_classes).__name__}")
    if tensor.dtype.kind not in "iu":
        raise RuntimeError(f"one_hot is only applicable to index tensors, got {tensor.dtype}")
    if num_classes == -1:
        refuse("one_hot needs num_classes, or the shape of its result depends on values")
        if not tensor.numel():
            raise RuntimeError("num_classes: an empty tensor does not tell how many; pass it")
        num_classes = int(tensor.array.max()) + 1
    return Tensor.wrap(run(_one_hot, raw(tensor), num_classes))


def _one_hot(indices, classes):
    if indices.size and not 0 <= indices.min() <= indices.max() < classes:
        raise RuntimeError(
            f"one_hot: class values must be in [0, {classes}), got {indices.min()} to "
            f"{indices.max()}"
        )
    return module(indices).eye(classes, dtype=np.int64)[indices]


# --- losses -------------------------------------------------------------------------------------


def _per_element(g, reduction, count):
    """The gradient of each single value from that of the reduced loss."""
    return g / count if reduction == "mean" else g


def _reduced(total, values, dtype):
    if values is not None:
        return values
    return np.array(total, dtype) if type(total) is float else total


def _slope(g, fused, recompute):
    """The gradient by the input, on arrays: g times the slopes the forward pass left in `fused`.

    They are handed on, not copied, so they serve one backward pass; later ones compute them anew.
    """
    slope = fused.pop() if fused else recompute()
    if g is not one(slope):
        np.multiply(slope, g, out=slope)
    return slope


def _pointwise_op(loss):
    """The operation of a pointwise loss: one kernel pass forward, which leaves slopes as well."""

    def by_input(g, input, target, parameter, reduction, fused):
        if isinstance(g, Tensor):
            slope = loss.reference(input, target, *parameter)[1]
            return slope * _per_element(g, reduction, input.numel())

        return _slope(g, fused, lambda: run(input, target, parameter, reduction, True)[2])

    def by_target(g, input, target, parameter, reduction):
        slope = loss.reference(input, target, *parameter)[2]
        return slope * _per_element(g, reduction, math.prod(input.shape))

    def run(input, target, parameter, reduction, slopes):
        upstream, count = 1.0 if slopes else None, 1.0
        if reduction == "mean":
            count = input.size or math.nan
        extra = parameter[0] if len(parameter) == 1 else parameter or 0.0
        return backend(input).run_pointwise(
            loss, input, target, extra, upstream, reduction == "none", count
        )

    @op(by_input, by_target)
    def forward(input, target, parameter, reduction, fused):
        total, values, slope = run(input, target, parameter, reduction, fused is not None)
        if fused is not None:
            fused.append(slope)
        return _reduced(total, values, input.dtype)

    forward.name = forward.compute.__name__ = loss.__name__.rpartition(".")[2]
    return forward


_OPS = {name: _pointwise_op(loss) for name, loss in LOSSES.items() if name != "cross_entropy"}


def _check_reduction(reduction, size_average=None, reduce=None):
    """The reduction's name; the deprecated arguments are translated as PyTorch does."""
    if size_average is not None or reduce is not None:
        average, reduced = size_average is not False, reduce is not False
        reduction = "none" if not reduced else "mean" if average else "sum"
        warnings.warn(
            "size_average and reduce args will be deprecated, please use "
            f"reduction='{reduction}' instead.",
            stacklevel=3,
        )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction


def _check_tensors(**arguments):
    for name, x in arguments.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(x).__name__}")


def _check_constant(**weights):
    for name, x in weights.items():
        if x is not None and not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a Tensor or None, got {type(x).__name__}")
        if x is not None and x.requires_grad and is_grad_enabled():
            raise RuntimeError(
                f"{name}: a loss is not differentiable with respect to it; detach() it first"
            )


def _check_number(name, x):
    if not isinstance(x, (int, float, np.integer, np.floating)) and getattr(x, "shape", None) != ():
        raise TypeError(f"{name}: expected a number, got {type(x).__name__}")


def _promoted(input, target):
    """Both in their common dtype."""
    if input.array.dtype == target.array.dtype:
        return input, target
    dtype = dtypes.result_type(input.array, target.array)
    return input.to(dtype), target.to(dtype)


def _pointwise(op, input, target, parameter, reduction, same_shape=False):
    """Check, broadcast and promote as PyTorch, then run the kernel."""
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        _check_tensors(input=input, target=target)
    if type(input.array) is not type(target.array):
        input, target = _on_one_device((input, target))
    if input.array.shape != target.array.shape:
        if same_shape:
            raise ValueError(
                f"target: size ({target.shape}) must be the same as the input size ({input.shape})"
            )
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
        try:
            shape = np.broadcast_shapes(input.array.shape, target.array.shape)
        except ValueError as error:
            raise RuntimeError(f"target: {error}") from None
        input, target = input.broadcast_to(shape), target.broadcast_to(shape)
    input, target = _promoted(input, target)
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"input: expected floating point values, got {input.dtype}")
    fused = run(list) if input.requires_grad and is_grad_enabled() else None
    return apply(op, (input, target, parameter, reduction, fused))


def _weighted(values, weight, reduction, by_sum=False):
    """The values times a weight, reduced; "mean" divides by their number or the weight's sum."""
    values = values * weight
    if reduction == "mean" and by_sum:
        return values.sum() / weight.sum(dtype=values.dtype)
    return values if reduction == "none" else getattr(values, reduction)()


def _check_same_size(weight, input):
    _check_tensors(weight=weight)
    if weight.array.shape != input.array.shape:
        raise ValueError(
            f"weight: expected the same size as the input's, {tuple(input.shape)}, got "
            f"{tuple(weight.shape)}"
        )


def loss(function):
    """Decorate a function of two scalars: it becomes a loss of Tensors, with fused kernels.

    function(x, y, *parameters) computes with operators and the functions of `minigrad.scalar` on
    numbers x, y and parameters that have defaults. A parameter whose default is True or False is a
    choice, which an `if` may make; the others are numbers that a kernel is given at each call.

    Returns f(input, target, *parameters, reduction="mean"): floats of any one shape -> () or, with
    reduction "none", that shape; differentiable by both, to any order. The function is called once
    here (and once for each new choice) to write down what it does, and the slopes follow from that.
    TypeError where it cannot be written down: an `if` on x, or a function of another library.
    """
    name = getattr(function, "__name__", type(function).__name__)
    try:
        defaults = {p.name: p.default for p in list(signature(function).parameters.values())[2:]}
        takes_two = len(signature(function).parameters) - len(defaults) == 2
    except (TypeError, ValueError):
        takes_two = False
    if not takes_two:
        raise TypeError(f"loss: expected a function of two scalars and parameters, got {function}")
    for parameter, default in defaults.items():
        if parameter in ("input", "target", "reduction"):
            raise TypeError(f"{name}: its parameter {parameter!r} needs another name")
        if not isinstance(default, (bool, int, float)):
            raise TypeError(f"{name}: expected a number as the default of {parameter!r}")
    choices = tuple(isinstance(default, bool) for default in defaults.values())

    @cache
    def traced(*chosen):
        """The operation, where parameters that are choices are `chosen`."""

        def scalar(x, y, *numbers):
            rest, made = iter(numbers), iter(chosen)
            return function(x, y, *(next(made if choice else rest) for choice in choices))

        return _pointwise_op(rules.derive(name, scalar, len(choices) - len(chosen)))

    traced(*(default for default in defaults.values() if isinstance(default, bool)))
    bind = eval(
        f"lambda input, target, {''.join(f'{p}=0, ' for p in defaults)}reduction='mean': "
        f"(input, target, ({''.join(f'{p}, ' for p in defaults)}), reduction)"
    )
    bind.__defaults__, bind.__qualname__ = (*defaults.values(), "mean"), name

    @wraps(function)
    def call(*args, **options):
        input, target, given, reduction = bind(*args, **options)
        for parameter, x in zip(defaults, given, strict=True):
            _check_number(parameter, x)
        op = traced(*(bool(x) for x, choice in zip(given, choices, strict=True) if choice))
        numbers = tuple(float(x) for x, choice in zip(given, choices, strict=True) if not choice)
        return _pointwise(op, input, target, numbers, _check_reduction(reduction))

    call.__signature__ = signature(bind)
    return call


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)², floats of any one shape -> () or, with reduction "none", that shape.

    weight: of the input's shape, may require a gradient; "mean" then divides by its sum.
    """
    reduction = _check_reduction(reduction, size_average, reduce)
    if weight is None:
        return _pointwise(_OPS["mse"], input, target, (), reduction)
    values = _pointwise(_OPS["mse"], input, target, (), "none")
    _check_same_size(weight, input)
    return _weighted(values, weight, reduction, by_sum=True)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|; the rest as in mse_loss."""
    reduction = _check_reduction(reduction, size_average, reduce)
    if weight is None:
        return _pointwise(_OPS["l1"], input, target, (), reduction)
    values = _pointwise(_OPS["l1"], input, target, (), "none")
    _check_same_size(weight, input)
    return _weighted(values, weight, reduction, by_sum=True)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """d²/(2 beta) where |d| < beta, else |d| - beta/2; d = input - target. beta >= 0; 0 is L1."""
    reduction = _check_reduction(reduction, size_average, reduce)
    _check_number("beta", beta)
    if not beta >= 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta: got {beta}")
    if beta == 0:
        return _pointwise(_OPS["l1"], input, target, (), reduction)
    return _pointwise(_OPS["smooth_l1"], input, target, (float(beta),), reduction)


def _huber(x, y, delta):
    d = x - y
    size = abs(d)
    return scalar.where(size >= delta, delta * (size - 0.5 * delta), 0.5 * d * d)


HUBER = rules.derive("huber", _huber, 1)
_OPS["huber"] = _pointwise_op(HUBER)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """d²/2 where |d| < delta, else delta (|d| - delta/2); d = input - target, delta > 0.

    weight: of the input's shape, may require a gradient; "mean" divides by the number of values.
    Source: Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    _check_number("delta", delta)
    if not delta > 0:
        raise RuntimeError(
            f"huber_loss does not support non-positive values for delta: got {delta}"
        )
    reduction = _check_reduction(reduction)
    if weight is None:
        return _pointwise(_OPS["huber"], input, target, (float(delta),), reduction)
    values = _pointwise(_OPS["huber"], input, target, (float(delta),), "none")
    _check_same_size(weight, input)
    return _weighted(values, weight, reduction)


def _rescaled(values, weight, reduction):
    """The values times a constant weight, broadcast to their shape, reduced, in their dtype."""
    _check_constant(weight=weight)
    return _weighted(values, weight.to(values.dtype).broadcast_to(values.shape), reduction)


def binary_cross_entropy(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """-(y log p + (1 - y) log(1 - p)) of probabilities p = input and targets y in [0, 1].

    input and target have one shape; weight broadcasts to it. The logarithms are at least -100.
    RuntimeError where an input or target lies outside [0, 1]; on a GPU the value is NaN there.
    """
    reduction = _check_reduction(reduction, size_average, reduce)
    each = reduction if weight is None else "none"
    out = _pointwise(_OPS["bce"], input, target, (), each, same_shape=True)
    if type(out.array) is np.ndarray:  # on a GPU a look at it would wait
        run(_check_probabilities, out.array, input.array, target.array)
    return out if weight is None else _rescaled(out, weight, reduction)


def _check_probabilities(out, input, target):
    """Numbers outside [0, 1] always end in NaN: look for the cause."""
    if np.isnan(out.sum()):
        for name, x in (("input", input), ("target", target)):
            outside = ~((x >= 0) & (x <= 1))
            if outside.any():
                position = np.unravel_index(outside.argmax(), outside.shape)
                raise RuntimeError(
                    f"all elements of {name} should be between 0 and 1, got {x[position]} at "
                    f"position {tuple(map(int, position))}"
                )


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """binary_cross_entropy(sigmoid(input), target), exact for large logits.

    input and target have one shape; weight and pos_weight (the positive class's) broadcast to it.
    """
    reduction = _check_reduction(reduction, size_average, reduce)
    _check_tensors(input=input, target=target)
    _check_constant(pos_weight=pos_weight)
    if pos_weight is None:
        parameter = (1.0,)
    elif pos_weight.array.size == 1 and not pos_weight.is_cuda:
        parameter = (run(np.ndarray.item, raw(pos_weight)),)
    else:
        dtype = dtypes.result_type(input.array, target.array)
        parameter = (pos_weight.to(dtype).broadcast_to(input.shape).array,)
    each = reduction if weight is None else "none"
    out = _pointwise(_OPS["bce_with_logits"], input, target, parameter, each, same_shape=True)
    return out if weight is None else _rescaled(out, weight, reduction)


@loss
def log_cosh_loss(x, y):
    """log cosh d, d = input - target: d²/2 near 0, |d| - log 2 far out; slope tanh d.

    The tanh near 0 keeps the digits of a small d; it is clamped, or the second derivative of what
    is not taken far out would be infinite.
    """
    d = x - y
    size, t = abs(d), scalar.tanh(scalar.clamp(d, -1, 1))
    far = size + scalar.log1p(scalar.exp(-2 * size)) - math.log(2)
    return scalar.where(size < 1, -0.5 * scalar.log1p(-t * t), far)


@loss
def quantile_loss(x, y, q=0.5):
    """q d where d = target - input > 0, else (q - 1) d: the pinball loss, least at a q-quantile.

    Source: Koenker and Bassett, "Regression Quantiles", 1978.
    """
    d = y - x
    return scalar.where(d > 0, q * d, (q - 1) * d)


@loss
def poisson_nll_loss(x, y, log_input=True, full=False, eps=1e-8):
    """The Poisson distribution's -log probability of counts `target`, without log(target!).

    input: the logarithm of the rate, exp(input) - target * input; or, with log_input=False, the
    rate, input - target * log(input + eps). full: add Stirling's formula for log(target!), where
    target > 1.
    """
    value = scalar.exp(x) - y * x if log_input else x - y * scalar.log(x + eps)
    if full:
        stirling = y * scalar.log(y) - y + 0.5 * scalar.log(2 * math.pi * y)
        value += scalar.where(y > 1, stirling, 0)
    return value


@loss
def hinge_loss(x, y):
    """max(0, 1 - target * input), targets -1 and 1; slope 0 on the margin."""
    return scalar.relu(1 - y * x)


@loss
def sigmoid_focal_loss(x, y, alpha=0.25, gamma=2.0):
    """Binary cross-entropy of logits, times (1 - p)^gamma, p the probability of the right class.

    Times alpha for target 1 and 1 - alpha for target 0 as well, unless alpha < 0. torchvision's,
    but for the default reduction. Source: Lin et al., "Focal Loss for Dense Object Detection",
    2017.
    """
    wrong = y * scalar.sigmoid(-x) + (1 - y) * scalar.sigmoid(x)
    value = wrong**gamma * (y * scalar.softplus(-x) + (1 - y) * scalar.softplus(x))
    return value * scalar.where(alpha >= 0, alpha * y + (1 - alpha) * (1 - y), 1)


def _class_weights(target, weight, ignore_index, smoothing, shape, dtype):
    """Class indices (N,) as weights of every class in every row, (N, C); False for ignored rows."""
    keep = target != ignore_index
    rows = (target[:, None] == module(target).arange(shape[1])).astype(dtype)
    return _smoothed(rows, weight, smoothing) * keep[:, None], keep


def _smoothed(rows, weight, smoothing):
    """Probabilities (..., C), an array or a Tensor, smoothed and times the classes' weights."""
    if smoothing:
        rows = rows * (1 - smoothing) + smoothing / rows.shape[-1]
    return rows if weight is None else rows * weight


def _run_cross_entropy(input, target, weight, ignore_index, smoothing, reduction, count, slopes):
    loss, keep, kernels = LOSSES["cross_entropy"], None, backend(input)
    options = (1.0 if slopes else None, reduction == "none", count if reduction == "mean" else 1.0)
    if target.ndim == 1 and not smoothing:
        return kernels.run_classes(loss, input, target, weight, ignore_index, *options)
    if target.ndim == 1:
        form = (input.shape, input.dtype)
        target, keep = _class_weights(target, weight, ignore_index, smoothing, *form)
    return kernels.run_weights(loss, input, target, keep, *options)


def _by_logits(g, input, target, weight, ignore_index, smoothing, reduction, count, fused):
    if isinstance(g, Tensor):
        keep = None
        if target.ndim == 1:
            options = (weight, ignore_index, smoothing, input.shape, input.dtype)
            t, keep = _class_weights(getattr(target, "array", target), *options)
            target = Tensor.wrap(t)
        slope = LOSSES["cross_entropy"].reference(input, target)[1]
        if keep is not None:
            slope = FUNCTIONS["where"](Tensor.wrap(keep[:, None]), slope, 0.0)
        g = _per_element(g, reduction, count)
        return slope * (g.unsqueeze(1) if g.ndim else g)

    options = (weight, ignore_index, smoothing, reduction, count)
    g = g[:, None] if g.ndim else g
    return _slope(g, fused, lambda: _run_cross_entropy(input, target, *options, True)[2])


def _by_probabilities(g, input, target, reduction, count):
    g = _per_element(g, reduction, count)
    return -reduce.log_softmax(input, 1) * (g[:, None] if g.ndim else g)


@op(_by_logits, _by_probabilities)
def _cross_entropy(input, target, weight, ignore_index, smoothing, reduction, count, fused):
    options = (weight, ignore_index, smoothing, reduction, count)
    total, values, slope = _run_cross_entropy(input, target, *options, fused is not None)
    if fused is not None:
        fused.append(slope)
    return _reduced(total, values, input.dtype)


_cross_entropy.name = "cross_entropy"


def _check_cross_entropy(input, target, weight, ignore_index, label_smoothing=0.0):
    _check_tensors(input=input, target=target)
    _check_number("label_smoothing", label_smoothing)
    if not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"ignore_index: expected an integer, got {type(ignore_index).__name__}")
    if not -(2**63) <= ignore_index < 2**63:
        raise ValueError(f"ignore_index: expected an integer of 64 bits, got {ignore_index}")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if type(target.array) is not type(input.array):
        _on_one_device((input, target))
    shape, given, kind = input.array.shape, target.array.shape, target.array.dtype.kind
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"input: expected floating point logits, got {input.dtype}")
    if not shape:
        raise RuntimeError("input: expected (C,), (N, C) or (N, C, d1, ...), got a number")
    classes, rows = (shape[1], shape[:1] + shape[2:]) if len(shape) > 1 else (shape[0], ())
    if kind == "f":
        if given != shape:
            raise (ValueError if rows and given[:1] != rows[:1] else RuntimeError)(
                f"target: probabilities must have the input's shape {shape}, got {given}; class "
                "indices must be integers"
            )
    elif given != rows and (len(shape), given) != (1, (1,)):
        raise (ValueError if given[:1] != rows[:1] else RuntimeError)(
            f"target: expected shape {rows} (one class per row) for input of shape {shape}, got "
            f"{given}"
        )
    elif kind == "b":
        raise RuntimeError(f"target: expected class indices or probabilities, got {target.dtype}")
    if weight is not None:
        _check_tensors(weight=weight)
        _on_one_device((input, weight))
        if tuple(weight.shape) != (classes,):
            raise RuntimeError(
                "weight tensor should be defined either for all or no classes: expected shape "
                f"({classes},), got {tuple(weight.shape)}"
            )
        if kind != "f":
            _check_constant(weight=weight)
            if weight.dtype != input.dtype:
                raise RuntimeError(
                    f"weight: expected {input.dtype} as the input, got {weight.dtype}"
                )
    return classes, rows


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """-sum_c q_c log softmax(input)_c along the class dimension.

    input: logits (C,), (N, C) or (N, C, d1, ...). target: class indices, int, of input's shape
    without C, or probabilities of input's shape. weight: (C,), one per class; beside probabilities
    it may require a gradient. "mean" divides by the weights of the target classes that are not
    ignored, or by N (d1 ...) for probabilities.
    Raises IndexError for a class outside [0, C) that is not ignore_index; on a GPU, when a value
    is next read from there.
    """
    reduction = _check_reduction(reduction, size_average, reduce)
    classes, rows = _check_cross_entropy(input, target, weight, ignore_index, label_smoothing)
    if target.array.dtype.kind == "f":
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        target = _smoothed(_classes_last(target, classes), weight, label_smoothing)
        input, target = _promoted(input, target)
        weight, count = None, len(target) or math.nan
    else:
        weight = raw(weight)
        flat, count = run(_checked_classes, raw(target), weight, classes, ignore_index)
        target = Tensor.wrap(flat)
    x = _classes_last(input, classes)
    fused = run(list) if x.requires_grad and is_grad_enabled() else None
    options = (weight, ignore_index, label_smoothing, reduction, count, fused)
    out = apply(_cross_entropy, (x, target, *options))
    return out.reshape(rows) if reduction == "none" else out


def _checked_classes(target, weight, classes, ignore_index):
    """Class indices as a flat int64 array, and the weight of those that are not ignored."""
    flat = target.astype(dtypes.int64, copy=False).reshape(-1)
    try:
        return flat, backend(flat).count_classes(flat, weight, classes, ignore_index)
    except IndexError as error:
        bad = error.args[0]
        position = tuple(map(int, np.unravel_index(bad, target.shape)))
        raise IndexError(
            f"target: class {flat[bad]} at position {position} is out of bounds for {classes} "
            f"classes; expected 0 to {classes - 1}, or ignore_index ({ignore_index})"
        ) from None


def _classes_last(input, classes):
    """(C,), (N, C) or (N, C, d1, ...) -> (rows, C)."""
    rank = input.array.ndim
    if rank > 2:
        input = input.permute(0, *range(2, rank), 1)
    return input if rank == 2 else input.reshape(-1, classes)


def _kept_classes(y, ignore_index):
    """Which rows are not to be ignored, and the classes with 0 for the others'."""
    keep = y != ignore_index
    return keep, np.where(keep, y, 0)


def nll_loss(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
):
    """-weight[y] * input[y] of log-probabilities; shapes and reductions as in cross_entropy."""
    reduction = _check_reduction(reduction, size_average, reduce)
    classes, rows = _check_cross_entropy(input, target, weight, ignore_index)
    if target.dtype.kind == "f":
        raise RuntimeError(f"target: expected class indices, got {target.dtype}")
    w, log_p = raw(weight), _classes_last(input, classes)
    y, count = run(_checked_classes, raw(target), w, classes, ignore_index)
    keep, y = run(_kept_classes, y, ignore_index)
    picked = -log_p[module(y).arange(len(y)), y]
    picked = picked if weight is None else picked * weight[y]
    values = FUNCTIONS["where"](Tensor.wrap(keep), picked, 0.0)
    if reduction == "none":
        return values.reshape(rows)
    total = values.sum()
    return total if reduction == "sum" else (total / count).to(total.dtype)  # float64 on a GPU
