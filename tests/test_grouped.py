"""The norms within a row (layer, group, instance, rms), in NumPy, torch and C: what they promise beyond conformance."""

import subprocess
import sys

import numpy as np
import pytest

from bnbench.blocks import GROUPED, groups_of
from bnbench.cases import draw, draw_cotangent, elements
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

REGISTRY = discover()
LIBRARIES = ("numpy", "torch", "c")
SHAPES = [
    (9, 6),
    (1, 6),
    (300, 70),  # several blocks of rows
    (3, 9000),  # several blocks within a row
    (5, 6, 7),
    (3, 4, 1),  # with instance norm, blocks of one value
    (4, 6, 5, 3),
    (2, 6, 4, 101),  # planes long enough to be taken one by one
    (2, 4, 3, 2, 5),
]
BY_LIBRARY = [(library, norm) for library in LIBRARIES for norm in GROUPED]


def load(library, norm):
    implementation = REGISTRY.implementations[f"{library}_{norm}_norm"]
    if missing := REGISTRY.missing(implementation):
        pytest.skip(missing)
    return implementation.load()


def case_of(norm, shape, **options):
    return Case(shape=shape, norm=norm, groups=2 if norm == "group" else 1, **options)


def arguments_of(case):
    """x, gamma, beta and the keyword arguments of a grouped forward."""
    inputs = draw(case)
    return (inputs.x, inputs.gamma, inputs.beta), {
        "groups": groups_of(case.channels, case.norm, case.groups),
        "eps": case.eps,
    }


def results_of(forward, arrays, options, dy):
    y, vjp = forward(*arrays, **options)
    return (y, *vjp(dy))


def expected_of(case):
    expected = normalize(draw(case), draw_cotangent(case))
    return (expected.y, *expected.gradients[0])


def largest_error(got, expected):
    """max |got - expected| relative to the largest expected value."""
    return np.abs(got - expected).max() / max(np.abs(expected).max(), 1)


@pytest.fixture(params=BY_LIBRARY, ids="_".join)
def named(request):
    """A forward function and the norm that it is."""
    return load(*request.param), request.param[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_reference_to_a_few_roundings(named, shape, dtype):
    forward, norm = named
    case = case_of(norm, shape, dtype=dtype, mean=0.5)
    dy = draw_cotangent(case)
    got = local_kernel(forward)(draw(case), dy, dy)

    assert got.mutated == ()
    for a, b in zip((got.y, *got.gradients[0]), expected_of(case), strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        # In a block of one value everything is what is left of numbers 1 / sqrt(eps) times as large.
        assert largest_error(a, b) <= (64 if elements(case) > 1 else 4096) * np.finfo(dtype).eps
    for first, second in zip(*got.gradients, strict=True):
        assert same_bits(first, second)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (norm, shape)
        for norm in GROUPED
        for shape in [(64, 96), (16, 12, 4, 4), (4, 6, 8, 16)]
        if norm != "instance" or len(shape) > 2  # of one value nothing is left but noise
    ],
    ids=str,
)
@pytest.mark.parametrize(("mean", "sd"), [(1e3, 1), (1e4, 1), (1e4, 0.1), (1e6, 1)])
@pytest.mark.parametrize("library", ["numpy", "c"])
def test_float32_keeps_its_digits_at_large_means(library, norm, mean, sd, shape):
    case = case_of(norm, shape, dtype="float32", mean=mean, sd=sd)
    arrays, options = arguments_of(case)
    for a, b in zip(
        results_of(load(library, norm), arrays, options, draw_cotangent(case)), expected_of(case), strict=True
    ):
        assert largest_error(a, b) <= 2e-6


@pytest.mark.parametrize("library", ["numpy", "c"])
@pytest.mark.parametrize("shape", [(2, 65536), (2, 4, 128, 256)], ids=str)
def test_float32_keeps_its_digits_over_many_values(library, shape):
    case = case_of("layer", shape, dtype="float32", mean=1e4)
    arrays, options = arguments_of(case)
    for a, b in zip(
        results_of(load(library, "layer"), arrays, options, draw_cotangent(case)), expected_of(case), strict=True
    ):
        assert largest_error(a, b) <= 2e-6


@pytest.mark.parametrize("shape", [(5, 6), (9, 6, 4), (3, 6, 128)], ids=str)
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        np.flip,
        np.asfortranarray,
        lambda a: np.repeat(a, 2, 0)[::2],
        lambda a: np.frombuffer(b"." + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    ],
    ids=["reversed", "flipped", "Fortran", "every second", "unaligned and read-only"],
)
def test_memory_layout_does_not_matter(named, shape, view):
    forward, norm = named
    case = case_of(norm, shape)
    arrays, options = arguments_of(case)
    dy = draw_cotangent(case)
    views = [view(a) for a in arrays]
    strided = results_of(forward, views, options, view(dy))
    contiguous = results_of(forward, [np.ascontiguousarray(a) for a in views], options, view(dy).copy())
    for a, b in zip(strided, contiguous, strict=True):
        # NumPy sums a transposed dy in another order.
        assert largest_error(a, b) <= 1e-14


def test_read_only_arrays_are_taken_without_a_warning(named):
    forward, norm = named
    case = case_of(norm, (5, 4, 3))
    arrays, options = arguments_of(case)
    dy = draw_cotangent(case)
    expected = results_of(forward, arrays, options, dy)
    for a in (*arrays, dy):
        a.flags.writeable = False
    for a, b in zip(results_of(forward, arrays, options, dy), expected, strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("shape", [(1, 4), (5, 4, 2)], ids=str)
def test_no_result_shares_memory_with_an_argument(named, shape):
    # One row of one value per channel: nothing is summed for dbeta, so that dy itself could be handed on.
    forward, norm = named
    arrays, options = arguments_of(case_of(norm, shape))
    dy = np.ones(shape)
    for result in results_of(forward, arrays, options, dy):
        for argument in (*arrays, dy):
            assert not np.shares_memory(result, argument)


def test_changing_everything_but_x_after_forward_does_not_change_the_gradients(named):
    forward, norm = named
    case = case_of(norm, (7, 4, 2))
    arrays, options = arguments_of(case)
    dy = draw_cotangent(case)
    y, vjp = forward(*arrays, **options)
    before = vjp(dy)
    for a in (y, *arrays[1:]):
        np.add(a, 1, out=a)
    for a, b in zip(before, vjp(dy), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (0, 4, 2, 64)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_empty_batch_has_zero_parameter_gradients(named, shape, dtype):
    forward, norm = named
    x, c = np.empty(shape, dtype), np.ones(4, dtype)
    y, vjp = forward(x, c, c, groups=groups_of(4, norm, 2), eps=1e-5)
    dx, dgamma, dbeta = vjp(y)
    assert y.shape == dx.shape == shape
    assert y.dtype == dx.dtype == dtype
    assert same_bits(dgamma, np.zeros(4, dtype))
    assert same_bits(dbeta, np.zeros(4, dtype))


def test_nan_stays_in_its_row(named):
    forward, norm = named
    case = case_of(norm, (5, 4, 3))
    arrays, options = arguments_of(case)
    dy = draw_cotangent(case)
    expected = results_of(forward, arrays, options, dy)
    arrays[0][1, 2, 0] = np.nan
    y, dx, *_ = results_of(forward, arrays, options, dy)
    assert np.isnan(y[1, 2]).all()
    assert np.isnan(dx[1, 2]).all()
    for a, b in zip((y, dx), expected[:2], strict=True):
        assert same_bits(np.delete(a, 1, axis=0), np.delete(b, 1, axis=0))


C, X = np.ones(4), np.ones((3, 4))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"x": X.astype(int)}, TypeError, "x is an array of int.*, expected a NumPy array of float32 or float64"),
        ({"x": X.tolist()}, TypeError, "x is a list"),
        ({"x": C}, ValueError, r"x has shape \(4,\), expected \(N, C\) or \(N, C, \*spatial\)"),
        ({"x": np.ones((1, 4, 1, 1, 1, 3))}, ValueError, r"x has shape \(1, 4, 1, 1, 1, 3\)"),
        (
            {"gamma": np.ones(3)},
            ValueError,
            r"gamma has shape \(3,\), expected \(4,\): one value for each channel of x",
        ),
        ({"gamma": np.ones((1, 4))}, ValueError, r"gamma has shape \(1, 4\), expected \(4,\)"),
        ({"beta": C.astype(np.float32)}, TypeError, "beta is an array of float32, expected a NumPy array of float64"),
        ({"beta": None}, TypeError, "beta is a NoneType, expected a NumPy array of float64 as x is"),
        ({"groups": 3}, ValueError, "groups is 3, expected a positive divisor of the 4 channels of x"),
        ({"groups": 0}, ValueError, "groups is 0, expected a positive divisor of the 4 channels of x"),
        ({"groups": -2}, ValueError, "groups is -2, expected a positive divisor"),
        ({"groups": 10**30}, ValueError, "groups is 1000.*, expected a positive divisor"),
        ({"groups": 2.0}, TypeError, r"groups is 2\.0, expected a whole number"),
        ({"groups": True}, TypeError, "groups is True, expected a whole number"),
    ],
)
def test_wrong_arguments_are_refused(named, wrong, error, message):
    given = {"x": X, "gamma": C, "beta": C, "groups": 1, "eps": 1e-5} | wrong
    with pytest.raises(error, match=message):
        named[0](given["x"], given["gamma"], given["beta"], groups=given["groups"], eps=given["eps"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_layer_and_instance_norm_are_group_norm_with_one_group_and_with_one_per_channel(library):
    case = Case(shape=(3, 4, 5))
    inputs, dy = draw(case), draw_cotangent(case)
    arrays = inputs.x, inputs.gamma, inputs.beta
    for norm, groups in (("layer", 1), ("instance", 4)):
        options = {"groups": groups, "eps": 1e-5}
        results = [results_of(load(library, name), arrays, options, dy) for name in (norm, "group")]
        for a, b in zip(*results, strict=True):
            assert largest_error(a, b) <= 1e-14


def test_torch_is_imported_by_load_alone():
    code = "import sys; from bnbench.registry import discover; discover(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"
