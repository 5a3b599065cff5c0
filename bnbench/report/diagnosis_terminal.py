"""A diagnosis for a terminal of 80 columns: states first, then what is wrong, then the source with its margins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bnbench.report.diagnosis import TONES, ShownDiagnosis, ShownFinding, ShownLayer, ShownLine, Tone
from bnbench.report.graph import SIGNS
from bnbench.report.words import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES: dict[Tone, str] = {"good": "green", "bad": "bold red", "odd": "yellow", "dim": "dim"}
MARKS = {"right": "ok", "wrong": "WRONG", "follows": "follows", "unknown": "", "": ""}
"""What the margin of a source line says."""
LINE_STYLES = {"wrong": "bold red", "follows": "yellow", "right": "", "unknown": "", "": "dim"}
WIDTH, NOTE_AT = 80, 23
"""Columns that a source line and its note must share; the note is put below where they can't, so far to the right."""


def diagnosis_summary(shown: ShownDiagnosis) -> RenderableType:
    """What ``console.print(..., crop=False)`` shows of a diagnosis. No text of it is read as markup."""
    from rich.console import Group

    return Group(*_parts(shown))


def _parts(shown: ShownDiagnosis) -> Iterator[RenderableType]:
    yield _text(shown.headline, style="bold")
    for remark in shown.remarks:
        yield _prose(remark, style="dim")
    for layer in shown.layers:
        yield from _layer(layer)


def _layer(layer: ShownLayer) -> Iterator[RenderableType]:
    yield _rule(layer.name)
    for function in layer.functions:
        tone = TONES.get(function.state, "odd")
        where = "" if function.line is None else f", line {function.line}"
        yield _prose(f"{function.state}  {function.name}{where}: {function.sentence}", style=STYLES[tone])
    if layer.note:
        yield _prose(layer.note)
    for number, finding in enumerate(layer.findings, start=1):
        yield _text("")
        yield from _finding(finding, number if len(layer.findings) > 1 else None)
    if layer.lines:
        yield _text("")
        yield _text("Every line that computes something, in train mode", style="dim")
        for line in layer.lines:
            yield from _line(line)
    yield _text("")


def _finding(finding: ShownFinding, number: int | None) -> Iterator[RenderableType]:
    count = "" if number is None else f"{number}. "
    if not finding.sentence:
        # A compiler points at columns: its lines are not wrapped.
        yield (_text if "\n" in finding.hint else _prose)(f"{count}{finding.hint}")
    else:
        line = "No line" if finding.line is None else f"Line {finding.line}"
        yield _text(f"{count}{line} of {finding.function}" if finding.function else f"{count}{line}", style="bold")
        yield _text(f"    {finding.source}", style="bold red")
        yield _prose(finding.sentence, indent=2)
    for value in finding.values:
        yield _prose(f"{value.place or 'its value'} is {value.got}, should be {value.right}", indent=4)
    if finding.formula and finding.sentence:
        yield _prose(f"{finding.formula}\n{finding.why}", indent=2)
    if finding.change:
        yield _text(f"  Line {finding.change.line}, corrected:")
        yield _text(f"  - {finding.change.before}", style="red")
        yield _text(f"  + {finding.change.after}", style="green")
    if finding.proof:
        yield _prose(finding.proof, indent=2)
    if finding.explain:
        yield _text(f"  $ {finding.explain}", style="bold")


def _line(line: ShownLine) -> Iterator[RenderableType]:
    sign = SIGNS[line.verdict] if line.verdict else " "
    text = f"{line.number:>4} {f'{sign} {MARKS[line.verdict]}':<10}{line.text.rstrip()}"
    note = f"# {line.words}" if line.words else ""
    beside = len(text) + 2 + len(note) <= WIDTH
    yield _text(f"{text}  {note}" if beside and note else text, style=LINE_STYLES[line.verdict])
    if note and not beside:
        yield _prose(note, indent=NOTE_AT, style=LINE_STYLES[line.verdict] or "dim")


def _rule(title: str) -> RenderableType:
    from rich.rule import Rule
    from rich.text import Text

    return Rule(Text(visible(title)), align="left", style="dim")


def _text(text: str, *, style: str = "") -> RenderableType:
    """On one line, however long: source is there to be compared and commands to be copied."""
    from rich.text import Text

    return Text(visible(text, keep="\n\t").expandtabs(4), style=style, no_wrap=True, overflow="ignore")


def _prose(text: str, *, indent: int = 0, style: str = "") -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(visible(text, keep="\n\t"), style=style), (0, 0, 0, indent), expand=False)
