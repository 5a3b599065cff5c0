"""The comparison with other gradient checkers: fair in what counts, honest in what was not run."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bnbench.cases import draw, draw_cotangent
from bnbench.inconsistency import is_inconsistent, is_visible
from bnbench.model import Case
from bnbench.mutants import ALL_MUTANTS, CORRECT, Mutant, forward_of
from bnbench.registry import Registry
from bnbench.rivals import perfect_everywhere, rivals, rivals_markdown, rivals_table
from bnbench.rules import RULES

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
BY_NAME = {rule.name: rule for rule in RULES}
SMALL = Case(shape=(4, 5))
FAR = Case(shape=(9, 5), mean=1e6)
WIDE = Case(shape=(9, 5), sd=1e6)


def objects(rule, forward, case):
    """Whether a rule objects by its first limit, and the forward calls that this took."""
    if rule.requires:
        pytest.importorskip(rule.requires)
    calls = []

    def counting(*arguments, **options):
        calls.append(1)
        return forward(*arguments, **options)

    with np.errstate(all="ignore"):
        error = rule.measure(counting, draw(case), draw_cotangent(case))
    return not error <= rule.limits[0], len(calls)


def only(*names):
    return [MUTANTS[name] for name in names]


@pytest.mark.parametrize(
    "name", ["dx_without_the_mean_path", "dx_is_zero", "dgamma_is_a_mean", "dbeta_is_a_mean", "dx_without_gamma"]
)
@pytest.mark.parametrize("shape", [(4, 5), (17, 3)])
def test_a_backward_that_is_not_the_derivative_counts(name, shape):
    assert is_inconsistent(MUTANTS[name].make(), Case(shape=shape))


@pytest.mark.parametrize(
    "name",
    [
        "eps_outside_the_root",
        "variance_over_m_minus_1",
        "running_mean_weighs_the_old",
        "eval_mean_weighed_by_momentum",
        "dy_scaled_in_place",
        "larger_of_v_and_eps",
        "a_channel_leaks_into_the_next",
    ],
)
def test_a_wrong_forward_with_its_own_backward_does_not_count(name):
    assert not is_inconsistent(MUTANTS[name].make(), Case(shape=(9, 5)))


@pytest.mark.parametrize("case", [SMALL, FAR, WIDE, Case(shape=(64, 128))])
def test_the_correct_recipe_neither_counts_nor_shows(case):
    assert not is_inconsistent(forward_of(CORRECT), case)
    assert not is_visible(forward_of(CORRECT), case)


def test_what_is_below_one_rounding_on_this_data_has_no_effect_there():
    def dx(r, dy):
        smaller = replace(r, sd=np.sqrt(r.sd**2 - 1e-5))
        return CORRECT.dx(smaller, dy)

    without_eps = forward_of(replace(CORRECT, dx=dx))

    assert is_inconsistent(without_eps, SMALL)
    assert is_visible(without_eps, SMALL)
    assert not is_visible(without_eps, WIDE), "eps / v is 1e-17"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_on_small_well_scaled_data_every_rule_tells_right_from_wrong(rule):
    assert not objects(rule, forward_of(), SMALL)[0]
    assert objects(rule, MUTANTS["dx_without_the_mean_path"].make(), SMALL)[0]
    assert objects(rule, MUTANTS["dgamma_is_a_mean"].make(), SMALL)[0]


def test_fast_mode_passes_a_dx_that_was_never_written():
    wrong = MUTANTS["dx_is_zero"].make()

    assert not objects(BY_NAME["gradcheck, fast"], wrong, Case(shape=(64, 128)))[0]
    assert objects(BY_NAME["bnbench"], wrong, Case(shape=(64, 128)))[0]


def test_fast_mode_is_stopped_where_it_only_words_its_message():
    objected, calls = objects(BY_NAME["gradcheck, fast"], MUTANTS["dgamma_is_a_mean"].make(), Case(shape=(17, 33)))

    assert objected
    assert calls <= 33


@pytest.mark.parametrize("name", ["gradcheck, slow", "gradcheck, fast", "random projection"])
def test_absolute_tolerances_pass_a_dx_that_was_never_written_on_wide_data(name):
    wrong = MUTANTS["dx_is_zero"].make()

    assert not objects(BY_NAME[name], wrong, WIDE)[0]
    assert objects(BY_NAME["bnbench"], wrong, WIDE)[0]


@pytest.mark.parametrize("name", ["textbook loop", "gradcheck, slow"])
def test_a_correct_backward_is_objected_to_on_data_far_from_zero(name):
    assert objects(BY_NAME[name], forward_of(), FAR)[0]
    assert not objects(BY_NAME["bnbench"], forward_of(), FAR)[0]


def compared(cases, rules=("textbook loop", "random projection", "bnbench")):
    names = ("dx_without_the_mean_path", "dx_is_zero", "running_mean_weighs_the_old", "eps_outside_the_root")
    correct = Mutant(name="correct", bug="none", make=forward_of).implementation()
    registry = Registry(implementations={"correct": correct})
    return rivals(registry, cases, mutants=only(*names), rules=[BY_NAME[name] for name in rules])


def test_rows_say_who_was_killed_who_survived_and_who_was_wronged():
    found = compared([SMALL, WIDE])
    rows = {(row.case, row.rule, row.limit): row for row in found.rows}
    wide = rows["float64/9x5/train/sd=1000000", "random projection", 1.0]

    assert found.mutants == ("dx_without_the_mean_path", "dx_is_zero")
    assert found.correct[0] == "correct"
    assert wide.survivors == ("dx_without_the_mean_path", "dx_is_zero")
    assert rows["float64/9x5/train/sd=1000000", "textbook loop", 1e-7].alarms[0] == "correct"
    assert rows["float64/4x5/train", "textbook loop", 1e-8].evaluations == 2 * (20 + 5 + 5) + 1
    assert perfect_everywhere(found) == ("bnbench",)


def test_what_would_take_too_long_is_said_with_its_cost():
    found = compared([Case(shape=(64, 128))], rules=("gradcheck, slow",))
    (row,) = found.rows

    assert row.not_run == "beyond 1,024 elements of x; its Jacobian of y by x alone is 0.54 GB"
    assert not row.perfect
    assert "| gradcheck, slow | not run |  | 16,898 |  |" in rivals_markdown(found)


def test_a_missing_module_is_said():
    found = rivals(
        Registry(implementations={}),
        [SMALL],
        mutants=[],
        rules=[replace(BY_NAME["gradcheck, fast"], requires="no_such_module")],
    )

    assert found.rows[0].not_run == "no_such_module is not installed"


def test_what_raises_is_objected_to():
    def raising(*arguments, **options):
        y, running, _ = forward_of()(*arguments, **options)
        return y, running, None

    found = rivals(
        Registry(implementations={"raising": Mutant(name="raising", bug="", make=lambda: raising).implementation()}),
        [SMALL],
        mutants=[],
        rules=[BY_NAME["textbook loop"]],
    )

    assert "raising" in found.rows[0].alarms


def test_the_table_fits_a_terminal_and_markdown_says_the_same():
    found = compared([SMALL, WIDE])
    console = Console(file=io.StringIO(), width=80)
    console.print(rivals_table(found), crop=False)
    text, markdown = console.file.getvalue(), rivals_markdown(found)

    assert max(map(len, text.splitlines())) <= 80
    for said in ("2 wrong gradients", "textbook loop, limit 1e-08", "2 of 2", "on every case: bnbench"):
        assert said in text
        assert said in markdown
    assert "### float64/9x5/train/sd=1000000" in markdown
