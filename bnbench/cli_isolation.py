"""``bnbench isolation``: what protects the grader from a submission on this machine, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json
from bnbench.console import emit, fail, one_of, say, show, status

if TYPE_CHECKING:
    from bnbench.sandbox.tiers import Isolation

Tier = Annotated[
    str | None,
    typer.Option(
        "--require-isolation",
        metavar="T0..T4",
        help="Exit with 4 where less than this can be had.",
        autocompletion=completion.tiers,
    ),
]


def isolation(
    *,
    require: Tier = None,
    json: Json = False,
) -> None:
    """Try how strongly submissions can be confined here, and say what stays open.

    Exit code 4 with --require-isolation where that cannot be had.

    Example: bnbench isolation --require-isolation T2
    """
    found = confined(require)
    if json:
        emit("bnbench.isolation/1", found)
        return
    show(sentence(found))
    mechanisms = {
        "Landlock": f"version {found.landlock_abi}" if found.landlock_abi else "",
        "seccomp": "in force" if found.seccomp else "",
        "namespaces": "in force" if found.namespaces else "",
        "another user": "in force" if found.uid_changed else "",
        "control groups": f"version {found.cgroup}" if found.cgroup else "",
    }
    for mechanism, state in mechanisms.items():
        show(f"  {mechanism:<15}{state or 'not used'}")
    for mechanism, reason in found.why.items():
        show(f"  without {mechanism}: {reason}")
    if found.warning:
        say(found.warning)


def confined(required: str | None) -> Isolation:
    """The strongest isolation of this machine; with the reasons the program ends with 4 where that is too little."""
    from bnbench.sandbox import tiers

    least = one_of({tier.value: tier for tier in tiers.Tier}, required, "tier of isolation") if required else None
    try:
        with status("try what confines submissions here"):
            found = tiers.probe()
        if least is not None:
            tiers.at(found, least)
    except tiers.IsolationError as error:
        fail(str(error), 4)
    return found


def sentence(found: Isolation) -> str:
    """One line: the tier, and what it leaves open."""
    return f"isolation {found.tier}; not enforced: {', '.join(found.not_enforced) or 'nothing known'}"
