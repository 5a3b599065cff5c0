"""The checks on exact data: what they grant, what they object to, and that the whole grid of fixtures is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import grid, parse_case
from bnbench.checks.exact import (
    dgamma_and_dbeta_are_exact,
    dx_is_exact,
    output_is_exact,
    running_statistics_are_exact,
)
from bnbench.fixtures import fixtures
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Implementation, Status, Subject
from bnbench.mutants import forward_of
from bnbench.runner import execute, load, plan

CHECKS = (output_is_exact, running_statistics_are_exact, dx_is_exact, dgamma_and_dbeta_are_exact)


def comparisons(check, forward, case, **capabilities):
    subject = Subject(name="mine", kernel=local_kernel(forward), capabilities=Capabilities(**capabilities))
    return list(check.run(subject, case))


def changed(change):
    """The correct batch norm with another y."""
    forward = forward_of()

    def call(*arrays, **options):
        y, running, vjp = forward(*arrays, **options)
        return change(y), running, vjp

    return call


CASE = parse_case("float32/9x5/train")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
@pytest.mark.parametrize("norm", ["batch", "layer", "group", "instance", "rms"])
def test_the_recipe_is_exact_but_for_the_factor_1_over_m_in_dx(check, norm):
    for case in grid():
        if case.norm == norm and norm in check.norms and check.training in {None, case.training}:
            if case.dtype == "float16":
                continue
            found = comparisons(check, forward_of(norm=norm), case, norm=norm)
            assert max(c.error for c in found) < (1 if check is dx_is_exact else 1e-300)


def test_every_fixture_of_the_number_of_dimensions_is_looked_at():
    seen = {c.quantity.removeprefix("y of ") for c in comparisons(output_is_exact, forward_of(), CASE)}
    assert seen == {f.name for f in fixtures("batch", "float32") if f.inputs.x.ndim == 2}
    assert any("large mean" in name for name in seen)
    assert any("any eps" in name for name in seen)


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_an_implementation_is_asked_only_for_the_dimensions_of_the_case(rank):
    asked = set()
    forward = forward_of()

    def watching(x, *others, **options):
        asked.add(x.ndim)
        return forward(x, *others, **options)

    comparisons(output_is_exact, watching, replace(CASE, shape=(2,) * rank))
    assert asked == {rank}


def test_a_last_bit_is_granted_and_counted():
    found = comparisons(output_is_exact, changed(lambda y: np.nextafter(y, np.float32(99))), CASE)
    assert all(0 < c.error <= c.limit for c in found)
    assert found[0].note.startswith("24 of 24 elements differ, at most ")
    assert "1 / M" in found[0].note


def test_one_wrong_element_is_shown_in_hexadecimal():
    def spoil(y):
        y[3, 1] += 1
        return y

    first = comparisons(output_is_exact, changed(spoil), CASE)[0]
    assert first.error > first.limit
    assert first.index == (3, 1)
    assert first.note.startswith("1 of 24 elements differ: got ")
    assert f"expected {first.expected.hex()}" in first.note


def test_nan_is_not_granted():
    def spoil(y):
        y[0, 0] = np.nan
        return y

    assert not any(c.error <= c.limit for c in comparisons(output_is_exact, changed(spoil), CASE))


def test_a_wrong_shape_is_an_objection_and_no_crash():
    assert all(c.error > c.limit for c in comparisons(output_is_exact, changed(lambda y: y[:-1]), CASE))


def test_zero_and_minus_zero_are_the_same():
    def negate_zeros(y):
        return np.where(y == 0, np.copysign(y, -1), y)

    assert {c.error for c in comparisons(output_is_exact, changed(negate_zeros), CASE)} == {0.0}


def test_running_var_is_compared_where_its_ddof_is_exact():
    for ddof, others in ((0, {8, 32}), (1, set())):
        found = comparisons(running_statistics_are_exact, forward_of(), CASE, running_var_ddof=ddof)
        compared = {c.quantity.split()[3].split("x")[0] for c in found if c.quantity.startswith("running_var")}
        assert {int(rows.removesuffix(",")) for rows in compared} == {9, 17, 65, 257} | others


def test_the_other_ddof_is_an_objection():
    found = comparisons(running_statistics_are_exact, forward_of(), CASE, running_var_ddof=1)
    assert all(
        c.error > c.limit for c in found if c.quantity.startswith("running_var") and "mean 2^20" not in c.quantity
    )


def half_precision(x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum):
    """Batch norm of (N, C) with every array in float16."""
    mu, v = running_mean, running_var
    if training:
        mu = x.mean(0)
        v = ((x - mu) ** 2).mean(0)
        running_mean = running_mean + np.float16(momentum) * (mu - running_mean)
        running_var = running_var + np.float16(momentum) * (v - running_var)
    sd = np.sqrt(v + np.float16(eps))
    x_hat = (x - mu) / sd

    def vjp(dy):
        dx = gamma * dy
        if training:
            dx = dx - dx.mean(0) - x_hat * (dx * x_hat).mean(0)
        return dx / sd, (dy * x_hat).sum(0), dy.sum(0)

    return gamma * x_hat + beta, (running_mean.copy(), running_var.copy()), vjp


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_an_implementation_of_float16_alone_is_checked(mode):
    mine = Implementation(
        name="mine",
        load=lambda: half_precision,
        capabilities=Capabilities(dtypes=("float16",), ranks=(2,), validates=False),
    )
    subjects = load([mine]).subjects
    findings = list(execute(plan(subjects, [parse_case(f"float16/9x5/{mode}")], CHECKS), subjects))

    assert len(findings) == (4 if mode == "train" else 3)
    assert {f.status for f in findings} == {Status.PASSED}
    assert {c.error for f in findings for c in f.comparisons} == {0.0}


def test_a_float16_with_a_wrong_divisor_is_objected_to():
    def wrong(x, *others, **options):
        y, running, vjp = half_precision(x, *others, **options)
        return y * np.float16(0.95), running, vjp

    assert all(c.error > c.limit for c in comparisons(output_is_exact, wrong, parse_case("float16/9x5/train")))
