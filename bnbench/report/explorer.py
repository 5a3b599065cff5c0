"""The findings as the data of the page's explorer: small, complete in what did not pass, safe in a script element."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bnbench.cases import CaseError, parse_case
from bnbench.model import CheckInfo, Comparison, Finding, Report, Status
from bnbench.report import digest, words
from bnbench.report.catalogue import check_entry
from bnbench.report.entry import Entry, reflowed
from bnbench.tolerances import band

Intern = Callable[[str], int]


def explanations() -> dict[str, Entry]:
    """What ``bnbench explain CODE`` says, for every check that this version knows."""
    from bnbench.checks import ALL_CHECKS
    from bnbench.mutants import ALL_MUTANTS

    bugs = {mutant.name: mutant.bug for mutant in ALL_MUTANTS}
    return {check.code: check_entry(check, bugs[check.mutant]) for check in ALL_CHECKS}


def explorer_json(report: Report, explained: Mapping[str, Entry]) -> str:
    """All findings as compact ASCII JSON without ``<``, ``>`` and ``&``, to stand inside a script element.

    Every text stands once, in ``texts``, and is elsewhere its index there, with 0 for the empty one. Numbers are
    words already (:mod:`bnbench.report.words`), so that no format of the report rounds in its own way. What
    did not pass has all its comparisons, what passed the one that is nearest to its limit: with all of them a
    full run would not stay below 3 MB.
    """
    texts: dict[str, int] = {"": 0}

    def intern(text: str) -> int:
        return texts.setdefault(words.visible(text, keep="\n\t"), len(texts))

    names, codes = digest.names(report), digest.codes(report)
    groups = [
        _group(group, names.index(group.implementation), codes.index(group.check), intern)
        for group in digest.groups(report)
    ]
    infos = {check.code: check for check in report.checks}
    cases = dict.fromkeys(finding.case for finding in report.findings)
    claims = {finding.check: finding.claim for finding in report.findings}
    data = {
        "implementations": [intern(name) for name in names],
        "checks": [_check(code, infos.get(code), claims.get(code, ""), explained.get(code), intern) for code in codes],
        "statuses": [[status.value, words.GLYPHS[status], digest.SEVERITY.index(status)] for status in Status],
        "cases": [[intern(case), *map(intern, facets(case))] for case in cases],
        "groups": groups,
    }
    text = json.dumps({**data, "texts": list(texts)}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def facets(case: str) -> tuple[str, str]:
    """Dtype and mode of a case id, ("float64", "train"); the norm where it has no modes; empty for another text."""
    try:
        parsed = parse_case(case)
    except CaseError:
        return "", ""
    mode = ("train" if parsed.training else "eval") if parsed.norm == "batch" else parsed.norm
    return parsed.dtype, mode


def _check(code: str, info: CheckInfo | None, claim: str, explained: Entry | None, intern: Intern) -> list[Any]:
    """Code, claim, group, and the titles and texts of its explanation: empty where this version knows it not."""
    sections = explained.sections if explained else ()
    return [
        intern(code),
        intern(info.claim if info else claim),
        intern(info.group if info else ""),
        [[intern(section.title), intern(reflowed(section.text))] for section in sections],
    ]


def _group(group: digest.Group, implementation: int, check: int, intern: Intern) -> list[Any]:
    """Implementation, check, what the commands begin with, and the findings."""
    first = group.findings[0]
    prefix = first.reproduce.removesuffix(first.case)
    return [implementation, check, intern(prefix), [_finding(finding, prefix, intern) for finding in group.findings]]


def _finding(finding: Finding, prefix: str, intern: Intern) -> list[Any]:
    """Status, case, command (0: prefix and case), reason, hint, comparisons; without what is empty at its end."""
    command = 0 if finding.reproduce == prefix + finding.case else intern(finding.reproduce or " ")
    resolved = finding.status in {Status.PASSED, Status.SKIPPED}
    shown = sorted(finding.comparisons, key=words.margin)[-1:] if resolved else finding.comparisons
    row: list[Any] = [list(Status).index(finding.status), intern(finding.case), command]
    row += [intern(words.reason(finding)), intern(finding.hint)]
    row.append([_comparison(c, intern, short=resolved) for c in shown])
    while not row[-1] and len(row) > 3:
        row.pop()
    return row


def _comparison(c: Comparison, intern: Intern, *, short: bool) -> list[int]:
    """Place, distance, limit, within, relative error; and got, expected, band, whether both are zero, note."""
    within = c.error <= c.limit
    if isinstance(c.got, str):
        distance = "as expected" if within else "not as expected"
    else:
        distance = f"{words.number(c.error)} × {c.unit}"
    relative = "" if c.relative is None else words.scientific(c.relative)
    row = [intern(words.shape_of_index(c)), intern(distance), intern(words.number(c.limit)), int(within)]
    row.append(intern(relative))
    if not short:
        got, expected = words.values(c)
        row += [intern(got), intern(expected), intern("" if c.relative is None else band(c.relative))]
        row += [int(c.trivial), intern(c.note)]
    return row
