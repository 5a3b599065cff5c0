"""Grades as other systems read them: valid, complete, never a zero for trouble, and obeying no text."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from bnbench.grading.exports.canvas import CanvasError, fill_canvas
from bnbench.grading.exports.cells import text_cell
from bnbench.grading.exports.classroom50 import Release, render_classroom50
from bnbench.grading.exports.github import ANNOTATIONS, annotation_commands, step_summary
from bnbench.grading.exports.grades import render_grades
from bnbench.grading.exports.gradescope import render_gradescope
from bnbench.grading.exports.junit import render_junit
from bnbench.grading.exports.moodle import render_moodle
from bnbench.grading.roster import Row, Standing, Student

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "gradescope.schema.json").read_text())
RELEASE = Release(
    classroom="cs",
    assignment="bn",
    submission="submit/2026-01-02",
    commit="https://github.com/cs/bn-ann/commit/1",
    release="https://github.com/cs/bn-ann/releases/tag/1",
    review="https://github.com/cs/bn-ann/pull/1",
    datetime="2026-01-02T03:04:05Z",
    graded_at="2026-01-03T00:00:00Z",
)
GRADEBOOK = (
    "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Batch norm (4711),Softmax (4712),Final Score\r\n"
    "    Points Possible,,,,,16,10,(read only)\r\n"
    '"Example, Ann",1,001,ann,A,,"1,5",\r\n'
    '"Example, ""Bob""",2,002,bob,A,3,,\r\n'
    '"Example,\nCho",3,003,cho,A,"7",  2 ,\r\n'
    "Fay,6,006,fay,A,9,9,\r\n"
    '"Example, Eve",5,,,B,,,x\n'
).encode()


def cells(text):
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def records(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_every_export_is_the_golden_one(rows, grade, golden):
    golden("results.json", render_gradescope(grade, points=4.5, note="1 day late: 10 % off"))
    golden("result.json", render_classroom50(grade, RELEASE))
    golden("junit.xml", render_junit(rows))
    golden("summary.md", step_summary(rows))
    golden("annotations.txt", annotation_commands(grade, file="cs231n/layers.py"))
    golden("moodle.csv", render_moodle(rows))
    golden("grades.csv", render_grades(rows))


# Gradescope


def test_the_schema_knows_a_wrong_result():
    for wrong in ({}, {"tests": []}, {"score": "1"}, {"score": 1, "visibility": "never"}, {"score": 1, "x": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


def test_results_of_gradescope_fit_the_schema_and_keep_their_visibility(grade):
    results = json.loads(render_gradescope(grade))
    jsonschema.validate(results, SCHEMA)

    assert results["score"] == grade.points == sum(test["score"] for test in results["tests"])
    assert [test["visibility"] for test in results["tests"]] == ["visible"] * 4 + ["hidden", "after_due_date"]
    assert "SECRET" not in results["output"]


def test_points_after_lateness_override_the_sum(grade):
    assert json.loads(render_gradescope(grade, points=4.5))["score"] == 4.5


@pytest.mark.parametrize("render", [render_gradescope, lambda grade: render_classroom50(grade, RELEASE)])
def test_a_grade_that_is_owed_gives_no_file(owed, render):
    with pytest.raises(ValueError, match="no grade yet"):
        render(owed)


# Classroom 50


def test_the_result_of_classroom_50_is_of_integers_that_sum_up_and_names_no_hidden_item(grade):
    text = render_classroom50(grade, RELEASE)
    result = json.loads(text)

    assert "SECRET" not in text
    assert "LATER" not in text
    assert result["tests"][-1] == {"test-name": "2 hidden", "passed": False, "score": 1, "max-score": 4}
    for key in ("score", "max-score"):
        assert type(result[key]) is int
        assert result[key] == sum(test[key] for test in result["tests"])
    assert result["datetime"] == RELEASE.datetime


# JUnit


def test_junit_tells_failures_from_errors_from_skips(rows):
    suites = ET.fromstring(render_junit(rows))  # noqa: S314 - our own
    ann, bob, cho, dee, _ = suites

    assert [[child.tag for child in case if child.tag != "system-out"] for case in ann.iter("testcase")] == [
        [],
        ["failure"],
        ["skipped"],
        ["error"],
    ]
    assert [case[0].tag for suite in (bob, cho) for case in suite.iter("testcase")] == ["skipped", "error"]
    assert [suite.get("failures") for suite in suites] == ["1", "0", "0", "1", "0"]
    assert {one.get("name"): one.get("value") for one in dee.iter("property")}["points"] == ""


# GitHub


def test_the_summary_has_the_worst_first_and_fits(rows):
    whole = step_summary(rows)
    order = [whole.index(f"`{name}`") for name in ("dee", "cho", "bob", "ann", "eve")]

    assert order == sorted(order)
    for limit in (300, 1000, len(whole.encode()) - 1):
        cut = step_summary(rows, limit=limit)
        assert len(cut.encode()) <= limit
        assert "more, who did not fit here" in cut


def test_a_summary_of_a_large_class_is_below_githubs_limit(rows):
    many = [replace(rows[0], student=Student(username=f"s{i}")) for i in range(3000)]

    assert 800 << 10 < len(step_summary(many).encode()) <= 900 << 10


def test_annotations_are_at_most_ten_of_a_kind_and_the_rest_is_counted(grade):
    failed = replace(grade, results=tuple(replace(grade.results[1], number=f"2.{i}") for i in range(25)))
    lines = annotation_commands(failed, file="layers.py").splitlines()

    assert sum(line.startswith("::error ") for line in lines) == ANNOTATIONS
    assert lines[-1] == "::notice title=bnbench::15 more did not pass"
    assert lines[0].startswith("::error file=layers.py,title=2.0 backward%3A dx against reference,line=21::dx is 2.3")


# Canvas


def test_one_column_of_the_gradebook_is_filled_and_every_other_byte_left(rows):
    filled = fill_canvas(GRADEBOOK, "Batch norm", rows)
    expected = GRADEBOOK.replace(b'ann,A,,"1,5"', b'ann,A,4.5,"1,5"').replace(b",5,,,B,,,x", b",5,,,B,16,,x")

    assert filled.gradebook == expected
    assert filled.filled == ("ann", "eve")
    assert filled.left == ()


def test_grades_that_the_gradebook_has_no_line_for_are_named(rows):
    stranger = replace(rows[0], student=Student(username="zed"))

    assert fill_canvas(GRADEBOOK, "Batch norm (4711)", [stranger]).left == ("zed",)


@pytest.mark.parametrize(
    ("gradebook", "column", "words"),
    [
        (GRADEBOOK, "Batch", "0 columns"),
        (GRADEBOOK, "Section", "Canvas's own"),
        (GRADEBOOK, "Softmax", "of 10 points, the assignment of 16"),
        (GRADEBOOK.replace(b"Softmax (4712)", b"Batch norm (9)"), "Batch norm", "2 columns"),
        (b"Name,ID\n", "Batch norm", "first line"),
        (b"Student;ID;SIS User ID;Batch norm\n", "Batch norm", "commas"),
        (b"", "Batch norm", "first line"),
        (GRADEBOOK + b'"open', "Batch norm", "line"),
        (GRADEBOOK + b"\xff", "Batch norm", "UTF-8"),
    ],
)
def test_a_gradebook_that_would_be_harmed_is_refused(gradebook, column, words, rows):
    with pytest.raises(CanvasError, match=words):
        fill_canvas(gradebook, column, rows)


# CSV


def test_grades_has_everybody_and_trouble_is_an_empty_cell(rows):
    read = records(render_grades(rows))

    assert [(row["username"], row["status"], row["points"]) for row in read] == [
        ("ann", "graded", "4.5"),
        ("bob", "not_submitted", ""),
        ("cho", "missing_file", ""),
        ("dee", "grader_error", ""),
        ("eve", "graded", "16"),
    ]
    assert (read[3]["1.1"], read[3]["1.1 outcome"]) == ("", "grader_error")
    assert (read[0]["2.1"], read[0]["2.1 outcome"], read[0]["points_before_lateness"]) == ("0", "failed", "5")


def test_moodle_gets_feedback_with_a_grade_or_not_at_all(rows):
    read = records(render_moodle(rows))

    assert [(row["useremail"], row["useridnumber"], row["grade"]) for row in read] == [
        ("ann@example.edu", "001", "4.5"),
        ("eve@example.edu", "005", "16"),
    ]
    assert all(row["feedback"] for row in read)
    assert "SECRET" not in str(read)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  @SUM(1)", "  '@SUM(1)"),
        ("a;=1+1", "a;'=1+1"),
        ("a\n-1", "a\n'-1"),
        ("＝1", "'＝1"),
        ("x = 1 - 2", "x = 1 - 2"),
        ("ann-lee@example.edu", "ann-lee@example.edu"),
    ],
)
def test_a_formula_is_a_text_wherever_a_spreadsheet_would_find_it(text, cell):
    assert text_cell(text) == cell


# every export, with texts that mean harm


def test_hostile_text_stays_in_its_cell_and_calculates_nothing(hostile_rows):
    for render, width in ((render_grades, None), (render_moodle, 4)):
        table = cells(render(hostile_rows))
        assert {len(row) for row in table} == {width or len(table[0])}
        for cell in (cell for row in table for cell in row):
            for part in cell.replace(";", "\n").replace("|", "\n").split("\n"):
                assert not part.strip().startswith(tuple("=+-@"))
            assert cell.replace("\n", "").replace("\t", "").isprintable()


def test_hostile_text_stays_in_its_string_of_json(hostile_rows, hostile):
    results = json.loads(render_gradescope(hostile_rows[0].grade, note=hostile))
    result = json.loads(render_classroom50(hostile_rows[0].grade, replace(RELEASE, classroom=hostile)))
    jsonschema.validate(results, SCHEMA)

    for text in (results["output"], *(t["output"] + t["name"] for t in results["tests"]), result["classroom"]):
        assert text.replace("\n", "").replace("\t", "").isprintable()
    assert {results["output_format"], results["test_output_format"], results["test_name_format"]} == {"text"}


def test_hostile_text_leaves_the_xml_well_formed(hostile_rows):
    suites = ET.fromstring(render_junit(hostile_rows))  # noqa: S314 - our own

    assert {element.tag for element in suites.iter()} <= {
        *("testsuites", "testsuite", "properties", "property", "testcase", "system-out", "failure", "error", "skipped")
    }


def test_hostile_text_begins_no_workflow_command(hostile_rows, hostile):
    lines = annotation_commands(hostile_rows[0].grade, file=hostile).split("\n")

    assert lines.pop() == ""
    assert 0 < len(lines) <= 2 * ANNOTATIONS + 1
    for line in lines:
        assert re.fullmatch(r"::(error|warning|notice) [^:]*::[^\r\n]*", line)
        assert line.isprintable()


def test_hostile_text_makes_no_element_and_no_command_in_a_summary(hostile_rows, rows, rendered):
    shown = step_summary(hostile_rows)

    assert rendered(shown).tags <= rendered(step_summary(rows)).tags | {"br"}
    assert not any(line.startswith("::") for line in shown.splitlines())


def test_hostile_text_in_a_name_leaves_the_gradebook_as_it_was(hostile, grade):
    row = Row(student=Student(username=f"u{hostile}"), standing=Standing.GRADED, grade=grade, points=1.0)

    assert fill_canvas(GRADEBOOK, "Batch norm", [row]).gradebook == GRADEBOOK
