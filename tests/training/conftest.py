"""Data small enough to train on in a test, and one experiment that was performed on them."""

import numpy as np
import pytest

from bnbench.policy import environment
from bnbench.registry import discover
from bnbench.training.data import standardized
from bnbench.training.model import Setting
from bnbench.training.session import EXPERIMENTS, perform


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data():
    """Four classes of 8 x 8 images: a bright quadrant each, in noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 400)
    x = generator.standard_normal((400, 1, 8, 8))
    for image, label in zip(x, labels, strict=True):
        row, column = divmod(label, 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    return standardized("quadrants", x[:300], labels[:300], x[300:], labels[300:])


@pytest.fixture(scope="session")
def implementations():
    registry = discover()
    return {each.name: each for each in registry.select(()) if not registry.missing(each)}


@pytest.fixture(scope="session")
def done(data, implementations):
    """Perform an experiment by name, with few seeds and steps."""
    available = tuple(n for n, i in implementations.items() if i.capabilities.norm == "batch")

    def do(name, checkpoints=None, progress=lambda *_: None, **choices):
        setting = Setting(**{"seeds": (0, 1), "available": available, "steps": 10, **choices})
        return perform(
            EXPERIMENTS[name], setting, data, implementations, environment(), progress, checkpoints=checkpoints
        )

    return do
