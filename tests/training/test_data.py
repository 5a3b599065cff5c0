"""Data: the splits are the same every time, and files that are not CIFAR-10 are refused before they run."""

import pickle
import sys

import numpy as np
import pytest

from bnbench.training.data import DataError, cifar10, digits


def test_digits_are_split_the_same_way_every_time_and_no_image_is_in_both_parts():
    pytest.importorskip("sklearn")
    first, second = digits(), digits()

    assert first.x.shape == (1438, 1, 8, 8)
    assert first.test_x.shape == (359, 1, 8, 8)
    assert first.x.tobytes() == second.x.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    assert abs(first.x.mean()) < 1e-12
    assert abs(first.x.std() - 1) < 1e-12
    together = np.concatenate([first.x, first.test_x]).reshape(1797, -1)
    assert len(np.unique(together, axis=0)) == 1797
    assert np.bincount(first.labels).min() > 130


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'bnbench\[train\]'"):
        digits()


@pytest.fixture
def cifar(tmp_path):
    """A folder as the python version of CIFAR-10 has it, 20 images a file."""
    generator = np.random.default_rng(1)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        content = {
            b"data": generator.integers(0, 256, (20, 3072), dtype=np.uint8),
            b"labels": generator.integers(0, 10, 20).tolist(),
            b"batch_label": name.encode(),
        }
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    return tmp_path


def test_cifar10_is_read_channels_first_and_cut_the_same_way_every_time(cifar):
    data, again = cifar10(cifar, examples=50, tests=10), cifar10(cifar, examples=50, tests=10)
    assert data.x.shape == (50, 3, 32, 32)
    assert data.test_x.shape == (10, 3, 32, 32)
    assert data.x.tobytes() == again.x.tobytes()

    whole = cifar10(cifar, examples=100, tests=20)
    content = pickle.loads((cifar / "test_batch").read_bytes())  # noqa: S301 - made above
    image = content[b"data"].reshape(20, 3, 32, 32)
    order = np.random.default_rng(231).permutation(20)
    ratio = (whole.test_x[0] - whole.test_x[0].min()) / (whole.test_x[0].max() - whole.test_x[0].min())
    first = image[order[0]].astype(float)
    np.testing.assert_allclose(ratio, (first - first.min()) / (first.max() - first.min()), atol=1e-12)
    assert whole.test_labels[0] == content[b"labels"][order[0]]


class Harmful:
    def __reduce__(self):
        return print, ("this ran",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Harmful()), "print does not belong in it"),
        (pickle.dumps([1, 2]), "no data and labels"),
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [1, 2]}), "expected rows of 3072 bytes"),
        (pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}), "expected rows of 3072 bytes"),
        (b"not a pickle", "not a file of CIFAR-10"),
    ],
    ids=["harmful", "list", "shape", "dtype", "text"],
)
def test_a_file_that_is_not_cifar10_is_refused_and_runs_nothing(cifar, content, words, capsys):
    (cifar / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=words):
        cifar10(cifar)
    assert "this ran" not in capsys.readouterr().out


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="data_batch_1: can't be read"):
        cifar10(tmp_path)
