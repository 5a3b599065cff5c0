"""A report as one page that needs nothing else: it opens from a file, offline, and prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from bnbench.model import Interval, Measurement, Report, Status
from bnbench.report import digest, words
from bnbench.report.charts import Chart, charts
from bnbench.report.entry import Entry
from bnbench.report.explorer import explanations, explorer_json
from bnbench.report.page import environment
from bnbench.report.selftest import head
from bnbench.report.staged_graph import staged_svg
from bnbench.tolerances import BANDS, band

TICKS = tuple(mantissa * 10.0**exponent for exponent in range(-6, 7) for mantissa in (1, 2, 5))


def render_html(report: Report) -> str:
    """The whole report as one HTML document with inline styles, script and drawings."""
    return render_page(report, charts(report), explanations())


def render_page(report: Report, drawings: Sequence[Chart], explained: Mapping[str, Entry]) -> str:
    """The page around given drawings and explanations of checks: the same bytes wherever it is rendered."""
    from markupsafe import Markup

    page = environment()
    page.filters |= {
        "number": words.number,
        "three_digits": words.three_digits,
        "scientific": words.scientific,
        "optional": words.optional,
        "duration": words.duration,
        "interval": words.interval,
        "margin": words.margin,
        "band": band,
        "band_class": band_class,
        "direction": direction,
        "query": query,
    }
    groups = digest.groups(report)
    return page.get_template("index.html.j2").render(
        report=report,
        headline=digest.headline(report),
        tone=tone(report),
        facts=facts(report),
        selftest=head(report.selftest) if report.selftest else "",
        totals=digest.totals(report.findings),
        overviews=digest.overviews(report),
        names=digest.names(report),
        codes=digest.codes(report),
        checks={check.code: check for check in report.checks},
        groups=groups,
        troubled={group.check for group in groups if group.unresolved},
        cells={(group.implementation, group.check): group for group in groups},
        errors=digest.relative_errors(report),
        operations=digest.timings(report),
        axis=ratio_axis(report.measurements),
        drawings=[(drawing, Markup(drawing.svg)) for drawing in drawings],  # noqa: S704 - escaped by what draws it
        staged=Markup(staged_svg(report)) if report.staged_errors else "",  # noqa: S704 - of our own template
        data=Markup(explorer_json(report, explained)),  # noqa: S704 - has no character that HTML reads
        environment=words.environment(report.environment),
        capabilities=words.capabilities,
        Status=Status,
        GLYPHS=words.GLYPHS,
        MEANINGS=words.MEANINGS,
        OPERATIONS=words.OPERATIONS,
        BANDS=BANDS,
    )


def facts(report: Report) -> tuple[tuple[str, str, str], ...]:
    """What the summary says at once: a name, a value, and what is worth knowing beside it."""
    verified = [overview for overview in digest.overviews(report) if overview.counts]
    cases = len({finding.case for finding in report.findings})
    made = report.environment
    python, *versions = (f"Python {made.python}", *(f"{name} {made.versions[name]}" for name in sorted(made.versions)))
    return (
        (
            "verified",
            f"{_count(len(verified), 'implementation')}, {_count(len(digest.codes(report)), 'check')}",
            f"{_count(len(report.findings), 'finding')} on {_count(cases, 'case')}",
        ),
        (
            "timed",
            _count(len(report.measurements), "row") if report.measurements else "nothing",
            f"{_count(len(report.untimed), 'row')} not timed, with the reason" if report.untimed else "",
        ),
        ("on", made.cpu, f"{_count(made.cores, 'core')}, {_count(made.threads, 'thread')} each; {made.platform}"),
        ("with", python, ", ".join(versions)),
    )


def _count(number: int, noun: str) -> str:
    """``1 case``, ``5,298 findings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def query(value: str) -> str:
    """Text as a value within the address of a page, as the page shows it (:func:`bnbench.report.words.visible`)."""
    return quote(words.visible(value, keep="\n\t"), safe="")


@dataclass(frozen=True, kw_only=True, slots=True)
class RatioAxis:
    """A logarithmic axis of ratios that holds 1 and every interval."""

    low: float
    high: float

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round numbers on the axis, 1 among them: powers of ten only where 1, 2, 5 would crowd."""
        inside = [tick for tick in TICKS if self.low <= tick <= self.high]
        powers = [tick for tick in inside if float(f"{tick:.0e}"[0]) == 1]
        return tuple(inside if len(inside) <= 6 else powers)

    def place(self, ratio: float) -> float:
        """Percent of the axis from its left end; a ratio beyond it stands at the end."""
        if math.isnan(ratio):
            return self.place(1.0)
        within = min(max(ratio, self.low), self.high)
        return round(100 * math.log(within / self.low) / math.log(self.high / self.low), 2)


def ratio_axis(measurements: Iterable[Measurement]) -> RatioAxis:
    """The axis from the round number below the smallest finite ratio to the one above the largest."""
    ratios = [1.0]
    for measurement in measurements:
        bounds = (measurement.ratio.median, measurement.ratio.low, measurement.ratio.high)
        ratios += (bound for bound in bounds if TICKS[0] <= bound <= TICKS[-1])
    low = max((tick for tick in TICKS if tick < min(ratios)), default=TICKS[0] / 2)
    high = min((tick for tick in TICKS if tick > max(ratios)), default=TICKS[-1] * 2)
    return RatioAxis(low=low, high=high)


def direction(ratio: Interval) -> str:
    """``faster``, ``slower`` or ``unresolved``: a difference counts when the interval leaves out 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "unresolved"


def tone(report: Report) -> str:
    """``bad`` when an implementation did not pass, ``odd`` when the harness is at fault or saw nothing, or ``good``."""
    counts = digest.totals(report.findings)
    if Status.FAILED in counts or Status.ERRORED in counts:
        return "bad"
    return "odd" if Status.VACUOUS in counts or report.broken or Status.PASSED not in counts else "good"


def band_class(relative: float) -> str:
    """``band0`` (comfortable) to ``band3`` (wrong)."""
    return f"band{next((i for i, (end, _) in enumerate(BANDS) if relative <= end), len(BANDS))}"
