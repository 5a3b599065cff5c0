"""c_fused and numba_fused: what both promise beyond conformance, on shapes that reach every way through them."""

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case, Inputs, Options
from bnbench.reference import normalize
from bnbench.registry import discover

REGISTRY = discover()
NAMES = ("c_fused", "numba_fused")
ARGUMENTS = {"training": True, "eps": 1e-5, "momentum": 0.1}
SHAPES = [
    (2, 1),
    (9, 5),
    (131, 3),  # rows folded side by side, some left over
    (300, 70),  # several blocks of rows
    (130, 2500),  # lines wider than a panel
    (33, 5, 7),
    (40, 3, 4, 5),
    (3, 2, 101),
    (2, 3, 95, 97),  # several blocks within a plane
    (5, 4, 3, 2, 5),
    (3, 2, 7, 8, 9),
]


def arrays_of(inputs):
    return inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var


def results_of(forward, inputs, dy, arrays=None):
    options = inputs.options
    arrays = arrays_of(inputs) if arrays is None else arrays
    y, kept, vjp = forward(*arrays, training=options.training, eps=options.eps, momentum=options.momentum)
    return (y, *kept, *vjp(dy))


def expected_of(inputs, dy):
    expected = normalize(inputs, dy, running_var_ddof=1)
    return (expected.y, expected.running_mean, expected.running_var, *expected.gradients[0])


def largest_error(got, expected):
    """max |got - expected| relative to the largest expected value."""
    return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.fixture(params=NAMES)
def forward(request):
    implementation = REGISTRY.implementations[request.param]
    if missing := REGISTRY.missing(implementation):
        pytest.skip(missing)
    return implementation.load()


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_reference_to_a_few_roundings(forward, shape, dtype, training):
    case = Case(shape=shape, dtype=dtype, training=training, mean=0.5)
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(forward)(inputs, dy, dy)
    assert got.mutated == ()
    arrays = (got.y, got.running_mean, got.running_var, *got.gradients[0])
    for a, b in zip(arrays, expected_of(inputs, dy), strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        # With two values per channel, dx is what is left of numbers 1e4 times as large.
        assert largest_error(a, b) <= (1e5 if shape == (2, 1) else 32) * np.finfo(dtype).eps
    for first, second in zip(*got.gradients, strict=True):
        assert same_bits(first, second)


@pytest.mark.parametrize("shape", [(1024, 9), (64, 9, 4, 4), (8, 9, 8, 16)], ids=str)
@pytest.mark.parametrize("mean,sd", [(0, 1), (1e3, 1), (1e4, 1), (1e4, 0.1), (1e6, 1)])  # noqa: PT006
def test_float32_keeps_its_digits_at_large_means(forward, shape, mean, sd):
    case = Case(shape=shape, dtype="float32", mean=mean, sd=sd)
    inputs, dy = draw(case), draw_cotangent(case)
    for a, b in zip(results_of(forward, inputs, dy), expected_of(inputs, dy), strict=True):
        assert largest_error(a, b) <= 1e-6


@pytest.mark.parametrize("shape", [(65536, 5), (16, 4, 128, 256)], ids=str)
def test_float32_keeps_its_digits_over_many_values(forward, shape):
    case = Case(shape=shape, dtype="float32", mean=1e4)
    inputs, dy = draw(case), draw_cotangent(case)
    for a, b in zip(results_of(forward, inputs, dy), expected_of(inputs, dy), strict=True):
        assert largest_error(a, b) <= 1e-6


@pytest.mark.parametrize("rows", [[0], [0, 8192, -1]], ids=["first", "first, middle and last"])
@pytest.mark.parametrize("shape", [(16384, 3), (16384, 70), (16384, 3, 2)], ids=str)
def test_outliers_where_the_shift_is_taken_do_not_ruin_the_rest(forward, shape, rows):
    case = Case(shape=shape, dtype="float32")
    inputs, dy = draw(case), draw_cotangent(case)
    inputs.x[rows] = 1e6
    # Deviations from an outlier that is never left behind are off by 1e-4 to 1e-2 when they are added up.
    for a, b in zip(results_of(forward, inputs, dy), expected_of(inputs, dy), strict=True):
        assert largest_error(a, b) <= 5e-6


@pytest.mark.parametrize("shape", [(17, 3), (9, 3, 4), (3, 3, 128)], ids=str)
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
def test_memory_layout_does_not_matter(forward, shape, view):
    case = Case(shape=shape)
    inputs, dy = draw(case), draw_cotangent(case)
    views = [view(a) for a in arrays_of(inputs)]
    results = [
        results_of(forward, inputs, cotangent, given)
        for given, cotangent in ((views, view(dy)), ([a.copy() for a in views], view(dy).copy()))
    ]
    for a, b in zip(*results, strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_read_only_arrays_are_taken(forward, training):
    case = Case(shape=(5, 4, 3), training=training)
    inputs, dy = draw(case), draw_cotangent(case)
    expected = results_of(forward, inputs, dy)
    for a in (*arrays_of(inputs), dy):
        a.flags.writeable = False
    for a, b in zip(results_of(forward, inputs, dy), expected, strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_no_result_shares_memory_with_an_argument(forward, training):
    inputs = draw(Case(shape=(5, 4), training=training))
    dy = np.ones_like(inputs.x)
    for result in results_of(forward, inputs, dy):
        for argument in (*arrays_of(inputs), dy):
            assert not np.shares_memory(result, argument)


def test_changing_everything_but_x_after_forward_does_not_change_the_gradients(forward):
    case = Case(shape=(7, 3, 2))
    inputs, dy = draw(case), draw_cotangent(case)
    y, kept, vjp = forward(*arrays_of(inputs), **ARGUMENTS)
    before = vjp(dy)
    for a in (y, *kept, *arrays_of(inputs)[1:]):
        np.add(a, 1, out=a)
    for a, b in zip(before, vjp(dy), strict=True):
        assert same_bits(a, b)


def test_a_later_call_leaves_earlier_results_alone(forward):
    inputs, dy = draw(Case(shape=(6, 4))), draw_cotangent(Case(shape=(6, 4)))
    results = results_of(forward, inputs, dy)
    copies = [a.copy() for a in results]
    results_of(forward, draw(Case(shape=(6, 4), seed=1)), dy)
    for a, b in zip(results, copies, strict=True):
        assert same_bits(a, b)


def test_the_variance_that_is_kept_is_divided_by_one_less(forward):
    x = np.array([[1.0], [3.0], [8.0]])
    one, zero = np.ones(1), np.zeros(1)
    _, (mean, var), _ = forward(x, one, zero, zero, zero, training=True, eps=1e-5, momentum=1.0)
    assert mean[0] == 4
    assert var[0] == pytest.approx(13, rel=1e-15)  # (9 + 1 + 16) / 2


@pytest.mark.parametrize("shape", [(9, 3), (9, 3, 4), (2, 3, 200)], ids=str)
def test_nan_stays_in_its_channel(forward, shape):
    case = Case(shape=shape)
    inputs, dy = draw(case), draw_cotangent(case)
    expected = results_of(forward, inputs, dy)
    inputs.x[1, 1] = np.nan
    y, mean, var, dx, dgamma, dbeta = results_of(forward, inputs, dy)
    assert np.isnan(y[:, 1]).all()
    assert np.isnan(dx[:, 1]).all()
    assert np.isnan([mean[1], var[1], dgamma[1]]).all()
    assert same_bits(dbeta, expected[-1])
    for a, b in zip((y, dx), (expected[0], expected[3]), strict=True):
        assert same_bits(np.delete(a, 1, axis=1), np.delete(b, 1, axis=1))


def test_eval_gradients_do_not_depend_on_x_where_it_is_infinite(forward):
    case = Case(shape=(5, 3), training=False)
    inputs, dy = draw(case), draw_cotangent(case)
    expected = results_of(forward, inputs, dy)[3]
    inputs.x[2, 1] = np.inf
    assert same_bits(results_of(forward, inputs, dy)[3], expected)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (4, 3, 0), (0, 3, 100)], ids=str)
def test_an_empty_batch_leaves_the_running_statistics_alone(forward, shape, training):
    c = np.full(3, 0.5)
    options = ARGUMENTS | {"training": training}
    y, (mean, var), vjp = forward(np.empty(shape), c, c, c, c, **options)
    dx, dgamma, dbeta = vjp(y)
    assert y.shape == dx.shape == shape
    assert same_bits(mean, c)
    assert same_bits(var, c)
    assert same_bits(dgamma, np.zeros(3))
    assert same_bits(dbeta, np.zeros(3))


def test_no_channels_give_empty_results(forward):
    none = np.empty(0)
    results = results_of(
        forward,
        Inputs(
            x=np.empty((4, 0)),
            gamma=none,
            beta=none,
            running_mean=none,
            running_var=none,
            options=Options(training=True),
        ),
        np.empty((4, 0)),
    )
    assert [a.shape for a in results] == [(4, 0), (0,), (0,), (4, 0), (0,), (0,)]


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)], ids=str)
def test_training_with_one_value_per_channel_is_refused(forward, shape):
    c = np.ones(3)
    with pytest.raises(
        ValueError, match=r"x has shape \(1, 3.*\), expected more than 1 value per channel when training"
    ):
        forward(np.ones(shape), c, c, c, c, **ARGUMENTS)
    y, _, _ = forward(np.ones(shape), c, c, c, c, training=False, eps=1e-5, momentum=0.1)
    assert same_bits(y, np.ones(shape))


C, X = np.ones(2), np.ones((4, 2))


@pytest.mark.parametrize(
    ("position", "value", "error", "message"),
    [
        (0, X.astype(int), TypeError, "x is an array of int.*, expected a NumPy array of float32 or float64"),
        (0, X.astype(">f8"), TypeError, "x is an array of >f8"),
        (0, X.astype("M8[s]"), TypeError, r"x is an array of datetime64\[s\]"),
        (0, X.tolist(), TypeError, "x is a list"),
        (0, np.ones(2), ValueError, r"x has shape \(2,\), expected \(N, C\) or \(N, C, \*spatial\)"),
        (0, np.ones((1, 2, 1, 1, 1, 3)), ValueError, r"x has shape \(1, 2, 1, 1, 1, 3\)"),
        (0, X.T, ValueError, r"gamma has shape \(2,\), expected \(4,\)"),
        (1, np.ones(3), ValueError, r"gamma has shape \(3,\), expected \(2,\): one value for each channel of x"),
        (2, np.ones((1, 2)), ValueError, r"beta has shape \(1, 2\), expected \(2,\)"),
        (3, C.astype(np.float32), TypeError, "running_mean is an array of float32, expected a NumPy array of float64"),
        (4, None, TypeError, "running_var is a NoneType, expected a NumPy array of float64 as x is"),
        ("training", 1, TypeError, "training is 1, expected True or False"),
        ("training", None, TypeError, "training is None, expected True or False"),
        ("eps", -1e-5, ValueError, "eps is -1e-05, expected at least 0"),
        ("eps", float("nan"), ValueError, "eps is nan, expected at least 0"),
    ],
)
def test_wrong_arguments_are_refused(forward, position, value, error, message):
    arguments, options = [X, C, C, C, C], dict(ARGUMENTS)
    (options if isinstance(position, str) else arguments)[position] = value
    with pytest.raises(error, match=message):
        forward(*arguments, **options)


@pytest.mark.parametrize(
    ("dy", "error", "message"),
    [
        (X[:3], ValueError, r"dy has shape \(3, 2\), expected the shape of x"),
        (np.ones((4, 2, 1)), ValueError, r"dy has shape \(4, 2, 1\), expected the shape of x"),
        (X.astype(np.float32), TypeError, "dy is an array of float32, expected a NumPy array of float64 as x is"),
        (1.0, TypeError, "dy is a float"),
    ],
)
def test_a_wrong_cotangent_is_refused(forward, dy, error, message):
    _, _, vjp = forward(X, C, C, C, C, **ARGUMENTS)
    with pytest.raises(error, match=message):
        vjp(dy)
