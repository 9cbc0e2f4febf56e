"""The bundled data: shapes, scales, classes, and what happens without scikit-learn."""

import numpy as np
import pytest

from minigrad import datasets, optional

SHAPES = {"digits": (1797, 64, 10), "cancer": (569, 30, 2), "diabetes": (442, 10, 0)}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_and_dtypes(name):
    split = datasets.load(name)
    rows, features, classes = SHAPES[name]
    assert split.x_train.shape[1] == split.x_test.shape[1] == features
    assert len(split.x_train) + len(split.x_test) == rows
    assert len(split.x_test) == pytest.approx(0.2 * rows, abs=1)
    assert split.n_classes == len(split.class_names) == classes
    assert split.x_train.dtype == split.x_test.dtype == np.float32
    column = () if split.kind == "classification" else (1,)
    assert split.y_train.shape == (len(split.x_train), *column)
    assert split.y_test.shape == (len(split.x_test), *column)
    expected = np.int64 if split.kind == "classification" else np.float32
    assert split.y_train.dtype == split.y_test.dtype == expected


def test_digits_are_pixels_in_the_unit_range():
    split = datasets.load("digits")
    assert (split.x_train.min(), split.x_train.max()) == (0, 1)
    assert set(split.y_train) == set(range(10))


@pytest.mark.parametrize("name", ["cancer", "diabetes"])
def test_measurements_are_standardized_by_the_training_rows(name):
    split = datasets.load(name)
    np.testing.assert_allclose(split.x_train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(split.x_train.std(0), 1, atol=1e-5)
    assert np.abs(split.x_test.mean(0)).max() > 1e-3


@pytest.mark.parametrize("name", ["digits", "cancer"])
def test_both_parts_hold_the_classes_in_equal_shares(name):
    split = datasets.load(name, test_size=0.3, seed=3)
    for label in range(split.n_classes):
        shares = [np.mean(y == label) for y in (split.y_train, split.y_test)]
        assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_real_targets_keep_their_unit():
    split = datasets.load("diabetes")
    assert split.y_train.mean() == pytest.approx(0, abs=1e-5)
    assert split.y_train.std() == pytest.approx(1, abs=1e-5)
    targets = np.concatenate([split.y_train, split.y_test]) * split.target_scale + split.target_mean
    assert (targets.min(), targets.max()) == pytest.approx((25, 346), abs=1e-3)


def test_the_seed_decides_the_parts():
    first, again, other = (datasets.load("cancer", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)


def test_unknown_name():
    with pytest.raises(ValueError, match="name: expected one of digits, cancer, diabetes, got 'x'"):
        datasets.load("x")


def test_a_missing_package_names_the_pip_command(monkeypatch):
    def absent(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    command = r'sklearn .* pip install "minigrad-kernels\[train\]"'
    with pytest.raises(ModuleNotFoundError, match=command):
        datasets.load("digits")


def test_a_package_that_lacks_one_of_its_own_says_so_itself(monkeypatch):
    def broken(module):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(optional.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="No module named 'scipy'"):
        datasets.load("digits")
