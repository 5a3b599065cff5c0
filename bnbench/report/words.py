"""Words for a reader: numbers, durations and evidence as one line of text, in every human format the same."""

from __future__ import annotations

import math

from bnbench.model import Comparison, Environment, Finding, ImplementationInfo, Interval, Status
from bnbench.tolerances import band

GLYPHS = {
    Status.PASSED: "✓",
    Status.FAILED: "✗",
    Status.ERRORED: "!",
    Status.SKIPPED: "–",
    Status.VACUOUS: "○",
}
MEANINGS = {
    Status.PASSED: "every comparison is within its limit",
    Status.FAILED: "a comparison is beyond its limit",
    Status.ERRORED: "the implementation raised, or nothing could be measured",
    Status.SKIPPED: "does not apply, for the reason given",
    Status.VACUOUS: "both sides are zero, so that their agreement proves nothing",
}
OPERATIONS = {
    "forward_train": "forward, train mode",
    "forward_eval": "forward, eval mode",
    "backward": "backward",
}


def visible(text: str, *, keep: str = "") -> str:
    r"""Replace characters that would act rather than show by their escapes.

    Controls can move a cursor, bidirectional marks reorder a line, and a lone surrogate can't be
    written to a file. ``keep`` names those that are wanted, a line break for instance.

    >>> visible("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def number(value: float) -> str:
    """At most three significant digits: ``32``, ``0.25``, ``2.6e+07``, ``nan``."""
    return f"{value:.3g}"


def three_digits(value: float) -> str:
    """Always three significant digits, so that a column of them lines up: ``3.20``, ``0.0500``, ``107``."""
    return f"{value:#.3g}".rstrip(".")


def scientific(value: float) -> str:
    """A relative error as courses write it: ``3.2e-09``, ``0``, ``nan``."""
    return f"{value:.1e}" if value != 0 else "0"


def optional(value: float | None) -> str:
    """The same; "" for what was not measured."""
    return "" if value is None else scientific(value)


def duration(seconds: float) -> str:
    """Seconds with the unit that leaves one to three digits before the point.

    >>> duration(1.234e-05), duration(0.25), duration(4e-10)
    ('12.3 µs', '250 ms', '0.400 ns')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        # Rounded first: 999.6 µs is 1 ms at three digits.
        if not math.isfinite(seconds) or float(number(seconds / size)) >= 1:
            return f"{three_digits(seconds / size)} {unit}"
    return f"{three_digits(seconds / 1e-9)} ns"


def interval(value: Interval) -> str:
    """``2.50 [2.41, 2.58]``: a median and its interval."""
    return f"{_ratio(value.median)} [{_ratio(value.low)}, {_ratio(value.high)}]"


def _ratio(value: float) -> str:
    # Two decimals show a difference of a percent; a ratio of 0.001 or of 1000 needs digits instead.
    return f"{value:.2f}" if 0.1 <= value < 100 else number(value)


def shape_of_index(comparison: Comparison) -> str:
    """``dx[3, 1]``: the quantity and where its largest error is."""
    if comparison.index is None:
        return comparison.quantity
    return f"{comparison.quantity}[{', '.join(map(str, comparison.index))}]"


def values(comparison: Comparison) -> tuple[str, str]:
    """Got and expected, with as many digits as it takes to tell them apart."""
    got, expected = comparison.got, comparison.expected
    short = tuple(value if isinstance(value, str) else f"{value:.9g}" for value in (got, expected))
    if short[0] == short[1] and got != expected:
        return str(got), str(expected)
    return short[0], short[1]


def evidence(comparison: Comparison) -> str:
    """``dx[3, 1] is 0.5, expected 0.25: 1.2e+06 × noise units (z) (limit 32)``."""
    got, expected = values(comparison)
    text = f"{shape_of_index(comparison)} is {got}, expected {expected}"
    if comparison.trivial and comparison.error <= comparison.limit:
        return f"{comparison.quantity} is zero on both sides"
    if isinstance(comparison.got, str):
        return text  # a fact holds or does not: it has no distance
    return f"{text}: {number(comparison.error)} × {comparison.unit} (limit {number(comparison.limit)})"


def relative(value: float) -> str:
    """``3.2e-09 (comfortable)``: a relative error with the courses' word for it."""
    return f"{scientific(value)} ({band(value)})"


def margin(comparison: Comparison) -> float:
    """The error as a share of its limit: above 1 fails. Infinite where a limit of 0 is not met."""
    if math.isnan(comparison.error) or math.isnan(comparison.limit):
        return math.inf
    if comparison.limit == 0:
        return 0.0 if comparison.error <= 0 else math.inf
    return comparison.error / comparison.limit


def telling(finding: Finding) -> tuple[Comparison, ...]:
    """The comparisons that made the verdict: those beyond their limit, else those between zeros, else all."""
    beyond = tuple(c for c in finding.comparisons if not c.error <= c.limit)
    trivial = tuple(c for c in finding.comparisons if c.trivial)
    return beyond or trivial or finding.comparisons


def capabilities(info: ImplementationInfo) -> str:
    """``float32, float64; 2 to 5 dimensions; kept variance ddof 0``, or which norm it is in place of the variance."""
    declared = info.capabilities
    ranks = ", ".join(map(str, declared.ranks))
    if len(declared.ranks) > 2 and declared.ranks == tuple(range(declared.ranks[0], declared.ranks[-1] + 1)):
        ranks = f"{declared.ranks[0]} to {declared.ranks[-1]}"
    kind = f"kept variance ddof {declared.running_var_ddof}" if declared.norm == "batch" else f"{declared.norm} norm"
    text = f"{', '.join(declared.dtypes)}; {ranks} dimensions; {kind}"
    text = text if declared.validates else f"{text}; does not validate its arguments"
    return text if declared.eval_vjp else f"{text}; no backward in eval mode"


def environment(environment: Environment) -> tuple[tuple[str, str], ...]:
    """What the report was made on, as names and values."""
    cores = "1 core" if environment.cores == 1 else f"{environment.cores} cores"
    threads = "1 thread" if environment.threads == 1 else f"{environment.threads} threads"
    return (
        ("made", environment.created),
        ("bnbench", environment.bnbench),
        ("Python", environment.python),
        ("platform", environment.platform),
        ("processor", f"{environment.cpu}, {cores}, {threads} for each implementation"),
        ("allocator", environment.allocator),
        *((name, environment.versions[name]) for name in sorted(environment.versions)),
    )


def reason(finding: Finding) -> str:
    """The reason, unless it only says in short what the evidence below it says in full."""
    return "" if finding.status is Status.FAILED and finding.comparisons else finding.reason
