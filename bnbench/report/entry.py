"""An entry that explains one word: the same text for the terminal and for the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A headed text. Its paragraphs are separated by blank lines; an indented one is a formula, shown as it stands."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What ``bnbench explain WORD`` prints."""

    word: str
    """What it is looked up by: ``BN301``, ``dvar``, ``vacuous``."""
    kind: str
    """What sort of word it is, as a heading of an index."""
    lead: str
    """What it claims, is or means, in one sentence or formula."""
    remark: str = ""
    """When it applies, in a line."""
    sections: tuple[Section, ...] = ()
    note: str = ""


def entry_terminal(entry: Entry) -> RenderableType:
    """The entry for a console of any width."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    # A formula or a meaning follows a colon; a check's code stands before its claim as in a report.
    separator = "  " if entry.kind == "check" else ": "
    parts: list[RenderableType] = [Text(f"{entry.word}{separator}{entry.lead}", style="bold")]
    if entry.remark:
        parts.append(Text(entry.remark, style="dim"))
    for section in entry.sections:
        parts += [Text(f"\n{section.title}", style="bold"), Padding(Text(reflowed(section.text)), (0, 0, 0, 2))]
    if entry.note:
        parts.append(Text(f"\n{entry.note}", style="dim"))
    return Group(*parts)


def entry_markdown(entry: Entry) -> str:
    """The entry as CommonMark, its word as the heading. No text of it is read as markup."""
    parts = [f"# {plain(entry.word)}", f"**{plain(entry.lead)}**"]
    if entry.remark:
        parts.append(f"*{plain(entry.remark)}*")
    for section in entry.sections:
        parts.append(f"## {plain(section.title)}")
        parts += [
            f"```text\n{paragraph}\n```" if paragraph.startswith(" ") else plain(" ".join(paragraph.split()))
            for paragraph in section.text.split("\n\n")
        ]
    if entry.note:
        parts.append(f"*{plain(entry.note)}*")
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    r"""Text whose punctuation Markdown shows and does not read.

    >>> plain("x_hat * gamma[0] < 1")
    'x\\_hat \\* gamma\\[0\\] \\< 1'
    """
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)


def reflowed(text: str) -> str:
    """Paragraphs as one line each, so that they wrap to any width; indented formulas as they stand."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split()) for p in paragraphs)
