"""Gradient checkers side by side: which mutants each kills, and which correct implementations each objects to.

**Which mutants.** Those of the bank that are batch norm and whose backward, in train mode, is not the derivative of
their own forward; a wrong forward with a matching backward is not a gradient checker's business
(:func:`bnbench.inconsistency.is_inconsistent`). A case leaves out those that have no effect on its data, and
names them (:func:`bnbench.inconsistency.is_visible`). Neither is found out by any of the rules that compete.

**Which correct implementations.** The registered ones of batch norm, and, on cases of at most VARIANTS_UP_TO
elements, the bank's correct variants: some of these take milliseconds for a call.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from bnbench.cases import case_id, draw, draw_cotangent
from bnbench.inconsistency import is_inconsistent, is_visible
from bnbench.model import Array, Case, Forward
from bnbench.mutants import ALL_MUTANTS, EQUIVALENT, Mutant
from bnbench.registry import Registry
from bnbench.report.words import duration
from bnbench.rules import RULES, Rule
from bnbench.runner import load

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress: TypeAlias = Callable[[int, int, str], None]
"""``progress(done, total, doing)``."""

CASES = (
    Case(shape=(4, 5)),
    Case(shape=(64, 128)),
    Case(shape=(9, 5), mean=1e6),
    Case(shape=(9, 5), sd=1e6),
)
VARIANTS_UP_TO = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One rule with one limit on one case."""

    case: str
    rule: str
    limit: float
    killed: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    """Correct implementations that it objects to."""
    correct: int = 0
    """How many correct implementations it was shown."""
    evaluations: int = 0
    """Forward calls for one verdict, the most over the correct implementations; what it would take if not run."""
    seconds: float = 0.0
    """Median time of one verdict over all subjects."""
    not_run: str = ""
    """Why it was not run; "" if it was."""

    @property
    def perfect(self) -> bool:
        """Whether it kills every mutant and objects to nothing correct."""
        return not (self.not_run or self.survivors or self.alarms)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """Every rule on every case."""

    rows: tuple[Row, ...]
    mutants: tuple[str, ...]
    """All whose backward is not the derivative of their forward."""
    without_effect: Mapping[str, tuple[str, ...]]
    """By case: mutants of these that do not show on its data."""
    correct: tuple[str, ...]
    """The registered implementations and the variants."""


def rivals(
    registry: Registry,
    cases: Sequence[Case] = CASES,
    progress: Progress | None = None,
    *,
    mutants: Iterable[Mutant] = ALL_MUTANTS,
    rules: Sequence[Rule] = RULES,
) -> Rivals:
    """Run every rule on every mutant that counts and every correct implementation, case by case.

    ``cases`` are train-mode batch norm in float64.
    """
    registered = _registered(registry)
    variants = {m.name: cast("Callable[[], Forward]", m.make) for m in EQUIVALENT if m.norm == "batch"}
    makers = {mutant.name: mutant for mutant in mutants if mutant.norm == "batch"}
    counted: dict[str, Mutant] = {}
    rows: list[Row] = []
    without_effect = {}
    steps, done = len(cases) * (len(rules) + 1), 0

    def step(what: str) -> None:
        nonlocal done
        if progress:
            progress(done, steps, what)
        done += 1

    for case in cases:
        step(f"{case_id(case)}: which mutants count")
        wrong = {n: m for n, m in makers.items() if _is_wrong(m, case)}
        counted |= wrong
        visible = {n: m for n, m in wrong.items() if is_visible(cast("Forward", m.make()), case)}
        without_effect[case_id(case)] = tuple(n for n in wrong if n not in visible)
        correct = registered | (variants if np.prod(case.shape) <= VARIANTS_UP_TO else {})
        for rule in rules:
            step(f"{case_id(case)}: {rule.name}")
            rows += _rows(rule, case, visible, correct)
    return Rivals(
        rows=tuple(rows),
        mutants=tuple(counted),
        without_effect=without_effect,
        correct=(*registered, *variants),
    )


def _is_wrong(mutant: Mutant, case: Case) -> bool:
    try:
        return is_inconsistent(cast("Forward", mutant.make()), case)
    except Exception:  # noqa: BLE001 - what raises is seen without a gradient checker
        return False


def _registered(registry: Registry) -> dict[str, Callable[[], Forward]]:
    """The implementations of batch norm that are available, by name, each with what makes it."""
    batch = [i for i in registry.select(()) if i.capabilities.norm == "batch"]
    return {name: partial(_itself, cast("Forward", forward)) for name, forward in load(batch).forwards.items()}


def _itself(forward: Forward) -> Forward:
    return forward


def _rows(
    rule: Rule, case: Case, mutants: Mapping[str, Mutant], correct: Mapping[str, Callable[[], Forward]]
) -> list[Row]:
    """One row for each limit of the rule."""
    if reason := _obstacle(rule, case):
        would_take = rule.evaluations(draw(case)) if rule.evaluations else 0
        return [
            Row(case=case_id(case), rule=rule.name, limit=limit, not_run=reason, evaluations=would_take)
            for limit in rule.limits
        ]
    wrong = {n: _measured(rule, case, cast("Forward", m.make())) for n, m in mutants.items()}
    right = {n: _measured(rule, case, make()) for n, make in correct.items()}
    seconds = float(np.median([m.seconds for m in (*wrong.values(), *right.values())]))
    return [
        Row(
            case=case_id(case),
            rule=rule.name,
            limit=limit,
            killed=tuple(n for n, m in wrong.items() if not m.error <= limit),
            survivors=tuple(n for n, m in wrong.items() if m.error <= limit),
            alarms=tuple(n for n, m in right.items() if not m.error <= limit),
            correct=len(right),
            evaluations=max((m.evaluations for m in right.values()), default=0),
            seconds=seconds,
        )
        for limit in rule.limits
    ]


def _obstacle(rule: Rule, case: Case) -> str:
    """Why the rule is not run on this case, or ""."""
    if rule.requires and importlib.util.find_spec(rule.requires) is None:
        return f"{rule.requires} is not installed"
    size = int(np.prod(case.shape))
    if rule.largest is not None and size > rule.largest:
        return f"beyond {rule.largest:,} elements of x; its Jacobian of y by x alone is {8e-9 * size**2:.2g} GB"
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Measured:
    error: float
    evaluations: int
    seconds: float


def _measured(rule: Rule, case: Case, forward: Forward) -> _Measured:
    """What a rule says of a forward function, which it gets with data of its own."""
    calls = 0

    def counting(*arguments: Array, **options: Any) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        return forward(*arguments, **options)

    inputs, dy = draw(case), draw_cotangent(case)
    start = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            error = rule.measure(cast("Forward", counting), inputs, dy)
    except Exception:  # noqa: BLE001 - what a wrong normalization raises is noticed by whoever runs it
        error = np.inf
    return _Measured(error=error, evaluations=calls, seconds=time.perf_counter() - start)


def _shown(row: Row) -> tuple[str, ...]:
    """Rule, killed, false alarms, evaluations and time of a row, in words."""
    limit = f", limit {row.limit:g}" if row.rule.startswith("textbook") else ""
    if row.not_run:
        return row.rule + limit, "not run", "", f"{row.evaluations:,}" if row.evaluations else "", ""
    return (
        row.rule + limit,
        f"{len(row.killed)} of {len(row.killed) + len(row.survivors)}",
        f"{len(row.alarms)} of {row.correct}",
        f"{row.evaluations:,}",
        duration(row.seconds),
    )


HEADINGS = ("rule", "killed", "false alarms", "evaluations", "time")


def rivals_table(found: Rivals) -> RenderableType:
    """The comparison for a terminal of 80 columns, case by case; what is perfect on a case is bold."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(_headline(found), style="bold")]
    for case, rows in _by_case(found).items():
        table = Table(HEADINGS[0], box=None, pad_edge=False, header_style="dim")
        for heading in HEADINGS[1:]:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*_shown(row), style="bold green" if row.perfect else "")
        parts += [Text(f"\n{case}", style="bold"), table]
        parts += [Text(note, style="dim") for note in _notes(found, case)]
    parts += [Text(""), Text(_perfect_everywhere(found))]
    return Group(*parts)


def rivals_markdown(found: Rivals) -> str:
    """The same as Markdown tables, with who survived."""
    lines = [_headline(found) + "."]
    for case, rows in _by_case(found).items():
        lines += ["", f"### {case}", "", f"| {' | '.join(HEADINGS)} |", "| --- | ---: | ---: | ---: | ---: |"]
        lines += [f"| {' | '.join(_shown(row))} |" for row in rows]
        for note in _notes(found, case):
            lines += ["", note]
    return "\n".join([*lines, "", _perfect_everywhere(found) + "."]) + "\n"


def _headline(found: Rivals) -> str:
    return f"{len(found.mutants)} wrong gradients, {len(found.correct)} correct implementations"


def _notes(found: Rivals, case: str) -> list[str]:
    """What a case's table leaves out, and why."""
    rows = {row.rule: row for row in found.rows if row.case == case and row.not_run}
    notes = [f"{rule} was not run: {row.not_run}." for rule, row in rows.items()]
    if without := found.without_effect[case]:
        notes.append(f"Without effect on this data: {', '.join(without)}.")
    return notes


def _by_case(found: Rivals) -> dict[str, list[Row]]:
    cases: dict[str, list[Row]] = {}
    for row in found.rows:
        cases.setdefault(row.case, []).append(row)
    return cases


def perfect_everywhere(found: Rivals) -> tuple[str, ...]:
    """The rules that, with one of their limits, kill everything and raise no false alarm on every case."""
    imperfect = {(row.rule, row.limit) for row in found.rows if not row.perfect}
    return tuple(dict.fromkeys(row.rule for row in found.rows if (row.rule, row.limit) not in imperfect))


def _perfect_everywhere(found: Rivals) -> str:
    names = ", ".join(perfect_everywhere(found)) or "none"
    return f"Every mutant killed and no false alarm on every case: {names}"
