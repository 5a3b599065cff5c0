"""A report as one page that needs nothing else: it opens from a file, offline, and prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bnbench.model import Comparison, Finding, Interval, Measurement, Report, Status
from bnbench.report import charts, digest, words
from bnbench.report.charts import Chart, throughput_charts
from bnbench.report.staged_graph import staged_svg
from bnbench.tolerances import BANDS, band

IN_FULL = 3
"""How many findings of one check are shown with all their evidence; the next have one line each."""
IN_SHORT = 9
"""How many of those there are at most, the worst first: the page stays below 3 MB."""
TICKS = tuple(mantissa * 10.0**exponent for exponent in range(-6, 7) for mantissa in (1, 2, 5))


def render_html(report: Report) -> str:
    """The whole report as one HTML document with inline styles, script and drawings."""
    return render_page(report, throughput_charts(report))


def render_page(report: Report, drawings: Sequence[Chart]) -> str:
    """The page around given drawings: the same bytes wherever it is rendered."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def show(value: Any) -> Any:
        return words.visible(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("bnbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=show,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": words.number,
        "three_digits": words.three_digits,
        "scientific": words.scientific,
        "duration": words.duration,
        "interval": words.interval,
        "margin": words.margin,
        "place": words.shape_of_index,
        "values": words.values,
        "band": band,
        "band_class": band_class,
        "direction": direction,
    }
    return environment.get_template("index.html.j2").render(
        report=report,
        headline=digest.headline(report),
        tone=tone(report),
        totals=digest.totals(report.findings),
        overviews=digest.overviews(report),
        names=digest.names(report),
        codes=digest.codes(report),
        checks={check.code: check for check in report.checks},
        groups=digest.groups(report),
        cells={(group.implementation, group.check): (i, group) for i, group in enumerate(digest.groups(report))},
        errors=digest.relative_errors(report),
        operations=digest.timings(report),
        axis=ratio_axis(report.measurements),
        drawings=[(drawing.title, Markup(drawing.svg)) for drawing in drawings],  # noqa: S704 - made of our numbers
        symbols=charts.symbols(report),
        staged=Markup(staged_svg(report)) if report.staged_errors else "",  # noqa: S704 - of our own template
        environment=words.environment(report.environment),
        capabilities=words.capabilities,
        worst=worst,
        Status=Status,
        GLYPHS=words.GLYPHS,
        MEANINGS=words.MEANINGS,
        OPERATIONS=words.OPERATIONS,
        BANDS=BANDS,
        IN_FULL=IN_FULL,
        IN_SHORT=IN_SHORT,
    )


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


def worst(finding: Finding) -> Comparison | None:
    """The comparison that is nearest to its limit, or furthest beyond."""
    return max(finding.comparisons, key=words.margin, default=None)
