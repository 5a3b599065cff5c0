"""c_fused: the binding. What it computes is in test_fused.py and test_grouped.py."""

import gc
import importlib
import inspect
import os
import sys
import threading
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import same_bits
from bnbench.model import Case
from bnbench.reference import normalize
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
        "(x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum, out=None, threads=1)"
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


def test_vjp_knows_the_shape_that_x_had(forward):
    x = X.copy()
    _, _, vjp = forward(x, C, C, C, C, **OPTIONS)
    expected = vjp(X)
    x.resize((2, 6), refcheck=False)
    for a, b in zip(vjp(X), expected, strict=True):
        assert same_bits(a, b)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 6\), expected the shape of x"):
        vjp(x)


def test_arrays_of_the_other_byte_order_are_refused(forward):
    other = ">f8" if sys.byteorder == "little" else "<f8"
    with pytest.raises(TypeError, match=f"x is an array of {other}, expected a NumPy array of float32 or float64"):
        forward(X.astype(other), C, C, C, C, **OPTIONS)


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
    assert str(inspect.signature(grouped)) == "(x, gamma, beta, /, *, groups, eps, out=None, threads=1)"


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


def grouped_results(grouped, shape, dtype, groups, **options):
    generator = np.random.default_rng(0)
    x, dy = generator.standard_normal((2, *shape)).astype(dtype)
    gamma, beta = generator.standard_normal((2, shape[1])).astype(dtype)
    y, vjp = grouped(x, gamma, beta, groups=groups, eps=1e-5, **options)
    return (y, *vjp(dy))


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((1500, 300), 1), ((700, 40, 9), 5), ((1, 60, 50, 50), 60), ((9, 40, 25, 25), 4)],
    ids=["rows", "short groups", "instances of one row", "long groups"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit_of_a_grouped_norm(grouped, shape, groups, dtype):
    one = grouped_results(grouped, shape, dtype, groups)
    for threads in (2, 3):
        for a, b in zip(grouped_results(grouped, shape, dtype, groups, threads=threads), one, strict=True):
            assert same_bits(a, b)


def test_a_given_output_of_a_grouped_norm_is_filled_and_returned(grouped):
    expected = grouped_results(grouped, (40, 6, 5), "float32", 3)
    given = empty((40, 6, 5), "float32", offset=1)
    y, *_ = grouped_results(grouped, (40, 6, 5), "float32", 3, out=(given,))
    assert y is given
    assert same_bits(y, expected[0])


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((4, 3)), TypeError, "out is an array of float64, expected a tuple of one array"),
        ((np.empty((4, 3)), np.empty(3)), TypeError, "out is a tuple, expected a tuple of one array"),
        ((np.empty((3, 4)),), ValueError, r"y in out has shape \(3, 4\), expected the shape of x"),
        ((X,), ValueError, "y in out shares memory"),
    ],
)
def test_wrong_outputs_of_a_grouped_norm_are_refused(grouped, out, error, message):
    with pytest.raises(error, match=message):
        grouped(X, C, C, **GROUPED_OPTIONS, out=out)


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


def arrays_for(case):
    inputs, dy = draw(case), draw_cotangent(case)
    return (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var), dy


def results_with(forward, case, **options):
    arrays, dy = arrays_for(case)
    y, kept, vjp = forward(*arrays, **OPTIONS | {"training": case.training}, **options)
    return (y, *kept, *vjp(dy))


@pytest.mark.parametrize(
    "shape",
    [
        (700, 300),  # a panel of columns for each thread
        (5000, 70),  # parts of rows
        (9001, 701),  # from memory, a line at a time
        (40001, 12),  # several rows in a line, and some left over
        (300, 50, 9),
        (16, 40, 15, 15),  # groups of channels
        (9, 3, 150, 150),  # parts of images
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(forward, shape, dtype, training):
    case = Case(shape=shape, dtype=dtype, training=training)
    one = results_with(forward, case)
    for threads in (2, 3):
        for a, b in zip(results_with(forward, case, threads=threads), one, strict=True):
            assert same_bits(a, b)


def test_callers_that_ask_for_threads_at_the_same_time_get_the_same(forward):
    case = Case(shape=(700, 300))
    expected, found = results_with(forward, case), []
    callers = [
        threading.Thread(target=lambda: found.extend(results_with(forward, case, threads=2) for _ in range(20)))
        for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 60
    for got in found:
        for a, b in zip(got, expected, strict=True):
            assert same_bits(a, b)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_asks_for_threads_too(forward):
    case = Case(shape=(700, 300))
    expected = results_with(forward, case, threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of what is tested here
        child = os.fork()
    if child == 0:
        same = all(same_bits(*pair) for pair in zip(results_with(forward, case, threads=2), expected, strict=True))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.0, TypeError)])
def test_a_wrong_number_of_threads_is_refused(forward, threads, error):
    with pytest.raises(error, match="threads is"):
        forward(*ARRAYS, **OPTIONS, threads=threads)


def empty(shape, dtype="float64", offset=0):
    """An array that begins so many elements after a cache line."""
    size = int(np.prod(shape))
    room = np.full(size + offset + 64, np.nan, dtype)
    start = -room.ctypes.data % 64 // room.itemsize + offset
    return room[start : start + size].reshape(shape)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(9, 5), (300, 70), (40, 3, 4, 5), (3, 2, 101)], ids=str)
def test_given_outputs_are_filled_and_returned(forward, shape, training):
    case = Case(shape=shape, training=training)
    arrays, dy = arrays_for(case)
    expected = results_with(forward, case)
    given = [empty(a.shape, a.dtype, offset=1) for a in expected]
    y, kept, vjp = forward(*arrays, **OPTIONS | {"training": training}, out=tuple(given[:3]))
    results = (y, *kept, *vjp(dy, out=tuple(given[3:])))
    for got, buffer, a in zip(results, given, expected, strict=True):
        assert got is buffer
        assert same_bits(got, a)


GOOD = (np.empty((4, 3)), np.empty(3), np.empty(3))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (X, TypeError, "out is an array of float64, expected a tuple of three arrays"),
        (GOOD[:2], TypeError, "out is a tuple, expected a tuple of three arrays"),
        ((np.empty((3, 4)), *GOOD[1:]), ValueError, r"y in out has shape \(3, 4\), expected the shape of x"),
        ((GOOD[0], np.empty(4), GOOD[2]), ValueError, r"running_mean in out has shape \(4,\), expected one value"),
        ((np.empty((4, 3), "f"), *GOOD[1:]), TypeError, "y in out is an array of float32"),
        ((None, *GOOD[1:]), TypeError, "y in out is a NoneType"),
        ((np.empty((3, 4)).T, *GOOD[1:]), ValueError, "y in out is not C-contiguous"),
        ((X, *GOOD[1:]), ValueError, "y in out shares memory"),
        ((GOOD[0], GOOD[1], GOOD[1]), ValueError, "running_var in out shares memory"),
        ((GOOD[0], C, GOOD[2]), ValueError, "running_mean in out shares memory"),
    ],
)
def test_wrong_outputs_are_refused(forward, out, error, message):
    with pytest.raises(error, match=message):
        forward(*ARRAYS, **OPTIONS, out=out)


def test_read_only_outputs_and_those_of_a_vjp_that_overlap_are_refused(forward):
    y = np.empty_like(X)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="y in out is not C-contiguous, aligned and writable"):
        forward(*ARRAYS, **OPTIONS, out=(y, *GOOD[1:]))
    _, _, vjp = forward(*ARRAYS, **OPTIONS)
    for dx in (X, y):
        with pytest.raises(ValueError, match="dx in out"):
            vjp(X.copy(), out=(dx, *GOOD[1:]))


@pytest.mark.parametrize("shape", [(70001, 64), (2500, 1999), (33, 64, 64, 65)], ids=str)
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_arrays_beyond_the_cache_are_written_whole(forward, shape, offset):
    # They are written past the caches, whole cache lines at a time, whatever the place of their first element.
    case = Case(shape=shape, dtype="float32", training=False)
    arrays, dy = arrays_for(case)
    given = [empty(shape, "float32", offset) for _ in range(2)]
    c = [np.empty(shape[1], "f") for _ in range(4)]
    y, _, vjp = forward(*arrays, **OPTIONS | {"training": False}, out=(given[0], *c[:2]))
    few, _, _ = forward(arrays[0][-5:], *arrays[1:], **OPTIONS | {"training": False})
    assert same_bits(y[-5:], few)
    assert not np.isnan(y).any()

    _, _, vjp = forward(*arrays, **OPTIONS)
    dx, _, _ = vjp(dy, out=(given[1], *c[2:]))
    assert same_bits(dx, vjp(dy, out=(empty(shape, "float32"), *c[:2]))[0])
    expected = normalize(draw(replace(case, training=True)), dy).gradients[0].dx
    assert np.abs(dx - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_ceilings_read_and_write_every_element(streaming, threads):
    extension = importlib.import_module("bnbench.implementations.c_fused._c_fused")
    one, other = (np.arange(99_999, dtype=np.int32).view("f") for _ in range(2))
    to = empty(one.shape, "float32", offset=1)
    extension.copy(one, to, streaming=streaming, threads=threads)
    assert np.array_equal(to.view(np.int32), one.view(np.int32) ^ 1)
    extension.triad(one, other, to, streaming=streaming, threads=threads)
    assert np.array_equal(to.view(np.int32), 2 * one.view(np.int32))
    with pytest.raises(ValueError, match="arrays of one size"):
        extension.copy(one[1:], to, streaming=streaming, threads=threads)


def test_an_extension_that_is_not_there_is_listed_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "install a C compiler" in REGISTRY.missing(IMPLEMENTATION)
