"""``bnbench explain``: what a word that bnbench prints means."""

from __future__ import annotations

from typing import Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json
from bnbench.console import emit, named_table, refuse, show, suggestion


def explain(
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORD]",
            help="A check, a quantity, any word of a report: BN301, dvar.",
            autocompletion=completion.explained,
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Explain a check (claim, maths, usual cause), a quantity (formula, why, usual slip), or any word of a report.

    Example: bnbench explain BN301

    Example: bnbench explain dvar

    Example: bnbench explain vacuous
    """
    from bnbench.answers import Named, Words
    from bnbench.glossary import entries, find
    from bnbench.report.entry import entry_terminal

    if word is None:
        # Of wrong normalizations there are two hundred, and each is named where it is met.
        told = [entry for entry in entries().values() if entry.kind != "wrong normalization"]
        words = tuple(Named(name=entry.word, about=entry.lead) for entry in told)
        if json:
            emit("bnbench.words/1", Words(words=words))
        else:
            show(named_table("word", words))
        return
    found = find(word)
    if found is None:
        hint = suggestion(entries(), word, otherwise="`bnbench explain` lists what there is")
        refuse(f"no {'check' if word.upper().startswith('BN') else 'word'} is called {word!r}; {hint}")
    if json:
        emit("bnbench.word/1", found)
    else:
        show(entry_terminal(found))
