"""The diagnosis names the cause and the line of nearly every file of the bank, and accuses no correct one."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

BANK = Path(__file__).parent / "bank"


def bank_module(name):
    """A module beside the student files, which pytest does not collect."""
    for needed in dict.fromkeys(("score", name)):
        if f"bank_{needed}" not in sys.modules:
            spec = importlib.util.spec_from_file_location(needed, BANK / f"{needed}.py")
            sys.modules[f"bank_{needed}"] = sys.modules[needed] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    return sys.modules[f"bank_{name}"]


score = bank_module("score")


@pytest.fixture(scope="module")
def found():
    return list(score.scores(score.wrong_files()))


def test_causes_are_right_and_hardly_ever_wrong(found):
    causes = score.totals(found)["cause"]
    assert causes["right"] >= 0.95 * len(found), [one for one in found if one.cause != "right"]
    assert causes["wrong"] == 0, [one for one in found if one.cause == "wrong"]


def test_lines_are_right(found):
    lines = score.totals(found)["line"]
    assert lines["right"] >= 0.95 * len(found), [one for one in found if one.line != "right"]
    assert lines["wrong"] <= 1


def test_files_that_were_kept_aside_score_about_as_well():
    found = list(score.scores(score.wrong_files(held_out=True)))
    causes, lines = (score.totals(found)[kind] for kind in ("cause", "line"))
    assert causes["right"] >= 0.9 * len(found), [one for one in found if one.cause != "right"]
    assert causes["wrong"] <= 1, [one for one in found if one.cause == "wrong"]
    assert lines["right"] >= 0.8 * len(found), [one for one in found if one.line != "right"]


@pytest.mark.parametrize(
    "path", [*score.correct_files(), *score.correct_files(held_out=True)], ids=lambda path: path.name
)
def test_a_correct_file_has_no_suspect(path):
    assert score.suspects_of(path) == ()


@pytest.mark.parametrize(
    "entry", tomllib.loads((BANK / "bank.toml").read_text())["unfinished"], ids=lambda e: e["file"]
)
def test_of_several_mistakes_the_first_is_named(entry):
    one = score.score(entry)
    if entry["slip"] == ["unimplemented"]:  # what was never written is named where it is returned
        assert one.says.split(": ")[1].startswith("unimplemented")
    else:
        assert (one.cause, one.line) == ("right", "right"), one.says


@pytest.mark.slow
def test_single_slips_of_another_catalogue_are_found_too():
    slips = bank_module("slips")
    answers = [slips.diagnosed(slip).answer for slip in slips.sample(each=1, seed=5)]
    assert len(answers) >= 60
    assert "crashed" not in answers
    assert answers.count("right") >= 0.8 * len(answers)
    assert answers.count("wrong") <= 0.05 * len(answers)
