"""Hints: every slip has words, no level tells more than it may, and no proof is claimed that was not made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bnbench.debugging import diagnose_file
from bnbench.diagnose.cause import QUANTITIES, Cause, Slip
from bnbench.diagnose.hints import (
    PROOFS,
    SLIPS,
    Hints,
    cause_hint,
    factor_of,
    hint,
    meant,
    noun,
    proof_words,
    proposed,
    shown,
)
from bnbench.diagnose.suspect import Suspect

WRONG = Path(__file__).parent / "bank" / "wrong"
FILES = ("half_dropped", "dgamma_not_reduced", "eps_missing_in_test", "beta_subtracted_in_test", "outputs_swapped")


def suspects(name):
    found = [suspect for layer in diagnose_file(WRONG / f"{name}.py").layers for suspect in layer.suspects]
    assert found
    return found


def suspect(slip, **fields):
    given = {
        "function": "batchnorm_backward",
        "line": 4711,
        "statement": "mine = his * 2",
        "name": "mine",
        "shows": "2 dvar",
        "quantity": "dvar",
        "should_be": "dvar",
        "proof": "recognized",
        "message": "NameError: name 'his' is not defined" if slip in (Slip.UNDEFINED, Slip.RAISES) else "",
    }
    return Suspect(slip=slip, **{**given, **fields})


@pytest.mark.parametrize("slip", Slip)
def test_every_slip_has_words_of_its_own_at_every_level(slip):
    others = {SLIPS[other] for other in Slip if other is not slip}

    assert SLIPS[slip] not in others
    assert SLIPS[slip] in hint(suspect(slip), Hints.WHAT)
    for level in (Hints.WHAT, Hints.WHERE, Hints.HOW):
        said = hint(suspect(slip), level)
        assert said[0].isupper()
        assert said.endswith((".", "?"))
        assert "  " not in said


@pytest.mark.parametrize("slip", [*Slip, None])
def test_what_gives_away_neither_the_line_nor_what_stands_on_it(slip):
    said = hint(suspect(slip), Hints.WHAT)

    assert "4711" not in said
    assert "mine" not in said
    assert "4711" in hint(suspect(slip), Hints.WHERE)


@pytest.mark.parametrize("name", FILES)
def test_each_level_gives_away_more_of_a_real_file(name):
    for found in suspects(name):
        what, where, how = (hint(found, level) for level in (Hints.WHAT, Hints.WHERE, Hints.HOW))
        corrected = " ".join(found.correction.edit.corrected.split())

        assert found.statement not in what
        assert not re.search(rf"\b{found.line}\b", what)
        assert where.startswith(f"Line {found.line}: ")
        assert corrected not in where
        assert how.startswith(where)
        assert corrected in how
        assert hint(found, Hints.NONE) == ""


def test_the_words_are_the_students_own():
    (found,) = suspects("half_dropped")

    assert "Line 37: `d3` is 2 dvar, where dvar belongs: a factor 1/2 is missing." in hint(found, Hints.WHERE)


def test_only_what_was_proven_is_called_proven():
    recognized = hint(suspect(Slip.FACTOR), Hints.HOW)
    replayed = hint(suspect(Slip.FACTOR, proof="replayed"), Hints.HOW)

    assert "not proven" in recognized
    assert "output" not in recognized
    assert "every output that depends on it" in replayed
    assert "With this change" not in replayed
    assert len(set(PROOFS.values())) == 3


def test_an_undefined_name_gets_the_one_that_was_meant():
    (test_mode,) = suspects("undefined_in_test_mode")
    (backward,) = suspects("undefined_in_backward")

    assert meant(test_mode) == "running_mean"
    assert meant(backward) == "dvar"
    assert "Is `dvar` meant?" in hint(backward, Hints.WHERE)


def test_a_correction_that_only_avoids_an_undefined_name_is_not_offered():
    (found,) = suspects("cache_built_after_the_branches")

    assert found.correction is not None, "an edit was found that makes every output right"
    assert proposed(found) is None
    assert proof_words(found) == ""
    assert "another branch" in hint(found, Hints.HOW)


@pytest.mark.parametrize(
    ("seen", "right", "missing"),
    [
        ("2 dvar", "dvar", "1/2"),
        ("1/2 x dvar", "dvar", "2"),
        ("N/(N-1) x dsq", "dsq", "(N-1)/N"),
        ("H W x dsq", "dsq", "1/(H W)"),
        ("dgamma with x", "dgamma", ""),
        ("dvar", "dvar", ""),
    ],
)
def test_the_missing_factor_is_the_reciprocal_of_the_one_too_much(seen, right, missing):
    assert factor_of(seen, right) == missing


def test_no_word_of_the_recognizer_reaches_a_student_unexplained():
    assert shown("running_mean (after)") == "the new running_mean"
    assert shown("running_var (before) divided by 1") == "the old running_var"
    assert shown("running_mean (after): average with the weights swapped").startswith("the new running_mean: ")
    assert shown("1-momentum") == "the weight of the old average"
    assert all(noun(quantity) != quantity and "dd" not in noun(quantity) for quantity in QUANTITIES)


def test_a_cause_without_a_line_is_told_in_the_same_levels():
    cause = Cause(
        quantity="dvar", slip=Slip.POWER, sentence="the power of sd is -2", evidence="fits in 7 cases", decided=True
    )

    assert cause_hint(cause, Hints.NONE) == ""
    assert "-2" not in cause_hint(cause, Hints.WHAT)
    assert cause_hint(cause, Hints.WHERE) == "The power of sd is -2."
    assert "Right is dvar = " in cause_hint(cause, Hints.HOW)


def test_an_undecided_cause_is_not_told_as_if_it_were_certain():
    cause = Cause(quantity="dx", slip=None, sentence="dx is off", evidence="", decided=False)

    assert all(cause_hint(cause, level).startswith("Probably") for level in (Hints.WHAT, Hints.WHERE, Hints.HOW))
