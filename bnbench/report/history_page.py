"""The history as one page that needs nothing else: it opens from a file, offline, and prints."""

from __future__ import annotations

import json

import numpy as np

from bnbench.changes import Changes, ChangeVerdict, Trend
from bnbench.report import words
from bnbench.report.charts.history import history_charts
from bnbench.report.charts.style import PARTNERS, SERIES
from bnbench.report.history import GLYPHS, MEANINGS, amount, counted, counts, headline, remarks, short, span, word
from bnbench.report.page import environment

TONES = {
    ChangeVerdict.LOST: "errored",
    ChangeVerdict.REGRESSION: "failed",
    ChangeVerdict.UNRESOLVED: "vacuous",
    ChangeVerdict.INCOMPARABLE: "skipped",
    ChangeVerdict.IMPROVEMENT: "passed",
    ChangeVerdict.GAINED: "passed",
    ChangeVerdict.STEADY: "skipped",
}
"""The classes of the style sheet: the colours of statuses that are as good or bad."""


def history_html(trend: Trend) -> str:
    """The latest change, that over all commits, the steps, and a line per implementation over the commits."""
    from markupsafe import Markup

    page = environment()
    page.filters |= {"amount": amount, "interval": words.interval, "three_digits": words.three_digits, "word": word}
    drawings = [
        # The charts are made of our numbers; names are escaped by what draws them.
        {"benchmark": benchmark, "case": case, "names": json.dumps(names), "svg": Markup(chart.svg)}  # noqa: S704
        for benchmark, case, names, chart in history_charts(trend.history)
    ]
    measured = [row for row, points in trend.history.rows.items() if any(p is not None and p.measured for p in points)]
    return page.get_template("history.html.j2").render(
        headline=headline(trend.latest),
        tone=tone(trend.latest),
        trend=trend,
        tables=tables(trend),
        drawings=drawings,
        benchmarks=sorted({row.benchmark for row in measured}),
        implementations=sorted({row.implementation for row in measured}),
        cases=sorted({row.case for row in measured}),
        colours=json.dumps([f"light-dark({colour}, {PARTNERS[colour]})" for colour in SERIES]),
        dates=[str(np.datetime64(commit.date, "s")).replace("T", " ") for commit in trend.history.commits],
        counts=counts,
        counted=counted,
        remarks=remarks,
        short=short,
        ChangeVerdict=ChangeVerdict,
        GLYPHS=GLYPHS,
        MEANINGS=MEANINGS,
        TONES=TONES,
    )


def tables(trend: Trend) -> list[tuple[str, Changes]]:
    """The changes that the page lists, each under its title; one where there are but two commits."""
    latest = (f"What changed {span(trend.latest)}", trend.latest)
    if len(trend.history.commits) == 2:
        return [latest]
    return [latest, (f"Over all {len(trend.history.commits)} commits, {span(trend.overall)}", trend.overall)]


def tone(changes: Changes) -> str:
    """``bad`` with a regression or a loss, ``odd`` where nothing could be compared, else ``good``."""
    if changes.of(ChangeVerdict.REGRESSION) or changes.of(ChangeVerdict.LOST):
        return "bad"
    return "good" if changes.changes else "odd"
