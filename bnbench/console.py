"""What the commands have in common: what is printed where and how loudly, progress, and how bad input is refused."""

from __future__ import annotations

import difflib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    from bnbench.answers import Named
    from bnbench.model import Implementation
    from bnbench.registry import Registry
    from bnbench.session import Progress

T = TypeVar("T")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
TENTHS = 10
"""How many lines a phase gets where there is no terminal to draw a bar on."""
SOON = 1.0
"""Seconds within which nobody asks what is going on."""
NAME = 24
"""How wide a column of names is at most."""
EVERY = 10.0
"""Seconds after which a long step gets a line of its own there."""


class Loudness(IntEnum):
    """How much a command says."""

    QUIET = 0
    """Nothing but errors, and with --json the JSON."""
    NORMAL = 1
    VERBOSE = 2
    """Also versions and how long every step took."""


LOUDNESS: ContextVar[Loudness] = ContextVar("LOUDNESS", default=Loudness.NORMAL)
"""Of the command that runs; :mod:`bnbench.cli_app` sets it from --quiet and --verbose."""


def show(*parts: RenderableType) -> None:
    """Print a command's result, wrapped to the screen: text, or what rich renders. Nothing with --quiet."""
    if LOUDNESS.get() > Loudness.QUIET:
        from rich.console import Console

        console = Console()
        for part in parts:
            # Text of others is never read as markup; a line to be copied may be longer than the screen.
            console.print(part, crop=False, markup=False, highlight=False, emoji=False)


def line(text: str) -> None:
    """Print a line of a result that is there to be copied, and so is never wrapped. Nothing with --quiet."""
    if LOUDNESS.get() > Loudness.QUIET:
        typer.echo(text)


def emit(schema: str, answer: Any) -> None:
    """Print a command's answer as strict JSON: ``schema`` first, then the fields of a record or of a mapping."""
    from bnbench.report.codec import plain

    typer.echo(json.dumps({"schema": schema, **plain(answer)}, indent=1, allow_nan=False))


def say(text: str) -> None:
    """A remark, on stderr, out of the results' way. Nothing with --quiet."""
    if LOUDNESS.get() > Loudness.QUIET:
        typer.echo(text, err=True)


def detail(text: str) -> None:
    """A remark for --verbose alone."""
    if LOUDNESS.get() is Loudness.VERBOSE:
        typer.echo(text, err=True)


def named_table(what: str, named: Iterable[Named]) -> RenderableType:
    """Names and what they are, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(what, overflow="fold", max_width=NAME)
    table.add_column("")
    for each in named:
        table.add_row(Text(each.name, style="bold"), Text(each.about))
    return table


def fail(message: str, code: int) -> NoReturn:
    """End with this exit code, and say why."""
    from rich.console import Console
    from rich.text import Text

    # Not wrapped: what is to be done is often a command to be copied.
    Console(stderr=True).print(Text(f"Error: {message}", style="red"), soft_wrap=True)
    raise typer.Exit(code)


def refuse(message: str) -> NoReturn:
    """End with exit code 2: the input is at fault."""
    fail(message, 2)


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """After Ctrl-C end with exit code 130, and say what was kept, such as how to go on; the innermost is heard."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted; {what}", INTERRUPTED)


def settle_colours(environ: MutableMapping[str, str], *, wanted: bool = True) -> None:
    """Translate the conventions that rich and typer do not know to those that they know.

    NO_COLOR and FORCE_COLOR are theirs; CLICOLOR=0, CLICOLOR_FORCE and --no-color (``wanted``) are added.
    NO_COLOR wins, whoever sets it.
    """
    if not wanted or environ.get("CLICOLOR") == "0":
        environ["NO_COLOR"] = "1"
    if environ.get("NO_COLOR"):
        environ.pop("FORCE_COLOR", None)
    elif environ.get("CLICOLOR_FORCE", "0") != "0":
        environ.setdefault("FORCE_COLOR", "1")


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
        refuse(f"no {what} is called {name!r}; {suggestion(known, name)}")
    return known[name]


def suggestion(known: Iterable[str], name: str, *, otherwise: str = "") -> str:
    """``did you mean dvar?``, or ``otherwise``, by default everything that there is."""
    near = difflib.get_close_matches(name, known := tuple(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else otherwise or f"known: {', '.join(known)}"


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar on a terminal, lines elsewhere: on stderr, out of the results' way. Nothing with --quiet.

    Elsewhere is a pipe or a log: a phase has a line when it begins and one for every tenth of it, or one
    for every EVERY seconds where that is rarer. With --verbose, how long each phase took.
    """
    from rich.console import Console

    console = Console(stderr=True, quiet=LOUDNESS.get() is Loudness.QUIET)
    told = _Bars(console.is_terminal)
    began: dict[str, float] = {}
    with told.display(console) as display:

        def progress(phase: str, done: int, total: int, doing: str) -> None:
            now = time.monotonic()
            began.setdefault(phase, now)
            if line := told.step(display, phase, done, total, doing, now - began[phase]):
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield progress
    for (phase, start), (_, end) in pairwise([*began.items(), ("", time.monotonic())]):
        detail(f"{phase}: {end - start:.1f} s")


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """What is being done where steps can't be counted. On stderr; nothing with --quiet.

    A spinner on a terminal, elsewhere a line for every step that begins after a second.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, quiet=LOUDNESS.get() is Loudness.QUIET)
    began = time.monotonic()
    if not console.is_terminal:
        yield lambda text: say(text) if time.monotonic() - began > SOON else detail(text)
        return
    with console.status(escape(doing)) as shown:
        yield lambda text: shown.update(escape(text))


class _Bars:
    """The phases so far, and what was last said of each."""

    def __init__(self, drawn: bool) -> None:
        self._drawn = drawn
        self._bars: dict[str, TaskID] = {}
        self._said: dict[str, tuple[int, float]] = {}

    def display(self, console: Any) -> Display:
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
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        return Progress(*columns, console=console, transient=True, disable=not self._drawn)

    def step(self, display: Display, phase: str, done: int, total: int, doing: str, elapsed: float) -> str:
        """Draw it, or return the line to print; "" where it is too early for another."""
        if self._drawn:
            if phase not in self._bars:
                self._bars[phase] = display.add_task("", total=total, phase=phase)
            display.update(self._bars[phase], completed=done, total=total, description=doing)
            return ""
        if phase not in self._said:
            self._said[phase] = (0, 0.0)
            return f"{phase}: {total} steps"
        tenth, before = TENTHS * done // max(total, 1), self._said[phase]
        if done == total or tenth == before[0] or elapsed - before[1] < EVERY:
            return ""
        self._said[phase] = (tenth, elapsed)
        left = elapsed * (total - done) / done
        return f"{phase}: {done} of {total}, {elapsed:.0f} s, about {left:.0f} s left"


def prepare(directory: Path) -> None:
    """Make the output directory before hours of work depend on it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        refuse(f"{directory}: can't write there ({error.strerror}); choose another folder with --output")


def write_file(file: Path, content: str | bytes) -> None:
    """Write a text, or bytes, in one step, so that it is never half there."""
    scratch = file.with_name(f".{file.name}.new")
    try:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(scratch, file)  # noqa: PTH105 - Path.replace is the same call, less known
    except OSError as error:
        refuse(f"{file}: can't write there ({error.strerror or error}); choose another place")
    detail(f"written: {file}")


def versions() -> str:
    """One line for --verbose: what runs."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:3]))
    return f"bnbench {version('bnbench')}, Python {python}, NumPy {version('numpy')}"
