"""Pages from ``bnbench explain``: every check, every quantity, the words of reports, the wrong normalizations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bnbench.checks import ALL_CHECKS
from bnbench.glossary import entries
from bnbench.report.entry import Entry, entry_markdown, plain

SAME = "```console\n$ bnbench explain {word}\n```\n"
"""What prints the page in a terminal."""
BUG = "wrong normalization"


def write_words(reference: Path) -> None:
    """Write ``checks/``, ``quantities/``, ``words.md`` and ``mutants.md`` into an empty folder."""
    known = entries()
    groups = {check.code: check.group for check in ALL_CHECKS}
    checks = [entry for entry in known.values() if entry.kind == "check"]
    quantities = [entry for entry in known.values() if entry.kind == "quantity"]
    _folder(
        reference / "checks",
        "Checks",
        CHECKS,
        {g: [c for c in checks if groups[c.word] == g] for g in _in_order(groups)},
    )
    _folder(reference / "quantities", "Quantities", QUANTITIES, {"": quantities})
    words = [entry for entry in known.values() if entry.kind not in {"check", "quantity", BUG}]
    (reference / "words.md").write_text("\n\n".join([WORDS, *map(_definition, sorted(words, key=_folded))]) + "\n")
    bugs = [entry for entry in known.values() if entry.kind == BUG]
    rows = [f"| `{bug.word}` | {plain(bug.lead)} | {_caught(bug)} |" for bug in bugs]
    head = ["| name | what is wrong with it | named by |", "| --- | --- | --- |"]
    (reference / "mutants.md").write_text("\n".join([MUTANTS.format(count=len(bugs)), *head, *rows]) + "\n")


CHECKS = """\
Every check is a claim about every implementation. A report names a check by its code; here is what each claims, the
mathematics of it, what usually breaks it, and the wrong normalization that it is there to catch. `bnbench explain CODE`
prints the same page.
"""
QUANTITIES = """\
The values that a normalization computes on its way, and their gradients, under the names that `bnbench debug` uses
whatever they are called in your file. [The staged graph](../../staged_graph.md) derives them one after the other.
"""
WORDS = """\
# Words in reports

What the words mean that bnbench prints beside numbers: verdicts, outcomes, states, kinds of mistakes, units. Checks and
quantities have [pages](checks/index.md) [of their own](quantities/index.md).
"""
MUTANTS = """\
# Wrong normalizations

The {count} wrong normalizations that the checks are tried on, one bug each
([why](../design/0005-mutants-are-recipes.md)). `bnbench mutants` runs every check on every one.
The last column has the check that is documented by it, where there is one; most are caught by several.
"""


def _in_order(groups: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(groups.values()))


def _folder(folder: Path, title: str, lead: str, sections: Mapping[str, Sequence[Entry]]) -> None:
    folder.mkdir()
    pages = [entry.word for found in sections.values() for entry in found]
    parts = [f"# {title}\n\n{lead}"]
    for heading, found in sections.items():
        if heading:
            parts.append(f"## {heading.capitalize()}\n")
        parts.append("| | |\n| --- | --- |")
        for entry in found:
            text = _linked(entry_markdown(entry), set(pages) - {entry.word})
            (folder / f"{entry.word}.md").write_text(f"{text}\n{SAME.format(word=entry.word)}")
            parts.append(f"| [{plain(entry.word)}]({entry.word}.md) | {plain(entry.lead)} |")
        parts.append("")
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *pages, "```", ""])
    (folder / "index.md").write_text("\n".join([*parts, toctree]))


def _linked(text: str, words: set[str]) -> str:
    """The text with a link where a line is nothing but other entries, such as the checks that come before."""
    lines = text.split("\n")
    return "\n".join(
        ", ".join(f"[{word}]({word}.md)" for word in line.split(", ")) if words.issuperset(line.split(", ")) else line
        for line in lines
    )


def _definition(entry: Entry) -> str:
    if not entry.sections:
        return f"{plain(entry.word)}\n: {plain(entry.lead)} *({plain(entry.remark)})*"
    return "\n".join(
        [
            plain(entry.word),
            *(f": {plain(s.text)} *({plain(s.title[0].lower() + s.title[1:])})*\n" for s in entry.sections),
        ]
    )


def _caught(entry: Entry) -> str:
    codes = next((section.text for section in entry.sections if section.title == "Caught by"), "")
    return ", ".join(f"[{code}](checks/{code}.md)" for code in codes.split(", ") if code)


def _folded(entry: Entry) -> str:
    return entry.word.casefold()
