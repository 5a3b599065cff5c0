"""The pytest door: the same checks as ``bnbench check``, one test per implementation, check and case.

Three lines verify a plugin in a repository of its own::

    from bnbench.testing import parametrize
    @parametrize(plugins=["my_batch_norm.py"])
    def test_conformance(conformance): conformance()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bnbench.cases import grid
from bnbench.checks import ALL_CHECKS
from bnbench.model import Broken, Case, Check, Finding, Implementation, Status, Subject
from bnbench.registry import Registry, discover
from bnbench.report.words import evidence, relative, telling
from bnbench.runner import Task, execute, load, plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Conformance:
    """One task as a test: calling it passes, skips with the reason, or fails with the evidence."""

    implementation: Implementation
    task: Task
    plugins: tuple[str, ...]

    def __call__(self) -> None:
        if self.task.skip:
            pytest.skip(self.task.skip)
        reason = Registry.missing(self.implementation)
        if reason:
            pytest.skip(reason)
        finding = self.finding()
        if finding.status is not Status.PASSED:
            pytest.fail(described(finding), pytrace=False)

    def finding(self) -> Finding:
        """Execute the task."""
        return next(execute([self.task], [_subject(self.implementation)], plugins=self.plugins))


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be discovered, as a test: it always fails."""

    broken: Broken

    def __call__(self) -> None:
        pytest.fail(f"{self.broken.source}: {self.broken.error}", pytrace=False)


def described(finding: Finding) -> str:
    """A finding as a test's failure message: what, where, got, expected, and how to see it again."""
    lines = [f"{finding.implementation} {finding.status} {finding.check}: {finding.claim}", f"on {finding.case}"]
    lines += [finding.reason] if finding.reason else []
    for comparison in telling(finding):
        lines.append(evidence(comparison))
        lines += [f"relative error {relative(comparison.relative)}"] if comparison.relative is not None else []
        lines += [comparison.note] if comparison.note else []
    return "\n".join([*lines, f"reproduce: {finding.reproduce}"])


@cache
def _subject(implementation: Implementation) -> Subject:
    loaded = load([implementation])
    if loaded.broken:
        raise ImportError(loaded.broken[0].error)
    return loaded.subjects[0]


def parametrize(
    *names: str,
    plugins: Iterable[str | Path] = (),
    cases: Sequence[Case] | None = None,
    checks: Sequence[Check] = ALL_CHECKS,
) -> pytest.MarkDecorator:
    """Parametrize a test over ``conformance``: implementation x case x check.

    Without names everything discovered is tested, or with ``plugins`` (paths) only what they declare.
    Test ids are ``implementation/check/case``. Raises UnknownImplementationError and PluginPathError.
    """
    paths = tuple(map(str, plugins))
    registry = discover(map(Path, paths))
    implementations = registry.select(names or registry.from_paths)
    by_name = {implementation.name: implementation for implementation in implementations}
    tests = [
        pytest.param(Conformance(implementation=by_name[task.implementation], task=task, plugins=paths), id=task.id)
        for task in plan(implementations, cases or grid(), checks)
    ]
    broken = [pytest.param(BrokenPlugin(broken=b), id=f"broken/{b.source}") for b in registry.broken]
    return pytest.mark.parametrize("conformance", tests + broken)
