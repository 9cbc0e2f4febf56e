"""Small sets of real data, read from scikit-learn's own files: nothing is downloaded."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .optional import require

Kind = Literal["classification", "binary", "regression"]
KINDS: dict[str, Kind] = {"digits": "classification", "cancer": "binary", "diabetes": "regression"}


@dataclass(frozen=True)
class Split:
    """One data set, cut into training and test rows.

    `x_train`, `x_test`: (N, features) float32. `y_train`, `y_test`: (N,) int64 in [0, n_classes)
    for "classification", (N, 1) float32 of 0 and 1 for "binary", and (N, 1) float32 for
    "regression", where `y * target_scale + target_mean` is in the data's own unit.
    """

    name: str
    kind: Kind
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 for regression."""
        return len(self.class_names)


def load(name: str, *, test_size: float = 0.2, seed: int = 0) -> Split:
    """`digits`: 1797 handwritten digits, 8 x 8 pixels in [0, 1], ten classes. `cancer`: 569
    tumours, 30 measurements, malignant or benign. `diabetes`: 442 patients, 10 measurements, the
    disease's progression a year later. Measurements and real targets have mean 0 and variance 1
    over the training rows. `test_size` is the share of test rows, in (0, 1); each class keeps its
    share in both parts. The same `seed` gives the same parts.

    Raises ValueError for an unknown name and ModuleNotFoundError without scikit-learn.
    """
    if name not in KINDS:
        raise ValueError(f"name: expected one of {', '.join(KINDS)}, got {name!r}")
    kind = KINDS[name]
    bundled, names = require("sklearn.datasets", "train"), {"cancer": "breast_cancer"}
    options = {"scaled": False} if name == "diabetes" else {}
    data = getattr(bundled, f"load_{names.get(name, name)}")(**options)

    cut = require("sklearn.model_selection", "train").train_test_split
    classes = data.target if kind != "regression" else None
    parts = cut(data.data, data.target, test_size=test_size, random_state=seed, stratify=classes)
    x_train, x_test, y_train, y_test = parts
    mean, scale = (0.0, 16.0) if name == "digits" else (x_train.mean(0), x_train.std(0))
    x_train, x_test = (((x - mean) / scale).astype(np.float32) for x in (x_train, x_test))
    mean, scale = (y_train.mean(), y_train.std()) if kind == "regression" else (0.0, 1.0)
    if kind == "classification":
        y_train, y_test = y_train.astype(np.int64), y_test.astype(np.int64)
    else:
        y_train, y_test = (
            ((y - mean) / scale).astype(np.float32)[:, None] for y in (y_train, y_test)
        )
    class_names = tuple(map(str, getattr(data, "target_names", ())))
    arrays = (x_train, y_train, x_test, y_test)
    return Split(name, kind, *arrays, class_names, float(mean), float(scale))
