import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bnbench.changes import ChangeVerdict
from bnbench.comparison import FLOOR, Turn, compare_reports, factor_of, turn_of
from bnbench.model import Environment, Finding, Interval, Measurement, Report, Status
from bnbench.report import dump_json
from bnbench.report.comparison import comparison_headline, comparison_html, comparison_markdown

SCHEMA = Path(__file__).parent.parent / "docs" / "answers.schema.json"
HERE = Environment(
    created="2026-01-01T00:00:00+00:00",
    bnbench="1",
    python="3.11.7",
    platform="Linux",
    cpu="one",
    cores=2,
    threads=1,
    allocator="kept",
    versions={"numpy": "2.0"},
)


def around(value, width=0.02):
    return Interval(median=value, low=value * (1 - width), high=value * (1 + width))


def timed(name, seconds, *, baseline=1.0, case="float32/4x5/train", error=1e-7):
    return Measurement(
        implementation=name,
        case=case,
        operation="backward",
        seconds=around(seconds),
        baseline="base",
        ratio=around(baseline / seconds),
        gigabytes_per_second=1.0,
        faults_per_call=0.0,
        rounds=8,
        calls_per_round=10,
        relative_error=error,
    )


def finding(status, case="float64/9x5/train"):
    return Finding(
        implementation="own",
        check="BN301",
        claim="dx is right",
        case=case,
        status=status,
        reproduce="bnbench check own",
    )


def report(*, findings=(), measurements=(), environment=HERE):
    return Report(environment=environment, findings=tuple(findings), measurements=tuple(measurements))


def rows(own=1.0, base=1.0, **more):
    """A baseline, three that do not change, and one's own."""
    steady = [timed(name, base, baseline=base) for name in ("base", "a", "b", "c")]
    return [*steady, timed("own", own, baseline=base, **more)]


def verdicts(before, after, **environment):
    there = replace(HERE, **environment)
    found = compare_reports(report(measurements=before), report(measurements=after, environment=there))
    return {row.implementation: row.verdict for row in found.timed}


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.3, ChangeVerdict.REGRESSION),
        (1.0, ChangeVerdict.STEADY),
        (1.08, ChangeVerdict.UNRESOLVED),
        (0.6, ChangeVerdict.IMPROVEMENT),
    ],
)
def test_a_row_that_changed_beyond_the_factor_is_told(factor, expected):
    found = verdicts(rows(), rows(own=factor))

    assert found.pop("own") is expected
    assert set(found.values()) == {ChangeVerdict.STEADY}


def test_what_slowed_the_baseline_of_the_same_rounds_as_well_was_the_machine():
    before = [*rows(), timed("late", 1.0, case="float32/64x128/train")]
    after = [*rows(), timed("late", 3.0, baseline=3.0, case="float32/64x128/train")]

    assert verdicts(before, after)["late"] is ChangeVerdict.UNRESOLVED


def test_a_slower_machine_is_no_regression():
    assert set(verdicts(rows(), rows(own=1.5, base=1.5)).values()) == {ChangeVerdict.STEADY}


def test_the_factor_is_that_of_the_ratios_spread():
    assert factor_of([1.0, 1.01, 0.99]) == FLOOR
    assert factor_of([0.8, 0.9, 1.0, 1.1, 1.25]) > 1.5
    assert factor_of([]) == math.inf


def test_between_machines_there_is_no_verdict_but_the_times_are_shown():
    found = verdicts(rows(), rows(own=5.0), cpu="another")

    assert set(found.values()) == {None}
    other = replace(HERE, cpu="another", versions={"numpy": "2.1"})
    text = comparison_markdown(
        compare_reports(report(measurements=rows()), report(measurements=rows(own=5.0), environment=other))
    )
    assert text.index("Another machine") < text.index("not judged |") < text.index("Other software")
    assert "| cpu | one | another |" in text
    assert "| numpy | 2.0 | 2.1 |" in text


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        (1e-7, 1.9e-7, False),
        (1e-7, 2.1e-7, True),
        (1e-7, math.nan, True),
        (math.nan, math.nan, False),
        (0, 5e-16, False),
    ],
)
def test_an_error_that_doubled_or_is_no_number_is_less_accurate(before, after, less):
    found = compare_reports(report(measurements=rows(error=before)), report(measurements=rows(error=after)))

    assert [row.implementation for row in found.timed if row.less_accurate] == (["own"] if less else [])
    assert found.regressed is less


@pytest.mark.parametrize(
    ("before", "after", "turn"),
    [
        (Status.PASSED, Status.FAILED, Turn.FAILING),
        (None, Status.ERRORED, Turn.FAILING),
        (Status.SKIPPED, Status.VACUOUS, Turn.FAILING),
        (Status.FAILED, Status.ERRORED, None),
        (Status.FAILED, Status.PASSED, Turn.FIXED),
        (Status.FAILED, Status.SKIPPED, Turn.LOST),
        (Status.PASSED, Status.SKIPPED, Turn.LOST),
        (None, Status.PASSED, None),
        (Status.PASSED, Status.PASSED, None),
    ],
)
def test_every_change_of_status_is_what_it_is(before, after, turn):
    assert turn_of(before, after) is turn


def test_cases_that_turned_the_same_way_are_one_row():
    before = [finding(Status.PASSED, case=f"float64/{n}x5/train") for n in range(2, 9)]
    after = [replace(one, status=Status.FAILED) for one in before]
    found = compare_reports(report(findings=before), report(findings=after))

    (turned,) = found.turned
    assert (turned.turn, len(turned.cases)) == (Turn.FAILING, 7)
    assert comparison_headline(found) == "7 newly failing"
    assert found.regressed
    assert not compare_reports(report(findings=after), report(findings=before)).regressed


def test_a_name_that_acts_is_shown():
    hostile = "<script>|`\x1b[2J"
    before, after = (
        report(findings=[replace(finding(status), implementation=hostile)]) for status in (Status.PASSED, Status.FAILED)
    )
    found = compare_reports(before, after)

    for text in (comparison_html(found), comparison_markdown(found)):
        assert "<script>" not in text
        assert "\x1b" not in text
    assert r"\|" in comparison_markdown(found)


def test_empty_reports_compare():
    found = compare_reports(report(), report())

    assert comparison_headline(found) == "Nothing became worse or better"
    assert "Nothing became worse" in comparison_html(found)


def bnbench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bnbench", "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )


def test_the_command_compares_two_files_and_fails_only_when_asked(tmp_path):
    for name, slow in (("a", 1.0), ("b", 1.4)):
        (tmp_path / f"{name}.json").write_text(dump_json(report(measurements=rows(own=slow))))
    files = (tmp_path / "a.json", tmp_path / "b.json")
    told, asked, as_json = (bnbench(*files, *more) for more in ((), ("--fail-on-regression",), ("--json",)))

    assert (told.returncode, asked.returncode, as_json.returncode) == (0, 1, 0)
    assert told.stdout.startswith("1 slower\n")
    assert max(map(len, told.stdout.splitlines())) <= 80
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(as_json.stdout))
    assert (tmp_path / "comparison.md").read_text().startswith("# 1 slower")
    assert "1 slower" in (tmp_path / "comparison.html").read_text()


def test_one_file_alone_can_not_regress(tmp_path):
    (tmp_path / "a.json").write_text(dump_json(report(measurements=rows())))
    told = bnbench(tmp_path / "a.json", "--fail-on-regression")

    assert told.returncode == 2
    assert "name the newer one too" in told.stderr
