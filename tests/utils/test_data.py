"""Data sets, splits and batches: PyTorch's results, except for the order of a shuffle."""

from collections import namedtuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.utils.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)

Pair = namedtuple("Pair", "x y")


class Squares(Dataset):
    """Plain samples, so that batches are made sample by sample."""

    def __init__(self, n):
        self.n = n

    def __getitem__(self, i):
        return mg.tensor([i, i * i]), i

    def __len__(self):
        return self.n


def squares(n):
    i = mg.arange(n)
    return TensorDataset(mg.stack([i, i * i], 1), i)


def values(loader):
    return [[t.tolist() for t in batch] for batch in loader]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [0, 1, 7, 8])
def test_batches(n, drop_last):
    loader = DataLoader(squares(n), batch_size=4, drop_last=drop_last)
    rows = [[i, i * i] for i in range(n)]
    expected = [[rows[k : k + 4], [i for i, _ in rows[k : k + 4]]] for k in range(0, n, 4)]
    if drop_last and n % 4:
        expected.pop()
    assert values(loader) == expected
    assert len(loader) == len(expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_whole_batches_equal_single_samples(shuffle):
    def loader(dataset, **options):
        mg.manual_seed(3)
        return values(DataLoader(dataset, 3, shuffle, **options))

    subset = Subset(Subset(squares(12), [3, 1, 4, 1, 5, 9, 2, 6]), range(1, 8))
    samples = [subset[i] for i in range(len(subset))]
    for dataset, plain in ((squares(11), Squares(11)), (subset, samples)):
        assert (
            loader(dataset)
            == loader(plain)
            == loader(dataset, collate_fn=lambda b: default_collate(b))
        )


def test_a_batch_of_tensors_is_one_indexing_step(monkeypatch):
    steps = []
    get = TensorDataset.__getitem__
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda d, i: steps.append(i) or get(d, i))
    for dataset in (squares(10), Subset(squares(20), range(10))):
        steps.clear()
        assert len(list(DataLoader(dataset, 4, shuffle=True))) == len(steps) == 3


def test_batches_do_not_share_memory_with_the_data_set():
    dataset = squares(4)
    for x, _ in DataLoader(dataset, 2):
        x.zero_()
    assert dataset[3][0].tolist() == [3, 9]


def test_shuffling_follows_the_generator_and_draws_anew():
    def orders(seed=None):
        generator = mg.Generator().manual_seed(seed) if seed is not None else None
        loader = DataLoader(squares(50), 50, shuffle=True, generator=generator)
        return [y.tolist() for _ in range(2) for _, y in loader]

    first, second = orders(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))
    assert [first, second] == orders(1)
    assert first != orders(2)[0]
    mg.manual_seed(4)
    default = orders()
    assert default != orders()
    mg.manual_seed(4)
    assert default == orders()


def test_sampler_and_collate_fn():
    loader = DataLoader(
        Squares(9), 2, sampler=[5, 2, 7], collate_fn=lambda batch: [i for _, i in batch]
    )
    assert list(loader) == [[5, 2], [7]]
    assert len(loader) == 2
    assert values(DataLoader(squares(9), 2, sampler=iter([8])))[0][1] == [8]


SAMPLES = {
    "tensors": lambda tensor: [tensor([1.0, 2.0]), tensor([3.0, 4.0])],
    "zero-dim": lambda tensor: [tensor(1), tensor(2)],
    "arrays": lambda tensor: [np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32)],
    "numpy numbers": lambda tensor: [np.float32(1), np.float32(2)],
    "floats": lambda tensor: [1.5, 2.0],
    "integers": lambda tensor: [1, 2],
    "booleans": lambda tensor: [True, False],
    "strings": lambda tensor: ["a", "b"],
    "tuples": lambda tensor: [(1, (2.0, tensor([3]))), (4, (5.0, tensor([6])))],
    "lists": lambda tensor: [[1, 2], [3, 4]],
    "dicts": lambda tensor: [{"x": 1, "y": [1.0]}, {"x": 2, "y": [2.0]}],
    "named": lambda tensor: [Pair(1, 2.0), Pair(3, 4.0)],
}
COLLATED = {
    "tensors": ("float32", [[1, 2], [3, 4]]),
    "zero-dim": ("int64", [1, 2]),
    "arrays": ("float32", [[[1], [1]], [[0], [0]]]),
    "numpy numbers": ("float32", [1, 2]),
    "floats": ("float64", [1.5, 2]),
    "integers": ("int64", [1, 2]),
    "booleans": ("bool", [True, False]),
    "strings": ["a", "b"],
    "tuples": [("int64", [1, 4]), [("float64", [2, 5]), ("int64", [[3], [6]])]],
    "lists": [("int64", [1, 3]), ("int64", [2, 4])],
    "dicts": {"x": ("int64", [1, 2]), "y": [("float64", [1, 2])]},
    "named": Pair(("int64", [1, 3]), ("float64", [2, 4])),
}


def plain(x):
    """A batch with every tensor as (dtype, values)."""
    if hasattr(x, "tolist"):
        return str(x.dtype).removeprefix("torch."), x.tolist()
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, Pair):
        return Pair(*map(plain, x))
    return [plain(value) for value in x] if isinstance(x, list) else x


@pytest.mark.parametrize("case", SAMPLES)
def test_collate(case):
    assert plain(default_collate(SAMPLES[case](mg.tensor))) == COLLATED[case]


@pytest.mark.torch
@pytest.mark.parametrize("case", SAMPLES)
def test_collate_is_pytorchs(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch live")
    theirs = torch.utils.data.default_collate(SAMPLES[case](torch.tensor))
    assert plain(theirs) == COLLATED[case]


@pytest.mark.parametrize(
    ("n", "lengths", "expected"),
    [
        (10, [7, 3], [7, 3]),
        (10, [0, 10], [0, 10]),
        (10, [0.5, 0.5], [5, 5]),
        (11, [0.3, 0.3, 0.4], [4, 3, 4]),
        (1, [1], [1]),
        (1, [0.5, 0.5], [1, 0]),
    ],
)
def test_random_split(n, lengths, expected):
    parts = random_split(range(n), lengths, mg.Generator().manual_seed(5))
    assert [len(part) for part in parts] == expected
    assert sorted(i for part in parts for i in list(part)) == list(range(n))
    again = random_split(range(n), lengths, generator=mg.Generator().manual_seed(5))
    assert [part.indices for part in parts] == [part.indices for part in again]
    if n == 11:
        other = random_split(range(n), lengths, mg.Generator().manual_seed(6))
        assert [part.indices for part in parts] != [part.indices for part in other]


def test_gradients_reach_the_data():
    x = mg.ones(3, 2, requires_grad=True)
    for dataset in (TensorDataset(x), [(row,) for row in x]):
        x.grad = None
        ((batch,),) = DataLoader(dataset, 3)
        batch.backward(mg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        assert x.grad.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda: TensorDataset(mg.ones(2), mg.ones(3)), AssertionError, "Size mismatch .*2, 3"),
        (lambda: DataLoader([1], batch_size=0), ValueError, "positive integer value.*batch_size=0"),
        (lambda: DataLoader([1], shuffle=True, sampler=[0]), ValueError, "mutually exclusive"),
        (lambda: random_split(range(3), [1, 1]), ValueError, "Sum of input lengths .*3, got 2"),
        (lambda: random_split(range(3), [1.5, -0.5]), ValueError, "fractions between 0 and 1"),
        (lambda: default_collate([[1], [1, 2]]), RuntimeError, "should be of equal size"),
        (lambda: default_collate([object()]), TypeError, "batch must contain tensors.*object"),
        (lambda: default_collate([mg.ones(2), mg.ones(3)]), RuntimeError, "to be equal size"),
        (lambda: Dataset()[0], NotImplementedError, "must define __getitem__"),
    ],
)
def test_faults_are_named(fault, error, message):
    with pytest.raises(error, match=message):
        fault()
