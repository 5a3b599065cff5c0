"""The checks, checked: every mutant is killed and no correct variant is flagged."""

from __future__ import annotations

import csv
import io

import pytest

from bnbench.cases import grid
from bnbench.checks import ALL_CHECKS
from bnbench.model import Status
from bnbench.mutants import ALL_MUTANTS, CORRECT, EQUIVALENT, Mutant, forward_of
from bnbench.mutants.score import MutationScore, ScoreRow
from bnbench.mutation import score
from bnbench.report.mutation import mutation_csv, mutation_headline, mutation_table
from bnbench.runner import execute, load, plan

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
VARIANTS = {variant.name: variant for variant in EQUIVALENT}
BLATANT = MUTANTS["dx_is_zero"]


def silently(*_):
    pass


def shown(score, width=80):
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(mutation_table(score))
    return console.export_text()


def row(name, *codes, correct=False):
    return ScoreRow(name=name, norm="batch", bug=f"what {name} does", correct=correct, codes=codes)


@pytest.mark.slow
def test_all_mutants_are_killed_and_no_correct_variant_is_flagged():
    result = score(silently)

    assert result.survivors == ()
    assert result.flagged == ()
    assert result.killed == result.total == len(ALL_MUTANTS)
    assert len(result.equivalents) == len(EQUIVALENT)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", VARIANTS)
def test_no_check_objects_to_a_correct_variant(name):
    subjects = load([VARIANTS[name].implementation()]).subjects
    findings = list(execute(plan(subjects, grid(quick=True), ALL_CHECKS), subjects))

    assert findings
    assert [(f.check, f.case, f.reason) for f in findings if f.status is not Status.PASSED] == []


def test_the_bank_is_large_enough():
    assert len(MUTANTS) == len(ALL_MUTANTS) >= 58
    assert len(VARIANTS) == len(EQUIVALENT) >= 14
    assert not set(MUTANTS) & set(VARIANTS)
    assert {variant.norm for variant in EQUIVALENT} == {"batch", "layer", "group", "instance", "rms"}


def test_a_correct_implementation_among_the_mutants_survives():
    correct = Mutant(name="correct", bug="none", make=lambda: forward_of(CORRECT))
    result = score(silently, mutants=[correct, BLATANT], equivalents=[], checks=ALL_CHECKS[:5])

    assert [row.name for row in result.survivors] == ["correct"]
    assert (result.killed, result.total) == (1, 2)
    assert not result.perfect


def test_a_mutant_among_the_correct_variants_is_flagged():
    result = score(silently, mutants=[], equivalents=[BLATANT], checks=ALL_CHECKS[:5])

    assert [row.codes for row in result.flagged] == [("BN301",)]
    assert not result.perfect


def test_who_passes_the_quick_grid_meets_the_whole():
    def failing_on(shape):
        def forward(x, *others, **options):
            y, *rest = forward_of()(x, *others, **options)
            return y + (x.shape == shape), *rest

        return Mutant(name=str(shape), bug="wrong for one shape", make=lambda: forward)

    assert (17, 3) not in {case.shape for case in grid(quick=True)}
    result = score(silently, mutants=[failing_on((17, 3)), failing_on((99, 9))], equivalents=[], checks=ALL_CHECKS[:2])

    assert [bool(row.codes) for row in result.rows] == [True, False]


def test_progress_counts_up_to_the_end():
    told = []
    score(lambda *step: told.append(step), mutants=[BLATANT], equivalents=EQUIVALENT[-1:], checks=ALL_CHECKS[:1])

    assert told == [(0, 2, "dx_is_zero"), (1, 2, EQUIVALENT[-1].name), (2, 2, "")]


def test_a_score_without_mutants_is_not_perfect():
    assert not MutationScore(rows=(row("folded", correct=True),), codes=("BN101",)).perfect


SCORE = MutationScore(
    rows=(
        row("killed_by_many", "BN101", "BN102", "BN301", "BN502"),
        row("survivor"),
        row("folded", correct=True),
        row("welford", "BN102", correct=True),
    ),
    codes=("BN101", "BN102", "BN301", "BN502"),
)


def test_the_table_names_survivors_and_false_alarms_and_counts_further_codes():
    lines = [line.rstrip() for line in shown(SCORE).splitlines()]

    assert [line.split(maxsplit=2) for line in lines if line.startswith(("killed", "surv", "fold", "welf"))] == [
        ["killed_by_many", "batch", "BN101 BN102 +2"],
        ["survivor", "batch", "it survives"],
        ["folded", "batch", "nothing"],
        ["welford", "batch", "BN102"],
    ]
    assert lines[-1] == mutation_headline(SCORE) == "1 of 2 mutants killed, 1 of 2 correct variants flagged"


def test_the_table_of_the_whole_bank_fits_80_columns():
    rows = [
        ScoreRow(name=m.name, norm=m.norm, bug=m.bug, correct=m in EQUIVALENT, codes=SCORE.codes)
        for m in (*ALL_MUTANTS, *EQUIVALENT)
    ]
    text = shown(MutationScore(rows=tuple(rows), codes=SCORE.codes), width=200)

    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    for row in rows:
        assert row.name in text


def test_the_matrix_has_a_column_for_every_check():
    header, *rows = csv.reader(io.StringIO(mutation_csv(SCORE)))

    assert header == ["name", "norm", "correct", "bug", "BN101", "BN102", "BN301", "BN502"]
    assert rows[0] == ["killed_by_many", "batch", "0", "what killed_by_many does", "1", "1", "1", "1"]
    assert rows[3] == ["welford", "batch", "1", "what welford does", "0", "1", "0", "0"]
