"""numba_fused: when Numba is imported, and what it compiles. What it computes is in test_fused.py."""

import os
import subprocess
import sys

import numpy as np
import pytest

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
