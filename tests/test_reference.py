"""The reference, against arithmetic that shares nothing with it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.model import Case, Inputs, Options
from bnbench.reference import normalize


def exact(inputs, dy):
    """Batch norm of one channel of an (N, 1) input by rational arithmetic, but for the square root."""
    x = [Fraction(float(value)) for value in inputs.x[:, 0]]
    g = [Fraction(float(value)) for value in dy[:, 0]]
    count = len(x)
    mu = sum(x) / count
    variance = sum((value - mu) ** 2 for value in x) / count
    s = Fraction(float(np.sqrt(np.longdouble(float(variance + Fraction(inputs.options.eps))))))
    gamma, beta = Fraction(float(inputs.gamma[0])), Fraction(float(inputs.beta[0]))
    x_hat = [(value - mu) / s for value in x]
    mean_g = sum(g) / count
    mean_gx = sum(a * b for a, b in zip(g, x_hat, strict=True)) / count
    y = [float(gamma * value + beta) for value in x_hat]
    dx = [float(gamma / s * (a - mean_g - b * mean_gx)) for a, b in zip(g, x_hat, strict=True)]
    return y, dx, float(mean_gx * count), float(sum(g)), float(mu), float(variance)


@pytest.mark.parametrize("mean", [0.0, 12.0, 1e6])
def test_train_agrees_with_rational_arithmetic(mean):
    case = Case(shape=(7, 1), mean=mean, sd=5.0)
    inputs, dy = draw(case), draw_cotangent(case)
    y, dx, dgamma, dbeta, mu, variance = exact(inputs, dy)
    got = normalize(inputs, dy)
    tolerance = 1e-14 * max(1.0, mean / 5)

    assert np.allclose(got.y[:, 0], y, rtol=0, atol=8 * tolerance)
    assert np.allclose(got.gradients[0].dx[:, 0], dx, rtol=0, atol=8 * tolerance)
    assert np.isclose(got.gradients[0].dgamma[0], dgamma, rtol=0, atol=8 * tolerance)
    assert np.isclose(got.gradients[0].dbeta[0], dbeta, rtol=1e-14)
    assert np.isclose(got.running_mean[0], 0.9 * inputs.running_mean[0] + 0.1 * mu, rtol=1e-14)
    assert np.isclose(got.running_var[0], 0.9 * inputs.running_var[0] + 0.1 * variance, rtol=1e-13)


NORMS = ("batch", "layer", "group", "instance", "rms")


def of_norm(norm, shape, **changes):
    return Case(shape=shape, norm=norm, groups=2 if norm == "group" else 1, **changes)


def positions(case):
    """The flat indices of every block, by the definition of each norm, written without reshaping."""
    groups = {"layer": 1, "rms": 1, "group": case.groups, "instance": case.channels}
    members = {}
    for flat, (row, channel, *_) in enumerate(np.ndindex(case.shape)):
        size = case.channels // groups.get(case.norm, 1)
        block = channel if case.norm == "batch" else (row, channel // size)
        members.setdefault(block, []).append(flat)
    return list(members.values())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (12.0, 5.0), (0.0, 3e-3)])
def test_the_gradient_agrees_with_the_complex_step(norm, mean, sd):
    """Lyness and Moler (1967): f(x + ih).imag / h has no cancellation, so h may be tiny."""
    case = of_norm(norm, (3, 4, 5), mean=mean, sd=sd)
    inputs, dy = draw(case), draw_cotangent(case)
    got = normalize(inputs, dy).gradients[0]
    blocks = positions(case)
    largest = np.abs(got.dx).max()

    def loss(x, gamma, beta):
        y = np.empty(x.size, dtype=complex)
        for block in blocks:
            values = x.ravel()[block]
            centred = values if norm == "rms" else values - values.mean()
            y[block] = centred / np.sqrt((centred * centred).mean() + case.eps)
        y = y.reshape(case.shape) * gamma[:, np.newaxis] + beta[:, np.newaxis]
        return (dy * y).sum()

    arguments = {"dx": inputs.x, "dgamma": inputs.gamma, "dbeta": inputs.beta}
    for quantity, place in zip(arguments, range(3), strict=True):
        expected = getattr(got, quantity)
        scale = largest if quantity == "dx" else 8.0
        for index in np.ndindex(expected.shape):
            moved = [a.astype(complex) for a in arguments.values()]
            moved[place][index] += 1e-30j
            assert abs(loss(*moved).imag / 1e-30 - expected[index]) <= 1e-15 * max(1.0, mean / sd) * scale


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("shape", "mean", "sd"), [((3, 4, 3), 0.0, 1.0), ((5, 2, 4), 1e6, 5.0)])
def test_outputs_and_gradient_agree_with_fifty_digits(norm, shape, mean, sd):
    """Every element of dx by a central difference in 50 digits, whose step of 1e-18 leaves 30 of them right."""
    from mpmath import mp, mpf

    case = of_norm(norm, shape, mean=mean, sd=sd)
    inputs, dy = draw(case), draw_cotangent(case)
    got = normalize(inputs, dy)
    gamma, beta, weight = (np.broadcast_to(a, case.shape).ravel() for a in (
        inputs.gamma[:, np.newaxis], inputs.beta[:, np.newaxis], dy
    ))  # fmt: skip
    allowed = 1e-15 * max(1.0, mean / sd)
    scale = np.abs(got.gradients[0].dx).max()

    with mp.workdps(50):
        for block in positions(case):
            x = [mpf(float(inputs.x.ravel()[flat])) for flat in block]

            def outputs(values, block=block):
                mu = 0 if norm == "rms" else sum(values) / len(values)
                s = mp.sqrt(sum((v - mu) ** 2 for v in values) / len(values) + mpf(case.eps))
                return [
                    mpf(float(gamma[flat])) * (v - mu) / s + mpf(float(beta[flat]))
                    for v, flat in zip(values, block, strict=True)
                ]

            def loss(values, block=block, outputs=outputs):
                return sum(mpf(float(weight[flat])) * y for flat, y in zip(block, outputs(values), strict=True))

            for k, (flat, y) in enumerate(zip(block, outputs(x), strict=True)):
                assert abs(got.y.ravel()[flat] - float(y)) <= allowed * 4
                ahead, behind = ([v + sign * mpf("1e-18") * (i == k) for i, v in enumerate(x)] for sign in (1, -1))
                derivative = (loss(ahead) - loss(behind)) / mpf("2e-18")
                assert abs(got.gradients[0].dx.ravel()[flat] - float(derivative)) <= allowed * scale


def test_spatial_axes_are_batch_axes():
    case = Case(shape=(3, 4, 2, 5))
    inputs, dy = draw(case), draw_cotangent(case)

    def flat(a):
        return np.moveaxis(a, 1, -1).reshape(-1, 4)

    spatial = normalize(inputs, dy)
    rows = normalize(replace(inputs, x=flat(inputs.x)), flat(dy))
    assert np.allclose(flat(spatial.y), rows.y, rtol=0, atol=1e-14)
    assert np.allclose(flat(spatial.gradients[0].dx), rows.gradients[0].dx, rtol=0, atol=1e-14)


def test_ddof_touches_only_what_is_kept():
    inputs = draw(Case(shape=(5, 3)))
    kept0, kept1 = (normalize(inputs, running_var_ddof=ddof) for ddof in (0, 1))

    assert np.array_equal(kept0.y, kept1.y)
    moved0, moved1 = (kept.running_var - 0.9 * inputs.running_var for kept in (kept0, kept1))
    assert np.allclose(moved1 / moved0, 5 / 4)


def test_eval_is_an_affine_map_of_x():
    ones = np.ones(2)
    inputs = Inputs(
        x=np.array([[3.0, 5.0]]),
        gamma=2 * ones,
        beta=ones,
        running_mean=ones,
        running_var=4 * ones,
        options=Options(training=False, eps=0.0),
    )
    got = normalize(inputs, np.ones((1, 2)))

    assert got.y.tolist() == [[3.0, 5.0]]
    assert got.gradients[0].dx.tolist() == [[1.0, 1.0]]
    assert got.running_mean.tolist() == [1.0, 1.0]
