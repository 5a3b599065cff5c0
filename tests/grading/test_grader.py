"""A grade is what the submission earned, in words for its author, and the same every time."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bnbench.adapters.source import read_source
from bnbench.diagnose.hints import Hints
from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.grader import REPAIRS, grade_one
from bnbench.grading.model import Item, Outcome
from bnbench.grading.seeds import seed_of
from bnbench.sandbox.tiers import IsolationError, probe

TESTS = Path(__file__).resolve().parent.parent
BANK = TESTS / "bank"
RIGHT = (TESTS / "submissions" / "layers.py").read_bytes()
BATCH = read_assignment(shipped_text("cs231n-batchnorm"))
ALL = read_assignment(shipped_text("cs231n-normalization"))
WRONG = {entry["file"]: entry for entry in tomllib.loads((BANK / "bank.toml").read_text())["wrong"]}


def graded(data, assignment=BATCH, **options):
    return grade_one(data, "layers.py", assignment, **{"epoch": "2026", "secret": b"secret", **options})


def by_number(grade):
    return {result.number: result for result in grade.results}


def wrong(name):
    return (BANK / "wrong" / f"{name}.py").read_bytes()


def with_items(assignment, **changes):
    return replace(assignment, items=tuple(replace(item, **changes) for item in assignment.items))


def test_a_right_file_gets_full_points_for_every_layer():
    grade = graded(RIGHT, ALL)

    assert grade.points == grade.max_points == ALL.points
    assert grade.isolation.tier == probe().tier.value


@pytest.mark.parametrize("path", sorted((BANK / "correct").glob("*.py")), ids=lambda path: path.stem)
def test_a_right_file_loses_nothing_whatever_its_style(path):
    source = read_source(path.read_bytes(), path.name)
    there = {function.name for function in source.functions}
    for epoch in ("2026", "2027"):
        grade = graded(path.read_bytes(), ALL, epoch=epoch)

        lost = [r for r in grade.results if r.outcome is not Outcome.PASSED and r.function in there]
        assert lost == []


@pytest.mark.parametrize("file", [file for file in WRONG if WRONG[file]["function"].startswith("batchnorm")])
def test_a_wrong_function_gets_less_than_full_points(file):
    grade = graded((BANK / file).read_bytes())
    missing = sum(r.max_points for r in grade.results if r.outcome is Outcome.MISSING)

    assert grade.points is not None
    assert grade.points < grade.max_points - missing


def test_the_same_bytes_give_the_same_grade_and_another_epoch_other_data():
    data = wrong("missing_mean_path")

    assert graded(data) == graded(data)
    assert graded(data) != graded(data, epoch="2027")


def test_data_depends_on_secret_epoch_submission_and_item():
    item, other = BATCH.items[:2]
    seeds = {
        seed_of(b"secret", "2026", BATCH, "00", item),
        seed_of(b"another", "2026", BATCH, "00", item),
        seed_of(b"secret", "2027", BATCH, "00", item),
        seed_of(b"secret", "2026", BATCH, "01", item),
        seed_of(b"secret", "2026", BATCH, "00", other),
        seed_of(b"secret", "2026", ALL, "00", item),
    }

    assert len(seeds) == 6


def test_a_mistake_costs_the_items_it_touches_and_says_how_far_off_it_is():
    results = by_number(graded(wrong("missing_mean_path")))

    assert results["2.1"].outcome is Outcome.FAILED
    assert results["2.1"].what.startswith("dx is off by 1")
    assert results["2.1"].what.endswith("decades; dgamma and dbeta are right")
    assert results["2.2"].outcome is results["2.3"].outcome is results["1.1"].outcome is Outcome.PASSED
    assert results["4.1"].outcome is Outcome.SKIPPED


def test_the_command_of_an_item_shows_the_mistake_and_its_numbers(tmp_path):
    (tmp_path / "layers.py").write_bytes(wrong("missing_mean_path"))
    result = by_number(graded(wrong("missing_mean_path")))["2.1"]
    program, *arguments = shlex.split(result.reproduce)
    command = [sys.executable, "-m", program, *arguments]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    assert shown.returncode == 1
    assert result.got.partition(" = ")[2] in shown.stdout
    assert result.expected in shown.stdout


def test_a_starter_function_is_not_wrong_but_unimplemented():
    starter = "def batchnorm_forward(x, gamma, beta, bn_param):\n    out, cache = None, None\n    return out, cache\n"
    results = by_number(graded(f"{RIGHT.decode()}\n\n{starter}".encode()))

    assert {results[number].outcome for number in ("1.1", "1.2", "1.3")} == {Outcome.UNIMPLEMENTED}
    assert results["1.1"].line == len(RIGHT.splitlines()) + 3
    assert results["2.1"].outcome is Outcome.SKIPPED
    assert results["2.1"].what == "needs batchnorm_forward: batchnorm_forward is not implemented yet"


def test_a_function_that_is_not_there_is_missing():
    text = RIGHT.decode().replace("def batchnorm_backward_alt", "def another_name")
    results = by_number(graded(text.encode()))

    assert results["3.1"].outcome is Outcome.MISSING
    assert results["3.1"].what == "there is no function batchnorm_backward_alt"


def test_a_function_given_by_assignment_is_there():
    text = RIGHT.decode().replace("def batchnorm_backward_alt", "def another_name")
    grade = graded(f"{text}\n\nbatchnorm_backward_alt = another_name\n".encode())

    assert grade.points == 26


def test_a_cache_or_answer_of_another_kind_is_right_as_well():
    text = RIGHT.decode()
    text += """

first, second = batchnorm_forward, batchnorm_backward


def batchnorm_forward(x, gamma, beta, bn_param):
    out, cache = first(x, gamma, beta, bn_param)
    return [out, {"cache": cache}]


def batchnorm_backward(dout, cache):
    return list(second(dout, cache["cache"]))


def batchnorm_backward_alt(dout, cache):
    return list(second(dout, cache["cache"]))
"""

    assert graded(text.encode()).points == 26


def test_an_exception_is_told_with_its_line():
    data = wrong("undefined_in_backward")
    result = by_number(graded(data))["2.1"]

    assert result.outcome is Outcome.ERROR
    assert result.what.startswith("NameError:")
    assert result.line is not None
    assert "def " not in data.decode().splitlines()[result.line - 1]


def test_a_file_that_works_only_with_statistics_given_is_not_right():
    text = RIGHT.decode().replace(
        'bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))', 'bn_param["running_mean"]'
    )
    assert text != RIGHT.decode()
    results = by_number(graded(text.encode()))

    assert results["1.2"].outcome is Outcome.ERROR
    assert results["1.2"].what == "KeyError: 'running_mean'"


@pytest.mark.parametrize("name", ["eps_missing_in_train", "eps_outside_root_in_train", "eps_missing_in_backward"])
def test_a_mistake_in_eps_alone_costs_what_the_instructor_says(name):
    strict, lenient = graded(wrong(name)), graded(wrong(name), replace(BATCH, eps_severity="remark"))
    lost = {r.number for r in strict.results if r.outcome is Outcome.FAILED}

    assert lost
    assert all(r.outcome is not Outcome.FAILED for r in lenient.results)
    assert {remark.partition(":")[0] for remark in lenient.remarks} == lost


def test_leniency_on_eps_forgives_nothing_else():
    lenient = replace(BATCH, eps_severity="remark")

    assert by_number(graded(wrong("missing_mean_path"), lenient))["2.1"].outcome is Outcome.FAILED
    assert by_number(graded(wrong("momentum_swapped"), lenient))["1.2"].outcome is Outcome.FAILED
    assert by_number(graded(wrong("variance_n_minus_1"), lenient))["1.1"].outcome is Outcome.FAILED


def test_repairs_are_said_and_cost_what_the_assignment_says():
    data = RIGHT + b"\n\nprint 'done'\nprint 'really'\n"
    free, charged = graded(data), graded(data, replace(BATCH, repair_points=2))

    assert free.points == 26
    assert sum("print statement" in remark for remark in free.remarks) == 2
    assert charged.points == 22
    assert by_number(charged)[REPAIRS].points == -4


def test_repairs_never_cost_more_than_was_reached():
    data = (BANK / "unfinished" / "stage0.py").read_bytes() + b"\n\nprint 'done'\n"

    assert graded(data, replace(BATCH, repair_points=100)).points == 0


def test_a_lost_function_costs_itself_and_says_why():
    text = RIGHT.decode().replace("    dbeta = dout.sum(axis=0)", "    dbeta = dout.sum(axis=0", 1)
    results = by_number(graded(text.encode()))

    assert results["2.1"].outcome is Outcome.ERROR
    assert "does not parse" in results["2.1"].what
    assert results["1.1"].outcome is Outcome.PASSED


def test_only_the_outputs_of_an_item_count_for_it():
    results = by_number(graded(wrong("dbeta_mean")))

    assert results["2.3"].outcome is Outcome.FAILED
    assert results["2.1"].outcome is results["2.2"].outcome is Outcome.PASSED


def test_an_argument_changed_in_place_is_noticed_across_the_process():
    text = RIGHT.decode() + "\n\ninner = batchnorm_backward\n\n\ndef batchnorm_backward(dout, cache):\n"
    text += "    answer = inner(dout, cache)\n    dout *= 2\n    return answer\n"
    result = by_number(graded(text.encode()))["4.1"]

    assert result.outcome is Outcome.FAILED
    assert "dy changed in place" in result.what


def test_hints_go_as_far_as_the_assignment_says():
    data = wrong("missing_mean_path")
    hinted = {
        level: by_number(graded(data, replace(BATCH, hints=level), diagnose=True))["2.1"]
        for level in (Hints.NONE, Hints.WHAT, Hints.WHERE)
    }

    assert (hinted[Hints.NONE].hint, hinted[Hints.NONE].line) == ("", None)
    assert hinted[Hints.WHAT].hint
    assert hinted[Hints.WHAT].line is None
    assert str(hinted[Hints.WHERE].line) in WRONG["wrong/missing_mean_path.py"]["fix"]
    assert hinted[Hints.WHERE].hint.startswith(f"Line {hinted[Hints.WHERE].line}: ")


def test_the_hint_of_an_item_is_about_that_item():
    results = by_number(graded(wrong("momentum_swapped"), replace(BATCH, hints=Hints.WHERE), diagnose=True))

    assert results["1.2"].outcome is Outcome.FAILED
    assert "running" in results["1.2"].hint


def test_an_isolation_that_can_not_be_had_is_refused():
    with pytest.raises((IsolationError, ValueError)):
        graded(RIGHT, tier="T9")


def test_an_item_that_needs_another_is_skipped_without_it():
    items = (BATCH.items[0], replace(BATCH.items[3], needs=("1.1",)))
    results = by_number(graded(wrong("variance_n_minus_1"), replace(BATCH, items=items)))

    assert results["2.1"].outcome is Outcome.SKIPPED
    assert results["2.1"].what == "needs 1.1, which did not pass"


def test_a_notebook_is_graded_like_a_file():
    import json

    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": RIGHT.decode(), "execution_count": None}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}

    assert grade_one(json.dumps(notebook).encode(), "a.ipynb", BATCH, epoch="1", secret=b"s").points == 26


def test_group_norm_is_graded_in_either_shape_of_gamma():
    items = tuple(item for item in ALL.items if "groupnorm" in item.function)
    text = RIGHT.decode()

    assert isinstance(items[0], Item)
    assert graded(text.encode(), replace(ALL, items=items)).points == sum(item.points for item in items)
