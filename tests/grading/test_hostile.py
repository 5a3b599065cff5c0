"""Hostile submissions: each gets the outcome it earned, no points for what it did not do, and harms nobody else.

A file of ``tests/bank/hostile`` is appended to right layers or to wrong ones, as a cheat would stand in a file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.grader import grade_one
from bnbench.grading.model import Outcome
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import Tier, probe

if probe().tier < Tier.T2:
    pytest.skip("hostile submissions are run behind Landlock and seccomp only", allow_module_level=True)

TESTS = Path(__file__).resolve().parent.parent
HOSTILE = TESTS / "bank" / "hostile"
BASES = {
    "right": (TESTS / "submissions" / "layers.py").read_text(),
    "wrong": (HOSTILE / "wrong_layers.py").read_text(),
}
ASSIGNMENT = read_assignment(shipped_text("cs231n-batchnorm"))
LIMITS = Limits(wall=1.2, cpu=2.0, memory=1 << 30)

FORWARD, TEST_MODE, BACKWARD = ("1.1", "1.2", "1.3"), "1.3", ("2.1", "2.2", "2.3", "3.1")

WITHOUT_POINTS = {
    # appended to layers that are wrong: what came of the first item, and nothing is gained
    "wrong_layers": {"failed"},
    "patch_allclose": {"failed"},
    "patch_np_testing": {"failed"},
    "walk_the_frames": {"failed"},
    "search_the_garbage": {"failed"},
    "exit_with_success_at_import": {"crashed"},
    "exit_with_success_when_called": {"crashed"},
    "results_at_exit": {"failed"},
    "lying_array": {"failed"},
    "pickle_that_runs": {"failed"},
    "nan_outputs": {"failed"},
    "constant_forward": {"failed"},
    "import_the_reference": {"error"},
    "search_the_modules": {"failed"},
    "replace_the_grader": {"failed", "protocol"},
    "import_torch": {"error"},
    "stopped_clocks": {"failed"},
    "hostile_message": {"error"},
    "echo_of_the_input": {"failed"},
}

WRONG_BACKWARD = {
    # appended to right layers, whose backward it makes wrong
    "nan_gradients": {"failed"},
    "zero_gradients_and_zeroed_dout": {"failed"},
}

IN_TEST_MODE = {
    # appended to right layers: attacks in test mode alone, and costs the points of that item alone
    "infinite_loop": {"timeout_wall", "timeout_cpu"},
    "long_sleep": {"timeout_wall"},
    "many_short_sleeps": {"timeout_wall"},
    "signals_ignored": {"timeout_wall", "timeout_cpu"},
    "memory_bomb": {"memory"},
    "fork_bomb": {"error"},
    "daemon": {"error"},
    "segmentation_fault": {"crashed"},
    "write_files": {"error"},
    "read_secrets": {"error"},
    "use_the_network": {"error"},
    "kill_the_parent": {"error"},
    "forged_frames": {"protocol"},
    "closed_pipes": {"error", "protocol", "crashed"},
}

HARMLESS = (
    # appended to right layers: odd, but everything is right
    "patch_allclose",
    "patch_np_testing",
    "results_at_exit",
    "stopped_clocks",
    "a_gibibyte_of_output",
)


def submission(name, base):
    return f"{BASES[base]}\n\n{(HOSTILE / f'{name}.py').read_text()}".encode()


def graded(data, *, limits=LIMITS, **options):
    return grade_one(data, "layers.py", ASSIGNMENT, epoch="2026", secret=b"secret", limits=limits, **options)


def outcomes(grade):
    return {result.number: result.outcome.value for result in grade.results}


def test_every_file_of_the_bank_is_tried():
    named = {*WITHOUT_POINTS, *WRONG_BACKWARD, *IN_TEST_MODE, *HARMLESS}
    special = {"right_for_twenty_calls", "differentiate_numerically", "other_shapes"}

    assert {path.stem for path in HOSTILE.glob("*.py")} == named | special


@pytest.mark.parametrize("name", WITHOUT_POINTS)
def test_an_attack_gains_no_points(name):
    grade = graded(submission(name, "wrong"))

    assert outcomes(grade)["1.1"] in WITHOUT_POINTS[name], grade.results[0]
    assert grade.points == 0


@pytest.mark.parametrize("name", WRONG_BACKWARD)
def test_a_forged_backward_keeps_the_points_of_the_forward_alone(name):
    grade = graded(submission(name, "right"))
    found = outcomes(grade)

    assert {found[number] for number in BACKWARD} == WRONG_BACKWARD[name]
    assert found["4.1"] == "skipped"
    assert grade.points == 13


@pytest.mark.parametrize("name", IN_TEST_MODE)
def test_an_attack_in_one_item_costs_that_item_alone(name):
    grade = graded(submission(name, "right"))
    found = outcomes(grade)

    assert found.pop(TEST_MODE) in IN_TEST_MODE[name], grade.results[2]
    assert set(found.values()) == {"passed"}
    assert grade.points == 22


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_but_right_gets_full_points(name):
    assert graded(submission(name, "right")).points == 26


def test_being_right_for_the_first_calls_is_not_enough():
    found = outcomes(graded(submission("right_for_twenty_calls", "right")))

    assert found["2.1"] == found["2.2"] == found["2.3"] == "failed"
    assert found["3.1"] == "passed"


def test_differences_of_ones_own_forward_are_no_backward():
    found = outcomes(graded(submission("differentiate_numerically", "right"), limits=Limits(wall=60, cpu=60)))

    assert found["2.1"] == found["3.1"] == "failed"
    assert found["1.1"] == found["1.2"] == found["1.3"] == "passed"


def test_an_answer_of_another_shape_says_which():
    grade = graded(submission("other_shapes", "right"))
    result = next(result for result in grade.results if result.number == "2.1")

    assert result.outcome is Outcome.FAILED
    assert "dx has shape (5, 9), expected (9, 5)" in result.what


def test_a_message_made_to_act_is_only_text():
    result = graded(submission("hostile_message", "wrong")).results[0]

    assert "\x1b" not in result.what
    assert "\0" not in result.what
    assert len(result.what) <= 600


def test_no_secret_reaches_the_submission():
    result = graded(submission("read_secrets", "right")).results[2]

    assert "no secret" in result.what
    assert "PYTEST" not in result.what


def test_nothing_is_left_behind():
    graded(BASES["right"].encode())  # the zygote stays
    before = _processes()
    for name in ("daemon", "fork_bomb", "write_files"):
        graded(submission(name, "right"))
    left = _processes() - before

    assert not Path("/tmp/bnbench_hostile_was_here").exists()  # noqa: S108 - where the submission writes
    assert not [pid for pid in left if f"\0{os.getpid()}\0" in _command(pid)]


def _processes():
    return {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(
    "text",
    ["-" * 200_000 + "1", "a." * 100_000 + "b", "lambda:" * 50_000 + "1", "x=" + "[" * 5000 + "]" * 5000, "\0" * 100],
    ids=["signs", "attributes", "lambdas", "brackets", "nul"],
)
def test_a_text_made_to_choke_the_reader_is_an_outcome(text, monkeypatch):
    monkeypatch.setattr("bnbench.grading.reading.SECONDS", 1.5)
    grade = graded(text.encode())

    assert grade.points == 0
    assert {result.outcome for result in grade.results} <= {Outcome.ERROR, Outcome.MISSING, Outcome.SKIPPED}


def test_a_file_that_is_too_large_is_not_read():
    grade = graded(b"#" * (1 << 21))

    assert grade.points == 0
    assert "at most" in grade.results[0].what


def test_the_next_submission_is_graded_as_if_nothing_had_been():
    alone = graded(BASES["right"].encode())
    for name in ("kill_the_parent", "segmentation_fault", "forged_frames"):
        graded(submission(name, "right"))

    assert graded(BASES["right"].encode()) == alone


def test_the_same_bytes_give_the_same_grade_even_of_a_hostile_one():
    data = submission("infinite_loop", "right")

    assert graded(data) == graded(data)


def test_hidden_items_tell_no_value():
    hidden = replace(ASSIGNMENT, items=tuple(replace(item, visibility="hidden") for item in ASSIGNMENT.items))
    grade = grade_one(BASES["wrong"].encode(), "layers.py", hidden, epoch="2026", secret=b"secret", limits=LIMITS)

    assert grade.points == 0
    assert {(r.got, r.expected, r.reproduce, r.hint) for r in grade.results} == {("", "", "", "")}


@pytest.mark.parametrize("name", ["segmentation_fault", "forged_frames", "right_for_twenty_calls", "nan_gradients"])
def test_hints_are_worth_no_points_and_end_no_grading(name):
    plain, hinted = graded(submission(name, "right")), graded(submission(name, "right"), diagnose=True)

    assert outcomes(hinted) == outcomes(plain)
    assert hinted.points == plain.points
