"""Two questions, four answers, each reached by mutants of its kind."""

from __future__ import annotations

import pytest

from bnbench.cases import grid
from bnbench.checks import ALL_CHECKS
from bnbench.conclusion import DERIVATIVE, FORWARD, GRADIENTS, Kind, conclude
from bnbench.conventions import infer
from bnbench.model import Finding, Status
from bnbench.mutants import ALL_MUTANTS
from bnbench.registry import discover
from bnbench.runner import execute, load, plan

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
CHECKS = [check for check in ALL_CHECKS if check.code in {"BN101", *FORWARD, *DERIVATIVE, *GRADIENTS}]


def concluded(implementation):
    subjects = load([implementation]).subjects
    declared = implementation.capabilities
    findings = execute(plan(subjects, grid(quick=True), CHECKS), subjects)
    return conclude(findings, infer(subjects[0].kernel, "float64", declared.norm, ddof=declared.running_var_ddof))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("eps_outside_the_root", Kind.OTHER_CONVENTION, "eps outside the root"),
        ("variance_over_m_minus_1", Kind.OTHER_CONVENTION, "normalizes by M - 1"),
        ("running_mean_weighs_the_old", Kind.OTHER_CONVENTION, "momentum of running_mean weighs the old"),
        ("running_var_with_the_other_ddof", Kind.OTHER_CONVENTION, "divisor M - 1"),
        ("eval_eps_outside_the_root", Kind.OTHER_CONVENTION, "eps outside the root in eval mode"),
        ("eval_mean_weighed_by_momentum", Kind.WRONG_FORWARD, "no known convention"),
        ("running_var_counts_the_rows", Kind.WRONG_FORWARD, "BN202, BN251"),
        ("fast_inverse_square_root", Kind.WRONG_FORWARD, "BN151"),
        ("dx_without_the_mean_path", Kind.WRONG_BACKWARD, "BN301"),
        ("dgamma_is_a_mean", Kind.WRONG_BACKWARD, "BN302"),
        ("dbeta_is_a_mean", Kind.WRONG_BACKWARD, "BN303"),
        ("tail_rows_left_out_of_the_means_of_dx", Kind.WRONG_BACKWARD, "BN351"),
        ("eps_outside_in_the_forward_alone", Kind.WRONG_BOTH, "eps outside the root"),
        ("bessel_in_the_forward_alone", Kind.WRONG_BOTH, "normalizes by M - 1"),
    ],
)
def test_a_mutant_comes_to_its_conclusion(name, kind, words):
    conclusion = concluded(MUTANTS[name].implementation())
    assert conclusion.kind is kind
    assert words in conclusion.sentence


@pytest.mark.parametrize("name", ["numpy_staged", "numpy_simplified"])
def test_an_implementation_is_correct(name):
    (implementation,) = discover().select([name])
    assert concluded(implementation).kind is Kind.CORRECT


def finding(check, status):
    return Finding(implementation="mine", check=check, claim="", case="float64/9x5/train", status=status)


PASSED = [finding(code, Status.PASSED) for code in (*FORWARD, *DERIVATIVE)]


@pytest.mark.parametrize(
    ("findings", "kind"),
    [
        ([], Kind.UNDECIDED),
        (PASSED, Kind.CORRECT),
        (PASSED[:-3], Kind.UNDECIDED),
        (PASSED[-3:], Kind.UNDECIDED),
        ([*PASSED, finding("BN301", Status.ERRORED)], Kind.UNDECIDED),
        ([*PASSED, finding("BN301", Status.FAILED)], Kind.WRONG_BACKWARD),
        ([*PASSED, finding("BN351", Status.FAILED)], Kind.WRONG_BACKWARD),
        ([*PASSED, finding("BN102", Status.FAILED)], Kind.WRONG_FORWARD),
        ([*PASSED, finding("BN102", Status.FAILED), finding("BN351", Status.FAILED)], Kind.WRONG_FORWARD),
        ([*PASSED, finding("BN102", Status.FAILED), finding("BN301", Status.FAILED)], Kind.WRONG_BOTH),
        ([*PASSED, finding("BN501", Status.FAILED)], Kind.CORRECT),
        ([finding(code, Status.SKIPPED) for code in (*FORWARD, *DERIVATIVE)], Kind.UNDECIDED),
    ],
)
def test_the_table_of_conclusions(findings, kind):
    assert conclude(findings).kind is kind


def test_the_codes_are_those_of_checks():
    assert {*FORWARD, *DERIVATIVE, *GRADIENTS} <= {check.code for check in ALL_CHECKS}
