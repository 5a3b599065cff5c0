"""``bnbench explain``: every word that can stand in a report has an entry, and an entry says the same everywhere."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from bnbench.checks import ALL_CHECKS
from bnbench.conclusion import Kind
from bnbench.diagnose.cause import QUANTITIES, Slip
from bnbench.diagnose.diagnosis import State
from bnbench.diagnose.hints import Hints
from bnbench.diagnose.suspect import Proof
from bnbench.diagnose.uw import StageVerdict
from bnbench.glossary import entries, find
from bnbench.grading.model import Outcome, Visibility
from bnbench.grading.roster import Standing
from bnbench.grading.student import MARKS
from bnbench.model import Status
from bnbench.mutants import ALL_MUTANTS
from bnbench.report.entry import Entry, Section, entry_markdown, entry_terminal
from bnbench.report.graph import Verdict
from bnbench.sandbox.tiers import Tier
from bnbench.tolerances import BANDS

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = entries()
ENUMS = (Status, Kind, Slip, State, StageVerdict, Outcome, Standing, Visibility, Tier, Hints)


def printed(entry):
    console = Console(width=80, file=io.StringIO())
    console.print(entry_terminal(entry))
    return console.file.getvalue()


def words(text):
    """Letters and digits only: what is left of a text whatever lays it out."""
    return re.findall(r"[^\W_]+", text)


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_every_word_of_an_enumeration_that_is_printed_has_an_entry(enum):
    assert [member for member in enum if member not in ENTRIES] == []


def test_every_quantity_band_mark_and_proof_has_an_entry():
    named = {*QUANTITIES, *(word for _, word in BANDS), *(mark.word for mark in MARKS.values())}
    named |= {*get_args(Verdict), *get_args(Proof)}

    assert named - set(ENTRIES) == set()


def test_every_code_that_the_sources_name_is_a_check_with_an_entry():
    files = [*(ROOT / "bnbench").rglob("*.py"), *(ROOT / "bnbench").rglob("*.toml")]
    named = {code for file in files for code in re.findall(r"\bBN\d{3}\b", file.read_text())}

    assert len(named) > 50
    assert named <= {check.code for check in ALL_CHECKS} <= set(ENTRIES)


def test_every_wrong_normalization_has_an_entry_that_names_its_bug():
    assert all(ENTRIES[mutant.name].lead == mutant.bug for mutant in ALL_MUTANTS)


@pytest.mark.parametrize("word", ["bn301", "not submitted", "Not_Submitted", "fail", "X_HAT", "t2"])
def test_a_word_is_found_whatever_its_case_and_with_spaces(word):
    assert find(word).word.casefold() == word.casefold().replace(" ", "_")


def test_the_word_as_it_is_written_comes_before_another_that_differs_in_case():
    assert find("ERROR").word == "ERROR"
    assert find("error").word == "error"


def test_no_entry_is_made_up_for_an_unknown_word():
    assert find("dvarr") is None


def test_a_word_with_two_meanings_has_both():
    assert [section.title for section in find("wrong").sections][:2] == [
        "Band of the relative error",
        "State of a function",
    ]


@pytest.mark.parametrize("word", ["BN301", "dvar", "wrong", "T2", "not_submitted", "relative error"])
def test_the_terminal_and_the_documentation_say_the_same_words(word):
    entry = ENTRIES[word]
    text = entry_markdown(entry).replace("```text", "")

    assert words(text) == words(printed(entry))


def test_markdown_shows_what_would_be_markup_and_keeps_formulas():
    entry = Entry(
        word="d_x", kind="quantity", lead="<b> * [y]", sections=(Section(title="Why", text="a\nb\n\n    x_hat * 2"),)
    )

    assert (
        entry_markdown(entry) == "# d\\_x\n\n**\\<b\\> \\* \\[y\\]**\n\n## Why\n\na b\n\n```text\n    x_hat * 2\n```\n"
    )
