"""The checks of one item, executed on a handed-in file of cs231n in its worker."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from bnbench.adapters.cs231n import capabilities_of
from bnbench.adapters.cs231n_answers import Remarks
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.adapters.sandboxed_kernel import SandboxedKernel
from bnbench.checks import ALL_CHECKS
from bnbench.grading.model import Item
from bnbench.grading.rubric import cases_of, checks_of, layer_of, verdict
from bnbench.grading.seeds import seeded
from bnbench.model import Case, Check, Finding, Status, Subject
from bnbench.runner import execute, plan
from bnbench.sandbox.worker import Status as Ended
from bnbench.sandbox.worker import SubmissionError
from bnbench.sandbox.zygote import SandboxError

FRESH = next(check for check in ALL_CHECKS if check.code == "BN215")
"""Runs wherever running averages count: a first call, whose bn_param has none yet."""
WITHOUT_EPS = 1e15
"""An sd beside which no eps that anybody writes has an effect on the last bit, inside the root or outside."""
ABOUT_EPS = frozenset({"BN112", "BN113"})
"""Checks that nothing but eps decides; on a large sd they would still see it."""
INHERITED = frozenset({Ended.CRASHED, Ended.TIMEOUT_CPU, Ended.MEMORY, Ended.PROTOCOL})
"""What the items before may have prepared: memory that is taken, time that is spent, a heap that is damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One item, executed: its findings, what became of the submission meanwhile, and its verdict."""

    findings: tuple[Finding, ...]
    verdict: Status
    trouble: SubmissionError | SandboxError | None
    refused: str
    """Why an answer was none: a wrong shape, None, another number of values."""
    finite: bool


class Runner:
    """Runs items on one file. ``present`` are the functions that can be called, ``stem`` is the file's name."""

    def __init__(self, file: SandboxedFile, stem: str, present: Collection[str], remarks: Remarks) -> None:
        self._file, self._stem, self._present, self._remarks = file, stem, present, remarks

    def run(self, item: Item, cases: tuple[Case, ...], checks: tuple[Check, ...]) -> Run:
        """Execute; once more in a worker of its own if one that other items had used came to grief."""
        self._file.begin()
        was_fresh = self._file.fresh
        run = self._once(item, cases, checks)
        if not was_fresh and isinstance(run.trouble, SubmissionError) and run.trouble.status in INHERITED:
            self._file.close()
            self._file.begin()
            run = self._once(item, cases, checks)
        if isinstance(run.trouble, SandboxError):
            raise run.trouble
        return run

    def _once(self, item: Item, cases: tuple[Case, ...], checks: tuple[Check, ...]) -> Run:
        findings: list[Finding] = []
        with quiet():
            subject, kernel = self._subject(item)
            for place, case in enumerate(cases):
                fresh = (FRESH,) if place == 0 and {"BN201", "BN202"} & set(item.checks) else ()
                for finding in execute(plan([subject], [case], (*checks, *fresh)), [subject]):
                    findings.append(finding)
                    if self._file.lost:
                        break
                if self._file.lost or verdict(item, findings) is not Status.PASSED:
                    break  # the verdict is known, and what is wrong with it
        return Run(
            findings=tuple(findings),
            verdict=Status.ERRORED if self._file.lost else verdict(item, findings),
            trouble=self._file.trouble,
            refused=kernel.refused,
            finite=self._file.finite,
        )

    def subject(self, item: Item) -> Subject:
        """The layer of the item, for whatever else is to be asked of it."""
        self._file.begin()
        return self._subject(item)[0]

    def _subject(self, item: Item) -> tuple[Subject, SandboxedKernel]:
        layer = layer_of(item)
        kernel = SandboxedKernel(self._file, layer, self._remarks, has_backward=layer.backward in self._present)
        name = f"{self._stem}.{layer.name}"
        return Subject(name=name, kernel=kernel, capabilities=capabilities_of(layer)), kernel

    def is_eps(self, item: Item, seed: int) -> bool:
        """Whether all is right on data so large that eps does not matter."""
        checks = tuple(check for check in checks_of(item) if check.code not in ABOUT_EPS)
        large = tuple(replace(case, mean=0.0, sd=WITHOUT_EPS) for case in seeded(cases_of(item), seed))
        try:
            return bool(checks) and self.run(item, large, checks).verdict is Status.PASSED
        except SandboxError:
            return False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Wrong answers overflow and divide by zero in the checks: that is for the verdict to say."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
