"""Every check can fail: it has a mutant that it alone catches; and every mutant is caught."""

from __future__ import annotations

import re

import pytest

from bnbench import mutation
from bnbench.cases import case_id, grid
from bnbench.checks import ALL_CHECKS, ESSENTIAL
from bnbench.model import Case, Status
from bnbench.mutants import ALL_MUTANTS, Mutant, forward_of
from bnbench.reference import normalize
from bnbench.runner import execute, load, plan

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}


CODES = {check.code: check for check in ALL_CHECKS}
CASES = tuple(dict.fromkeys((*grid(quick=True), *grid())))
"""The default grid, the cases on which most mutants show first."""


def objections(name, checks=ALL_CHECKS):
    """The codes of these checks that do not pass on this mutant over the default grid, as they are found."""
    return mutation.objections(MUTANTS[name].implementation(), CASES, checks)


dividing_by_zero = pytest.mark.filterwarnings("ignore::RuntimeWarning")
"""A warning that became an error would catch a mutant for the wrong reason."""


def with_prerequisites(check):
    """The check and all those without which it is skipped, in their order."""
    codes = {check.code}
    for earlier in reversed(ALL_CHECKS):
        codes |= set(earlier.after) if earlier.code in codes else set()
    return [other for other in ALL_CHECKS if other.code in codes]


@dividing_by_zero
@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.code)
def test_the_check_catches_its_mutant(check):
    assert check.code in objections(check.mutant, with_prerequisites(check)), "no case of the default grid shows it"


@dividing_by_zero
@pytest.mark.parametrize("check", ESSENTIAL, ids=lambda check: check.code)
def test_an_essential_check_alone_of_its_set_catches_its_mutant(check):
    assert set(objections(check.mutant, ESSENTIAL)) == {check.code}


@dividing_by_zero
@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name):
    assert next(objections(name), None), "every check passes on every case of the default grid"


def test_prerequisites_are_followed_to_their_own():
    codes = [check.code for check in with_prerequisites(CODES["BN404"])]

    assert codes == ["BN101", "BN102", "BN201", "BN202", "BN404"]


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "instance", "rms"])
def test_the_recipe_without_a_bug_is_not_objected_to(norm):
    correct = Mutant(name="correct", bug="none", norm=norm, make=lambda: forward_of(norm=norm))
    subjects = load([correct.implementation()]).subjects
    findings = list(execute(plan(subjects, grid(), ALL_CHECKS), subjects))

    assert {f.check for f in findings} >= {"BN101", "BN102", "BN301", "BN302", "BN303", "BN502"}
    assert {f.status for f in findings} == {Status.PASSED}


def test_codes_and_names_are_unique():
    assert len({check.code for check in ALL_CHECKS}) == len(ALL_CHECKS)
    assert len({check.name for check in ALL_CHECKS}) == len(ALL_CHECKS)


@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.code)
def test_the_check_explains_itself(check):
    assert re.fullmatch(r"BN[1-6]\d\d", check.code)
    assert check.claim
    assert not check.claim.endswith(".")
    assert check.usual_cause
    assert check.name == re.sub(r"\W", "_", check.name)


def test_a_check_comes_after_those_it_depends_on():
    seen = set()
    for check in ALL_CHECKS:
        assert set(check.after) <= seen
        seen.add(check.code)


def test_a_mismatched_statistic_is_named_after_the_rule_that_fits():
    subjects = load([MUTANTS["running_mean_weighs_the_old"].implementation()]).subjects
    (mean,) = [check for check in ALL_CHECKS if check.code == "BN201"]
    (finding,) = execute(plan(subjects, [Case(shape=(9, 5))], [mean]), subjects)

    assert finding.comparisons[0].note == "fits: momentum weighs the OLD statistics"


@pytest.mark.parametrize("case", grid(), ids=case_id)
def test_the_grid_gives_every_gradient_something_to_see(case):
    from bnbench.cases import draw, draw_cotangent

    for gradient in normalize(draw(case), draw_cotangent(case)).gradients[0]:
        assert gradient.any()
