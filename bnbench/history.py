"""The result files of asv, read: what each commit has for every benchmark.

Through :mod:`asv.results`, which knows the formats of its versions. What asv stores of a time is one median over
all samples, a 99 % interval and quartiles; with ``--record-samples`` the samples too, in the order in
which they were made, process by process. ``benchmarks.json`` tells how many processes there were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bnbench.changes import LevelStep, steps_between
from bnbench.recorded import Commit, History, Point, RecordedRow

FEWEST_COMMITS = 5
"""With fewer, a level can't be told from a point."""
QUARTILES = 1.349
"""The distance of a normal distribution's quartiles, in standard deviations."""
MISSING = "asv is not installed: pip install 'bnbench[bench]'"


class HistoryError(ValueError):
    """A folder whose results can't be read, or that has none."""


def read_histories(folder: Path) -> tuple[History, ...]:
    """One history for each machine and environment in a results folder of asv; the longest first.

    Raises HistoryError where there is no readable result, or no asv to read it with.
    """
    try:
        from asv import results, util  # type: ignore[import-untyped]
        from asv.benchmarks import Benchmarks  # type: ignore[import-untyped]
    except ImportError as error:
        raise HistoryError(MISSING) from error
    try:
        declared = util.load_json(str(folder / "benchmarks.json"), Benchmarks.api_version)
    except (OSError, util.UserError) as error:
        raise HistoryError(
            f"{folder}: no results of asv ({error}); make some with: asv run --record-samples"
        ) from error
    found: dict[tuple[str, str], list[Any]] = {}
    for result in results.iter_results(str(folder)):
        found.setdefault((result.params["machine"], result.env_name), []).append(result)
    if not found:
        raise HistoryError(f"{folder}: no results of asv; make some with: asv run --record-samples")
    histories = (_history(machine, name, of, declared) for (machine, name), of in found.items())
    return tuple(sorted(histories, key=lambda history: -len(history.commits)))


def _history(machine: str, environment: str, results: Sequence[Any], declared: Mapping[str, Any]) -> History:
    # Dates are the commits' own: commits of the same second stand in the order in which they were measured.
    ordered = sorted(results, key=lambda result: (result.date, min(result.started_at.values(), default=0)))
    rows: dict[RecordedRow, list[Point | None]] = {}
    for place, result in enumerate(ordered):
        for row, point in _points(result, declared):
            rows.setdefault(row, [None] * len(ordered))[place] = point
    return History(
        machine=machine,
        environment=environment,
        commits=tuple(Commit(name=result.commit_hash, date=result.date // 1000) for result in ordered),
        rows={row: tuple(points) for row, points in sorted(rows.items(), key=lambda item: _key(item[0]))},
    )


def _key(row: RecordedRow) -> tuple[str, ...]:
    return row.benchmark, row.case, row.implementation


def _points(result: Any, declared: Mapping[str, Any]) -> Iterator[tuple[RecordedRow, Point]]:
    for name in result.get_all_result_keys():
        params = result.get_result_params(name)
        count = math.prod(map(len, params))
        read = (result.get_result_value, result.get_result_stats, result.get_result_samples)
        columns = [get(name, params) or [None] * count for get in read]
        about = declared.get(name, {})
        version = result.benchmark_version.get(name) or ""
        for texts, value, stats, samples in zip(product(*params), *columns, strict=True):
            yield _row(name, texts, about), _point(value, stats or {}, samples or (), about, version)


def _row(name: str, texts: Sequence[str], about: Mapping[str, Any]) -> RecordedRow:
    # asv stores the repr of a parameter: of a text, with its quotes.
    implementation, *case = [text.strip("'") for text in texts] or [""]
    return RecordedRow(
        benchmark=name, implementation=implementation, case=", ".join(case), unit=about.get("unit") or "unit"
    )


def _point(
    value: float | None, stats: Mapping[str, float], samples: Sequence[float], about: Mapping[str, Any], version: str
) -> Point:
    if value is None:
        return Point(value=math.nan, failed=True, version=version)
    quartiles = (stats.get("q_25", math.nan), stats.get("q_75", math.nan))
    return Point(
        value=value,
        processes=processes(samples, about),
        low=stats.get("ci_99_a", -math.inf),
        high=stats.get("ci_99_b", math.inf),
        spread=(quartiles[1] - quartiles[0]) / QUARTILES / value if value > 0 else math.nan,
        version=version,
    )


def processes(samples: Sequence[float], about: Mapping[str, Any]) -> tuple[float, ...]:
    """The fastest sample of each process, in the order in which they ran: what disturbs a process only adds.

    With a fixed ``repeat`` each process made so many; otherwise the ``rounds`` processes share them evenly. Empty
    where neither divides their number: asv stops early when a benchmark is slow.
    """
    repeat, rounds = about.get("repeat", 0), about.get("rounds", 0)
    each = repeat if isinstance(repeat, int) and repeat > 0 else len(samples) // rounds if rounds else 0
    if each < 1 or len(samples) % each:
        return ()
    return tuple(min(samples[start : start + each]) for start in range(0, len(samples), each))


def steps_of(history: History) -> tuple[LevelStep, ...]:
    """Where the level of a row changed and stayed, over all commits; the latest first. None below five commits.

    The places are those of :func:`asv.step_detect.detect_steps`, a piecewise constant fit with as many steps as pay
    for themselves. Whether a step counts is judged like a change between two commits, here of all processes on
    either side up to the next step.
    """
    from asv.step_detect import detect_steps  # type: ignore[import-untyped]

    if len(history.commits) < FEWEST_COMMITS:
        return ()
    fits = {
        row: [(left, right) for left, right, *_ in detect_steps([p.level if p else None for p in points])]
        for row, points in history.rows.items()
    }
    return steps_between(history, fits)
