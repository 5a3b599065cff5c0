"""Tier I: the backward by its identities; each objects to its mutant, and names it where it alone can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent, parse_case
from bnbench.checks import ALL_CHECKS
from bnbench.checks._backward import backward_of, path_factors
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Case, Implementation, Status, Subject
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.mutants.backward import BACKWARD
from bnbench.reference import normalize
from bnbench.runner import execute, load, plan

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
IDENTITIES = {check.code: check for check in ALL_CHECKS if "BN311" <= check.code <= "BN326"}
NORMS = ("batch", "layer", "group", "instance", "rms")
CASE = Case(shape=(3, 6, 4))
"""N, C and M differ for every norm."""


def of_norm(case, norm):
    return replace(case, norm=norm, groups=2 if norm == "group" else 1)


def objections(mutant, case=CASE):
    """The identities that do not pass on this mutant, each with its notes."""
    subjects = load([mutant.implementation()]).subjects
    case = of_norm(case, mutant.norm)
    cases = [case, replace(case, training=False)] if mutant.norm == "batch" else [case]
    found = execute(plan(subjects, cases, list(IDENTITIES.values())), subjects)
    return {
        f.check: {c.note for c in f.comparisons if not c.error <= c.limit}
        for f in found
        if f.status not in {Status.PASSED, Status.SKIPPED}
    }


@pytest.mark.parametrize("check", IDENTITIES.values(), ids=lambda check: check.code)
def test_the_identity_objects_to_its_mutant(check):
    assert check.code in objections(MUTANTS[check.mutant])


SCALES = [
    "float64/3x6x4/train",
    "float64/3x6x4/train/mean=12/sd=5",
    "float64/3x6x4/train/mean=1000000",
    "float64/3x6x4/train/sd=0.000001",
    "float64/3x6x4/train/sd=1000000/mean=1000000",
    "float64/3x6x4/train/sd=0.003",
    "float64/2x2x2/train",
    "float64/65x6/train/eps=0.001/seed=4",
    "float32/3x6x4/train/mean=1000",
    "float32/3x6x4/train/sd=0.000001",
    "float32/3x6x4/train/sd=1000000",
    "float32/5x34x33/train/mean=12/sd=5",
]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("text", SCALES)
def test_a_correct_recipe_satisfies_every_identity_at_every_scale(norm, text):
    case = of_norm(parse_case(text), norm)
    if norm == "instance" and len(case.shape) == 2:
        pytest.skip("a block of one element has no gradient")
    correct = Implementation(name="correct", load=lambda: forward_of(norm=norm), capabilities=Capabilities(norm=norm))
    subjects = load([correct]).subjects
    cases = [case, replace(case, training=False)] if norm == "batch" else [case]
    for finding in execute(plan(subjects, cases, list(IDENTITIES.values())), subjects):
        assert finding.status is Status.PASSED, f"{finding.check} {finding.case}: {finding.reason}"


@pytest.mark.parametrize(
    ("mutant", "broken", "whole"),
    [
        ("dx_without_the_mean_path", {"BN311", "BN314"}, {"BN312", "BN315", "BN316"}),
        ("dx_without_the_variance_path", {"BN312", "BN315"}, {"BN311", "BN314", "BN316"}),
        ("dx_with_the_eval_formula", {"BN311", "BN312", "BN317"}, {"BN316", "BN313"}),
        ("dvar_over_m_minus_1", {"BN312", "BN315"}, {"BN311", "BN314", "BN316", "BN313"}),
        ("dx_scaled_by_1_0005", {"BN316"}, {"BN311", "BN313", "BN314", "BN322", "BN323", "BN324", "BN325", "BN326"}),
        ("dx_without_gamma", {"BN316", "BN323"}, {"BN311", "BN314", "BN324", "BN325"}),
        ("dvar_with_another_exponent", {"BN312", "BN324"}, {"BN311", "BN316", "BN323"}),
        ("jacobian_as_a_diagonal", {"BN311", "BN312", "BN316"}, {"BN317"}),
        ("dx_leaks_between_blocks", {"BN325"}, {"BN322", "BN323", "BN324"}),
        ("dy_normalized_by_its_norm", {"BN326"}, {"BN311", "BN316", "BN322"}),
        ("layer_gamma_after_the_means", {"BN313", "BN323"}, {"BN324", "BN325"}),
        ("rms_dx_with_a_mean_path", {"BN316", "BN317"}, {"BN323", "BN324", "BN325"}),
    ],
)
def test_the_identities_that_break_name_the_term(mutant, broken, whole):
    found = set(objections(MUTANTS[mutant]))

    assert broken <= found
    assert not whole & found


@pytest.mark.parametrize(
    ("mutant", "code", "note"),
    [
        ("dx_without_the_mean_path", "BN311", "fits: the path through the mean is missing"),
        ("mean_path_with_the_wrong_sign", "BN314", "fits: the path through the mean has the wrong sign"),
        ("mean_path_over_rows", "BN311", "fits: the path through the mean is divided by N = 3, not by M = 12"),
        ("group_dx_over_rows", "BN311", "fits: the path through the mean is divided by N = 3, not by M = 12"),
        ("dx_with_sums_for_means", "BN312", "fits: the path through the variance is a sum in place of a mean"),
        ("dvar_with_a_factor_2", "BN312", "fits: the path through the variance counts twice"),
        ("dvar_halved", "BN315", "fits: the path through the variance counts half"),
        (
            "dvar_over_m_minus_1",
            "BN312",
            "fits: the path through the variance is divided by M - 1 = 11, not by M = 12",
        ),
        ("eps_omitted_in_the_backward", "BN312", "fits: eps = 0 in the backward"),
        ("eps_of_1e_3_in_the_backward", "BN319", "fits: eps = 0.001 in the backward"),
        ("dx_is_zero", "BN312", "fits: dx is all zeros"),
        ("dx_is_zero", "BN319", "fits: dx is all zeros"),
        ("dx_scaled_by_1_0005", "BN316", "fits: dx is 1.0005 times what it should be"),
        ("dx_without_gamma", "BN316", "fits: gamma is missing"),
        ("dgamma_with_x", "BN318", "fits: x in place of x_hat"),
        ("dgamma_from_the_centred_input", "BN318", "fits: x - mu in place of x_hat"),
        ("dgamma_and_dbeta_swapped", "BN318", "fits: dbeta in its place"),
        ("dgamma_over_rows", "BN318", "fits: divided by N = 3, a mean in place of the sum"),
        ("dgamma_of_the_next_channel", "BN318", "fits: the next channel's in its place"),
        ("eval_backward_with_the_train_formula", "BN321", "fits: the paths of train mode"),
        ("eval_dgamma_of_the_batch", "BN321", "fits: the statistics of the batch, as in train mode"),
    ],
)
def test_a_note_says_which_mistake_fits(mutant, code, note):
    assert note in objections(MUTANTS[mutant])[code]


def test_nothing_is_claimed_of_a_dx_that_is_all_zeros():
    """A sum of zeros is zero: BN311 says so, and does not pass."""
    subjects = load([MUTANTS["dx_is_zero"].implementation()]).subjects
    (finding,) = execute(plan(subjects, [CASE], [IDENTITIES["BN311"]]), subjects)

    assert finding.status is Status.VACUOUS


def test_an_exact_zero_is_never_judged_by_a_ratio():
    subjects = load([Implementation(name="correct", load=forward_of)]).subjects
    checks = [IDENTITIES[code] for code in ("BN311", "BN314", "BN320")]
    for finding in execute(plan(subjects, [CASE], checks), subjects):
        assert [c.relative for c in finding.comparisons] == [None] * len(finding.comparisons)


@pytest.mark.parametrize("norm", NORMS)
def test_infinite_and_missing_numbers_satisfy_nothing(norm):
    for value in (np.nan, np.inf, -np.inf):

        def poisoned(*arguments, value=value, **options):
            *outputs, vjp = forward_of(norm=norm)(*arguments, **options)

            def wrong(dy):
                dx, dgamma, dbeta = vjp(dy)
                dx[..., -1] = value
                dx[0] = value
                return dx, dgamma * value, dbeta * value

            return (*outputs, wrong)

        subject = Subject(name="poisoned", kernel=local_kernel(poisoned), capabilities=Capabilities(norm=norm))
        for check in IDENTITIES.values():
            if check.training is False or norm not in check.norms:
                continue
            comparisons = list(check.run(subject, of_norm(CASE, norm)))
            assert any(not c.error <= c.limit for c in comparisons), f"{check.code} {value}"


@pytest.mark.parametrize("norm", NORMS)
def test_the_backward_in_blocks_asks_for_what_it_says(norm):
    case = of_norm(CASE, norm)
    inputs, dy = draw(case), draw_cotangent(case)
    correct = Subject(name="correct", kernel=local_kernel(forward_of(norm=norm)))
    backward = backward_of(correct, inputs)
    (answer,) = backward(backward.scaled(dy))

    assert np.allclose(backward.cotangent(answer.g), dy, rtol=1e-15)
    expected = normalize(inputs, dy).gradients[0].dx
    assert np.allclose(answer.dx, backward.blocks(expected), rtol=0, atol=1e-13)


def test_a_path_is_never_off_by_nothing():
    for shape, elements in [((9, 5), 9), ((3, 5, 2, 4), 24), ((1, 1), 1), ((2, 6), 6), ((4, 1), 4)]:
        assert 1.0 not in path_factors(shape, elements).values() or elements == 1


def test_there_are_enough_wrong_backwards_and_they_cover_every_norm():
    assert len(BACKWARD) >= 25
    assert {mutant.norm for mutant in BACKWARD} == set(NORMS)
    assert len({mutant.name for mutant in ALL_MUTANTS}) == len(ALL_MUTANTS)
