"""From a request to a report: what is timed, what is not, and what the exit code says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnbench.model import Broken, Case, Finding, Implementation, Report, Status
from bnbench.mutants import ALL_MUTANTS, Mutant, forward_of
from bnbench.mutants.recipe import mutant
from bnbench.policy import environment
from bnbench.registry import Registry
from bnbench.session import Request, exit_code, run

CORRECT_ONE = Mutant(name="correct", bug="none", make=forward_of).implementation()
WRONG = {mutant.name: mutant.implementation() for mutant in ALL_MUTANTS}
CASE = Case(shape=(9, 5))


def report_of(*implementations, **request):
    request = Request(implementations=implementations, baseline="correct", budget=0.001, **request)
    return run(request, Registry(implementations={}), environment(), lambda *_: None)


def test_what_is_timed_has_been_verified_on_the_very_case():
    report = report_of(CORRECT_ONE, timing_cases=(CASE,))
    passed = {(f.check, f.case) for f in report.findings if f.status is Status.PASSED}

    assert {m.operation for m in report.measurements} == {"forward_train", "forward_eval", "backward"}
    assert {("BN102", "float64/9x5/train"), ("BN401", "float64/9x5/eval"), ("BN301", "float64/9x5/train")} <= passed


@pytest.mark.parametrize(
    ("bug", "operation", "code"),
    [
        ("eps_outside_the_root", "forward_train", "BN102"),
        ("running_mean_weighs_the_old", "forward_train", "BN201"),
        ("eval_moves_the_running_statistics", "forward_eval", "BN402"),
        ("dbeta_is_a_mean", "backward", "BN303"),
    ],
)
def test_what_failed_is_not_timed_and_says_why(bug, operation, code):
    # A variance near eps, where the epsilon mistake is large.
    report = report_of(CORRECT_ONE, WRONG[bug], timing_cases=(replace(CASE, sd=3e-3),))
    timed = {(m.implementation, m.operation) for m in report.measurements}
    reasons = {(u.implementation, u.operation): u.reason for u in report.untimed}

    assert (bug, operation) not in timed
    assert reasons[bug, operation].startswith(f"{code} failed")
    assert ("correct", operation) in timed


def test_a_task_of_both_plans_is_executed_once():
    report = report_of(CORRECT_ONE, cases=(CASE,), timing_cases=(CASE,))
    keys = [(f.check, f.case) for f in report.findings]

    assert len(keys) == len(set(keys))


def test_an_eval_case_has_no_train_forward_to_time():
    report = report_of(CORRECT_ONE, timing_cases=(replace(CASE, training=False),))

    assert {m.operation for m in report.measurements} == {"forward_eval", "backward"}
    assert {m.case for m in report.measurements} == {"float64/9x5/eval"}


def named(name, norm, **pieces):
    """A correct implementation of this norm, or with these pieces a wrong one."""
    return replace(mutant(name, "none", norm=norm, **pieces).implementation(), name=name)


LAYER = Case(shape=(9, 6), norm="layer")


def test_a_case_is_timed_among_the_implementations_of_its_norm_alone():
    report = report_of(CORRECT_ONE, named("mine", "layer"), named("rms", "rms"), timing_cases=(CASE, LAYER))
    rows = {(m.implementation, m.operation, m.case) for m in report.measurements}

    assert rows == {
        ("correct", "forward_train", "float64/9x5/train"),
        ("correct", "forward_eval", "float64/9x5/eval"),
        ("correct", "backward", "float64/9x5/train"),
        ("mine", "forward_train", "float64/9x6/layer"),
        ("mine", "backward", "float64/9x6/layer"),
    }
    assert report.untimed == ()


@pytest.mark.parametrize(
    ("baseline", "taken"), [("mine", "mine"), ("correct", "numpy_layer_norm"), ("numpy_rms_norm", "numpy_layer_norm")]
)
def test_a_baseline_of_another_norm_gives_way_to_the_numpy_one_of_the_norm(baseline, taken):
    implementations = [named(name, "layer") for name in ("first", "numpy_layer_norm", "mine")]
    implementations += [CORRECT_ONE, named("numpy_rms_norm", "rms")]
    request = Request(implementations=tuple(implementations), timing_cases=(LAYER,), baseline=baseline, budget=1e-3)
    report = run(request, Registry(implementations={}), environment(), lambda *_: None)

    assert {m.baseline for m in report.measurements} == {taken}
    assert {m.implementation for m in report.measurements} == {"first", "numpy_layer_norm", "mine"}


def test_a_baseline_of_another_norm_gives_way_to_the_first_where_there_is_no_numpy_one():
    report = report_of(CORRECT_ONE, named("first", "layer"), named("mine", "layer"), timing_cases=(LAYER,))

    assert {m.baseline for m in report.measurements} == {"first"}


def test_what_failed_in_a_norm_without_modes_is_not_timed_and_says_why():
    wrong = named("wrong", "layer", sd=lambda v, eps: v**0.5 + eps)
    report = report_of(named("mine", "layer"), wrong, CORRECT_ONE, timing_cases=(replace(LAYER, sd=3e-3),))
    (row,) = (u for u in report.untimed if u.operation == "forward_train")

    assert (row.implementation, row.case) == ("wrong", "float64/9x6/layer/sd=0.003")
    assert row.reason.startswith("BN102 failed")
    assert ("mine", "forward_train") in {(m.implementation, m.operation) for m in report.measurements}


def test_unavailable_implementations_are_listed_and_nothing_else_suffers():
    absent = Implementation(name="absent", load=lambda: None, requires={"no_such_module": "get it"})
    report = report_of(CORRECT_ONE, absent, cases=(CASE,))

    assert {info.name: info.available for info in report.implementations} == {"correct": True, "absent": False}
    assert exit_code(report) == 0


@pytest.mark.parametrize(
    ("bug", "conclusion"),
    [
        ("dx_without_the_mean_path", "Wrong backward. The forward is as declared"),
        ("variance_over_m_minus_1", "Another convention, self-consistent. The forward is not as declared: "),
        ("gradients_accumulate", ""),
    ],
)
def test_a_report_says_what_the_findings_come_to(bug, conclusion):
    correct, wrong = report_of(CORRECT_ONE, WRONG[bug], cases=(CASE,)).implementations

    assert correct.conclusion == ""
    assert wrong.conclusion.startswith(conclusion)
    assert bool(wrong.conclusion) == bool(conclusion)


def test_progress_counts_up_to_the_total():
    steps = []
    request = Request(
        implementations=(CORRECT_ONE,), cases=(CASE,), timing_cases=(CASE,), baseline="correct", budget=1e-3
    )
    run(
        request,
        Registry(implementations={}),
        environment(),
        lambda phase, done, total, _: steps.append((phase, done, total)),
    )

    for phase in ("verify", "time"):
        last = [(done, total) for name, done, total in steps if name == phase][-1]
        assert last[0] == last[1] > 0


def test_what_is_timed_is_timed_against_itself_too_on_every_size():
    report = report_of(CORRECT_ONE, timing_cases=(CASE, Case(shape=(65, 128))), operations=("backward",))

    assert [(row.implementation, row.size, row.case) for row in report.selftest.rows] == [
        ("correct", "small", "float64/9x5/train"),
        ("correct", "medium", "float64/65x128/train"),
    ]
    assert report.selftest.boundary > 0


def test_where_nothing_is_timed_there_is_no_self_test():
    assert report_of(CORRECT_ONE, cases=(CASE,)).selftest is None


@pytest.mark.parametrize(
    ("statuses", "broken", "code"),
    [
        ([], False, 0),
        ([Status.PASSED, Status.SKIPPED], False, 0),
        ([Status.PASSED, Status.FAILED], False, 1),
        ([Status.ERRORED], False, 1),
        ([Status.VACUOUS, Status.FAILED], False, 3),
        ([Status.PASSED], True, 3),
        ([Status.FAILED], True, 3),
    ],
)
def test_the_exit_code_says_who_is_at_fault(statuses, broken, code):
    report = Report(
        environment=environment(),
        broken=(Broken(source="mine.py", error="no"),) if broken else (),
        findings=tuple(Finding(implementation="a", check="BN101", claim="", case="", status=s) for s in statuses),
    )

    assert exit_code(report) == code
