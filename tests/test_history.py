import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bnbench.changes import ChangeVerdict, Trend, changes_between
from bnbench.history import HistoryError, processes, read_histories, steps_of
from bnbench.recorded import Commit, History, Point, RecordedRow
from bnbench.report.history_page import history_html

pytest.importorskip("asv")

RESULTS = Path(__file__).parent / "asv" / "results"
SCHEMA = Path(__file__).parent.parent / "docs" / "answers.schema.json"
SLOW = (2, 3)
"""The places of the commits that are slower, see tests/asv/README.md."""
SLOWED = {
    RecordedRow(
        benchmark="batch_norm.Speed.time_backward",
        implementation="numpy_simplified",
        case=f"{case}/train",
        unit="seconds",
    )
    for case in ("float32/4x5", "float32/64x128", "float32/8x16x14x14", "float64/64x128")
}


@pytest.fixture(scope="module")
def history():
    (only,) = read_histories(RESULTS)
    return only


def bnbench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bnbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )


def test_every_commit_is_read_in_the_order_of_its_date(history):
    assert [commit.name[:4] for commit in history.commits] == ["0ec4", "58f6", "1da6", "eac5", "7e4f", "ff0c"]
    assert {row.unit for row in history.rows} == {"seconds", "bytes", "relative error"}
    assert all(len(history.rows[row][0].processes) == 6 for row in SLOWED)


@pytest.mark.parametrize(("first", "second"), [*combinations(range(6), 2)])
def test_the_slowed_kernel_is_flagged_and_identical_code_is_silent(history, first, second):
    found = changes_between(history, first, second)
    slower, faster = (
        {change.row for change in found.of(v)} for v in (ChangeVerdict.REGRESSION, ChangeVerdict.IMPROVEMENT)
    )

    assert slower == (SLOWED if first not in SLOW and second in SLOW else set())
    assert faster == (SLOWED if first in SLOW and second not in SLOW else set())
    assert not found.of(ChangeVerdict.LOST)


def test_steps_are_found_at_the_commits_that_made_them(history):
    found = {(step.commit.name[:4], step.change.verdict, step.change.row) for step in steps_of(history)}

    assert found == {
        (commit, verdict, row)
        for commit, verdict in (("1da6", ChangeVerdict.REGRESSION), ("7e4f", ChangeVerdict.IMPROVEMENT))
        for row in SLOWED
    }


def test_samples_are_told_apart_by_process_only_where_that_is_certain():
    samples = [3.0, 1.0, 2.0, 6.0, 5.0, 4.0]

    assert processes(samples, {"repeat": 3, "rounds": 2}) == (1.0, 4.0)
    assert processes(samples, {"repeat": 0, "rounds": 3}) == (1.0, 2.0, 4.0)
    assert processes(samples, {"repeat": 4, "rounds": 2}) == ()
    assert processes(samples, {}) == ()
    assert processes([], {"repeat": 3, "rounds": 2}) == ()


def test_without_samples_the_quantiles_serve_and_say_so(tmp_path):
    shutil.copytree(RESULTS, tmp_path / "results")
    for file in (tmp_path / "results" / "vm").glob("*-virtualenv*.json"):
        stored = json.loads(file.read_text())
        place = stored["result_columns"].index("samples")
        stored["results"] = {name: row[:place] for name, row in stored["results"].items()}
        file.write_text(json.dumps(stored))
    (bare,) = read_histories(tmp_path / "results")
    found = changes_between(bare, 0, 5)

    assert {change.basis for change in found.changes} == {"quantiles", "values"}
    assert not found.of(ChangeVerdict.REGRESSION)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(HistoryError, match="make some with: asv run"):
        read_histories(tmp_path)
    (tmp_path / "benchmarks.json").write_text((RESULTS / "benchmarks.json").read_text())
    with pytest.raises(HistoryError, match="no results of asv"):
        read_histories(tmp_path)


def test_without_asv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "asv", None)
    with pytest.raises(HistoryError, match="pip install"):
        read_histories(RESULTS)


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_draws_every_row_and_asks_for_nothing(history):
    latest = changes_between(history, 1, 2)
    page = history_html(Trend(history=history, latest=latest, overall=latest, steps=steps_of(history)))
    elements = Elements(page).found
    drawn = {(attrs["data-benchmark"], attrs["data-case"]) for tag, attrs in elements if tag == "figure"}

    assert drawn == {(row.benchmark, row.case) for row in history.rows}
    assert not [attrs for _, attrs in elements if {"src", "href"} & attrs.keys()]
    assert not re.search(r"https?://(?!www\.w3\.org/)", page)
    assert "4 regressions from 58f6dec4 to 1da6811d" in page


def test_a_name_that_acts_is_shown_on_the_page():
    hostile = "<script>alert(1)</script>'\"&\x1b"
    commits = tuple(Commit(name=f"<b>{i}", date=i) for i in range(2))
    row = RecordedRow(benchmark=hostile, implementation=hostile, case=hostile, unit="seconds")
    rows = {row: (Point(value=1.0), Point(value=2.0))}
    history = History(machine=hostile, environment=hostile, commits=commits, rows=rows)
    latest = changes_between(history, 0, 1)
    page = history_html(Trend(history=history, latest=latest, overall=latest, steps=()))

    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "figure" in {tag for tag, _ in Elements(page).found}


def test_the_command_tells_prints_and_draws(tmp_path):
    told = bnbench("history", RESULTS, "--from", "58f6", "--to", "1da6", "--output", tmp_path, "--fail-on-regression")

    assert told.returncode == 1
    assert told.stdout.startswith("4 regressions from 58f6dec4 to 1da6811d\n")
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert (tmp_path / "history.html").stat().st_size < 1e6


def test_by_default_the_last_two_are_compared_and_changes_are_no_failure(tmp_path):
    told = bnbench("history", RESULTS, "--output", tmp_path, "--json")
    answer = json.loads(told.stdout)

    assert told.returncode == 0
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(answer)
    assert answer["schema"] == "bnbench.history/1"
    assert [answer["latest"][end]["name"][:4] for end in ("before", "after")] == ["7e4f", "ff0c"]
    assert [answer["overall"][end]["name"][:4] for end in ("before", "after")] == ["0ec4", "ff0c"]
    assert len(answer["steps"]) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no/such/folder",), "no results of asv"),
        ((RESULTS, "--from", "0badc0de"), "none is measured so; measured: 0ec484ef"),
        ((RESULTS, "--machine", "mv"), "did you mean vm?"),
        ((RESULTS, "--to", "0ec4"), "only one commit is measured before that"),
    ],
)
def test_bad_input_is_refused_with_what_there_is(tmp_path, arguments, message):
    told = bnbench("history", *arguments, "--output", tmp_path)

    assert told.returncode == 2
    assert message in told.stderr
    assert "Traceback" not in told.stderr
