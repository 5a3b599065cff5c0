"""The words of two real diagnoses, compared with what was read and approved once."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bnbench.debugging import diagnose_file
from bnbench.diagnose.hints import Hints
from bnbench.report.diagnosis import show
from bnbench.report.diagnosis_pages import diagnosis_markdown
from bnbench.report.diagnosis_terminal import diagnosis_summary

WRONG = Path(__file__).parent.parent / "bank" / "wrong"


@pytest.mark.parametrize("name", ["half_dropped", "undefined_in_test_mode"])
def test_the_diagnosis_reads_as_approved(golden, name):
    shown = show(diagnose_file(WRONG / f"{name}.py"), Hints.HOW)
    out = StringIO()
    Console(file=out, width=80, color_system=None).print(diagnosis_summary(shown), crop=False)

    golden(f"diagnosis_{name}.txt", "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n")
    golden(f"diagnosis_{name}.md", diagnosis_markdown(shown))
