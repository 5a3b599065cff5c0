"""What a student sees of one grade: the same words in a terminal, in Markdown and in HTML.

Hidden items are counted and never named. What stands in a grade can come from the submission: it is shown, and
never acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from bnbench.grading.model import Grade, ItemResult, Outcome, Visibility
from bnbench.report.markdown import code, console, prose
from bnbench.report.page import environment
from bnbench.report.words import visible

if TYPE_CHECKING:
    from jinja2 import Template
    from rich.console import RenderableType

LONGEST = 2000
"""Characters of one text; a traceback of a recursion has more."""

Tone: TypeAlias = Literal["good", "bad", "odd", "dim"]


class Mark(NamedTuple):
    """One outcome for a student."""

    word: str
    tone: Tone
    sentence: str
    """What to say where the grade says nothing more."""


MARKS = {
    Outcome.PASSED: Mark("ok", "good", ""),
    Outcome.FAILED: Mark("FAIL", "bad", "the result is wrong"),
    Outcome.PARTIAL: Mark("part", "odd", "some of it is right"),
    Outcome.ERROR: Mark("ERROR", "bad", "the function raised an exception"),
    Outcome.CRASHED: Mark("CRASH", "bad", "the program died before it answered"),
    Outcome.TIMEOUT_CPU: Mark("TIME", "bad", "it used up its computing time"),
    Outcome.TIMEOUT_WALL: Mark("TIME", "bad", "it did not answer in time"),
    Outcome.MEMORY: Mark("MEMORY", "bad", "it asked for more memory than there is"),
    Outcome.PROTOCOL: Mark("REPLY", "bad", "what came back was no answer to what was asked"),
    Outcome.COMPILE_ERROR: Mark("BUILD", "bad", "it does not compile"),
    Outcome.UNIMPLEMENTED: Mark("todo", "odd", "not implemented yet"),
    Outcome.MISSING: Mark("none", "bad", "the function is not in the file"),
    Outcome.NOT_SUBMITTED: Mark("none", "dim", "nothing was handed in"),
    Outcome.SKIPPED: Mark("skip", "dim", "not run: something it needs did not pass"),
    Outcome.GRADER_ERROR: Mark("later", "odd", "the grader had trouble, not you: it will be graded again"),
}
STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "odd": "yellow", "dim": "dim"}
UNPOINTED = {Outcome.SKIPPED, Outcome.GRADER_ERROR}


class Detail(NamedTuple):
    """One thing to say about an item. ``label`` is empty for the sentence that leads."""

    label: Literal["", "expected", "got", "where", "hint", "try"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownItem:
    """An item as a student sees it."""

    mark: Mark
    number: str
    title: str
    score: str
    details: tuple[Detail, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentView:
    """All the words there are; the renderers only lay them out. Every text may be shown as it is."""

    headline: str
    score: str
    """Of the items shown: the difference to the grade is what hidden ones came to, and not told."""
    items: tuple[ShownItem, ...]
    remarks: tuple[str, ...]
    hidden: tuple[str, ...]
    isolation: str


def view(grade: Grade, *, after_due: bool = False) -> StudentView:
    """What to show; ``after_due`` reveals the items that wait for the due date."""
    shown, hidden = split(grade, after_due=after_due)
    reached, most = sum(result.points for result in shown), sum(result.max_points for result in shown)
    unenforced = ", ".join(grade.isolation.not_enforced)
    return StudentView(
        headline=(
            f"bnbench: {text(grade.assignment)} "
            f"(submission {text(grade.submission[:6])}, isolation {text(grade.isolation.tier)})"
        ),
        score="no grade yet" if grade.points is None else f"{reached} / {most}",
        items=tuple(
            ShownItem(
                mark=MARKS[result.outcome],
                number=text(result.number),
                title=text(result.title),
                score=score(result),
                details=details(result),
            )
            for result in shown
        ),
        remarks=tuple(map(text, grade.remarks)),
        hidden=tuple(_hidden(hidden)),
        isolation=text(f"not enforced by isolation {grade.isolation.tier}: {unenforced}") if unenforced else "",
    )


def split(grade: Grade, *, after_due: bool = False) -> tuple[tuple[ItemResult, ...], tuple[ItemResult, ...]]:
    """The results that a student may see, and those that are only counted."""
    seen = {Visibility.VISIBLE, Visibility.AFTER_DUE_DATE} if after_due else {Visibility.VISIBLE}
    shown = tuple(result for result in grade.results if result.visibility in seen)
    return shown, tuple(result for result in grade.results if result.visibility not in seen)


def details(result: ItemResult) -> tuple[Detail, ...]:
    """What there is to say of one item, most important first."""
    found = (
        Detail("", text(result.what or MARKS[result.outcome].sentence)),
        Detail("expected", text(result.expected)),
        Detail("got", text(result.got)),
        Detail("where", "" if result.line is None else f"line {result.line}"),
        Detail("hint", text(result.hint)),
        Detail("try", visible(result.reproduce[:LONGEST])),
    )
    return tuple(detail for detail in found if detail.text)


def plain(result: ItemResult) -> str:
    """The details as lines of plain text."""
    return "\n".join(f"{label}: {said}" if label else said for label, said in details(result))


def score(result: ItemResult) -> str:
    """``4/4``; ``-/2`` for what was not run."""
    return f"{'-' if result.outcome in UNPOINTED else result.points}/{result.max_points}"


def text(given: str) -> str:
    """Text that may come from a submission, so that it shows and does nothing; the end of a long one is left out."""
    return visible(given if len(given) <= LONGEST else f"{given[:LONGEST]}…", keep="\n\t")


def _hidden(results: tuple[ItemResult, ...]) -> Iterator[str]:
    for visibility, when in (
        (Visibility.AFTER_DUE_DATE, "shown after the due date"),
        (Visibility.HIDDEN, "counted, not shown"),
    ):
        of_it = [result.max_points for result in results if result.visibility is visibility]
        if of_it:
            checks = "1 hidden check" if len(of_it) == 1 else f"{len(of_it)} hidden checks"
            yield f"{checks}, worth {sum(of_it)} point{'s'[: sum(of_it) != 1]}: {when}"


def terminal(grade: Grade, *, after_due: bool = False) -> RenderableType:
    """What ``console.print(..., crop=False)`` shows. No text of it is read as markup."""
    from rich.console import Group
    from rich.text import Text

    seen = view(grade, after_due=after_due)
    lines = [_terminal_line("", seen.headline, seen.score, style="bold")]
    for item in seen.items:
        lines.append(_terminal_line(item.mark.word, f"{item.number} {item.title}", item.score, item.mark.tone))
        lines += [_terminal_detail(detail) for detail in item.details]
    lines += [_terminal_line("", sentence, "", "dim") for sentence in seen.hidden]
    lines += [Text(remark) for remark in (*seen.remarks, seen.isolation) if remark]
    return Group(*lines)


def _terminal_line(word: str, said: str, points: str, tone: Tone | None = None, *, style: str = "") -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1), expand=True)
    if tone:
        line.add_column(width=6)
    line.add_column(ratio=1, overflow="fold")
    line.add_column(justify="right", no_wrap=True)
    cells = [Text(said, style=style), Text(points, style=style)]
    line.add_row(*([Text(word, style=STYLES[tone])] if tone else []), *cells)
    return line


def _terminal_detail(detail: Detail) -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    if detail.label == "try":
        # On one line, however long: wrapped, it could not be copied.
        return Text(f"          $ {detail.text}", style="bold", no_wrap=True, overflow="ignore")
    said = f"{detail.label}: {detail.text}" if detail.label else detail.text
    return Padding(Text(said), (0, 0, 0, 10), expand=False)


def markdown(grade: Grade, *, after_due: bool = False) -> str:
    """As GitHub Markdown: the items in a list, each with its details beneath."""
    seen = view(grade, after_due=after_due)
    parts = [f"### {prose(seen.headline)}", f"**{seen.score}**"]
    parts += [_markdown_item(item) for item in seen.items]
    parts += [f"*{prose(sentence)}*" for sentence in seen.hidden]
    parts += [prose(remark) for remark in (*seen.remarks, seen.isolation) if remark]
    return "\n\n".join(parts) + "\n"


def _markdown_item(item: ShownItem) -> str:
    lines = [f"- **{item.mark.word}** {prose(item.number)} {prose(item.title)} — {item.score}"]
    for label, said in item.details:
        if label == "try":
            lines += ["", *(f"  {line}" for line in console(said).split("\n"))]
        elif label in {"expected", "got"}:
            lines += ["", f"  {label}: {code(said)}"]
        else:
            lines += ["", f"  {label}: {prose(said)}" if label else f"  {prose(said)}"]
    return "\n".join(lines)


def html(grade: Grade, *, after_due: bool = False) -> str:
    """One page that needs nothing else and runs nothing."""
    return _page().render(view=view(grade, after_due=after_due))


@cache
def _page() -> Template:
    # Once for a whole class: compiling it takes longer than everything else of a page.
    return environment("bnbench.grading").get_template("student.html.j2")
