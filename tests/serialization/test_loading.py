"""What does not fit is refused by name, changes nothing, and is never executed."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


class Harmful:
    """What a pickle could do: unpickling it leaves a mark."""

    done = False

    def __reduce__(self):
        return setattr, (Harmful, "done", True)


def npz(members):
    """An archive of arrays, pickled where they hold objects, or of bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in members.items():
            content = io.BytesIO()
            if isinstance(value, bytes):
                content.write(value)
            else:
                np.save(content, value, allow_pickle=True)
            archive.writestr(name, content.getvalue())
    return buffer.getvalue()


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


GOOD = np.ones(2, np.float32)
F16 = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}
LONG = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npz({"good.npy": GOOD, "w.npy": np.array([Harmful()], object)}), "tensor 'w': Object arr"),
        (npz({"good.npy": GOOD, "w.npy": pickle.dumps(Harmful())}), "tensor 'w': "),
        (npz({"good.npy": GOOD, "data.pkl": pickle.dumps(Harmful())}), "tensor 'data.pkl': "),
        (npz({"w.npy": np.ones(2, np.complex128)}), "tensor 'w': .*complex128"),
        (npz({"w.npy": np.ones(2, np.float16)}), "tensor 'w': .*float16"),
        (npz({"w.npy": np.array(["text"])}), "tensor 'w': "),
        (npz({"w.npy": np.ones(2, [("a", "f4"), ("b", object)])}), "tensor 'w': "),
        (npz({"w.npy": npz({"w.npy": GOOD})}), "tensor 'w': "),
        (npz({"minigrad": b'{"dict": [["w", {"tensor": "w"}]]}'}), "tensor 'w' is missing"),
        (npz({"minigrad": b'{"call": ["os.system", "true"]}'}), "got 'call'"),
        (npz({"minigrad": pickle.dumps(Harmful())}), ""),
        (pickle.dumps(Harmful()), "it begins like neither"),
        (pickle.dumps({"w": GOOD}), "it begins like neither"),
        (safetensors({"w": F16}, bytes(4)), "tensor 'w': .*float16"),
        (safetensors({"w": LONG}, bytes(8)), ""),
        (safetensors({"w": LONG | {"data_offsets": [0, 16]}}, bytes(15)), ""),
        (safetensors({"w": LONG | {"dtype": "object"}}, bytes(8)), ""),
    ],
)
def test_a_file_is_refused_by_the_name_of_the_tensor(tmp_path, content, words):
    if content[8:9] == b"{":
        pytest.importorskip("safetensors", reason="an optional format")
    path = tmp_path / "weights.npz"  # the name says nothing
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights\.npz is not a complete .*{words}"):
        mg.load(path)
    assert not Harmful.done


def model_and_optimizer(make=optim.Adam, **options):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = make(model.parameters(), lr=0.1, **options)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        for p in model.parameters():
            p.grad = mg.tensor(rng.standard_normal(p.shape).astype(np.float32))
        optimizer.step()
    return model, optimizer


def bits(state):
    """All that a state dict holds, as one comparable value."""
    if isinstance(state, mg.Tensor):
        return str(state.dtype), tuple(state.shape), state.detach().numpy().tobytes()
    if isinstance(state, dict):
        return [(key, bits(value)) for key, value in state.items()]
    return [bits(x) for x in state] if isinstance(state, list | tuple) else state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("1.running_var"), 'Missing key.*"1.running_var"'),
        (lambda s: s.update(extra=mg.ones(1)), 'Unexpected key.*"extra"'),
        (lambda s: s.update({"1.weight": mg.ones(3)}), "size mismatch for 1.weight"),
        (lambda s: s.update({"1.weight": mg.ones(2, 1)}), "size mismatch for 1.weight"),
        (
            lambda s: s.update({"1.num_batches_tracked": mg.tensor(1.5)}),
            "dtype mismatch for 1.num_batches_tracked: float32 from checkpoint, int64 in current",
        ),
        (lambda s: s.update({"1.bias": [1.0, 2.0]}), "expected a Tensor for 1.bias, got list"),
        (lambda s: s.update({"1.bias": None}), "expected a Tensor for 1.bias, got NoneType"),
    ],
)
def test_a_model_takes_all_or_nothing(change, words):
    model, _ = model_and_optimizer()
    state = {key: value + 1 for key, value in model.state_dict().items()}
    before = bits(model.state_dict())
    change(state)
    with pytest.raises(RuntimeError, match=words):
        model.load_state_dict(state)
    assert bits(model.state_dict()) == before


def changed(*keys, to=None):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        if to is None:
            del state[keys[-1]]
        else:
            state[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("param_groups"), "expected what state_dict.. of an optimizer gives; .*param_gr"),
        (changed("state"), "expected what state_dict.. of an optimizer gives; .*'state'"),
        (changed("state", to=[1]), "expected what state_dict.. of an optimizer gives"),
        (changed("state", to={"first": {}}), "expected what state_dict.. of an .*first"),
        (changed("param_groups", 0, "params", to=[0, 1]), "doesn't match the size"),
        (changed("param_groups", 0, "betas"), "lacks param_groups.0.betas"),
        (changed("state", 9, to={}), "has state.9, but no such parameter"),
        (changed("state", 3, "step"), "lacks state.3.step"),
        (changed("state", 3, "exp_avg_sq"), "lacks state.3.exp_avg_sq"),
        (changed("state", 3, "exp_avg", to=mg.ones(3)), r"\(2,\).*state.3.exp_avg, got .*\(3,\)"),
        (changed("state", 3, "exp_avg", to=mg.ones(2).long()), "floats .*exp_avg, got int64"),
        (changed("state", 3, "exp_avg", to=0.5), "state.3.exp_avg, got 0.5"),
    ],
)
def test_an_optimizer_takes_all_or_nothing(change, words):
    _, optimizer = model_and_optimizer()
    _, other = model_and_optimizer(eps=0.5)
    state = other.state_dict()
    before = bits(optimizer.state_dict())
    change(state)
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(state)
    assert bits(optimizer.state_dict()) == before
    optimizer.load_state_dict(other.state_dict())
    assert bits(optimizer.state_dict()) == bits(other.state_dict())


@pytest.mark.parametrize("given", [None, [], {}, 3, {"param_groups": 1, "state": {}}])
def test_what_is_no_state_dict_is_refused(given):
    _, optimizer = model_and_optimizer()
    before = bits(optimizer.state_dict())
    with pytest.raises(ValueError, match="expected what state_dict"):
        optimizer.load_state_dict(given)
    assert bits(optimizer.state_dict()) == before


def test_the_state_of_another_optimizer_is_refused():
    _, adam = model_and_optimizer()
    _, sgd = model_and_optimizer(optim.SGD, momentum=0.9)
    with pytest.raises(ValueError, match=r"lacks param_groups\.0\.betas"):
        adam.load_state_dict(sgd.state_dict())
    with pytest.raises(ValueError, match=r"lacks param_groups\.0\.momentum"):
        sgd.load_state_dict(adam.state_dict())


# --- what comes from elsewhere --------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize("keep_vars", [False, True])
def test_a_model_takes_pytorchs_state(keep_vars):
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    theirs(torch.randn(5, 3))
    ours = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = theirs.state_dict(keep_vars=keep_vars)
    assert ours.load_state_dict(state) == ([], [])
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].detach().numpy())
    ours[0].weight.detach().zero_()
    assert theirs[0].weight.abs().max() > 0
    assert mg.tensor(theirs[0].weight).tolist() == theirs[0].weight.tolist()
    with pytest.raises(RuntimeError, match=r"0\.weight: data: expected one of .*float16"):
        ours.load_state_dict(theirs.half().state_dict())
    with pytest.raises(TypeError, match=r"got torch\.Tensor; minigrad\.tensor\(data\) makes one"):
        nn.Parameter(torch.ones(2))
    with pytest.raises(TypeError, match=r"dict-like, got .*; pass its state_dict\(\)"):
        ours.load_state_dict(theirs)


class OnlyDLPack:
    """An array of a library that knows no other way."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_a_model_takes_arrays():
    layer = nn.Linear(2, 1)
    weight = OnlyDLPack(np.float32([[1, 2]]))
    layer.load_state_dict({"weight": weight, "bias": np.float64([3])})
    assert (layer.weight.tolist(), layer.bias.tolist()) == ([[1, 2]], [3])
    assert layer.bias.dtype == mg.float32


@pytest.mark.torch
@pytest.mark.parametrize("zipped", [True, False])
def test_pytorchs_files_are_named(tmp_path, zipped):
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"x\.pt is not .* a pickle, which can run code .*torch.load"
    ):
        mg.load(path)


def test_other_files_and_paths_are_named(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    with pytest.raises(ValueError, match=r"but one array, which minigrad\.tensor\(numpy\.load"):
        mg.load(tmp_path / "x.npy")
    for path in (None, 3, nn.Linear(1, 1)):
        with pytest.raises(TypeError, match=r"path: expected that of a file, as in load\(path\)"):
            mg.load(path)
    mg.save({"a": mg.ones(1)}, tmp_path / "a.npz")
    with pytest.raises(RuntimeError, match="device: expected 'cuda' or 'cpu', got 'tpu'"):
        mg.load(tmp_path / "a.npz", map_location="tpu")
    with pytest.raises(FileNotFoundError, match="absent"):
        mg.load(tmp_path / "absent.npz")


def test_what_is_no_state_says_what_to_save(tmp_path):
    model = nn.Linear(2, 1)
    for save in (lambda: mg.save(model), lambda: mg.save({"model": model}, tmp_path / "x.npz")):
        with pytest.raises(TypeError, match=r"got Linear.*; save\(x\.state_dict\(\), path\) saves"):
            save()
    with pytest.raises(TypeError, match=r"path: .* save\(state, path\), got NoneType"):
        mg.save(model.state_dict())
    with pytest.raises(TypeError, match=r"path: .* save\(state, path\), got OrderedDict"):
        mg.save("x.npz", model.state_dict())
    with pytest.raises(TypeError, match=r"got ndarray at 'a'; minigrad\.tensor\(\) makes"):
        mg.save({"a": GOOD}, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())
