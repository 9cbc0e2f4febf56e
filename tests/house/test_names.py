"""What `import minigrad` offers, and what of it is made by text or from a table."""

import builtins
import doctest
import importlib
import inspect
import textwrap

import pytest

import minigrad as mg
from minigrad import functions, generated
from minigrad.nn.loss import derived


def test_completion_offers_public_names_and_nothing_else():
    names = set(dir(mg))
    assert {"Tensor", "nn", "exp", "abs", "float32", "compile", "tensor", "__version__"} <= names
    assert not {"Any", "TYPE_CHECKING", "tape", "quiet", "devices", "creation", "at_dim"} & names
    assert all(hasattr(mg, name) for name in names)
    assert {name for name in names if name.startswith("_")} == {"__version__"}


def test_a_star_import_leaves_python_its_own_names():
    scope = {}
    exec("from minigrad import *", scope)
    del scope["__builtins__"]
    assert not scope.keys() & vars(builtins).keys()
    assert scope["Tensor"] is mg.Tensor
    assert scope["exp"] is mg.exp
    hidden = set(dir(mg)) - scope.keys() - {"__version__"}
    assert hidden == {name for name in dir(mg) if hasattr(builtins, name)}


def test_functions_are_found_by_name():
    assert functions.exp is mg.exp
    assert functions.abs is mg.abs is not builtins.abs
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        functions.nothing  # noqa: B018


def test_a_fault_of_ours_is_no_complaint_about_arguments():
    def faulty(x):
        return None.shape

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'shape'"):
        functions.public(faulty)(mg.ones(2))
    with pytest.raises(TypeError, match=r"faulty2\(\): expected Tensors, got int"):
        functions.public(faulty2)(3)


def faulty2(x):
    return x.shape


def test_an_operation_may_have_any_name():
    unnamed = mg.loss(lambda x, y: (x - y) * 2.0)
    assert unnamed(mg.ones(3), mg.zeros(3)).item() == 2.0
    with pytest.raises(TypeError, match=r"<lambda>\(\) missing 1 required positional argument"):
        unnamed(mg.ones(3))


def example(function):
    """The code in its docstring."""
    parts = map(textwrap.dedent, inspect.getdoc(function).split("\n\n"))
    return next(part for part in parts if part.startswith("def "))


def test_docstrings_show_what_is_generated(monkeypatch):
    shown, op = {}, importlib.import_module("minigrad.ops.op")  # beside the function of that name

    def define(name, source, scope):
        shown[name] = source.rstrip()
        return generated.define(name, source, scope)

    monkeypatch.setattr(op, "define", define)
    monkeypatch.setattr(derived, "define", define)
    op.Op(lambda input, other: input * other, (lambda g, other: g, lambda g, input: g))
    assert example(op._gradients) == shown["gradients"]
    op._binding("add", ["input", "other", "alpha"], (1,))
    assert example(op._binding) == shown["bind"]
    derived._binding("pinball", {"q": 0.5, "tilt": 0.0}, 1)
    assert example(derived._binding) == shown["bind"]
    assert doctest.testmod(generated).failed == 0
