"""A compiled homework file, diagnosed: its values stage by stage, and its memory errors."""

from __future__ import annotations

from bnbench.adapters.uw.compiler import Compiled
from bnbench.adapters.uw.process import Here, Launch
from bnbench.adapters.uw.sanitizer import MemoryFinding, memory_finding
from bnbench.adapters.uw.stages import STAGE_SECONDS, open_stages
from bnbench.diagnose.uw import StageDiagnosis, diagnose_uw
from bnbench.diagnose.uw_stages import ARGUMENTS, EPS, Call, Stage, stage_cases
from bnbench.sandbox.child import uw as child


def diagnose_compiled(
    compiled: Compiled, *, seconds: float = STAGE_SECONDS, launch: Launch = Here
) -> tuple[StageDiagnosis, ...]:
    """Judge every function of a file whose status is ``compiled``; a call takes at most ``seconds``.

    ``launch`` is that of :func:`bnbench.adapters.uw.stages.open_stages`.
    """
    names: dict[Stage, str] = {stage: stage for stage in ARGUMENTS}
    names["forward"] = child.PASSES[compiled.edition][0]
    defined = {stage: compiled.functions[name] for stage, name in names.items() if name in compiled.functions}
    with open_stages(compiled, seconds=seconds, launch=launch) as call:
        return diagnose_uw(
            call,
            eps=EPS if compiled.edition == "groups" else None,
            lines={stage: (function.first, function.last) for stage, function in defined.items()},
            empty={stage for stage, function in defined.items() if not function.works},
        )


def find_memory_errors(
    sanitized: Compiled, *, seconds: float = 4 * STAGE_SECONDS, launch: Launch = Here
) -> tuple[MemoryFinding, ...]:
    """Run every function of a file compiled with ``sanitize``: :func:`memory_findings`."""
    with open_stages(sanitized, seconds=seconds, launch=launch) as call:
        return memory_findings(sanitized, call)


def memory_findings(sanitized: Compiled, call: Call) -> tuple[MemoryFinding, ...]:
    """The distinct memory errors of a file compiled with ``sanitize``, at most one per function."""
    findings: dict[MemoryFinding, None] = {}
    for stage, names in ARGUMENTS.items():
        for case in stage_cases():
            if stage == "forward" and case.rows == 1:
                continue  # the older edition's layer keeps no input of one row to go back through
            answer = call(stage, case.groups, tuple(case.arrays[name] for name in names))
            finding = memory_finding(answer.detail, sanitized.source_name, sanitized.functions)
            if finding is not None:
                findings[finding] = None
            if answer.status != "returned":
                break
    return tuple(findings)
