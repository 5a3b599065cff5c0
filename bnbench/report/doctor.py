"""What ``bnbench doctor`` found, as records and for a terminal: problems first, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnbench.model import Broken, Environment, ImplementationInfo
from bnbench.report.words import duration, three_digits, visible

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that does not work here."""

    need: str
    """What was asked for that can't be had: an implementation, ``compiler``, ...; "" for what nobody asked for."""
    what: str
    remedy: str

    @property
    def grave(self) -> bool:
        return bool(self.need)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThreadPool:
    """The threads of one library that is loaded."""

    library: str
    version: str
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """How good the clock is that timings are taken with, measured."""

    name: str
    resolution: float
    """Seconds: the smallest step that was seen."""
    overhead: float
    """Seconds that one reading takes."""
    monotonic: bool
    """Whether no reading was before its predecessor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """How fast one thread moves memory, in 1e9 bytes per second."""

    mebibytes: int
    """Of one array; small ones stay in a cache."""
    copy: float
    add: float
    """Two arrays added into a third."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """What the terminal can show."""

    terminal: bool
    """Whether the output is a terminal, and not a file or a pipe."""
    width: int
    encoding: str
    colours: str
    """``none``, or how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    problems: tuple[Problem, ...]
    """What was asked for first."""
    environment: Environment
    blas: str
    pools: tuple[ThreadPool, ...]
    thread_variables: Mapping[str, str]
    """Of the environment; what is measured runs with one thread whatever they say."""
    load: float
    """Processes that ran or wanted to, on average over the last minute; nan where the system does not tell."""
    gibibytes: float
    """Of main memory; nan where the system does not tell."""
    compilers: Mapping[str, str]
    """Path of each, with what it says of itself."""
    browser: str
    """That of the tests of pages; "" where there is none."""
    clock: Clock
    ceilings: tuple[Ceiling, ...]
    """() without the C extension."""
    isolation: str
    """The strongest tier for submissions."""
    not_enforced: tuple[str, ...]
    implementations: tuple[ImplementationInfo, ...]
    broken: tuple[Broken, ...]
    screen: Screen

    @property
    def well(self) -> bool:
        """Whether everything works that was asked for, and that nothing works without."""
        return not any(problem.grave for problem in self.problems)


def doctor_summary(found: Diagnosis) -> RenderableType:
    """The diagnosis for a terminal of any width."""
    from rich.console import Group

    return Group(*_problems(found), _facts(found))


def _problems(found: Diagnosis) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    if not found.problems:
        yield Text("Everything works", style="bold green")
    elif found.well:
        yield Text("All that is needed works; this could be better", style="bold")
    else:
        yield Text("Not everything that is needed works", style="bold red")
    for problem in found.problems:
        mark, style = ("✗", "bold red") if problem.grave else ("!", "yellow")
        yield Text(f"{mark} {visible(problem.what)}", style=style)
        yield Padding(Text(visible(problem.remedy)), (0, 0, 0, 2), expand=False)
    yield Text("")


def _facts(found: Diagnosis) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in _lines(found):
        table.add_row(name, Text(visible(value)))
    return table


def _lines(found: Diagnosis) -> Iterator[tuple[str, str]]:
    environment, clock, screen = found.environment, found.clock, found.screen
    versions = (f"{name} {version}" for name, version in environment.versions.items())
    yield "versions", ", ".join([f"bnbench {environment.bnbench}", f"Python {environment.python}", *versions])
    yield "BLAS", found.blas
    yield "system", environment.platform
    yield "processor", f"{environment.cpu}, {environment.cores} cores for this process, load {found.load:.1f}"
    yield "memory", f"{found.gibibytes:.1f} GiB"
    for ceiling in found.ceilings:
        rates = f"copy {three_digits(ceiling.copy)} GB/s, add {three_digits(ceiling.add)} GB/s"
        yield "", f"arrays of {ceiling.mebibytes} MiB, one thread: {rates}"
    pools = ", ".join(f"{pool.library} {pool.version}: {pool.threads}".replace(" :", ":") for pool in found.pools)
    yield "threads", pools or "no library with threads is loaded"
    for variable, value in found.thread_variables.items():
        yield "", f"{variable}={value}"
    yield "", "what bnbench times runs on one thread, whatever is set"
    steps = f"steps of {duration(clock.resolution)}, {duration(clock.overhead)} a reading"
    yield "clock", f"{clock.name}: {steps}, {'never' if clock.monotonic else 'SOMETIMES'} backwards"
    yield "compilers", "; ".join(f"{path}: {says}" for path, says in found.compilers.items()) or "none"
    yield "isolation", f"{found.isolation}; not enforced: {', '.join(found.not_enforced) or 'nothing known'}"
    yield "browser", found.browser or "none"
    yield (
        "terminal",
        f"{'' if screen.terminal else 'none: '}{screen.width} columns, {screen.encoding}, colours: {screen.colours}",
    )
    available = [info.name for info in found.implementations if info.available]
    yield "implementations", f"{len(available)} of {len(found.implementations)}: {', '.join(available)}"
