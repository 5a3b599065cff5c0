"""numpy_staged: the whole against the reference, and every node against its own differences."""

from importlib import import_module

import numpy as np
import pytest

from bnbench.cases import case_id, draw, draw_cotangent, grid
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.reference import normalize
from bnbench.registry import discover

IMPLEMENTATION = discover().implementations["numpy_staged"]
MODULE = import_module("bnbench.implementations.numpy_staged")
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


@pytest.mark.parametrize("node", MODULE.GRAPH, ids=lambda node: node.name)
@pytest.mark.parametrize("spatial", [(), (2, 3)], ids=["NC", "NCHW"])
def test_local_vjp_is_the_derivative_of_the_node(node, spatial):
    rng = np.random.default_rng(len(node.name))
    shapes = dict.fromkeys(("x", "xc", "sq", "x_hat", "scaled"), (5, 3, *spatial)) | {"eps": ()}
    per_channel = (1, 3) + (1,) * len(spatial)
    arguments = [rng.uniform(0.5, 2, shapes.get(name, per_channel)) for name in node.arguments]
    value, vjp = node.operation(*arguments)
    cotangent = rng.standard_normal(value.shape)

    step = 1e-6
    for place, (argument, gradient) in enumerate(zip(arguments, vjp(cotangent), strict=True)):
        assert gradient.shape == argument.shape
        for index in np.ndindex(argument.shape):
            values = []
            for change in (step, -step):
                moved = [a.copy() for a in arguments]
                moved[place][index] += change
                values.append(node.operation(*moved)[0])
            difference = ((values[0] - values[1]) * cotangent).sum() / (2 * step)
            assert gradient[index] == pytest.approx(difference, rel=1e-7, abs=1e-8)


def test_the_graph_has_nine_nodes_and_each_uses_only_what_stands_before_it():
    assert [node.name for node in MODULE.GRAPH] == [
        "mu", "xc", "sq", "var", "sd", "inverse_sd", "x_hat", "scaled", "y",
    ]  # fmt: skip
    known = {"x", "gamma", "beta", "eps"}
    for node in MODULE.GRAPH:
        assert known.issuperset(node.arguments)
        known.add(node.name)


def test_the_statistics_of_the_batch_are_the_nodes_that_eval_leaves_out():
    # In eval the mean and the variance do not move with x, so nothing flows through them.
    inputs = draw(Case(shape=(6, 2), training=False))
    dy = draw_cotangent(Case(shape=(6, 2), training=False))
    (gradients,) = local_kernel(IMPLEMENTATION.load())(inputs, dy).gradients
    np.testing.assert_allclose(gradients.dx, inputs.gamma / np.sqrt(inputs.running_var + 1e-5) * dy, rtol=1e-14)


def test_an_empty_batch_leaves_the_running_statistics_alone():
    c = np.full(3, 0.5)
    x = np.empty((0, 3, 2))
    y, (running_mean, running_var), vjp = IMPLEMENTATION.load()(x, c, c, c, c, **ARGUMENTS)
    dx, dgamma, dbeta = vjp(y)
    assert y.shape == dx.shape == x.shape
    assert same_bits(running_mean, c)
    assert same_bits(running_var, c)
    assert not dgamma.any()
    assert not dbeta.any()


def test_returned_statistics_are_not_the_callers_arrays():
    inputs = draw(Case(shape=(6, 2), training=False))
    given = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean, inputs.running_var)
    _, kept, _ = IMPLEMENTATION.load()(*given, training=False, eps=1e-5, momentum=0.1)
    for a, b in zip(kept, given[3:], strict=True):
        assert same_bits(a, b)
        assert not np.shares_memory(a, b)


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


def test_float32_keeps_its_digits_over_many_rows():
    rng = np.random.default_rng(0)
    x = (1e4 + 0.1 * rng.standard_normal((65536, 2))).astype(np.float32)
    c = np.ones(2, np.float32)
    y, _, _ = IMPLEMENTATION.load()(x, c, c, c, c, **ARGUMENTS)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5) + 1
    # Half a rounding of mu is 0.005 sd here; adding the rows in float32 would move mu by 3 sd.
    assert np.abs(y - expected).max() <= 0.01


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.ones((4, 2), int)}, TypeError, "x is an array of int"),
        ({"x": np.ones(4)}, ValueError, r"x has shape \(4,\)"),
        ({"gamma": np.ones(3)}, ValueError, r"gamma has shape \(3,\), expected \(2,\)"),
        ({"running_var": np.ones(2, np.float32)}, TypeError, "running_var is an array of float32"),
    ],
)
def test_wrong_arrays_are_refused(change, error, message):
    c = np.ones(2)
    arrays = {"x": np.ones((4, 2)), "gamma": c, "beta": c, "running_mean": c, "running_var": c} | change
    with pytest.raises(error, match=message):
        IMPLEMENTATION.load()(*arrays.values(), **ARGUMENTS)


def test_a_mode_that_is_not_a_bool_is_refused():
    c = np.ones(2)
    with pytest.raises(TypeError, match="training is 1, expected True or False"):
        IMPLEMENTATION.load()(np.ones((4, 2)), c, c, c, c, training=1, eps=1e-5, momentum=0.1)
