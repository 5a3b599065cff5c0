"""The commands that measure the harness itself and its kernels: mutants, rivals, false alarms, exactness, speed."""

from __future__ import annotations

from typing import Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json, Names, Plugins, Table
from bnbench.cli_scale import scale
from bnbench.cli_selftest import selftest
from bnbench.console import discover, emit, one_of, prepare, progress, refuse, say, select, show, write_file


def mutants(*, output: Table = None, json: Json = False) -> None:
    """Run every check on every wrong normalization, and on correct ones written differently.

    Exit code 3 when a mutant survives or a correct variant is objected to: the harness is at fault.

    Example: bnbench mutants --output reports/mutants
    """
    from bnbench.mutation import score
    from bnbench.report.mutation import mutation_csv, mutation_table

    if output is not None:
        prepare(output)
    with progress() as shown:
        result = score(lambda done, total, doing: shown("mutate", done, total, doing))
    if json:
        emit("bnbench.mutants/1", result)
    else:
        show(mutation_table(result))
    if output is not None:
        write_file(output / "mutants.csv", mutation_csv(result))
        say(f"Matrix: {output / 'mutants.csv'}")
    raise typer.Exit(0 if result.perfect else 3)


def rivals(*, output: Table = None, json: Json = False) -> None:
    """Compare gradient checkers on the same mutants and the same correct implementations.

    Example: bnbench rivals --output reports/rivals
    """
    from bnbench import rivals as contest
    from bnbench.policy import settle_process

    if output is not None:
        prepare(output)
    settle_process()
    with progress() as shown:
        found = contest.rivals(discover(None), progress=lambda done, total, doing: shown("compare", done, total, doing))
    if json:
        emit("bnbench.rivals/1", found)
    else:
        show(contest.rivals_table(found))
    if output is not None:
        write_file(output / "rivals.md", contest.rivals_markdown(found))
        say(f"Table: {output / 'rivals.md'}")


def calibrate(names: Names = None, plugin: Plugins = None, *, json: Json = False) -> None:
    """Look for false alarms: the essential checks over a wide grid of dtypes, shapes, means, scales and eps.

    Exit code 3 when anything that should be correct is objected to: the harness is at fault.

    Example: bnbench calibrate numpy_simplified c_fused
    """
    from bnbench import calibration
    from bnbench.policy import settle_process

    registry = discover(plugin)
    select(registry, names or ())
    settle_process()
    with progress() as shown:
        found = calibration.calibrate(
            registry, names or (), lambda done, total, doing: shown("calibrate", done, total, doing)
        )
    if json:
        emit("bnbench.calibration/1", found)
    else:
        show(calibration.calibration_table(found))
    raise typer.Exit(3 if found.broken or found.alarms else 0)


def network(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="The implementation inside.", autocompletion=completion.implementations),
    ] = "numpy_staged",
    plugin: Plugins = None,
    *,
    reg: Annotated[float, typer.Option(min=0.0, help="L2 regularization.")] = 0.0,
    json: Json = False,
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
    if json:
        emit("bnbench.network/1", check)
    else:
        show(network_table(check))
    raise typer.Exit(0 if check.passed else 1)


def exact(names: Names = None, plugin: Plugins = None, *, json: Json = False) -> None:
    """Count the elements that are not bit for bit right on data whose every result is a machine number.

    Example: bnbench exact numpy_staged torch_native
    """
    from bnbench.exactness import Exactness, exactness_table, measure
    from bnbench.policy import settle_process
    from bnbench.runner import load

    settle_process()
    subjects = load(select(discover(plugin), names or ())).subjects
    rows: list[Exactness] = []
    with progress() as shown:
        for done, subject in enumerate(subjects):
            shown("exact", done, len(subjects), subject.name)
            rows += measure([subject])
    if json:
        emit("bnbench.exact/1", {"rows": rows})
    else:
        show(exactness_table(rows))


def kernels(
    *,
    output: Table = None,
    budget: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="For each function of a row.")] = 0.15,
    json: Json = False,
) -> None:
    """Compare the fused kernels with torch's and with the memory's own speed: eleven shapes, some minutes.

    Example: bnbench kernels --output reports/kernels
    """
    from rich.markdown import Markdown

    from bnbench.policy import environment, settle_process
    from bnbench.report.charts.memory import memory_charts
    from bnbench.report.markdown import CHARTS, figure
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
    if json:
        emit("bnbench.kernels/1", found)
    elif output is None:
        show(Markdown(roofline_markdown(found)))
    if output is not None:
        figures = {}
        prepare(output / CHARTS)
        for dtype, threads, chart in memory_charts(found):
            write_file(output / CHARTS / f"{chart.name}.svg", chart.svg_file)
            figures[dtype, threads] = figure(chart)
        write_file(output / "kernels.md", roofline_markdown(found, figures))
        say(f"Page: {output / 'kernels.md'}")


COMMANDS = (mutants, rivals, calibrate, network, exact, selftest, kernels, scale)
