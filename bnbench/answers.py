"""What the commands print with --json: a record for every schema, and the JSON schema of them all.

A command prints with :func:`bnbench.console.emit` the name of the schema and the fields of its record.
``docs/answers.schema.json`` is written from :func:`records`; a test validates what every command prints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from typing import Any

from bnbench.model import Broken, Environment, ImplementationInfo, SelfTest
from bnbench.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """``bnbench list``."""

    implementations: tuple[ImplementationInfo, ...]
    broken: tuple[Broken, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """Something that has a name, and a line about it."""

    name: str
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """``bnbench explain`` without a word."""

    words: tuple[Named, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiments:
    """``bnbench train --list``."""

    experiments: tuple[Named, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignments:
    """``bnbench assignment list``."""

    assignments: tuple[Named, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GradeSet:
    """One set of grades of a class."""

    name: str
    counts: bool
    discarded: bool
    summary: str
    reason: str
    """Why it was graded again; "" for the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradeSets:
    """``bnbench regrade list`` and ``discard``."""

    sets: tuple[GradeSet, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Autograder:
    """``bnbench gradescope build``."""

    file: str
    bytes: int


def listed(registry: Registry) -> Listing:
    """Every implementation, whether it can be loaded, and every broken plugin."""
    infos = [
        ImplementationInfo(
            name=each.name,
            summary=each.summary,
            capabilities=each.capabilities,
            available=not (reason := registry.missing(each)),
            reason=reason,
        )
        for each in registry.implementations.values()
    ]
    return Listing(implementations=tuple(infos), broken=registry.broken)


def records() -> Mapping[str, type]:
    """Every schema that no page of its own describes, with the record whose fields it has."""
    from bnbench.calibration import Calibration
    from bnbench.comparison import RunComparison
    from bnbench.exactness import Exactness
    from bnbench.grading.lint import Complaint
    from bnbench.grading.model import Assignment, Grade
    from bnbench.grading.results import Change
    from bnbench.mutants.score import MutationScore
    from bnbench.networks import NetworkCheck
    from bnbench.report.doctor import Diagnosis
    from bnbench.report.entry import Entry
    from bnbench.report.history import TrendAnswer
    from bnbench.report.roofline import Roofline
    from bnbench.report.scale import Scale
    from bnbench.report.selftest import Summary
    from bnbench.rivals import Rivals
    from bnbench.sandbox.tiers import Isolation
    from bnbench.vcurve import VCurve

    return {
        "bnbench.assignment/1": Assignment,
        "bnbench.assignments/1": Assignments,
        "bnbench.autograder/1": Autograder,
        "bnbench.calibration/1": Calibration,
        "bnbench.comparison/1": RunComparison,
        "bnbench.doctor/1": Diagnosis,
        "bnbench.exact/1": _with("Exact", rows=tuple[Exactness, ...]),
        "bnbench.experiments/1": Experiments,
        "bnbench.grade/1": Grade,
        "bnbench.history/1": TrendAnswer,
        "bnbench.isolation/1": Isolation,
        "bnbench.kernels/1": Roofline,
        "bnbench.lint/1": _with("Lint", assignment=str, complaints=tuple[Complaint, ...]),
        "bnbench.list/1": Listing,
        "bnbench.mutants/1": MutationScore,
        "bnbench.network/1": NetworkCheck,
        "bnbench.regrade/1": _with("Regrade", before=str, after=str, changes=tuple[Change, ...]),
        "bnbench.rivals/1": Rivals,
        "bnbench.scale/1": Scale,
        "bnbench.selftest/1": _with(
            "SelfTested",
            environment=Environment,
            selftest=SelfTest,
            all=Summary,
            by_size=Mapping[str, Summary],
            at_fault=str,
        ),
        "bnbench.sets/1": GradeSets,
        "bnbench.vcurve/1": VCurve,
        "bnbench.word/1": Entry,
        "bnbench.words/1": Words,
    }


def _with(name: str, **fields: Any) -> type:
    return make_dataclass(name, fields.items(), frozen=True, kw_only=True)


def dump_schema() -> str:
    """The JSON schema (draft 2020-12) of all answers, as the text of the published file."""
    from bnbench.report.codec import schema_of

    alternatives: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for name, record in records().items():
        schema = schema_of(record, name)
        definitions |= schema.pop("$defs", {})
        schema.pop("$schema")
        schema["properties"] = {"schema": {"const": name}, **schema["properties"]}
        schema["required"] = sorted({"schema", *schema["properties"]})
        alternatives.append(schema)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    whole = {
        "$schema": dialect,
        "title": "What bnbench prints with --json",
        "oneOf": alternatives,
        "$defs": definitions,
    }
    return json.dumps(whole, indent=1) + "\n"
