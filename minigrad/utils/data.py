"""Data sets, and the loader that turns them into batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..creation import as_tensor, tensor
from ..devices import DeviceLike
from ..ops.shape import stack
from ..random import Generator, stream
from ..tensor import Tensor


class Dataset:
    """Base class: a subclass defines dataset[i], one sample, and len(dataset)."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")


class TensorDataset(Dataset):
    """Samples (tensor[i] for each tensor), from tensors with the same first dimension."""

    def __init__(self, *tensors: Tensor) -> None:
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(f"tensors: expected Tensors, got {type(t).__name__}")
        sizes = [len(t) for t in tensors]
        if len(set(sizes)) > 1:
            raise AssertionError(f"Size mismatch between tensors: first dimensions {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple([t[index] for t in self.tensors])

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The samples of `dataset` at `indices`."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Split into disjoint random subsets of the given lengths, or of fractions that sum to 1.

    What fractions leave over by rounding down goes to the first subsets, one sample each.
    """
    n = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        if any(not 0 <= fraction <= 1 for fraction in lengths):
            raise ValueError(f"lengths: expected fractions between 0 and 1, got {list(lengths)}")
        whole = [math.floor(n * fraction) for fraction in lengths]
        rest = n - sum(whole)
        lengths = [k + (i < rest) for i, k in enumerate(whole)]
    if any(length < 0 for length in lengths):
        raise ValueError(f"lengths: expected sizes >= 0, got {list(lengths)}")
    if sum(lengths) != n:
        raise ValueError(
            f"Sum of input lengths must equal that of dataset: {n}, got {sum(lengths)}"
        )
    order = iter(stream(generator).permutation(n).tolist())
    parts: Sequence[Any] = lengths  # whole numbers by now
    return [Subset(dataset, list(islice(order, length))) for length in parts]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples into one batch: tensors, arrays and numbers along a new first dimension.

    Inside tuples, lists and dicts element by element; strings stay a list.
    """
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray | np.generic):
        return stack([as_tensor(sample) for sample in batch])
    if isinstance(first, int | float):
        return tensor(batch, dtype=np.float64 if isinstance(first, float) else None)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    kinds = "tensors, numpy arrays, numbers, strings, dicts or lists"
    raise TypeError(f"default_collate: batch must contain {kinds}; found {type(first)}")


class DataLoader:
    """Iterate over a dataset in batches; each `for` draws a new order if `shuffle`.

    sampler: the indices to go through, instead of all of them in order.
    collate_fn: joins a list of samples into a batch (default_collate).
    device: where each batch is moved to, beyond PyTorch; by default it stays where it is made.
    num_workers, pin_memory: taken as PyTorch's scripts pass them; batches are made in this process.
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False,
        sampler: Iterable[int] | None = None, *, num_workers: int = 0, pin_memory: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None, drop_last: bool = False,
        generator: Generator | None = None, device: DeviceLike = None,
    ) -> None:  # fmt: skip
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"expected a positive integer value, got batch_size={batch_size}")
        if num_workers < 0:
            raise ValueError(f"num_workers: expected a number >= 0, got {num_workers}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.sampler: Any = sampler  # besides what it goes through, it may know its length
        self.drop_last, self.generator = drop_last, generator
        self.collate_fn, self.device = collate_fn or default_collate, device

    def __len__(self) -> int:
        n = len(self.dataset if self.sampler is None else self.sampler)
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = stream(self.generator).permutation(n) if self.shuffle else np.arange(n)
        if self.sampler is not None:
            order = np.asarray(list(self.sampler), np.int64)
        stop = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        dataset = self.dataset
        while type(dataset) is Subset:
            dataset, order = dataset.dataset, np.asarray(dataset.indices, np.int64)[order]
        whole = type(dataset) is TensorDataset and self.collate_fn is default_collate
        for start in range(0, stop, self.batch_size):
            index = order[start : start + self.batch_size]
            if whole:  # one indexing step per tensor: some hundred times faster than by samples
                batch = list(dataset[index])
            else:
                batch = self.collate_fn([dataset[i] for i in index.tolist()])
            yield batch if self.device is None else _moved(batch, self.device)


def _moved(batch, device):
    """The batch with every tensor in it moved."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: _moved(part, device) for key, part in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [_moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
