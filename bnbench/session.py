"""One run: verify, then time what was verified, then a Report. What the commands have in common."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

from bnbench.cases import case_id
from bnbench.checks import ALL_CHECKS
from bnbench.checks.forward import output_matches_the_reference, outputs_have_the_types_of_the_inputs
from bnbench.checks.gradient import (
    dbeta_is_the_derivative_of_the_forward,
    dgamma_is_the_derivative_of_the_forward,
    dx_is_the_derivative_of_the_forward,
)
from bnbench.checks.modes import eval_leaves_the_running_statistics_alone, eval_output_uses_the_running_statistics
from bnbench.checks.statistics import running_mean_moves_towards_the_batch, running_var_moves_towards_the_batch
from bnbench.conclusion import DERIVATIVE, FORWARD, GRADIENTS, conclude
from bnbench.conventions import infer
from bnbench.hints import with_hints
from bnbench.model import (
    Case,
    Check,
    CheckInfo,
    Environment,
    Finding,
    Implementation,
    ImplementationInfo,
    Measurement,
    Norm,
    Report,
    SelfTest,
    SelfTestRow,
    Status,
    Untimed,
)
from bnbench.registry import Registry
from bnbench.runner import Loaded, Task, execute, load, plan, plugin_options
from bnbench.selftest import PLANTED, against_itself, boundary, spread, system_load
from bnbench.staged import staged_errors
from bnbench.timing import Operation, operation_case, operations_of, time_operation

Progress: TypeAlias = Callable[[str, int, int, str], None]
"""Told the phase, how many steps are done, of how many, and what comes next."""

PROOF: Mapping[Operation, tuple[Check, ...]] = {
    "forward_train": (
        outputs_have_the_types_of_the_inputs,
        output_matches_the_reference,
        running_mean_moves_towards_the_batch,
        running_var_moves_towards_the_batch,
    ),
    "forward_eval": (
        outputs_have_the_types_of_the_inputs,
        eval_output_uses_the_running_statistics,
        eval_leaves_the_running_statistics_alone,
    ),
    "backward": (
        outputs_have_the_types_of_the_inputs,
        dx_is_the_derivative_of_the_forward,
        dgamma_is_the_derivative_of_the_forward,
        dbeta_is_the_derivative_of_the_forward,
    ),
}
"""What must have passed, on the very case, before an operation is timed; of this, the checks of its norm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a run is asked to do. Without ``timing_cases`` nothing is timed."""

    implementations: tuple[Implementation, ...]
    cases: tuple[Case, ...] = ()
    checks: tuple[Check, ...] = ALL_CHECKS
    timing_cases: tuple[Case, ...] = ()
    operations: tuple[Operation, ...] = ("forward_train", "forward_eval", "backward")
    baseline: str = "numpy_staged"
    """Of the norm that it has; ``numpy_<norm>_norm`` is that of the others."""
    budget: float = 0.3
    """Seconds for each implementation, case and operation."""
    plugins: tuple[str, ...] = ()
    hints: bool = True
    """Whether a failure is told its probable cause."""


def run(request: Request, registry: Registry, environment: Environment, progress: Progress) -> Report:
    """Do what is asked, and report it."""
    loaded = load(request.implementations)
    rows = tuple(_rows(request, {subject.capabilities.norm for subject in loaded.subjects}))
    wanted = chain(plan(loaded.subjects, request.cases, request.checks), _proof_tasks(loaded, rows))
    tasks = tuple({task.id: task for task in wanted}.values())

    findings: list[Finding] = []
    for finding in execute(tasks, loaded.subjects, plugins=request.plugins):
        findings.append(finding)
        progress("verify", len(findings), len(tasks), finding.implementation)

    if request.hints:
        findings = list(with_hints(findings, loaded.subjects))

    measurements: list[Measurement] = []
    untimed: list[Untimed] = []
    against_themselves: list[SelfTestRow] = []
    before = system_load()
    tested = spread(rows, sum(s.capabilities.norm == case.norm for case, _ in rows for s in loaded.subjects))
    for number, (case, operation) in enumerate(rows):
        progress("time", number, len(rows), f"{operation} {case_id(case)}")
        reasons = _reasons_against(case, operation, findings)
        proven = {
            subject.name: loaded.forwards[subject.name]
            for subject in loaded.subjects
            if subject.capabilities.norm == case.norm and subject.name not in reasons
        }
        untimed += [
            Untimed(implementation=name, case=case_id(case), operation=operation, reason=reason)
            for name, reason in reasons.items()
        ]
        if proven:
            baseline = next(n for n in (request.baseline, f"numpy_{case.norm}_norm", *proven) if n in proven)
            takes_out = {i.name for i in request.implementations if i.takes_out}
            timed = time_operation(
                proven, case, operation, baseline=baseline, takes_out=takes_out, budget=request.budget
            )
            measurements += (replace(row, reproduce=_time_command(row, request.plugins)) for row in timed)
            if (case, operation) in tested:
                against_themselves.append(
                    against_itself(
                        baseline,
                        proven[baseline],
                        (case, operation),
                        takes_out=baseline in takes_out,
                        budget=request.budget,
                        seed=number,
                    )
                )
    selftest = None
    if measurements:
        found = tuple(against_themselves)
        machine = (*before, *system_load())
        selftest = SelfTest(rows=found, planted=PLANTED, boundary=boundary(), load=machine)
    if rows:
        progress("time", len(rows), len(rows), "")

    return Report(
        environment=environment,
        implementations=tuple(_concluded(info, loaded, findings) for info in loaded.infos),
        broken=(*registry.broken, *loaded.broken),
        checks=tuple(CheckInfo(code=c.code, name=c.name, group=c.group, claim=c.claim) for c in ALL_CHECKS),
        findings=tuple(findings),
        measurements=tuple(measurements),
        selftest=selftest,
        untimed=tuple(untimed),
        staged_errors=staged_errors() if any(subject.name == "numpy_staged" for subject in loaded.subjects) else {},
    )


def _concluded(info: ImplementationInfo, loaded: Loaded, findings: Sequence[Finding]) -> ImplementationInfo:
    """The info with what its findings come to, unless there is nothing to say or to say it of."""
    own = [finding for finding in findings if finding.implementation == info.name]
    subject = next((subject for subject in loaded.subjects if subject.name == info.name), None)
    failed = {finding.check for finding in own if finding.status is Status.FAILED}
    if subject is None or failed.isdisjoint((*FORWARD, *DERIVATIVE, *GRADIENTS)):
        return info
    conventions = None
    declared = subject.capabilities
    if not failed.isdisjoint(FORWARD):
        # A kernel that answered a check may still refuse the data from which conventions are read.
        with suppress(Exception):
            conventions = infer(
                subject.kernel,
                declared.dtypes[-1],
                declared.norm,
                ddof=declared.running_var_ddof,
                rank=declared.ranks[0],
            )
    conclusion = conclude(own, conventions)
    return replace(info, conclusion=f"{conclusion.kind.capitalize()}. {conclusion.sentence}")


def exit_code(report: Report) -> int:
    """0 when everything was as expected, 1 for findings, 3 when the harness or a plugin is at fault."""
    statuses = {finding.status for finding in report.findings}
    if report.broken or Status.VACUOUS in statuses:
        return 3
    if statuses & {Status.FAILED, Status.ERRORED}:
        return 1
    return 0


def _rows(request: Request, norms: Container[Norm]) -> Iterator[tuple[Case, Operation]]:
    """Every (case, operation) to time, the case in the mode of the operation; only of norms that are there."""
    for case in request.timing_cases:
        if case.norm in norms:
            for operation in operations_of(case, request.operations):
                yield operation_case(case, operation), operation


def _proof_tasks(loaded: Loaded, rows: Iterable[tuple[Case, Operation]]) -> Iterator[Task]:
    for case, operation in rows:
        yield from plan(loaded.subjects, (case,), PROOF[operation])


def _reasons_against(case: Case, operation: Operation, findings: Sequence[Finding]) -> dict[str, str]:
    """Implementations that may not be timed on this case, with the first reason."""
    codes = {check.code for check in PROOF[operation]}
    reasons: dict[str, str] = {}
    for finding in findings:
        if finding.case == case_id(case) and finding.check in codes and finding.status is not Status.PASSED:
            reasons.setdefault(finding.implementation, f"{finding.check} {finding.status}: {finding.reason}")
    return reasons


def _time_command(row: Measurement, plugins: Sequence[str]) -> str:
    names = " ".join(shlex.quote(name) for name in dict.fromkeys((row.baseline, row.implementation)))
    options = f"{plugin_options(plugins)} --baseline {shlex.quote(row.baseline)} --case {row.case}"
    return f"bnbench time {names}{options} --operation {row.operation}"
