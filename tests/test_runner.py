"""Plan, execute, judge: five statuses, and nothing else decides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bnbench.checks import ALL_CHECKS
from bnbench.compare import agrees, differs
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Case, Comparison, Implementation, Status, Subject
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.runner import execute, judge, load, plan

CASE = Case(shape=(9, 5))
EVAL = Case(shape=(9, 5), training=False)
CODES = {check.code: check for check in ALL_CHECKS}


def subject(name="correct", forward=None, **declared):
    return Subject(
        name=name,
        kernel=local_kernel(forward or forward_of()),
        capabilities=Capabilities(**declared),
    )


def comparison(error, *, limit=1.0, trivial=False):
    return Comparison(quantity="y", error=error, limit=limit, unit="units", got=0.0, expected=0.0, trivial=trivial)


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        ([comparison(0.5)], Status.PASSED),
        ([comparison(1.0)], Status.PASSED),
        ([comparison(0.5), comparison(1.5)], Status.FAILED),
        ([comparison(math.nan)], Status.FAILED),
        ([comparison(math.inf)], Status.FAILED),
        ([comparison(0.5, limit=math.nan)], Status.FAILED),
        ([], Status.ERRORED),
        ([comparison(0.0, trivial=True)], Status.VACUOUS),
        ([comparison(0.0, trivial=True), comparison(0.0)], Status.PASSED),
        ([agrees("types", "float64")], Status.PASSED),
        ([differs("types", got="float32", expected="float64")], Status.FAILED),
    ],
)
def test_the_judge(evidence, status):
    assert judge(evidence)[0] is status


def test_the_plan_knows_every_id_before_anything_runs():
    def never(*_, **__):
        raise AssertionError

    tasks = plan([subject(forward=never)], [CASE, EVAL], ALL_CHECKS)

    assert len({task.id for task in tasks}) == len(tasks)
    assert "correct/BN301/float64/9x5/train" in {task.id for task in tasks}
    assert "correct/BN401/float64/9x5/train" not in {task.id for task in tasks}, "an eval check on a train case"


@pytest.mark.parametrize(
    ("declared", "case", "reason"),
    [
        ({"dtypes": ("float32",)}, CASE, "no support for float64"),
        ({"ranks": (4,)}, CASE, "no support for 2 dimensions"),
    ],
)
def test_what_is_not_declared_is_skipped_with_the_reason(declared, case, reason):
    subjects = [subject(**declared)]
    findings = list(execute(plan(subjects, [case], ALL_CHECKS), subjects))

    assert {finding.status for finding in findings} == {Status.SKIPPED}
    assert all(reason in finding.reason for finding in findings)


def test_argument_checks_are_skipped_for_those_that_declare_none():
    subjects = [subject(validates=False)]
    (finding,) = execute(plan(subjects, [CASE], [CODES["BN601"]]), subjects)

    assert finding.status is Status.SKIPPED


def asked_in_eval_mode(check, rank_shapes=((9, 5), (3, 5, 2, 4))):
    """How many gradients a check asks for in eval mode."""
    kernel = local_kernel(forward_of())
    asked = []

    def listening(inputs, /, *dys, beside=None):
        asked.extend(dys if not inputs.options.training else ())
        return kernel(inputs, *dys, beside=beside)

    declared = Capabilities(eval_vjp=check.needs_vjp)
    listener = Subject(name="any", kernel=listening, capabilities=declared, on_threads=lambda _: listening)
    for shape in rank_shapes:
        list(check.run(listener, Case(shape=shape, training=False)))
    return len(asked)


@pytest.mark.parametrize(
    "check", [c for c in ALL_CHECKS if c.training is not True and "batch" in c.norms], ids=lambda check: check.code
)
def test_a_check_declares_whether_it_needs_a_backward_in_eval_mode(check):
    assert (asked_in_eval_mode(check) > 0) == check.needs_vjp


def test_without_a_backward_in_eval_mode_the_forward_is_verified_there_all_the_same():
    def train_only(*arguments, training, **options):
        y, running, vjp = forward_of()(*arguments, training=training, **options)
        return y, running, vjp if training else None

    subjects = [subject(forward=train_only, eval_vjp=False)]
    findings = {f.check: f for f in execute(plan(subjects, [EVAL], ALL_CHECKS), subjects)}

    assert {f.status for f in findings.values()} == {Status.PASSED, Status.SKIPPED}
    assert all(findings[code].status is Status.PASSED for code in ("BN101", "BN151", "BN334", "BN401", "BN501"))
    assert findings["BN301"].reason == "declares no backward in eval mode"


def test_an_exception_is_an_error_that_names_the_line():
    def raising(*_, **__):
        raise ZeroDivisionError("ouch")

    subjects = [subject(forward=raising)]
    (finding,) = execute(plan(subjects, [CASE], [CODES["BN101"]]), subjects)

    assert finding.status is Status.ERRORED
    assert finding.reason.startswith("ZeroDivisionError: ouch (test_runner.py, line ")


def test_one_bug_gives_one_message():
    """What depends on a check that did not pass is skipped, and says so."""

    def transposed(*arguments, **options):
        y, running, vjp = forward_of()(*arguments, **options)
        return np.ascontiguousarray(y.T), running, vjp

    subjects = [subject(forward=transposed)]
    findings = {f.check: f for f in execute(plan(subjects, [CASE], ALL_CHECKS), subjects)}

    assert findings["BN101"].status is Status.FAILED
    assert findings["BN301"].status is Status.SKIPPED
    assert findings["BN301"].reason == "BN101 did not pass on this case"


def test_an_output_that_is_no_array_is_an_error():
    def lists(*arguments, **options):
        y, running, vjp = forward_of()(*arguments, **options)
        return y.tolist(), running, vjp

    subjects = [subject(forward=lists)]
    (finding,) = execute(plan(subjects, [CASE], [CODES["BN101"]]), subjects)

    assert finding.status is Status.ERRORED
    assert "y came back as a list" in finding.reason


def test_nan_in_an_output_fails():
    def poisoned(*arguments, **options):
        y, running, vjp = forward_of()(*arguments, **options)
        y[0, 0] = np.nan
        return y, running, vjp

    subjects = [subject(forward=poisoned)]
    findings = {f.check: f.status for f in execute(plan(subjects, [CASE], ALL_CHECKS), subjects)}

    assert findings["BN102"] is Status.FAILED
    assert findings["BN301"] is Status.FAILED


def test_a_plugin_that_raises_in_load_is_broken_and_named():
    def load_nothing():
        raise OSError("no library")

    loaded = load([Implementation(name="mine", load=load_nothing)])

    assert loaded.subjects == ()
    assert loaded.broken[0].source == "mine"
    assert "OSError: no library" in loaded.broken[0].error
    assert not loaded.infos[0].available


def test_what_is_missing_is_unavailable_and_not_broken():
    loaded = load([Implementation(name="mine", load=lambda: None, requires={"no_such_module": "get it"})])

    assert loaded.broken == ()
    assert loaded.infos[0].reason == "no_such_module is not installed: get it"


def test_a_finding_carries_the_command_that_shows_it_again():
    mutant = next(mutant for mutant in ALL_MUTANTS if mutant.name == "dx_is_zero")
    subjects = load([mutant.implementation()]).subjects
    tasks = plan(subjects, [Case(shape=(8, 7), sd=3e-3, dtype="float32")], [CODES["BN301"]])
    (finding,) = execute(tasks, subjects, plugins=["my plugin.py"])

    assert finding.reproduce == (
        "bnbench check dx_is_zero --plugin 'my plugin.py' --check BN301 --case float32/8x7/train/sd=0.003"
    )
