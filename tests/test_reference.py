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


def test_the_gradient_agrees_with_the_complex_step():
    """Lyness and Moler (1967): f(x + ih).imag / h has no cancellation, so h may be tiny."""
    case = Case(shape=(5, 3), mean=12.0, sd=5.0)
    inputs, dy = draw(case), draw_cotangent(case)
    dx = normalize(inputs, dy).gradients[0].dx

    def loss(x):
        centred = x - x.mean(0)
        y = inputs.gamma * centred / np.sqrt((centred * centred).mean(0) + 1e-5) + inputs.beta
        return (dy * y).sum()

    for index in np.ndindex(inputs.x.shape):
        x = inputs.x.astype(complex)
        x[index] += 1e-30j
        assert np.isclose(loss(x).imag / 1e-30, dx[index], rtol=0, atol=1e-15)


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
