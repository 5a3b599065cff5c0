"""torch_compiled: where it can be compiled, when it is, and what comes out."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

REGISTRY = discover()
IMPLEMENTATION = REGISTRY.implementations["torch_compiled"]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


@needs_torch
def test_without_a_compiler_it_is_unavailable_and_says_why(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert REGISTRY.missing(IMPLEMENTATION) == (
        "torch.compile needs a C++ compiler, and no-such-compiler is not on the path"
    )


@needs_torch
def test_the_compiler_that_the_environment_names_is_looked_for(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)
    assert REGISTRY.missing(IMPLEMENTATION) == ""


def test_it_is_not_among_those_that_run_unless_it_is_named():
    assert IMPLEMENTATION not in REGISTRY.select(())
    assert REGISTRY.select(["torch_compiled"]) == (IMPLEMENTATION,)


def test_whether_it_is_available_is_known_without_torch():
    code = (
        "import sys; from bnbench.registry import discover; r = discover(); "
        "r.missing(r.implementations['torch_compiled']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(bool(REGISTRY.missing(IMPLEMENTATION)), reason=REGISTRY.missing(IMPLEMENTATION))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when its compiler is imported
def test_one_compilation_serves_every_shape_and_every_vjp():
    forward = IMPLEMENTATION.load()
    for shape in ((9, 5), (64, 3)):
        case = Case(shape=shape, dtype="float32")
        inputs, dy = draw(case), draw_cotangent(case)
        got = local_kernel(forward)(inputs, dy, dy)
        expected = normalize(inputs, dy, running_var_ddof=1)
        for a, b in zip((got.y, *got.gradients[0]), (expected.y, *expected.gradients[0]), strict=True):
            assert a == pytest.approx(b, abs=1e-5 * abs(b).max())
        assert all(same_bits(a, b) for a, b in zip(*got.gradients, strict=True))

    import torch

    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # noqa: SLF001 - there is no public count
