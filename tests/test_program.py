"""A student's layer as a program: run, recorded, replayed and edited, the same each time."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from bnbench.adapters.cs231n import LAYERS
from bnbench.adapters.program import LayerProgram
from bnbench.diagnose.corrections import functions_of
from bnbench.diagnose.edits import edits
from bnbench.diagnose.inquiry import inquire
from bnbench.diagnose.program import agrees

RIGHT = (Path(__file__).parent / "submissions" / "layers.py").read_text()
BY_NAME = {layer.name: layer for layer in LAYERS}


def program_of(text=RIGHT, name="batchnorm", **options):
    return LayerProgram(text, "layers.py", BY_NAME[name], **options)


def found_edit(program, corrected):
    for definition in program.definitions:
        for function in functions_of(definition):
            for edit in edits(function):
                if edit.corrected == corrected:
                    return edit, definition
    raise AssertionError(corrected)


@pytest.mark.parametrize("name", list(BY_NAME))
@pytest.mark.parametrize("options", [{}, {"training": False}, {"defaults": True}, {"backward": False}], ids=str)
def test_a_right_layer_answers_everything_and_everything_is_right(name, options):
    program = program_of(name=name, **options)
    inquiry = inquire(program)
    assert inquiry.failure is None
    assert inquiry.wrong == ()
    assert inquiry.overwritten == ()
    assert set(program.outputs(0, inquiry.trace)) == set(program.answers)
    backward = options.get("backward", True) and (options.get("training", True) or BY_NAME[name].norm != "batch")
    assert ("dx" in program.answers) is backward


def test_runs_of_a_program_are_of_different_shapes():
    inquiry = inquire(program_of())
    assert len({trace.events[0].value.shape for trace in inquiry.reading.traces}) == len(inquiry.reading.traces) == 2


def test_a_replayed_value_changes_what_is_computed_from_it_and_nothing_else():
    program = program_of()
    inquiry = inquire(program)
    point = next(p for p in inquiry.reading.points if p.seen and p.seen[0].quantity == "dgamma")
    event = point.events[0]
    replayed = program.outputs(0, program.trace(0, {event: 2 * inquiry.trace.events[event].value}))
    plain = program.outputs(0, inquiry.trace)
    assert np.array_equal(replayed["dgamma"], 2 * plain["dgamma"])
    assert all(np.array_equal(replayed[name], plain[name]) for name in ("y", "dx", "dbeta"))


def test_an_edited_program_answers_as_its_text_would_and_is_itself_again_afterwards():
    text = RIGHT.replace("dx_hat = dout * gamma", "dx_hat = dout / gamma")
    program, right = program_of(text), program_of()
    edit, definition = found_edit(program, "dx_hat = dout * gamma")
    wrong = program.edited(0, definition)
    with edit.applied():
        mended = program.edited(0, definition)
    expected = right.outputs(0, right.trace(0))
    assert not agrees(wrong["dx"], expected["dx"])
    assert all(agrees(mended[name], expected[name]) for name in expected)
    assert np.array_equal(program.edited(0, definition)["dx"], wrong["dx"])


def test_an_edit_that_raises_or_exits_answers_nothing():
    for line in ("raise SystemExit(2)", "1 / 0"):
        program = program_of(RIGHT.replace("dx_hat = dout * gamma", f"{line}\n    dx_hat = dout * gamma"))
        assert program.edited(0, program.definitions[-1]) == {} or program.edited(0, program.definitions[0]) == {}


def test_a_corrected_statement_is_recognized():
    program = program_of(RIGHT.replace("dx_hat = dout * gamma", "dx_hat = dout / gamma"))
    edit, definition = found_edit(program, "dx_hat = dout * gamma")
    assert program.corrected(definition, edit) == "dx_hat"


def test_the_head_of_a_loop_binds_nothing_that_could_be_recognized():
    text = RIGHT.replace("dx_hat = dout * gamma", "for i in range(1, 2):\n        pass\n    dx_hat = dout * gamma")
    program = program_of(text)
    edit, definition = found_edit(program, "for i in range(2):")
    assert program.corrected(definition, edit) is None


def test_only_what_the_layer_leads_to_is_a_definition_of_its_program():
    program = program_of("def unused(): return 1\n" + RIGHT)
    names = {definition.name for definition in program.definitions}
    assert {"batchnorm_forward", "batchnorm_backward"} <= names
    assert "unused" not in names


def test_an_argument_that_is_changed_in_place_is_noticed():
    name = next(n.name for n in ast.parse(RIGHT).body if isinstance(n, ast.FunctionDef) and n.name.endswith("backward"))
    text = RIGHT.replace(f"def {name}(dout, cache):\n", f"def {name}(dout, cache):\n    dout *= 1.5\n")
    assert text != RIGHT
    inquiry = inquire(program_of(text))
    assert inquiry.overwritten == ("dy",)


def test_what_a_program_prints_is_dropped(capsys):
    program = program_of(RIGHT.replace("dx_hat = dout * gamma", "print('here')\n    dx_hat = dout * gamma"))
    inquire(program)
    program.edited(0, program.definitions[0])
    assert capsys.readouterr().out == ""
