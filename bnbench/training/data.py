"""Data to train on: scikit-learn's digits, which are installed with it, and CIFAR-10 from local files."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from bnbench.model import Array
from bnbench.training.model import Data, Labels

SPLIT_SEED = 231
TEST_SHARE = 0.2
CIFAR10_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10_SHAPE = (3, 32, 32)


class DataError(ValueError):
    """Data that are not there, or not of the format they should be."""


def digits() -> Data:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn brings, a fifth of them for testing.

    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    Raises DataError when scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise DataError("scikit-learn is not installed: pip install 'bnbench[train]'") from error
    found = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(found.target))
    images = found.images[order].reshape(-1, 1, 8, 8)
    labels = found.target[order].astype(np.int64)
    tests = round(TEST_SHARE * len(labels))
    return standardized("digits", images[tests:], labels[tests:], images[:tests], labels[:tests])


def cifar10(folder: Path, *, examples: int = 2000, tests: int = 500) -> Data:
    """So many images of CIFAR-10, python version, from the folder with data_batch_1 to 5 and test_batch.

    Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Which images is the same every time.
    Raises DataError for a folder without these files, or files of another format.
    """
    parts = [_cifar10_file(folder / name) for name in CIFAR10_BATCHES]
    x, labels = np.concatenate([x for x, _ in parts]), np.concatenate([labels for _, labels in parts])
    test_x, test_labels = _cifar10_file(folder / "test_batch")
    return standardized("CIFAR-10", *_some(x, labels, examples), *_some(test_x, test_labels, tests))


def standardized(name: str, x: Array, labels: Labels, test_x: Array, test_labels: Labels) -> Data:
    """Images less the mean of the training part, over its standard deviation: one number each for all pixels."""
    x = x.astype(np.float64)
    mean, sd = x.mean(), x.std()
    return Data(
        name=name, x=(x - mean) / sd, labels=labels, test_x=(test_x - mean) / sd, test_labels=test_labels, classes=10
    )


def _some(x: Array, labels: Labels, count: int) -> tuple[Array, Labels]:
    rows = np.random.default_rng(SPLIT_SEED).permutation(len(x))[:count]
    return x[rows], labels[rows]


def _cifar10_file(path: Path) -> tuple[Array, Labels]:
    """Images ``(N, 3, 32, 32)`` and labels ``(N,)`` of one file."""
    try:
        content = _NumbersOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); expected the python version of CIFAR-10") from error
    except Exception as error:
        raise DataError(f"{path.name}: not a file of CIFAR-10, python version ({error})") from error
    if not isinstance(content, dict) or not {b"data", b"labels"} <= content.keys():
        raise DataError(f"{path.name}: not a file of CIFAR-10, python version: no data and labels in it")
    x, labels = np.asarray(content[b"data"]), np.asarray(content[b"labels"], dtype=np.int64)
    if x.dtype != np.uint8 or x.shape != (len(labels), np.prod(CIFAR10_SHAPE)):
        raise DataError(f"{path.name}: {x.dtype} {x.shape} for {len(labels)} labels, expected rows of 3072 bytes")
    return x.reshape(-1, *CIFAR10_SHAPE), labels


class _NumbersOnly(pickle.Unpickler):
    """A pickle can call anything when it is read; these may only make arrays."""

    MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs")
    NAMES = ("ndarray", "dtype", "_reconstruct", "encode")

    def find_class(self, module: str, name: str) -> Any:
        if module not in self.MODULES or name not in self.NAMES:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in it")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
