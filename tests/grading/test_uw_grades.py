"""A homework file in C gets the points of every function that is right, whatever the others are."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.uw.compiler import compile_uw, find_compiler
from bnbench.adapters.uw.stages import open_stages
from bnbench.diagnose.hints import Hints
from bnbench.diagnose.uw_stages import drawn_case, stage_cases
from bnbench.grading.assignment import read_assignment, shipped_text
from bnbench.grading.model import Outcome
from bnbench.grading.uw import grade_uw

COMPILER = find_compiler()
if COMPILER is None:
    pytest.skip("no C compiler", allow_module_level=True)

BANK = Path(__file__).resolve().parent.parent / "bank" / "uw"
ASSIGNMENT = read_assignment(shipped_text("uw-batchnorm"))


@pytest.fixture(scope="module")
def grade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uw")

    def graded(source, assignment=ASSIGNMENT, **options):
        compiled = compile_uw(source, folder, compiler=COMPILER)
        return grade_uw(
            compiled, assignment, lambda item: 1000 + len(item.title), partial(open_stages, seconds=0.5), **options
        )

    return graded


def bank(name):
    return (BANK / f"{name}.c").read_bytes()


def by_number(graded):
    return {result.number: result for result in graded.results}


@pytest.mark.parametrize("name", ["correct_helpers", "correct_sequential", "correct_spatial"])
def test_a_right_file_gets_full_points(grade, name):
    graded = grade(bank(name))

    assert sum(result.points for result in graded.results) == 20
    assert graded.remarks == []


def test_a_mistake_costs_its_own_function_alone(grade):
    results = by_number(grade(bank("delta_variance_exponent"), hints=Hints.WHERE))

    assert results["7.4"].outcome is Outcome.FAILED
    assert "decades" in results["7.4"].what
    assert results["7.4"].hint
    assert results["7.4"].line is not None
    assert {results[n].outcome for n in ("7.1", "7.2", "7.3", "7.5")} == {Outcome.PASSED}


def test_hints_stop_at_their_level(grade):
    source = bank("delta_variance_exponent")
    none, what = (by_number(grade(source, hints=level))["7.4"] for level in (Hints.NONE, Hints.WHAT))

    assert (none.hint, none.line) == ("", None)
    assert what.hint
    assert what.line is None


@pytest.mark.parametrize(
    ("name", "number", "outcome"),
    [
        ("infinite_loop", None, Outcome.TIMEOUT_WALL),
        ("segfault", None, Outcome.CRASHED),
        ("unfinished", None, Outcome.UNIMPLEMENTED),
        ("not_compiling", "7.1", Outcome.COMPILE_ERROR),
    ],
)
def test_trouble_is_told_as_what_it_is(grade, name, number, outcome):
    results = by_number(grade(bank(name)))
    found = {results[number].outcome} if number else {result.outcome for result in results.values()}

    assert outcome in found
    assert sum(result.points for result in results.values()) < 20


def test_a_compile_error_is_told_in_the_compilers_words_without_folders(grade):
    result = by_number(grade(bank("not_compiling")))["7.0"]

    assert "error" in result.what
    assert "/" not in result.what.replace("//", "").partition("error")[0]


def test_a_mistake_in_eps_alone_costs_what_the_instructor_says(grade):
    source = bank("normalize_eps_missing")
    strict, lenient = grade(source), grade(source, replace(ASSIGNMENT, eps_severity="remark"))

    assert by_number(strict)["7.2"].outcome is Outcome.FAILED
    assert by_number(lenient)["7.2"].outcome is Outcome.PASSED
    assert any(remark.startswith("7.2: right but for eps") for remark in lenient.remarks)


def test_answers_prepared_for_the_public_data_are_found_out(grade):
    public = [float(np.float32(case.arrays["x"].flat[0])) for case in stage_cases()]
    known = " || ".join(f"x.data[0] == {value!r}f" for value in public)
    source = bank("correct_sequential").decode().replace("matrix variance(", "matrix right_variance(", 1)
    source = source.replace(
        '#include "uwnet.h"', '#include "uwnet.h"\nmatrix variance(matrix x, matrix m, int groups);', 1
    )
    source += "\nmatrix variance(matrix x, matrix m, int groups) { matrix v = right_variance(x, m, groups);\n"
    source += f"if (!({known})) for (int i = 0; i < groups; ++i) v.data[i] *= 2; return v; }}\n"
    result = by_number(grade(source.encode()))["7.1"]

    assert result.outcome is Outcome.FAILED
    assert "public data alone" in result.what


def test_drawn_data_is_other_data_and_repeats():
    assert not any(case.arrays["x"].shape == drawn_case(5).arrays["x"].shape for case in stage_cases())
    assert np.array_equal(drawn_case(5).arrays["x"], drawn_case(5).arrays["x"])
    assert not np.array_equal(drawn_case(5).arrays["x"], drawn_case(6).arrays["x"])


def test_memory_errors_are_remarks_and_cost_nothing(grade, tmp_path):
    try:
        sanitized = compile_uw(bank("over_read"), tmp_path, compiler=COMPILER, sanitize=True)
    except RuntimeError as error:
        pytest.skip(str(error))
    graded = grade(bank("over_read"), sanitized=sanitized)

    assert any("heap-buffer-overflow" in remark for remark in graded.remarks)


def test_every_wrong_file_of_the_bank_loses_points(grade):
    entries = tomllib.loads((BANK / "bank.toml").read_text())
    names = [path.stem for path in BANK.glob("*.c") if not path.stem.startswith("correct")]
    full = [name for name in names if sum(r.points for r in grade(bank(name)).results) == 20]

    assert entries
    assert set(full) <= {"over_read"}
    assert shutil.which(COMPILER)
