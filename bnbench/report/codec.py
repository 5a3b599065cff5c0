"""The one format that is read back: a report to strict JSON and back, and the schema of that JSON.

Strict means: no NaN or Infinity tokens (non-finite numbers are the strings "nan", "inf" and "-inf"), every
field present, and nothing accepted on reading that would not be written the same way.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from bnbench.model import Report

SCHEMA = "bnbench.report/1"
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class ReportFormatError(ValueError):
    """A text that is not a report of the schema that this version reads."""


def dump_json(report: Report) -> str:
    """The report as JSON: fields in declared order, mappings sorted, ASCII, one trailing newline."""
    return json.dumps(plain(report), indent=1, allow_nan=False) + "\n"


def parse_json(text: str) -> Report:
    """The report that :func:`dump_json` wrote as ``text``, equal in every bit.

    A field with a default may be missing, so that a field can be added without a new schema. Where a
    number or a text may stand (``got``, ``expected``), "nan", "inf" and "-inf" are always numbers.
    Raises ReportFormatError for anything else that would not be written as it was read: another
    schema, an unknown field, a value of another type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        read = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ReportFormatError(f"not strict JSON: {error}") from error
    if not isinstance(read, dict) or read.get("schema") != SCHEMA:
        found = repr(read.get("schema", "none")) if isinstance(read, dict) else f"a JSON {type(read).__name__}"
        raise ReportFormatError(f"the schema of the report is {found}, expected {SCHEMA!r}")
    try:
        report = _with_numbers(TypeAdapter(Report).validate_python(read))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ReportFormatError(f"{_path(first['loc'])}: {first['msg']}") from error
    if difference := _difference(read, plain(report), ()):
        raise ReportFormatError(difference)
    return report


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what :func:`dump_json` writes."""
    return schema_of(Report, SCHEMA)


def schema_of(record: type, title: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a record that :func:`plain` makes plain."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
    from pydantic_core import core_schema

    class Generate(GenerateJsonSchema):
        """Numbers may be spelled, unknown fields are refused, and names are not repeated as titles."""

        def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
            return {"anyOf": [super().float_schema(schema), {"enum": list(NON_FINITE)}]}

        def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
            return {**super().dataclass_schema(schema), "additionalProperties": False}

        def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
            return False

    schema = TypeAdapter(record).json_schema(mode="serialization", schema_generator=Generate)
    return {"$schema": Generate.schema_dialect, **schema, "title": title}


def dump_schema() -> str:
    """The JSON schema as the text of the published file."""
    return json.dumps(json_schema(), indent=2) + "\n"


def plain(value: Any) -> Any:
    """Records, tuples, mappings and NumPy scalars as what JSON has."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def _with_numbers(report: Report) -> Report:
    """``got`` and ``expected`` that spell a non-finite number are that number."""
    findings = (
        replace(
            finding,
            comparisons=tuple(
                replace(c, got=_number_or_text(c.got), expected=_number_or_text(c.expected))
                for c in finding.comparisons
            ),
        )
        for finding in report.findings
    )
    return replace(report, findings=tuple(findings))


def _number_or_text(value: float | str) -> float | str:
    return NON_FINITE.get(value, value) if isinstance(value, str) else value


def _difference(read: Any, written: Any, path: tuple[str | int, ...]) -> str:
    """What was read that would not be written again; "" if there is nothing."""
    if isinstance(read, dict) and isinstance(written, dict):
        for key, value in read.items():
            if key not in written:
                return f"{_path((*path, key))}: unknown field"
            if difference := _difference(value, written[key], (*path, key)):
                return difference
        return ""
    if isinstance(read, list) and isinstance(written, list):
        pairs = enumerate(zip(read, written, strict=True))
        return next((found for i, (a, b) in pairs if (found := _difference(a, b, (*path, i)))), "")
    if isinstance(read, bool) is isinstance(written, bool) and read == written:
        return ""
    return f"{_path(path)}: {read!r} is not how {written!r} is written"


def _path(parts: tuple[str | int, ...]) -> str:
    """``("findings", 3, "case")`` as ``findings[3].case``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _refuse_constant(token: str) -> float:
    raise ValueError(f"{token} is not a JSON number")
