"""numpy_simplified: against the reference, and against the staged graph that it simplifies."""

import numpy as np
import pytest
from bnbench.implementations.numpy_simplified import channel_sum, middle

from bnbench.cases import case_id, draw, draw_cotangent, grid
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

REGISTRY = discover().implementations
IMPLEMENTATION = REGISTRY["numpy_simplified"]
ARGUMENTS = {"training": True, "eps": 1e-5, "momentum": 0.1}


def rounding_errors(got, expected):
    """max |got - expected| in units in the last place of the largest expected value."""
    return np.abs(got - expected).max() / (np.abs(expected).max() * np.finfo(got.dtype).eps)


@pytest.mark.parametrize(
    "case", [case for case in grid() if case.norm == "batch" and case.dtype != "float16"], ids=case_id
)
def test_agrees_with_the_reference_to_a_few_roundings(case):
    inputs, dy = draw(case), draw_cotangent(case)
    got = local_kernel(IMPLEMENTATION.load())(inputs, dy, dy)
    expected = normalize(inputs, dy)

    assert got.mutated == ()
    arrays = (got.y, got.running_mean, got.running_var, *got.gradients[0])
    for a, b in zip(
        arrays, (expected.y, expected.running_mean, expected.running_var, *expected.gradients[0]), strict=True
    ):
        assert a.dtype == case.dtype
        assert a.shape == b.shape
        assert rounding_errors(a, b) <= 8
    for first, second in zip(*got.gradients, strict=True):
        assert same_bits(first, second)


@pytest.mark.parametrize(
    "case", [case for case in grid() if case.norm == "batch" and case.dtype != "float16"], ids=case_id
)
def test_differs_from_the_staged_graph_by_a_few_roundings(case):
    inputs, dy = draw(case), draw_cotangent(case)
    simplified, staged = (
        local_kernel(REGISTRY[name].load())(inputs, dy) for name in ("numpy_simplified", "numpy_staged")
    )
    assert rounding_errors(simplified.y, staged.y) <= 8
    for a, b in zip(simplified.gradients[0], staged.gradients[0], strict=True):
        assert rounding_errors(a, b) <= 8


@pytest.mark.parametrize("shape", [(1024, 3), (1025, 3), (600, 1), (2, 3, 700), (600, 3, 1)])
def test_sums_of_many_rows_or_values_are_added_in_double(shape):
    generator = np.random.default_rng(0)
    a = (1 + generator.random(shape)).astype(np.float32)
    b = (1 + generator.random(shape)).astype(np.float32)
    axes = (0, *range(2, len(shape)))
    wide = [v.astype(np.float64).reshape(*shape[:2], -1) for v in (a, b)]
    sums = channel_sum(a.reshape(wide[0].shape)), channel_sum(*(v.reshape(wide[0].shape) for v in (a, b)))
    assert sums[0] == pytest.approx(a.sum(axes, dtype=np.float64), rel=3e-6)
    assert sums[1] == pytest.approx(np.einsum("ncl,ncl->c", *wide), rel=3e-6)
    assert {total.dtype for total in sums} == {np.dtype(np.float32)}


@pytest.mark.parametrize("order", [(3, 1, 2), (1e6, 0, 1), (0, 1, 1e6), (1, 1, 0), (2, 2, 2)])
def test_the_middle_of_three_is_their_median(order):
    assert middle(*map(np.asarray, order)) == np.median(order)


def test_an_outlier_in_the_first_row_costs_no_digits():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4096, 3)).astype(np.float32)
    x[0] = 1e6
    c = np.ones(3, np.float32)
    y, _, _ = IMPLEMENTATION.load()(x, c, c, c, c, **ARGUMENTS)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5) + 1
    assert np.abs(y - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (4, 3, 0)])
def test_an_empty_batch_leaves_the_running_statistics_alone(shape):
    c = np.full(3, 0.5)
    x = np.empty(shape)
    y, (running_mean, running_var), vjp = IMPLEMENTATION.load()(x, c, c, c, c, **ARGUMENTS)
    dx, dgamma, dbeta = vjp(y)
    assert y.shape == dx.shape == x.shape
    assert dgamma.shape == dbeta.shape == c.shape
    assert same_bits(running_mean, c)
    assert same_bits(running_var, c)
    assert not dgamma.any()
    assert not dbeta.any()


def test_changing_x_and_gamma_after_forward_does_not_change_the_gradients():
    case = Case(shape=(7, 3, 2))
    inputs, dy = draw(case), draw_cotangent(case)
    given = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    _, _, vjp = IMPLEMENTATION.load()(*given, **ARGUMENTS)
    before = vjp(dy)
    for a in given:
        np.add(a, 1, out=a)
    for a, b in zip(before, vjp(dy), strict=True):
        assert same_bits(a, b)


def test_one_row_becomes_beta_and_has_no_gradient():
    # With a single value its mean is itself: x_hat is exactly 0 whatever x is.
    x, gamma, beta, zero = np.array([[3.0, -7.0]]), np.array([2.0, 0.5]), np.array([1.0, -1.0]), np.zeros(2)
    y, _, vjp = IMPLEMENTATION.load()(x, gamma, beta, zero, zero, **ARGUMENTS)
    dx, dgamma, dbeta = vjp(np.array([[5.0, 6.0]]))
    assert y.tolist() == [[1.0, -1.0]]
    assert dx.tolist() == [[0.0, 0.0]]
    assert dgamma.tolist() == [0.0, 0.0]
    assert dbeta.tolist() == [5.0, 6.0]


def test_float32_keeps_its_digits_over_many_rows():
    rng = np.random.default_rng(0)
    x = (1e4 + 0.1 * rng.standard_normal((65536, 2))).astype(np.float32)
    c = np.ones(2, np.float32)
    y, _, _ = IMPLEMENTATION.load()(x, c, c, c, c, **ARGUMENTS)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5) + 1
    # A mean rounded to float32 would be off by 0.005 sd here, one that was added up in float32 by 3 sd.
    assert np.abs(y - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("x", "gamma", "error", "message"),
    [
        (np.ones((4, 2), int), np.ones(2), TypeError, "x is an array of int"),
        (np.ones(4), np.ones(2), ValueError, r"x has shape \(4,\)"),
        (np.ones((4, 2)), np.ones(3), ValueError, r"gamma has shape \(3,\), expected \(2,\)"),
    ],
)
def test_wrong_arguments_are_refused(x, gamma, error, message):
    c = np.ones(2)
    with pytest.raises(error, match=message):
        IMPLEMENTATION.load()(x, gamma, c, c, c, **ARGUMENTS)
