"""numba_fused: when Numba is imported, and what it compiles. What it computes is in test_fused.py."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

REGISTRY = discover()
IMPLEMENTATION = REGISTRY.implementations["numba_fused"]
MISSING = REGISTRY.missing(IMPLEMENTATION)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

KERNELS = ("forward_rows", "forward_planes", "backward_rows", "backward_planes")


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=300,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    ).stdout


def test_numba_is_imported_by_load_alone():
    run("""
import sys
from bnbench.registry import discover
implementation = discover().implementations["numba_fused"]
assert "numba" not in sys.modules, "imported by discovery"
implementation.load()
assert "numba" in sys.modules
""")


def test_every_kernel_is_compiled_by_load_for_both_types_and_nothing_later():
    from bnbench.implementations import _numba_kernels as kernels

    forward = IMPLEMENTATION.load()
    before = {name: len(getattr(kernels, name).signatures) for name in KERNELS}
    assert before == dict.fromkeys(KERNELS, 2)
    for dtype in (np.float32, np.float64):
        c = np.ones(3, dtype)
        c.flags.writeable = False
        for x in (np.ones((4, 3), dtype), np.ones((4, 3, 2), dtype)[::-1]):
            _, _, vjp = forward(x, c, c, c, c, training=True, eps=1e-5, momentum=0.1)
            vjp(x)
    assert {name: len(getattr(kernels, name).signatures) for name in KERNELS} == before


@pytest.mark.parametrize("shape", [(300, 70), (130, 2500), (40, 3, 4, 5)], ids=str)
def test_given_outputs_are_filled_with_the_same_bits_and_returned(shape):
    case = Case(shape=shape, dtype="float32")
    inputs, dy = draw(case), draw_cotangent(case)
    given = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    options = {"training": True, "eps": 1e-5, "momentum": 0.1}
    outputs = [np.full_like(a, np.nan) for a in (inputs.x, inputs.gamma, inputs.gamma)]
    gradients = [np.full_like(a, np.nan) for a in (inputs.x, inputs.gamma, inputs.gamma)]
    y, kept, vjp = IMPLEMENTATION.load()(*given, **options, out=outputs)
    fresh_y, fresh_kept, fresh_vjp = IMPLEMENTATION.load()(*given, **options)
    answers = (y, *kept, *vjp(dy, out=gradients))
    assert all(a is b for a, b in zip(answers, (*outputs, *gradients), strict=True))
    assert all(same_bits(a, b) for a, b in zip(answers, (fresh_y, *fresh_kept, *fresh_vjp(dy)), strict=True))


@pytest.mark.parametrize(
    "large", [np.ones((4, 2)), np.ones((4, 3), np.float32), np.ones((3, 4)).T, np.broadcast_to(1.0, (4, 3))]
)
def test_outputs_that_can_not_be_filled_are_refused(large):
    x, c = np.arange(12.0).reshape(4, 3), np.ones(3)
    forward = IMPLEMENTATION.load()
    with pytest.raises(ValueError, match="expected a writeable C-contiguous one"):
        forward(x, c, c, c, c, training=True, eps=1e-5, momentum=0.1, out=(large, c.copy(), c.copy()))


@pytest.mark.parametrize("offset", [0, 60], ids="{} bytes into a line".format)
@pytest.mark.parametrize("shape", [(70001, 64), (1, 33, 100003)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_output_that_is_streamed_is_the_same_wherever_it_lies(shape, training, offset):
    # More than the last cache holds, and no whole number of cache lines.
    case = Case(shape=shape, dtype="float32", training=training)
    inputs, dy = draw(case), draw_cotangent(case)
    given = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)

    def room(like):
        memory = np.empty(like.nbytes + 128, np.uint8)
        start = -memory.ctypes.data % 64 + offset
        return memory[start : start + like.nbytes].view(like.dtype).reshape(like.shape)

    y, _, vjp = IMPLEMENTATION.load()(
        *given, training=training, eps=1e-5, momentum=0.1, out=[room(a) for a in (inputs.x, inputs.gamma, inputs.gamma)]
    )
    gradients = vjp(dy, out=[room(a) for a in (inputs.x, inputs.gamma, inputs.gamma)])
    expected = normalize(inputs, dy)
    for a, b in zip((y, *gradients), (expected.y, *expected.gradients[0]), strict=True):
        assert np.abs(a - b).max() <= 1e-6 * np.abs(b).max()


@pytest.mark.slow
def test_the_next_process_takes_every_kernel_from_the_disk_cache(tmp_path):
    code = f"""
from bnbench.implementations.numba_fused import implementation
implementation.load()
from bnbench.implementations import _numba_kernels as kernels
stats = [getattr(kernels, name).stats for name in {KERNELS}]
print(sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats))
"""
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["0", "8"]
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["8", "0"]
