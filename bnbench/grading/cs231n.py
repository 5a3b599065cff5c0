"""Grade a ``layers.py`` of cs231n: bnbench's own checks, in this process, on functions that run in a worker."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bnbench.adapters.cs231n import (
    FUNCTIONS,
    AnswerShapeError,
    AnswerTypeError,
    Layer,
    Remarks,
    implementations,
)
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.adapters.source import Source
from bnbench.cases import case_id
from bnbench.checks import ALL_CHECKS
from bnbench.grading.model import Assignment, Item, ItemResult, Outcome, Visibility
from bnbench.grading.rubric import cases_of, checks_of, layer_of, verdict
from bnbench.grading.seeds import seeded
from bnbench.grading.words import beyond, right_outputs, sample, what_is_wrong
from bnbench.kernels import local_kernel
from bnbench.model import Case, Check, Finding, Inputs, Kernel, Outputs, Status, Subject
from bnbench.runner import execute, plan
from bnbench.sandbox.worker import SubmissionError
from bnbench.sandbox.worker import Status as Ended
from bnbench.sandbox.zygote import SandboxError

FRESH = next(check for check in ALL_CHECKS if check.code == "BN215")
"""Runs wherever running averages count: a first call, whose bn_param has none yet."""
WITHOUT_EPS = 1e15
"""An sd beside which no eps that anybody writes has an effect on the last bit, inside the root or outside."""
ABOUT_EPS = frozenset({"BN112", "BN113"})
"""Checks that nothing but eps decides; on a large sd they would still see it."""
INHERITED = frozenset({Ended.CRASHED, Ended.TIMEOUT_CPU, Ended.MEMORY, Ended.PROTOCOL})
"""What the items before may have prepared: memory that is taken, time that is spent, a heap that is damaged."""


class _Absent(Exception):
    """An item that there is nothing to run for."""

    def __init__(self, outcome: Outcome, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.outcome, self.what, self.line = outcome, what, line


@dataclass(kw_only=True)
class Graded:
    """The results of all items, and what is worth saying beside."""

    results: list[ItemResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One item, executed: its findings, what became of the submission meanwhile, and its verdict."""

    findings: tuple[Finding, ...]
    verdict: Status
    trouble: SubmissionError | SandboxError | None
    refused: str
    """Why an answer was none: a wrong shape, None, another number of values."""
    finite: bool


Hinter = Callable[[Layer, Item, Subject], tuple[str, int | None]]
"""A hint and, where it is known, the line."""


class Submission:
    """One file and the assignment: items in, results out. Workers are started as layers need them."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        seed: Callable[[Item], int],
        open_file: Callable[[], SandboxedFile],
        hinter: Hinter | None = None,
    ) -> None:
        self._source, self._assignment, self._seed, self._hinter = source, assignment, seed, hinter
        self._open_file = open_file
        self._files: dict[str, SandboxedFile] = {}
        self._closing = contextlib.ExitStack()
        self._remarks = Remarks()
        self._plugin = assignment.files[0]
        self._functions = {function.name: function for function in source.functions}
        self._lost = {name: problem for problem in source.problems for name in problem.lost}
        self._callable: frozenset[str] = frozenset()
        self._load_problems: tuple[tuple[int, str], ...] = ()

    def grade(self) -> Graded:
        """Grade every item. Trouble of the grader becomes the outcome ``grader_error`` of the items it concerns."""
        graded = Graded()
        runs: dict[str, _Run] = {}
        with self._closing:
            self._load(graded)
            for item in self._assignment.items:
                graded.results.append(self._result(item, graded, runs))
        graded.results = [self._with_rights(result, runs) for result in graded.results]
        graded.remarks += self._remarks.texts
        return graded

    def _load(self, graded: Graded) -> None:
        file = self._file("")
        self._files.clear()
        try:
            contents = file.load()
        except SubmissionError:
            self._callable = frozenset(FUNCTIONS)  # every item tells how it ended
            self._files |= {item.function: file for item in self._assignment.items}
        else:
            self._callable = frozenset(contents.functions)
            self._load_problems = contents.problems
            first = layer_of(self._assignment.items[0]).name
            self._files[first] = file
            graded.remarks += [
                f"{self._source.place(line)}: {name} can't be imported here; only a call of it would fail"
                for line, name in contents.missing
            ]

    def _file(self, layer: str) -> SandboxedFile:
        if layer not in self._files:
            self._files[layer] = self._closing.enter_context(self._open_file())
        return self._files[layer]

    def _result(self, item: Item, graded: Graded, runs: dict[str, _Run]) -> ItemResult:
        result = ItemResult(
            number=item.number,
            title=item.title,
            function=item.function,
            outcome=Outcome.PASSED,
            points=0,
            max_points=item.points,
            visibility=item.visibility,
        )
        passed = {other.number for other in graded.results if other.outcome is Outcome.PASSED}
        missing = [number for number in item.needs if number not in passed]
        if missing:
            return replace(result, outcome=Outcome.SKIPPED, what=f"needs {', '.join(missing)}, which did not pass")
        try:
            self._require(item)
            run = runs[item.number] = self._run(item, seeded(cases_of(item), self._seed(item)), checks_of(item))
        except _Absent as absent:
            return replace(result, outcome=absent.outcome, what=absent.what, line=absent.line)
        except SandboxError as error:
            return replace(result, outcome=Outcome.GRADER_ERROR, what=f"the sandbox failed: {error}")
        if run.verdict is Status.PASSED:
            return replace(result, points=item.points)
        if run.verdict is Status.FAILED and self._assignment.eps_severity == "remark" and self._is_eps(item):
            graded.remarks.append(f"{item.number}: right but for eps, which is missing, elsewhere or of another value")
            return replace(result, points=item.points)
        return self._failed(item, result, run)

    def _require(self, item: Item) -> None:
        """Raise _Absent where the item's function, or the forward it needs, is not there to be called."""
        layer = layer_of(item)
        self._present(item.function)
        if item.function == layer.backward:
            try:
                self._present(layer.forward)
            except _Absent as absent:
                raise _Absent(Outcome.SKIPPED, f"needs {layer.forward}: {absent.what}") from absent

    def _present(self, name: str) -> None:
        function = self._functions.get(name)
        if function is None and name in self._lost:
            problem = self._lost[name]
            raise _Absent(Outcome.ERROR, f"{self._source.place(problem.line)}: {problem.text}", self._line(problem.line))
        if function is not None and function.unimplemented:
            raise _Absent(Outcome.UNIMPLEMENTED, f"{name} is not implemented yet", self._line(function.line))
        if name not in self._callable:
            if function is None:
                raise _Absent(Outcome.MISSING, f"there is no function {name}")
            within = [p for p in self._load_problems if function.line <= p[0] <= function.end_line]
            words = f": {within[0][1]}" if within else ""
            raise _Absent(Outcome.ERROR, f"{name} could not be defined{words}", self._line(function.line))

    def _line(self, line: int) -> int | None:
        """The line for the record; in a notebook lines are told in words, with their cell."""
        return line if line and not self._source.cells else None

    def _run(self, item: Item, cases: tuple[Case, ...], checks: tuple[Check, ...]) -> _Run:
        """Execute; once more in a worker of its own if one that other items had used came to grief."""
        file = self._file(layer_of(item).name)
        file.begin()
        was_fresh = file.fresh
        run = self._once(file, item, cases, checks)
        if not was_fresh and isinstance(run.trouble, SubmissionError) and run.trouble.status in INHERITED:
            file.close()
            file.begin()
            run = self._once(file, item, cases, checks)
        if isinstance(run.trouble, SandboxError):
            raise run.trouble
        return run

    def _once(self, file: SandboxedFile, item: Item, cases: tuple[Case, ...], checks: tuple[Check, ...]) -> _Run:
        refused: list[str] = []
        findings: list[Finding] = []
        with _quiet():
            try:
                subject = self._subject(file, item, refused)
            except (SubmissionError, ValueError, TypeError) as error:
                if file.trouble is None:
                    raise SandboxError(f"the adapter failed: {error}") from error
            else:
                tasks = plan([subject], cases, checks)
                if {"BN201", "BN202"} & set(item.checks):
                    tasks += plan([subject], cases[:1], (FRESH,))
                for finding in execute(tasks, [subject]):
                    findings.append(finding)
                    if file.lost:
                        break
        return _Run(
            findings=tuple(findings),
            verdict=Status.ERRORED if file.lost else verdict(item, findings),
            trouble=file.trouble,
            refused=refused[0] if refused else "",
            finite=file.finite,
        )

    def _subject(self, file: SandboxedFile, item: Item, refused: list[str]) -> Subject:
        layer = layer_of(item)
        usable = {n for n in self._callable if n not in self._functions or not self._functions[n].unimplemented}
        made = implementations(file.namespace(frozenset(usable)), _stem(self._plugin), self._remarks)
        implementation = next(i for i in made if i.name.endswith(f".{layer.name}"))
        kernel = _watched(local_kernel(implementation.load()), refused)
        return Subject(name=implementation.name, kernel=kernel, capabilities=implementation.capabilities)

    def _is_eps(self, item: Item) -> bool:
        """Whether all is right on data so large that eps does not matter."""
        checks = tuple(check for check in checks_of(item) if check.code not in ABOUT_EPS)
        large = tuple(replace(case, mean=0.0, sd=WITHOUT_EPS) for case in seeded(cases_of(item), self._seed(item)))
        try:
            return bool(checks) and self._run(item, large, checks).verdict is Status.PASSED
        except SandboxError:
            return False

    def _failed(self, item: Item, result: ItemResult, run: _Run) -> ItemResult:
        hidden = item.visibility is not Visibility.VISIBLE
        trouble = run.trouble
        failed = [f for f in run.findings if f.status is Status.FAILED and beyond(item, f)]
        if isinstance(trouble, SubmissionError) and (trouble.status is not Ended.ERROR or not failed):
            return self._troubled(result, trouble, hidden=hidden)
        if run.refused and not failed:
            return replace(result, outcome=Outcome.FAILED, what="the answer is none" if hidden else run.refused)
        if not failed:
            unmeasured = next((f.reason for f in run.findings if f.status is not Status.PASSED), "no check applied")
            if run.finite and run.verdict is Status.ERRORED:
                return replace(result, outcome=Outcome.GRADER_ERROR, what=f"could not be measured: {unmeasured}")
            return replace(result, outcome=Outcome.FAILED, what="the answer has values that are not finite")
        decider = failed[0]
        result = replace(
            result,
            outcome=Outcome.FAILED,
            check=decider.check,
            what=what_is_wrong(item, failed, (), hidden=hidden),
        )
        return result if hidden else self._shown(item, result, decider)

    def _troubled(self, result: ItemResult, trouble: SubmissionError, *, hidden: bool) -> ItemResult:
        outcome = Outcome(trouble.status.value)
        words = {
            Outcome.ERROR: trouble.detail,
            Outcome.MEMORY: trouble.detail,
            Outcome.CRASHED: trouble.detail,
            # What it used differs from run to run.
            Outcome.TIMEOUT_CPU: "used up its processor time",
            Outcome.TIMEOUT_WALL: "gave no answer in time",
            Outcome.PROTOCOL: "sent what is no answer",
        }[outcome]
        where = f"{self._source.place(trouble.line)}: " if trouble.line and self._source.cells else ""
        what = "" if hidden and outcome is Outcome.ERROR else f"{where}{words}"
        return replace(result, outcome=outcome, what=what, line=None if hidden else self._line(trouble.line))

    def _shown(self, item: Item, result: ItemResult, decider: Finding) -> ItemResult:
        """With a sample that the student can reproduce, where public data shows the mistake too, and with hints."""
        check = next(check for check in ALL_CHECKS if check.code == decider.check)
        public = self._run(item, cases_of(item), (check,))
        for finding in public.findings:
            worst = beyond(item, finding)
            if worst:
                got, expected = sample(worst[0])
                command = f"bnbench check {shlex.quote(finding.implementation)} --plugin {shlex.quote(self._plugin)}"
                command += f" --check {finding.check} --case {finding.case}"
                result = replace(result, got=got, expected=expected, reproduce=command)
                break
        if self._hinter is not None:
            file = self._file(layer_of(item).name)
            file.begin()
            with _quiet():
                hint, line = self._hinter(layer_of(item), item, self._subject(file, item, []))
            result = replace(result, hint=hint, line=line)
        return result

    def _with_rights(self, result: ItemResult, runs: Mapping[str, _Run]) -> ItemResult:
        """Say which outputs of the same function other visible items found right."""
        if result.outcome is not Outcome.FAILED or not result.check or result.visibility is not Visibility.VISIBLE:
            return result
        right: set[str] = set()
        for item in self._assignment.items:
            if item.function == result.function and item.number in runs and item.visibility is Visibility.VISIBLE:
                right |= set(right_outputs(item, runs[item.number].findings))
        item = next(item for item in self._assignment.items if item.number == result.number)
        run = runs[item.number]
        failed = [f for f in run.findings if f.status is Status.FAILED and beyond(item, f)]
        return replace(result, what=what_is_wrong(item, failed, right, hidden=False))


def _watched(kernel: Kernel, refused: list[str]) -> Kernel:
    """The kernel; what the adapter refuses to take for an answer is noted."""

    def watched(inputs: Inputs, /, *dys: Any, beside: Inputs | None = None) -> Outputs:
        try:
            return kernel(inputs, *dys, beside=beside)
        except (AnswerTypeError, AnswerShapeError) as error:
            refused.append(str(error))
            raise

    return watched


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Wrong answers overflow and divide by zero in the checks: that is for the verdict to say."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
