"""torch_channels_last and torch_cuda: the layout, the device, its clock, and where there is none."""

import ctypes
import importlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.device import DeviceClock, device_rows
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover
from bnbench.turns import in_turns

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


class Event:
    """What torch.cuda.Event is, for a thread that does what it is asked to, one thing after the other."""

    def __init__(self, thread):
        self.thread = thread

    def record(self):
        self.noted = self.thread.submit(time.perf_counter)

    def synchronize(self):
        self.noted.result()

    def elapsed_time(self, later):
        return (later.noted.result() - self.noted.result()) * 1e3


def test_the_work_of_a_device_is_timed_and_not_the_asking():
    with ThreadPoolExecutor(1) as thread:
        work = {"short": 0.002, "long": 0.006}
        binds = {name: lambda s=seconds: lambda: thread.submit(time.sleep, s) for name, seconds in work.items()}
        turns = in_turns(binds, budget=0.1, clock=DeviceClock(lambda: Event(thread)))
    for name, seconds in work.items():
        assert seconds <= turns.median(name) < 2 * seconds


@pytest.mark.skipif(bool(CUDA_MISSING), reason=CUDA_MISSING)
def test_a_gpu_is_timed_beside_its_memory():
    rows = list(device_rows([(64, 128), (8, 16, 32, 32)], budget=0.02))
    assert len(rows) == 6
    for row in rows:
        assert row.device
        assert min(row.seconds.values()) > 0
        assert 0 < row.fraction.median < 10
