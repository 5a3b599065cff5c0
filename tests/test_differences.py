"""Numeric derivatives: accurate where it matters, quiet where there is only noise, loud where there is a bug."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bnbench.blocks import to_blocks
from bnbench.cases import case_id, draw, draw_cotangent, elements
from bnbench.differences import compressed_dx, directional_deviation, parameter_deviation, sample_positions
from bnbench.extrapolation import noise_level, romberg
from bnbench.kernels import local_kernel
from bnbench.model import Case, Gradients, Outputs
from bnbench.mutants import forward_of
from bnbench.reference import normalize
from bnbench.registry import discover

CONDITIONS = [
    ("float64", mean, sd) for mean, sd in ((0, 1), (12, 5), (1e2, 1), (1e4, 1), (1e6, 1), (0, 1e-3), (0, 1e6))
] + [("float32", mean, sd) for mean, sd in ((0, 1), (12, 5), (1e2, 1), (0, 1e-3))]


def with_dx(change):
    """The correct batch norm with a changed dx."""
    kernel = local_kernel(forward_of())

    def changed(inputs, /, *dys):
        out = kernel(inputs, *dys)
        gradients = tuple(Gradients(change(g.dx).astype(g.dx.dtype), g.dgamma, g.dbeta) for g in out.gradients)
        return Outputs(y=out.y, running_mean=out.running_mean, running_var=out.running_var, gradients=gradients)

    return changed


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dtype", "mean", "sd"), CONDITIONS)
def test_a_correct_backward_stays_within_the_noise_at_every_scale(dtype, mean, sd, training):
    for seed, shape in enumerate([(3, 8), (4, 5), (17, 6), (3, 5, 2, 4), (64, 32)]):
        case = Case(shape=shape, dtype=dtype, mean=mean, sd=sd, seed=seed, training=training)
        inputs, dy = draw(case), draw_cotangent(case)
        kernel = local_kernel(forward_of())

        assert directional_deviation(kernel, inputs, dy, np.random.default_rng(seed)).z.max() <= 32
        assert parameter_deviation(kernel, inputs, dy, "gamma")[0].z.max() <= 32
        assert parameter_deviation(kernel, inputs, dy, "beta")[0].z.max() <= 32


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("all zero", np.zeros_like),
        ("0.05 % too large", lambda dx: dx * 1.0005),
        ("one element 5 % off", lambda dx: np.concatenate([dx[:1] * 1.05, dx[1:]])),
        ("computed in float32", lambda dx: dx.astype(np.float32)),
        ("nan in one element", lambda dx: np.where(dx == dx.max(), np.nan, dx)),
    ],
)
def test_a_wrong_dx_is_far_outside_the_noise_even_at_64x128(what, change):
    case = Case(shape=(64, 128))
    deviation = directional_deviation(with_dx(change), draw(case), draw_cotangent(case), np.random.default_rng(0))

    assert deviation.z.max() > 1000, what


def test_the_verdict_costs_39_forward_evaluations_at_any_shape():
    for shape in ((4, 5), (64, 128)):
        case = Case(shape=shape)
        calls = []

        def counting(inputs, /, *dys, calls=calls):
            calls.append(len(dys))
            return normalize(inputs, *dys)

        directional_deviation(counting, draw(case), draw_cotangent(case), np.random.default_rng(0))
        assert len(calls) <= 40


@pytest.mark.parametrize(
    "case",
    [
        Case(shape=(4, 5), mean=12.0, sd=5.0),
        Case(shape=(3, 4, 2, 2), mean=12.0, sd=5.0),
        Case(shape=(4, 5), training=False),
        Case(shape=(4, 5), norm="layer"),
        Case(shape=(3, 4, 2), norm="group", groups=2),
        Case(shape=(3, 4, 5), norm="instance", mean=12.0),
        Case(shape=(4, 6), norm="rms", mean=2.0),
    ],
    ids=case_id,
)
def test_the_numeric_dx_agrees_with_the_reference(case):
    inputs, dy = draw(case), draw_cotangent(case)
    numeric = compressed_dx(normalize, inputs, dy, np.arange(elements(case)))
    exact = to_blocks(normalize(inputs, dy).gradients[0].dx, case.norm, case.groups)

    assert np.abs(numeric - exact).max() <= 1e-10 * np.abs(exact).max()


def test_one_level_is_the_central_difference_of_the_courses():
    case = Case(shape=(16, 5), mean=12.0, sd=5.0)
    inputs, dy = draw(case), draw_cotangent(case)
    calls = []

    def counted(inputs, *dys):
        calls.append(1)
        return normalize(inputs, *dys)

    numeric = compressed_dx(counted, inputs, dy, np.arange(elements(case)), levels=1)
    exact = to_blocks(normalize(inputs, dy).gradients[0].dx, "batch")

    assert len(calls) == 2 * 16
    assert 1e-13 < np.abs(numeric - exact).max() / np.abs(exact).max() < 1e-8


@pytest.mark.parametrize(
    "case",
    [Case(shape=(4096, 16)), Case(shape=(4, 8, 32, 32)), Case(shape=(512, 64), norm="layer")],
    ids=case_id,
)
def test_a_gradient_check_holds_at_most_sixteen_times_x_however_many_directions(case):
    inputs, dy = draw(case), draw_cotangent(case)
    name = "numpy_layer_norm" if case.norm == "layer" else "numpy_simplified"
    kernel = local_kernel(discover().implementations[name].load())
    peaks = []
    for directions in (3, 9):
        tracemalloc.start()
        directional_deviation(kernel, inputs, dy, np.random.default_rng(0), directions=directions)
        peaks.append(tracemalloc.get_traced_memory()[1] / inputs.x.nbytes)
        tracemalloc.stop()

    assert max(peaks) <= 16
    assert peaks[1] - peaks[0] <= 0.5


def test_sampled_positions_include_the_first_and_the_last():
    positions = sample_positions(1000, np.random.default_rng(0), most=10)

    assert len(set(positions.tolist())) == 10
    assert positions[0] == 0
    assert positions[-1] == 999


def test_romberg_is_of_sixth_order():
    def estimate(step):
        return np.array([(np.exp(step) - np.exp(-step)) / (2 * step)])

    errors = [abs(romberg([estimate(t), estimate(t / 2), estimate(t / 4)])[0][0] - 1) for t in (0.8, 0.4)]
    assert 50 < errors[0] / errors[1] < 80, "halving the step divides the error by 2^6"


def test_the_noise_level_is_found_under_a_smooth_function():
    rng = np.random.default_rng(0)
    grid = np.arange(7)[:, None] * 1e-3
    values = np.sin(grid + np.linspace(0, 3, 400)) + 1e-9 * rng.standard_normal((7, 400))

    assert 0.5e-9 < np.median(noise_level(values)) < 2e-9


def test_a_smooth_function_has_no_noise():
    values = (np.arange(7.0)[:, None] ** 2) * np.ones(3)

    assert noise_level(values).max() == 0
