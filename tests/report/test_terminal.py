from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bnbench.model import Status
from bnbench.report.terminal import summary


def shown(report, *, width=80):
    """What a terminal of this width shows, without styles."""
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(summary(report), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def test_the_text_is_the_golden_one(report, golden):
    golden("summary.txt", shown(report))


@pytest.mark.parametrize("which", ["report", "large_report", "empty_report", "hostile_report"])
def test_no_line_but_a_command_is_wider_than_the_terminal(which, request):
    lines = shown(request.getfixturevalue(which)).splitlines()

    assert lines
    assert max(len(line) for line in lines if not line.startswith("    $ ")) <= 80


def test_nothing_to_say_is_said(empty_report):
    assert shown(empty_report).startswith("Nothing was verified\n")


def test_what_passed_is_not_listed(report):
    text = shown(report)

    assert "✗ torch_composed BN301 failed on 4 of 8 cases" in text
    assert "numpy_simplified BN" not in text
    assert "dx is off" not in text, "the evidence says it already"


def test_markup_in_a_name_is_text(hostile_report):
    assert "[red]x[/red]" in shown(hostile_report)


def test_no_control_character_reaches_the_terminal(hostile_report):
    text = shown(hostile_report)

    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "\\x1b[2J\\u202e\\udc80" in text


def test_a_long_command_stays_on_one_line(report):
    command = "bnbench check a_rather_long_name --check BN301 --case float64/5x3x4/train/mean=-3/sd=0.5/seed=2"
    worst = replace(report.findings[0], status=Status.FAILED, reproduce=command)

    assert f"    $ {command}\n" in shown(replace(report, findings=(worst,)))
