"""What the doctor finds: the machine as it is, and every trouble that a machine can have."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bnbench.cli import app
from bnbench.doctor import NEEDS, examine, problems_of
from bnbench.model import Broken, Capabilities, ImplementationInfo
from bnbench.registry import discover
from bnbench.report.doctor import Screen, doctor_summary

SCREEN = Screen(terminal=True, width=80, encoding="utf-8", colours="truecolor")


@pytest.fixture(scope="module")
def here():
    """This machine."""
    return examine(discover(), (), SCREEN, lambda *_: None)


@pytest.fixture(scope="module")
def well(here):
    """A machine on which everything works."""
    versions = {**here.environment.versions, "asv": "0.6.6"}
    fine = replace(
        here,
        environment=replace(here.environment, versions=versions),
        load=0.0,
        compilers={"/usr/bin/cc": "cc 12"},
        browser="/usr/bin/chromium",
        clock=replace(here.clock, resolution=1e-8, overhead=1e-8, monotonic=True),
        isolation="T4",
        implementations=tuple(replace(info, available=True, reason="") for info in here.implementations),
        broken=(),
        screen=SCREEN,
    )
    return replace(fine, problems=problems_of(fine))


def lines(found, width=80):
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(doctor_summary(found), crop=False)
    return captured.get().splitlines()


def missing(name):
    return ImplementationInfo(
        name=name,
        summary="",
        capabilities=Capabilities(),
        available=False,
        reason="torch is not installed: pip install torch",
    )


def test_the_clock_is_measured(here):
    assert here.clock.monotonic
    assert 0 < here.clock.overhead < 1e-4
    assert 0 < here.clock.resolution < 1e-3


def test_the_ceilings_are_of_this_earth(here):
    for ceiling in here.ceilings:
        assert 0.1 < ceiling.add < 10_000
        assert 0.1 < ceiling.copy < 10_000


def test_everything_that_is_registered_is_told(here):
    assert {info.name for info in here.implementations} == set(discover().implementations)
    assert here.environment.cores >= 1
    assert here.isolation in {"T0", "T1", "T2", "T3", "T4"}


def test_where_everything_works_that_is_said(well):
    assert well.problems == ()
    assert well.well
    assert lines(well)[0].strip() == "Everything works"


@pytest.mark.parametrize(
    ("trouble", "need", "what"),
    [
        ({"compilers": {}}, "compiler", "no C compiler"),
        ({"browser": ""}, "browser", "no browser"),
        ({"isolation": "T1"}, "sandbox", "confined to T1 only"),
        ({"screen": replace(SCREEN, encoding="ascii")}, "terminal", "the output is ascii"),
        ({"screen": replace(SCREEN, width=40)}, "terminal", "40 columns"),
        ({"implementations": (missing("torch_native"),)}, "torch_native", "torch is not installed"),
    ],
)
def test_what_is_missing_is_grave_only_for_who_asks_for_it(well, trouble, need, what):
    (mild,) = problems_of(replace(well, **trouble))
    (grave,) = problems_of(replace(well, **trouble), (need,))

    assert what in mild.what
    assert mild.remedy
    assert (mild.grave, grave.grave) == (False, True)
    assert replace(well, problems=(mild,)).well
    assert not replace(well, problems=(grave,)).well


def test_asv_that_is_missing_is_told(well):
    without = replace(well, environment=replace(well.environment, versions={"numpy": "2"}))

    assert [problem.what for problem in problems_of(without)] == ["asv is not installed"]


def test_a_broken_plugin_and_a_clock_that_goes_backwards_are_always_grave(well):
    broken = replace(well, broken=(Broken(source="mine.py", error="ValueError: no such luck"),))
    backwards = replace(well, clock=replace(well.clock, monotonic=False))

    for found in (broken, backwards):
        assert [problem.grave for problem in problems_of(found)] == [True]


@pytest.mark.parametrize("seconds", [1e-3, math.inf, math.nan])
@pytest.mark.parametrize("what", ["resolution", "overhead"])
def test_a_coarse_clock_is_told(well, what, seconds):
    (problem,) = problems_of(replace(well, clock=replace(well.clock, **{what: seconds})))

    assert "the clock is coarse" in problem.what


def test_a_busy_machine_is_told(well):
    (problem,) = problems_of(replace(well, load=well.environment.cores + 1.0))

    assert "the machine is busy" in problem.what


def test_what_was_asked_for_comes_first_with_what_to_do(well):
    found = replace(well, browser="", implementations=(missing("torch_native"),))
    shown = lines(replace(found, problems=problems_of(found, ("browser",))))

    assert [line.strip() for line in shown[:5]] == [
        "Not everything that is needed works",
        "✗ no browser for the tests of pages",
        "install chromium",
        "! torch_native is unavailable: torch is not installed",
        "pip install torch",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_it_fits_any_screen(here, width):
    assert max(map(len, lines(here, width))) <= width


def test_the_command_exits_1_where_what_was_asked_for_cannot_be_had():
    asked = CliRunner().invoke(app, ["doctor", "numpy_staged", "terminal", "--json"], env={"COLUMNS": "40"})
    unasked = CliRunner().invoke(app, ["doctor", "numpy_staged", "-q"], env={"COLUMNS": "40"})
    answer = json.loads(asked.stdout)

    assert (asked.exit_code, unasked.exit_code) == (1, 0)
    assert answer["schema"] == "bnbench.doctor/1"
    assert answer["problems"][0]["need"] == "terminal"


def test_every_need_is_named_in_the_help():
    shown = CliRunner().invoke(app, ["doctor", "--help"], env={"COLUMNS": "200"}).stdout

    for need in NEEDS:
        assert need in shown
