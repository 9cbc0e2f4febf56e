"""What tests/scripts/fuzz.py has found, each with the smallest input that shows it."""

import io
import zipfile

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F


def test_like_with_a_dtype_asked_a_number_for_its_shape():
    with pytest.raises(TypeError, match="input: expected a Tensor, got int"):
        mg.full_like(1, 0, dtype=mg.int64)


def test_pos_weight_was_broadcast_to_an_input_that_was_none():
    with pytest.raises(TypeError, match="input: expected a Tensor, got NoneType"):
        F.binary_cross_entropy_with_logits(None, mg.ones(2), pos_weight=mg.ones(2))


def test_a_bool_beside_a_number_and_a_list_gave_an_answer_that_numpy_refuses():
    array = np.arange(16.0).reshape(4, 4)
    for false in (False, np.False_):
        with pytest.raises(IndexError, match="broadcast"):
            mg.tensor(array)[[-4, -4], 2, false]
    assert mg.tensor(array)[[-4, -4], 2, True].tolist() == [2, 2]


def npz_member(shape, data=b"12345678"):
    """A .npz file whose one array says to have this shape."""
    content, member = io.BytesIO(), io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("x.npy", member.getvalue() + data)
    return content.getvalue()


@pytest.mark.parametrize("shape", [(3,), (2**40,), (2**32, 2**32), (-2,), (2**70,), (0,)])
def test_load_took_memory_for_what_a_header_promised(tmp_path, shape):
    path = tmp_path / "x.npz"
    path.write_bytes(npz_member((2,)))
    assert mg.load(path)["x"].shape == (2,)
    path.write_bytes(npz_member(shape))
    with pytest.raises(ValueError, match=r"tensor 'x': expected -?\d+ bytes for float32 of shape"):
        mg.load(path)


def test_load_unpacked_whatever_a_file_unpacks_to(tmp_path):
    path, rows = tmp_path / "x.npz", 2**26 + 1
    np.savez_compressed(path, x=np.zeros(rows // 64, np.float32))
    assert mg.load(path)["x"].shape == (rows // 64,)  # a small one may
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x", "w") as member:
        for _ in range(257):
            member.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"unpack to 269484032 bytes, over 100 times its size"):
        mg.load(path)
