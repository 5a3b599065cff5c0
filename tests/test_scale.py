"""What verifying costs: the figures are those of what ran, and a single wrong element is seen among a million."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bnbench.cases import draw, draw_cotangent
from bnbench.cli import app
from bnbench.differences import directional_deviation
from bnbench.kernels import local_kernel
from bnbench.model import Case
from bnbench.policy import environment
from bnbench.registry import discover
from bnbench.report.scale import DxRow, Method, Scale, ScaleRow, scale_markdown
from bnbench.scale import full_dx, measure_scale, verification
from bnbench.tolerances import NOISE

PLUGINS = Path(__file__).parent / "plugins"
RAISES = """
from bnbench.model import Capabilities, Implementation

def load():
    def forward(*arrays, **options):
        raise KeyError("no")
    return forward

implementation = Implementation(name="raises", load=load, summary="raises", capabilities=Capabilities())
"""
ENVIRONMENT = environment()
RIGHT = discover().implementations["numpy_simplified"]


def test_a_row_counts_the_forward_calls_of_its_case_and_the_checks_that_ran():
    row = verification("numpy_simplified", (), Case(shape=(16, 4)))

    assert (row.implementation, row.shape, row.passed) == ("numpy_simplified", (16, 4), True)
    assert row.checks > 50
    assert row.evaluations > 300
    assert row.seconds > 0


def test_a_row_of_a_wrong_implementation_says_so():
    plugin = PLUGINS / "broken_backward.py"
    row = verification("broken_backward", (plugin,), Case(shape=(16, 4)))

    assert not row.passed
    assert "not all passed" in scale_markdown(Scale(environment=environment(), rows=(row,)))


def test_every_way_to_see_dx_agrees_and_the_sixth_order_is_the_most_accurate():
    row = full_dx(RIGHT, Case(shape=(8, 5)))
    loop, central, sixth, _ = row.methods

    assert [method.evaluations for method in row.methods] == [80, 16, 48, 40]
    assert 1e-12 < loop.error < 1e-8
    assert 1e-12 < central.error < 1e-8
    assert sixth.error < 1e-11


def test_the_error_of_a_way_is_that_of_its_numbers():
    def forward(*arrays, **options):
        y, running, vjp = RIGHT.load()(*arrays, **options)
        return 1.25 * y, running, vjp

    row = full_dx(replace(RIGHT, load=lambda: forward), Case(shape=(8, 5)))

    assert all(abs(method.error - 0.25) < 1e-6 for method in row.methods[:3])


def test_both_tables_hold_every_implementation_and_shape():
    told = []
    found = measure_scale(
        environment(),
        names=["numpy_simplified"],
        shapes=[(16, 4)],
        dx_shapes=[(4, 5)],
        progress=lambda *step: told.append(step[:2]),
    )

    assert [(row.implementation, row.shape) for row in found.rows] == [("numpy_simplified", (16, 4))]
    assert [(row.implementation, row.shape) for row in found.dx] == [("numpy_simplified", (4, 5))]
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_the_page_says_whether_the_target_was_met():
    def page(seconds):
        methods = (
            Method(name="textbook loop", seconds=1.0, evaluations=16384, error=1e-10),
            Method(name="compressed, 2nd order", seconds=seconds, evaluations=128, error=1e-10),
        )
        row = DxRow(implementation="a", shape=(64, 128), methods=methods)
        return scale_markdown(Scale(environment=ENVIRONMENT, dx=(row,)))

    assert "a 125x; the target of 100x is met." in page(0.008)
    assert "a 50x; the target of 100x is not met by all." in page(0.02)


def test_memory_stands_in_sizes_of_x():
    row = ScaleRow(
        implementation="a", shape=(1000, 10), checks=3, passed=True, evaluations=7, seconds=0.02, peak=12.345
    )
    assert "| a | 1000x10 | 10,000 | 3 passed | 7 | 20.0 ms | 2,000 | 12.3 |" in scale_markdown(
        Scale(environment=ENVIRONMENT, rows=(row,))
    )


@pytest.mark.parametrize("shape", [(16384, 64)], ids=str)
def test_one_wrong_element_of_a_million_is_seen(shape):
    case = Case(shape=shape)
    inputs, dy = draw(case), draw_cotangent(case)

    def forward(*arrays, **options):
        y, running, vjp = RIGHT.load()(*arrays, **options)

        def wrong(dy):
            dx, dgamma, dbeta = vjp(dy)
            dx[12345, 17] *= 1.001
            return dx, dgamma, dbeta

        return y, running, wrong

    z = directional_deviation(local_kernel(forward), inputs, dy, np.random.default_rng(0)).z

    assert z[17] > 1000 * NOISE.limit
    assert np.delete(z, 17).max() < NOISE.limit


def test_the_command_refuses_what_it_does_not_measure():
    result = CliRunner().invoke(app, ["scale", "numpy_layer_norm"])

    assert result.exit_code == 2
    assert "numpy_layer_norm is layer norm; this measures batch norm" in result.output


@pytest.mark.parametrize("command", ["scale", "selftest"])
def test_a_plugin_that_raises_is_refused_in_words(command, tmp_path):
    (tmp_path / "raises.py").write_text(RAISES)
    result = CliRunner().invoke(app, [command, "raises", "--plugin", str(tmp_path)])

    assert result.exit_code == 2
    assert "raises raised KeyError: 'no'" in " ".join(result.output.split())


def test_the_command_prints_strict_json(monkeypatch):
    monkeypatch.setattr("bnbench.scale.QUICK_SHAPES", ((16, 4),))
    monkeypatch.setattr("bnbench.scale.QUICK_DX_SHAPES", ((4, 5),))
    result = CliRunner().invoke(app, ["scale", "numpy_simplified", "--quick", "--json", "--quiet"])
    document = json.loads(result.stdout)

    assert result.exit_code == 0
    assert document["schema"] == "bnbench.scale/1"
    assert document["rows"][0]["shape"] == [16, 4]
    assert [method["evaluations"] for method in document["dx"][0]["methods"]] == [40, 8, 24, 40]
