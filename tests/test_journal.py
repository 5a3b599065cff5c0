"""The journal: whole lines, whatever happened to the grader."""

from __future__ import annotations

import json

import pytest

from bnbench.grading.journal import Entry, JournalError, Key, open_journal, read_journal
from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome


def grade(submission="a" * 64, outcome=Outcome.PASSED, **other):
    result = ItemResult(number="1", title="t", function="f", outcome=outcome, points=2, max_points=2, **other)
    return Grade(
        assignment="small",
        assignment_digest="d",
        submission=submission,
        file="layers.py",
        bnbench="0.1.0",
        epoch="spring",
        results=(result,),
        isolation=Isolation(tier="T2", why={"cgroup": "no controller"}),
    )


def key(submission="a" * 64):
    return Key(submission=submission, assignment="d", bnbench="0.1.0", epoch="spring")


def entry(submission="a" * 64, **other):
    return Entry(key=key(submission), grade=grade(submission, **other))


def written(path, *entries):
    with open_journal(path) as journal:
        for one in entries:
            journal.append(one)
    return path


def test_what_is_appended_is_read_back_equal(tmp_path):
    path = written(tmp_path / "journal.jsonl", entry(what="größer als 1e-3\nund\x1b[2J", line=3), entry("b" * 64))

    assert read_journal(path) == {
        key(): entry(what="größer als 1e-3\nund\x1b[2J", line=3),
        key("b" * 64): entry("b" * 64),
    }


def test_text_that_utf_8_can_not_write_is_shown_by_its_escapes(tmp_path):
    path = written(tmp_path / "journal.jsonl", entry(what="caf\udce9"))

    assert read_journal(path)[key()].grade.results[0].what == "caf\\udce9"


def test_the_last_entry_of_a_key_counts(tmp_path):
    path = written(tmp_path / "journal.jsonl", entry(outcome=Outcome.GRADER_ERROR), entry())

    assert read_journal(path) == {key(): entry()}


def test_a_grade_in_which_the_grader_owes_an_item_is_not_settled():
    assert entry().settled
    assert not entry(outcome=Outcome.GRADER_ERROR).settled
    assert not Entry(key=key(), grade=None, trouble="died").settled


@pytest.mark.parametrize("cut", [1, 2, 40, 10_000])
def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path, cut):
    path = written(tmp_path / "journal.jsonl", entry())
    whole = path.read_bytes()
    path.write_bytes(whole + (whole * 20)[: len(whole) - 1][:cut])

    assert read_journal(path) == {key(): entry()}
    written(path, entry("b" * 64))
    assert path.read_bytes().startswith(whole)
    assert list(read_journal(path)) == [key(), key("b" * 64)]
    assert [json.loads(line)["key"]["submission"][0] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_last_line_that_grew_before_its_content_came_is_dropped(tmp_path):
    path = written(tmp_path / "journal.jsonl", entry())
    path.write_bytes(path.read_bytes() + bytes(100) + b"\n")

    assert read_journal(path) == {key(): entry()}


def test_a_changed_line_in_the_middle_is_refused_by_its_number(tmp_path):
    path = written(tmp_path / "journal.jsonl", entry(), entry("b" * 64), entry("c" * 64))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1].replace('"points": 2', '"points": "all"') + lines[2])

    with pytest.raises(JournalError, match="line 2"):
        read_journal(path)


def test_two_graders_can_not_write_one_journal(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "journal.jsonl"
    with open_journal(path), pytest.raises(JournalError, match="another grader"), open_journal(path):
        pass
    written(path, entry())


def test_a_key_fits_its_own_grade_alone():
    assert key().fits(grade())
    assert not key("b" * 64).fits(grade())


def test_there_is_nothing_in_a_journal_that_is_not_there(tmp_path):
    assert read_journal(tmp_path / "journal.jsonl") == {}
