"""A student's view says the same in three formats, shows no hidden item, and obeys no text."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from bnbench.grading import student
from bnbench.grading.model import Outcome


def in_terminal(grade, *, width=80, **options):
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(student.terminal(grade, **options), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


FORMATS = {"terminal": in_terminal, "markdown": student.markdown, "html": student.html}


def test_the_formats_are_the_golden_ones(grade, golden):
    golden("student.txt", in_terminal(grade))
    golden("student.md", student.markdown(grade))
    # The style is that of every page.
    golden("student.html", re.sub(r"<style>.*</style>", "<style></style>", student.html(grade), flags=re.DOTALL))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_every_word_of_the_view(name, grade, page, rendered):
    shown = FORMATS[name](grade, **({"width": 300} if name == "terminal" else {}))
    shown = {"html": lambda: page(shown).text, "markdown": lambda: rendered(shown).text, "terminal": lambda: shown}[
        name
    ]()
    view = student.view(grade)
    words = [view.headline, view.score, *view.remarks, *view.hidden, view.isolation]
    for item in view.items:
        words += [item.mark.word, item.number, item.title, item.score, *(detail.text for detail in item.details)]

    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_hidden_item_is_counted_and_not_shown(name, grade):
    before, after = FORMATS[name](grade), FORMATS[name](grade, after_due=True)

    assert "SECRET" not in before + after
    assert ("LATER" in before, "LATER" in after) == (False, True)
    assert "1 hidden check, worth 3 points: counted, not shown" in before
    assert "1 hidden check, worth 1 point: shown after the due date" in before


def test_the_total_does_not_tell_what_hidden_items_came_to(grade):
    secret = next(result for result in grade.results if "SECRET" in result.title)
    passed = replace(secret, points=3, outcome=Outcome.PASSED)
    better = replace(grade, results=tuple(passed if result is secret else result for result in grade.results))

    assert better.points == grade.points + 3
    assert student.view(better) == student.view(grade)


def test_trouble_of_the_grader_is_no_grade_and_no_zero(owed):
    view = student.view(owed)

    assert view.score == "no grade yet"
    assert view.items[0].score == "-/4"
    assert view.items[0].details == (student.Detail("", "the grader had trouble, not you: it will be graded again"),)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_mark_and_but_for_a_pass_something_to_say(outcome, grade):
    silent = replace(grade.results[0], outcome=outcome, what="")

    assert student.MARKS[outcome].word
    assert bool(student.details(silent)) is (outcome is not Outcome.PASSED)


def test_the_command_is_on_one_line_in_a_narrow_terminal(grade):
    command = f"$ {grade.results[1].reproduce}\n"

    assert command in in_terminal(grade, width=40)


def test_hostile_text_is_shown_in_a_terminal_and_does_nothing(hostile_rows):
    shown = in_terminal(hostile_rows[0].grade)

    assert all(line.isprintable() for line in shown.expandtabs().splitlines())


def test_hostile_text_makes_no_element_of_a_page(hostile_rows, grade, page):
    shown = page(student.html(hostile_rows[0].grade))

    assert shown.tags <= page(student.html(grade)).tags
    assert shown.text.replace("\n", "").replace("\t", "").isprintable()


def test_hostile_text_makes_no_element_of_markdown(hostile_rows, grade, rendered):
    shown = rendered(student.markdown(hostile_rows[0].grade))

    assert shown.tags <= rendered(student.markdown(grade)).tags | {"br"}


def test_a_text_without_end_is_cut(grade):
    endless = replace(grade.results[1], what="x" * 10**6)

    assert len(student.details(endless)[0].text) == student.LONGEST + 1
