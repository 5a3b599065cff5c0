"""What of bnbench works on this machine, and what does not, and why: measured, in a second or two."""

from __future__ import annotations

import locale
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from bnbench.answers import listed
from bnbench.policy import THREAD_VARIABLES, environment
from bnbench.registry import Registry
from bnbench.report.doctor import Ceiling, Clock, Diagnosis, Problem, Screen, ThreadPool
from bnbench.report.words import duration
from bnbench.sandbox import tiers

NEEDS: Mapping[str, str] = {
    "asv": "history of timings over commits",
    "browser": "tests of the pages",
    "compiler": "debugging and grading C submissions",
    "sandbox": "grading the files of others",
    "terminal": "reading 80 columns with marks",
}
"""What can be asked for beside implementations, and what it is for."""
COMPILERS = ("cc", "gcc", "clang")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COLUMNS = 80
READINGS = 20_000
COARSE = 1e-6
"""Seconds: a clock with larger steps, or a slower one, is felt in timings of small shapes."""
MEBIBYTES = (1, 64)
REPEATS = 5

Progress = Callable[[str, int, int, str], None]


def examine(registry: Registry, asked: Collection[str], screen: Screen, progress: Progress) -> Diagnosis:
    """Look at everything. ``asked`` are names of implementations or of NEEDS: what can't be had of these is grave."""
    steps = ("clock", "memory", "compilers", "isolation")
    told = iter(enumerate(steps))

    def tell() -> None:
        done, step = next(told)
        progress("doctor", done, len(steps), step)

    tell()
    clock = _clock()
    tell()
    ceilings = _ceilings()
    tell()
    compilers = dict(_compilers())
    tell()
    isolation = tiers.probe()
    progress("doctor", len(steps), len(steps), "")
    listing = listed(registry)
    browser = next(filter(None, map(shutil.which, BROWSERS)), "")
    here = environment()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan

    found = Diagnosis(
        problems=(),
        environment=here,
        blas=_blas(),
        pools=tuple(_pools()),
        thread_variables={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        load=load,
        gibibytes=_gibibytes(),
        compilers=compilers,
        browser=browser,
        clock=clock,
        ceilings=ceilings,
        isolation=isolation.tier.value,
        not_enforced=isolation.not_enforced,
        implementations=listing.implementations,
        broken=listing.broken,
        screen=screen,
    )
    return replace(found, problems=problems_of(found, asked))


def problems_of(found: Diagnosis, asked: Collection[str] = ()) -> tuple[Problem, ...]:
    """What does not work, with what to do: first what was asked for, or what nothing works without."""
    needed = {*asked, "plugin", "clock"}
    problems = [
        problem if problem.need in needed else replace(problem, need="")
        for problem in (*_missing(found), *_of_the_machine(found), *_of_the_screen(found.screen))
    ]
    return tuple(sorted(problems, key=lambda problem: not problem.grave))


def screen_of(console: Any) -> Screen:
    """What the screen of a rich console can show."""
    return Screen(
        terminal=console.is_terminal,
        width=console.width,
        encoding=console.encoding or locale.getpreferredencoding(do_setlocale=False),
        colours="none" if console.no_color else console.color_system or "none",
    )


def _missing(found: Diagnosis) -> Iterator[Problem]:
    """What is not installed."""
    for broken in found.broken:
        what = f"broken plugin {broken.source}: {broken.error}"
        yield Problem(need="plugin", what=what, remedy="mend it, or leave it out")
    for info in found.implementations:
        if not info.available:
            what, _, remedy = info.reason.partition(": ")
            yield Problem(need=info.name, what=f"{info.name} is unavailable: {what}", remedy=remedy)
    if not found.compilers:
        remedy = "install cc, gcc or clang, or name one in the environment's CC"
        yield Problem(need="compiler", what="no C compiler", remedy=remedy)
    if not found.browser:
        yield Problem(need="browser", what="no browser for the tests of pages", remedy=f"install {BROWSERS[0]}")
    if "asv" not in found.environment.versions:
        yield Problem(need="asv", what="asv is not installed", remedy="pip install 'bnbench[bench]'")


def _of_the_machine(found: Diagnosis) -> Iterator[Problem]:
    clock, cores = found.clock, found.environment.cores
    if not clock.monotonic:
        yield Problem(need="clock", what="the clock goes backwards", remedy="trust no timing of this machine")
    if not (clock.resolution <= COARSE and clock.overhead <= COARSE):
        what = f"the clock is coarse: steps of {duration(clock.resolution)}, {duration(clock.overhead)} a reading"
        yield Problem(need="", what=what, remedy="do not trust timings of small shapes")
    if found.load > cores:
        what = f"the machine is busy: load {found.load:.1f} on {cores} cores"
        yield Problem(need="", what=what, remedy="time when it is idle")
    if found.isolation < tiers.Tier.T2:
        remedy = "use a container or a virtual machine for the files of others; `bnbench isolation` has the reasons"
        what = f"submissions are confined to {found.isolation} only, and can reach your files"
        yield Problem(need="sandbox", what=what, remedy=remedy)


def _of_the_screen(screen: Screen) -> Iterator[Problem]:
    if screen.encoding.lower().replace("-", "") != "utf8":
        remedy = "set PYTHONUTF8=1, or a locale such as C.UTF-8"
        yield Problem(need="terminal", what=f"the output is {screen.encoding}: marks such as ✓ are lost", remedy=remedy)
    if screen.width < COLUMNS:
        remedy = f"tables are made for {COLUMNS}; set COLUMNS={COLUMNS} where the width is not known"
        yield Problem(need="terminal", what=f"{screen.width} columns", remedy=remedy)


def _clock() -> Clock:
    read = time.perf_counter_ns
    readings = [read() for _ in range(READINGS)]
    steps = np.diff(np.array(readings, np.int64))
    forward = steps[steps > 0]
    return Clock(
        name="time.perf_counter",
        resolution=float(forward.min()) / 1e9 if forward.size else math.inf,
        overhead=(readings[-1] - readings[0]) / (READINGS - 1) / 1e9,
        monotonic=bool((steps >= 0).all()),
    )


def _ceilings() -> tuple[Ceiling, ...]:
    """The fastest of several copies and additions, with or without streaming stores; () without the C extension."""
    try:
        extension = import_module("bnbench.implementations.c_fused._c_fused")
    except ImportError:
        return ()
    found = []
    for mebibytes in MEBIBYTES:
        a, b, c = (np.ones(mebibytes << 18, np.float32) for _ in range(3))
        copy = min(_seconds(extension.copy, a, c, streaming=streaming) for streaming in (False, True))
        add = min(_seconds(extension.triad, a, b, c, streaming=streaming) for streaming in (False, True))
        found.append(Ceiling(mebibytes=mebibytes, copy=2 * a.nbytes / copy / 1e9, add=3 * a.nbytes / add / 1e9))
    return tuple(found)


def _seconds(move: Callable[..., object], *arrays: Any, streaming: bool) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        move(*arrays, streaming=streaming, threads=1)
        times.append(time.perf_counter() - start)
    return min(times)


def _compilers() -> Iterator[tuple[str, str]]:
    """Every compiler that would be found, with the first line of what it says of itself."""
    names = (os.environ.get("CC") or "cc", *COMPILERS)
    for path in dict.fromkeys(filter(None, map(shutil.which, names))):
        try:
            command = [path, "--version"]
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - ours
        except (OSError, subprocess.SubprocessError) as error:
            yield path, f"does not answer: {error}"
        else:
            yield path, said.stdout.partition("\n")[0].strip()


def _blas() -> str:
    """Name and version of the BLAS that NumPy was built with."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _pools() -> Iterator[ThreadPool]:
    """Of the libraries that this process has loaded; torch and numba are not loaded for it."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    for pool in threadpool_info():
        yield ThreadPool(
            library=pool["internal_api"], version=pool.get("version") or "", threads=int(pool["num_threads"])
        )


def _gibibytes() -> float:
    if sys.platform == "win32" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return math.nan
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
