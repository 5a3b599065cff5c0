"""torch_channels_last and torch_cuda: the layout, the device, and where there is none."""

import ctypes
import importlib

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

torch = pytest.importorskip("torch")

REGISTRY = discover()
CUDA = REGISTRY.implementations["torch_cuda"]
CUDA_MISSING = REGISTRY.missing(CUDA)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (2, 5, 3, 2, 4)], ids=str)
def test_channels_last_agrees_with_the_reference(shape, training):
    case = Case(shape=shape, training=training)
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(REGISTRY.implementations["torch_channels_last"].load())(inputs, dy)
    expected = normalize(inputs, dy, running_var_ddof=1)
    for a, b in zip((got.y, *got.gradients[0]), (expected.y, *expected.gradients[0]), strict=True):
        assert np.abs(a - b).max() <= 1e-13 * np.abs(b).max()


def test_what_torch_gets_is_channels_last(monkeypatch):
    seen = []
    original = torch.nn.functional.batch_norm

    def recorded(x, *arguments, **options):
        seen.append(x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous())
        return original(x, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "batch_norm", recorded)
    inputs = draw(Case(shape=(4, 3, 5, 6)))
    local_kernel(REGISTRY.implementations["torch_channels_last"].load())(inputs)
    assert seen == [True]


@pytest.mark.parametrize(
    ("found", "error", "reason"),
    [
        ("2.13.0+cpu", None, "torch 2.13.0+cpu is built without CUDA"),
        ("2.13.0", OSError("no such file"), "there is no NVIDIA driver"),
    ],
)
def test_without_a_gpu_the_reason_is_given(monkeypatch, found, error, reason):
    def opened(_):
        raise error

    module = importlib.import_module("bnbench.implementations.torch_cuda")
    monkeypatch.setattr(module, "version", lambda _: found)
    monkeypatch.setattr(ctypes, "CDLL", opened)
    assert REGISTRY.missing(CUDA) == reason


@pytest.mark.skipif(bool(CUDA_MISSING), reason=CUDA_MISSING)
def test_the_gpu_agrees_with_the_reference():
    case = Case(shape=(64, 9), dtype="float64")
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(CUDA.load())(inputs, dy, dy)
    expected = normalize(inputs, dy, running_var_ddof=1)
    for a, b in zip((got.y, *got.gradients[0]), (expected.y, *expected.gradients[0]), strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()
    assert all(same_bits(a, b) for a, b in zip(*got.gradients, strict=True))
