"""What there is: the list of implementations, and the entries of a check, a quantity, a wrong normalization, a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bnbench.diagnose.steps import Step
from bnbench.model import Broken, Check, Implementation
from bnbench.mutants.recipe import Mutant
from bnbench.report.entry import Entry, Section


def listing(
    implementations: Iterable[Implementation], missing: Callable[[Implementation], str], broken: Iterable[Broken]
) -> RenderableType:
    """A table of implementations: what each declares and why it is unavailable, if it is."""
    table = Table("implementation", "state", "norm", "dtypes", "ranks", "ddof", "summary", box=None, pad_edge=False)
    table.columns[0].no_wrap = True  # a name is there to be copied
    table.columns[1].no_wrap = True
    table.columns[-1].overflow = "fold"
    notes: list[RenderableType] = []
    for implementation in implementations:
        declared = implementation.capabilities
        reason = missing(implementation)
        table.add_row(
            Text(implementation.name, style="bold"),
            Text("unavailable", style="yellow")
            if reason
            else Text("on request" if implementation.on_request else "available", style="green"),
            declared.norm,
            ", ".join(declared.dtypes),
            f"{min(declared.ranks)}-{max(declared.ranks)}",
            str(declared.running_var_ddof) if declared.norm == "batch" else "",
            escape(implementation.summary),
        )
        if reason:
            # On one line, however long: the remedy is there to be copied. Print with crop=False.
            notes.append(
                Text(f"{implementation.name} is unavailable: {reason}", "yellow", no_wrap=True, overflow="ignore")
            )
    notes += [Text.assemble(("broken ", "bold red"), (b.source, "bold"), f": {b.error}") for b in broken]
    return Group(table, *notes)


def check_entry(check: Check, bug: str) -> Entry:
    """One check: claim, maths, usual cause, and the mutant that it catches."""
    modes = {True: "train mode", False: "eval mode", None: "train and eval mode"}
    return Entry(
        word=check.code,
        kind="check",
        lead=check.claim,
        remark=f"{check.group}, {modes[check.training]}; {check.name}",
        sections=_sections(
            {
                "Maths": check.maths,
                "Usual cause": check.usual_cause,
                "Catches": f"{check.mutant}: {bug}",
                "Measured only after": ", ".join(check.after),
            }
        ),
    )


def step_entry(step: Step) -> Entry:
    """One quantity of the graph: formula, why, shape, unit, the usual slip."""
    return Entry(
        word=step.quantity,
        kind="quantity",
        lead=step.formula,
        sections=_sections({"Why": step.why, "Shape": step.shape, "Unit": step.unit, "Usual slip": step.slip}),
        note="Units are those of x in metres and a loss without one." if step.unit else "",
    )


def mutant_entry(mutant: Mutant, codes: Iterable[str]) -> Entry:
    """One wrong normalization: the bug, what it is in the words of a diagnosis, and the checks that are named by it."""
    cause = f"{mutant.cause[0]} of {mutant.cause[1]}" if mutant.cause else ""
    return Entry(
        word=mutant.name,
        kind="wrong normalization",
        lead=mutant.bug,
        remark=f"a mutant of {mutant.norm} norm",
        sections=_sections({"A diagnosis calls it": cause, "Caught by": ", ".join(codes)}),
    )


def word_entry(word: str, senses: Mapping[str, str]) -> Entry:
    """A word that reports print; ``senses`` has a meaning by where the word is printed."""
    if len(senses) == 1:
        ((kind, meaning),) = senses.items()
        return Entry(word=word, kind=kind, lead=meaning, remark=kind)
    return Entry(
        word=word,
        kind=next(iter(senses)),
        lead=", or ".join(f"a{'n' if kind[0] in 'aeiou' else ''} {kind}" for kind in senses),
        sections=tuple(Section(title=kind[0].upper() + kind[1:], text=meaning) for kind, meaning in senses.items()),
    )


def _sections(texts: Mapping[str, str]) -> tuple[Section, ...]:
    return tuple(Section(title=title, text=text) for title, text in texts.items() if text)
