"""What the commands have in common: options, discovery, progress, and how bad input is refused."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from bnbench.model import Implementation
    from bnbench.registry import Registry
    from bnbench.session import Progress

T = TypeVar("T")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Implementations; all of them if none.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="PATH", help="A Python file or folder with more implementations; repeatable."),
]


def discover(plugin: Iterable[Path] | None) -> Registry:
    """Everything discovered, with these plugin paths."""
    from bnbench import registry

    try:
        return registry.discover(plugin or ())
    except registry.PluginPathError as error:
        refuse(str(error))


def select(registry: Registry, names: Iterable[str]) -> tuple[Implementation, ...]:
    """The implementations of these names; all of them if there are none."""
    from bnbench.registry import UnknownImplementationError

    try:
        return registry.select(names)
    except UnknownImplementationError as error:
        refuse(str(error))


def one_of(known: Mapping[str, T], name: str, what: str) -> T:
    """What is called so; refused with a suggestion when nothing is."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        refuse(f"no {what} is called {name!r}; {hint}")
    return known[name]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """A bar on a terminal, a line per phase and minute elsewhere; on stderr, out of the results' way."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.fields[phase]:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(stderr=True, quiet=quiet)
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as display:

        def progress(phase: str, done: int, total: int, doing: str) -> None:
            if phase not in bars:
                bars[phase] = display.add_task("", total=total, phase=phase)
                if not console.is_terminal:
                    console.print(f"{phase}: {total} steps")
            display.update(bars[phase], completed=done, total=total, description=doing)

        yield progress


def prepare(directory: Path) -> None:
    """Make the output directory before hours of work depend on it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        refuse(f"{directory}: can't write there ({error.strerror}); choose another folder with --output")


def say(text: str) -> None:
    """A remark, out of the results' way."""
    typer.echo(text, err=True)


def refuse(message: str) -> NoReturn:
    """End with exit code 2: the input is at fault."""
    typer.secho(f"Error: {message}", err=True, fg=typer.colors.RED)
    raise typer.Exit(2)
