"""The page of a class: complete, small, the same every time, and safe whatever students call themselves."""

from __future__ import annotations

import random
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.classreport import WORDS, hardest, histogram, mistakes, render_class
from bnbench.grading.journal import Entry, key_of
from bnbench.grading.members import Member
from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome
from bnbench.grading.results import class_result
from bnbench.grading.roster import Student

ASSIGNMENT = read_assignment(shipped_text("cs231n-normalization"))
HINTS = ("line {}: dvar is 2 x dL/dvar: a factor 1/2 is missing", "lines {0}-{0}: eps stands outside the root", "")


def grade(digest, outcomes):
    results = tuple(
        ItemResult(
            number=item.number,
            title=item.title,
            function=item.function,
            outcome=outcome,
            points=item.points if outcome is Outcome.PASSED else 0,
            max_points=item.points,
            hint="" if outcome is Outcome.PASSED else HINTS[i % 3].format(i + 7),
            check="" if outcome is Outcome.PASSED else "BN331",
            what="" if outcome is Outcome.PASSED else "dx is off by 3 decades",
        )
        for i, (item, outcome) in enumerate(zip(ASSIGNMENT.items, outcomes, strict=True))
    )
    return Grade(
        assignment=ASSIGNMENT.name,
        assignment_digest=ASSIGNMENT.digest,
        submission=digest,
        file="layers.py",
        bnbench="0.1.0",
        epoch="spring",
        results=results,
        isolation=Isolation(tier="T2"),
    )


def a_class(count, *, order=1):
    draws = random.Random(231)  # noqa: S311 - made-up grades
    members, entries = [], {}
    for i in range(count):
        digest = f"{i:064}"
        student = Student(username=f"s{i:03}", first_name="Ann", last_name=f"Student {i}")
        members.append(Member(student=student, source_name=f"{i}/layers.py", digest=digest))
        kinds = draws.choices([Outcome.PASSED, *Outcome], weights=[30, *[1] * len(Outcome)], k=len(ASSIGNMENT.items))
        kinds = [Outcome.FAILED if kind is Outcome.GRADER_ERROR else kind for kind in kinds]
        key = key_of(digest, ASSIGNMENT, "spring")
        entries[digest] = Entry(key=key, grade=grade(digest, kinds), tokens=f"{i // 3}")
    members += [Member(student=Student(username=f"absent{i}")) for i in range(9)]
    entries = dict(list(entries.items())[::order])
    return class_result(ASSIGNMENT, members[::order], entries, epoch="spring", bnbench="0.1.0")


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_of_a_large_class_is_below_3_mb_and_needs_nothing_else():
    text = render_class(a_class(1000))
    page = Page(text)

    assert len(text.encode()) < 3_000_000
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if {"src", "href", "onclick"} & a.keys()]
    assert "url(" not in text
    assert "@import" not in text


def test_order_makes_no_difference_to_a_byte():
    assert render_class(a_class(40)) == render_class(a_class(40, order=-1))


def test_every_cell_says_in_words_what_its_colour_says():
    page = render_class(a_class(60))

    for outcome in Outcome:
        assert f">{WORDS[outcome]}<" in page
    assert "not submitted" in page
    assert len(set(WORDS.values())) == len(Outcome)


def test_names_and_hints_are_text_whatever_they_hold():
    result = a_class(2)
    hostile = "</td><script>alert(1)</script>\x1b[2J\u202e{{ 7*7 }}"
    row = result.rows[-1]
    item = replace(row.grade.results[0], outcome=Outcome.FAILED, hint=hostile)
    bad = replace(
        row,
        student=Student(username=hostile, first_name=hostile),
        note=hostile,
        grade=replace(row.grade, results=(item, *row.grade.results[1:])),
    )
    text = render_class(replace(result, rows=(*result.rows[:-1], bad), identical=((bad.student,),), remarks=(hostile,)))

    assert "<script" not in text
    assert not {"\x1b", "\u202e"} & set(text)
    assert text.count("{{ 7*7 }}") >= 5


def test_the_same_mistake_on_other_lines_counts_as_one():
    result = a_class(200)
    found = mistakes(result)

    words = [(mistake.function, mistake.words) for mistake in found]
    assert len(set(words)) == len(words)
    assert any(m.words == "eps stands outside the root" for m in found)
    assert any(m.words == "dx is off by 3 decades (BN331)" for m in found)
    assert [m.students for m in found] == sorted((m.students for m in found), reverse=True)
    for mistake in found:
        makers = {
            row.student.username
            for row in result.rows
            for r in (row.grade.results if row.grade else ())
            if r.function == mistake.function
            and mistake.words.removesuffix(" (BN331)") in f"{r.hint} {'' if r.hint else r.what}"
            and r.outcome not in {Outcome.PASSED, Outcome.SKIPPED, Outcome.GRADER_ERROR}
        }
        assert mistake.students == len(makers)


def test_the_same_mistake_in_other_names_counts_as_one():
    result = a_class(20)
    rows = []
    graded = [row for row in result.rows if row.grade][:2]
    for row, hint in zip(graded, ("Line 4: `mu` is a sum.", "Line 18: `x.sum(0)` is a sum."), strict=True):
        item = replace(row.grade.results[0], outcome=Outcome.FAILED, hint=hint)
        rows.append(replace(row, grade=replace(row.grade, results=(item,))))

    assert [(m.words, m.students) for m in mistakes(replace(result, rows=tuple(rows)))] == [("… is a sum.", 2)]


def test_what_is_no_item_has_no_column_and_is_no_mistake():
    result = a_class(2)
    row = result.rows[-1]
    repairs = replace(
        row.grade.results[0], number="repairs", title="repairs", points=-2, outcome=Outcome.FAILED, hint="?!"
    )
    longer = replace(result, rows=(replace(row, grade=replace(row.grade, results=(*row.grade.results, repairs))),))
    shorter = replace(result, rows=(row,))

    assert Page(render_class(longer)).tags == Page(render_class(shorter)).tags
    assert "repairs: -2</td>" in render_class(longer)
    assert mistakes(longer) == mistakes(shorter)


def test_the_histogram_holds_everybody_who_is_graded():
    result = a_class(50)
    bars = histogram(result)

    assert sum(bar.students for bar in bars) == 50
    for bar in bars[:-1]:
        assert bar.students == sum(row.points is not None and bar.low <= row.points < bar.high for row in result.rows)


def test_the_hardest_item_comes_first():
    found = hardest(a_class(80))

    assert [item.share for item in found] == sorted(item.share for item in found)
    assert {item.number for item in found} == {item.number for item in ASSIGNMENT.items}


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_of_hardly_anybody_has_a_page(count):
    assert f"{count}/{count + 9} graded" in render_class(a_class(count))
