"""The V-curve: that its two arms follow their laws, and that its estimate is the gradient check's."""

from __future__ import annotations

import io
import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bnbench.cases import draw, draw_cotangent, parse_case
from bnbench.cli import app
from bnbench.differences import directional_deviation
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Subject
from bnbench.registry import discover
from bnbench.report.charts.vcurve import vcurve_chart, vcurve_table
from bnbench.vcurve import v_curve

BROKEN = Path(__file__).parent / "plugins" / "broken_backward.py"
CASES = ("float64/9x5/train", "float32/17x3/train/mean=12/sd=5", "float64/5x4x3/eval")


def subject(name="numpy_simplified", *paths):
    implementation = discover(paths).implementations[name]
    return Subject(name=name, kernel=local_kernel(implementation.load()), capabilities=implementation.capabilities)


@pytest.fixture(scope="module")
def curve():
    return v_curve(subject(), parse_case(CASES[0]))


@pytest.mark.parametrize("case", CASES)
def test_the_marked_estimate_is_that_of_the_gradient_check(case):
    case = parse_case(case)
    z = directional_deviation(subject().kernel, draw(case), draw_cotangent(case), np.random.default_rng(case.seed)).z

    found = v_curve(subject(), case)
    assert found.z == z.max()
    assert found.block == int(z.argmax())


def test_small_steps_are_off_by_the_measured_noise(curve):
    left = [step for step in curve.steps if step.h < 1e-7]

    assert len(left) > 20
    # A noise level from seven values is known to within a factor of 4.
    assert 1 / 4 < statistics.median(step.error / curve.round_off(step.h) for step in left) < 4


def test_large_steps_are_off_by_the_square_of_the_step(curve):
    right = [step for step in curve.steps if 1e-3 < step.h < 0.1]

    assert len(right) > 5
    assert all(step.error == pytest.approx(curve.truncation(step.h), rel=0.05) for step in right)


def test_the_extrapolation_is_better_than_its_first_step_by_far(curve):
    assert curve.romberg_error < 1e-3 * curve.truncation(curve.chosen)


def test_a_wrong_backward_has_no_v_and_is_beyond_the_limit():
    found = v_curve(subject("broken_backward", BROKEN), parse_case(CASES[0]))
    middle = [step.error for step in found.steps if 1e-8 < step.h < 1e-2]

    assert max(middle) / min(middle) < 1.01
    assert found.z > 1e6
    assert "beyond the limit" in vcurve_chart(found).finding


def test_without_a_backward_there_is_no_curve():
    silent = replace(subject(), capabilities=Capabilities(eval_vjp=False))

    with pytest.raises(ValueError, match="no backward in eval mode"):
        v_curve(silent, parse_case("float64/9x5/eval"))


def test_what_is_no_number_is_shown_and_not_drawn(curve):
    steps = tuple(replace(step, error=float("nan")) for step in curve.steps)
    odd = replace(curve, steps=steps, romberg_error=float("nan"), noise=float("inf"), implementation="\x1b[2J[red]x")
    text = io.StringIO()
    Console(file=text, width=80, color_system=None).print(vcurve_table(odd))

    assert "nan" in text.getvalue()
    assert "\\x1b[2J[red]x" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert "<path" in vcurve_chart(odd).svg
    assert "No step gives a number" in vcurve_chart(odd).finding


@pytest.mark.parametrize("ending", [".svg", ".png", ".html", ".json"])
def test_the_command_draws_what_the_name_of_the_file_asks_for(ending, tmp_path):
    file = tmp_path / f"curve{ending}"
    result = CliRunner().invoke(app, ["vcurve", "numpy_staged", "--output", str(file)])

    assert result.exit_code == 0, result.output
    starts = {".svg": b"<svg", ".png": b"\x89PNG", ".html": b"<!doctype html>", ".json": b"{"}
    assert file.read_bytes().startswith(starts[ending])


def test_the_command_answers_in_json_and_by_its_exit_code():
    result = CliRunner().invoke(app, ["vcurve", "broken_backward", "--plugin", str(BROKEN), "--json"])
    answer = json.loads(result.stdout)

    assert result.exit_code == 1
    assert answer["schema"] == "bnbench.vcurve/1"
    assert answer["case"].startswith("float64/")
    assert len(answer["steps"]) > 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "curve.pdf"], "a chart is one of .svg"),
        (["--case", "float64/7x9/layer"], "batch norm, and the case layer norm"),
        (["--case", "what"], "what"),
    ],
)
def test_what_the_command_can_not_do_is_refused(arguments, said):
    result = CliRunner().invoke(app, ["vcurve", "numpy_staged", *arguments])

    assert result.exit_code == 2
    assert said in result.stderr
