"""c_fused: the binding. What it computes is in test_fused.py and test_grouped.py."""

import gc
import inspect
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import same_bits
from bnbench.model import Case
from bnbench.registry import discover

REGISTRY = discover()
IMPLEMENTATION = REGISTRY.implementations["c_fused"]
MISSING = REGISTRY.missing(IMPLEMENTATION)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

X, C = np.arange(12.0).reshape(4, 3), np.ones(3)
ARRAYS = (X, C, C, C, C)
STATM = Path("/proc/self/statm")
OPTIONS = {"training": True, "eps": 1e-5, "momentum": 0.1}


GROUPED_OPTIONS = {"groups": 3, "eps": 1e-5}


@pytest.fixture
def forward():
    return IMPLEMENTATION.load()


@pytest.fixture(params=["c_group_norm", "c_rms_norm"])
def grouped(request):
    return REGISTRY.implementations[request.param].load()


def test_signature_is_that_of_the_protocol(forward):
    assert str(inspect.signature(forward)) == (
        "(x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum)"
    )


def test_keywords_are_taken_in_any_order_and_as_any_number(forward):
    y, _, _ = forward(*ARRAYS, **OPTIONS | {"eps": 1})
    again, _, _ = forward(*ARRAYS, momentum=np.float64(0.1), eps=np.int64(1), training=True)
    assert same_bits(y, again)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (ARRAYS[:4], OPTIONS, r"takes 5 positional arguments \(x, gamma, beta, running_mean, running_var\), got 4"),
        ((*ARRAYS, True), OPTIONS, "takes 5 positional arguments .*, got 6"),
        (ARRAYS, {"training": True, "eps": 1e-5}, "missing the keyword argument 'momentum'"),
        (ARRAYS, OPTIONS | {"epsilon": 1}, "unexpected keyword argument 'epsilon'"),
        (ARRAYS, OPTIONS | {"eps": "small"}, "eps is a str, expected a number"),
        (ARRAYS, OPTIONS | {"momentum": None}, "momentum is a NoneType, expected a number"),
    ],
)
def test_wrong_calls_are_refused(forward, arrays, options, message):
    with pytest.raises(TypeError, match=message):
        forward(*arrays, **options)


def test_vjp_keeps_x_alive_and_no_longer_than_itself(forward):
    x = X.copy()
    alive = weakref.ref(x)
    _, _, vjp = forward(x, C, C, C, C, **OPTIONS)
    expected = vjp(X)
    del x
    gc.collect()
    assert alive() is not None
    for a, b in zip(vjp(X), expected, strict=True):
        assert same_bits(a, b)
    del vjp
    gc.collect()
    assert alive() is None


def test_no_reference_is_kept_or_lost_by_any_call(forward):
    wrong = np.ones(4)
    watched = [X, C, wrong, np.float32, np.float64, np.empty]
    before = [sys.getrefcount(a) for a in watched]
    for _ in range(50):
        _, _, vjp = forward(*ARRAYS, **OPTIONS)
        vjp(X)
        for call in (
            lambda vjp=vjp: vjp(wrong),
            lambda: forward(X, wrong, C, C, C, **OPTIONS),
            lambda: forward(X, C, C, C, wrong, **OPTIONS),
            lambda: forward(wrong, C, C, C, C, **OPTIONS),
            lambda: forward(*ARRAYS, **OPTIONS | {"training": 2}),
            lambda: forward(*ARRAYS, **OPTIONS | {"eps": -1}),
            lambda: forward(X[:1], C, C, C, C, **OPTIONS),
        ):
            with pytest.raises((TypeError, ValueError)):
                call()
    del _, vjp, call
    assert [sys.getrefcount(a) for a in watched] == before


def test_signature_of_a_grouped_norm_is_that_of_the_protocol(grouped):
    assert str(inspect.signature(grouped)) == "(x, gamma, beta, /, *, groups, eps)"


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (ARRAYS[:2], GROUPED_OPTIONS, r"_norm\(\) takes 3 positional arguments \(x, gamma, beta\), got 2"),
        (ARRAYS, GROUPED_OPTIONS, "takes 3 positional arguments .*, got 5"),
        (ARRAYS[:3], {"groups": 1}, "missing the keyword argument 'eps'"),
        (ARRAYS[:3], GROUPED_OPTIONS | {"training": True}, "unexpected keyword argument 'training'"),
        (ARRAYS[:3], GROUPED_OPTIONS | {"eps": "small"}, "eps is a str, expected a number"),
    ],
)
def test_wrong_calls_of_a_grouped_norm_are_refused(grouped, arrays, options, message):
    with pytest.raises(TypeError, match=message):
        grouped(*arrays, **options)


def test_a_grouped_norm_keeps_and_loses_no_reference(grouped):
    wrong = np.ones(4)
    watched = [X, C, wrong, np.float32, np.float64, np.empty]
    before = [sys.getrefcount(a) for a in watched]
    for _ in range(50):
        _, vjp = grouped(X, C, C, **GROUPED_OPTIONS)
        vjp(X)
        for call in (
            lambda vjp=vjp: vjp(wrong),
            lambda: grouped(X, wrong, C, **GROUPED_OPTIONS),
            lambda: grouped(X, C, wrong, **GROUPED_OPTIONS),
            lambda: grouped(wrong, C, C, **GROUPED_OPTIONS),
            lambda: grouped(X, C, C, **GROUPED_OPTIONS | {"groups": 2}),
            lambda: grouped(X, C, C, **GROUPED_OPTIONS | {"groups": 1.0}),
            lambda: grouped(X, C, C, **GROUPED_OPTIONS | {"eps": -1}),
        ):
            with pytest.raises((TypeError, ValueError)):
                call()
    del _, vjp, call
    assert [sys.getrefcount(a) for a in watched] == before


@pytest.mark.skipif(not STATM.exists(), reason=f"reads {STATM}")
def test_memory_of_a_grouped_norm_does_not_grow(grouped):
    def pages():
        return int(STATM.read_text().split()[1])

    x, c = np.random.default_rng(0).standard_normal((1000, 64)), np.ones(64)

    def calls(count):
        for _ in range(count):
            _, vjp = grouped(x[::-1], c, c, groups=4, eps=1e-5)
            vjp(x)

    calls(100)
    before = pages()
    calls(100)  # keeping the statistics of the blocks alone would be 10 MB
    assert pages() - before < 500


@pytest.mark.skipif(not STATM.exists(), reason=f"reads {STATM}")
def test_memory_does_not_grow(forward):
    def pages():
        return int(STATM.read_text().split()[1])

    x = np.random.default_rng(0).standard_normal((64, 1000))
    c = np.ones(1000)

    def calls(count):
        for _ in range(count):
            _, _, vjp = forward(x[::-1], c, c, c, c, **OPTIONS)
            vjp(x)

    calls(200)
    before = pages()
    calls(200)  # keeping what the channels need for backward alone would be 6 MB
    assert pages() - before < 500


def test_threads_compute_what_one_thread_computes(forward):
    # Large arrays are worked on without the interpreter's lock.
    case = Case(shape=(700, 300))
    inputs, dy = draw(case), draw_cotangent(case)
    arrays = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)

    def results():
        y, kept, vjp = forward(*arrays, **OPTIONS)
        return (y, *kept, *vjp(dy))

    expected, found = results(), []
    threads = [threading.Thread(target=lambda: found.extend(results() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for got in found:
        for a, b in zip(got, expected, strict=True):
            assert same_bits(a, b)


def test_an_extension_that_is_not_there_is_listed_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "install a C compiler" in REGISTRY.missing(IMPLEMENTATION)
