"""The published figures: the method finds known derivatives, and the numbers are of the published size."""

import subprocess
import sys

import numpy as np
import pytest

from bnbench.figures import (
    Figure,
    divided,
    errors_against_differences,
    errors_between,
    notebook_draws,
    speedup,
    table,
    textbook_differences,
    train_step,
)
from bnbench.registry import discover

REGISTRY = discover().implementations
STAGED = REGISTRY["numpy_staged"].load()
SIMPLIFIED = REGISTRY["numpy_simplified"].load()


def staged_y(x, gamma, beta):
    return train_step(STAGED, x, gamma, beta)[0]


def test_differences_of_a_cube_are_off_by_the_square_of_the_step():
    # ((a + h)^3 - (a - h)^3) / 2h = 3 a^2 + h^2, exactly.
    at = np.array([[1.0, -2.0], [0.5, 4.0]])
    dy = np.array([[1.0, 2.0], [-1.0, 0.5]])
    found = textbook_differences(lambda a: a**3, at, dy, step=0.125)
    np.testing.assert_allclose(found, (3 * at**2 + 0.125**2) * dy, rtol=1e-13)


def test_the_draws_are_the_notebooks():
    x, gamma, beta, dy = notebook_draws((4, 5))
    # After np.random.seed(231), randn starts with these numbers; NumPy froze the legacy stream.
    assert (x[0] - 12) / 5 == pytest.approx([0.41794341, 1.39710028, -1.78590431, -0.70882773, -0.07472532])
    assert (x.shape, gamma.shape, beta.shape, dy.shape) == ((4, 5), (5,), (5,), (4, 5))


def test_gradients_of_the_staged_graph_are_as_close_to_differences_as_published():
    dx, dgamma, dbeta = errors_against_differences(STAGED, staged_y)
    assert 1.70e-9 / 3 <= dx <= 1.70e-9 * 3
    assert dgamma <= 7.42e-13 * 5
    assert dbeta <= 2.88e-12 * 5


def test_a_forward_that_divides_by_sd_gives_the_published_digits():
    dx, dgamma, dbeta = errors_against_differences(STAGED, divided)
    assert dx == pytest.approx(1.70e-9, rel=0.1)
    assert dgamma == pytest.approx(7.42e-13, rel=0.1)
    assert dbeta == pytest.approx(2.88e-12, rel=0.1)


def test_a_gradient_without_gamma_is_nowhere_near():
    def forgetful(x, gamma, *rest, **options):
        y, kept, vjp = STAGED(x, gamma, *rest, **options)
        return y, kept, lambda dy: (vjp(dy)[0] / gamma, *vjp(dy)[1:])

    dx, dgamma, _ = errors_against_differences(forgetful, staged_y)
    assert dx > 1e-2
    assert dgamma < 1e-11


def test_simplified_and_staged_differ_in_the_last_digits_only():
    dx, dgamma, dbeta = errors_between(STAGED, SIMPLIFIED)
    assert 0 < dx <= 1e-11
    assert 0 <= dgamma <= 1e-11
    assert 0 <= dbeta <= 1e-11


def test_the_speed_up_is_a_median_inside_its_interval():
    ratio = speedup(STAGED, SIMPLIFIED, budget=0.02)
    assert 0 < ratio.low <= ratio.median <= ratio.high


def test_the_table_aligns_its_columns():
    assert table([Figure("a long quantity", "1.70e-09", "1.67e-09")]).splitlines() == [
        "relative error   published  here",
        "a long quantity   1.70e-09  1.67e-09",
    ]


def test_the_command_prints_every_published_figure():
    run = subprocess.run(
        [sys.executable, "-m", "bnbench.figures"], capture_output=True, text=True, check=True, timeout=120
    )
    # The published value is the column before "here"; the interval of the speed-up has three words.
    rows = [line.partition("(")[0].split() for line in run.stdout.splitlines()]
    differences = ["1.70e-09", "7.42e-13", "2.88e-12"]
    assert [row[-2] for row in rows] == ["published", *differences * 2, "1.07e-12", "0.00e+00", "0.00e+00", "0.624x"]
