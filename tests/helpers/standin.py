"""A stand-in for CuPy and for the GPU's kernels, so that the tests can run without a GPU.

Its arrays live in NumPy's memory, but behave as CuPy's 14 do where that matters here: they are no
`np.ndarray`, refuse to become or to meet one, answer NumPy's functions where CuPy has such a
function with such arguments, and reduce to 0-d arrays. `syncs` counts what would wait for the GPU.
"""

import inspect
import types
from importlib.machinery import ModuleSpec

import numpy as np

from minigrad.kernels import cpu

syncs = 0


def _wait():
    global syncs
    syncs += 1


class _Device:
    id = 0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, id=0):
        assert id == 0

    def __int__(self):
        return 0

    def __repr__(self):
        return "<CUDA Device 0>"

    def synchronize(self):
        _wait()


class _Flags:
    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


# NumPy's functions that CuPy answers here, with the arguments CuPy's own take.
_SIGNATURES = {
    "amax": "a, axis=None, out=None, keepdims=False",
    "broadcast_to": "array, shape",
    "clip": "a, a_min, a_max, out=None",
    "concatenate": "tup, axis=0, out=None, *, dtype=None, casting=0",
    "copy": "a, order='K'",
    "dot": "a, b, out=None",
    "empty_like": "prototype, dtype=None, order='K', subok=None, shape=None",
    "expand_dims": "a, axis",
    "flip": "a, axis=None",
    "full_like": "a, fill_value, dtype=None, order='K', subok=None, shape=None",
    "linalg.norm": "x, ord=None, axis=None, keepdims=False",
    "may_share_memory": "a, b, max_work=None",
    "ones_like": "a, dtype=None, order='K', subok=None, shape=None",
    "ravel": "a, order='C'",
    "roll": "a, shift, axis=None",
    "round": "a, decimals=0, out=None",
    "shares_memory": "a, b, max_work=None",
    "stack": "tup, axis=0, out=None, *, dtype=None, casting=0",
    "sum": "a, axis=None, dtype=None, out=None, keepdims=False",
    "all": "a, axis=None, out=None, keepdims=False",
    "tile": "A, reps",
    "tril": "m, k=0",
    "triu": "m, k=0",
    "where": "condition, x=None, y=None",
    "zeros_like": "a, dtype=None, order='K', subok=None, shape=None",
}
_SIGNATURES = {k: inspect.signature(eval(f"lambda {v}: 0")) for k, v in _SIGNATURES.items()}
_UFUNCS = """ add subtract multiply divide floor_divide remainder power negative positive
absolute sign exp log log1p expm1 log2 sqrt square reciprocal sin cos tan sinh cosh tanh maximum
minimum floor ceil trunc rint equal not_equal less less_equal greater greater_equal logical_and
logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert isnan isinf isfinite
matmul """.replace("\n", " ")


def _inside(x):
    """The NumPy arrays in an argument; TypeError for one that came as such."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(map(_inside, x))
    return x


def _outside(x, base=None):
    """NumPy's results as arrays of ours; those of a view know what they are a view of."""
    if isinstance(x, (np.ndarray, np.generic)):
        return ndarray._of(np.asarray(x), base)
    return x


class ndarray:
    __array_priority__ = 100

    def __init__(self, shape, dtype=float):
        self._host, self.base = np.empty(shape, dtype), None

    @classmethod
    def _of(cls, host, base=None):
        self = cls.__new__(cls)
        self._host = host
        shared = (
            base is not None
            and host.base is not None
            and (np.may_share_memory(host, base._host) or not host.size)
        )
        self.base = (base if base.base is None else base.base) if shared else None
        return self

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: _Flags(self._host.flags))
    device = property(lambda self: _Device())
    T = property(lambda self: self.transpose())
    data = property(lambda self: types.SimpleNamespace(ptr=self._host.ctypes.data, device_id=0))

    @property
    def __cuda_array_interface__(self):
        return {**self._host.__array_interface__, "version": 3, "stream": 1}

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **options):
        return self._host.__dlpack__(max_version=options.get("max_version"))

    # --- leaving the GPU

    def get(self):
        _wait()
        return self._host.copy()

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self):
        return self.get().tobytes()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return self.get().__index__()

    def __repr__(self):
        return repr(self.get())

    def __format__(self, spec):
        return format(self.get()[()], spec)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __reduce__(self):
        return array, (self.get(),)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # --- NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        ours = (ndarray, np.ndarray, np.generic)
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, ours) for x in inputs):
            return NotImplemented  # as CuPy's, which let others have their say
        if (
            method != "__call__"
            or f" {ufunc.__name__} " not in _UFUNCS
            or options.keys() - {"dtype"}
        ):
            return NotImplemented
        if ufunc in (np.floor, np.ceil, np.trunc) and inputs[0].dtype.kind != "f":
            options["dtype"] = np.float64  # CuPy has them for floats alone
        if out is not None:
            ufunc(*_inside(inputs), out=_inside(out), **options)
            return out[0]
        return _outside(ufunc(*_inside(inputs), **options))

    def __array_function__(self, function, types, args, kwargs):
        name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
        signature = _SIGNATURES.get(name)
        if signature is None:
            return NotImplemented
        signature.bind(*args, **kwargs)
        if name == "where" and any(isinstance(x, np.ndarray) for x in args):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        host = {k: _inside(v) for k, v in kwargs.items()}
        result = function(*map(_inside, args), **host)
        out = signature.bind(*args, **kwargs).arguments.get("out")
        base = args[0] if isinstance(args[0], ndarray) else None
        return out if out is not None else _outside(result, base)

    # --- indexing

    def __getitem__(self, key):
        key = _index(key, self.shape)
        out = self._host[key]
        if isinstance(out, np.generic):  # CuPy's single elements are views
            out = self._host[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return _outside(out, self)

    def __setitem__(self, key, value):
        self._host[_index(key, self.shape)] = _inside(value)


def _index(key, shape):
    """The index NumPy takes for it; positions outside wrap around, as CuPy's."""
    if isinstance(key, tuple):
        found, axis = [], 0
        for i, k in enumerate(key):
            if k is ...:
                axis = len(shape) - sum(map(_axes, key[i + 1 :]))
            found.append(_index(k, shape[axis:]))
            axis += _axes(k)
        return tuple(found)
    if isinstance(key, ndarray) and key.dtype.kind == "b":
        _wait()  # how many there are is known on the GPU alone
    if isinstance(key, ndarray) and key.dtype.kind in "iu" and shape[0]:
        return np.asarray(key._host % shape[0])
    return _inside(key)


def _axes(k):
    """How many axes a part of an index is for."""
    if isinstance(k, ndarray) and k.dtype.kind == "b":
        return k.ndim
    return 0 if k is None or k is ... else 1


def _method(name, signature):
    signature = inspect.signature(eval(f"lambda self{', ' * bool(signature)}{signature}: 0"))

    def method(self, *args, **kwargs):
        signature.bind(self, *args, **kwargs)
        host = {k: _inside(v) for k, v in kwargs.items()}
        host.pop("subok", None)
        result = getattr(self._host, name)(*map(_inside, args), **host)
        if result is self._host:
            return self
        if kwargs.get("out") is not None:
            return kwargs["out"]
        return _outside(result, self)

    return method


for _name, _signature in {
    "all": "axis=None, out=None, keepdims=False",
    "any": "axis=None, out=None, keepdims=False",
    "argmax": "axis=None, out=None, dtype=None, keepdims=False",
    "argmin": "axis=None, out=None, dtype=None, keepdims=False",
    "astype": "dtype, order='K', casting=None, subok=None, copy=True",
    "clip": "min=None, max=None, out=None",
    "copy": "order='C'",
    "cumsum": "axis=None, dtype=None, out=None",
    "fill": "value",
    "max": "axis=None, out=None, keepdims=False",
    "min": "axis=None, out=None, keepdims=False",
    "prod": "axis=None, dtype=None, out=None, keepdims=None",
    "ravel": "order='C'",
    "reshape": "*shape, order='C'",
    "round": "decimals=0, out=None",
    "squeeze": "axis=None",
    "sum": "axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "axis1, axis2",
    "transpose": "*axes",
    "view": "dtype=None",
}.items():
    setattr(ndarray, _name, _method(_name, _signature))


def _binary(ufunc, reverse=False):
    if reverse:
        return lambda self, other: ufunc(other, self)
    return lambda self, other: ufunc(self, other)


def _in_place(ufunc):
    return lambda self, other: ufunc(self, other, out=self)


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _binary(_ufunc))
    setattr(ndarray, f"__r{_name}__", _binary(_ufunc, True))
    setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _binary(_ufunc))
ndarray.__hash__ = object.__hash__  # type: ignore[method-assign]
ndarray.__neg__ = lambda self: np.negative(self)  # type: ignore[attr-defined]
ndarray.__pos__ = lambda self: np.positive(self)  # type: ignore[attr-defined]
ndarray.__abs__ = lambda self: np.absolute(self)  # type: ignore[attr-defined]
ndarray.__invert__ = lambda self: np.invert(self)  # type: ignore[attr-defined]


# --- the functions the library calls --------------------------------------------------------------


def array(x, dtype=None):
    """A copy on the GPU."""
    host = x._host if isinstance(x, ndarray) else x
    return ndarray._of(np.array(host, dtype, order="C"))


def asarray(x):
    if isinstance(x, ndarray):
        return x
    interface = getattr(x, "__cuda_array_interface__", None)
    if interface is None:
        return array(x)
    view = types.SimpleNamespace(__array_interface__=interface, owner=x)
    return ndarray._of(np.asarray(view))


def _maker(name, signature):
    signature = inspect.signature(eval(f"lambda {signature}: 0"))

    def make(*args, **kwargs):
        signature.bind(*args, **kwargs)
        return ndarray._of(getattr(np, name)(*args, **kwargs))

    return make


def _function(numpy):
    return lambda *args: _outside(numpy(*map(_inside, args)))


class _Grid:
    def __getitem__(self, key):
        return [ndarray._of(a) for a in np.ogrid[key]]


def _module():
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.ndarray, cupy.array, cupy.asarray, cupy.ogrid = ndarray, array, asarray, _Grid()
    for name, signature in {
        "arange": "start, stop=None, step=1, dtype=None",
        "empty": "shape, dtype=float, order='C'",
        "eye": "N, M=None, k=0, dtype=float, order='C'",
        "full": "shape, fill_value, dtype=None, order='C'",
        "ones": "shape, dtype=float, order='C'",
        "zeros": "shape, dtype=float, order='C'",
    }.items():
        setattr(cupy, name, _maker(name, signature))
    cupy.argsort = _function(lambda x: np.argsort(x, kind="stable"))  # CuPy's always is
    cupy.ascontiguousarray = _function(np.ascontiguousarray)
    cupy.searchsorted = _function(np.searchsorted)
    cupy.broadcast_to, cupy.empty_like, cupy.asnumpy = np.broadcast_to, np.empty_like, ndarray.get
    cupy.from_dlpack = lambda x: ndarray._of(np.from_dlpack(_Exporter(x)))
    cupy.cuda = types.SimpleNamespace(
        is_available=lambda: True,
        Device=_Device,
        get_current_stream=lambda: types.SimpleNamespace(ptr=0),
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1, getDeviceProperties=lambda i: {"name": b"a stand-in"}
        ),
    )
    return cupy


class _Exporter:
    """What is on the stand-in's GPU is in memory that NumPy can read."""

    def __init__(self, x):
        self.x = x

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        return self.x.__dlpack__(**options)


# --- the kernels --------------------------------------------------------------------------------


class _Kernels(types.ModuleType):
    """minigrad.kernels.cuda on the CPU's kernels."""

    _bad = None

    def _run(self, kernel, loss, x, *args):
        *args, count = map(_inside, args)
        total, *results = kernel(loss, _inside(x), *args, float(count))
        return _outside(np.asarray(total, x.dtype)), *map(_outside, results)

    def run_pointwise(self, loss, x, y, parameter=0.0, upstream=None, value=False, count=1.0):
        return self._run(cpu.run_pointwise, loss, x, y, parameter, upstream, value, count)

    def run_classes(self, loss, x, target, weight, ignore, upstream=None, value=False, count=1.0):
        kept = target._host != ignore
        inside = (target._host >= 0) & (target._host < x.shape[1])
        target = _outside(np.where(kept & ~inside, ignore, target._host))
        options = (target, weight, ignore, upstream, value, count)
        return self._run(cpu.run_classes, loss, x, *options)

    def run_weights(self, loss, x, t, keep, upstream=None, value=False, count=1.0):
        return self._run(cpu.run_weights, loss, x, t, keep, upstream, value, count)

    def count_classes(self, target, weight, classes, ignore):
        host = _inside(target)
        try:
            count = cpu.count_classes(host, _inside(weight), classes, ignore)
        except IndexError as error:
            self._bad, count = (host[error.args[0]], classes), 1.0
        return _outside(np.float64(count))

    def check(self):
        bad, self._bad = self._bad, None
        if bad is not None:
            raise IndexError(f"target: class {bad[0]} is out of bounds for {bad[1]} classes")

    def run_sum(self, x, axes, keepdims=False, dtype=None, divisor=1.0, center=None):
        return _outside(cpu.run_sum(_inside(x), axes, keepdims, dtype, divisor, _inside(center)))

    def run_zero_below(self, g, out):
        return _outside(cpu.run_zero_below(_inside(g), _inside(out)))

    def run_erf(self, x):
        return _outside(cpu.run_erf(_inside(x)))

    def bind_update(self, rule, p, states):
        update = cpu.bind_update(rule, _inside(p), _inside(states))
        return lambda g, h: update(_inside(g), h)

    def add_at(self, out, index, values):
        np.add.at(out._host, _index(index, out.shape), _inside(values))


def modules():
    """What takes the places of CuPy, numba-cuda and the kernels in sys.modules."""
    numba_cuda = types.ModuleType("numba_cuda")
    numba_cuda.__spec__ = ModuleSpec("numba_cuda", None)
    kernels = _Kernels("minigrad.kernels.cuda")
    return {"cupy": _module(), "numba_cuda": numba_cuda, "minigrad.kernels.cuda": kernels}
