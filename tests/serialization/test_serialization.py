"""What is saved comes back, bit for bit, from either format; damaged files are refused."""

import io
import math
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import serialization

DTYPES = ["float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"]
SHAPES = [(), (0,), (3, 0, 2), (5,), (2, 3)]


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path):
    if request.param == "safetensors":
        pytest.importorskip("safetensors", reason="an optional format")
    return tmp_path / f"file.{request.param}"


def tensors():
    """Random bits in every dtype and shape, NaN with its payload included."""
    rng, state = np.random.default_rng(0), OrderedDict()
    for dtype in map(np.dtype, DTYPES):
        for shape in SHAPES:
            raw = rng.integers(0, 256, math.prod(shape) * dtype.itemsize).astype(np.uint8)
            values = raw.view(dtype) if dtype.kind != "b" else raw % 2 == 1
            state[f"{dtype}.{len(state)}"] = mg.tensor(values.reshape(shape))
    state["file"] = mg.tensor(np.array([-0.0, np.inf, np.nan]))  # np.savez's own argument
    state["übung/x"] = mg.ones(1)
    state["__metadata__"] = mg.zeros(2)
    state["w.npy"], state["w"] = mg.ones(2), mg.zeros(2)
    return state


def assert_same(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, mg.Tensor):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.array.tobytes() == expected.array.tobytes()
        assert not got.requires_grad
        got.zero_()  # writable
    elif isinstance(expected, dict):
        assert list(got) == list(expected)
        for key in expected:
            assert_same(got[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for pair in zip(got, expected, strict=True):
            assert_same(*pair)
    else:
        assert got == expected or (got != got and expected != expected)


@pytest.mark.parametrize("as_text", [False, True])
def test_tensors_return_bit_for_bit(path, as_text):
    state = tensors()
    mg.save(state, str(path) if as_text else path)
    assert zipfile.is_zipfile(path) == path.name.endswith("npz")
    assert_same(mg.load(str(path) if as_text else path), dict(state))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::-1, ::2],
        lambda x: x[:, 1],
        lambda x: np.broadcast_to(x[0], (4, 4)),
    ],
)
def test_views_are_saved_as_what_they_show(path, view):
    array = view(np.arange(16.0).reshape(4, 4))
    mg.save({"x": mg.Tensor(array)}, path)
    np.testing.assert_array_equal(mg.load(path)["x"].numpy(), array)


NESTED = {
    "state": {0: {"step": 3, "m": mg.tensor([1.5, 2.5])}, 10: {}},
    "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 10], "amsgrad": False}],
    "a.b": mg.zeros(2),
    "a": {"b": mg.ones(3), "c": None},
    "extremes": [math.inf, -math.inf, math.nan, -0.0, 2**70, 5e-324, "é\n", "", True],
}


@pytest.mark.parametrize("value", [NESTED, {}, [], mg.ones(2), 3.5, {"": mg.ones(2)}])
def test_structures_return_as_they_were(path, value):
    mg.save(value, path)
    assert_same(mg.load(path), value)


def test_a_training_run_resumes(path):
    def parts():
        model = mg.nn.Linear(3, 2)
        return model, mg.optim.Adam(model.parameters(), lr=0.1)

    def train(model, adam):
        for _ in range(3):
            adam.zero_grad()
            (model(mg.ones(4, 3)) ** 2).sum().backward()
            adam.step()
        return model.weight.tolist()

    model, adam = parts()
    train(model, adam)
    mg.save({"model": model.state_dict(), "adam": adam.state_dict()}, path)
    fresh, fresh_adam = parts()
    loaded = mg.load(path)
    fresh.load_state_dict(loaded["model"])
    fresh_adam.load_state_dict(loaded["adam"])
    assert train(fresh, fresh_adam) == train(model, adam)


def test_other_programs_read_and_write_the_files(path):
    state = {"w": np.arange(6.0).reshape(2, 3), "n": np.array(3)}
    ours, theirs = path, path.with_name("theirs")
    mg.save({name: mg.tensor(value) for name, value in state.items()}, ours)
    if path.suffix == ".npz":
        with np.load(ours) as file:
            read = {name: file[name] for name in state}
        buffer = io.BytesIO()
        np.savez(buffer, **state)
        theirs.write_bytes(buffer.getvalue())
    else:
        from safetensors.numpy import load_file, save_file

        read = load_file(ours)
        save_file(state, theirs)
    loaded = mg.load(theirs)
    assert set(loaded) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(read[name], value)
        np.testing.assert_array_equal(loaded[name].numpy(), value)


@pytest.mark.torch
def test_pytorch_reads_the_file(tmp_path):
    pytest.importorskip("torch", reason="compares with PyTorch live")
    read = pytest.importorskip("safetensors.torch", reason="an optional format").load_file
    state = mg.nn.Linear(3, 2).state_dict()
    mg.save(state, tmp_path / "model.pt")
    theirs = read(tmp_path / "model.pt")
    assert {k: v.tolist() for k, v in theirs.items()} == {k: v.tolist() for k, v in state.items()}


def test_the_name_or_what_is_installed_decides_the_format(tmp_path, monkeypatch):
    mg.save({"x": mg.ones(2)}, tmp_path / "a.npz")
    monkeypatch.setattr(serialization, "find_spec", lambda name: None)
    mg.save({"x": mg.ones(2)}, tmp_path / "b.pt")
    for name in ("a.npz", "b.pt"):
        assert zipfile.is_zipfile(tmp_path / name)
        assert mg.load(tmp_path / name)["x"].tolist() == [1, 1]


def test_every_truncation_is_refused(path):
    mg.save({"x": mg.arange(5), "y": mg.ones(2, 2)}, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{path.name} is not a complete safetensors or .npz"):
            mg.load(path)


class Harmful:
    """What a pickle could do: unpickling it leaves a mark."""

    done = False

    def __reduce__(self):
        return setattr, (Harmful, "done", True)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"not a model at all",
        pickle.dumps(Harmful()),
        npz(x=np.array([Harmful()], dtype=object)),
        npz(x=np.ones(2, np.complex64)),
        npz(x=np.array(["text"])),
    ],
)
def test_foreign_files_are_refused_and_nothing_is_run(tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="foreign is not a complete"):
        mg.load(path)
    assert not Harmful.done


def test_a_missing_file_and_a_thing_that_cannot_be_saved(path):
    with pytest.raises(FileNotFoundError):
        mg.load(path)
    with pytest.raises(TypeError, match=r"got object at 'a\.1'"):
        mg.save({"a": [1, object()]}, path)
    with pytest.raises(TypeError, match="keys that are strings or integers"):
        mg.save({(1, 2): mg.ones(1)}, path)
    assert not path.exists()
