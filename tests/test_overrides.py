"""Points set by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome
from bnbench.grading.overrides import Override, OverridesError, misfits, overridden, read_overrides

RESULT = ItemResult(number="1", title="t", function="f", outcome=Outcome.FAILED, points=0, max_points=4, what="off")
GRADE = Grade(
    assignment="small",
    assignment_digest="d",
    submission="a",
    file="layers.py",
    bnbench="0.1.0",
    epoch="e",
    results=(RESULT, replace(RESULT, number="2", outcome=Outcome.GRADER_ERROR)),
    isolation=Isolation(tier="T2"),
)


def test_overrides_are_read_with_names_of_any_kind():
    read = read_overrides('\ufeffid,item,points,note\n"o\'neil, ann",1,3,"right idea, ""almost"""\n')

    assert read == (Override(student="o'neil, ann", item="1", points=3, note='right idea, "almost"'),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student,item,points\n", "line 1"),
        ("id,item,points,note\nann,1,-2,\n", "line 2: points"),
        ("id,item,points,note\nann,1,2.5,\n", "line 2: points"),
        ("id,item,points,note\nann,,2,\n", "line 2: expected"),
        ("id,item,points,note\nann,1,2,\nann,1,3,\n", "line 3: ann has item 1 twice"),
    ],
)
def test_a_line_that_can_not_be_understood_is_refused_by_its_number(text, said):
    with pytest.raises(OverridesError, match=said):
        read_overrides(text)


def test_an_override_sets_points_and_outcome_and_keeps_what_the_machine_said():
    result = overridden(GRADE, [Override(student="ann", item="1", points=3, note="right idea")]).results[0]

    assert (result.outcome, result.points) == (Outcome.PARTIAL, 3)
    assert result.what == "set by hand to 3: right idea (before: failed, 0/4)"


def test_an_override_pays_what_the_grader_owes():
    assert GRADE.points is None
    assert overridden(GRADE, [Override(student="ann", item="2", points=4)]).points == 4


def test_overrides_without_effect_or_beyond_reason_are_said():
    overrides = [
        Override(student="bob", item="1", points=1),
        Override(student="ann", item="9", points=1),
        Override(student="ann", item="1", points=40),
        Override(student="ann", item="2", points=4),
    ]

    said = misfits(overrides, {"ann": GRADE})
    assert len(said) == 3
    assert "no submission" in said[0]
    assert "there are 1, 2" in said[1]
    assert "40 points where there are 4" in said[2]
