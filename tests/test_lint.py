"""The lint of rubrics: shipped ones pass, and a weak one is caught, item by item."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnbench.grading.assignment import SHIPPED, read_assignment, shipped_text
from bnbench.grading.lint import RIGHT_FAILS, lint
from bnbench.grading.model import Assignment, Item, Visibility


def assignment(*items, kind="cs231n"):
    return Assignment(name="weak", title="Weak", kind=kind, files=("layers.py",), items=items)


def item(function, *checks, number="1", **other):
    return Item(number=number, title="t", function=function, checks=checks, points=2, **other)


def complaints(*items, **other):
    return [complaint.sentence for complaint in lint(assignment(*items, **other))]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_assignment_gives_no_reason_to_complain(name):
    assert lint(read_assignment(shipped_text(name))) == ()


def test_a_gradient_that_only_fits_its_own_forward_is_no_proof_of_it():
    said = complaints(item("batchnorm_backward", "BN301", outputs=("dx",)))

    assert any("divides by sqrt(v);" in s for s in said)
    assert any("answers its input" in s for s in said)


def test_a_mean_of_zero_says_little_of_y():
    said = complaints(item("layernorm_forward", "BN111", outputs=("y",)))

    assert any("divides by sqrt(v);" in s for s in said)
    assert RIGHT_FAILS not in said


def test_leaving_arguments_alone_deserves_no_points_of_its_own():
    said = complaints(item("batchnorm_forward", "BN501"))

    assert any("answers all zeros" in s for s in said)
    assert any("answers its input" in s for s in said)


def test_an_item_is_tried_together_with_those_that_it_needs():
    forward = item("layernorm_forward", "BN102", "BN334")
    polite = item("layernorm_forward", "BN501", number="2", needs=("1",))

    assert complaints(forward, polite) == []
    assert complaints(forward, replace(polite, needs=())) != []


def test_a_check_that_no_right_submission_passes_is_noticed():
    assert RIGHT_FAILS in complaints(item("batchnorm_forward", "BN601"))


def test_a_check_of_which_no_output_counts_is_noticed():
    assert RIGHT_FAILS in complaints(item("batchnorm_forward", "BN102", outputs=("running_var",)))


def test_what_is_hidden_whole_or_worth_nothing_is_noticed():
    forward = item("batchnorm_forward", "BN102", "BN334", outputs=("y",))

    assert "every item is hidden" in " ".join(complaints(replace(forward, visibility=Visibility.HIDDEN)))
    assert complaints(replace(forward, points=0)) == ["no item is worth any points"]


def test_a_circle_of_needs_is_noticed():
    one = item("batchnorm_forward", "BN102", needs=("2",))
    two = item("batchnorm_forward", "BN102", number="2", needs=("1",))

    assert any("a circle" in s for s in complaints(one, two))


def test_a_stage_of_uw_that_answers_nothing_gets_no_points():
    assert complaints(item("variance", "uw:variance"), kind="uw") == []
