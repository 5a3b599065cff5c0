"""Assignments as TOML: what is asked for and what it is worth, read strictly and written back.

    name = "cs231n-batchnorm"            kind: cs231n or uw
    [late]                               grace_minutes, percent_per_day, slip_days, latest_days
    [[item]]                             number, title, function, checks, points, outputs, visibility, needs

``points`` at the top is optional and must then be the sum of the items'. ``due`` is a TOML date-time with offset.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from typing import Any, get_args

from bnbench.adapters.cs231n import FUNCTIONS
from bnbench.checks import ALL_CHECKS
from bnbench.diagnose.uw_stages import Stage
from bnbench.grading.model import Assignment, Item, LatePolicy

SHIPPED = ("cs231n-batchnorm", "cs231n-normalization", "uw-batchnorm")
CODES = tuple(check.code for check in ALL_CHECKS)
UW_CHECKS = tuple(f"uw:{stage}" for stage in get_args(Stage))
"""The checks of the kind uw: one stage each, ``uw:forward`` being the layer."""
FORWARD_OUTPUTS = ("y", "running_mean", "running_var")
BACKWARD_OUTPUTS = ("dx", "dgamma", "dbeta")


class AssignmentError(ValueError):
    """A text that is no assignment. The message has one line for each thing that is wrong."""


def read_assignment(text: str) -> Assignment:
    """The assignment that a TOML text states; ``digest`` is that of the text in UTF-8.

    Raises AssignmentError, which says of everything that is wrong where it is, what came and what was expected.
    """
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AssignmentError(f"not TOML: {error}") from error
    if problems := tuple(_unknown_keys(read)):
        raise AssignmentError("\n".join(problems))
    total = read.pop("points", None)
    assignment = _typed(read, hashlib.sha256(text.encode()).hexdigest())
    if problems := tuple(problems_of(assignment)):
        raise AssignmentError("\n".join(problems))
    if total is not None and (type(total) is not int or total != assignment.points):
        raise AssignmentError(f"points: got {total!r}, but the points of the items sum to {assignment.points}")
    return assignment


def write_assignment(assignment: Assignment) -> str:
    """The TOML text that reads back as this assignment, but for its digest, which is that of the text."""
    import tomli_w

    table: dict[str, Any] = {
        **_changed(assignment, leave_out=("items", "late", "digest", "due")),
        "points": assignment.points,
    }
    if assignment.due is not None:
        table["due"] = datetime.fromisoformat(assignment.due)
    if late := _changed(assignment.late):
        table["late"] = late
    table["item"] = [_changed(item) for item in assignment.items]
    return tomli_w.dumps(table)


def shipped_text(name: str) -> str:
    """The TOML of an assignment that comes with bnbench, with its comments. Raises KeyError for another name."""
    if name not in SHIPPED:
        raise KeyError(name)
    return resources.files("bnbench.grading").joinpath("assignments", f"{name}.toml").read_text(encoding="utf-8")


def problems_of(assignment: Assignment) -> Iterator[str]:
    """What is wrong with an assignment though every field has its type: one sentence each."""
    for key in ("name", "title"):
        if not getattr(assignment, key).strip():
            yield f"{key}: empty, expected some words"
    if not assignment.files or any(not name or "/" in name or "\\" in name for name in assignment.files):
        yield f"files: got {list(assignment.files)}, expected at least one file name without folders"
    if assignment.repair_points < 0:
        yield f"repair_points: got {assignment.repair_points}, expected 0 or more: they are taken off"
    yield from _problems_of_late(assignment.late)
    numbers = [item.number for item in assignment.items]
    if not numbers:
        yield "item: none, expected at least one [[item]]"
    for item in assignment.items:
        if numbers.count(item.number) > 1:
            yield f"item {item.number}: there are {numbers.count(item.number)} of this number, expected one"
        yield from (f"item {item.number}: {problem}" for problem in _problems_of_item(item, assignment.kind, numbers))
    if cycle := dependency_cycle(assignment.items):
        yield f"items {' needs '.join(cycle)}: a circle, so that none of them can ever be graded; drop one of the needs"


def dependency_cycle(items: Sequence[Item]) -> tuple[str, ...]:
    """Numbers of items that need each other in a circle, the first again at the end; () if there is none."""
    try:
        TopologicalSorter({item.number: item.needs for item in items}).prepare()
    except CycleError as error:
        return tuple(error.args[1])[::-1]
    return ()


def _problems_of_late(late: LatePolicy) -> Iterator[str]:
    for key in ("grace_minutes", "slip_days", "latest_days"):
        value = getattr(late, key)
        if value is not None and value < 0:
            yield f"late.{key}: got {value}, expected 0 or more"
    if not 0 <= late.percent_per_day <= 100:
        yield f"late.percent_per_day: got {late.percent_per_day}, expected 0 to 100"


def _problems_of_item(item: Item, kind: str, numbers: Sequence[str]) -> Iterator[str]:
    functions = FUNCTIONS if kind == "cs231n" else get_args(Stage)
    if item.function not in functions:
        yield f"function: got {item.function!r}, expected one of {kind}'s; {_suggestion(item.function, functions)}"
    yield from _problems_of_checks(item, kind)
    outputs = outputs_of(item.function) if kind == "cs231n" else ()
    for output in sorted(set(item.outputs).difference(outputs)):
        yield f"outputs: got {output!r}, expected {f'of {list(outputs)}' if outputs else 'none for a stage of uw'}"
    if item.points < 0:
        yield f"points: got {item.points}, expected 0 or more"
    for needed in item.needs:
        if needed not in numbers:
            yield f"needs: got {needed!r}, which is no item; {_suggestion(needed, numbers)}"


def _problems_of_checks(item: Item, kind: str) -> Iterator[str]:
    known = CODES if kind == "cs231n" else UW_CHECKS
    if not item.checks:
        yield f"checks: none, expected at least one, such as {known[0]!r}"
    for check in item.checks:
        if check not in known:
            yield f"checks: got {check!r}, which {kind} does not have; {_suggestion(check, known)}"
        elif kind == "uw" and check != f"uw:{item.function}":
            yield f"checks: got {check!r} in an item about {item.function!r}, expected 'uw:{item.function}'"


def outputs_of(function: str) -> tuple[str, ...]:
    """The outputs of a function of cs231n, in bnbench's names."""
    if "backward" in function:
        return BACKWARD_OUTPUTS
    return FORWARD_OUTPUTS if "batchnorm" in function else ("y",)


def _unknown_keys(read: Mapping[str, Any]) -> Iterator[str]:
    yield from _strangers("", read, [*_names(Assignment, leave_out=("items", "digest")), "points", "item"])
    if isinstance(late := read.get("late"), dict):
        yield from _strangers("late.", late, _names(LatePolicy))
    items = read.get("item", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        yield "item: expected tables, each headed [[item]] in double brackets"
        return
    for place, item in enumerate(items, 1):
        yield from _strangers(f"item {item.get('number', f'no. {place}')}: ", item, _names(Item))


def _strangers(where: str, table: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
    for key in table:
        if key not in known:
            yield f"{where}{key}: there is no such key; {_suggestion(key, known)}"


def _suggestion(got: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"


def _typed(read: dict[str, Any], digest: str) -> Assignment:
    from pydantic import TypeAdapter, ValidationError

    due = read.pop("due", None)
    if due is not None:
        if not isinstance(due, datetime) or due.tzinfo is None:
            raise AssignmentError(
                f"due: got {due!s}, expected a date-time with offset and without quotes: 2026-03-01T23:59:00-08:00"
            )
        due = due.isoformat()
    # Strictly, but from JSON: there a list may become a tuple and a text a member of an enumeration. What JSON does
    # not have (dates, times) becomes its text, and is refused wherever no text belongs.
    record = {**read, "items": read.pop("item", []), "due": due, "digest": digest}
    record.pop("item", None)
    try:
        return TypeAdapter(Assignment).validate_json(json.dumps(record, default=str), strict=True)
    except ValidationError as error:
        numbers = [item.get("number", f"no. {place}") for place, item in enumerate(record["items"], 1)]
        raise AssignmentError("\n".join(_said(found, numbers) for found in error.errors(include_url=False))) from error


def _said(error: Mapping[str, Any], numbers: Sequence[str]) -> str:
    """A finding of pydantic as where, got, expected."""
    path = list(error["loc"])
    where = f"item {numbers[path[1]]}: " if path[:1] == ["items"] and len(path) > 1 else ""
    path = path[2:] if where else path
    name = ".".join(str(part) for part in path)
    if error["type"] == "missing":
        return f"{where}{name}: missing; every {'item' if where else 'assignment'} has one"
    expected = error["msg"].removeprefix("Input should be ")
    return f"{where}{name}: got {error['input']!r}, expected {expected}"


def _names(record: type, *, leave_out: Iterable[str] = ()) -> list[str]:
    return [f.name for f in fields(record) if f.name not in leave_out]


def _changed(record: Any, *, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """The fields that are not as they would be if nothing was said, as TOML has them."""
    return {
        f.name: list(value) if isinstance(value, tuple) else value
        for f in fields(record)
        if f.name not in leave_out and (value := getattr(record, f.name)) != _default(f)
    }


def _default(f: Field[Any]) -> Any:
    return f.default if f.default is not MISSING else None
