"""What there is, for the terminal: the list of implementations and the page of one check."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bnbench.diagnose.steps import Step
from bnbench.model import Broken, Check, Implementation


def listing(
    implementations: Iterable[Implementation], missing: Callable[[Implementation], str], broken: Iterable[Broken]
) -> RenderableType:
    """A table of implementations: what each declares and why it is unavailable, if it is."""
    table = Table("implementation", "state", "norm", "dtypes", "ranks", "ddof", "summary", box=None, pad_edge=False)
    table.columns[0].no_wrap = True  # a name is there to be copied
    table.columns[-1].overflow = "fold"
    notes: list[RenderableType] = []
    for implementation in implementations:
        declared = implementation.capabilities
        reason = missing(implementation)
        table.add_row(
            Text(implementation.name, style="bold"),
            Text("unavailable", style="yellow") if reason else Text("available", style="green"),
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


def explanation(check: Check, bug: str) -> RenderableType:
    """One check on one page: claim, maths, usual cause, and the mutant that it catches."""
    modes = {True: "train mode", False: "eval mode", None: "train and eval mode"}
    parts: list[RenderableType] = [
        Text.assemble((f"{check.code}  ", "bold"), (check.claim, "bold")),
        Text(f"{check.group}, {modes[check.training]}; {check.name}", style="dim"),
    ]
    sections = {
        "Maths": check.maths,
        "Usual cause": check.usual_cause,
        "Catches": f"{check.mutant}: {bug}",
        "Measured only after": ", ".join(check.after),
    }
    for title, text in sections.items():
        if text:
            parts += [Text(f"\n{title}", style="bold"), Padding(Text(reflowed(text)), (0, 0, 0, 2))]
    return Group(*parts)


def step_page(step: Step) -> RenderableType:
    """One quantity of the graph on one page: formula, why, shape, unit, the usual slip."""
    parts: list[RenderableType] = [Text(f"{step.quantity}: {step.formula}", style="bold")]
    sections = {"Why": step.why, "Shape": step.shape, "Unit": step.unit, "Usual slip": step.slip}
    for title, text in sections.items():
        if text:
            parts += [Text(f"\n{title}", style="bold"), Padding(Text(text), (0, 0, 0, 2))]
    if step.unit:
        parts.append(Text("\nUnits are those of x in metres and a loss without one.", style="dim"))
    return Group(*parts)


def reflowed(text: str) -> str:
    """Paragraphs as one line each, so that they wrap to any width; indented formulas as they stand."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split()) for p in paragraphs)
