"""The full Jacobian: right for every norm, at the promised cost, and its error names the bug."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from bnbench.blocks import to_blocks
from bnbench.cases import draw, parse_case
from bnbench.checks import ALL_CHECKS
from bnbench.jacobian import dependent_elements, jacobian
from bnbench.kernels import local_kernel
from bnbench.model import Array, Case, Status, Subject
from bnbench.mutants import forward_of, recipe
from bnbench.mutants.recipe import Residuals, mean, mutant
from bnbench.projection import diagnosis, parts_of, project
from bnbench.reference import normalize
from bnbench.runner import execute, plan

CASES = [
    "float64/9x5/train",
    "float64/3x4x2/train/mean=12/sd=5",
    "float64/9x5/eval",
    "float64/7x9/layer",
    "float64/3x6x5/group2",
    "float64/3x4x7/instance",
    "float64/4x15/rms/mean=2",
]
SCALES = ["/mean=1000000", "/sd=1e-06", "/sd=1000000", ""]


def counted(kernel):
    calls = []

    def counting(inputs, /, *dys):
        calls.append(len(dys))
        return kernel(inputs, *dys)

    return counting, calls


class Parts(NamedTuple):
    """What dx is made of, in blocks: g = gamma dy / s, and what the paths through mean and variance take off."""

    r: Residuals
    g: Array
    m: Array
    v: Array


def with_dx(change, norm="batch"):
    """The correct recipe with its dx replaced by ``change(parts)``."""

    def dx(r, dy):
        g = r.dx_hat(dy) / r.sd
        through_mean = 0 if r.constants or r.norm == "rms" else mean(g)
        through_variance = 0 if r.constants else r.x_hat * mean(g * r.x_hat)
        return r.whole(change(Parts(r, g, through_mean, through_variance)))

    return local_kernel(mutant("changed", "dx is changed", norm=norm, dx=dx).make())


@pytest.mark.parametrize("text", CASES)
def test_both_jacobians_are_the_formula(text):
    case = parse_case(text)
    found = jacobian(normalize, draw(case))
    for block, x_hat in enumerate(found.x_hat):
        direct, through_mean, through_variance = parts_of(x_hat)
        expected = direct - found.through[0] * through_mean - found.through[1] * through_variance

        assert np.abs(found.analytic[block] - expected).max() <= 1e-14 * max(1, case.mean)
        assert np.abs(found.numeric[block] - expected).max() <= 1e-11
    assert diagnosis(found) == ""


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("text", ["float64/9x5/train", "float32/9x5/train", "float64/7x9/layer"])
def test_a_correct_backward_is_within_the_noise_at_every_scale(text, scale):
    if text.startswith("float32") and "mean" in scale:
        scale = "/mean=1000"
    case = parse_case(text + scale)
    found = jacobian(local_kernel(forward_of(norm=case.norm)), draw(case))

    assert (found.deviation / found.noise).max() <= 8
    assert diagnosis(found) == ""


def test_at_64x128_it_takes_at_most_400_forward_evaluations():
    kernel, calls = counted(local_kernel(forward_of()))
    found = jacobian(kernel, draw(Case(shape=(64, 128))))

    assert len(calls) == 6 * 64 + 1
    assert found.numeric.shape == (128, 64, 64)
    assert found.deviation.max() <= 1e-11


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.g - p.v, "-1/M on 11': the path through the mean is missing"),
        (lambda p: p.g - p.m, "-1/M on x_hat x_hat': the path through the variance is missing"),
        (lambda p: p.g + p.m - p.v, "-2/M on 11': the path through the mean has the wrong sign"),
        (lambda p: p.g - p.m - 2 * p.v, "+1/M on x_hat x_hat': the path through the variance counts twice"),
        (
            lambda p: p.g - p.m - p.v * p.r.elements / (p.r.elements - 1),
            "+0.125/M on x_hat x_hat': the path through the variance is divided by M - 1 in place of M",
        ),
        (lambda p: 0 * p.g, "dx is zero"),
        (lambda p: 1.0005 * (p.g - p.m - p.v), "all of dx is 1.0005 times what it should be"),
        (lambda p: (p.g - p.m - p.v) * (np.arange(p.r.elements) != 8), "wrong: 8 of 0 to 8"),
        (lambda p: (p.g - p.m - p.v)[:, ::-1], "neither on I nor on 11' nor on x_hat x_hat'"),
        (lambda p: (p.g - p.m - p.v) * np.nan, "elements of the Jacobian are not finite"),
    ],
)
@pytest.mark.parametrize("text", ["float64/9x5/train", "float64/7x9/layer"])
def test_the_error_names_the_bug(text, change, said):
    case = parse_case(text)

    assert said in diagnosis(jacobian(with_dx(change, case.norm), draw(case)))


@pytest.mark.parametrize("text", ["float64/9x5/train", "float64/7x9/layer"])
def test_a_missing_gamma_is_named_whether_a_block_has_one_or_many(text):
    case = parse_case(text)

    def dx(r, dy):
        return recipe.dx(replace(r, gamma=np.ones_like(r.gamma)), dy)

    kernel = local_kernel(mutant("gamma", "gamma", norm=case.norm, dx=dx).make())
    assert diagnosis(jacobian(kernel, draw(case))).endswith("gamma is missing")


def test_another_eps_in_the_backward_is_named():
    def dx(r, dy):
        other = np.sqrt(r.sd**2 + 1e-3)
        return recipe.dx(replace(r, sd=other, x_hat=r.centred / other, slope=0.5 / other), dy)

    found = jacobian(local_kernel(mutant("eps", "eps", dx=dx).make()), draw(Case(shape=(9, 5))))

    assert "not the eps or variance of the forward" in diagnosis(found)


def test_a_path_that_should_not_be_there_is_named():
    case = parse_case("float64/4x15/rms")
    kernel = with_dx(lambda p: p.g - mean(p.g) - p.v, "rms")

    assert "the path through the mean should not be there" in diagnosis(jacobian(kernel, draw(case)))


def test_the_coefficients_of_what_lacks_are_those_of_the_bug():
    kernel = with_dx(lambda p: 0.5 * p.g - 0.25 * p.m - 3 * p.v)
    found = project(jacobian(kernel, draw(Case(shape=(9, 5)))), 2)

    assert (found.direct, found.mean, found.variance) == pytest.approx((0.5, -0.75, 2), abs=1e-9)
    assert found.remainder < 1e-9


def test_a_projection_of_what_is_not_finite_is_refused():
    found = jacobian(with_dx(lambda p: p.g * np.nan), draw(Case(shape=(9, 5))))

    with pytest.raises(ValueError, match="block 1 of the Jacobian is not finite"):
        project(found, 1)


def leaking(inputs, /, *dys, source=1, target=4, weight=1e-6):
    """Group norm's blocks or batch norm's channels, one of which enters one other."""
    options = inputs.options
    x = inputs.x.copy()
    blocks = to_blocks(x, options.norm, options.groups)
    before = blocks[source].copy()
    y = normalize(inputs).y
    out = to_blocks(y, options.norm, options.groups).copy()
    out[target] += weight * before
    shape = inputs.x.shape
    wide = out.reshape(shape) if options.norm != "batch" else np.moveaxis(out.reshape(shape[1], shape[0], -1), 0, 1)
    return replace(normalize(inputs, *dys), y=np.ascontiguousarray(wide.reshape(shape)))


@pytest.mark.parametrize("text", ["float64/9x5/train", "float64/9x5/eval", "float64/7x9/layer", "float64/3x6x5/group2"])
def test_a_leak_of_one_block_into_one_other_is_found(text):
    case = parse_case(text)
    inputs, others = draw(case), draw(replace(case, seed=1)).x
    changed = to_blocks(dependent_elements(leaking, inputs, others), case.norm, case.groups)

    assert sorted(np.flatnonzero(changed.any(1))) == [4]


@pytest.mark.parametrize(
    ("text", "evaluations"), [("float64/4x1/train", 1), ("float64/4x2/train", 3), ("float64/4x100/train", 15)]
)
def test_the_certificate_takes_two_evaluations_for_each_bit_and_one(text, evaluations):
    case = parse_case(text)
    kernel, calls = counted(local_kernel(forward_of()))

    assert not dependent_elements(kernel, draw(case), draw(replace(case, seed=1)).x).any()
    assert len(calls) == evaluations


@pytest.mark.parametrize("text", ["float64/9x5/train", "float32/3x5x2x4/eval", "float64/7x9/layer", "float32/4x15/rms"])
def test_independent_blocks_pass(text):
    case = parse_case(text)
    (check,) = [check for check in ALL_CHECKS if check.code == "BN341"]
    subject = Subject(name="correct", kernel=local_kernel(forward_of(norm=case.norm)))

    assert [c.error for c in check.run(subject, case)] == [0.0]


def findings_of_bn301(kernel, case):
    (check,) = [check for check in ALL_CHECKS if check.code == "BN301"]
    subject = Subject(name="subject", kernel=kernel)
    (finding,) = execute(plan([subject], [case], [replace(check, after=())]), [subject])
    return finding


def test_a_failing_dx_carries_the_sentence():
    finding = findings_of_bn301(with_dx(lambda p: p.g - p.v), Case(shape=(9, 5)))

    assert finding.status is Status.FAILED
    assert finding.comparisons[0].note == "-1/M on 11': the path through the mean is missing"


@pytest.mark.parametrize(
    ("case", "change"),
    [
        (Case(shape=(9, 5)), lambda p: p.g - p.m - p.v),
        (Case(shape=(65, 5)), lambda p: p.g - p.v),
    ],
    ids=["right", "large"],
)
def test_no_jacobian_is_taken_where_dx_is_right_or_the_block_is_large(case, change):
    kernel, calls = counted(with_dx(change))
    finding = findings_of_bn301(kernel, case)

    assert finding.comparisons[0].note == ""
    assert max(calls) == 1, "a Jacobian asks for M cotangents at once"
