"""The exact fixtures are exact: everything is computed again in rational arithmetic, from the inputs alone."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from bnbench.blocks import groups_of, to_blocks
from bnbench.dyadic import cotangent, deviations, four_squares
from bnbench.fixtures import MOST_ELEMENTS, SHAPES, fixtures
from bnbench.kernels import same_bits

DIGITS = {"float16": 11, "float32": 24, "float64": 53}
EVERY = [
    (norm, dtype, training)
    for norm in SHAPES
    for dtype in DIGITS
    for training in ((True, False) if norm == "batch" else (True,))
]


def rational(a):
    """An array of floats as an array of Fractions, which is the same numbers."""
    return np.array([Fraction(value) for value in a.ravel().tolist()], dtype=object).reshape(a.shape)


def root(square):
    """The rational square root; an error if there is none."""
    numerator, denominator = math.isqrt(square.numerator), math.isqrt(square.denominator)
    assert numerator**2 == square.numerator
    assert denominator**2 == square.denominator
    return Fraction(numerator, denominator)


def sums_exactly(terms, digits):
    """Whether no partial sum, in whatever order, has more than these binary digits."""
    denominator = max((term.denominator for term in terms), default=1)
    whole = [abs(term.numerator) * (denominator // term.denominator) for term in terms]
    shared = min((n & -n for n in whole if n), default=1)
    return denominator.bit_count() == 1 and sum(whole) // shared <= 2**digits


class Again:
    """Normalization of a fixture in rational numbers, with every sum on the way shown to be exact."""

    def __init__(self, fixture):
        self.fixture = fixture
        inputs, options = fixture.inputs, fixture.inputs.options
        self.shape, self.norm = inputs.x.shape, options.norm
        self.digits = DIGITS[inputs.x.dtype.name]
        self.groups = groups_of(self.shape[1], self.norm, options.groups)
        # Which block and which channel an element belongs to, from its position alone.
        self.places = list(np.ndindex(self.shape))
        self.x, self.dy = rational(inputs.x), rational(fixture.dy)
        self.gamma, self.beta = rational(inputs.gamma), rational(inputs.beta)
        self.old_mean, self.old_var = rational(inputs.running_mean), rational(inputs.running_var)
        self.eps, self.momentum = Fraction(options.eps), Fraction(options.momentum)
        self.constants = self.norm == "batch" and not options.training
        self.blocks = {}
        for place in self.places:
            self.blocks.setdefault(self.block(place), []).append(place)

    def block(self, place):
        n, c = place[:2]
        if self.norm == "batch":
            return c
        return n, c // (self.shape[1] // self.groups)

    def mean(self, terms):
        assert sums_exactly(terms, self.digits)
        return sum(terms) / len(terms)

    def sd(self, v):
        if self.fixture.kind != "any eps":
            return root(v + self.eps)
        dtype = self.fixture.inputs.x.dtype.type
        for eps in (0.0, 1e-8, float(self.eps), 1e-3):
            assert dtype(float(v)) + dtype(eps) == dtype(float(v)) == v
        return root(v)

    def outputs(self, ddof):
        y, dx, x_hat = (np.empty(self.shape, dtype=object) for _ in range(3))
        running_mean, running_var = self.old_mean.copy(), self.old_var.copy()
        for block, places in self.blocks.items():
            x = [self.x[p] for p in places]
            g = [self.gamma[p[1]] * self.dy[p] for p in places]
            if self.constants:
                mu, v = self.old_mean[block], self.old_var[block]
            else:
                mu = Fraction(0) if self.norm == "rms" else self.mean(x)
                v = self.mean([(value - mu) ** 2 for value in x])
            s = self.sd(v)
            assert s.numerator.bit_count() == s.denominator.bit_count() == 1, "a reciprocal of s would round"
            h = [(value - mu) / s for value in x]
            if self.constants:
                through = [Fraction(0)] * len(g)
            else:
                slope = self.mean([a * b for a, b in zip(g, h, strict=True)])
                level = Fraction(0) if self.norm == "rms" else self.mean(g)
                through = [level + slope * value for value in h]
                assert self.norm == "rms" or level
                assert slope or not v
            for p, a, b, t in zip(places, g, h, through, strict=True):
                x_hat[p], y[p], dx[p] = b, self.gamma[p[1]] * b + self.beta[p[1]], (a - t) / s
            if self.norm == "batch" and not self.constants:
                kept = v * len(x) / (len(x) - ddof)
                running_mean[block] += self.momentum * (mu - running_mean[block])
                running_var[block] += self.momentum * (kept - running_var[block])
        channels = [[p for p in self.places if p[1] == c] for c in range(self.shape[1])]
        products = [[self.dy[p] * x_hat[p] for p in places] for places in channels]
        weights = [[self.dy[p] for p in places] for places in channels]
        assert all(sums_exactly(terms, self.digits) for terms in products + weights)
        dgamma, dbeta = (np.array([sum(terms) for terms in sums], dtype=object) for sums in (products, weights))
        return {
            "y": y,
            "running_mean": running_mean,
            "running_var": running_var,
            "dx": dx,
            "dgamma": dgamma,
            "dbeta": dbeta,
        }


def size(fixture):
    """M."""
    options = fixture.inputs.options
    return to_blocks(fixture.inputs.x, options.norm, options.groups).shape[1]


def held(outputs):
    return {
        "y": outputs.y,
        "running_mean": outputs.running_mean,
        "running_var": outputs.running_var,
        **outputs.gradients[0]._asdict(),
    }


@pytest.mark.parametrize(("norm", "dtype", "training"), EVERY)
def test_every_expectation_is_the_rational_number_itself(norm, dtype, training):
    for fixture in fixtures(norm, dtype, training=training):
        again = Again(fixture)
        for ddof, expected in fixture.expected.items():
            for quantity, value in again.outputs(ddof).items():
                assert held(expected)[quantity].dtype == dtype
                assert (rational(held(expected)[quantity]) == value).all(), (fixture.name, ddof, quantity)


@pytest.mark.parametrize("norm", SHAPES)
def test_the_fixtures_have_the_sizes_that_show_tails(norm):
    found = {size(f) for f in fixtures(norm, "float32")}

    assert {8, 9, 17, 65} <= found <= {8, 9, 17, 32, 65, 257}
    assert any(f.inputs.x.shape[1] % 2 for f in fixtures(norm, "float32"))


@pytest.mark.parametrize("norm", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_blocks_of_a_fixture_have_different_variances_and_one_has_none(norm, dtype):
    for fixture in fixtures(norm, dtype):
        blocks = to_blocks(fixture.inputs.x.astype(float), norm, fixture.inputs.options.groups)
        variances = {float(row.var() if norm != "rms" else (row**2).mean()) for row in blocks}
        assert len(variances) >= min(3, len(blocks))
        assert (0.0 in variances) == (fixture.kind != "any eps")


def test_an_rms_fixture_would_look_different_with_its_mean_subtracted():
    for fixture in fixtures("rms", "float32"):
        rows = to_blocks(fixture.inputs.x, "rms")
        assert all(row.sum() for row in rows if row.any())


def test_ddof_0_and_1_are_both_exact_and_differ_where_m_is_one_more_than_a_power_of_two():
    both = [f for f in fixtures("batch", "float32") if set(f.expected) == {0, 1}]
    assert {f.inputs.x.size // f.inputs.x.shape[1] for f in both} == {9, 17, 65, 257}
    for fixture in both:
        assert not same_bits(fixture.expected[0].running_var, fixture.expected[1].running_var)


def test_the_running_statistics_start_elsewhere_than_at_0_and_1_and_end_elsewhere():
    for fixture in fixtures("batch", "float64"):
        inputs, expected = fixture.inputs, fixture.expected[0]
        assert inputs.running_mean.any()
        assert (inputs.running_var > 0).all()
        assert (expected.running_mean != inputs.running_mean).any()
        assert (expected.running_var != inputs.running_var).any()


def test_a_large_mean_leaves_nothing_of_a_variance_from_sums_of_squares():
    fixture = next(f for f in fixtures("batch", "float32") if f.kind == "large mean")
    x = fixture.inputs.x
    textbook = (x * x).mean(0) - x.mean(0) ** 2

    assert np.abs(textbook - x.astype(float).var(0)).max() > 0.5


def test_the_same_fixtures_come_every_time():
    name = "batch 9x5"
    first, again = (
        next(f for f in make("batch", "float64") if f.name == name) for make in (fixtures, fixtures.__wrapped__)
    )
    assert first is not again
    assert same_bits(first.inputs.x, again.inputs.x)
    assert same_bits(first.dy, again.dy)


def test_a_fixture_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        fixtures("batch", "float64")[0].inputs.x[0] = 1


@pytest.mark.parametrize("total", [0, 1, 7, 60, 279, 4590])
def test_four_squares_sum_to_the_number(total):
    assert sum(n * n for n in four_squares(total, np.random.default_rng(total))) == total


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("elements", [8, 9, 17, 257])
def test_deviations_have_the_mean_and_variance_asked_for(elements, paired):
    d = deviations(elements, 12, np.random.default_rng(0), paired=paired)

    assert (d**2).sum() == 12 * elements
    assert (d.sum() == 0) == paired


@pytest.mark.parametrize("elements", [8, 9, 257])
def test_the_means_of_a_cotangent_are_whole_and_not_zero(elements):
    rng = np.random.default_rng(1)
    d = deviations(elements, 12, rng, paired=True)
    g = cotangent(d, rng)

    assert g.sum() % elements == (g @ d) % elements == 0
    assert g.sum()
    assert g @ d


def test_float16_has_only_what_its_11_digits_can_sum():
    sizes = {size(f) for f in fixtures("batch", "float16")}
    assert sizes == {8, 9, 17}
    assert max(sizes) == MOST_ELEMENTS["float16"]


def test_a_sum_that_rounds_is_noticed():
    assert sums_exactly([Fraction(2**23), Fraction(1)], 24)
    assert not sums_exactly([Fraction(2**24), Fraction(1)], 24)
    assert not sums_exactly([Fraction(1, 3)], 24)
