"""The commands that measure the harness itself and its kernels: mutants, rivals, false alarms, exactness, speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bnbench.console import Names, Plugins, discover, one_of, prepare, progress, refuse, say, select

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Also write the table there, as a file.")
]


def mutants(*, output: Output = None) -> None:
    """Run every check on every wrong normalization, and on correct ones written differently.

    Exit code 3 when a mutant survives or a correct variant is objected to: the harness is at fault.

    Example: bnbench mutants --output reports/mutants
    """
    from rich.console import Console

    from bnbench.mutation import score
    from bnbench.report.mutation import mutation_csv, mutation_table

    if output is not None:
        prepare(output)
    with progress() as shown:
        result = score(lambda done, total, doing: shown("mutate", done, total, doing))
    Console().print(mutation_table(result), crop=False)
    if output is not None:
        (output / "mutants.csv").write_text(mutation_csv(result), encoding="utf-8")
        say(f"Matrix: {output / 'mutants.csv'}")
    raise typer.Exit(0 if result.perfect else 3)


def rivals(*, output: Output = None) -> None:
    """Compare gradient checkers on the same mutants and the same correct implementations.

    Example: bnbench rivals --output reports/rivals
    """
    from rich.console import Console

    from bnbench import rivals as contest
    from bnbench.policy import settle_process

    if output is not None:
        prepare(output)
    settle_process()
    with progress() as shown:
        found = contest.rivals(discover(None), progress=lambda done, total, doing: shown("compare", done, total, doing))
    Console().print(contest.rivals_table(found), crop=False)
    if output is not None:
        (output / "rivals.md").write_text(contest.rivals_markdown(found), encoding="utf-8")
        say(f"Table: {output / 'rivals.md'}")


def calibrate(names: Names = None, plugin: Plugins = None) -> None:
    """Look for false alarms: the essential checks over a wide grid of dtypes, shapes, means, scales and eps.

    Exit code 3 when anything that should be correct is objected to: the harness is at fault.

    Example: bnbench calibrate numpy_simplified c_fused
    """
    from rich.console import Console

    from bnbench import calibration
    from bnbench.policy import settle_process

    registry = discover(plugin)
    select(registry, names or ())
    settle_process()
    with progress() as shown:
        found = calibration.calibrate(
            registry, names or (), lambda done, total, doing: shown("calibrate", done, total, doing)
        )
    Console().print(calibration.calibration_table(found), crop=False)
    raise typer.Exit(3 if found.broken or found.alarms else 0)


def network(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The implementation inside.")] = "numpy_staged",
    plugin: Plugins = None,
    *,
    reg: Annotated[float, typer.Option(min=0.0, help="L2 regularization.")] = 0.0,
) -> None:
    """Check every gradient of a small network (affine, norm, relu, ..., softmax) with an implementation inside.

    Example: bnbench network c_fused --reg 3.14
    """
    from bnbench.networks import check_network, network_table

    registry = discover(plugin)
    implementation = one_of(registry.implementations, name, "implementation")
    if reason := registry.missing(implementation):
        refuse(reason)
    try:
        check = check_network(implementation, reg=reg)
    except ValueError as error:
        refuse(str(error))
    typer.echo(network_table(check))
    raise typer.Exit(0 if check.passed else 1)


def exact(names: Names = None, plugin: Plugins = None) -> None:
    """Count the elements that are not bit for bit right on data whose every result is a machine number.

    Example: bnbench exact numpy_staged torch_native
    """
    from bnbench.exactness import measure, table
    from bnbench.policy import settle_process
    from bnbench.runner import load

    settle_process()
    loaded = load(select(discover(plugin), names or ()))
    typer.echo(table(measure(loaded.subjects)))


def kernels(
    *,
    output: Output = None,
    budget: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="For each function of a row.")] = 0.15,
) -> None:
    """Compare the fused kernels with torch's and with the memory's own speed: eleven shapes, some minutes.

    Example: bnbench kernels --output reports/kernels
    """
    from bnbench.policy import environment, settle_process
    from bnbench.report.roofline import roofline_markdown
    from bnbench.roofline import roofline

    if output is not None:
        prepare(output)
    allocator = settle_process()
    with progress() as shown:
        try:
            found = roofline(
                discover(None),
                environment(allocator),
                budget=budget,
                progress=lambda done, total, doing: shown("time", done, total, doing),
            )
        except RuntimeError as error:
            refuse(str(error))
    page = roofline_markdown(found)
    if output is None:
        typer.echo(page)
    else:
        (output / "kernels.md").write_text(page, encoding="utf-8")
        say(f"Page: {output / 'kernels.md'}")


COMMANDS = (mutants, rivals, calibrate, network, exact, kernels)
