"""Grade a ``layers.py`` of cs231n: bnbench's own checks, in this process, on functions that run in a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bnbench.adapters.cs231n import Layer
from bnbench.adapters.cs231n_answers import Remarks
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.adapters.source import Source
from bnbench.checks import ALL_CHECKS
from bnbench.grading.feedback import explained, with_rights, with_sample
from bnbench.grading.model import Assignment, Item, ItemResult, Outcome, Visibility
from bnbench.grading.presence import AbsentError, Presence
from bnbench.grading.rubric import cases_of, checks_of, layer_of
from bnbench.grading.runs import Run, Runner, quiet
from bnbench.grading.seeds import seeded
from bnbench.model import Status, Subject
from bnbench.sandbox.worker import Contents, SubmissionError
from bnbench.sandbox.zygote import SandboxError


@dataclass(kw_only=True)
class Graded:
    """The results of all items, and what is worth saying beside."""

    results: list[ItemResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


Hinter = Callable[[Layer, Item, Subject, bool], tuple[str, int | None]]
"""A hint and, where it is known, the line; the last argument says whether gamma of group norm is (1, C, 1, 1)."""


class Submission:
    """One file and the assignment: items in, results out."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        seed: Callable[[Item], int],
        file: SandboxedFile,
        hinter: Hinter | None = None,
    ) -> None:
        self._source, self._assignment, self._seed, self._hinter = source, assignment, seed, hinter
        self._file = file
        self._remarks = Remarks()
        self._plugin = assignment.files[0]

    def grade(self) -> Graded:
        """Grade every item. Trouble of the grader becomes the outcome ``grader_error`` of the items it concerns."""
        graded = Graded()
        runs: dict[str, Run] = {}
        with self._file:
            contents = self._load()
            presence = Presence(self._source, contents)
            stem = self._plugin.rpartition(".")[0] or self._plugin
            runner = Runner(self._file, stem, presence.usable, self._remarks)
            for item in self._assignment.items:
                graded.results.append(self._result(item, graded, runs, runner, presence))
        graded.results = [with_rights(result, self._assignment.items, runs) for result in graded.results]
        missing = (
            []
            if contents is None
            else [
                f"{self._source.place(line)}: {name} can't be imported here; only a call of it would fail"
                for line, name in contents.missing
            ]
        )
        graded.remarks = [*missing, *graded.remarks, *self._remarks.texts]
        return graded

    def _load(self) -> Contents | None:
        try:
            return self._file.load()
        except SubmissionError:
            return None

    def _result(
        self, item: Item, graded: Graded, runs: dict[str, Run], runner: Runner, presence: Presence
    ) -> ItemResult:
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
            presence.require(item)
            run = runs[item.number] = runner.run(item, seeded(cases_of(item), self._seed(item)), checks_of(item))
        except AbsentError as absent:
            return replace(result, outcome=absent.outcome, what=absent.what, line=absent.line)
        except SandboxError as error:
            return replace(result, outcome=Outcome.GRADER_ERROR, what=f"the sandbox failed: {error}")
        if run.verdict is Status.PASSED or self._is_forgiven(item, run, graded, runner):
            return replace(result, points=item.points)
        return self._told(item, explained(item, result, run, presence), runner, presence)

    def _is_forgiven(self, item: Item, run: Run, graded: Graded, runner: Runner) -> bool:
        """Whether eps alone is wrong, and that is a remark."""
        remarked = run.verdict is Status.FAILED and self._assignment.eps_severity == "remark"
        if not (remarked and runner.is_eps(item, self._seed(item))):
            return False
        graded.remarks.append(f"{item.number}: right but for eps, which is missing, elsewhere or of another value")
        return True

    def _told(self, item: Item, result: ItemResult, runner: Runner, presence: Presence) -> ItemResult:
        """With a sample and a hint, where the item is visible and more is known than how the submission ended."""
        if item.visibility is not Visibility.VISIBLE:
            return result
        if result.check:
            check = next(check for check in ALL_CHECKS if check.code == result.check)
            result = with_sample(item, result, runner.run(item, cases_of(item), (check,)), self._plugin)
        elif result.outcome is not Outcome.ERROR:
            return result
        return self._hinted(item, result, runner, presence)

    def _hinted(self, item: Item, result: ItemResult, runner: Runner, presence: Presence) -> ItemResult:
        if self._hinter is None:
            return result
        with quiet():
            subject = runner.subject(item)
            spread = not any("of shape (C,)" in remark for remark in self._remarks.texts)
            hint, line = self._hinter(layer_of(item), item, subject, spread)
        return replace(result, hint=hint, line=result.line or presence.line_of(line or 0))
