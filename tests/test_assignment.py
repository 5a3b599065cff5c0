"""Assignments: shipped ones read, every mistake in a file is said where it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnbench.grading.assignment import SHIPPED, AssignmentError, read_assignment, shipped_text, write_assignment
from bnbench.grading.model import Hints, Visibility

TEXT = """
name = "small"
title = "A small one"
kind = "cs231n"
files = ["layers.py"]
hints = "what"
due = 2026-03-01T23:59:00-08:00

[late]
grace_minutes = 10
latest_days = 3

[[item]]
number = "1"
title = "forward"
function = "batchnorm_forward"
checks = ["BN102"]
points = 3
visibility = "hidden"

[[item]]
number = "2"
title = "backward"
function = "batchnorm_backward"
checks = ["BN331"]
outputs = ["dx"]
points = 4
needs = ["1"]
"""


def test_a_text_becomes_the_record_that_it_says():
    assignment = read_assignment(TEXT)

    assert assignment.points == 7
    assert assignment.hints is Hints.WHAT
    assert assignment.due == "2026-03-01T23:59:00-08:00"
    assert (assignment.late.grace_minutes, assignment.late.latest_days) == (10, 3)
    assert assignment.items[0].visibility is Visibility.HIDDEN
    assert (assignment.items[1].needs, assignment.items[1].outputs) == (("1",), ("dx",))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_assignment_reads_and_is_called_as_its_file(name):
    assignment = read_assignment(shipped_text(name))

    assert assignment.name == name
    assert assignment.points >= 20


@pytest.mark.parametrize("text", [TEXT, *map(shipped_text, SHIPPED)])
def test_what_is_written_reads_back_the_same(text):
    assignment = read_assignment(text)
    again = read_assignment(write_assignment(assignment))

    assert again.digest != assignment.digest
    assert replace(again, digest=assignment.digest) == assignment


def test_the_digest_tells_texts_apart():
    assert read_assignment(TEXT).digest != read_assignment(TEXT.replace("points = 3", "points = 2")).digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("points = 3", "point = 3", "item 1: point: there is no such key; did you mean 'points'?"),
        ("hints =", "hint =", "hint: there is no such key; did you mean 'hints'?"),
        ("grace_minutes = 10", "grace = 10", "late.grace: there is no such key; did you mean 'grace_minutes'?"),
        ("points = 3", 'points = "3"', "item 1: points: got '3', expected a valid integer"),
        ("points = 3", "points = 2.5", "item 1: points: got 2.5, expected a valid integer"),
        ("points = 3", "points = true", "item 1: points: got True, expected a valid integer"),
        ("points = 3", "points = -1", "item 1: points: got -1, expected 0 or more"),
        ("points = 4\n", "", "item 2: points: missing"),
        ('name = "small"', 'name = "small"\npoints = 8', "points: got 8, but the points of the items sum to 7"),
        ('"what"', '"all"', "hints: got 'all', expected 'none', 'what', 'where' or 'how'"),
        ('"cs231n"', '"cs229"', "kind: got 'cs229', expected 'cs231n' or 'uw'"),
        ('number = "2"', 'number = "1"', "item 1: there are 2 of this number"),
        ('needs = ["1"]', 'needs = ["3"]', "item 2: needs: got '3', which is no item"),
        ('visibility = "hidden"', 'needs = ["2"]', "a circle"),
        ("BN331", "BN313x", "item 2: checks: got 'BN313x', which cs231n does not have; did you mean 'BN313'?"),
        ("BN331", "uw:variance", "item 2: checks: got 'uw:variance', which cs231n does not have"),
        ('"batchnorm_backward"', '"batchnorm_bakward"', "did you mean 'batchnorm_backward'?"),
        ('["dx"]', '["y"]', "item 2: outputs: got 'y', expected of ['dx', 'dgamma', 'dbeta']"),
        ('["layers.py"]', '["a/layers.py"]', "files: got ['a/layers.py']"),
        ('["layers.py"]', "[]", "files: got []"),
        ("2026-03-01T23:59:00-08:00", "2026-03-01T23:59:00", "due: got 2026-03-01 23:59:00, expected a date-time with"),
        ("latest_days = 3", "percent_per_day = 110.0", "late.percent_per_day: got 110.0, expected 0 to 100"),
        ("latest_days = 3", "percent_per_day = nan", "late.percent_per_day"),
        ("[[item]]", "[[item", "not TOML"),
        ("[[item]]", "[[thing]]", "thing: there is no such key"),
    ],
)
def test_a_mistake_in_a_file_is_said_where_it_is(old, new, said):
    assert old in TEXT
    with pytest.raises(AssignmentError) as refused:
        read_assignment(TEXT.replace(old, new))

    assert said in str(refused.value)


def test_all_mistakes_are_said_at_once():
    with pytest.raises(AssignmentError) as refused:
        read_assignment(TEXT.replace("BN102", "BN1").replace("BN331", "BN2"))

    assert len(str(refused.value).splitlines()) == 2
