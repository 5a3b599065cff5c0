"""``bnbench train NAME``: does it matter in training?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnbench import completion
from bnbench.cli_options import Json, Plugins
from bnbench.console import (
    discover,
    emit,
    keeping,
    named_table,
    one_of,
    prepare,
    progress,
    refuse,
    say,
    show,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnbench.model import Implementation
    from bnbench.training.model import Data, Experiment, Setting, TrainingReport

REPORTS = Path("reports/train")


def train(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="An experiment, see --list.", autocompletion=completion.experiments),
    ] = None,
    plugin: Plugins = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help=f"Where; {REPORTS}/NAME by default.")
    ] = None,
    implementation: Annotated[
        str,
        typer.Option(metavar="NAME", help="The batch norm inside.", autocompletion=completion.implementations),
    ] = "numpy_staged",
    data: Annotated[
        str,
        typer.Option(metavar="digits|DIR", help="scikit-learn's digits, or a folder with CIFAR-10, python version."),
    ] = "digits",
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many; from six on, medians have intervals at 95 %.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Of every run.")] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop a run after N evaluations without a better test loss.")
    ] = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run of this was.")] = False,
    json: Json = False,
) -> None:
    """Train networks with and without normalization, with any implementation inside.

    Exit code 1 when a claim of the experiment does not hold.

    Example: bnbench train fc-digits

    Example: bnbench train implementations --plugin mine.py
    """
    from bnbench.training.session import EXPERIMENTS

    if list_ or name is None:
        from bnbench.answers import Experiments, Named

        known = tuple(Named(name=each.name, about=each.question) for each in EXPERIMENTS.values())
        if json:
            emit("bnbench.experiments/1", Experiments(experiments=known))
        else:
            show(named_table("experiment", known))
        raise typer.Exit(0 if list_ else 2)
    experiment = one_of(EXPERIMENTS, name, "experiment")
    folder = output or REPORTS / experiment.name
    inside = _loadable(plugin, implementation)
    images = _data(data)
    setting = _setting(experiment, inside, implementation, seeds, steps, patience)
    prepare(folder)
    with keeping("finished runs are kept: go on with --resume"):
        report = _perform(experiment, setting, images, inside, folder, resume=resume)
    _finish(report, folder, json=json)


def _loadable(plugin: list[Path] | None, implementation: str) -> Mapping[str, Implementation]:
    """The implementations that can be loaded here; refused when torch can't, or what was asked for."""
    registry = discover(plugin)
    one_of(registry.implementations, implementation, "implementation")
    for needed in ("torch_native", implementation):
        if reason := registry.missing(registry.implementations[needed]):
            refuse(reason)
    if registry.implementations[implementation].capabilities.norm != "batch":
        refuse(f"{implementation} is no batch norm; see bnbench list")
    chosen = (*registry.select(()), registry.implementations[implementation])
    return {each.name: each for each in chosen if not registry.missing(each)}


def _data(text: str) -> Data:
    from bnbench.training.data import DataError, cifar10, digits

    try:
        return digits() if text == "digits" else cifar10(Path(text))
    except DataError as error:
        refuse(str(error))


def _setting(
    experiment: Experiment,
    inside: Mapping[str, Implementation],
    implementation: str,
    seeds: int | None,
    steps: int | None,
    patience: int | None,
) -> Setting:
    from bnbench.training.model import Setting

    available = [
        name
        for name, each in inside.items()
        if each.capabilities.norm == "batch" and "float64" in each.capabilities.dtypes
    ]
    return Setting(
        seeds=tuple(range(seeds or experiment.seeds)),
        implementation=implementation,
        available=tuple(available),
        steps=steps,
        patience=patience,
    )


def _perform(
    experiment: Experiment,
    setting: Setting,
    data: Data,
    inside: Mapping[str, Implementation],
    folder: Path,
    *,
    resume: bool,
) -> TrainingReport:
    import torch  # noqa: F401 - loaded before settle_process, which tells loaded libraries how many threads to use

    from bnbench.policy import environment, settle_process
    from bnbench.training.session import perform

    checkpoints = folder / "checkpoints"
    if not resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(exist_ok=True)
    allocator = settle_process()
    with progress() as shown:
        try:
            report = perform(experiment, setting, data, inside, environment(allocator), shown, checkpoints=checkpoints)
        except ValueError as error:
            refuse(str(error))
    return report


def _finish(report: TrainingReport, folder: Path, *, json: bool) -> None:
    """Write every file in one step; only then forget the checkpoints."""
    from bnbench.training.page import FILES, dump_json

    for name, render in FILES.items():
        write_file(folder / name, render(report))
    shutil.rmtree(folder / "checkpoints")
    if json:
        typer.echo(dump_json(report), nl=False)
    else:
        from bnbench.training.tables import summary

        show(summary(report))
    say(f"Report: {folder / 'index.html'}")
    raise typer.Exit(0 if report.holds else 1)
