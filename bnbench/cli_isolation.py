"""``bnbench isolation``: what protects the grader from a submission on this machine, and what does not."""

from __future__ import annotations

import json as json_
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench.console import say

if TYPE_CHECKING:
    from bnbench.sandbox.tiers import Isolation

Tier = Annotated[
    str | None,
    typer.Option("--require-isolation", metavar="T0..T4", help="Exit with 4 where less than this can be had."),
]


def isolation(
    *,
    require: Tier = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Try how strongly submissions can be confined here, and say what stays open.

    Exit code 4 with --require-isolation where that cannot be had.

    Example: bnbench isolation --require-isolation T2
    """
    from bnbench.grading.journal import plain

    found = confined(require)
    if json:
        typer.echo(json_.dumps(plain(found), indent=1, sort_keys=True))
        return
    typer.echo(sentence(found))
    mechanisms = {
        "Landlock": f"version {found.landlock_abi}" if found.landlock_abi else "",
        "seccomp": "in force" if found.seccomp else "",
        "namespaces": "in force" if found.namespaces else "",
        "another user": "in force" if found.uid_changed else "",
        "control groups": f"version {found.cgroup}" if found.cgroup else "",
    }
    for mechanism, state in mechanisms.items():
        typer.echo(f"  {mechanism:<15}{state or 'not used'}")
    for mechanism, reason in found.why.items():
        typer.echo(f"  without {mechanism}: {reason}")
    if found.warning:
        say(found.warning)


def confined(required: str | None) -> Isolation:
    """The strongest isolation of this machine; with the reasons the program ends with 4 where that is too little."""
    from bnbench.console import one_of
    from bnbench.sandbox import tiers

    least = one_of({tier.value: tier for tier in tiers.Tier}, required, "tier of isolation") if required else None
    try:
        found = tiers.probe()
        if least is not None:
            tiers.at(found, least)
    except tiers.IsolationError as error:
        typer.secho(f"Error: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(4) from None
    return found


def sentence(found: Isolation) -> str:
    """One line: the tier, and what it leaves open."""
    return f"isolation {found.tier}; not enforced: {', '.join(found.not_enforced) or 'nothing known'}"
