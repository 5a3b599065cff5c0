"""Hostile files in C: what they include, assemble or do when they are loaded gains nothing and harms nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnbench.adapters.uw.compiler import find_compiler
from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.grader import grade_one
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import Tier, probe

if probe().tier < Tier.T2 or find_compiler() is None:
    pytest.skip("needs a C compiler behind Landlock and seccomp", allow_module_level=True)

BANK = Path(__file__).resolve().parent.parent / "bank"
RIGHT = (BANK / "uw" / "correct_sequential.c").read_text()
ASSIGNMENT = read_assignment(shipped_text("uw-batchnorm"))
LIMITS = Limits(wall=0.5, cpu=1.0)

NOT_COMPILED = ("include_a_secret", "incbin_a_secret", "include_a_device", "macro_bomb", "huge_array")
LOADED = {"constructor": {"crashed"}, "forged_reply": {"crashed"}}


def graded(name):
    text = f"{RIGHT}\n{(BANK / 'hostile' / f'{name}.c').read_text()}" if name else RIGHT
    return grade_one(text.encode(), "batchnorm_layer.c", ASSIGNMENT, epoch="1", secret=b"s", limits=LIMITS)


def test_every_file_of_the_bank_is_tried():
    assert {path.stem for path in (BANK / "hostile").glob("*.c")} == {*NOT_COMPILED, *LOADED, "fork_in_c"}


@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_compiler_that_is_abused_compiles_nothing_and_tells_nothing(name):
    grade = graded(name)
    words = " ".join(result.what for result in grade.results)

    assert {result.outcome.value for result in grade.results} <= {"compile_error", "timeout_wall"}
    assert grade.points == 0
    assert "root:" not in words
    assert len(words) < 3000


@pytest.mark.parametrize("name", LOADED)
def test_what_runs_when_the_file_is_loaded_forges_no_result(name):
    grade = graded(name)

    assert {result.outcome.value for result in grade.results} <= LOADED[name] | {"skipped"}
    assert grade.points == 0
    assert not Path("/tmp/bnbench_hostile_was_here").exists()  # noqa: S108 - where the submission writes


def test_processes_that_are_not_allowed_change_nothing_for_a_right_file():
    assert graded("fork_in_c").points == graded("").points == 20


def test_the_same_file_gives_the_same_grade():
    assert graded("") == graded("")
