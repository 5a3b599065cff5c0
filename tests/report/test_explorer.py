"""What the page's script is given: read back, it is what the report says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bnbench.model import Status
from bnbench.report import words
from bnbench.report.explorer import explorer_json, facets
from bnbench.report.words import visible


def read(text):
    """The data with every index replaced by its text, one dictionary for each finding."""
    data = json.loads(text)
    texts = data["texts"]
    statuses = [status for status, _, _ in data["statuses"]]
    found = []
    for implementation, check, prefix, rows in data["groups"]:
        for status, case, command, *rest in rows:
            reason, hint, comparisons = [*rest, *(0, 0, [])[len(rest) :]]
            found.append(
                {
                    "implementation": texts[data["implementations"][implementation]],
                    "check": texts[data["checks"][check][0]],
                    "status": statuses[status],
                    "case": texts[case],
                    "command": texts[command] if command else texts[prefix] + texts[case],
                    "reason": texts[reason],
                    "hint": texts[hint],
                    "comparisons": comparisons,
                    "texts": texts,
                }
            )
    return found


def shown(text):
    return visible(text, keep="\n\t")


@pytest.mark.parametrize("which", ["report", "hostile_report", "empty_report"])
def test_every_finding_is_there_with_its_words(which, request):
    report = request.getfixturevalue(which)
    found = read(explorer_json(report, {}))

    key = ("implementation", "check", "status", "case", "hint")
    assert sorted(tuple(f[name] for name in key) for f in found) == sorted(
        tuple(shown(str(getattr(f, name))) for name in key) for f in report.findings
    )
    assert sorted(f["command"].strip() for f in found) == sorted(shown(f.reproduce).strip() for f in report.findings)


def test_what_did_not_pass_has_all_its_evidence(report):
    finding = next(f for f in report.findings if f.status is Status.FAILED)
    both = replace(finding, comparisons=(finding.comparisons[0], replace(finding.comparisons[0], quantity="dbeta")))
    (found,) = read(explorer_json(replace(report, findings=(both,)), {}))

    for row, comparison in zip(found["comparisons"], both.comparisons, strict=True):
        place, distance, limit, within, relative, got, expected, band, trivial, note = row
        texts = found["texts"]
        assert texts[place] == words.shape_of_index(comparison)
        assert texts[distance] == f"{words.number(comparison.error)} × {comparison.unit}"
        assert (texts[limit], within) == ("32", 0)
        assert (texts[got], texts[expected]) == words.values(comparison)
        assert texts[relative] == words.scientific(comparison.relative)
        assert (texts[band], trivial, texts[note]) == ("wrong", 0, comparison.note)


def test_what_passed_has_the_comparison_nearest_to_its_limit(report):
    finding = next(f for f in report.findings if f.status is Status.PASSED and f.check == "BN301")
    comparison = replace(finding.comparisons[0], error=3.0, quantity="dx")
    nearer = replace(comparison, error=4.0, quantity="dbeta", index=None)
    two = replace(finding, comparisons=(comparison, nearer, comparison))
    (found,) = read(explorer_json(replace(report, findings=(two,)), {}))

    ((place, *_),) = found["comparisons"]
    assert found["texts"][place] == "dbeta"


def test_not_a_number_is_beyond_its_limit(hostile_report):
    failed = [f for f in read(explorer_json(hostile_report, {})) if f["status"] == "failed"]

    # The errors are nan, inf, -inf and 0, each with a limit of the same kind.
    assert all([row[3] for row in f["comparisons"]] == [0, 1, 1, 1] for f in failed)


def test_nothing_of_the_data_can_end_its_element(hostile_report):
    text = explorer_json(hostile_report, {})

    assert text.isascii()
    assert not set("<>&") & set(text)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("float32/9x5/train", ("float32", "train")),
        ("float64/4x3x2/eval/sd=0.003", ("float64", "eval")),
        ("float64/9x5/rms", ("float64", "rms")),
        ("float64/4x6/group2", ("float64", "group")),
        ("<script>", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_case_has_a_dtype_and_a_mode_or_norm(case, expected):
    assert facets(case) == expected
